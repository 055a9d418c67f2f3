"""A course that teaches multimodal large language models by building them, on one small world of shapes."""

import sys

if sys.version_info < (3, 11):
    raise SystemExit(f"mmcourse needs Python 3.11 or newer, and this is Python {sys.version_info.major}."
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


def device():
    """The torch device that lessons train on: a GPU when there is one, else the CPU."""
    import torch
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def budget():
    """The one dial for training: "gpu" when there is a GPU, else "cpu"."""
    return "gpu" if device().type == "cuda" else "cpu"


def setup():
    """Make a notebook ready: the course's figure style, a fixed seed, and one line that says what runs here."""
    import torch
    from mmcourse import show
    show.style()
    torch.manual_seed(0)
    name = torch.cuda.get_device_name() if budget() == "gpu" else f"{torch.get_num_threads()} CPU threads"
    print(f"mmcourse {__version__}, Python {sys.version.split()[0]}, torch {torch.__version__}, {name}: "
          f"budget {budget()!r}")
    if Path.cwd().name == "exercises" and Path.cwd().parent == Path(__file__).resolve().parent.parent:
        print("This is the course's own copy of the exercises. Work in my_work/: `mmcourse lab` puts them there.")
