"""Building a small course: what is written, what runs again, what `--check` finds, what is refused."""

import base64
import dataclasses
import json
import os
import re
import subprocess
import sys

import nbformat
import pytest
from test_authoring_source import LESSON, course

import mmcourse
from mmcourse import UsageError
from mmcourse.authoring import execute, syllabus
from mmcourse.authoring.build import build, repository, write
from mmcourse.authoring.notebook import notebook
from mmcourse.authoring.source import folders, read

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
ADDRESS = "https://github.com/someone/multimodal"
LESSON_11, EXERCISES_11 = "lessons/11_attention/lesson.py", "lessons/11_attention/exercises.py"
BUILT = ["exercises/11_attention.ipynb", "notebooks/11_attention.ipynb", "solutions/11_attention.ipynb"]


@pytest.fixture
def root(tmp_path, monkeypatch):
    course(tmp_path)
    (tmp_path / "lessons/01_modalities").rmdir()
    change(tmp_path, LESSON_11, "prerequisites: [1]", "prerequisites: []")
    change(tmp_path, EXERCISES_11, "prerequisites: [1, 11]", "prerequisites: [11]")
    monkeypatch.setattr(mmcourse, "root", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def runs(monkeypatch):
    """Replace the kernel: every code cell prints its number. The list grows by one kind for each run."""
    kinds = []

    def run(nb, root):
        kinds.append(nb.metadata.mmcourse.kind)
        for count, cell in enumerate((cell for cell in nb.cells if cell.cell_type == "code"), 1):
            cell.execution_count = count
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=f"{count}\n")]
        nb.metadata.mmcourse.ran = {"mmcourse/sums.py": execute.digest(root / "mmcourse/sums.py")}

    monkeypatch.setattr(execute, "run", run)
    return kinds


def change(root, path, old, new):
    text = (root / path).read_text(encoding="utf-8")
    assert old in text
    (root / path).write_text(text.replace(old, new, 1), encoding="utf-8")


def files(root):
    paths = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def stored(root, path):
    return nbformat.read(root / path, as_version=4)


def made(root, name, kind, address=None):
    return notebook(read(root / f"lessons/11_attention/{name}.py", root), kind, address, folders(root))


# ---- the notebooks ----

def test_ids_and_metadata(root):
    lesson, exercise, solution = (made(root, name, kind) for name, kind in [
        ("lesson", "lesson"), ("exercises", "exercise"), ("exercises", "solution")])
    assert [cell.id for cell in exercise.cells] == [cell.id for cell in solution.cells]
    assert [cell.id for cell in exercise.cells[3:]] == ["task-11-1", "answer-11-1", "check-11-1"]
    assert [cell.id for cell in lesson.cells][:2] == ["title", "setup"] and lesson.cells[-1].id == "words"
    task, answer, check = (cell.metadata.nbgrader for cell in solution.cells[3:])
    assert answer == {"schema_version": 3, "grade_id": "answer-11-1", "grade": False, "solution": True,
                      "locked": False, "task": False}
    assert check == {"schema_version": 3, "grade_id": "check-11-1", "grade": True, "solution": False,
                     "locked": True, "task": False, "points": 3}
    assert (task.locked, task.solution, task.grade, task.task) == (True, False, False, False)
    assert [cell.metadata.get("editable", True) for cell in exercise.cells[3:]] == [False, True, False]
    slides = [cell.metadata.slideshow["slide_type"] for cell in lesson.cells]
    assert slides == ["skip", "skip", "slide"] + ["skip"] * 5
    assert lesson.metadata.mmcourse.question == "How does a model look at one place?"
    assert lesson.metadata.title == "11 Attention" and solution.metadata.mmcourse.kind == "solution"
    for nb in (lesson, exercise, solution):
        nbformat.validate(nb)
        assert not any(cell.get("outputs") for cell in nb.cells)


