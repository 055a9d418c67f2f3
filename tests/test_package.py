"""The project as a whole: its floors, its lists kept equal, its README true, its notebooks as they should be."""

import ast
import json
import re
import subprocess
import sys
import tomllib

import nbformat
import pytest
import yaml
from nbclient import NotebookClient

import mmcourse
from mmcourse import UsageError, checks, cli, files, widgets
from mmcourse.authoring.build import build

ROOT = mmcourse.root()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
README, CHINESE = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md"))
FLOORS = [("mmcourse", "files"), ("world", "progress"), ("models", "training", "metrics", "batches"), ("recipes",),
          ("zoo", "ladder"), ("show", "widgets", "editor"), ("checks",), ("workspace", "grading", "authoring"), ("bench",),
          ("cli",)]
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted((ROOT / "mmcourse").rglob("*.py"))


def room(module):
    """The room of "mmcourse.world.scene" (its second part), or "mmcourse" for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOOR else "mmcourse"


def imports(path):
    """The modules of mmcourse that a file imports, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith("mmcourse"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mmcourse"):
            yield from (f"{node.module}.{name.name}" for name in node.names)


def test_no_import_goes_up_a_floor():
    for path in MODULES:
        own = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
        if own != "mmcourse":
            for module in imports(path):
                assert FLOOR[room(module)] <= FLOOR[own], f"{path} imports {module}, a floor above its own"


def test_a_file_is_written_whole_or_stays_as_it_was(tmp_path):
    path = tmp_path / "a.txt"
    for text, mode in (("one", 0o600), ("two\r\n", 0o644)):
        files.write(path, text, mode)
        assert path.read_bytes() == text.encode() and path.stat().st_mode & 0o777 == mode
    with pytest.raises(RuntimeError), files.whole(path) as beside:
        beside.write_text("th")
        raise RuntimeError
    assert path.read_bytes() == b"two\r\n" and list(tmp_path.iterdir()) == [path]


def test_importing_the_course_is_quick_and_small():
    code = ("import sys, time; start = time.perf_counter(); import mmcourse, mmcourse.world, mmcourse.checks, mmcourse.show; "
            "heavy = {'jupyterlab', 'nbconvert', 'jupytext', 'nbclient'} & set(sys.modules); "
            "print(time.perf_counter() - start); assert not heavy, heavy")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 3 * 3                               # seconds; 3 on a machine that does nothing else


def test_lists_of_packages_agree():
    pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"][-1]["pip"]
    assert pip == ["-c constraints.txt", f"-e .[{','.join(PROJECT['optional-dependencies'])}]"]
    assert f"python{PROJECT['requires-python']}" in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()
              if "==" in line}
    wanted = [*PROJECT["dependencies"], *sum(PROJECT["optional-dependencies"].values(), [])]
    assert {re.match(r"[\w-]+", name)[0].lower().replace("_", "-") for name in wanted} <= pinned
    assert all("==" not in name and "<" not in name for name in wanted), "the package states lower bounds only"


def test_the_readme_names_commands_that_exist():
    parser = cli.parser()
    for command in re.findall(r"^mmcourse (.+)$", README, re.M):
        words = command.split("#")[0].replace("OWNER/NAME", "a/b").split()
        parser.parse_args(words)
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    assert {"lab", "test"} <= set(re.findall(r"^make (\w+)", README, re.M)) <= targets


@pytest.mark.parametrize("name", ["README.md", "README.zh.md", "docs/classes.md", "docs/glossary.md"])
def test_links_inside_the_project_are_alive(name):
    page = ROOT / name
    for link in re.findall(r"\]\(([^)#]+?)\)", page.read_text(encoding="utf-8")):
        if "://" not in link:
            assert (page.parent / link).exists(), f"{name} links to {link}, which is not there"


def skeleton(text):
    """What a README is in any language: levels of headings, commands, code words, links, numbers of rows and items."""
    fences = re.findall(r"^```\n(.*?)^```", text, re.M | re.S)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    links = set(re.findall(r"\]\(([^)]+)\)", prose)) - {"README.md", "README.zh.md"}
    return {"headings": [len(level) for level in re.findall(r"^(#+) ", prose, re.M)],
            "commands": [[line.split("  #")[0].split(" #")[0].strip() for line in fence.splitlines()] for fence in fences],
            "code": sorted(set(re.findall(r"`([^`\n]+)`", prose))), "links": sorted(links),
            "rows": len(re.findall(r"^\|", prose, re.M)),
            "items": len(re.findall(r"^(?:-|\d\.) ", prose, re.M)),
            "built": re.findall(r"<!-- (\S+) -->", prose)}


