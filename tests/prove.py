"""How a set of checks is proven: right answers pass, and every mistake meets the hint that names it, again and again."""

import os
import re

import pytest
import torch

from mmcourse.checks import Hint, check

ROUNDS = int(os.environ.get("ROUNDS", 5))          # each check draws fresh inputs, so one round could be luck


def seeds(monkeypatch):
    """Count ROUNDS times: `check` takes its inputs from the seeds 0, 1, 2, ..., so that a failure comes again."""
    for seed in range(ROUNDS):
        monkeypatch.setattr(torch, "seed", lambda: torch.manual_seed(seed))
        yield seed


def tests_of(correct, wrong):
    """Two tests, for names that begin with test_: of `correct`, {"11.1": [answers]}, and of `wrong`, [(id, hint, answer)].

    The hint is a part of its text, as it stands.
    """
    @pytest.mark.parametrize("exercise, answer", [(number, f) for number, answers in correct.items() for f in answers])
    def right(exercise, answer, capsys, monkeypatch):
        for seed in seeds(monkeypatch):
            check(exercise, answer)
        assert "passed" in capsys.readouterr().out

    @pytest.mark.parametrize("exercise, hint, answer", wrong, ids=[f"{number} {hint}" for number, hint, _ in wrong])
    def mistakes(exercise, hint, answer, monkeypatch):
        for seed in seeds(monkeypatch):
            with pytest.raises(Hint, match=re.escape(hint)):
                check(exercise, answer)
    return right, mistakes