def test_ids_survive_a_cell_put_before_them_and_equal_cells_differ(root):
    before = [cell.id for cell in made(root, "lesson", "lesson").cells]
    change(root, LESSON_11, "# %%\nimport functools\n", "# %%\nprint()\n\n" * 2 + "# %%\nimport functools\n")
    after = [cell.id for cell in made(root, "lesson", "lesson").cells]
    assert after[:3] + after[5:] == before and len(set(after)) == len(after)


def test_no_solution_in_the_exercises(root):
    exercise = json.dumps(made(root, "exercises", "exercise"))
    assert "doubled_number" not in exercise and "SOLUTION" not in exercise
    assert exercise.count("11.1 is not written yet") == 2
    assert "doubled_number" in json.dumps(made(root, "exercises", "solution"))


def test_the_source_hash_follows_the_content_and_nothing_else(root):
    def fingerprint(name="lesson", kind="lesson", address=None):
        return made(root, name, kind, address).metadata.mmcourse.source_hash

    first, exercise = fingerprint(), fingerprint("exercises", "exercise")
    assert fingerprint(address=ADDRESS) == first
    change(root, LESSON_11, "minutes: 75", "minutes: 80")
    assert fingerprint() == first
    change(root, "mmcourse/sums.py", "Twice x.", "Two times x.")
    assert fingerprint() != first and fingerprint("exercises", "exercise") == exercise


def test_title_cell_and_badge(root):
    lesson = made(root, "lesson", "lesson").cells[0].source
    assert lesson.startswith("# 11 Attention\n") and "github" not in lesson and "OWNER" not in lesson
    assert "75 minutes · beginner" in lesson and "- compute attention by hand" in lesson
    assert "\n\n\n" not in lesson
    exercise = made(root, "exercises", "exercise", ADDRESS).cells[0].source
    assert "(https://colab.research.google.com/github/someone/multimodal/blob/main/exercises/11_" in exercise
    assert "45 minutes · 3 points · after [11 attention](../notebooks/11_attention.ipynb)" in exercise
    solution = made(root, "exercises", "solution", ADDRESS).cells[0].source
    assert "colab" not in solution and "# 11 Attention: exercises" in solution
    change(root, LESSON_11, "by hand", "word " * 120)
    with pytest.raises(UsageError, match="lesson.py:1: the cell built from the header is too long"):
        made(root, "lesson", "lesson")


def test_words_of_the_day(root):
    assert made(root, "lesson", "lesson").cells[-1].source.splitlines()[-1] == "| attention | 注意力 |"


def test_the_set_up_cell_fetches_the_course_on_colab(root, tmp_path):
    setup = made(root, "lesson", "lesson", ADDRESS).cells[1]
    assert ADDRESS in setup.source and len(setup.source.splitlines()) <= 8 and "install" not in setup.source
    assert "hide-input" in setup.metadata.tags and setup.metadata.jupyter.source_hidden
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", "-C", str(root)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "course"]):
        subprocess.run(git + command, check=True)
    empty = tmp_path / "content"
    empty.mkdir()
    colab = "import sys, types; sys.modules['google.colab'] = types.ModuleType('google.colab')\n"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"MMCOURSE_ADDRESS": root.as_uri(), "GIT_CONFIG_COUNT": "0"}
    for _ in range(2):      # the second time, the course is there already
        ran = subprocess.run([sys.executable, "-c", colab + setup.source + "\nprint(mmcourse.__file__)"],
                             cwd=empty, env=environment, capture_output=True, text=True, check=True)
        assert ran.stdout.splitlines() == ["device cpu", str(empty / "course/mmcourse/__init__.py")]


def test_without_an_address_colab_contacts_nobody(root):
    assert "github" not in made(root, "lesson", "lesson").cells[1].source


# ---- what is built and what runs ----

