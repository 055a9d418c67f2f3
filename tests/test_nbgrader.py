"""nbgrader takes solutions/ and exercises/ as they are: full marks for the solutions, none for the stubs."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mmcourse

ROOT, NAME, NOTEBOOK = mmcourse.root(), "01", "01_modalities.ipynb"


def nbgrader(folder, *words):
    """Run `nbgrader ...` in a course's folder: what it said. Its home lies beside the folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MMCOURSE", "JUPYTER"))}
    home = {"HOME": str(folder.parent), "JUPYTER_PREFER_ENV_PATH": "1", "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}"}
    run = subprocess.run([sys.executable, "-m", "nbgrader", *words], cwd=folder, env=kept | home, timeout=600,
                         text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert run.returncode == 0, f"nbgrader {' '.join(words)}:\n{run.stdout}"
    return run.stdout


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A teacher's folder: the assignment's source, what students get, and two notebooks handed in."""
    folder = tmp_path_factory.mktemp("class") / "course"
    for source, target in (("docs/hub/nbgrader_config.py", "nbgrader_config.py"),
                           (f"solutions/{NOTEBOOK}", f"source/{NAME}/{NOTEBOOK}"),
                           (f"solutions/{NOTEBOOK}", f"submitted/ana/{NAME}/{NOTEBOOK}"),
                           (f"exercises/{NOTEBOOK}", f"submitted/bo/{NAME}/{NOTEBOOK}")):
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / source, folder / target)
    nbgrader(folder, "generate_assignment", NAME)
    return folder


def test_students_get_no_solutions(course):
    released = (course / "release" / NAME / NOTEBOOK).read_text(encoding="utf-8")
    assert released.count("# YOUR CODE HERE") == released.count('"id": "answer-') > 0
    assert "SOLUTION" not in released


def test_solutions_validate(course):
    assert "passes all the tests" in nbgrader(course, "validate", f"source/{NAME}/{NOTEBOOK}")


def test_autograde_and_feedback(course):
    nbgrader(course, "autograde", NAME)
    nbgrader(course, "generate_feedback", NAME)
    nbgrader(course, "export", "--to=grades.csv")
    rows = {row["student_id"]: row for row in csv.DictReader(open(course / "grades.csv", encoding="utf-8"))}
    full = float(rows["ana"]["max_score"])
    assert full > 0 and {name: float(row["score"]) for name, row in rows.items()} == {"ana": full, "bo": 0}
    for name in rows:
        page = (course / "feedback" / name / NAME / NOTEBOOK).with_suffix(".html").read_text(encoding="utf-8")
        assert f"Score: {rows[name]['score']}" in page
