"""Reading what somebody handed in. Nothing of it is trusted but the text of its answer cells."""

import json
import re
from pathlib import Path

import nbformat

import mmcourse
from mmcourse import UsageError, progress

ANSWER = re.compile(r"answer-(\d\d)-(\w+)")


def read(path):
    """The exercise set of a submitted notebook and its answers.

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
    if lesson is None:
        lesson = next((number.split(".")[0] for number in answers), path.name[:2])
    stem = next((stem for stem in progress.catalogue() if str(lesson).zfill(2) == stem[:2]), None)
    if stem is None or not answers and about.get("kind") != "exercise":
        raise UsageError(f"{path} holds no exercise of this course: give a notebook from my_work/.")
    return stem, answers


def master(stem):
    """The course's own copy of an exercise set, an nbformat notebook."""
    return nbformat.read(mmcourse.root() / "exercises" / f"{stem}.ipynb", as_version=4)


def _parse(path):
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}).") from None
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
    return text.replace("\r\n", "\n")


def _at(tree, *names):
    """The dict at a path of names, empty when something else is there."""
    for name in names:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}
