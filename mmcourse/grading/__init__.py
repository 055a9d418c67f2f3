"""The grader: answers are taken out of a notebook, run against the course's own checks, and marked."""

import sys

from mmcourse import UsageError


def grade(paths):
    """Mark notebooks and print a table for each. Returns 0, or 2 when a file could not be judged.

    A file that cannot be judged gets one sentence on stderr, and the others are still marked.
    """
    from mmcourse.grading import judge, submission

    status = 0
    for path in paths:
        try:
            stem, answers = submission.read(path)
            print(f"{path} ({stem}) ...", flush=True)
            _show(judge.judge(submission.master(stem), answers))
        except UsageError as error:
            print(f"mmcourse: {error}", file=sys.stderr)
            status = 2
    return status


def _show(marks):
    for mark in marks:
        print(f"  {mark.exercise:8}{mark.points} of {mark.of}   {mark.verdict:12}{mark.hint}".rstrip())
    points, of = sum(mark.points for mark in marks), sum(mark.of for mark in marks)
    print(f"  {'total':8}{points} of {of}", flush=True)
