"""Reading lesson sources: cells and their lines, includes, and one clear message for every fault."""

import jupytext
import pytest

from mmcourse import UsageError
from mmcourse.authoring import exercises, prose
from mmcourse.authoring.source import definitions, folders, read

LESSON = '''# ---
# title: Attention
# question: How does a model look at one place?
# minutes: 75
# level: beginner
# objectives:
#   - compute attention by hand
# prerequisites: [1]
# device: Two CPU cores are enough.
# words:
#   attention: 注意力
# ---

# %% [markdown] slideshow={"slide_type": "slide", "minutes": 2}
# ## A first idea
#
# Some prose with $a_b$.


# %%
import functools
# %% include="mmcourse/sums.py::double"

# %% tags=["nbval-ignore-output"]
from mmcourse import sums
# !echo hello
print(sums.triple(3))

text = """
# %% not a cell
"""

# %% [markdown]
# ### Smaller

# %% [markdown] template="words"
'''

EXERCISES = '''# ---
# title: Attention
# minutes: 45
# prerequisites: [1, 11]
# ---

# %%
from mmcourse.checks import check

# %% [markdown] task="11.1"
# ## 11.1 Twice

# %% answer="11.1"
def twice(number):
    if number is None:
        ### BEGIN SOLUTION
        raise ValueError("no number")
        ### END SOLUTION
    ### BEGIN SOLUTION
    doubled_number = number + number
    return doubled_number
    ### END SOLUTION

# %% check="11.1" points=3
check("11.1", twice)
'''

SUMS = '''import functools


@functools.cache
def double(x):
    """Twice x."""

    return 2 * x      # exact text


def triple(x):
    return 3 * x


class Sum:
    """A sum."""

    @property
    def half(self):
        return self.whole / 2
'''


