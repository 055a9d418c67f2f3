"""The README's table of lessons, built from the lessons' headers."""

import re

from mmcourse import UsageError

BEGIN, END = "<!-- syllabus -->", "<!-- /syllabus -->"
PARTS = ("Start here", "The Transformer", "Bringing modalities together", "Answer, describe, draw",
         "Sound, film, points", "In practice", "Applications")     # by the first digit of a lesson's number


def readme(text, lessons, exercises):
    """The README `text` with its table up to date.

    `lessons` and `exercises` are the sources of both kinds. Raises UsageError without the markers.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise UsageError(f"README.md has no place for the syllabus: put `{BEGIN}` and `{END}` there, once.")
    table = _table(lessons, {source.number: source for source in exercises})
    return re.sub(rf"(?<={BEGIN}).*(?={END})", lambda _: f"\n\n{table}\n\n", text, flags=re.S)


def _table(lessons, exercises):
    rows = ["| | Lesson | The question | Minutes | Level | Exercises |", "|---|---|---|---|---|---|"]
    part = None
    for lesson in sorted(lessons, key=lambda source: source.number):
        if lesson.number // 10 != part:
            part = lesson.number // 10
            rows.append(f"| | **{PARTS[part]}** | | | | |")
        header = lesson.header
        title = f"[{header['title']}](notebooks/{lesson.name}.ipynb)"
        cells = [f"{lesson.number:02d}", title, header["question"], str(header["minutes"]), header["level"],
                 _exercises(exercises.get(lesson.number))]
        rows.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(rows)


def _exercises(source):
    if source is None:
        return ""
    points = [cell.options["points"] for cell in source.cells if "points" in cell.options]
    return f"[{len(points)} for {sum(points)} points](exercises/{source.name}.ipynb)"
