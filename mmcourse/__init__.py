"""A course that teaches multimodal large language models by building them, on one small world of shapes."""

import sys

if sys.version_info < (3, 11):
    raise ImportError(f"mmcourse needs Python 3.11 or newer, and this is Python {sys.version_info.major}."
                      f"{sys.version_info.minor}: install a newer one and create the environment again.")

from pathlib import Path

__version__ = "0.1.0"


class UsageError(Exception):
    """Something the user gave cannot be used. Its text is one sentence that says what was wrong and what to do."""


def root():
    """The folder of this checkout, the one that holds notebooks/ (a Path). Raises UsageError outside a checkout."""
    here = Path(__file__).resolve().parent.parent
    if not (here / "notebooks").is_dir() and not (here / "lessons").is_dir():
        raise UsageError("The course's notebooks are not beside the package: clone the repository and install it "
                         "with `pip install -e .` from there.")
    return here
