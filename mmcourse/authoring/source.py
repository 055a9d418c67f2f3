"""Read a lesson source (jupytext's percent format) and say everything that is wrong with it in one go.

    source = read(root / "lessons/11_attention/lesson.py", root)
    source.header["title"], source.cells[0].source, source.cells[0].line

Nothing in here writes or runs anything.
"""

import ast
import json
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import yaml
from jupytext.formats import get_format_implementation
from nbformat import ValidationError

from mmcourse import UsageError
from mmcourse.authoring import exercises, prose

LEVELS = ("beginner", "intermediate", "advanced")
SLIDES = ("slide", "subslide", "fragment", "-", "skip", "notes")
HEADERS = {
    "lesson": {"title": str, "question": str, "minutes": int, "level": str, "objectives": list,
               "prerequisites": list, "device": str, "words": dict},
    "exercises": {"title": str, "minutes": int, "prerequisites": list},
}
OPTIONS = {"slideshow": dict, "tags": list, "include": str, "template": str,
           "answer": str, "check": str, "task": str, "points": int}
ALLOWED = {
    ("lesson", "markdown"): {"slideshow", "tags", "template"},
    ("lesson", "code"): {"slideshow", "tags", "include"},
    ("exercises", "markdown"): {"tags", "task"},
    ("exercises", "code"): {"tags", "include", "answer", "check", "points"},
}
MISSPELT = re.compile(r"#\s*(%\s*\[|%\s+\w+=|%%\S*[\[=])")     # meant as a marker: "# %[markdown]"
NAMES = {str: "text", int: "a whole number", list: "a list", dict: "a mapping"}


@dataclass(frozen=True)
class Cell:
    """One cell: the line of its `# %%` marker, "markdown" or "code", its text, the options of the marker."""

    line: int
    kind: str
    source: str
    options: dict


@dataclass(frozen=True)
class Source:
    """A checked source file. `kind` is "lesson" or "exercises", `name` the folder's name ("11_attention"),
    `shown` the path as messages show it, relative to the checkout."""

    kind: str
    number: int
    name: str
    shown: str
    header: dict
    cells: list


def folders(root):
    """The lesson folders by number: {11: root/lessons/11_attention}.

    Raises UsageError for a folder that has no number and for a number given twice.
    """
    found = {}
    for folder in sorted(path for path in (root / "lessons").glob("[!._]*") if path.is_dir()):
        match = re.fullmatch(r"(\d\d)_[a-z0-9_]+", folder.name)
        if match is None:
            raise UsageError(f"lessons/{folder.name} is no lesson folder: name it like 11_attention.")
        if int(match[1]) in found:
            raise UsageError(f"lessons/{folder.name} and lessons/{found[int(match[1])].name} have the same "
                             "number: give one of them another.")
        found[int(match[1])] = folder
    return found


def read(path, root):
    """The Source in the file `path` of the checkout `root`, `include` cells filled.

    Raises UsageError with one line `path:line: what is wrong; what to do` for every fault of the file.
    """
    kind = "lesson" if path.name == "lesson.py" else "exercises"
    number, shown = int(path.parent.name[:2]), path.relative_to(root).as_posix()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UsageError(f"{shown}:1: the file is missing; every lesson folder has a lesson.py") from None
    except OSError as error:
        raise UsageError(f"{shown}:1: the file cannot be read ({error.strerror}); every lesson folder has a lesson.py") from None
    except UnicodeDecodeError:
        raise UsageError(f"{shown}:1: the file is not UTF-8 text; save it as UTF-8") from None

    faults = []
    header, start = _header(lines, kind, faults)
    faults += _prerequisites(header, kind, number, folders(root), lines)
    cells = [_filled(cell, root, faults) for cell in _cells(lines, start, kind, faults)]
    source = Source(kind, number, path.parent.name, shown, header, cells)
    faults += prose.faults(source) + exercises.faults(source)
    if faults:
        raise UsageError("\n".join(f"{shown}:{line}: {what}" for line, what in sorted(set(faults))))
    return source


