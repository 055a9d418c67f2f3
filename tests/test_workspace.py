"""The desk: my_work/ is the learner's, JupyterLab opens the right lesson, progress stays, doctor helps."""

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import minicourse
import pytest

import mmcourse
from mmcourse import UsageError, cli, progress, workspace


@pytest.fixture
def course(tmp_path, monkeypatch):
    minicourse.make(tmp_path)
    monkeypatch.setattr(mmcourse, "root", lambda: tmp_path)
    monkeypatch.delenv("MMCOURSE_STATIC", raising=False)
    monkeypatch.delenv("MMCOURSE_WORK", raising=False)
    return tmp_path


# ---- exercises come to my_work/ ----

def test_new_exercises_are_copied_and_what_is_there_is_never_touched(course, capsys):
    mine = course / "my_work" / "11_second.ipynb"
    mine.parent.mkdir()
    mine.write_bytes(b"my own work")
    os.utime(mine, (1, 1))
    workspace.copy_exercises()
    assert (mine.read_bytes(), mine.stat().st_mtime) == (b"my own work", 1)
    copy, original = (course / folder / "01_first.ipynb" for folder in ("my_work", "exercises"))
    assert copy.read_bytes() == original.read_bytes()
    broken = ("In my_work/, 11_second.ipynb cannot be read as a notebook of the course: to get it anew, rename yours and start "
              "again.\n")
    assert capsys.readouterr().out == f"New in my_work/: 01_first.ipynb\n{broken}"
    workspace.copy_exercises()
    assert capsys.readouterr().out == broken
    mine.write_bytes(original.with_name(mine.name).read_bytes())
    workspace.copy_exercises()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.symlink_to("nowhere")])
def test_anything_with_an_exercises_name_is_left_alone(make, course):
    (course / "my_work").mkdir()
    path = course / "my_work" / "11_second.ipynb"
    make(path)
    workspace.copy_exercises()
    assert path.is_symlink() or path.is_dir()
    assert not (course / "my_work" / "nowhere").exists()


def test_a_newer_version_is_announced_and_does_not_replace_mine(course, capsys):
    workspace.copy_exercises()
    mine = course / "my_work" / "11_second.ipynb"
    before = mine.read_bytes()
    newer = minicourse.exercises(11)
    newer.metadata.mmcourse.source_hash = "two"
    minicourse.write(newer, course / "exercises" / mine.name)
    capsys.readouterr()
    workspace.copy_exercises()
    assert mine.read_bytes() == before
    said = capsys.readouterr().out
    assert "newer version of 11_second.ipynb" in said and "rename" in said and said.count("\n") == 1
    mine.rename(mine.with_name("11_old.ipynb"))
    workspace.copy_exercises()
    assert json.loads(mine.read_text())["metadata"]["mmcourse"]["source_hash"] == "two"


def test_a_copy_that_fails_half_way_leaves_nothing(course):
    """As on a full disk: no half notebook stays behind that would never be replaced."""
    run = _with_small_files(course, "mmcourse.workspace.copy_exercises()")
    assert "cannot be written (File too large)" in run.stderr
    assert list((course / "my_work").iterdir()) == []


def test_a_read_only_folder_is_one_sentence(tmp_path):
    minicourse.make(tmp_path, package=True)
    (tmp_path / "my_work").mkdir()
    (tmp_path / "my_work").chmod(0o555)
    run = minicourse.run(tmp_path, "lab", "--no-browser", prefix=minicourse.unprivileged())
    assert (run.returncode, run.stdout) == (2, "")
    assert "my_work cannot be written (Permission denied): clone" in run.stderr
    assert run.stderr.count("\n") == 1
    assert list((tmp_path / "my_work").iterdir()) == []


# ---- JupyterLab ----

