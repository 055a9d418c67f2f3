"""What is passed so far: one readable file, my_work/progress.json, safe for two notebooks at once."""

import json
import os
import sys
from datetime import datetime, timezone
from pathlib import Path

import mmcourse
from mmcourse import files

PRIVATE = 0o600                                  # what a learner passed is for nobody else to read
UNUSABLE = OSError, NotImplementedError          # the second is filelock's word for a disk without locks


def folder():
    """The learner's folder (a Path): my_work/ in the checkout, or the one that MMCOURSE_WORK names."""
    named = os.environ.get("MMCOURSE_WORK")
    try:
        return Path(named).expanduser().absolute() if named else mmcourse.root() / "my_work"
    except RuntimeError:
        raise mmcourse.UsageError(f"MMCOURSE_WORK={named} names no home that there is: write the whole path.") from None


def catalogue():
    """Every exercise with its points, as exercises/ has them: {"11_attention": {"11.1": 3, ...}, ...}."""
    sets = {}
    for path in sorted((mmcourse.root() / "exercises").glob("[0-9][0-9]_*.ipynb")):
        sets[path.stem] = {}
        try:
            for cell in json.loads(path.read_text("utf-8"))["cells"]:
                kind, _, exercise = cell.get("id", "").partition("-")
                if kind == "check":
                    sets[path.stem][exercise.replace("-", ".")] = cell["metadata"]["nbgrader"]["points"]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise mmcourse.UsageError(f"{path} is not as the course has it: run `git restore exercises`, or fetch it anew. "
                                      "Your own answers belong in my_work/.") from None
    return sets


def record(exercise, points):
    """Note that an exercise is passed, as in `record("11.2", 3)`; the first time and the most points stay.

    Does nothing where MMCOURSE_STATIC is set (builder, grader, tests) or outside a checkout. A disk that is
    full or locked gives a printed sentence, no error: a check must not fail for that.
    """
    if os.environ.get("MMCOURSE_STATIC"):
        return
    try:
        path = (folder() / "progress.json").resolve()            # a link into a synchronized folder stays one
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path):
            done = _read(path)
            entry = done.setdefault(exercise, {"points": 0, "passed": f"{datetime.now(timezone.utc):%FT%TZ}"})
            entry["points"] = max(entry["points"], points)
            files.write(path, json.dumps(done, indent=1, sort_keys=True), PRIVATE)
    except mmcourse.UsageError:
        pass
    except UNUSABLE as error:
        print(f"This was not kept in {path} ({error}); the answer is right all the same.", file=sys.stderr)


def load():
    """What is passed: {"11.2": {"points": 3, "passed": "2026-01-31T10:00:00Z"}, ...}, empty when nothing is.

    A file that is not a progress file is set aside as progress.json.broken, and a sentence says so.
    """
    path = (folder() / "progress.json").resolve()
    try:
        if (done := _parse(path)) is None:
            with _lock(path):
                done = _read(path)
        return done
    except UNUSABLE as error:
        print(f"What you passed cannot be read from {path} ({error}).", file=sys.stderr)
        return {}


def _parse(path):
    """The file's content, {} when there is no file, None when it is not what record() writes."""
    try:
        done = json.loads(path.read_text("utf-8"))
        return done if all(entry["points"] >= 0 for entry in done.values()) else None
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError):
        return None


def _read(path):
    """As _parse, but a broken file is moved to a free name. The caller holds the lock."""
    if (done := _parse(path)) is None:
        aside = path.with_name("progress.json.broken")
        while aside.exists():
            aside = aside.with_name(f"{aside.name}+")
        os.replace(path, aside)
        print(f"{path} could not be read and is now {aside.name}: run the checks again.", file=sys.stderr)
    return done or {}


def _lock(path):
    from filelock import FileLock                # comes with torch
    return FileLock(path.with_name(".progress.lock"), timeout=10)


# ---- the picture of it, for a notebook ----

def overview():
    """A picture of what is passed and what comes next: something that a notebook displays and keeps as HTML."""
    from IPython.display import HTML
    done, rows, got, of, following = load(), [], 0, 0, None
    for stem, exercises in catalogue().items():
        cells = []
        for exercise, points in exercises.items():
            passed = exercise in done
            got, of = got + (points if passed else 0), of + points
            following = following or (None if passed else (stem, exercise))
            color = "#00785a;color:#fff" if passed else "#eee;color:#222"
            style = f"display:inline-block;min-width:4.5em;margin:1px;padding:2px 6px;background:{color}"
            cells.append(f'<span style="{style}">{"✓" if passed else "○"} {exercise}</span>')
        mine = sum(points for exercise, points in exercises.items() if exercise in done)
        left = 'style="text-align:left"'
        rows.append(f'<tr><td {left}>{stem.replace("_", " ")}</td><td {left}>{"".join(cells)}</td>'
                    f"<td>{mine} of {sum(exercises.values())}</td></tr>")
    further = "You passed every exercise."
    if following:
        further = f"Next: exercise {following[1]} in {folder().name}/{following[0]}.ipynb."
    return HTML(f'<table role="table" aria-label="{got} of {of} points">{"".join(rows)}</table>'
                f"<p><b>{got} of {of} points.</b> {further}</p>")


def widget():
    """overview() with a button that reads it anew. Where widgets are dead the picture alone stands."""
    import ipywidgets
    from IPython.display import display
    place, again = ipywidgets.Output(), ipywidgets.Button(description="Look again", tooltip="Read what is passed anew")

    def show(_=None):
        with place:
            place.clear_output(wait=True)
            display(overview())
    again.on_click(show)
    if os.environ.get("MMCOURSE_STATIC"):
        return overview()
    show()
    return ipywidgets.VBox([place, again])