def _header(lines, kind, faults):
    """The header as a dict and the index of the first line behind it."""
    keys = ", ".join(HEADERS[kind])
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    end = next((i for i in range(first + 1, len(lines)) if lines[i].rstrip() == "# ---"), None)
    if not lines or lines[first].rstrip() != "# ---" or end is None:
        faults.append((1, f"the file has no header; begin it with a block between two lines `# ---`: {keys}"))
        return {}, 0
    text = "\n".join(line[2:] if line.startswith("# ") else line.lstrip("#") for line in lines[first + 1:end])
    try:
        node, header = yaml.compose(text), yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:           # the second for a date that no calendar has
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        line = first + 2 + mark.line if mark else first + 1
        faults.append((line, f"the header is no YAML ({problem}); put text with a colon in quotes"))
        return {}, end + 1
    if not isinstance(header, dict):
        faults.append((first + 1, f"the header is no list of `key: value` lines; give {keys}"))
        return {}, end + 1
    places = {}
    for key, _ in node.value:
        line = first + 2 + key.start_mark.line
        if key.value in places:
            faults.append((line, f"the header gives {key.value} twice; keep one"))
        places[key.value] = line
    _check_header(header, kind, places, first + 1, faults)
    return header, end + 1


def _check_header(header, kind, places, top, faults):
    wanted = HEADERS[kind]
    for key in header.keys() - wanted.keys():
        line = places.get(key, top)
        faults.append((line, f"the header key {key} is unknown; known are {', '.join(wanted)}"))
    for key, kind_of_value in wanted.items():
        value, line = header.get(key), places.get(key, top)
        if key not in header:
            faults.append((line, f"the header has no {key}; add it"))
        elif type(value) is not kind_of_value or not value and key != "prerequisites":
            faults.append((line, f"{key} must be {NAMES[kind_of_value]} and not empty; it is {value!r}"))
        elif isinstance(value, str) and "\n" in value:
            faults.append((line, f"{key} must be one line; write it behind the colon, or begin it with `>-`"))
        elif key == "minutes" and value < 0:
            faults.append((line, f"minutes must be above 0; it is {value}"))
        elif key == "level" and value not in LEVELS:
            faults.append((line, f"level is {value!r}; write {', '.join(LEVELS)}"))
        elif key == "objectives" and not all(isinstance(item, str) for item in value):
            faults.append((line, "objectives must be sentences; put one that contains a colon in quotes"))
        elif key == "words" and not all(isinstance(item, str) for pair in value.items() for item in pair):
            faults.append((line, "words must be pairs like `attention: 注意力`; put yes and no in quotes"))
        elif key == "prerequisites" and not all(type(item) is int for item in value):
            faults.append((line, "prerequisites must be lesson numbers; write them like [1, 11]"))


def _prerequisites(header, kind, number, lessons, lines):
    """Faults of the prerequisites: lessons that exist and come earlier; an exercise set names its own too."""
    wanted = header.get("prerequisites")
    if not isinstance(wanted, list):
        return
    line = next((i for i, text in enumerate(lines, 1) if re.match(r"#\s*prerequisites", text)), 1)
    for item in wanted:
        if type(item) is int and item not in lessons:
            yield line, f"prerequisites names lesson {item}, which does not exist; name lessons that do"
        elif type(item) is int and item > number - (kind == "lesson"):
            yield line, f"prerequisites names lesson {item}, which comes no earlier; name earlier lessons"
    if kind == "exercises" and number not in wanted:
        yield line, f"prerequisites leaves out lesson {number} itself; add it"


def _cells(lines, start, kind, faults):
    """Cut the lines into cells with jupytext's own reader, keeping the line number of each marker."""
    reader = get_format_implementation(".py", "percent").cell_reader_class
    while start < len(lines) and not lines[start].strip():
        start += 1
    while start < len(lines):
        try:
            cell, used = reader({"extension": ".py", "format_name": "percent"}, "python").read(lines[start:])
        except ValidationError as error:
            faults.append((start + 1, f"a notebook cannot have these options ({error.message}); mend them"))
            return
        line, body, start = start + 1, lines[start + 1:start + used], start + used
        options = json.loads(json.dumps(cell.metadata, default=str))      # plain dicts
        options.pop("lines_to_next_cell", None)
        if not re.match(r"#\s*%%", lines[line - 1]):
            faults.append((line, "there is text before the first cell; begin with a line `# %%`"))
        elif cell.cell_type not in ("code", "markdown"):
            faults.append((line, f"a {cell.cell_type} cell has no place here; use `# %% [markdown]`"))
        else:
            faults += [(line, what) for what in _check_options(options, kind, cell.cell_type)]
            faults += [(i, "the cell marker is misspelt; write `# %%`, a space, and its options")
                       for i, text in enumerate(body, line + 1) if MISSPELT.match(text)]
            if cell.cell_type == "markdown":
                faults += [(i, "this line of a text cell does not begin with `#`; add `# ` or a `# %%`")
                           for i, text in enumerate(body, line + 1) if text.strip() and text[0] != "#"]
            if not cell.source.strip() and not options.keys() & {"include", "template"}:
                faults.append((line, "the cell is empty; delete it"))
            yield Cell(line, cell.cell_type, cell.source, options)


