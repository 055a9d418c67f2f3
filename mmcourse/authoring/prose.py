"""How a lesson must read: short cells, headings in order, pictures drawn by code."""

import re

MAX_CODE_LINES = 25
MAX_WORDS = 110      # of prose; authors aim at 80
MAX_SHOWN = 130      # with tables and formulas


def faults(source):
    """List of (line, sentence) for every cell that is too long, markdown image and heading out of order."""
    found = []
    for cell in source.cells:
        if cell.kind == "code":
            length = len(cell.source.splitlines())
            if length > MAX_CODE_LINES:
                limit = f"the limit is {MAX_CODE_LINES}"
                found.append((cell.line, f"the code cell has {length} lines; split it, {limit}"))
            continue
        found += [(cell.line, what) for what in too_long(cell.source)]
        found += [(line, "a markdown image has no place in a lesson; draw the figure with code")
                  for line, text in enumerate(cell.source.splitlines(), cell.line + 1)
                  if re.search(r"!\[[^\]]*\]\(|<img\b", text)]
    return found + _headings(source) + _words(source)


def too_long(text):
    """One sentence if a text cell has too many words; what <details> folds away never counts."""
    shown = re.sub(r"<details>.*?</details>", "", text, flags=re.S)
    read = re.sub(r"^\s*\|.*$", "", re.sub(r"\$\$.*?\$\$", "", shown, flags=re.S), flags=re.M)
    if len(read.split()) > MAX_WORDS:
        yield f"the text cell has {len(read.split())} words; split it, the aim is 80, the limit {MAX_WORDS}"
    elif len(shown.split()) > MAX_SHOWN:
        yield (f"the text cell has {len(shown.split())} words with its tables and formulas; split it, "
               f"the limit is {MAX_SHOWN}")


def _headings(source):
    """The first cell, which is built, holds the one heading of level 1; below it no level is skipped."""
    found, above = [], 1
    for cell in source.cells:
        if cell.kind != "markdown":
            continue
        fenced = False
        for line, text in enumerate(cell.source.splitlines(), cell.line + 1):
            fenced ^= text.lstrip().startswith("```")
            level = re.match(r"(#{1,6})\s", text)
            if fenced or not level:
                continue
            level = len(level[1])
            if level == 1:
                found.append((line, "the heading has level 1, which is the title's; begin it with `##`"))
            elif level > above + 1:
                found.append((line, f"the heading has level {level} after level {above}; use {above + 1}"))
            above = level
    return found


def _words(source):
    """A lesson has one cell for the words of the day."""
    if source.kind != "lesson":
        return []
    places = [cell for cell in source.cells if "template" in cell.options]
    found = [(cell.line, 'the only template is "words", on a cell without text of its own; correct it')
             for cell in places if cell.options["template"] != "words" or cell.source.strip()]
    if len(places) != 1:
        line = places[1].line if places else 1
        found.append((line, f"there are {len(places)} cells for the words of the day; keep one "
                            '`# %% [markdown] template="words"`'))
    return found
