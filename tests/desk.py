"""What tests do at the learner's desk: a copy of the course, and a page of JupyterLab that shows one of its notebooks."""

import json
import re
import shutil
import urllib.request

import minicourse


def copy_course(folder):
    """A copy of the course's package and lessons, in which the browser may save what it likes."""
    minicourse.copy_package(folder)
    shutil.copytree(minicourse.CHECKOUT / "notebooks", folder / "notebooks")
    (folder / "data").symlink_to(minicourse.CHECKOUT / "data")
    settings = folder / "home/config/lab/user-settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"windowingMode": "none"}')               # else cells out of sight are not in the page
    return folder


def address(said, notebook=None):
    """Where `mmcourse lab` said that it is (its lines are `said`), at another notebook if one is named.

    That one has a workspace of its own: JupyterLab would open the notebooks of the tests before beside it.
    """
    found = re.search(r"http://localhost:\S+", "".join(said))[0]
    if notebook is None:
        return found
    return re.sub(r"/lab/tree/(.+/).+\?", rf"/lab/workspaces/{notebook}/tree/\g<1>{notebook}.ipynb?", found)


def end_kernels(said):
    """End all kernels of a server."""
    base, token = re.search(r"(http://localhost:\d+)/.*?token=(\w+)", "".join(said)).groups()

    def ask(path, method="GET"):
        request = urllib.request.Request(f"{base}/api/{path}", method=method, headers={"Authorization": f"token {token}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    for kernel in json.loads(ask("kernels")):
        ask(f"kernels/{kernel['id']}", "DELETE")


def open_and_run(page, url):
    """Open a notebook and run all of its cells; what they do comes later."""
    page.goto(url)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