def _check_options(options, kind, cell_type):
    """One sentence for every option of a cell marker that is unknown, out of place or of the wrong form."""
    allowed = ALLOWED[kind, cell_type]
    where = f"a {cell_type} cell of {'a lesson' if kind == 'lesson' else 'exercises'}"
    for key, value in options.items():
        if key == "incorrectly_encoded_metadata":
            yield f'the options {value!r} cannot be read; write them like key="value"'
        elif key not in allowed:
            yield f"{key} is no option of {where}; known are {', '.join(sorted(allowed))}"
        elif type(value) is not OPTIONS[key]:
            yield f'{key} must be {NAMES[OPTIONS[key]]}, like {key}={_example(OPTIONS[key])}; it is {value!r}'
        elif key == "slideshow" and not _is_slideshow(value):
            yield (f'slideshow is {value}; write {{"slide_type": ...}} with one of {", ".join(SLIDES)}, '
                   'and "minutes" if you like')
        elif key == "slideshow" and value["slide_type"] == "notes" and cell_type == "code":
            yield "notes for the speaker are text; begin the cell with `# %% [markdown]`"
        elif key == "tags" and not all(isinstance(tag, str) for tag in value):
            yield f'tags must be a list of texts, like ["hide-input"]; it is {value}'


def _is_slideshow(value):
    return (value.get("slide_type") in SLIDES and not value.keys() - {"slide_type", "minutes"}
            and isinstance(value.get("minutes", 0), (int, float)))


def _example(kind):
    return {str: '"11.2"', int: "3", list: '["hide-input"]', dict: '{"slide_type": "slide"}'}[kind]


def _filled(cell, root, faults):
    """The cell, with the source of the definitions that its `include` names."""
    spec = cell.options.get("include")
    if not isinstance(spec, str) or cell.kind != "code":
        return cell
    if cell.source.strip():
        faults.append((cell.line, "a cell with include must have no text of its own; delete one of the two"))
    try:
        return Cell(cell.line, cell.kind, definitions(spec, root), cell.options)
    except LookupError as error:
        faults.append((cell.line, error.args[0]))
        return cell


def definitions(spec, root):
    """The exact source text, decorators and docstrings included, of what `spec` names.

    `spec` is `mmcourse/models/attention.py::attention + MultiHeadAttention.forward`: a file of the package
    and one or more functions, classes or methods of it. Raises LookupError if one is not there.
    """
    path, _, names = (part.strip() for part in spec.partition("::"))
    if not names or not path.startswith("mmcourse/") or ".." in Path(path).parts:
        raise LookupError(f"include={spec!r} names no code; write mmcourse/models/attention.py::attention")
    if not (root / path).is_file():
        raise LookupError(f"include names the file {path}, which does not exist; correct the path")
    text = (root / path).read_text(encoding="utf-8")
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise LookupError(f"include names {path}, whose line {error.lineno} is no Python; mend it") from None
    lines, parts = text.splitlines(), []
    for name in (name.strip() for name in names.split("+")):
        node = tree
        for part in name.split("."):
            body = getattr(node, "body", ())
            node = next((child for child in body if getattr(child, "name", None) == part), None)
        if node is None:
            raise LookupError(f"include names {name}, which {path} does not define; correct the name")
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        parts.append(textwrap.dedent("\n".join(lines[first - 1:node.end_lineno])))
    return "\n\n\n".join(parts)
