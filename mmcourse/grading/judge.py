"""The judge: runs the course's checks here, on answers that run in a sandbox, and names what came out.

A check gets a stand-in for the answer: calling it sends the inputs over and brings the outputs back. Truth, hidden inputs
and the check itself never leave this process.
"""

import ast
import contextlib
import hashlib
import io
import random
import re
import signal
import sys
import time
from dataclasses import dataclass

from mmcourse import UsageError
from mmcourse.grading import sandbox, submission
from mmcourse.grading.remote import Channel, Ended

EXERCISE_SECONDS = 60             # what an answer may take in one exercise, waiting included
FILE_SECONDS = 300
HIDDEN = re.compile(r"\[[^\[\]]*\d[^\[\]]*\]|-?\d+\.\d+(?:e[+-]?\d+)?(?![\d%])|(?<![\d,.])\d{4,}(?![\d,.%])")
OUT_OF_MEMORY = re.compile("can't allocate memory|not enough memory|out of memory|bad_alloc|Cannot allocate memory", re.I)


@dataclass
class Mark:
    """What one exercise earned: points of how many, the verdict's name, the first hint, seconds, what the check printed."""

    exercise: str
    points: int
    of: int
    verdict: str          # pass, wrong, not done, not found, syntax, time, memory, output, died, grader error
    hint: str = ""
    seconds: float = 0.0
    note: str = ""


@dataclass
class Plan:
    """A set as the course has it: its cells [(kind, exercise, source)], points, and which name each check is given."""

    cells: list
    points: dict
    answers: dict

    @classmethod
    def of(cls, master):
        """The plan of the course's own notebook. Raises UsageError for a check cell that is not `check("11.2", name)`."""
        cells, points, answers = [], {}, {}
        for cell in master.cells:
            kind, exercise = _who(cell)
            if kind == "check":
                points[exercise] = cell.metadata.nbgrader.points
                answers[exercise] = _argument(cell.source, exercise)
            if cell.cell_type == "code":
                cells.append((kind, exercise, cell.source))
        return cls(cells, points, answers)

    def before(self):
        """The course's cells that stand before the first answer."""
        first = next((i for i, (kind, *_) in enumerate(self.cells) if kind == "answer"), len(self.cells))
        return [source for kind, _, source in self.cells[:first] if kind == "other"]

    def upto(self, exercise, written):
        """[[source, whose]] of the cells from the first answer to this exercise's, with `written` in place of stubs."""
        started, found = False, []
        for kind, number, source in self.cells:
            started = started or kind == "answer"
            if kind == "answer":
                found.append([written.get(number, source), "answer"])
                if number == exercise:
                    return found
            elif started and kind == "other":
                found.append([source, "course"])
        return found


def _who(cell):
    kind, _, rest = cell.id.partition("-")
    return (kind, rest.replace("-", ".")) if kind in ("answer", "check") and rest else ("other", None)


def _argument(source, exercise):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "check" and len(node.args) == 2:
            return ast.unparse(node.args[1])
    raise UsageError(f'The check cell of {exercise} does not call check("{exercise}", ...): run `mmcourse build`.')


class Broken(Exception):
    """The grader or the course does not work here. Never an answer's fault."""


def judge(master, answers, seed="", boxed=None, slot=0):
    """Mark answers ({"11.2": [source, ...]}) by the course's own notebook: one Mark an exercise.

    `seed` (text) fixes the hidden inputs, `boxed` is the path of bwrap or None, `slot` tells judges apart that work at the
    same time. An answer that ends its process or never ends costs its own points only.
    """
    plan = Plan.of(master)
    stubs = {exercise: source.strip() for kind, exercise, source in plan.cells if kind == "answer"}
    written, marks = {}, {}
    for exercise, of in plan.points.items():
        texts = [text for text in answers.get(exercise, []) if text.strip() not in ("", stubs[exercise])]
        if texts:
            written[exercise] = texts[-1]
        elif exercise in answers:
            marks[exercise] = Mark(exercise, 0, of, "not done")
        else:
            hint = "its answer cell is not in the file: copy it from a new one"
            marks[exercise] = Mark(exercise, 0, of, "not found", hint)
    court = _Court(plan, seed, boxed, slot)
    deadline = time.monotonic() + FILE_SECONDS
    try:
        for exercise in list(written):
            left = min(EXERCISE_SECONDS, deadline - time.monotonic())
            if left <= 0:
                marks[exercise] = Mark(exercise, 0, plan.points[exercise], "time", f"the file took over {FILE_SECONDS} s")
                continue
            marks[exercise] = court.mark(exercise, written, left)
            if marks[exercise].verdict in ("time", "memory", "output", "died", "syntax"):
                del written[exercise]                           # the later ones run without it
    finally:
        court.close()
    return [marks[exercise] for exercise in plan.points]


