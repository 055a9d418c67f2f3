"""What happens on Colab: its versions of the libraries, a notebook alone in an empty folder, the course fetched by git.

The environment is Colab's as its published list of versions says (2026), as far as this Python can have it: its Jupyter,
ipywidgets, numpy, matplotlib and pillow lie in front of what is installed here; torch is the one that is here. There is no
anywidget, `google.colab` is a stub, and the course itself is not installed. Every import of every notebook is tried; one
lesson runs as a whole, its widgets are shown and moved; all the others run in tests of their own, on the versions here.
"""

import ast
import json
import os
import site
import subprocess
import sys
import venv
from pathlib import Path

import minicourse
import nbformat
import pytest
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

COLAB = {"numpy": "2.0.2", "matplotlib": "3.10.0", "pillow": "11.3.0", "ipywidgets": "7.7.1", "ipython": "7.34.0",
         "ipykernel": "6.17.1", "jupyter_client": "7.4.9"}
BELOW = ["ipython_genutils==0.2.0", "backcall==0.2.0", "pickleshare==0.7.5", "decorator==4.4.2", "jedi==0.19.2",
         "nest_asyncio==1.6.0", "entrypoints==0.4"]                 # what these need and newer ones do not
STUB = "import sys; sys.modules['anywidget'] = None; import google.colab"
NOTEBOOKS = sorted(path for folder in ("notebooks", "exercises", "solutions")
                   for path in (minicourse.CHECKOUT / folder).glob("*.ipynb"))
LESSON = minicourse.CHECKOUT / "notebooks/01_modalities.ipynb"
# Every control is moved; each explorer must draw another picture, and the editor's plain controls, too.
MOVE = """
import ipywidgets
pictures = [w for w in ipywidgets.Widget.widgets.values() if isinstance(w, ipywidgets.HTML) and "<img" in w.value]
moved = {picture: False for picture in pictures}
for control in list(ipywidgets.Widget.widgets.values()):
    before = {picture: picture.value for picture in pictures}
    if isinstance(control, (ipywidgets.IntSlider, ipywidgets.FloatSlider)):
        control.value = control.min if control.value > control.min else control.max
    elif isinstance(control, ipywidgets.Dropdown) and len(control.options) > 1:
        control.index = (control.index or 0) - 1 if control.index else 1
    for picture in pictures:
        moved[picture] |= picture.value != before[picture]
assert len(pictures) == 2 and all(moved.values()), moved
"""
TELL = """
import importlib.metadata, json, sys, torch, mmcourse
print(json.dumps({"versions": {name: importlib.metadata.version(name) for name in NAMES},
                  "torch": torch.__file__, "course": mmcourse.__file__}))
"""


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    """A Python with Colab's libraries, and the address of a repository that holds this working tree."""
    folder = tmp_path_factory.mktemp("colab")
    venv.create(folder / "env", symlinks=os.name != "nt")
    python = folder / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    packages = Path(subprocess.run([python, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True,
                                   text=True, check=True).stdout.strip())
    wanted = [f"{name}=={version}" for name, version in COLAB.items()] + BELOW
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
           "--target", packages]
    subprocess.run(pip + wanted, check=True)              # needs a package index: Colab is not rehearsed without its libraries
    (packages / "google/colab").mkdir(parents=True)
    (packages / "google/colab/__init__.py").touch()
    (packages / "here.pth").write_text("\n".join([*site.getsitepackages(), STUB]))     # behind Colab's own
    git = ["git", f"--git-dir={folder / 'course.git'}", f"--work-tree={minicourse.CHECKOUT}", "-c", "user.name=t",
           "-c", "user.email=t@localhost"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "course"]):
        subprocess.run(git + command, check=True, cwd=minicourse.CHECKOUT)
    return python, (folder / "course.git").as_uri()


@pytest.fixture
def content(tmp_path, monkeypatch, colab):
    """Colab's /content, empty, with a machine's variables."""
    for name in [*filter(lambda name: name.startswith(("MMCOURSE", "PYTHONPATH", "JUPYTER")), os.environ)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MMCOURSE_ADDRESS", colab[1])
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    (tmp_path / "content").mkdir()
    return tmp_path / "content"


def test_a_lesson_alone_in_an_empty_folder(colab, content):
    notebook = nbformat.read(LESSON, as_version=4)
    notebook.cells.append(new_code_cell(MOVE))
    notebook.cells.append(new_code_cell(f"NAMES = {list(COLAB)}\n{TELL}"))
    manager = KernelManager(kernel_name="python3")
    manager._kernel_spec = KernelSpec(argv=[str(colab[0]), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                                      language="python", display_name="Colab")
    NotebookClient(notebook, km=manager, timeout=300, store_widget_state=False).execute(cwd=str(content))
    told = json.loads(notebook.cells[-1].outputs[-1].text)
    assert told["versions"] == COLAB
    assert Path(told["course"]) == content / "course/mmcourse/__init__.py"
    assert told["torch"] == __import__("torch").__file__            # nothing installed another
    assert [path.name for path in content.iterdir()] == ["course"]
    shown = [output.data for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    assert sum("application/vnd.jupyter.widget-view+json" in data for data in shown) == 2


def test_every_notebook_sets_up_and_imports(colab, content):
    """The set-up cell of each, then all of its imports: one process, which fetches the course once."""
    setups = {_code(path)[0] for path in NOTEBOOKS}
    imports = {ast.unparse(node) for path in NOTEBOOKS for cell in _code(path) for node in ast.walk(_tree(cell))
               if isinstance(node, ast.Import | ast.ImportFrom)}
    program = "\n".join(["import google.colab", *setups, "import os", *sorted(imports)])
    run = subprocess.run([colab[0], "-c", program], cwd=content, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert len(setups) == 1 and len(imports) > 20


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_notebook_installs_nothing(path):
    assert not [cell for cell in _code(path) if "pip install" in cell or "conda install" in cell]


def _code(path):
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def _tree(source):
    """A cell without what only IPython understands."""
    return ast.parse("\n".join(line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))))
