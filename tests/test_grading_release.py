"""What students get holds no solution, and what they passed is never lost."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap

import minicourse
import nbformat
import pytest

import mmcourse
from mmcourse import UsageError, cli, progress
from mmcourse.authoring.exercises import BLOCK
from mmcourse.grading import release


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release") / "course"
    return folder, release.release(folder)


def test_no_solution_is_in_the_release(bundle):
    folder, written = bundle
    assert {"README.md", "pyproject.toml", "exercises/11_attention.ipynb", "notebooks/11_attention.ipynb",
            "mmcourse/checks/set_11.py"} <= set(written)
    assert not [name for name in written if re.search(r"(^|/)(solutions|tests|\.git)/|exercises\.py$|\.ipynb_checkpoints", name)
                and not name.startswith("mmcourse/authoring/")]
    texts = {}
    for path in folder.rglob("*"):
        if path.suffix == ".ipynb":
            texts[path] = "\n".join(cell.source for cell in nbformat.read(path, 4).cells)
        elif path.suffix in (".py", ".md", ".json", ".txt", ".toml"):
            texts[path] = path.read_text("utf-8")
    blocks = 0
    for source in (minicourse.CHECKOUT / "lessons").glob("[0-9]*/exercises.py"):
        for block in BLOCK.finditer(source.read_text("utf-8")):
            solution = textwrap.dedent(block[2]).strip()
            blocks += 1
            for path, text in texts.items():
                assert solution not in text and block[2].rstrip() not in text, f"{path} holds a solution of {source}"
    assert blocks >= 20
    assert not [path for path, text in texts.items() if "BEGIN SOLUTION" in text and "authoring" not in path.parts
                and path.name not in ("release.py", "README.md", "classes.md")]


@pytest.mark.parametrize("git", [True, False])
def test_what_is_the_teachers_stays_behind(git, tmp_path, monkeypatch):
    """Marks, the secret seed and what was handed in may lie in the course's folder; new lessons go along."""
    course = minicourse.make(tmp_path / "course")
    for name in ("marks/run.json", "handed_in/ana.ipynb", "canvas.csv", "my_work/mine.ipynb", "docs/new.md"):
        (course / name).parent.mkdir(exist_ok=True)
        (course / name).write_text("{}")
    monkeypatch.setattr(mmcourse, "root", lambda: course)
    if git:
        subprocess.run(["git", "init", "--quiet"], cwd=course, check=True)
    else:
        monkeypatch.setattr(release, "_listed", lambda *_: None)
    written = {"pyproject.toml", "docs/new.md", *(f"{folder}/{stem}.ipynb" for folder in ("notebooks", "exercises")
                                                  for stem in minicourse.STEMS.values())}
    assert set(release.release(tmp_path / "out")) == written


def test_hidden_parts_of_checks_stay_behind(tmp_path):
    source = tmp_path / "set_99.py"
    source.write_text("def judge(answer):\n    a = 1\n    ### BEGIN HIDDEN TESTS\n    secret = 2\n    ### END HIDDEN TESTS\n    b = 3\n")
    release._copy(source, tmp_path / "out.py", "mmcourse/checks/set_99.py")
    assert (tmp_path / "out.py").read_text() == "def judge(answer):\n    a = 1\n    b = 3\n"
    source.write_text("### BEGIN HIDDEN TESTS\nsecret = 2\n")
    with pytest.raises(UsageError, match="without its other half"):
        release._copy(source, tmp_path / "out.py", "mmcourse/checks/set_99.py")


def test_a_place_that_is_taken_gets_a_sentence(tmp_path, capsys):
    (tmp_path / "there").write_text("")
    for place, said in ((tmp_path, "is not empty"), (mmcourse.root() / "inside", "lies in the course"), (tmp_path / "there", "is not empty")):
        assert cli.main(["release", str(place)]) == 2 and said in capsys.readouterr().err


def test_lab_works_on_the_release(bundle):
    """The server starts on the bundle alone, copies the exercises and has the lesson."""
    folder, _ = bundle
    with minicourse.lab(folder, "11") as (_, said):
        assert any("11 attention" in line for line in said)
    assert (folder / "my_work" / "11_attention.ipynb").read_bytes() == (folder / "exercises" / "11_attention.ipynb").read_bytes()


# ---- what is passed ----

@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.setenv("MMCOURSE_WORK", str(tmp_path / "work"))
    monkeypatch.delenv("MMCOURSE_STATIC", raising=False)
    return tmp_path / "work" / "progress.json"


def test_two_notebooks_and_a_kernel_that_dies_lose_nothing(work):
    """Three processes write at once, one of them is killed in the middle: the file stays whole and has what the others wrote."""
    code = "import sys\nfrom mmcourse import progress\nfor n in range(40):\n    progress.record(f'{sys.argv[1]}.{n}', n)\n"
    processes = [subprocess.Popen([sys.executable, "-c", code, name]) for name in ("11", "12", "13")]
    while not work.exists():
        assert processes[2].poll() is None or work.exists()
    processes[2].send_signal(signal.SIGKILL)
    assert [process.wait(60) for process in processes[:2]] == [0, 0]
    processes[2].wait()
    done = json.loads(work.read_text("utf-8"))
    assert {f"{name}.{n}" for name in ("11", "12") for n in range(40)} <= set(done)
    assert progress.load() == done


def test_a_full_disk_keeps_what_was_there(work, monkeypatch, capsys):
    progress.record("11.1", 2)
    before = work.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(os, "replace", full)
    progress.record("11.2", 3)
    assert work.read_bytes() == before and "not kept" in capsys.readouterr().err
    assert {path.name for path in work.parent.iterdir()} == {"progress.json", ".progress.lock"}


def test_the_overview_says_what_is_done_and_what_comes_next(work):
    assert "Next: exercise 01.1" in progress.overview().data
    progress.record("01.1", 2)
    page = progress.overview().data
    assert "✓ 01.1" in page and "○ 01.2" in page and "Next: exercise 01.2" in page and "<b>2 of" in page


def test_the_widget_reads_anew(work):
    box = progress.widget()
    progress.record("01.1", 2)
    box.children[1].click()
    assert box.children[1].description == "Look again"
