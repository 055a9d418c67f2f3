"""The grader: only answers are taken, they run in a sandbox, one bad answer costs itself, one bad file costs itself."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import minicourse
import pytest

import mmcourse
from mmcourse import UsageError, checks, cli, grading
from mmcourse.grading import canaries, judge, report, run, sandbox

BOX = sandbox.bubblewrap()
needs_box = pytest.mark.skipif(BOX is None, reason="bubblewrap is not there, or not allowed here")


@pytest.fixture
def course(tmp_path, monkeypatch):
    minicourse.make(tmp_path)
    monkeypatch.setattr(mmcourse, "root", lambda: tmp_path)
    monkeypatch.setattr(checks, "find", minicourse.find)
    monkeypatch.setattr(judge, "EXERCISE_SECONDS", 3)
    monkeypatch.delenv("MMCOURSE_WORK", raising=False)
    return tmp_path


@pytest.fixture
def grade(course, capfd):
    """Mark notebooks or files of the learner's: the exit code, {exercise: (points, verdict, hint)} for each, and stderr."""
    def mark(*submissions, options=("--jobs", "1")):
        paths = [minicourse.write(given, course / "my_work" / f"{n}.ipynb") if hasattr(given, "cells") else given
                 for n, given in enumerate(submissions)]
        code = cli.main(["grade", *options, *map(str, paths)])
        printed = capfd.readouterr()
        files = re.split(r"^/\S.*\n", printed.out, flags=re.M)[1:]
        line = re.compile(r"^  (\S+) +(\d+) of \d+(?:   (\w+(?: \w+)?) +[\d.]+ s *(.*))?$", flags=re.M)
        tables = [{row[0]: (int(row[1]), row[2], row[3].replace("A number was measured.", "").strip())
                   for row in line.findall(text)} for text in files]
        errors = "".join(text for text in printed.err.splitlines(True) if not text.startswith("mmcourse: Without bubblewrap"))
        return code, tables, errors
    return mark


def test_right_answers_stubs_and_wrong_ones(grade):
    right, stubs = minicourse.solved(11), minicourse.exercises(11)
    mixed = minicourse.exercises(11, {"11.1": "def double(x):\n    return x + x", "11.2": "triple = abs"})
    code, tables, errors = grade(right, stubs, mixed)
    assert (code, errors) == (0, "")
    no, wrong = (0, "not done", ""), (0, "wrong", "look at the factor")
    assert tables == [
        {"11.1": (2, "pass", ""), "11.2": (3, "pass", ""), "11.3": (1, "pass", ""), "total": (6, "", "")},
        {"11.1": no, "11.2": no, "11.3": no, "total": (0, "", "")},
        {"11.1": (2, "pass", ""), "11.2": wrong, "11.3": no, "total": (2, "", "")}]


ANSWERS = [
    ("def triple(x)\n    return 3 * x", "syntax", "expected ':' in line 1"),
    ("import os\ndef triple(x):\n    os._exit(0)", "died", "process was ended"),
    ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "died", "killed"),
    ("while True:\n    pass", "time", "no end"),
    ("raise SystemExit", "wrong", "SystemExit"),
    ("def my_triple(x):\n    return 3 * x", "not found", "it defines `my_triple`"),
    ("def triple(x):\n    return np.multiply(3, x)", "wrong", "'np' is not defined (only answer cells"),
    ("def triple(x):\n    raise NotImplementedError('sparse')", "wrong", "sparse"),
    ("def triple(x):\n    return x.three", "wrong", "AttributeError in line 2: 'int' object has no attribute 'three'"),
    ("def triple(x):\n    raise ValueError(f'it was {x} and {x / 7} and {[x]}')", "wrong", "it was ... and ... and [...]"),
    ("def triple(x):\n    return bytearray(10 ** 12)", "memory", "more memory"),
    ("", "not done", ""),
]


@pytest.mark.parametrize("answer, verdict, hint, boxed", [
    *(pytest.param(*row, True, marks=needs_box) for row in ANSWERS), *((*row, False) for row in ANSWERS[1:5])])
