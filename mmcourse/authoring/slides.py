"""A lesson's notebook as slides: one HTML file that opens with no network, reveal.js and mathematics inside.

What shows, and how, stands in the notebook: `slideshow: {slide_type, minutes}` as in Jupyter (slide,
subslide, fragment, notes; "-" goes on with the slide; all else is left out) and the tag `hide-input`. The
output of visible code comes one step after it, and so does that of hidden code where the slide says "Predict".
How large things are and where they stand is decided in the browser, by assets/deck.js.
"""

import base64
import importlib.util
import re
from pathlib import Path

from mmcourse import UsageError, files, root

ASSETS = Path(__file__).parent / "assets"
TEMPLATES = Path(__file__).parent / "templates"
SHOWN = ["text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/latex", "text/plain"]
WIDGET = "application/vnd.jupyter.widget-view+json"
FACTS = {"lesson", "title", "question", "minutes", "objectives"}
FOLD = re.compile(r"<details><summary>For teachers</summary>\s*(.*?)\s*</details>", re.DOTALL)   # how notes are built
PREDICT = re.compile(r"\b(Predict|Guess)\b")
HEADING = re.compile(r"\s*#{1,4}[ \t]+(.+?)[ \t]*(?:\n|$)")


def export(numbers, output=None):
    """Write the slides of lessons (a list of numbers, or "all") into the folder `output`, by default slides/.

    Returns the paths of the HTML files. Raises UsageError for a lesson that is unknown, not built or without
    slides, and for a folder that cannot be written.
    """
    if importlib.util.find_spec("nbconvert") is None:
        raise UsageError("Slides need nbconvert: install it with `pip install -e '.[author]'`.")
    folder = Path(output) if output else root() / "slides"
    written = []
    for path in _notebooks(numbers):
        notebook = _read(path)
        slides = _slides(notebook)
        if len(slides) == 1:
            raise UsageError(f"{path} shows no cell on a slide: mark cells with slideshow= and build again.")
        html = _html(notebook, slides)
        target = folder / f"{path.stem}.html"
        _write(target, html)
        print(f"{target}  ({len(html) / 1e6:.1f} MB)")
        written.append(target)
    return written


def _notebooks(numbers):
    """The built notebooks of these lessons, in the order asked for."""
    built = _numbered(root() / "notebooks", "*.ipynb")
    if numbers == "all":
        if not built:
            raise UsageError("No lesson is built yet: run `mmcourse build` first.")
        return list(built.values())
    sources = _numbered(root() / "lessons", "*/lesson.py")
    for number in numbers:
        if number not in built and number in sources:
            raise UsageError(f"Lesson {number:02d} is not built: run `mmcourse build {number:02d}` first.")
        if number not in built:
            known = ", ".join(f"{one:02d}" for one in built) or "none"
            raise UsageError(f"There is no lesson {number:02d}; the built lessons are: {known}.")
    return [built[number] for number in numbers]


def _numbered(folder, pattern):
    """The paths below `folder` that match, by the two digits with which they begin."""
    paths = sorted(folder.glob("[0-9][0-9]_" + pattern))
    return {int(path.relative_to(folder).parts[0][:2]): path for path in paths}


def _read(path):
    """A built lesson. Raises UsageError when it is no notebook or lacks the facts of the title slide."""
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError, AttributeError, nbformat.ValidationError) as error:
        raise UsageError(f"{path} cannot be read as a notebook: run `mmcourse build` again.") from error
    notebook.metadata.pop("widgets", None)
    missing = FACTS - set(notebook.metadata.get("mmcourse") or {})
    if missing:
        raise UsageError(f"{path} does not say its {', '.join(sorted(missing))}: run `mmcourse build` again.")
    return notebook