class _Court:
    """One submission before the judge: a sandbox that is started when needed, and anew when it died."""

    def __init__(self, plan, seed, boxed, slot):
        self.plan, self.seed, self.boxed, self.slot, self.channel = plan, seed, boxed, slot, None

    def close(self):
        if self.channel:
            sandbox.kill(self.channel.process)
            self.channel = None

    def mark(self, exercise, written, seconds):
        start, printed = time.monotonic(), io.StringIO()
        try:
            self._open()
            start = time.monotonic()
            with contextlib.redirect_stdout(printed):
                verdict, hint = self._verdict(exercise, written, seconds)
        except Broken as error:
            verdict, hint = "grader error", str(error)
        points = self.plan.points[exercise]
        return Mark(exercise, points if verdict == "pass" else 0, points, verdict, _public(hint, exercise),
                    round(time.monotonic() - start, 1), _public(printed.getvalue().strip()[-300:], exercise))

    def _verdict(self, exercise, written, seconds):
        judged = _check(exercise)
        channel = self.channel
        channel.begin(seconds)
        try:
            channel.send(op="exercise", cells=self.plan.upto(exercise, written), answer=self.plan.answers[exercise],
                         seed=_number(f"{self.seed}/answer/{exercise}"))
            found = channel.receive()
            told, skipped = found.get("error"), found.get("skipped")
            told = told if isinstance(told, dict) else None
            if found["op"] == "broken":
                return self._broken(exercise, written, seconds)
            if found["op"] == "missing":
                verdict = _missing(self.plan.answers[exercise], told, found.get("functions"))
            elif found["op"] == "ready":
                verdict = self._run(judged, found.get("value"), exercise, told)
            else:
                channel._end("died", "the process said something out of turn")
            if (ended := self._finish()).verdict != "ended" and verdict[0] != "pass":
                verdict = ended.verdict, ended.hint
        except Ended as ended:
            if channel.over:
                self.close()
            return ended.verdict, ended.hint or "the process was ended by this answer (exit or crash)"
        except UsageError as error:
            self.close()
            raise Broken(str(error)) from None
        note = " (lines for the notebook, with !, % or ?, were left out)" if skipped and verdict[0] != "pass" else ""
        return verdict[0], verdict[1] + note

    def _broken(self, exercise, written, seconds):
        """A course's cell stopped, or an answer says so. Only without any answer it is the course's fault."""
        self.close()
        self._open()
        self.channel.begin(seconds)
        self.channel.send(op="exercise", cells=self.plan.upto(exercise, {}), answer="None", seed=0)
        said = self.channel.receive()
        self.close()
        if said["op"] == "broken":
            raise Broken(f"the course's own cells do not run here ({said.get('name')}: {said.get('text')})")
        if len(written) > 1:                                    # another answer may be what broke them
            self._open()
            return self._verdict(exercise, {exercise: written[exercise]}, seconds)
        return "wrong", "with this answer the course's own cells do not run any more"

    def _finish(self):
        """End the exercise's process: an Ended that says how it ended. If it speaks out of turn, its sandbox ends too."""
        try:
            self.channel.send(op="end")
            self.channel.receive()
            self.channel._end("died", "the process said something out of turn")
        except Ended as ended:
            if self.channel.over:
                self.close()
            return ended

    def _open(self):
        """A sandbox that has run the course's own cells."""
        if self.channel:
            return
        try:
            process = sandbox.start(self.boxed, EXERCISE_SECONDS, self.slot)
            self.channel = Channel(process, EXERCISE_SECONDS)
            self.channel.send(op="prepare", cells=self.plan.before())
            said = self.channel.receive()
        except (Ended, OSError) as error:
            self.close()
            raise Broken(f"the sandbox does not start ({error}): run `mmcourse grade --selftest`") from None
        if said["op"] != "prepared":
            self.close()
            raise Broken(f"the course's own cells do not run here ({said.get('name')}: {said.get('text')})")

    def _run(self, judged, answer, exercise, told):
        """Run the check on the stand-in: (verdict, hint)."""
        import torch
        with torch.random.fork_rng(devices=[]), _alarm(EXERCISE_SECONDS * 3):
            _sow(_number(f"{self.seed}/{exercise}"))
            try:
                judged(answer)
                return "pass", ""
            except Exception as error:
                return _failed(error, told, exercise)