def test_a_bad_answer_costs_its_own_points_only(answer, verdict, hint, boxed, course):
    """Inside bubblewrap, and with limits alone where there is none."""
    notebook = minicourse.solved(11, {"11.2": answer})
    answers = {cell.id[7:].replace("-", "."): [cell.source] for cell in notebook.cells if cell.id.startswith("answer")}
    one, two, three = judge.judge(minicourse.exercises(11), answers, "seed", BOX if boxed else None)
    assert (one.verdict, two.verdict, three.verdict) == ("pass", verdict, "pass") and hint in two.hint
    assert (one.points, two.points, three.points) == (2, 0, 1)


def test_two_that_end_the_process_leave_the_third(grade):
    deadly = "import os\nos._exit(1)"
    _, (marks,), _ = grade(minicourse.solved(11, {"11.1": deadly, "11.2": deadly}))
    assert [marks[exercise][1] for exercise in ("11.1", "11.2", "11.3")] == ["died", "died", "pass"]


def test_the_whole_file_has_a_time_limit(grade, monkeypatch):
    monkeypatch.setattr(judge, "EXERCISE_SECONDS", 60)
    monkeypatch.setattr(judge, "FILE_SECONDS", 4)
    _, (marks,), _ = grade(minicourse.solved(11, {"11.2": "import time\ntime.sleep(30)"}))
    assert [marks[exercise][1] for exercise in ("11.1", "11.2", "11.3")] == ["pass", "time", "time"]


def test_a_course_that_does_not_run_here_is_nobodys_zero(grade, course):
    master = minicourse.exercises(11)
    master.cells[0].source = "import a_module_that_is_not_there"
    minicourse.write(master, course / "exercises" / "11_second.ipynb")
    code, (marks,), _ = grade(minicourse.solved(11))
    assert code == 2 and marks["11.1"][1] == "grader error" and "own cells do not run here" in marks["11.1"][2]


def test_the_same_seed_gives_the_same_inputs_and_another_one_others(course):
    """A hard-coded answer is right for one draw at most; what is drawn depends on seed and exercise alone."""
    def first(seed):
        seen = []

        def judged(answer):
            import random
            seen.append(random.random())
            seen.append(answer(1))
        court = judge._Court(judge.Plan.of(minicourse.exercises(11)), seed, BOX, 0)
        court._open()
        checks.REGISTRY["x"] = None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(checks, "find", lambda number: checks.Check(1, judged))
            source = "import random\ndef triple(x):\n    return random.random()"
            court.mark("11.2", {"11.2": source}, 3)
        court.close()
        return seen
    checks.REGISTRY.pop("x", None)
    one, again, other = first("a"), first("a"), first("b")
    checks.REGISTRY.pop("x", None)
    assert one == again and one[0] != other[0] and one[1] != one[0]


BAD = {
    "empty": (b" \n", "is empty"),
    "text": (b"hello", "not a notebook"),
    "binary": (b"\xff\xfe\x00", "not a notebook"),
    "list": (b"[]", "format 4"),
    "old": (b'{"worksheets": [], "nbformat": 3}', "format 4"),
    "cut": (b'{"cells": [{"id": "answer-11-1"', "not a notebook"),
    "strange": (b'{"cells": [1, null, {"id": 5, "metadata": []}]}', "holds no exercise"),
    "foreign": (b'{"cells": [{"id": "a", "source": "x"}], "metadata": {"mmcourse": 3}}', "holds no exercise"),
}


def test_bad_files_get_a_sentence_each_and_the_others_are_marked(grade, course):
    folder = course / "my_work"
    folder.mkdir()
    for name, (content, _) in BAD.items():
        (folder / f"{name}.ipynb").write_bytes(content)
    (folder / "nothing_in_it").mkdir()
    paths = [folder / "nothing_in_it", *(folder / f"{name}.ipynb" for name in BAD)]
    paths += [folder / "nothing.ipynb", course / "notebooks" / "11_second.ipynb"]
    wanted = ["holds no notebook", *(said for _, said in BAD.values()), "No such file", "holds no exercise"]
    code, tables, errors = grade(*paths, minicourse.solved(1))
    lines = errors.splitlines()
    assert code == 2 and len(lines) == len(paths)
    for line, path, said in zip(lines, paths, wanted):
        assert line.startswith(f"mmcourse: {path} ") and said in line
    assert tables == [{"01.1": (1, "pass", ""), "total": (1, "", "")}]


