"""The grader: answers are taken out of notebooks, run in a sandbox, and marked from outside by the course's own checks."""

import os
import sys
from pathlib import Path

from mmcourse import UsageError

TRUST = "--without-sandbox"


def grade(paths, report=None, jobs=None, without_sandbox=False, export=None, column=None):
    """Mark notebooks, or all notebooks in folders, and print a table for each. Returns 0, or 2 if one could not be judged.

    `report` is a folder for the results; a run that was cut off goes on there. `export` and `column` name a gradebook's CSV
    and the column to fill, and the filled copy goes to the report. Files of other people are marked in a sandbox that has
    passed its self-test, or with `without_sandbox`. Raises UsageError when nothing can be marked at all.
    """
    _supported()
    from mmcourse.grading import report as reports, run, sandbox
    if export and not report:
        raise UsageError("A gradebook is filled into the report's folder: name one with --report DIR.")
    if export:
        reports.gradebook(export, column)                       # one that does not fit is named before the work
    files, problems = run.files(paths)
    boxed = _box(sandbox.bubblewrap(), run.own(files), without_sandbox)
    store, results, status = run.Store(report), [], 0
    for problem in problems:
        print(f"mmcourse: {problem}", file=sys.stderr)
        status = 2
    bar = _bar(len(files))

    def each(path, result):
        results.append(result)
        with bar.external_write_mode():
            if "problem" in result:
                print(f"mmcourse: {result['problem']}", file=sys.stderr, flush=True)
            else:
                print("\n".join([f"{result['file']} ({result['stem']})", *reports.table(result)]), flush=True)
        bar.update()
    run.mark_all(files, store, boxed, jobs or os.cpu_count() or 1, each)
    bar.close()
    for result, why in reports.passed_over(results):
        print(f"mmcourse: {result['file']} does not count: {why}.", file=sys.stderr)
    if report:
        reports.save(report, results)
        if export:
            _fill(reports, export, column, results, report)
        print(f"The report is {Path(report) / 'report.html'}.")
    broken = any(mark["verdict"] == "grader error" for result in results for mark in result.get("marks", []))
    return 2 if status or broken or any("problem" in result for result in results) else 0


def selftest():
    """Try to break out of the sandbox, and print a line for each defence. Returns 1 when one failed."""
    _supported()
    from mmcourse.grading import canaries, sandbox
    boxed = sandbox.bubblewrap()
    if boxed is None:
        print(_missing())
    return 1 if canaries.report(canaries.run(boxed)) else 0


def _supported():
    if os.name != "posix":
        raise UsageError("Marking needs Linux or macOS: on Windows use it in WSL. The checks in a notebook work everywhere.")


def _missing():
    return ("Without bubblewrap answers run with limits of time, memory and output only: network and files are open to "
            "them. Install it (Debian, Ubuntu: apt-get install bubblewrap; it needs Linux and namespaces).")


def _box(boxed, own, without_sandbox):
    """The sandbox to use: bwrap's path, or None for limits alone. Refuses what would be unsafe."""
    if without_sandbox:
        print("mmcourse: marked without a sandbox, as you said: these answers can read and change what you can.",
              file=sys.stderr)
        return None
    if boxed is None and not own:
        raise UsageError(f"These are other people's files, and there is no sandbox here. {_missing()} To run their code "
                         f"with all your rights, say {TRUST}.")
    if boxed is None:
        print(f"mmcourse: {_missing()}", file=sys.stderr)
    elif not own:
        from mmcourse.grading import canaries
        if failed := [name for name, reached in canaries.run(boxed).items() if reached]:
            raise UsageError(f"The sandbox does not hold here ({', '.join(failed)}): see `mmcourse grade --selftest`. "
                             "Nothing was marked.")
    return boxed


def _bar(count):
    """A progress bar on stderr where somebody looks at it, and for a class only."""
    from tqdm import tqdm
    return tqdm(total=count, unit="file", file=sys.stderr, disable=count < 2 or not sys.stderr.isatty())


def _fill(reports, export, column, results, report):
    target = Path(report) / f"filled_{Path(export).name}"
    try:
        unknown = reports.fill(export, column, results, target)
    except OSError as error:
        raise UsageError(f"{target} cannot be written ({error.strerror}): make room and run it again.") from None
    print(f"The gradebook is {target}.")
    for student, sets in reports.several(results).items():
        print(f"mmcourse: {student} handed in {', '.join(sets)}: the gradebook has the sum of their points.", file=sys.stderr)
    if unknown:
        print(f"Not in {export}: {', '.join(map(str, unknown))}.", file=sys.stderr)