def _check(exercise):
    from mmcourse import checks
    try:
        return checks.find(exercise).judge
    except UsageError as error:
        raise Broken(str(error)) from None


def _number(text):
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _sow(number):
    """Fix all random numbers of this process: what a check draws depends on the seed alone."""
    import numpy
    import torch
    random.seed(number)
    numpy.random.seed(number)
    torch.manual_seed(number)


@contextlib.contextmanager
def _alarm(seconds):
    """Ends a check that never ends on this side, as one may that counts to what an answer returned."""
    def ring(number, frame):
        raise Ended("wrong", "what it returns keeps the check busy for ever")
    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _failed(error, told, exercise):
    """The verdict and hint for what a check raised: a Hint, the answer's own error, or its own on values of a wrong kind."""
    from mmcourse.checks import Hint
    if isinstance(error, Hint):
        return "wrong", str(error).removeprefix(f"{exercise}: ")
    raised = getattr(error, "told", None)
    if raised is None:
        return "wrong", f"the check cannot use what is returned ({type(error).__name__}): look at its kind and shape"
    if raised["name"] == "NotImplementedError" and (not raised["text"] or "not written yet" in raised["text"]):
        return "not done", ""
    return _error(raised if told is None else told)


def _error(told):
    """The verdict and hint for an error of the answer's code. Its text may hold hidden inputs, so numbers are left out."""
    name, text = str(told.get("name"))[:60], str(told.get("text")).strip().partition("\n")[0]
    if not name.isidentifier():
        name = "Error"
    place = f" in line {told['line']}" if isinstance(told.get("line"), int) else ""
    if name in ("SyntaxError", "IndentationError", "TabError"):
        return "syntax", f"{text}{place} of the answer" if place else text
    if name == "TooLarge":
        return "output", f"the answer returns {text}"
    if name == "MemoryError" or OUT_OF_MEMORY.search(text):
        return "memory", f"it asks for more memory than an exercise has{place}"
    if name == "KeyError":
        text = ""
    missing = re.fullmatch(r"name '(\w+)' is not defined.*", text) if name == "NameError" else None
    if missing:
        text = f"name '{missing[1]}' is not defined (only answer cells are marked, so define or import it in this one)"
    return "wrong", f"{name}{place}{': ' if text else ''}{text[:200]}"


def _missing(name, told, functions):
    """There is no `name` after the answer cell ran: because it stopped, or because it defines others."""
    if told is not None:
        verdict, hint = _error(told)
        return verdict, hint if verdict != "wrong" else f"the answer cell stopped with {hint}"
    others = [f"`{one}`" for one in functions or [] if isinstance(one, str) and one.isidentifier()][:3]
    found = f"; it defines {', '.join(others)}" if others else ""
    return "not found", f"the check calls `{name}`, and the answer has no such name{found}: keep the name"


def _public(text, exercise):
    """A line to show, without hidden values: long or broken numbers and lists that do not stand in the check are dots."""
    static = _own_text(exercise)

    def mask(match):
        return match[0] if match[0] in static else "[...]" if match[0][0] == "[" else "..."
    return submission.shown(HIDDEN.sub(mask, text).replace("\n", " ")[:500])


def _own_text(exercise):
    import inspect
    from mmcourse import checks
    with contextlib.suppress(OSError, TypeError, KeyError):
        return inspect.getsource(sys.modules[checks.find(exercise).judge.__module__])
    return ""
