"""Running answers against the course's own checks, in a fresh process, and naming what came out."""

import math
import os
import re
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass

from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError

from mmcourse import UsageError

CELL_SECONDS = 60
FILE_SECONDS = 300


@dataclass
class Mark:
    """What one exercise earned: points of how many, the verdict's name, the first hint (may be empty)."""

    exercise: str
    points: int
    of: int
    verdict: str          # pass, wrong, not done, not found, syntax, time, died
    hint: str = ""


def judge(master, answers):
    """Mark answers ({"11.2": [source, ...]}) by the course's own notebook: one Mark an exercise.

    An answer that kills the process or never ends costs its own points only: the rest runs again without it.
    Raises UsageError when the course's own cells do not run here, for that is never anybody's zero.
    """
    stubs = {_exercise(cell): cell.source.strip() for cell in master.cells if _is(cell, "answer")}
    points = {_exercise(cell): cell.metadata.nbgrader.points for cell in master.cells if _is(cell, "check")}
    chosen, verdicts = {}, {}
    for exercise in points:
        written = [text for text in answers.get(exercise, []) if text.strip() not in ("", stubs[exercise])]
        if written:
            chosen[exercise] = written[-1]
        elif exercise in answers:
            verdicts[exercise] = "not done", ""
        else:
            verdicts[exercise] = "not found", "its answer cell is not in the file: copy it from a new one"
    deadline = time.monotonic() + FILE_SECONDS
    while waiting := [exercise for exercise in chosen if exercise not in verdicts]:
        if time.monotonic() > deadline:
            verdicts |= dict.fromkeys(waiting, ("time", f"the file as a whole took over {FILE_SECONDS} s"))
            break
        alive = {exercise: text for exercise, text in chosen.items()
                 if verdicts.get(exercise, ("",))[0] not in ("time", "died")}
        verdicts |= _run(_filled(master, alive, waiting), deadline)
    return [Mark(exercise, of if verdicts[exercise][0] == "pass" else 0, of, *verdicts[exercise])
            for exercise, of in points.items()]


def _is(cell, kind):
    return cell.id.startswith(f"{kind}-")


def _exercise(cell):
    """"11.2" for the cells answer-11-2 and check-11-2, else None."""
    return cell.id.split("-", 1)[1].replace("-", ".") if _is(cell, "answer") or _is(cell, "check") else None


def _filled(master, answers, to_check):
    """The master's code cells, with answers in place of stubs, and of its checks only those wanted."""
    notebook = master.copy()
    notebook.cells = []
    for cell in master.cells:
        if cell.cell_type != "code" or _is(cell, "check") and _exercise(cell) not in to_check:
            continue
        cell = cell.copy()
        if _is(cell, "answer"):
            cell.source = answers.get(_exercise(cell), cell.source)
        notebook.cells.append(cell)
    return notebook


def _run(notebook, deadline):
    """Run the cells in one fresh process: {exercise: (verdict, hint)}, up to the one that ends it."""
    verdicts, answer_error, current = {}, None, None
    with _process(notebook) as execute:
        for cell in notebook.cells:
            current = _exercise(cell) or current
            left = deadline - time.monotonic() if current else CELL_SECONDS
            seconds = max(1, min(CELL_SECONDS, math.ceil(left)))
            try:
                error = execute(cell, seconds)
            except CellTimeoutError:
                ended = "time", f"no end after {seconds} s"
            except DeadKernelError:
                ended = "died", "the process was ended by this answer (exit, crash or memory)"
            else:
                ended = None
            if current is None and (ended or error):
                reason = ended[1] if ended else f"{error['ename']}: {error['evalue']}"
                raise UsageError(f"The course's own cells do not run here ({reason}): see `mmcourse doctor`.")
            if ended:
                return verdicts | {current: ended}
            if _is(cell, "answer"):
                answer_error = error
            elif _is(cell, "check"):
                verdicts[current] = _verdict(current, cell.source, answer_error, error)
    return verdicts


@contextmanager
def _process(notebook):
    """A fresh kernel in an empty folder. Yields execute(cell, seconds), which returns its error or None."""
    replies = []

    def execute(cell, seconds):
        client.timeout = seconds
        client.execute_cell(cell, notebook.cells.index(cell))
        reply = replies.pop() if replies else {"status": "ok"}          # a cell without code has no reply
        return reply if reply["status"] == "error" else None

    with tempfile.TemporaryDirectory() as empty:
        client = NotebookClient(notebook, allow_errors=True, shutdown_kernel="immediate")
        client.on_cell_executed = lambda execute_reply, **_: replies.append(execute_reply["content"])
        options = {"cwd": empty, "env": os.environ | {"MMCOURSE_STATIC": "1"},
                   "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}     # else it writes our table
        with client.setup_kernel(**options):
            yield execute


def _verdict(exercise, check, answer_error, check_error):
    """The verdict's name and a hint, from the errors (or None) of an answer cell and of its check cell."""
    if answer_error and answer_error["ename"] in ("SyntaxError", "IndentationError", "TabError"):
        return "syntax", re.sub(r" \(\S+, line (\d+)\)", r" in line \1 of the answer", answer_error["evalue"])
    if check_error is None:
        return "pass", ""
    name, text = check_error["ename"], check_error["evalue"].strip().partition("\n")[0]
    if name == "NotImplementedError" and "is not written yet" in text:
        return "not done", ""
    if name == "Hint":
        return "wrong", text.removeprefix(f"{exercise}: ")
    if answer_error:
        name, text = answer_error["ename"], answer_error["evalue"].strip().partition("\n")[0]
        return "wrong", f"the answer cell stopped with {name}: {text}"
    missing = re.match(r"name '(\w+)' is not defined", text) if name == "NameError" else None
    if missing and re.search(rf"\b{missing[1]}\b", check):
        return "not found", f"the check calls `{missing[1]}`, and the answer has no such name: keep it"
    if missing:
        text += " (only answer cells are marked, so define or import it in this one)"
    return "wrong", f"{name}: {text}"
