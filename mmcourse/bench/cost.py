"""What the course costs: seconds of every lesson and every file of tests, as the last `make test` noted them."""

from collections import Counter
from xml.etree import ElementTree

import mmcourse
from mmcourse import UsageError

SLOWEST = 90                              # seconds that a lesson may take on two cores


def notes():
    """Where `make test` leaves them."""
    return mmcourse.root() / "runs" / "tests.xml"


def measure(smoke=False):
    """A row for each notebook and file of tests, the slowest first, and the seconds of the whole run."""
    if not notes().exists():
        raise UsageError("Nobody knows yet what the tests take: run `make test` first.")
    suite = ElementTree.parse(notes()).getroot().find("testsuite")
    seconds = Counter()
    for case in suite.iter("testcase"):
        folder, _, name = case.get("classname").partition(".")
        seconds[f"{folder}/{name.removesuffix('.ipynb')}"] += float(case.get("time"))
    return {"rows": [{"name": name, "seconds": one} for name, one in seconds.most_common()],
            "tests": int(suite.get("tests")), "whole": float(suite.get("time")),
            "too_slow": [name for name, one in seconds.items() if name.startswith("notebooks/") and one > SLOWEST]}