def test_a_second_build_changes_nothing(root, runs, capsys):
    assert build() == 0 and sorted(runs) == ["lesson", "solution"]
    before = files(root)
    assert [path for path in before if path.endswith(".ipynb")] and set(BUILT) <= set(before)
    assert all(before[path].endswith(b"}\n") for path in BUILT)
    assert build() == 0 and len(runs) == 2 and files(root) == before
    assert "3 unchanged" in capsys.readouterr().out
    assert build(check=True) == 0 and len(runs) == 2 and files(root) == before


@pytest.mark.parametrize("path, old, new, run_again", [
    (LESSON_11, "Some prose", "Other prose", []),
    (LESSON_11, "sums.triple(3)", "sums.triple(4)", ["lesson"]),
    (EXERCISES_11, "number + number", "2 * number + 0", ["solution"]),
    ("mmcourse/sums.py", "2 * x", "x + x", ["lesson", "solution"]),          # included, and opened in the run
    ("mmcourse/sums.py", "3 * x", "x + x + x", ["lesson", "solution"]),      # only opened in the run
    ("mmcourse/checks.py", "passed", "done", []),                            # not opened in the run
    ("README.md", "The end.", "The very end.", []),
    ("pyproject.toml", "OWNER", "someone", []),
])
def test_only_what_changed_runs_again(root, runs, path, old, new, run_again):
    build()
    outputs = [cell.get("outputs") for cell in stored(root, BUILT[1]).cells]
    runs.clear()
    change(root, path, old, new)
    assert build() == 0 and runs == run_again
    assert [cell.get("outputs") for cell in stored(root, BUILT[1]).cells] == outputs
    assert build(check=True) == 0


def test_outputs_somebody_spoiled_are_made_again(root, runs):
    build()
    nb = stored(root, BUILT[1])
    nb.cells[1].outputs[0].text = f"{root}/x\n"
    nbformat.write(nb, root / BUILT[1])
    assert build(check=True) == 1
    runs.clear()
    assert build() == 0 and runs == ["lesson"]


def test_numbers_choose(root, runs, capsys):
    assert build([11]) == 0
    with pytest.raises(UsageError, match="There is no lesson 12: lessons/ has 11."):
        build([11, 12])


def test_one_faulty_lesson_does_not_stop_the_others(root, runs, capsys):
    build()
    before = files(root)
    (root / "lessons/12_transformer").mkdir()
    (root / "lessons/12_transformer/lesson.py").write_text("# %%\n1\n")
    change(root, LESSON_11, "Some prose", "Other prose")
    assert build() == 1
    assert "lessons/12_transformer/lesson.py:1: the file has no header" in capsys.readouterr().err
    after = files(root)
    assert b"Other prose" in after[BUILT[1]] and after["README.md"] == before["README.md"]
    assert build([11]) == 0


# ---- the check ----

@pytest.mark.parametrize("path, old, new, message", [
    (LESSON_11, "Some prose", "Other prose",
     "notebooks/11_attention.ipynb: cell 3 (lessons/11_attention/lesson.py:14): the notebook has another "
     "source; run `mmcourse build 11`"),
    (LESSON_11, "# %% [markdown]\n# ### Smaller\n", "",
     "notebooks/11_attention.ipynb: cell 7: the source has no such cell"),
    (LESSON_11, "# ### Smaller", "# ### Smaller\n\n# %%\n1 + 1",
     "cell 8 (lessons/11_attention/lesson.py:36): the notebook lacks this cell"),
    (LESSON_11, '"slide_type": "slide"', '"slide_type": "fragment"',
     "cell 3 (lessons/11_attention/lesson.py:14): the notebook has another metadata"),
    ("mmcourse/sums.py", "Twice", "Two times",
     "cell 5 (lessons/11_attention/lesson.py:22): the notebook has another source"),
    (LESSON_11, "question: How", "question: Where", "README.md: the syllabus is not what the headers"),
    (BUILT[0], "YOUR CODE HERE", "MY CODE",
     "exercises/11_attention.ipynb: cell 5 (lessons/11_attention/exercises.py:13): the notebook has another"),
    (BUILT[2], '"kind": "solution"', '"kind": "lesson"',
     "solutions/11_attention.ipynb: the notebook has other metadata"),
    (BUILT[1], '"execution_count": 3', '"execution_count": 9', "cell 5: the cell has not run in order"),
    (BUILT[1], "{", "<", "notebooks/11_attention.ipynb: the notebook is missing or cannot be read"),
])
def test_check_names_the_file_and_the_cell(root, runs, capsys, path, old, new, message):
    build()
    change(root, path, old, new)
    before = files(root)
    assert build(check=True) == 1 and files(root) == before and len(runs) == 2
    assert message in capsys.readouterr().err


