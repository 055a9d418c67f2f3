"""A course of two tiny lessons for the tests of the command line, the desk and the grader."""

import os
import random
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

CHECKOUT = Path(__file__).resolve().parent.parent
STEMS = {1: "01_first", 11: "11_second"}
EXERCISES = {  # id: (right answer, its name, what its check wants of a fresh number, points)
    "01.1": ("def one():\n    return 1", "one", lambda f, x: f() == 1, 1),
    "11.1": ("def double(x):\n    return 2 * x", "double", lambda f, x: f(x) == 2 * x, 2),
    "11.2": ("def triple(x):\n    return 3 * x", "triple", lambda f, x: f(x) == 3 * x, 3),
    "11.3": ("def half(x):\n    return x / 2", "half", lambda f, x: f(x) == x / 2, 1),
}


def find(number):
    """As mmcourse.checks.find, for the exercises of this course."""
    from mmcourse.checks import Check, expect
    *_, right, points = EXERCISES[number]

    def judge(answer):
        print("A number was measured.")
        expect(right(answer, random.randrange(10 ** 6, 10 ** 9)), f"{number}: look at the factor")
    judge.__module__ = __name__
    return Check(points, judge)


def make(folder, package=False):
    """Write the course into a folder. With the package too, that is a checkout of its own."""
    for number, stem in STEMS.items():
        lesson = new_notebook(cells=[new_markdown_cell(f"# {stem}"), new_code_cell("print('hello')")])
        lesson.metadata["mmcourse"] = {"lesson": number, "kind": "lesson", "source_hash": "one"}
        write(lesson, folder / "notebooks" / f"{stem}.ipynb")
        write(exercises(number), folder / "exercises" / f"{stem}.ipynb")
    shutil.copy(CHECKOUT / "pyproject.toml", folder)
    if package:
        copy_package(folder)
    return folder


def copy_package(folder):
    """The package's code and settings, without what is only needed to build lessons."""
    shutil.copytree(CHECKOUT / "mmcourse", folder / "mmcourse",
                    ignore=shutil.ignore_patterns("__pycache__", "assets", "templates"))


def write(notebook, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def exercises(number, answers=()):
    """The exercise notebook of a lesson, with answers ({"11.2": source}) in place of its stubs."""
    cells = [new_code_cell("from mmcourse.checks import check", id="first")]
    for exercise, (right, called, _, points) in EXERCISES.items():
        if int(exercise[:2]) == number:
            name, head = exercise.replace(".", "-"), right.splitlines()[0]
            stub = f'{head}\n    raise NotImplementedError("{exercise} is not written yet")'
            cells.append(new_code_cell(dict(answers).get(exercise, stub), id=f"answer-{name}", metadata={
                "nbgrader": {"grade": False, "solution": True, "grade_id": f"answer-{name}"}}))
            check = f'check("{exercise}", {called})'
            cells.append(new_code_cell(check, id=f"check-{name}", metadata={"nbgrader": {
                "grade": True, "solution": False, "grade_id": f"check-{name}", "points": points}}))
    notebook = new_notebook(cells=cells)
    notebook.metadata["mmcourse"] = {"lesson": number, "kind": "exercise", "source_hash": "one"}
    return notebook


def solved(number, answers=()):
    """As exercises(), with every answer right but those that are given."""
    right = {exercise: source for exercise, (source, *_) in EXERCISES.items()}
    return exercises(number, right | dict(answers))


def environment(folder):
    """Variables for a process that runs the checkout in this folder; Jupyter's own files go there too."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MMCOURSE", "JUPYTER"))}
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return own | {"PYTHONPATH": str(folder), "HOME": str(home), "IPYTHONDIR": str(home / "ipython"),
                  "JUPYTER_CONFIG_DIR": str(home / "config"), "JUPYTER_DATA_DIR": str(home / "data"),
                  "JUPYTER_RUNTIME_DIR": str(home / "runtime")}


def command(*arguments):
    return [sys.executable, "-m", "mmcourse.cli", *arguments]


def run(folder, *arguments, prefix=(), **options):
    """Run `mmcourse ...` of the checkout in this folder as a process of its own."""
    return subprocess.run([*prefix, *command(*arguments)], cwd=folder, env=environment(folder), timeout=60,
                          capture_output=True, text=True, **options)


@contextmanager
def lab(folder, *arguments):
    """A server started by `mmcourse lab --no-browser`: yields the process and the lines it said; ends it.

    On a port that the system gives: servers of tests that run at the same time would else take 8888 from each other.
    """
    if "--port" not in arguments:
        with socket.create_server(("127.0.0.1", 0)) as free:
            arguments = (*arguments, "--port", str(free.getsockname()[1]))
    server = subprocess.Popen(command("lab", "--no-browser", *arguments), cwd=folder, env=environment(folder),
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said = []
        while not said or "Ctrl+C" not in said[-1]:
            said.append(server.stdout.readline())
            assert said[-1], f"JupyterLab did not start: {said}"
        yield server, said
    finally:
        server.terminate()
        server.wait(timeout=30)


def unprivileged():
    """The prefix of a command for which file permissions hold: root has to drop its capabilities first."""
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
