"""Exercises: their markers, their stubs, and the rule that no solution leaks into what learners get.

An exercise "11.2" has text cells `task="11.2"`, one code cell `answer="11.2"` with its solution between
`### BEGIN SOLUTION` and `### END SOLUTION` (nbgrader's words), and one code cell `check="11.2" points=3`.
"""

import ast
import difflib
import re

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
BLOCK = re.compile(rf"^([ \t]*){BEGIN}[ \t]*\n(.*?)^[ \t]*{END}[ \t]*$", re.M | re.S)
KINDS = {"task": "markdown", "answer": "code", "check": "code"}


def stub(text, exercise):
    """The text of an answer cell with every solution block replaced by a stub of the same indentation."""
    lines = "# YOUR CODE HERE", f'raise NotImplementedError("{exercise} is not written yet")'
    return BLOCK.sub(lambda block: "\n".join(block[1] + line for line in lines), text)


def identifier(kind, exercise):
    """The id by which the grader finds a cell for ever: ("answer", "11.2") -> "answer-11-2"."""
    return f"{kind}-{exercise.replace('.', '-')}"


def faults(source):
    """List of (line, sentence) for everything wrong with the exercises of a source."""
    found = _pairs(source) if source.kind == "exercises" else []
    broken = False
    for cell in source.cells:
        if cell.kind == "code":
            markers = list(_markers(cell))
            broken = broken or bool(markers)
            found += markers
    if not broken:
        found += [fault for cell in source.cells if "answer" in cell.options for fault in _solution(cell)]
        found += _leaks(source)
    return found


def _pairs(source):
    """Every exercise has a task, an answer and a check with points, in this order, numbered by lesson."""
    found, cells, lesson = [], {kind: {} for kind in KINDS}, f"{source.number:02d}"
    for cell in source.cells:
        kinds = KINDS.keys() & cell.options.keys()
        if len(kinds) > 1:
            found.append((cell.line, f"one cell cannot be {' and '.join(sorted(kinds))} at once; split it"))
        for kind in kinds:
            exercise = str(cell.options[kind])
            if not re.fullmatch(rf"{lesson}\.[1-9]\d*", exercise):
                found.append((cell.line, f'{kind}="{exercise}" does not belong to lesson {lesson}; number '
                                         f"its exercises {lesson}.1, {lesson}.2 and so on"))
            elif exercise in cells[kind] and kind != "task":
                found.append((cell.line, f'{kind}="{exercise}" stands already in line '
                                         f"{cells[kind][exercise].line}; give each exercise its own number"))
            else:
                cells[kind].setdefault(exercise, cell)
        if "points" in cell.options and "check" not in cell.options:
            found.append((cell.line, "points belong on a cell with check; move them there"))
    for exercise in sorted({exercise for kind in cells.values() for exercise in kind}):
        have = {kind: cells[kind][exercise] for kind in KINDS if exercise in cells[kind]}
        first = next(iter(have.values())).line
        found += [(first, f'exercise {exercise} has no {kind}; add a cell `# %%'
                          f'{" [markdown]" if KINDS[kind] == "markdown" else ""} {kind}="{exercise}"`')
                  for kind in KINDS if kind not in have]
        order = [cell.line for cell in have.values()]
        if order != sorted(order):
            found.append((min(order), f"exercise {exercise} is out of order; put task, answer, check"))
    for exercise, cell in cells["check"].items():
        found += [(cell.line, what) for what in _check(cell, exercise)]
    return found


def _check(cell, exercise):
    points = cell.options.get("points", 0)
    if isinstance(points, int) and points < 1:
        yield f'check="{exercise}" has no points; write `# %% check="{exercise}" points=3`'
    if not re.search(rf"^[^#\n]*\bcheck\(\s*[\"']{re.escape(exercise)}[\"']", cell.source, re.M):
        yield f'the cell does not call check("{exercise}", ...); call it'


def _markers(cell):
    """Faults of the solution markers in a code cell."""
    opened = None
    for line, text in enumerate(cell.source.splitlines(), cell.line + 1):
        comment = re.match(r"\s*#+\s*(.*?)\s*$", text)
        words = re.search("(BEGIN|END) SOLUTION", text.upper())
        near = comment and difflib.get_close_matches(comment[1].upper(), (BEGIN[4:], END[4:]), 1, 0.85)
        if not words and not near:
            continue
        wanted = "### " + (words[0] if words else near[0])
        if text.strip() != wanted:
            yield line, f"the marker is misspelt; write exactly `{wanted}` on a line of its own"
        elif "answer" not in cell.options:
            yield line, f'`{wanted}` stands outside an answer cell; mark the cell with answer="..."'
        elif wanted == BEGIN and opened:
            yield line, f"the solution that begins in line {opened} has not ended; put `{END}` before this"
        elif wanted == END and not opened:
            yield line, f"no solution is open here; put `{BEGIN}` before it"
        opened = line if wanted == BEGIN else None
    if opened:
        yield opened, f"the solution is never closed; end it with `{END}`"


def _solution(cell):
    """Faults of what stands between the markers."""
    blocks = [block[2] for block in BLOCK.finditer(cell.source)]
    if not blocks:
        yield cell.line, f"the answer cell holds no solution; put it between `{BEGIN}` and `{END}`"
    try:
        ast.parse(stub(cell.source, cell.options["answer"]))
    except SyntaxError:
        yield cell.line, "without its solution the cell is no Python; indent the markers as the solution, and look at the rest"
    for block in blocks:
        lines = [text.strip() for text in block.splitlines()]
        if all(text in ("", "pass", "...") or text.startswith(("#", "raise NotImpl")) for text in lines):
            yield cell.line, "the solution does no more than its stub; write the solution"


def _leaks(source):
    """Solution lines that a learner could read somewhere in the exercise notebook."""
    visible = [(cell, stub(cell.source, cell.options["answer"]) if "answer" in cell.options else cell.source)
               for cell in source.cells]
    for cell in (cell for cell in source.cells if "answer" in cell.options):
        for block in BLOCK.finditer(cell.source):
            first = cell.line + 1 + cell.source[:block.start(2)].count("\n")
            for line, text in enumerate((text.strip() for text in block[2].splitlines()), first):
                if len(text) < 14 or text.startswith(("#", "import", "from")):
                    continue
                place = next((other.line for other, shown in visible if text in shown), None)
                if place:
                    yield line, f"this solution line can be read in the cell of line {place}; rewrite one"
