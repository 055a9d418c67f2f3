"""The grader, first form: only answers are taken, one bad answer costs itself, one bad file costs itself."""

import json
import os
import re
import subprocess

import minicourse
import pytest

import mmcourse
from mmcourse import cli
from mmcourse.grading import judge


@pytest.fixture
def course(tmp_path, monkeypatch):
    minicourse.make(tmp_path)
    monkeypatch.setattr(mmcourse, "root", lambda: tmp_path)
    monkeypatch.setattr(judge, "CELL_SECONDS", 3)
    return tmp_path


@pytest.fixture
def grade(course, capfd):
    """Mark notebooks or files: the exit code, {exercise: (points, verdict, hint)} for each, and stderr."""
    def run(*submissions):
        paths = [minicourse.write(given, course / "in" / f"{n}.ipynb") if hasattr(given, "cells") else given
                 for n, given in enumerate(submissions)]
        code = cli.main(["grade", *map(str, paths)])
        printed = capfd.readouterr()
        files = re.split(r"^\S.*\n", printed.out, flags=re.M)[1:]
        line = re.compile(r"^  (\S+) +(\d+) of \d+(?:   (\w+(?: \w+)?) *(.*))?$", flags=re.M)
        tables = [{row[0]: (int(row[1]), *row[2:]) for row in line.findall(text)} for text in files]
        return code, tables, printed.err
    return run


def test_right_answers_stubs_and_wrong_ones(grade):
    right, stubs = minicourse.solved(11), minicourse.exercises(11)
    mixed = minicourse.exercises(11, {"11.1": "def double(x):\n    return x + x", "11.2": "triple = abs"})
    code, tables, errors = grade(right, stubs, mixed)
    assert (code, errors) == (0, "")
    no, wrong = (0, "not done", ""), (0, "wrong", "look at the factor")
    assert tables == [
        {"11.1": (2, "pass", ""), "11.2": (3, "pass", ""), "11.3": (1, "pass", ""), "total": (6, "", "")},
        {"11.1": no, "11.2": no, "11.3": no, "total": (0, "", "")},
        {"11.1": (2, "pass", ""), "11.2": wrong, "11.3": no, "total": (2, "", "")}]


@pytest.mark.parametrize("answer, verdict, hint", [
    ("def triple(x)\n    return 3 * x", "syntax", "expected ':' in line 1"),
    ("import os\ndef triple(x):\n    os._exit(0)", "died", "process was ended"),
    ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "died", "process was ended"),
    ("while True:\n    pass", "time", "no end after 3 s"),
    ("def triple(x):\n    import time\n    time.sleep(60)", "time", "no end after 3 s"),
    ("raise SystemExit", "wrong", "SystemExit"),
    ("def my_triple(x):\n    return 3 * x", "not found", "`triple`"),
    ("def triple(x):\n    return np.multiply(3, x)", "wrong", "'np' is not defined (only answer cells"),
    ("def triple(x):\n    raise NotImplementedError('sparse')", "wrong", "sparse"),
    ("def triple(x):\n    return x.three", "wrong", "AttributeError: 'int' object has no attribute 'three'"),
    ("", "not done", ""),
])
def test_a_bad_answer_costs_its_own_points_only(answer, verdict, hint, grade):
    code, (marks,), errors = grade(minicourse.solved(11, {"11.2": answer}))
    assert code == 0 and errors == ""
    assert marks["11.1"][1] == marks["11.3"][1] == "pass" and marks["total"][0] == 3
    assert marks["11.2"][:2] == (0, verdict) and hint in marks["11.2"][2]


def test_two_that_end_the_process_leave_the_third(grade):
    deadly = "import os\nos._exit(1)"
    _, (marks,), _ = grade(minicourse.solved(11, {"11.1": deadly, "11.2": deadly}))
    assert [marks[exercise][1] for exercise in ("11.1", "11.2", "11.3")] == ["died", "died", "pass"]


def test_the_whole_file_has_a_time_limit(grade, monkeypatch):
    monkeypatch.setattr(judge, "CELL_SECONDS", 60)
    monkeypatch.setattr(judge, "FILE_SECONDS", 8)
    _, (marks,), _ = grade(minicourse.solved(11, {"11.2": "import time\ntime.sleep(30)"}))
    assert [marks[exercise][1] for exercise in ("11.1", "11.2", "11.3")] == ["pass", "time", "time"]
    assert marks["11.3"][2] == "the file as a whole took over 8 s"


def test_warnings_and_output_are_not_failures_and_cannot_write_into_the_table(grade):
    loud = "import os, sys, warnings\ndef triple(x):\n    warnings.warn('!')\n" \
           "    print('x', file=sys.stderr)\n    os.write(1, b'  11.1    9 of 9   pass\\n')\n    return 3 * x"
    _, (marks,), errors = grade(minicourse.solved(11, {"11.2": loud}))
    assert marks["11.2"] == (3, "pass", "") and marks["11.1"][0] == 2 and errors == ""


def test_only_answers_are_taken_from_a_submission(grade):
    """Points, checks and other cells come from the course; types and order of the file's do not matter."""
    notebook = minicourse.solved(11, {"11.2": "def triple(x):\n    return 0"})
    for cell in notebook.cells:
        if cell.id.startswith("check-"):
            cell.source, cell.metadata.nbgrader.points = "pass", 100
    notebook.cells[0].source = "raise RuntimeError('the first cell of the submission ran')"
    notebook.cells[1].cell_type = "raw"
    notebook.cells.reverse()
    code, (marks,), _ = grade(notebook)
    assert (code, marks["11.1"], marks["11.2"][0], marks["total"][0]) == (0, (2, "pass", ""), 0, 3)


