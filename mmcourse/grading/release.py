"""What students get: the course without solutions, without the sources of exercises, and without hidden parts of checks."""

import re
import shutil
import subprocess
from pathlib import Path

import mmcourse
from mmcourse import UsageError

WITHOUT = {"solutions", "tests", "my_work", "slides", "runs", ".ci", ".github", "build", "dist"}
COURSE = {"data", "docs", "exercises", "lessons", "mmcourse", "notebooks", "LICENSE", "Makefile", "README.md", "README.zh.md",
          "constraints.txt", "environment.yml", "pyproject.toml", ".gitattributes", ".gitignore"}
CACHES = {".venv", "__pycache__", ".git", ".ipynb_checkpoints", "mmcourse.egg-info"}
SOURCES = re.compile(r"lessons/[^/]+/exercises\.py|lessons/_[^/]+/.*")
HIDDEN = re.compile(r"^[ \t]*### BEGIN HIDDEN TESTS[ \t]*\n.*?^[ \t]*### END HIDDEN TESTS[ \t]*\n?", re.M | re.S)
MARKER = re.compile("(BEGIN|END) (HIDDEN TESTS|SOLUTION)")


def release(folder):
    """Copy the course as students get it into a new or empty folder. Returns the paths that were written, relative to it.

    Raises UsageError when the folder is not empty, lies in the course, or cannot be written, and for a marker of hidden
    tests that would be left.
    """
    folder, root = Path(folder).absolute(), mmcourse.root()
    if folder.is_relative_to(root) and not folder.is_relative_to(root / "my_work"):
        raise UsageError(f"{folder} lies in the course itself: choose a folder outside of {root}.")
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} is not empty: choose a new folder for the release.")
        written = []
        for name in _files(root):
            if name.split("/")[0] in WITHOUT or SOURCES.fullmatch(name):
                continue
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(root / name, target, name)
            written.append(name)
        return written
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror}): choose another folder.") from None


def _files(root):
    """The files of the course by name: those that git knows, and new ones where the course has its own.

    Whatever else lies there is the teacher's: marks with their secret seed, what was handed in, gradebooks.
    """
    tracked, new = _listed(root, "--cached"), _listed(root, "--others", "--exclude-standard")
    if not tracked:                                               # no git, or one that does not know the course
        tracked, new = [], [path.relative_to(root).as_posix() for path in root.rglob("*")]
    names = {*tracked, *(name for name in new if name.split("/")[0] in COURSE and not CACHES & set(name.split("/")))}
    return sorted(name for name in names if (root / name).is_file() and not (root / name).is_symlink())


def _listed(root, *options):
    """What `git ls-files` lists, None where there is no git."""
    try:
        told = subprocess.run(["git", "ls-files", "-z", *options], cwd=root, capture_output=True)
    except FileNotFoundError:
        return None
    return told.stdout.decode("utf-8", "replace").split("\0")[:-1] if told.returncode == 0 else None


def _copy(source, target, name):
    """Copy a file; of a set of checks its hidden parts stay behind."""
    if re.fullmatch(r"mmcourse/checks/set_\d\d\.py", name):
        text = HIDDEN.sub("", source.read_text("utf-8"))
        if found := MARKER.search(text):
            raise UsageError(f"{name} has the marker {found[0]} without its other half: write both, each on a line of its "
                             "own.")
        target.write_text(text, "utf-8")
    else:
        shutil.copy(source, target)