def test_check_finds_outputs_in_exercises_and_notebooks_without_source(root, runs, capsys):
    build()
    nb = stored(root, BUILT[0])
    nb.cells[1].outputs = [nbformat.v4.new_output("stream", text="x")]
    nbformat.write(nb, root / BUILT[0])
    (root / "notebooks/12_gone.ipynb").write_text("{}")
    (root / "solutions/01_gone.ipynb").write_text("{}")
    assert build(check=True) == 1
    said = capsys.readouterr().err
    assert "exercises/11_attention.ipynb: it holds outputs" in said
    assert "notebooks/12_gone.ipynb: lessons/12_gone/lesson.py does not exist" in said
    assert "solutions/01_gone.ipynb: lessons/01_gone/exercises.py does not exist" in said


def test_check_mentions_a_run_with_older_code(root, runs, capsys):
    build()
    change(root, "mmcourse/sums.py", "3 * x", "x * 3")
    assert build(check=True) == 0
    said = capsys.readouterr().out
    assert "note: notebooks/11_attention.ipynb ran before a change of mmcourse/sums.py" in said


# ---- what is refused ----

def output(data, metadata=None):
    return nbformat.v4.new_output("display_data", data=data, metadata=metadata or {})


@pytest.mark.parametrize("made_output, message", [
    (output({"image/png": PNG}), "the picture has no alt text"),
    (output({"image/png": PNG}, {"image/png": {"alt": " "}}), "the picture has no alt text"),
    (output({"image/svg+xml": "<svg/>"}, {"image/png": {"alt": "x"}}), "the picture has no alt text"),
    (output({"text/html": "<img src='x'>"}), "the HTML has a picture without alt text"),
    (output({"application/vnd.jupyter.widget-view+json": {}}), "a widget stands in the output"),
    (output({"text/plain": "<object at 0x7f00aa>"}), "the output shows ' at 0x7f00aa>'"),
    (nbformat.v4.new_output("stream", text="saved to {root}/x.pt"), "the output shows '{root}'"),
    (nbformat.v4.new_output("stream", name="stderr", text="{python}/x: note"), "the output shows '{python}'"),
    (nbformat.v4.new_output("error", ename="ValueError"), "the output is an error, ValueError"),
])
def test_outputs_that_must_not_be_stored(root, runs, monkeypatch, capsys, made_output, message):
    build()
    before = files(root)
    good = execute.run

    def run(nb, root):
        good(nb, root)
        text = json.dumps(made_output).replace("{root}", str(root)).replace("{python}", sys.prefix)
        nb.cells[5].outputs.append(nbformat.from_dict(json.loads(text)))

    monkeypatch.setattr(execute, "run", run)
    change(root, LESSON_11, "print(sums", "print(1, sums")
    assert build() == 1
    said = capsys.readouterr().err
    message = message.replace("{root}", str(root)).replace("{python}", sys.prefix)
    assert ("notebooks/11_attention.ipynb: cell 6 (lessons/11_attention/lesson.py:24) `from mmcourse import "
            f"sums`: {message}") in said
    assert {**files(root), LESSON_11: b""} == {**before, LESSON_11: b""}


