"""A lesson's notebook as slides: one HTML file that opens with no network, reveal.js and mathematics inside.

Which cells show, and how, stands in the notebook: `slideshow: {slide_type, minutes}` as in Jupyter (slide, subslide, fragment, notes,
"-" goes on with the slide; everything else is left out) and the tag `hide-input`. The output of visible code comes one step after it.
"""

import base64
import os
import re
from pathlib import Path

from mmcourse import UsageError, root

HERE = Path(__file__).parent
ASSETS = HERE / "assets"
SHOWN = ["text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/latex", "text/plain"]
FACTS = {"lesson", "title", "question", "minutes", "objectives"}
WIDGET = "application/vnd.jupyter.widget-view+json"
HEADING = re.compile(r"\s*#{1,4}[ \t]+(.+?)[ \t]*(?:\n|$)")


def export(numbers, output=None):
    """Write the slides of lessons (a list of lesson numbers, or "all") into the folder output, by default slides/.

    Returns the paths of the HTML files. Raises UsageError for an unknown lesson, one that is not built, and a folder that cannot be written.
    """
    folder = Path(output) if output else root() / "slides"
    written = []
    for path in _notebooks(numbers):
        html = _html(_read(path))
        target = folder / f"{path.stem}.html"
        _write(target, html)
        print(f"{target}  ({len(html) / 1e6:.1f} MB)")
        written.append(target)
    return written


def _notebooks(numbers):
    """The built notebooks of these lessons, in order."""
    built = _numbered(root() / "notebooks", "*.ipynb")
    if numbers == "all":
        if not built:
            raise UsageError("No lesson is built yet: run `mmcourse build` first.")
        return list(built.values())
    sources = _numbered(root() / "lessons", "*/lesson.py")
    chosen = []
    for number in numbers:
        key = int(number) if str(number).isdigit() else number
        if key in sources and key not in built:
            raise UsageError(f"Lesson {key:02d} is not built yet: run `mmcourse build {key:02d}` first.")
        if key not in built:
            known = ", ".join(f"{one:02d}" for one in built) or "none"
            raise UsageError(f"There is no lesson {number}: the built lessons are {known}.")
        chosen.append(built[key])
    return chosen


def _numbered(folder, pattern):
    """Paths below the folder whose first part begins with two digits, by that number."""
    paths = sorted(folder.glob("[0-9][0-9]_" + pattern))
    return {int(path.relative_to(folder).parts[0][:2]): path for path in paths}


def _read(path):
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.reader.NotJSONError) as error:
        raise UsageError(f"{path} cannot be read as a notebook ({error}): run `mmcourse build` again.") from error
    notebook.metadata.pop("widgets", None)
    missing = FACTS - set(notebook.metadata.get("mmcourse", {}))
    if missing:
        raise UsageError(f"{path} does not say its {', '.join(sorted(missing))}: run `mmcourse build` again.")
    return notebook


def _slides(notebook):
    """The notebook's cells as slides, the title first: dicts of heading, cells, notes (Markdown) and seconds (0: not said)."""
    slides = [_slide("")]
    for cell in notebook.cells:
        show = cell.metadata.get("slideshow", {})
        kind = show.get("slide_type") or "skip"
        if kind == "skip":
            continue
        if kind == "notes":
            slides[-1]["notes"].append(cell.source)
            continue
        if kind in ("slide", "subslide") or len(slides) == 1:
            slides.append(_slide(slides[-1]["heading"]))
        slides[-1]["seconds"] += round(60 * show.get("minutes", 0))
        _add(slides[-1], cell, kind == "fragment")
    return slides[:1] + [slide for slide in slides[1:] if slide["cells"]]


def _slide(heading):
    return {"heading": heading, "cells": [], "notes": [], "seconds": 0, "steps": 0}


def _add(slide, cell, fragment):
    """Put a cell on a slide. A heading at its top becomes the slide's; each part gets the step at which it appears (0: at once)."""
    if cell.cell_type == "markdown" and not slide["cells"] and (heading := HEADING.match(cell.source)):
        slide["heading"] = heading[1]
        cell.source = cell.source[heading.end():]
    slide["steps"] += fragment
    cell.step = cell.output_step = slide["steps"] if fragment else 0
    if cell.cell_type == "code":
        cell.code = bool(cell.source.strip()) and "hide-input" not in cell.metadata.get("tags", [])
        cell.outputs = [output for output in cell.outputs if _shows(output)]
        if cell.code and cell.outputs:
            slide["steps"] += 1
            cell.output_step = slide["steps"]
    if cell.source.strip() or cell.get("outputs"):
        slide["cells"].append(cell)


def _shows(output):
    """Is there anything in this output for an audience? Not in warnings, nor in a widget that stored no picture of itself."""
    if output.output_type == "stream":
        return output.name == "stdout"
    data = output.get("data", {})
    return WIDGET not in data or any(kind.startswith("image/") for kind in data)


def _html(notebook):
    """The whole page as text."""
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    exporter = HTMLExporter(config=Config(NbConvertBase={"display_data_priority": SHOWN}), template_name="slides",
                            extra_template_basedirs=[str(HERE / "templates")], exclude_anchor_links=True)
    html, _ = exporter.from_notebook_node(
        notebook, resources={"lesson": notebook.metadata.mmcourse, "slides": _slides(notebook)})
    return re.sub(r'<(style|script) asset="([^"]+)"></\1>',
                  lambda tag: f"<{tag[1]}>{_asset(tag[2])}</{tag[1]}>", html)


def _asset(name):
    """A style sheet or script of assets/ that may stand inside a page: fonts as data, no `</script` in it."""
    path = ASSETS / name
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".css":
        return re.sub(r"url\((fonts/[^)]+)\)", lambda url: f"url(data:font/woff2;base64,{_base64(ASSETS / url[1])})", text)
    return re.sub(r"</(?=script)", r"<\\/", text, flags=re.IGNORECASE)


def _base64(path):
    return base64.b64encode(path.read_bytes()).decode()


def _write(path, text):
    """Replace a file in one step; a half-written one never stands there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}): free it or choose another folder with --output.") from error