def test_a_file_without_read_permission(tmp_path):
    minicourse.make(tmp_path, package=True)
    path = minicourse.write(minicourse.exercises(11), tmp_path / "my_work" / "mine.ipynb")
    path.chmod(0)
    told = minicourse.run(tmp_path, "grade", "my_work/mine.ipynb", prefix=minicourse.unprivileged())
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.splitlines()[-1] == "mmcourse: my_work/mine.ipynb cannot be read (Permission denied)."


def test_what_no_screen_can_show_is_spelled_out(grade, course):
    """In an error's text and in a file's name: half characters would end the run, control codes could write another table."""
    texts = r"\ud800 \x1b[2J\r  11.2    3 of 3   pass \u202e 数"
    loud = minicourse.solved(11, {"11.2": f"def triple(x):\n    raise ValueError('{texts}')"})
    path = minicourse.write(minicourse.solved(1), course / "my_work" / os.fsdecode(b"\xff\n  total 9 of 9.ipynb"))
    code, (first, second), errors = grade(loud, path, options=("--jobs", "1", "--report", str(course / "report")))
    assert (code, errors) == (0, "") and second["total"][0] == 1
    assert first["11.2"] == (0, "wrong", f"ValueError in line 2: {texts}")
    assert r"\udcff\n  total 9 of 9.ipynb" in (course / "report" / "report.html").read_text("utf-8")


# ---- the sandbox ----

@needs_box
def test_every_canary_is_stopped(capsys):
    assert grading.selftest() == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 16 and all(line.startswith("[ok] ") for line in lines)