def test_good_outputs_pass(root, runs):
    build()
    nb = stored(root, BUILT[1])
    nb.cells[5].outputs = [output({"image/png": PNG}, {"image/png": {"alt": "a dot"}}),
                           output({"text/html": "<img alt='a dot' src='x'>"}),
                           nbformat.v4.new_output("stream", text=f"mean{root} and 1/rooting")]
    assert not list(execute.faults(nb, root))


def test_a_file_above_the_limit_is_refused(root, runs, monkeypatch, capsys):
    monkeypatch.setattr(execute, "MAX_BYTES", 3000)
    assert build() == 1
    said = capsys.readouterr().err
    assert re.search(r"notebooks/11_attention.ipynb: the file would have \d,\d+ bytes", said)
    assert not (root / BUILT[1]).exists()


def test_a_readme_without_markers(root, runs, capsys):
    (root / "README.md").write_text("# Course\n")
    assert build() == 1
    assert "README.md has no place for the syllabus" in capsys.readouterr().err
    assert (root / "README.md").read_text() == "# Course\n" and (root / BUILT[1]).exists()


def test_the_syllabus(root, runs):
    change(root, LESSON_11, "question: How does", "question: How | does")
    build()
    text = (root / "README.md").read_text(encoding="utf-8")
    assert ("| 11 | [Attention](notebooks/11_attention.ipynb) | How \\| does a model look at one place? | 75 "
            "| beginner | [1 for 3 points](exercises/11_attention.ipynb) |\n\n<!-- /syllabus -->\n\nThe end."
            ) in text
    assert text.startswith("# Course\n\n<!-- syllabus -->\n\n| | Lesson |")


def test_repo_sets_the_address_everywhere_without_running(root, runs):
    build()
    runs.clear()
    assert build(repo="someone/multimodal") == 0 and runs == []
    assert repository(root) == ADDRESS
    assert "github/someone/multimodal/blob/main/notebooks/11" in stored(root, BUILT[1]).cells[0].source
    assert ADDRESS in stored(root, BUILT[0]).cells[1].source
    before = files(root)
    for wrong in ("someone", "some one/x", "someone/x/y", '"/x', "-x/y", ""):
        with pytest.raises(UsageError, match="write it as OWNER/NAME"):
            build(repo=wrong)
    assert files(root) == before
    assert build(repo="OWNER/mmcourse") == 0 and repository(root) is None
    change(root, "pyproject.toml", "Repository", "Home")
    with pytest.raises(UsageError, match="pyproject.toml has no line `Repository"):
        build(repo="someone/multimodal")


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new/a.txt"
    write(path, "one\n")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(UsageError, match="cannot be written .No space left on device."):
        write(path, "two\n")
    assert path.read_text() == "one\n" and os.listdir(path.parent) == ["a.txt"]


# ---- with real kernels: three starts ----

RUN = '''
# %% tags=["raises-exception"]
1 / 0

# %%
import os
from pathlib import Path
from IPython.display import Image, display
print(os.environ["MMCOURSE_STATIC"], os.listdir("."), Path(os.environ["MMCOURSE_WORK"]).exists())
display(Image(data=bytes.fromhex("PNG")), metadata={"image/png": {"alt": "a dot"}})
'''


