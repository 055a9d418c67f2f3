"""Turn a checked source into a notebook that has not run yet: cells, stable ids, metadata."""

import hashlib
import json
from collections import Counter
from pathlib import Path

import jinja2
from nbformat import v4

from mmcourse import UsageError
from mmcourse.authoring import exercises, prose

FOLDERS = {"lesson": "notebooks", "exercise": "exercises", "solution": "solutions"}
FACTS = ("title", "question", "minutes", "objectives")      # of the header, kept for slides
BUILT = 2     # cells in front of the source's own: title and set-up
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python",
                      "pygments_lexer": "ipython3", "codemirror_mode": {"name": "ipython", "version": 3}},
}
# What nbgrader (schema version 3) does with a cell; points stand in the marker of a check.
GRADING = {
    "task": {"grade": False, "solution": False, "locked": True, "task": False},
    "answer": {"grade": False, "solution": True, "locked": False, "task": False},
    "check": {"grade": True, "solution": False, "locked": True, "task": False},
}
TEMPLATES = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
                               trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)


def notebook(source, kind, address, lessons):
    """The notebook of `kind` ("lesson", "exercise" or "solution") that `source` describes, without outputs.

    `address` is the repository's ("https://github.com/owner/name") or None while the course has none;
    `lessons` are the folders by number, for links to prerequisites. A solution has the title of its exercises
    and no badge: nbgrader makes from it what a class gets. Raises UsageError if the title cell gets too long.
    """
    cells = [_title(source, kind, address, lessons), _setup(address)]
    seen = Counter()
    for cell in source.cells:
        template = "template" in cell.options
        cells.append(_words(source, cell) if template else _cell(cell, kind, source.name, seen))
    for built in (cell for cell in cells if cell.id in ("title", "words")):
        for what in prose.too_long(built.source):
            raise UsageError(f"{source.shown}:1: the cell built from the header is too long: {what}")
    if kind == "lesson":
        for cell in cells:
            cell.metadata.setdefault("slideshow", {"slide_type": "skip"})
    own = {"lesson": source.number, "kind": kind, "source_hash": _fingerprint(cells[BUILT:])}
    own |= {key: source.header[key] for key in FACTS if key in source.header}
    result = v4.new_notebook(cells=cells, metadata={**METADATA, "title": _name(source), "mmcourse": own})
    result.nbformat_minor = 5
    return result


def _name(source):
    name = f"{source.number:02d} {source.header['title']}"
    return f"{name}: exercises" if source.kind == "exercises" else name


def _title(source, kind, address, lessons):
    """Badge, title, question, time, prerequisites, device and objectives, from the header."""
    header, prefix = source.header, "" if kind == "lesson" else "../notebooks/"
    names = [lessons[number].name for number in header["prerequisites"]]
    links = [f"[{name.replace('_', ' ')}]({prefix}{name}.ipynb)" for name in names]
    facts = [f"{header['minutes']} minutes"]
    if kind == "lesson":
        facts.append(header["level"])
    else:
        facts.append(f"{sum(cell.options.get('points', 0) for cell in source.cells)} points")
    if links:
        facts.append("after " + ", ".join(links))
    text = TEMPLATES.get_template("title.md.j2").render(
        title=_name(source), facts=facts, path=f"{FOLDERS[kind]}/{source.name}.ipynb",
        repository=address.removeprefix("https://github.com/") if address and kind != "solution" else None,
        header={"question": None, "device": None, "objectives": None} | header)
    return v4.new_markdown_cell(text.strip(), id="title")


def _setup(address):
    text = TEMPLATES.get_template("setup.py.j2").render(address=address)
    return v4.new_code_cell(text.strip(), id="setup", metadata=_hidden(["hide-input", "nbval-ignore-output"]))


def _hidden(tags):
    """Metadata for tags; "hide-input" also folds the code away in JupyterLab."""
    return {"tags": tags, "jupyter": {"source_hidden": True}} if "hide-input" in tags else {"tags": tags}


def _words(source, cell):
    text = TEMPLATES.get_template("words.md.j2").render(words=source.header["words"])
    metadata = {key: cell.options[key] for key in ("slideshow", "tags") if key in cell.options}
    return v4.new_markdown_cell(text.strip(), id="words", metadata=metadata)


def _cell(cell, kind, name, seen):
    """A cell of the source; what belongs to an exercise gets nbgrader's metadata and cannot be deleted."""
    text = cell.source
    metadata = _hidden(cell.options["tags"]) if "tags" in cell.options else {}
    if "slideshow" in cell.options:
        metadata["slideshow"] = cell.options["slideshow"]
        if cell.options["slideshow"].get("slide_type") == "notes":        # folded away for those who learn alone
            text = f"<details><summary>For teachers</summary>\n\n{text}\n\n</details>"
    role = next(iter(GRADING.keys() & cell.options.keys()), None)
    own_id = _identify(cell, role, name, seen)
    if role:
        metadata["nbgrader"] = {"schema_version": 3, "grade_id": own_id, **GRADING[role]}
        if role == "check":
            metadata["nbgrader"]["points"] = cell.options["points"]
        if kind == "exercise":
            text = exercises.stub(text, cell.options[role])
            metadata |= {"deletable": False} if role == "answer" else {"deletable": False, "editable": False}
    make = v4.new_code_cell if cell.kind == "code" else v4.new_markdown_cell
    return make(text, id=own_id, metadata=metadata)


def _identify(cell, role, name, seen):
    """A stable id: an exercise's own, or a hash of lesson, cell type, text and number among equal cells."""
    if role:
        key = exercises.identifier(role, cell.options[role])
        seen[key] += 1
        return key if seen[key] == 1 else f"{key}-{seen[key]}"      # an exercise may have several task cells
    key = json.dumps([name, cell.kind, cell.source])
    seen[key] += 1
    return hashlib.sha256(f"{key}{seen[key]}".encode()).hexdigest()[:12]


def _fingerprint(cells):
    """sha256 of the cells as built: it changes exactly when a source, an include or the builder changes them.

    Title and set-up stay out: with another address or another estimate of its minutes, a course is the same.
    """
    built = [[cell.id, cell.cell_type, cell.source, cell.metadata] for cell in cells]
    return hashlib.sha256(json.dumps(built, sort_keys=True).encode()).hexdigest()
