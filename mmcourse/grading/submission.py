"""Reading what somebody handed in. Nothing of it is trusted but the text of its answer cells."""

import errno
import json
import os
import re
import stat
from pathlib import Path

import nbformat

import mmcourse
from mmcourse import UsageError, progress

ANSWER = re.compile(r"answer-(\d\d)-(\w+)")
LARGEST = 100 * 2 ** 20           # bytes of a file: one with 50 MB of saved pictures is still read


def read(path):
    """The exercise set of a submitted notebook, its answers, and what it was built from.

    Returns the set's stem, such as "11_attention", and {"11.2": [source, ...]} in the order of the file.
    Raises UsageError when the file is no notebook or holds no exercise of this course.
    """
    path = Path(path)
    notebook = _parse(path)
    cells = [cell for cell in notebook["cells"] if isinstance(cell, dict)]
    answers = {}
    for cell in cells:
        if number := _number(cell):
            answers.setdefault(number, []).append(_source(cell))
    about = _at(notebook, "metadata", "mmcourse")
    lesson = about.get("lesson") if about else None
    if not isinstance(lesson, (int, str)):
        lesson = next((number.split(".")[0] for number in answers), path.name[:2])
    stem = next((stem for stem in progress.catalogue() if str(lesson).zfill(2) == stem[:2]), None)
    if stem is None or not answers and about.get("kind") != "exercise":
        raise UsageError(f"{path} holds no exercise of this course: give a notebook from my_work/.")
    return stem, answers


def version(path):
    """The hash of the exercises that a notebook began as, None when it does not say. For a note in the report only."""
    about = _at(_parse(Path(path)), "metadata", "mmcourse")
    return about.get("source_hash") if about.get("kind") == "exercise" else None


def master(stem):
    """The course's own copy of an exercise set, an nbformat notebook."""
    return nbformat.read(mmcourse.root() / "exercises" / f"{stem}.ipynb", as_version=4)


def content(path):
    """The bytes of a submission. Raises UsageError for what is no ordinary file: links, pipes, folders, huge ones."""
    try:
        with open(path, "rb", opener=_no_links) as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise UsageError(f"{path} is no file but a folder or a device: hand in the notebook itself.")
            if about.st_size > LARGEST:
                raise UsageError(f"{path} is larger than {LARGEST // 2 ** 20} MB: clear its outputs and hand it in again.")
            return file.read(LARGEST)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UsageError(f"{path} is a symbolic link: hand in the notebook itself.") from None
        raise UsageError(f"{path} cannot be read ({error.strerror}).") from None
    except ValueError:
        raise UsageError(f"{str(path)!r} cannot be the name of a file.") from None


def shown(text):
    """Text for a terminal or a page: what is no plain character (control codes, half characters, line ends) is spelled out."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _no_links(path, flags):
    """Open without following a link and without waiting for a pipe's other end."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _parse(path):
    raw = content(path)
    if not raw.strip():
        raise UsageError(f"{path} is empty: save the notebook and hand it in again.")
    try:
        notebook = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise UsageError(f"{path} is not a notebook: it is not readable as JSON.") from None
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise UsageError(f"{path} is not a notebook of format 4: open it in JupyterLab and save it again.")
    return notebook


def _number(cell):
    """"11.2" for an answer cell of 11.2, None for any other cell. A copied cell keeps only nbgrader's id."""
    for name in (cell.get("id"), _at(cell, "metadata", "nbgrader").get("grade_id")):
        if isinstance(name, str) and (match := ANSWER.fullmatch(name)):
            return ".".join(match.groups())
    return None


def _source(cell):
    source = cell.get("source", "")
    text = "".join(map(str, source)) if isinstance(source, list) else str(source)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.encode("utf-8", "replace").decode("utf-8")             # half a character is none


def _at(tree, *names):
    """The dict at a path of names, empty when something else is there."""
    for name in names:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}