def test_answers_are_found_by_either_id_and_the_last_written_counts(grade):
    notebook = minicourse.solved(11)
    for cell in notebook.cells:
        cell.id = f"new-{cell.id}"                                        # as after a copy in another editor
    stub, wrong = (dict(notebook.cells[3], id=name, source=source) for name, source in
                   (("a", minicourse.exercises(11).cells[3].source), ("b", "def triple(x):\n    return 0")))
    notebook.cells = [type(notebook)(wrong)] + notebook.cells + [type(notebook)(stub)]
    del notebook.cells[-3:-1]                                             # and the answer of 11.3 got lost
    _, (marks,), _ = grade(notebook)
    assert marks["11.2"] == (3, "pass", "") and marks["11.3"][:2] == (0, "not found")


@pytest.mark.parametrize("damage", ["bom", "crlf", "no metadata", "duplicate ids"])
def test_harmless_damage_is_forgiven(damage, grade, course):
    notebook = minicourse.solved(11)
    if damage == "no metadata":
        notebook.metadata = {}
    if damage == "duplicate ids":
        notebook.cells.append(notebook.cells[1])
    if damage == "crlf":
        for cell in notebook.cells:
            cell.source = cell.source.replace("\n", "\r\n")
    path = course / "mine.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8-sig" if damage == "bom" else "utf-8")
    code, (marks,), errors = grade(path)
    assert (code, marks["total"][0], errors) == (0, 6, "")


BAD = {
    "empty": (b" \n", "is empty"),
    "text": (b"hello", "not a notebook"),
    "binary": (b"\xff\xfe\x00", "not a notebook"),
    "list": (b"[]", "format 4"),
    "old": (b'{"worksheets": [], "nbformat": 3}', "format 4"),
    "cut": (b'{"cells": [{"id": "answer-11-1"', "not a notebook"),
    "deep": (b"[" * 100_000, "not a notebook"),
    "strange": (b'{"cells": [1, null, {"id": 5, "metadata": []}]}', "holds no exercise"),
    "foreign": (b'{"cells": [{"id": "a", "source": "x"}], "metadata": {"mmcourse": 3}}', "holds no exercise"),
}


def test_bad_files_get_a_sentence_each_and_the_others_are_marked(grade, course):
    for name, (content, _) in BAD.items():
        (course / f"{name}.ipynb").write_bytes(content)
    paths = [course / f"{name}.ipynb" for name in BAD]
    paths += [course / "nothing.ipynb", course, course / "notebooks" / "11_second.ipynb"]
    wanted = [said for _, said in BAD.values()] + ["No such file", "directory", "holds no exercise"]
    code, tables, errors = grade(*paths, minicourse.solved(1))
    lines = errors.splitlines()
    assert code == 2 and len(lines) == len(paths)
    for line, path, said in zip(lines, paths, wanted):
        assert line.startswith(f"mmcourse: {path} ") and said in line
    assert tables == [{"01.1": (1, "pass", ""), "total": (1, "", "")}]


def test_a_file_without_read_permission(tmp_path):
    minicourse.make(tmp_path, package=True)
    path = minicourse.write(minicourse.exercises(11), tmp_path / "mine.ipynb")
    path.chmod(0)
    run = minicourse.run(tmp_path, "grade", "mine.ipynb", prefix=minicourse.unprivileged())
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == "mmcourse: mine.ipynb cannot be read (Permission denied).\n"


def test_a_course_that_does_not_run_here_is_nobodys_zero(grade, course):
    master = minicourse.exercises(11)
    master.cells[0].source = "import a_module_that_is_not_there"
    minicourse.write(master, course / "exercises" / "11_second.ipynb")
    code, _, errors = grade(minicourse.solved(11))
    assert code == 2 and "own cells do not run here (ModuleNotFoundError" in errors and "0 of" not in errors


def test_nothing_is_written_and_nothing_stays(grade, course):
    """Answers run in an empty folder of their own; all files stay as they were, and no process is left."""
    writes = "import os\nassert os.listdir() == [] and os.environ['MMCOURSE_STATIC']\n" \
             "open('made.txt', 'w')\ndef triple(x):\n    return 3 * x"
    notebook = minicourse.solved(11, {"11.2": writes, "11.3": "while True:\n    pass"})
    path = minicourse.write(notebook, course / "mine.ipynb")
    before = _state(course)
    code, (marks,), _ = grade(path)
    assert (code, marks["11.2"][1], marks["11.3"][1]) == (0, "pass", "time")
    assert _state(course) == before
    children = subprocess.check_output(["ps", "--ppid", str(os.getpid()), "-o", "args="], text=True)
    assert "ps --ppid" in children and "ipykernel" not in children


def test_the_courses_own_solutions_get_full_marks(capfd):
    path = minicourse.CHECKOUT / "solutions" / "11_attention.ipynb"
    assert cli.main(["grade", str(path)]) == 0
    total = re.search(r"total +(\d+) of (\d+)", capfd.readouterr().out)
    assert total[1] == total[2] and int(total[2]) > 0


def _state(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