@pytest.mark.parametrize("passed, wanted, stem", [
    ([], None, "01_first"),
    (["01.1"], None, "11_second"),
    (["11.1"], None, "01_first"),
    (["01.1", "11.1", "11.2"], None, "11_second"),
    (["01.1", "11.1", "11.2", "11.3"], None, "01_first"),
    ([], 11, "11_second"),
])
def test_the_lesson_that_opens(passed, wanted, stem, course):
    for exercise in passed:
        progress.record(exercise, 1)
    assert workspace._lesson(wanted) == stem


def test_a_tour_without_exercises_opens_first_and_does_not_block(course):
    (course / "notebooks" / "00_tour.ipynb").write_text("{}")
    assert workspace._lesson(None) == "00_tour"
    progress.record("01.1", 1)
    assert workspace._lesson(None) == "11_second"


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("arguments, said", [
    (["lab", "12"], "There is no lesson 12: choose one of 01 first, 11 second."),
    (["lab", "--port", "TAKEN"], "Port TAKEN is in use: `mmcourse lab --port FREE` would work."),
])
def test_what_lab_cannot_do(arguments, said, course, taken, capsys):
    assert cli.main([argument.replace("TAKEN", str(taken)) for argument in arguments]) == 2
    err = capsys.readouterr().err
    pattern = re.escape(f"mmcourse: {said}\n").replace("TAKEN", str(taken)).replace("FREE", r"\d+")
    assert re.fullmatch(pattern, err)
    assert not (course / "my_work").exists()


def test_without_a_port_the_next_free_one_is_taken(taken, monkeypatch):
    monkeypatch.setattr(workspace, "_is_free", lambda port: port > 8889)
    assert workspace._port(None) == 8890


def test_lessons_that_are_not_built_and_packages_that_are_missing(course, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
    assert cli.main(["lab"]) == 2
    assert "torch is not installed for this Python: run " in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr(mmcourse, "root", lambda: course / "exercises")
    assert cli.main(["lab"]) == 2
    assert "There are no lessons in" in capsys.readouterr().err


def test_a_real_server(tmp_path):
    """It says its address, keeps strangers out, opens the lesson, is quiet, and ends when it is told to."""
    course = minicourse.make(tmp_path, package=True)
    with minicourse.lab(course, "11") as (server, said):
        said = [line for line in said if "[NbGrader" not in line]         # where it is installed: it misses a configuration
        assert said[0] == "New in my_work/: 01_first.ipynb, 11_second.ipynb\n" and len(said) == 5
        base, path, token = _address(said)
        assert path == "/lab/tree/notebooks/11_second.ipynb" and len(token) == 48
        assert urllib.request.urlopen(f"{base}/?token={token}", timeout=20).url.startswith(base + path)
        page = urllib.request.urlopen(f"{base}{path}?token={token}", timeout=20).read().decode()
        settings = json.loads(re.search(r'id="jupyter-config-data"[^>]*>(.*?)</script>', page, flags=re.S)[1])
        assert settings["treePath"] == "notebooks/11_second.ipynb" and settings["serverRoot"] == str(course)
        for plugin in ("apputils-extension:announcements", "extensionmanager-extension:plugin"):
            assert f"@jupyterlab/{plugin}" in settings["disabledExtensions"]
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"{base}/api/contents", timeout=20)
        server.send_signal(signal.SIGTERM)
        rest, _ = server.communicate(timeout=20)
        assert (server.returncode, rest.count("\n")) == (0, 1)                # "received signal 15, stopping"
        assert list((course / "home" / "runtime").glob("jpserver-*.json")) == []


