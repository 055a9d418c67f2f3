"""The corpus of submissions: accidents, cheats and bombs, each with the verdict that it must get.

A file of tests/submissions/ is one row. Its header says what it is: `wants: 11.2 died` (the others pass), `hint:` and `note:`
what the marks must say, `never:` what must stand nowhere, `problem:` the sentence on a file that cannot be judged. The rest is the
answer of 11.2 in the tests' small course, or with `exercise:` of a real set, or with `kind: file` code that makes the file.
All rows are marked in one run, between two honest files.
"""

import hashlib
import json
import os
import socket
import subprocess
import zipfile
from pathlib import Path

import minicourse
import nbformat
import pytest

import mmcourse
from mmcourse import checks
from mmcourse.grading import judge, report, run, sandbox

ROWS = sorted(Path(__file__).with_name("submissions").glob("*.txt"))
REAL = "11_attention"
SLEEP = "86421.5"
needs_box = pytest.mark.skipif(sandbox.bubblewrap() is None, reason="bubblewrap is not there, or not allowed here")


def header(path):
    """The header of a row, {key: text}, and its body."""
    lines = path.read_text("utf-8").splitlines()
    head = [line[2:] for line in lines[:lines.index("")]]
    return dict(line.split(": ", 1) for line in head), "\n".join(lines[lines.index("") + 1:])


def make(row, folder, names):
    """Write the submission of a row into a folder of its own. Returns its path."""
    head, body = header(row)
    path = folder / row.stem / head.get("name", "mine.ipynb")
    path.parent.mkdir()
    for name, value in names.items():
        body = body.replace("{" + name + "}", str(value))
    if head.get("kind") == "file":
        notebook = minicourse.solved(11)

        def write(encoding="utf-8"):
            path.write_text(json.dumps(notebook), encoding)
        exec(body, {"path": path, "notebook": notebook, "write": write, "json": json, "os": os, "zipfile": zipfile,
                    "exercises": minicourse.exercises, "witness": names["witness"]})
    elif "set" in head:
        notebook = nbformat.read(minicourse.CHECKOUT / "exercises" / f"{REAL}.ipynb", 4)
        next(cell for cell in notebook.cells if cell.id == f"answer-{head['exercise'].replace('.', '-')}").source = body
        nbformat.write(notebook, path)
    else:
        minicourse.write(minicourse.solved(11, {"11.2": body}), path)
    return path


FIND = checks.find


def hashes(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """Everything marked once: {row's name: result}, and what the surroundings looked like before and after."""
    course, folder = tmp_path_factory.mktemp("course"), tmp_path_factory.mktemp("handed_in")
    secret = tmp_path_factory.mktemp("teacher") / "gradebook.txt"
    secret.write_text("the teacher's")
    minicourse.make(course)
    patch = pytest.MonkeyPatch()
    patch.setattr(mmcourse, "root", lambda: course)
    patch.setattr(checks, "find", minicourse.find)
    patch.setattr(judge, "EXERCISE_SECONDS", 6)
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.1)
    witness = minicourse.write(minicourse.solved(11), folder / "a_first" / "mine.ipynb")
    names = {"secret": secret, "canary": secret.with_name("touched"), "folder": folder, "sleep": SLEEP,
             "port": server.getsockname()[1], "witness": witness, "course": minicourse.CHECKOUT}
    small = [row for row in ROWS if "set" not in header(row)[0]]
    paths = {row.stem: make(row, folder, names) for row in small}
    paths |= {"first": witness, "last": minicourse.write(minicourse.solved(11), folder / "z_last" / "mine.ipynb")}
    before = hashes(course), hashes(minicourse.CHECKOUT / "mmcourse" / "grading"), os.listdir(secret.parent)
    results = {}
    store = run.Store(tmp_path_factory.mktemp("report"))
    run.mark_all(dict.fromkeys(paths.values(), "ana"), store, sandbox.bubblewrap(), 2, lambda path, result: results.update({str(path): result}))
    patch.setattr(mmcourse, "root", lambda: minicourse.CHECKOUT)
    patch.setattr(checks, "find", FIND)
    patch.setattr(judge, "EXERCISE_SECONDS", 60)
    real = {row.stem: folder / row.stem / "mine.ipynb" for row in ROWS if row not in small}
    for row in ROWS:
        if row not in small:
            make(row, folder, names)
    run.mark_all(dict.fromkeys(real.values(), "ana"), store, sandbox.bubblewrap(), 2, lambda path, result: results.update({str(path): result}))
    patch.undo()
    named = {name: results[str(path)] for name, path in (paths | real).items()}
    after = hashes(course), hashes(minicourse.CHECKOUT / "mmcourse" / "grading"), os.listdir(secret.parent)
    try:
        server.accept()
        reached = True
    except TimeoutError:
        reached = False
    report.save(store.folder, list(results.values()))
    yield named, before == after, reached, store.folder
    server.close()


@needs_box
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.stem)
def test_row(row, marked):
    head, _ = header(row)
    result = marked[0][row.stem]
    if "problem" in head:
        assert head["problem"] in result.get("problem", "no problem") and "marks" not in result
        return
    assert "problem" not in result, result
    verdicts = {mark["exercise"]: mark["verdict"] for mark in result["marks"]}
    wants = dict([head["wants"].split(" ", 1)]) if head["wants"] != "all pass" else {}
    rest = "not done" if "set" in head else "pass"
    for exercise, verdict in verdicts.items():
        assert verdict in wants.get(exercise, rest).split(" or "), result["marks"]
    assert all(mark["points"] == (mark["of"] if mark["verdict"] == "pass" else 0) for mark in result["marks"])
    told = json.dumps(result, ensure_ascii=False)
    for key in ("hint", "note"):
        assert head.get(key, "") in told
    assert "Traceback" not in told


@needs_box
def test_honest_files_between_them_keep_their_marks(marked):
    for name in ("first", "last"):
        assert [mark["verdict"] for mark in marked[0][name]["marks"]] == ["pass"] * 3


@needs_box
def test_the_course_and_the_teachers_files_are_unchanged_and_nothing_runs_on(marked):
    _, same, reached, _ = marked
    assert same and not reached
    listed = subprocess.check_output(["ps", "-eo", "args="], text=True)
    assert f"sleep {SLEEP}" not in listed.splitlines() and "child.main()" not in listed


@needs_box
def test_no_page_carries_what_a_student_wrote_as_code(marked):
    folder = marked[3]
    page = (folder / "report.html").read_text("utf-8")
    assert "<script" not in page and "where the class stumbles" in page.lower()
    assert "\n=HYPER" not in (folder / "marks.csv").read_text("utf-8")


def test_the_corpus_is_large_enough():
    kinds = [row.stem.split("_")[0] for row in ROWS]
    assert len(ROWS) >= 70 and all(kinds.count(kind) >= 5 for kind in ("accident", "tensor", "cheat", "bomb"))
