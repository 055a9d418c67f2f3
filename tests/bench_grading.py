"""The grader's larger runs: `python tests/bench_grading.py fuzz|kills|hundred|overhead [NUMBER]`. Minutes each; not part of make test.

fuzz      2,000 mutated notebooks: each gets a verdict or one sentence, never a traceback
kills     kill -9 at 20 random moments of a class run: the marks are those of an undisturbed run, and nothing runs on
hundred   100 submissions of five exercises and more on all cores: minutes, and is the growth linear
overhead  what the sandbox costs: the same file with bubblewrap and with limits alone
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import minicourse
import nbformat

import mmcourse
from mmcourse import checks
from mmcourse.grading import judge, run, sandbox, submission

PIECES = (b"null", b"[]", b"{}", b'"', b"\\u0000", b"-1e999", b"\xff", b"answer-11-2", b"{" * 50, b"\r", b"true", b"\\ud800")


def mutated(raw, dice):
    """A notebook's bytes with something done to them: to the tree, to bytes, or cut off."""
    kind = dice.randrange(4)
    if kind == 0:
        return raw[:dice.randrange(len(raw))]
    if kind == 1:
        data = bytearray(raw)
        for _ in range(dice.randint(1, 8)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        return bytes(data)
    if kind == 2:
        place = dice.randrange(len(raw))
        return raw[:place] + dice.choice(PIECES) + raw[place + dice.randrange(20):]
    tree = json.loads(raw)
    for _ in range(dice.randint(1, 3)):
        node = tree
        while isinstance(node, (dict, list)) and node:
            keys = list(node) if isinstance(node, dict) else range(len(node))
            key = dice.choice(list(keys))
            if dice.random() < 0.3 or not isinstance(node[key], (dict, list)):
                node[key] = dice.choice([None, 1, -1.5, "", "x" * 9, [], {}, [None], {"a": []}, True, 10 ** 30, "\ud800", "def triple(x):"])
                break
            node = node[key]
    return json.dumps(tree).encode()


def fuzz(number, folder, seed=0):
    """Mark `number` mutated notebooks of the small course: how many got marks and how many a sentence. Asserts on the way."""
    dice, counts, boxed = random.Random(seed), {"marks": 0, "sentence": 0}, sandbox.bubblewrap()
    minicourse.make(folder)
    raw = json.dumps(minicourse.solved(11)).encode()
    for n in range(number):
        path = folder / f"mutated{n}.ipynb"
        path.write_bytes(mutated(raw, dice))
        result = run.mark(path, "ana", "fuzz", boxed)
        if "problem" in result:
            assert "fault of the grader" not in result["problem"] and "\n" not in result["problem"], (n, result["problem"])
            counts["sentence"] += 1
        else:
            assert [mark["exercise"] for mark in result["marks"]] in (["11.1", "11.2", "11.3"], ["01.1"]), (n, result)
            assert not any(mark["verdict"] == "grader error" for mark in result["marks"]), (n, result)
            counts["marks"] += 1
        path.unlink()
    return counts


def patched(folder):
    mmcourse.root = lambda: folder
    checks.find = minicourse.find


def kills(number):
    with tempfile.TemporaryDirectory() as place:
        folder, dice = Path(place), random.Random(1)
        minicourse.make(folder, package=True)
        for n in range(12):
            minicourse.write(minicourse.solved(11, {"11.2": "import time\ntime.sleep(0.3)\ntriple = abs"}), folder / "my_work" / "class" / f"{n}.ipynb")
        script = folder / "grade.py"
        script.write_text("import sys\nimport minicourse\nfrom mmcourse import checks, cli\nchecks.find = minicourse.find\n"
                          "sys.exit(cli.main(['grade', 'my_work/class', '--report', sys.argv[1], '--jobs', '2']))\n")
        environment = minicourse.environment(folder) | {"PYTHONPATH": f"{folder}:{Path(__file__).parent}"}

        def start(name):
            return subprocess.Popen([sys.executable, script, name], cwd=folder, env=environment, stdout=subprocess.DEVNULL)

        def marks(name):
            files = json.loads((folder / name / "marks.json").read_text())["files"]
            return [(one["file"], mark["exercise"], mark["verdict"], mark["points"], mark["hint"]) for one in files for mark in one["marks"]]
        began = time.monotonic()
        assert start("whole").wait() == 0
        whole = time.monotonic() - began
        killed = 0
        for n in range(number):
            name = f"broken{n // 4}"                            # each run is killed up to four times
            process = start(name)
            time.sleep(dice.uniform(0.3, 1.0) * whole)
            killed += process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
        for k in range((number + 3) // 4):
            assert start(f"broken{k}").wait() == 0 and marks(f"broken{k}") == marks("whole"), k
        time.sleep(1)
        left = [line for line in subprocess.check_output(["ps", "-eo", "args="], text=True).splitlines() if str(folder) in line]
        print(f"{killed} of {number} runs were killed in the middle (a whole run: {whole:.1f} s); all marks equal; left running: {len(left)}")


def hundred(number):
    stems = sorted(path.stem for path in (minicourse.CHECKOUT / "solutions").glob("*.ipynb"))
    for count in (number // 4, number):
        with tempfile.TemporaryDirectory() as place:
            paths = []
            for n in range(count):
                paths.append(Path(place, f"s{n}", f"{stems[n % len(stems)]}.ipynb"))
                paths[-1].parent.mkdir()
                paths[-1].write_bytes((minicourse.CHECKOUT / "solutions" / paths[-1].name).read_bytes())
            bad, began = [], time.monotonic()
            run.mark_all(dict.fromkeys(paths, "ana"), run.Store(Path(place, "report")), sandbox.bubblewrap(), os.cpu_count(), lambda path, result: bad.append(path)
                         if "problem" in result or any(mark["verdict"] != "pass" for mark in result["marks"]) else None)
            print(f"{count} submissions: {time.monotonic() - began:.0f} s, {len(bad)} not right")


def overhead(number):
    stem, answers = submission.read(minicourse.CHECKOUT / "solutions" / "12_transformer.ipynb")
    master = nbformat.read(minicourse.CHECKOUT / "exercises" / "12_transformer.ipynb", 4)
    for name, boxed in (("bubblewrap", sandbox.bubblewrap()), ("limits alone", None)) * 2:
        began = time.monotonic()
        for _ in range(number):
            assert all(mark.verdict == "pass" for mark in judge.judge(master, answers, "seed", boxed))
        print(f"{name}: {(time.monotonic() - began) / number:.2f} s a file")


if __name__ == "__main__":
    import torch
    torch.set_num_threads(1)
    what, number = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else {"fuzz": 2000, "kills": 20, "hundred": 100, "overhead": 3}[sys.argv[1]]
    if what == "fuzz":
        with tempfile.TemporaryDirectory() as place:
            patched(Path(place))
            print(fuzz(number, Path(place)))
    else:
        {"kills": kills, "hundred": hundred, "overhead": overhead}[what](number)
