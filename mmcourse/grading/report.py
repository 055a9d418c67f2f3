"""What a run looks like on paper: tables, one HTML page, JSON, and the columns that a gradebook wants."""

import collections
import csv
import html
import io
import json
import re
from pathlib import Path

from mmcourse import UsageError
from mmcourse.grading.run import write

VERDICTS = ("pass", "wrong", "not done", "not found", "syntax", "time", "memory", "output", "died", "grader error")
COLORS = {"pass": "#009e73", "wrong": "#d55e00", "not done": "#cccccc", "not found": "#999999", "syntax": "#cc79a7",
          "time": "#e69f00", "memory": "#f0e442", "output": "#56b4e9", "died": "#333333", "grader error": "#0072b2"}


def table(result):
    """The lines of one file's table."""
    lines = []
    for mark in result["marks"]:
        hint = "  ".join(filter(None, (mark["hint"], mark["note"])))
        points, took = f"{mark['points']} of {mark['of']}", f"{mark['seconds']:6.1f} s"
        lines.append(f"  {mark['exercise']:8}{points}   {mark['verdict']:12}{took}   {hint}".rstrip())
    lines.append(f"  {'total':8}{total(result)} of {sum(mark['of'] for mark in result['marks'])}")
    return lines + ([f"  note: {result['note']}"] if result.get("note") else [])


def total(result):
    return sum(mark["points"] for mark in result["marks"])


def judged(results):
    """The results that count: of several files of one student and set the newest, and none that could not be judged."""
    newest = {}
    for result in results:
        if "problem" in result or any(mark["verdict"] == "grader error" for mark in result["marks"]):
            continue
        key = result["student"], result["stem"]
        if key not in newest or (result["time"], result["file"]) > (newest[key]["time"], newest[key]["file"]):
            newest[key] = result
    return sorted(newest.values(), key=lambda result: (result["student"], result["stem"]))


def passed_over(results):
    """(result, why) for every file that was judged and does not count."""
    counted = {result["file"] for result in judged(results)}
    for result in results:
        if "marks" in result and result["file"] not in counted:
            broken = any(mark["verdict"] == "grader error" for mark in result["marks"])
            yield result, "the grader failed" if broken else f"{result['student']} has a newer file of {result['stem']}"


def several(results):
    """The students of whom more than one set counts, and these sets: {"ana": ["11_attention", "12_transformer"]}."""
    found = collections.defaultdict(list)
    for result in judged(results):
        found[result["student"]].append(result["stem"])
    return {student: sets for student, sets in found.items() if len(sets) > 1}


def save(folder, results):
    """Write report.html, marks.json, marks.csv and nbgrader.csv into a folder. Raises UsageError when it cannot."""
    folder, results = Path(folder), sorted(results, key=lambda result: result["file"])
    unsafe = any(result.get("boxed") is False for result in results)
    try:
        write(folder / "marks.json", json.dumps({"unsafe": unsafe, "files": results}, indent=1))
        write(folder / "marks.csv", _rows(_marks(results)))
        write(folder / "nbgrader.csv", _rows(_nbgrader(results)))
        write(folder / "report.html", page(results, unsafe))
    except OSError as error:
        raise UsageError(f"The report could not be written to {folder} ({error.strerror}): make room and run it again; "
                         "what is marked is not marked twice.") from None


# ---- tables for other programs ----

FORMULA = "=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20"      # the last four are wide ones


def safe(cell):
    """A cell that no spreadsheet takes for a formula."""
    text = str(cell)
    number = re.fullmatch(r"-?\d+(\.\d+)?", text)
    return f"'{text}" if not number and text.lstrip(" \n").startswith(FORMULA) else text


def _rows(rows):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([[safe(cell) for cell in row] for row in rows])
    return text.getvalue()


def _marks(results):
    counts = {result["file"] for result in judged(results)}
    yield "student", "file", "set", "exercise", "points", "of", "verdict", "hint", "seconds", "counts"
    for result in results:
        if "problem" in result:
            yield result["student"], result["file"], "", "", "", "", "not judged", result["problem"], "", "no"
        for mark in result.get("marks", []):
            yield (result["student"], result["file"], result["stem"], mark["exercise"], mark["points"], mark["of"],
                   mark["verdict"], mark["hint"], mark["seconds"], "yes" if result["file"] in counts else "no")


def _nbgrader(results):
    """The columns of nbgrader's own export."""
    yield ("assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email", "raw_score",
           "late_submission_penalty", "score", "max_score")
    for result in judged(results):
        points = total(result)
        of = sum(mark["of"] for mark in result["marks"])
        yield result["stem"], "", "", result["student"], "", "", "", points, 0.0, points, of


MARK = "\ufeff"              # what some programs begin a file with
IDENTITIES = ("ID", "SIS User ID", "SIS Login ID", "Email address", "ID number", "Username", "Identifier", "student_id")


def gradebook(export, column):
    """A gradebook's export: its text, its rows, and the numbers of the column to fill and of those that name students.

    Raises UsageError when file or column do not fit.
    """
    try:
        raw = Path(export).read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{export} cannot be read ({getattr(error, 'strerror', 'it is not UTF-8')}).") from None
    try:
        rows = list(csv.reader(io.StringIO(raw.removeprefix(MARK), newline="")))
    except csv.Error as error:
        raise UsageError(f"{export} is no table of a gradebook ({error}): export it anew, as CSV.") from None
    head = rows[0] if rows else []
    if column not in head:
        raise UsageError(f"{export} has no column {column!r}: choose one of {', '.join(head[:40])}.")
    known = [head.index(name) for name in IDENTITIES if name in head]
    if not known:
        raise UsageError(f"{export} names no students: it needs one of the columns {', '.join(IDENTITIES)}.")
    return raw, rows, head.index(column), known