def test_only_what_somebody_wrote_changes_the_courses_files(tmp_path):
    """A lesson that was only run stays as git has it; what somebody wrote, and my_work/, is saved."""
    course = minicourse.make(tmp_path, package=True)
    with minicourse.lab(course) as (_, said):
        base, _, token = _address(said)

        def saved(path, source=None):
            """Save a notebook with an output and, if given, another last cell: is the file another one?"""
            before = (course / path).read_bytes()
            notebook = json.loads(before)
            notebook["cells"][-1]["source"] = source or notebook["cells"][-1]["source"]
            output = {"output_type": "stream", "name": "stdout", "text": "hi"}
            notebook["cells"][-1] |= {"outputs": [output], "execution_count": 7}
            body = json.dumps({"type": "notebook", "format": "json", "content": notebook}).encode()
            request = urllib.request.Request(f"{base}/api/contents/{path}", body, method="PUT",
                                             headers={"Authorization": f"token {token}"})
            urllib.request.urlopen(request, timeout=20).close()
            return (course / path).read_bytes() != before

        assert not saved("notebooks/11_second.ipynb") and not saved("exercises/11_second.ipynb")
        assert saved("notebooks/11_second.ipynb", "print('mine')")
        assert "print('mine')" in (course / "notebooks" / "11_second.ipynb").read_text()
        assert saved("my_work/11_second.ipynb")


# ---- progress ----

def test_progress_keeps_the_first_time_and_the_most_points(course):
    progress.record("11.2", 2)
    first = progress.load()["11.2"]
    progress.record("11.2", 3)
    progress.record("11.2", 1)
    assert progress.load() == {"11.2": {"points": 3, "passed": first["passed"]}}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first["passed"])


def test_progress_is_not_kept_for_builder_and_grader_nor_outside_a_checkout(course, monkeypatch):
    monkeypatch.setenv("MMCOURSE_STATIC", "1")
    progress.record("11.2", 3)
    assert not (course / "my_work").exists()
    monkeypatch.delenv("MMCOURSE_STATIC")
    monkeypatch.setattr(mmcourse, "root", _outside)
    progress.record("11.2", 3)
    assert not (course / "my_work").exists()


def test_another_folder_can_be_named(course, monkeypatch):
    monkeypatch.setenv("MMCOURSE_WORK", str(course / "elsewhere"))
    progress.record("11.2", 3)
    workspace.copy_exercises()
    assert {path.name for path in (course / "elsewhere").iterdir()} >= {"progress.json", "11_second.ipynb"}
    assert not (course / "my_work").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b'{"11.2": 3}', b'{"11.2": {"points": "3"}}',
                                     b'{"11.2": {}}', b"\xff", b"[" * 100_000])
def test_a_broken_file_is_set_aside_and_said(content, course, capsys):
    path = course / "my_work" / "progress.json"
    path.parent.mkdir()
    path.with_name("progress.json.broken").write_text("an older one")
    path.write_bytes(content)
    assert progress.load() == {}
    assert "is now progress.json.broken+" in capsys.readouterr().err
    assert path.with_name("progress.json.broken+").read_bytes() == content
    path.write_bytes(content)
    progress.record("11.1", 2)
    assert set(progress.load()) == {"11.1"}
    assert path.with_name("progress.json.broken").read_text() == "an older one"
    assert path.with_name("progress.json.broken++").read_bytes() == content


def test_many_notebooks_at_once_lose_nothing(course):
    code = "import sys; from mmcourse import progress\n" \
           "for n in range(25): progress.record(f'{sys.argv[1]}.{n}', 1)"
    environment = os.environ | {"MMCOURSE_WORK": str(course / "my_work")}
    processes = [subprocess.Popen([sys.executable, "-c", code, str(n)], env=environment) for n in range(6)]
    seen = 0
    while any(process.poll() is None for process in processes):
        there = len(progress.load())                       # a reader never meets half a file
        assert there >= seen
        seen = there
    assert len(progress.load()) == 6 * 25
    assert not list((course / "my_work").glob("*.broken"))


def test_a_full_disk_and_a_locked_folder_cost_a_sentence_not_the_check(course):
    progress.record("11.1", 2)
    path = course / "my_work" / "progress.json"
    before = path.read_bytes()
    run = _with_small_files(course, "mmcourse.progress.record('11.2', 3); print('goes on')")
    assert run.stdout == "goes on\n" and "File too large" in run.stderr and run.stderr.count("\n") == 1
    assert path.read_bytes() == before
    assert {file.name for file in path.parent.iterdir()} == {"progress.json", ".progress.lock"}