def _slides(notebook):
    """The cells as slides, the title first.

    Each is a dict of heading, cells, notes (Markdown), seconds (0 for the title) and the number of its
    steps.
    """
    slides = [_slide("")]
    for cell in notebook.cells:
        show = cell.metadata.get("slideshow", {})
        kind = show.get("slide_type") or "skip"
        if kind == "skip":
            continue
        if kind == "notes":
            slides[-1]["notes"].append(FOLD.sub(r"\1", cell.source))
            continue
        if len(slides) == 1 or kind in ("slide", "subslide") and slides[-1]["cells"]:
            slides.append(_slide(slides[-1]["heading"]))
        slides[-1]["seconds"] += round(60 * show.get("minutes", 0))
        _add(slides[-1], cell, kind == "fragment")
    for slide in slides[1:]:
        slide["seconds"] = slide["seconds"] or _seconds(slide)
    return [slide for slide in slides if slide["cells"] or slide is slides[0]]


def _seconds(slide):
    """How long a talk stays on a slide that does not say it: 150 words a minute, 3 s a line of code, 15 s an output."""
    seconds = 10
    for cell in slide["cells"]:
        seconds += 0.4 * len(cell.source.split()) if cell.cell_type == "markdown" else 0
        seconds += 3 * len(cell.source.splitlines()) * cell.code + 15 * len(cell.outputs)
    return round(seconds / 10) * 10


def _slide(heading):
    return {"heading": heading, "cells": [], "notes": [], "seconds": 0, "steps": 0}


def _add(slide, cell, fragment):
    """Put a cell on a slide and note at which step its parts appear (0: at once).

    A heading at the slide's top becomes the slide's; a slide without one keeps that of the slide before it.
    """
    if cell.cell_type == "markdown" and not slide["cells"] and (heading := HEADING.match(cell.source)):
        slide["heading"] = heading[1]
        cell.source = cell.source[heading.end():]
    slide["steps"] += fragment
    cell.step = cell.output_step = slide["steps"] if fragment else 0
    cell.outputs = [output for output in cell.get("outputs", []) if _shows(output)]
    cell.code = cell.cell_type == "code" and "hide-input" not in cell.metadata.get("tags", [])
    asked = any(PREDICT.search(one.source) for one in slide["cells"] if one.cell_type == "markdown")
    if cell.outputs and (cell.code or asked and not fragment):
        slide["steps"] += 1
        cell.output_step = slide["steps"]
    if cell.outputs or cell.source.strip() and (cell.code or cell.cell_type == "markdown"):
        slide["cells"].append(cell)


def _shows(output):
    """Is this output for an audience? Warnings are not, nor is a widget that stored no picture of itself."""
    if output.output_type == "stream":
        return output.name == "stdout"
    data = output.get("data", {})
    return WIDGET not in data or any(kind.startswith("image/") for kind in data)


def _html(notebook, slides):
    """The whole page as text."""
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    config = Config(NbConvertBase={"display_data_priority": SHOWN})
    exporter = HTMLExporter(config=config, template_name="slides", extra_template_basedirs=[str(TEMPLATES)],
                            exclude_anchor_links=True)
    html, _ = exporter.from_notebook_node(notebook, {"lesson": notebook.metadata.mmcourse, "slides": slides})
    return re.sub(r'<(style|script) asset="([^"]+)"></\1>',
                  lambda tag: f"<{tag[1]}>{_asset(tag[2])}</{tag[1]}>", html)


def _asset(name):
    """A style sheet or script of assets/ as it may stand in a page: fonts as data, no `</script` in it."""
    text = (ASSETS / name).read_text(encoding="utf-8")
    if name.endswith(".css"):
        return re.sub(r"url\((fonts/.+?)\)", lambda url: f"url(data:font/woff2;base64,{_data(url[1])})", text)
    return re.sub(r"</(?=script)", r"<\\/", text, flags=re.IGNORECASE)


def _data(name):
    return base64.b64encode((ASSETS / name).read_bytes()).decode()


def _write(path, text):
    """Replace a file in one step, so that no half-written deck ever stands there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}): choose another --output.") from error
