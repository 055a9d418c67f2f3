"""The command line: what it says, what it returns, and that it stays out of the way."""

import subprocess
import sys

import pytest

from mmcourse import UsageError, cli, workspace


def test_alone_it_prints_the_help(capsys):
    assert cli.main([]) == 0
    text = capsys.readouterr().out
    for command in ("lab", "doctor", "progress", "grade", "slides", "build"):
        assert f"\n    {command} " in text


@pytest.mark.parametrize("arguments, word", [
    (["labs"], "'labs'"),
    (["lab", "eleven"], "'eleven'"),
    (["lab", "111"], "'111'"),
    (["lab", "-1"], "-1"),
    (["lab", "--port", "http"], "'http'"),
    (["lab", "--port", "0"], "'0'"),
    (["lab", "--port", "65536"], "'65536'"),
    (["doctor", "--prot"], "--prot"),
    (["grade"], "FILE"),
    (["slides"], "NN"),
    (["slides", "every"], "'every'"),
    (["build", "1.5"], "'1.5'"),
    (["doctor", "nobody"], "nobody"),
])
def test_what_it_cannot_use_is_named_in_one_sentence(arguments, word, capsys):
    assert cli.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert word in printed.err and printed.err.startswith("mmcourse: ") and printed.err.count("\n") == 1


def test_expected_failures_are_a_sentence_and_others_keep_their_traceback(monkeypatch, capsys):
    monkeypatch.setattr(workspace, "doctor", lambda: _raise(UsageError("No, because.")))
    assert cli.main(["doctor"]) == 2
    assert capsys.readouterr().err == "mmcourse: No, because.\n"
    monkeypatch.setattr(workspace, "doctor", lambda: _raise(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["doctor"])


def test_ctrl_c_is_130_without_a_word(monkeypatch, capsys):
    monkeypatch.setattr(workspace, "doctor", lambda: _raise(KeyboardInterrupt()))
    assert cli.main(["doctor"]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("arguments, called, wanted", [
    (["lab"], "workspace.lab", ((None,), {"port": None, "browser": True})),
    (["lab", "11", "--port", "90", "--no-browser"], "workspace.lab", ((11,), {"port": 90, "browser": False})),
    (["grade", "a.ipynb", "b.ipynb"], "grading.grade", ((["a.ipynb", "b.ipynb"], None, None, False, None, None), {})),
    (["slides", "1", "11"], "authoring.slides.export", (([1, 11], None), {})),
    (["slides", "all", "--output", "x"], "authoring.slides.export", (("all", "x"), {})),
    (["build"], "authoring.build.build", (([],), {"check": False, "repo": None})),
    (["build", "1", "--check", "--repo", "a/b"], "authoring.build.build",
     (([1],), {"check": True, "repo": "a/b"})),
])
def test_commands_reach_their_rooms(arguments, called, wanted, monkeypatch):
    calls = []
    monkeypatch.setattr(f"mmcourse.{called}", lambda *args, **options: calls.append((args, options)))
    assert cli.main(arguments) == 0
    assert calls == [wanted]


def test_the_exit_code_is_what_the_command_returns(monkeypatch):
    monkeypatch.setattr(workspace, "doctor", lambda: 1)
    assert cli.main(["doctor"]) == 1


def test_the_help_comes_without_loading_anything_heavy():
    code = "import sys, mmcourse.cli; mmcourse.cli.main([]); print([n for n in " \
           "('torch', 'numpy', 'jupyterlab', 'nbconvert', 'jupytext', 'nbclient') if n in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.endswith("[]\n")


def _raise(error):
    raise error