def fill(export, column, results, target):
    """Fill one column of a gradebook's export (Canvas, Moodle) and write it to `target`; all else stays as it is.

    Returns the students that the export does not have. A student is found by any of the export's columns of identities; the
    number is the sum of the points of all sets. Raises UsageError when file or column do not fit.
    """
    raw, rows, place, known = gradebook(export, column)
    points, unknown = collections.Counter(), set()
    for result in judged(results):
        points[result["student"]] += total(result)
    for student, value in points.items():
        mine = [row for row in rows[1:] if len(row) > place and any(_same(row[i], student) for i in known if i < len(row))]
        if len(mine) != 1:
            unknown.add(student)
            continue
        mine[0][place] = str(value)
    text = io.StringIO()
    text.write(MARK if raw.startswith(MARK) else "")
    csv.writer(text, lineterminator="\r\n" if "\r\n" in raw else "\n").writerows(rows)
    write(Path(target), text.getvalue())
    return sorted(unknown)


def _same(cell, student):
    cell = cell.strip().removeprefix("Participant ").casefold()
    return bool(cell) and cell in (student.casefold(), student.casefold().partition("@")[0])


# ---- the page ----

def page(results, unsafe):
    """One HTML page for the teacher: where the class stumbles, then every file. Whatever students wrote is escaped."""
    body = [_summary(results), _stumbles(results)]
    body += [_file(result) for result in results]
    warning = "<p class=warn>Marked without a sandbox: these answers could change files and marks of this machine.</p>"
    warning = warning if unsafe else ""
    return (f"<!doctype html><html lang=en><meta charset=utf-8><title>Marks</title><style>{_STYLE}</style>"
            f"<h1>Marks</h1>{warning}{''.join(body)}</html>\n")


_STYLE = """body{font:16px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.5em 0 1.5em}td,th{padding:.2em .7em;text-align:left;vertical-align:top;
border-bottom:1px solid #ddd}td.n{text-align:right}
.warn{background:#d55e00;color:#fff;padding:.5em 1em}h2{font-size:1.1em;margin:1.5em 0 0}svg{max-width:100%;height:auto}"""


def _row(*cells, tag="td"):
    return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"


def _summary(results):
    counted, failed = judged(results), [(result, result["problem"]) for result in results if "problem" in result]
    points = [total(result) for result in counted]
    mean = f", {sum(points) / len(points):.1f} points on average" if points else ""
    lines = [f"<p>{len(counted)} files count{mean}.</p>"]
    for title, listed in (("Could not be judged", failed), ("Do not count", list(passed_over(results)))):
        rows = "".join(_row(result["file"], why) for result, why in listed)
        lines.append(f"<h2>{title}</h2><table>{rows}</table>" if listed else "")
    return "".join(lines)


def _stumbles(results):
    """Of each exercise: a bar of verdicts, and the hints that came most often."""
    verdicts, hints = collections.defaultdict(collections.Counter), collections.defaultdict(collections.Counter)
    for result in judged(results):
        for mark in result["marks"]:
            verdicts[mark["exercise"]][mark["verdict"]] += 1
            if mark["hint"]:
                hints[mark["exercise"]][mark["hint"]] += 1
    rows = []
    for exercise in sorted(verdicts):
        often = "; ".join(f"{count} × {hint}" for hint, count in hints[exercise].most_common(3))
        told = ", ".join(f"{verdicts[exercise][name]} {name}" for name in VERDICTS if verdicts[exercise][name])
        rows.append(f"<tr><td>{html.escape(exercise)}</td><td>{_bar(verdicts[exercise], told)}</td>"
                    f"<td>{html.escape(told)}</td><td>{html.escape(often)}</td></tr>")
    head = _row("exercise", "", "verdicts", "most frequent hints", tag="th")
    return f"<h2>Where the class stumbles</h2><table>{head}{''.join(rows)}</table>" if rows else ""


def _bar(counts, told):
    place, parts, whole = 0.0, [], sum(counts.values())
    for name in VERDICTS:
        width = 300 * counts[name] / whole
        if width:
            parts.append(f'<rect x="{place:.1f}" width="{width:.1f}" height="18" fill="{COLORS[name]}"/>')
        place += width
    return f'<svg width="300" height="18" role="img" aria-label="{html.escape(told)}">{"".join(parts)}</svg>'


def _file(result):
    if "problem" in result:
        return ""
    rows = "".join(_row(mark["exercise"], f"{mark['points']} of {mark['of']}", mark["verdict"], mark["hint"], mark["note"],
                        f"{mark['seconds']} s") for mark in result["marks"])
    of = sum(mark["of"] for mark in result["marks"])
    title = html.escape(f"{result['student']}: {result['stem']}, {total(result)} of {of}")
    note = f"<p>{html.escape(str(result['note']))}</p>" if result.get("note") else ""
    head = _row("exercise", "points", "verdict", "first hint", "what the check measured", "time", tag="th")
    return f"<h2>{title}</h2><p>{html.escape(result['file'])}</p>{note}<table>{head}{rows}</table>"