def test_a_folder_that_is_a_file(course, capsys):
    (course / "my_work").write_text("not a folder")
    progress.record("11.1", 2)
    assert progress.load() == {}
    assert capsys.readouterr().err.count("\n") == 2


def test_the_table_of_progress(course, capsys):
    progress.record("01.1", 1)
    progress.record("11.2", 3)
    assert cli.main(["progress"]) == 0
    assert capsys.readouterr().out == """\
01 first
  01.1      1 of 1    passed
11 second
  11.1      0 of 2
  11.2      3 of 3    passed
  11.3      0 of 1
total       4 of 7
Next: 11.1 in my_work/11_second.ipynb. `mmcourse lab` opens its lesson.
"""
    progress.record("11.1", 2)
    progress.record("11.3", 1)
    assert cli.main(["progress"]) == 0
    assert "total       7 of 7\nNext: nothing is left" in capsys.readouterr().out


# ---- doctor ----

def test_doctor_finds_everything_here(course, capsys):
    start = time.monotonic()
    assert cli.main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert time.monotonic() - start < 10                  # alone 2 s, most of it torch's import
    assert all(line.startswith("[ok] ") for line in lines)
    for word in ("Python 3", "torch 2", "notebooks run in this Python", "disk", "memory",
                 "my_work can be written", "lessons: 01 first, 11 second", "torch computes on"):
        assert sum(word in line for line in lines) == 1, word


def test_doctor_says_what_to_mend(course, capsys, monkeypatch):
    project = (course / "pyproject.toml").read_text()
    project = project.replace('"numpy>=1.26"', '"numpy>=99"').replace('"tqdm>=4.66"', '"no-such-package>=1"')
    (course / "pyproject.toml").write_text(project)
    (course / "my_work").write_text("not a folder")
    for path in (course / "notebooks").iterdir():
        path.unlink()
    monkeypatch.setattr(workspace, "TORCH", "raise OSError('libtorch is gone')")
    spec = course / "kernels" / "python3"
    spec.mkdir(parents=True)
    kernel = {"argv": ["/usr/bin/false"], "display_name": "x", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(kernel))
    monkeypatch.setenv("JUPYTER_PATH", str(course))
    assert cli.main(["doctor"]) == 1
    fixes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[fix] ")]
    for said in ("numpy is ", "no-such-package is not installed: run", "another Python (/usr/bin/false): run",
                 "my_work cannot be written (Not a directory): clone", "There are no lessons",
                 "OSError: libtorch is gone"):
        assert sum(said in line for line in fixes) == 1, said
    assert len(fixes) == 6


def test_doctor_tells_of_changed_lessons(course, capsys):
    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x", *arguments], cwd=course, check=True,
                       capture_output=True)
    git("init")
    git("add", "notebooks")
    git("commit", "-m", "x")
    assert workspace._changed_lessons() == []
    (course / "notebooks" / "01_first.ipynb").write_text("{}")
    assert workspace._changed_lessons() == ["notebooks/01_first.ipynb"]


def _address(said):
    """http://localhost:8888, /lab/tree/..., and the token, of the address that `mmcourse lab` printed."""
    return re.search(r"(http://localhost:\d+)(/\S+)\?token=(\w+)", "".join(said)).groups()


def _outside():
    raise UsageError("not here")


def _with_small_files(course, code):
    """Run code for this course with files limited to ten bytes, the nearest thing to a full disk."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)); " \
            f"import mmcourse.workspace, pathlib; mmcourse.root = lambda: pathlib.Path({str(course)!r}); "
    own = {name: value for name, value in os.environ.items() if not name.startswith("MMCOURSE")}
    return subprocess.run([sys.executable, "-B", "-c", limit + code], env=own, capture_output=True, text=True)
