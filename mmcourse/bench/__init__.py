"""Speed, measured side by side: the course's models and the libraries' with equal weights, in turn, in one run."""

import importlib
import json
from pathlib import Path

from mmcourse import UsageError, files

PARTS = ("training", "generation", "quality", "growth", "cost")           # each a module of this package
USUAL = ("training", "generation", "growth")


def load(path):
    """The results that a file holds, {part: ...}; none if there is no such file."""
    try:
        return json.loads(path.read_text("utf-8")) if path.exists() else {}
    except ValueError:
        raise UsageError(f"{path} is no file of results: move it away or choose another folder with --output.") from None


def bench(parts=USUAL, folder="bench", smoke=False, minutes=20):
    """Measure the parts, print their tables, and put them into FOLDER/bench.json, where other parts stay, and bench.png.

    minutes: what each training of the part "quality" may take.
    """
    from mmcourse.bench import report, timing

    folder, done = Path(folder), {}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "bench.json"
    load(path)                                                      # a file that cannot be read is named before the work
    for name in parts:
        module = importlib.import_module(f"{__name__}.{name}")
        options = {"minutes": minutes} if name == "quality" else {}
        done[name] = {"where": timing.where(), "smoke": smoke, **module.measure(smoke, **options)}
        results = load(path) | {name: done[name]}
        files.write(path, json.dumps(results, indent=1) + "\n")
        if drawn := report.picture(results):
            files.write(folder / "bench.png", drawn)
    print(f"\n{report.text(done)}\n\nThis is in {path}.")