def test_a_run_and_a_failure(root, capsys):
    change(root, LESSON_11, "# !echo hello\n", "str = print\n")      # lessons may hide builtins
    with (root / LESSON_11).open("a", encoding="utf-8") as file:
        file.write(RUN.replace("PNG", base64.b64decode(PNG).hex()))
    (root / EXERCISES_11).unlink()
    broken = root / "lessons/12_transformer/lesson.py"
    broken.parent.mkdir()
    broken.write_text(LESSON.replace("print(sums.triple(3))", "print(1)\nsums.nothing(1)"), encoding="utf-8")
    change(root, "lessons/12_transformer/lesson.py", "[1]", "[11]")
    (root / "notebooks").mkdir()
    (root / "notebooks/12_transformer.ipynb").write_text("the one from before")

    assert build() == 1
    said = capsys.readouterr().err
    assert ("notebooks/12_transformer.ipynb: cell 6 (lessons/12_transformer/lesson.py:24) failed; the "
            "notebook stays as it was\n    | from mmcourse import sums\n    | !echo hello\n") in said
    assert "AttributeError: module 'mmcourse.sums' has no attribute 'nothing'" in said and "\x1b" not in said
    assert (root / "notebooks/12_transformer.ipynb").read_text() == "the one from before"

    nb = stored(root, BUILT[1])
    assert nb.metadata.mmcourse.ran == {path: execute.digest(root / path)
                                        for path in ("mmcourse/__init__.py", "mmcourse/sums.py")}
    assert [cell.execution_count for cell in nb.cells if cell.cell_type == "code"] == [1, 2, 3, 4, 5, 6]
    assert nb.cells[1].outputs[0].text == "device cpu\n" and nb.cells[5].outputs[0].text == "9\n"
    assert nb.cells[8].outputs[0].ename == "ZeroDivisionError"
    assert nb.cells[9].outputs[0].text == "1 [] False\n"
    assert "widgets" not in nb.metadata and "version" not in nb.metadata.language_info
    assert not any("execution" in cell.metadata for cell in nb.cells)

    first = (root / BUILT[1]).read_bytes()
    (root / BUILT[1]).unlink()
    assert build([11]) == 0
    assert (root / BUILT[1]).read_bytes() == first


def test_what_a_teacher_plans_with(root, runs):
    text = (root / "README.md").read_text(encoding="utf-8")
    (root / "README.md").write_text(text + "\n<!-- teaching -->\n<!-- /teaching -->\n", encoding="utf-8")
    change(root, LESSON_11, "# ### Smaller", "# ## Try it: a slider")
    task = "# %% [markdown] task=\"11.1\"\n"
    there = (root / EXERCISES_11).read_text(encoding="utf-8")
    title = there[there.index(task) + len(task):].splitlines()[0]
    change(root, EXERCISES_11, title, "# ## 11.1 Predict\n# *3 points · 10 minutes · easy*")
    assert build() == 0
    assert "| 11 | 75 | 2 | a slider | 11.1 (10 min) | | |" in (root / "README.md").read_text(encoding="utf-8")


def test_the_glossary_and_the_chinese_readme(root, runs, capsys):
    (root / "README.zh.md").write_text("<!-- syllabus --><!-- /syllabus -->\n", encoding="utf-8")
    assert build() == 0
    page = (root / "docs/glossary.md").read_text(encoding="utf-8")
    assert page.endswith("|---|---|---|\n| attention | 注意力 | [11](../notebooks/11_attention.ipynb) |\n")
    assert "[Attention](notebooks/11_attention.ipynb) | 注意力 | 75 | 入门 |" in (root / "README.zh.md").read_text("utf-8")
    change(root, LESSON_11, "注意力", "注目")
    assert build(check=True) == 1
    said = capsys.readouterr().err
    for name in ("docs/glossary.md: the glossary", "README.zh.md: the syllabus"):
        assert f"{name} is not what the headers of the lessons say" in said
    assert build() == 0 and "注目" in (root / "docs/glossary.md").read_text(encoding="utf-8")


def test_a_word_has_one_translation(root):
    one = read(root / LESSON_11, root)
    header = one.header | {"words": {"attention": "注目"}}
    other = dataclasses.replace(one, number=12, shown="lessons/12_x/lesson.py", header=header)
    with pytest.raises(UsageError, match="12_x/lesson.py:1: the word 'attention' is 注目 here and 注意力 in lesson 11"):
        syllabus.glossary([other, one])