def course(root):
    """A small course in the folder `root`: lesson 11 with exercises, and the folder of lesson 01."""
    for path, text in {
        "lessons/11_attention/lesson.py": LESSON, "lessons/11_attention/exercises.py": EXERCISES,
        "mmcourse/__init__.py": 'def setup():\n    print("device cpu")\n', "mmcourse/sums.py": SUMS,
        "mmcourse/checks.py": "def check(number, answer):\n    print(number, answer(2) == 4, 'passed')\n",
        "README.md": "# Course\n\n<!-- syllabus -->\n<!-- /syllabus -->\n\nThe end.\n",
        "pyproject.toml": '[project.urls]\nRepository = "https://github.com/OWNER/mmcourse"\n',
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    (root / "lessons/01_modalities").mkdir()
    return root


@pytest.fixture
def root(tmp_path):
    return course(tmp_path)


def faults(root, name, text):
    """What `read` says about a file with this text, as (line, sentence) pairs."""
    path = root / "lessons/11_attention" / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as error:
        read(path, root)
    pairs = []
    for line in str(error.value).splitlines():
        shown, number, what = line.split(":", 2)
        assert shown == f"lessons/11_attention/{name}" and ";" in what
        pairs.append((int(number), what))
    return pairs


def test_cells_are_those_of_jupytext_and_know_their_lines(root):
    source = read(root / "lessons/11_attention/lesson.py", root)
    cells = jupytext.reads(LESSON, fmt="py:percent").cells[1:]        # the header is the first
    assert [(cell.kind, cell.source) for cell in source.cells if "include" not in cell.options] == \
        [(cell.cell_type, cell.source) for cell in cells if "include" not in cell.metadata]
    lines = LESSON.splitlines()
    assert all(lines[cell.line - 1].startswith("# %%") for cell in source.cells)
    assert [cell.line for cell in source.cells] == [i for i, line in enumerate(lines, 1) if line[:4] == "# %%"
                                                    and "not a cell" not in line]
    assert "!echo hello" in source.cells[3].source.splitlines()
    assert source.cells[0].options == {"slideshow": {"slide_type": "slide", "minutes": 2}}
    assert (source.kind, source.number, source.name) == ("lesson", 11, "11_attention")


def test_windows_files_read_the_same(root):
    path = root / "lessons/11_attention/lesson.py"
    expected = read(path, root)
    path.write_bytes(b"\xef\xbb\xbf" + LESSON.replace("\n", "\r\n").encode())
    assert read(path, root) == expected


def test_includes_are_the_exact_text(root):
    source = read(root / "lessons/11_attention/lesson.py", root)
    start = SUMS.index("@functools")
    assert source.cells[2].source == SUMS[start:SUMS.index("\n\n\ndef triple")]
    both = definitions("mmcourse/sums.py::triple + Sum.half", root)
    assert both == ("def triple(x):\n    return 3 * x\n\n\n"
                    "@property\ndef half(self):\n    return self.whole / 2")


long_text = "# " + "word " * (prose.MAX_WORDS + 1)
LESSON_FAULTS = [
    # what stands there, what stands there instead, the line that is blamed begins with, the message contains
    ("# title: Attention\n", "", "# ---", "the header has no title"),
    ("# title:", "# titel: x\n# title:", "# titel", "the header key titel is unknown"),
    ("# minutes: 75", "# minutes: 75\n# minutes: 80", "# minutes: 80", "gives minutes twice"),
    ("# minutes: 75", "# minutes: long", "# minutes", "minutes must be a whole number"),
    ("# minutes: 75", "# minutes: -3", "# minutes", "minutes must be above 0"),
    ("# minutes: 75", "# minutes: true", "# minutes", "minutes must be a whole number"),
    ("level: beginner", "level: easy", "# level", "write beginner, intermediate, advanced"),
    ("compute attention by hand", "this: that", "# objectives", "objectives must be sentences"),
    ("question: How", "question: Why: how", "# question", "the header is no YAML"),
    ("attention: 注意力", "no: 不", "# words", "words must be pairs"),
    ("prerequisites: [1]", "prerequisites: [one]", "# prerequisites", "must be lesson numbers"),
    ("prerequisites: [1]", "prerequisites: [2]", "# prerequisites", "lesson 2, which does not exist"),
    ("prerequisites: [1]", "prerequisites: [11]", "# prerequisites", "lesson 11, which comes no earlier"),
    ("# ---\n\n# %%", "# ---\nimport os\n\n# %%", "import os", "text before the first cell"),
    ('"slide_type": "slide"', '"slide_type": "page"', "# %% [markdown] slideshow", "slideshow is"),
    ('slideshow={"slide_type"', 'slidshow={"slide_type"', "# %% [markdown] slid", "slidshow is no option"),
    ('output"]', 'output"', "# %% tags", "cannot be read"),
    ('tags=["nbval-ignore-output"]', 'tags="nbval"', "# %% tags", "'nbval' is not of type 'array'"),
    ("# %%\nimport functools", '# %% answer="11.1"\nimport functools', "# %% answer", "answer is no option"),
    ("# %%\nimport functools", "# %% [raw]\n# functools", "# %% [raw]", "a raw cell has no place here"),
    ("# %%\nimport functools", "# %%\n", "# %%\n", "the cell is empty"),
    ("# %% [markdown]\n# ###", "# % [markdown]\n# ###", "# % [", "the cell marker is misspelt"),
    ("# %% [markdown]\n# ###", "# %%[markdown]\n# ###", "# %%[", "the cell marker is misspelt"),
    ("# ### Smaller", "print('no marker')", "print('no", "does not begin with `#`"),
    ("sums.py::double", "sums.py::treble", "# %% include", "treble, which mmcourse/sums.py does not define"),
    ("sums.py::double", "sum.py::double", "# %% include", "mmcourse/sum.py, which does not exist"),
    ("sums.py::double", "sums.py", "# %% include", "names no code"),
    ("mmcourse/sums.py::double", "mmcourse/../x.py::double", "# %% include", "names no code"),
    ("::double\"\n", "::double\"\nprint()\n", "# %% include", "no text of its own"),
    ("# ## A first idea", "# # A first idea", "# # A first", "the heading has level 1"),
    ("# ### Smaller", "# ##### Smaller", "# ##### Smaller", "level 5 after level 2; use 3"),
    ("# Some prose", "# ![a dot](dot.png) prose", "# ![a dot]", "a markdown image has no place"),
    ("# Some prose", "# <img src='dot.png'> prose", "# <img", "a markdown image has no place"),
    ("# ### Smaller", long_text, "# %% [markdown]\n# word", "111 words; split it"),
    ("# ### Smaller", "# | " + "cell | " * 80, "# %% [markdown]\n# |", "with its tables and formulas"),
    ("import functools", "\n".join(f"x = {i}" for i in range(26)), "# %%\nx = 0", "has 26 lines; split it"),
    ('# %% [markdown] template="words"\n', "", "# ---", "there are 0 cells for the words"),
    ('template="words"', 'template="word"', "# %% [markdown] template", 'the only template is "words"'),
    ("print(sums.triple(3))", "### BEGIN SOLUTION\n### END SOLUTION", "### BEGIN", "outside an answer cell"),
]
EXERCISE_FAULTS = [
    ("        ### BEGIN SOLUTION\n        raise", "### BEGIN SOLUTION\n        raise", "# %% answer", "the cell is no Python; indent"),
    ("# ## 11.1 Twice", "# ## 11.1 Twice\n# `return doubled_number`", "    return doubled", "this solution line can be read"),
    ('check("11.1", twice)', '# check("11.1", twice)', "# %% check", "does not call check"),
    ("[1, 11]", "[1]", "# prerequisites", "leaves out lesson 11 itself"),
    ("# minutes: 45", "# minutes: 45\n# level: beginner", "# level", "the header key level is unknown"),
    ('answer="11.1"', "answer=11.1", "# %% answer", "answer must be text"),
    ('answer="11.1"', 'answer="11.2"', "# %% answer", "exercise 11.2 has no task"),
    ('task="11.1"', "", "# %% answer", "exercise 11.1 has no task"),
    ('check="11.1" points=3', "", "# %% [markdown] task", "exercise 11.1 has no check"),
    (" points=3", "", "# %% check", "has no points"),
    ("points=3", "points=0", "# %% check", "has no points"),
    ("points=3", 'points="3"', "# %% check", "points must be a whole number"),
    ('answer="11.1"', 'answer="11.1" points=3', "# %% answer", "points belong on a cell with check"),
    ('check("11.1", twice)', 'check("11.2", twice)', "# %% check", 'does not call check("11.1", ...)'),
    ("11.1", "12.1", "# %% [markdown] task", 'task="12.1" does not belong to lesson 11'),
    ("        ### BEGIN SOLUTION", "        ## BEGIN SOLUTION", "        ##", "write exactly `### BEGIN"),
    ("        ### BEGIN SOLUTION", "        ### BEGIN SOLUTON", "        ###", "write exactly `### BEGIN"),
    ("        ### END SOLUTION\n", "        ### End solution\n", "        ### End", "write exactly `### END"),
    ("        ### END SOLUTION\n", "", "    ### BEGIN SOLUTION\n    doubled", "has not ended"),
    ("    ### END SOLUTION\n\n", "\n", "    ### BEGIN SOLUTION\n    doubled", "is never closed"),
    ("        ### BEGIN SOLUTION\n", "", "        ### END", "no solution is open here"),
    ('raise ValueError("no number")', "# nothing yet\n        pass", "# %% answer", "no more than its stub"),
    ("# ## 11.1 Twice", "# ## doubled_number = number + number", "    doubled_n", "can be read in"),
]


def blamed(text, start):
    """The number of the line at which `start` begins in `text`."""
    return 1 if start == "# ---" else text[:("\n" + text).index("\n" + start)].count("\n") + 1


@pytest.mark.parametrize("old, new, start, message", LESSON_FAULTS)
def test_a_fault_of_a_lesson_is_named_with_its_line(root, old, new, start, message):
    assert old in LESSON
    text = LESSON.replace(old, new, 1)
    assert (blamed(text, start), message) in [(line, message if message in what else what)
                                              for line, what in faults(root, "lesson.py", text)]


@pytest.mark.parametrize("old, new, start, message", EXERCISE_FAULTS)
def test_a_fault_of_exercises_is_named_with_its_line(root, old, new, start, message):
    assert old in EXERCISES
    text = EXERCISES.replace(old, new) if old == "11.1" else EXERCISES.replace(old, new, 1)
    assert (blamed(text, start), message) in [(line, message if message in what else what)
                                              for line, what in faults(root, "exercises.py", text)]


def test_ids_are_given_once_and_cells_come_in_order(root):
    answer, check = EXERCISES.index("# %% answer"), EXERCISES.index("# %% check")
    twice = EXERCISES + "\n" + EXERCISES[answer:check]
    assert [what for _, what in faults(root, "exercises.py", twice) if "stands already in line 13" in what]
    swapped = EXERCISES[:answer] + EXERCISES[check:] + "\n" + EXERCISES[answer:check]
    (line, what), = faults(root, "exercises.py", swapped)
    assert line == 10 and "out of order" in what


def test_all_faults_of_a_file_come_together_in_order(root):
    text = LESSON.replace("beginner", "easy").replace("::double", "::treble").replace("# ###", "# #")
    lines = [line for line, _ in faults(root, "lesson.py", text)]
    assert len(lines) == 3 and lines == sorted(lines)


@pytest.mark.parametrize("text", ["", "\n\n", "import os\n", "# %%\nimport os\n", "# ---\n# title: x\n"])
def test_a_file_without_header(root, text):
    assert (1, ) == tuple({line for line, what in faults(root, "lesson.py", text) if "has no header" in what})


def test_files_that_cannot_be_read(root):
    path = root / "lessons/11_attention/lesson.py"
    path.write_bytes(b"# caf\xe9")
    with pytest.raises(UsageError, match="lesson.py:1: the file is not UTF-8 text"):
        read(path, root)
    path.unlink()
    with pytest.raises(UsageError, match="lesson.py:1: the file is missing"):
        read(path, root)


def test_lesson_folders(root):
    (root / "lessons/.ipynb_checkpoints").mkdir()
    (root / "lessons/__pycache__").mkdir()
    assert list(folders(root)) == [1, 11]
    (root / "lessons/11_other").mkdir()
    with pytest.raises(UsageError, match="have the same number"):
        folders(root)
    (root / "lessons/11_other").rename(root / "lessons/notes")
    with pytest.raises(UsageError, match="lessons/notes is no lesson folder"):
        folders(root)


def test_words_are_counted_as_a_reader_reads():
    assert not list(prose.too_long("word " * 110 + "\n<details>\n" + "hidden " * 500 + "</details>"))
    assert not list(prose.too_long("word " * 100 + "\n| a | b |\n|---|---|\n\n$$ a + b = c $$"))
    assert list(prose.too_long("word " * 111))


def test_stubs_keep_the_indentation(root):
    source = read(root / "lessons/11_attention/exercises.py", root)
    assert exercises.stub(source.cells[2].source, "11.1") == '''def twice(number):
    if number is None:
        # YOUR CODE HERE
        raise NotImplementedError("11.1 is not written yet")
    # YOUR CODE HERE
    raise NotImplementedError("11.1 is not written yet")'''