@pytest.mark.parametrize("part", skeleton(README))
def test_the_chinese_readme_keeps_step(part):
    assert skeleton(CHINESE)[part] == skeleton(README)[part]


def test_notebooks_are_what_their_sources_say(capsys):
    assert build(check=True) == 0, capsys.readouterr().err


@pytest.mark.parametrize("path", sorted((ROOT / "exercises").glob("*.ipynb")), ids=lambda path: path.stem)
def test_stubs_stop_at_their_own_line(path, monkeypatch):
    monkeypatch.setenv("MMCOURSE_STATIC", "1")
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, allow_errors=True, timeout=120).execute()
    stopped = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                stopped[cell.id] = output.ename, output.evalue
    checked = {cell.id: cell.id[6:].replace("-", ".") for cell in notebook.cells if cell.id.startswith("check-")}
    assert stopped == {cell: ("NotImplementedError", f"{number} is not written yet") for cell, number in checked.items()}


def test_points_of_checks_and_notebooks_agree():
    shown = {}
    for path in sorted((ROOT / "exercises").glob("*.ipynb")):
        for cell in json.loads(path.read_text())["cells"]:
            if cell["id"].startswith("check-"):
                shown[cell["id"][6:].replace("-", ".")] = cell["metadata"]["nbgrader"]["points"]
    assert shown == checks.points()


@pytest.mark.parametrize("path", sorted((ROOT / "lessons").glob("[0-9]*/exercises.py")), ids=lambda path: path.parent.name)
def test_a_set_takes_as_long_as_its_exercises(path):
    minutes = sum(map(int, re.findall(r"points · (\d+) minutes", path.read_text("utf-8"))))
    assert f"# minutes: {minutes}\n" in path.read_text("utf-8")
    assert f"about {minutes} minutes" in path.with_name("lesson.py").read_text("utf-8")


def test_an_exercise_that_does_not_exist_is_named():
    for number in ("11.9", "99.1", "eleven", "11"):
        with pytest.raises(UsageError, match="There is no exercise .*: choose one of "):
            checks.check(number, print)


def test_an_explorer_tries_both_ends_of_every_control(monkeypatch):
    import matplotlib.pyplot as plt
    monkeypatch.setenv("MMCOURSE_STATIC", "1")
    seen = []

    def draw(size=2, word="a"):
        seen.append((size, word))
        return plt.figure(figsize=(1, 1)), "nothing"

    widgets.explorer(draw, size=(0, 9, 1), word=["a", "b", "c"])
    assert seen == [(2, "a"), (0, "a"), (9, "a"), (2, "c")]                    # what was drawn first is not drawn again


def test_an_atlas_is_whole_or_in_parts_that_are_links(monkeypatch):
    import matplotlib.pyplot as plt
    shown = []
    monkeypatch.setattr(widgets, "display", lambda data, metadata, raw: shown.append((data, metadata)))
    monkeypatch.setattr(widgets, "interactive", lambda: True)
    widgets.atlas(plt.figure(figsize=(4, 2)), "a map", 2, 2, {(1, 0): ("a.ipynb", "A & B")})
    (data, metadata), = shown
    parts = re.findall(r'<(a href="a.ipynb"|span) style=.*?><img alt="(.*?)"', data["text/markdown"])
    assert parts == [("span", "a map"), ('a href="a.ipynb"', "A &amp; B"), ("span", ""), ("span", "")]
    assert data["image/png"].startswith(b"\x89PNG") and metadata == {"image/png": {"alt": "a map"}}


def test_no_file_knows_a_machine():
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True).stdout
    here = re.compile("|".join(["/ro" + "ot/", "/wo" + "rk/", r"\b(pypi|npm)\S*\.(internal|local)\b"]))
    for name in filter(lambda name: (ROOT / name).is_file(), names.split("\n")):
        try:
            text = (ROOT / name).read_text()
        except UnicodeDecodeError:
            continue
        assert not here.search(text), f"{name} names a place of one machine: {here.search(text)[0]}"