def test_other_peoples_files_need_a_sandbox_that_holds(course, monkeypatch, capsys):
    path = minicourse.write(minicourse.solved(1), course / "handed_in" / "one.ipynb")
    monkeypatch.setattr(sandbox, "bubblewrap", lambda: None)
    assert cli.main(["grade", str(path)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and "other people's files" in said.err and "--without-sandbox" in said.err
    monkeypatch.setattr(sandbox, "bubblewrap", lambda: "/usr/bin/bwrap")
    monkeypatch.setattr(canaries, "run", lambda boxed: {"network": ["1.1.1.1"], "files": []})
    assert cli.main(["grade", str(path)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and "does not hold here (network)" in said.err
    assert cli.main(["grade", "--without-sandbox", "--report", str(course / "report"), str(path)]) == 0
    assert "Marked without a sandbox" in (course / "report" / "report.html").read_text()


def test_the_filter_of_system_calls_is_well_formed():
    """No jump leaves the program, and both machines have one."""
    for machine in sandbox.MACHINES:
        code = sandbox.seccomp(machine)
        lines = [sandbox.struct.unpack("<HBBI", code[i:i + 8]) for i in range(0, len(code), 8)]
        assert 40 < len(lines) < 100 and lines[-1] == (6, 0, 0, 0x7FFF0000)
        assert all(i + 1 + max(yes, no) < len(lines) for i, (kind, yes, no, _) in enumerate(lines) if kind & 7 == 5)
    assert sandbox.seccomp("riscv64") == b""


def test_nothing_is_unpickled_from_an_answer():
    for path in (minicourse.CHECKOUT / "mmcourse" / "grading").glob("*.py"):
        assert not re.search(r"import pickle|pickle\.\w|torch\.load|marshal|dill", path.read_text("utf-8")), path


# ---- the class ----

@pytest.fixture
def handed_in(course):
    """A class of five: right, wrong, Canvas's and Moodle's names, an older copy; and a gradebook of each kind."""
    folder = course / "my_work" / "class"
    zero = {"11.2": "def triple(x):\n    return 0"}
    minicourse.write(minicourse.solved(11), folder / "solana_101_9001_11_second.ipynb")
    minicourse.write(minicourse.solved(11, zero), folder / "beaubo_102_9002_11_second.ipynb")
    minicourse.write(minicourse.solved(11), folder / "Cy Ng_103_assignsubmission_file_" / "11_second.ipynb")
    old = minicourse.write(minicourse.exercises(11), folder / "ana" / "11_second.ipynb")
    os.utime(old, (1, 1))
    minicourse.write(minicourse.solved(11), folder / "ana" / "11_second (1).ipynb")
    minicourse.write(minicourse.solved(11, zero), folder / "=1+1.ipynb")
    (course / "canvas.csv").write_text(
        "Student,ID,SIS User ID,SIS Login ID,Section,Exercises 11 (77)\n    Points Possible,,,,,6\n"
        '"Sol, Ana",101,,sol,one,\n"=Beau, Bo",102,,bo,one,\n"Ng, Cy",103,,ng,one,\n"Ana, A",104,,ana,one,\n', encoding="utf-8")
    return folder


@pytest.mark.parametrize("folder, path, who", [
    ("in", "solana_101_9001_34_text2image.ipynb", "101"), ("in", "beau_LATE_102_9002_a.ipynb", "102"),
    ("in", "Cy Ng_103_assignsubmission_file_/11_attention.ipynb", "103"), ("in/Cy_103_assignsubmission_file_", "a.ipynb", "103"),
    ("submitted", "dee/11/11_attention.ipynb", "dee"), ("in", "submitted/dee/11/11_attention.ipynb", "dee"),
    ("submitted/dee/11", "11_attention.ipynb", "dee"), ("submitted", "dee/11/hw_11_2_final.ipynb", "dee"),
    ("in", "eve/34_text2image.ipynb", "eve"), ("in", "eve/34_text2image (2).ipynb", "eve"), ("in", "eve/my_work/a.ipynb", "eve"),
    ("in", "eve/11_attention_v2.ipynb", "eve"), ("in/eve", "11_attention-Copy1.ipynb", "eve"),
    ("in", "11_attention_fay.ipynb", "11_attention_fay"), ("in", "gus.ipynb", "gus"),
    # who names things within what was handed in for somebody else stays who handed it in
    ("in", "Ana_1234_assignsubmission_file_/Bo_5678_assignsubmission_file_.ipynb", "1234"),
    ("in", "Ana_1234_assignsubmission_file_x_5678_assignsubmission_file_a.ipynb", "1234"),
    ("in", "ana/bo/11_attention.ipynb", "ana"), ("submitted", "ana/01/submitted/bo/01_modalities.ipynb", "ana"),
    ("in", "ana/submitted/bo/01_modalities.ipynb", "ana")])
def test_who_handed_a_file_in(folder, path, who):
    assert run.student(Path("/", folder), Path(path).parts) == who


def test_what_lies_beside_the_notebooks_is_named(tmp_path):
    for name in ("ana/11.ipynb", "ana/notes.txt", "bo/11.ipynb.txt", "cy.zip", "dee.IPYNB", ".hidden/x.txt", "timestamp.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    found, problems = run.files([tmp_path])
    assert found == {tmp_path / "ana" / "11.ipynb": "ana", tmp_path / "dee.IPYNB": "dee"}
    assert [problem.split(" holds")[0] for problem in problems] == [str(tmp_path / name) for name in ("bo", "cy.zip")]


def test_reports_of_a_class(handed_in, course, capsys):
    target = course / "report"
    code = cli.main(["grade", str(handed_in), "--report", str(target), "--gradebook", str(course / "canvas.csv"), "--column",
                     "Exercises 11 (77)", "--jobs", "2"])
    said = capsys.readouterr()
    assert code == 0 and "Not in" in said.err and "=1+1" in said.err
    assert "ana/11_second.ipynb does not count: ana has a newer file of 11_second." in said.err
    filled = list(csv.reader(open(target / "filled_canvas.csv", encoding="utf-8")))
    original = list(csv.reader(open(course / "canvas.csv", encoding="utf-8")))
    assert [row[:5] for row in filled] == [row[:5] for row in original]             # one column is filled, the rest is as it was
    assert [row[5] for row in filled] == ["Exercises 11 (77)", "6", "6", "3", "6", "6"]
    rows = list(csv.reader(open(target / "marks.csv", encoding="utf-8")))
    assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in row)
    counted = {(row[0], row[-1]) for row in rows[1:]}
    assert ("ana", "yes") in counted and ("ana", "no") in counted
    scores = list(csv.DictReader(open(target / "nbgrader.csv", encoding="utf-8")))
    assert {row["student_id"]: row["score"] for row in scores}["101"] == "6"
    page = (target / "report.html").read_text("utf-8")
    assert "Do not count" in page and "Where the class stumbles" in page and "look at the factor" in page
    assert 'aria-label="3 pass, 2 wrong"' in page
    seed = json.loads((target / "run.json").read_text())["seed"]
    assert len(seed) == 32 and all(seed not in (target / name).read_text("utf-8") for name in ("report.html", "marks.csv", "marks.json"))


def test_a_gradebook_keeps_how_it_begins_and_a_huge_cell_gets_a_sentence(tmp_path):
    book = tmp_path / "book.csv"
    for begin in ("", "\ufeff"):
        book.write_text(f"{begin}ID,Mark\nana,\n", encoding="utf-8")
        assert report.fill(book, "Mark", [], tmp_path / "out.csv") == []
        assert (tmp_path / "out.csv").read_bytes() == book.read_bytes()
    book.write_text(f"ID,Mark\nana,{'x' * 200_000}\n", encoding="utf-8")
    with pytest.raises(UsageError, match="is no table of a gradebook"):
        report.fill(book, "Mark", [], tmp_path / "out.csv")


def test_a_gradebook_that_does_not_fit_gets_a_sentence(course, tmp_path, monkeypatch):
    book = tmp_path / "book.csv"
    book.write_text("Name,Mark\nAna,\n", encoding="utf-8")
    for column, said in (("Points", "has no column 'Points'"), ("Mark", "names no students")):
        with pytest.raises(UsageError, match=said):
            report.fill(book, column, [], tmp_path / "out.csv")
    monkeypatch.setattr(run, "mark_all", None)                       # it is said before anything is marked
    path = minicourse.write(minicourse.solved(1), course / "my_work" / "one.ipynb")
    assert cli.main(["grade", str(path), "--report", str(tmp_path / "r"), "--gradebook", str(book), "--column", "Points"]) == 2
    with pytest.raises(UsageError, match="cannot be read"):
        report.fill(tmp_path / "none.csv", "Mark", [], tmp_path / "out.csv")


def test_what_is_marked_is_not_marked_again_and_what_changed_is(handed_in, course, capsys, monkeypatch):
    target = course / "report"
    marked = []
    real = run._begin
    monkeypatch.setattr(run, "_begin", lambda path, *rest: marked.append(path) or real(path, *rest))
    command = ["grade", str(handed_in), "--report", str(target), "--jobs", "1"]
    assert cli.main(command) == 0 and len(marked) == 6
    first = (target / "marks.json").read_bytes()
    assert cli.main(command) == 0 and len(marked) == 6 and (target / "marks.json").read_bytes() == first
    minicourse.write(minicourse.exercises(11), handed_in / "solana_101_9001_11_second.ipynb")
    assert cli.main(command) == 0 and len(marked) == 7
    (target / "marks" / os.listdir(target / "marks")[0]).write_text("{")                     # half a file is no mark
    assert cli.main(command) == 0 and len(marked) == 8


def test_a_grader_that_is_killed_goes_on_where_it_was(tmp_path):
    """kill -9 at different moments: nothing is left running, and in the end the marks are those of an undisturbed run."""
    minicourse.make(tmp_path, package=True)
    folder = tmp_path / "my_work" / "class"
    for number in range(4):
        minicourse.write(minicourse.solved(11, {"11.2": "import time\ntime.sleep(0.2)\ntriple = abs"}), folder / f"{number}.ipynb")
    script = tmp_path / "grade.py"
    script.write_text("import sys\nimport minicourse\nfrom mmcourse import checks, cli\nchecks.find = minicourse.find\n"
                      "sys.exit(cli.main(['grade', 'my_work/class', '--report', sys.argv[1], '--jobs', '2']))\n")
    environment = minicourse.environment(tmp_path) | {"PYTHONPATH": f"{tmp_path}:{minicourse.CHECKOUT / 'tests'}"}

    def start(name):
        return subprocess.Popen([sys.executable, script, name], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
    assert start("whole").wait(120) == 0
    for seconds in (4.0,):
        process = start("broken")
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start("broken").wait(120) == 0

    def verdicts(name):
        files = json.loads((tmp_path / name / "marks.json").read_text())["files"]
        return [(one["file"], mark["exercise"], mark["verdict"], mark["points"], mark["hint"]) for one in files for mark in one["marks"]]
    assert verdicts("whole") == verdicts("broken") and len(verdicts("whole")) == 12
    time.sleep(0.5)
    assert str(tmp_path) not in subprocess.check_output(["ps", "-eo", "args="], text=True).replace(" ".join(sys.argv), "")


def test_a_full_disk_loses_no_marks_on_the_screen(handed_in, course, capsys, monkeypatch):
    def full(path, text):
        raise OSError(28, "No space left on device")
    store = run.Store(course / "report")
    monkeypatch.setattr(run, "write", full)
    results = []
    run.mark_all({handed_in / "solana_101_9001_11_second.ipynb": "101"}, store, None, 1, lambda path, result: results.append(result))
    assert report.total(results[0]) == 6 and "could not be kept (No space left on device)" in capsys.readouterr().err


def test_a_report_where_nothing_can_be_written(course, capsys):
    (course / "file").write_text("")
    path = minicourse.write(minicourse.solved(1), course / "my_work" / "one.ipynb")
    assert cli.main(["grade", str(path), "--report", str(course / "file" / "report")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    (course / "strange").mkdir()
    (course / "strange" / "run.json").write_text("[]")
    assert cli.main(["grade", str(path), "--report", str(course / "strange")]) == 2
    assert "not the record of a run" in capsys.readouterr().err


def test_the_courses_own_solutions_get_full_marks(capfd):
    path = minicourse.CHECKOUT / "solutions" / "11_attention.ipynb"
    assert cli.main(["grade", str(path)]) == 0
    total = re.search(r"total +(\d+) of (\d+)", capfd.readouterr().out)
    assert total[1] == total[2] and int(total[2]) > 0


def test_mutated_notebooks_get_a_verdict_or_a_sentence(course, monkeypatch):
    """Forty here; `python tests/bench_grading.py fuzz` makes 2,000."""
    import bench_grading
    counts = bench_grading.fuzz(40, course, seed=11)
    assert counts["marks"] > 3 and counts["sentence"] > 3


def test_gradients_flow_through_a_call(course):
    """A check may ask what a loss does to its inputs: the step of autograd crosses, too."""
    import torch
    plan = judge.Plan.of(minicourse.exercises(11))
    plan.cells[0] = ("other", None, "import torch")
    seen = []

    def judged(answer):
        x, y = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)
        loss, parts = answer(x, {"y": y})
        (2 * loss + parts["twice"].sum()).backward()
        seen.extend([torch.allclose(x.grad, 2 * y.detach() + 2), torch.allclose(y.grad, 2 * x.detach())])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "find", lambda number: checks.Check(1, judged))
        patch.setattr(judge, "EXERCISE_SECONDS", 30)
        court = judge._Court(plan, "seed", BOX, 0)
        mark = court.mark("11.2", {"11.2": "def triple(x, more):\n    return (x * more['y']).sum(), {'twice': 2 * x}"}, 30)
        court.close()
    assert (mark.verdict, seen) == ("pass", [True, True])


def test_functions_modules_and_records_cross(course):
    """Modules of known classes cross as their parts, other functions are called where they are, both ways."""
    import torch
    from mmcourse import world
    plan = judge.Plan.of(minicourse.exercises(11))
    plan.cells[0] = ("other", None, "import torch\nfrom mmcourse import world")
    seen = {}

    def judged(answer):
        layer, scene = torch.nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True).eval(), world.sample(3)
        x = torch.randn(1, 4, 8)
        got = answer(layer, x, lambda value: value + 41, scene)
        seen.update(layer=torch.allclose(got[0], layer(x), atol=1e-5), called=got[1] == 42, scene=got[2] == scene,
                    back=got[3](2) == 6, kinds=got[4] == [float("inf"), {1, 2}, (True, None), torch.int64, range(3)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "find", lambda number: checks.Check(1, judged))
        patch.setattr(judge, "EXERCISE_SECONDS", 30)
        court = judge._Court(plan, "seed", BOX, 0)
        source = ("def triple(layer, x, more, scene):\n    assert isinstance(layer, torch.nn.Module)\n"
                  "    kinds = [float('inf'), {1, 2}, (True, None), torch.int64, range(3)]\n"
                  "    return layer(x), more(1), world.sample(3), lambda y: 3 * y, kinds\n")
        mark = court.mark("11.2", {"11.2": source}, 30)
        court.close()
    assert mark.verdict == "pass" and all(seen.values()) and len(seen) == 5, (mark, seen)
