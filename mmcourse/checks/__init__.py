"""Checks of the exercises: a pass, or the first hint. Truth is torch or arithmetic, never the course's own solution.

A check is a function that takes the learner's answer, calls it on fresh inputs and raises `Hint` at the first thing that
is wrong. It looks only at what the answer returns, so the grader can hand it an answer that runs in another process.
"""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import torch

from mmcourse import UsageError, progress

REGISTRY = {}                 # "11.2" -> Check


class Hint(AssertionError):
    """What is wrong with an answer and where to look. Notebooks show it as one line, without a traceback."""

    def _render_traceback_(self):
        return [f"\x1b[31mNot yet. {self}\x1b[0m"]


class Again(Exception):
    """The inputs that a check drew cannot tell two answers apart: it draws others."""


class Check(NamedTuple):
    """One exercise's check: what it is worth, and the function that judges an answer."""

    points: int
    judge: Callable


def exercise(number, points):
    """Decorator: register `judge(answer)` as the check of the exercise `number`, worth `points`."""
    def register(judge):
        @functools.wraps(judge)
        def until_told_apart(answer):
            while True:
                try:
                    return judge(answer)
                except Again:
                    continue
        REGISTRY[number] = Check(points, until_told_apart)
        return until_told_apart
    return register


def find(number):
    """The Check of an exercise such as "11.2". Raises UsageError with what there is when it does not exist."""
    sets = sorted(module.name[4:] for module in pkgutil.iter_modules(__path__) if module.name.startswith("set_"))
    lesson = str(number).split(".")[0]
    if lesson in sets:
        importlib.import_module(f"{__name__}.set_{lesson}")
    if number not in REGISTRY:
        there = sorted(REGISTRY) if lesson in sets else [f"{name}.1, {name}.2, ..." for name in sets]
        near = [name for name in there if name.startswith(f"{lesson}.")] or there
        raise UsageError(f"There is no exercise {number!r}: choose one of {', '.join(near)}.")
    return REGISTRY[number]


def points():
    """All exercises and what each is worth: {"01.1": 2, ...}."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return {number: REGISTRY[number].points for number in sorted(REGISTRY)}


def check(number, answer):
    """Judge an answer: print that it passed and keep the points, or raise the first Hint.

    The learner's own random numbers are left as they were.
    """
    found = find(number)
    with torch.random.fork_rng(devices=[]):
        torch.seed()
        try:
            found.judge(_apart(answer))
        except NotImplementedError:
            print(f"{number} is not written yet: replace the line `raise NotImplementedError` by your answer.")
            raise
        except Hint as hint:
            raise Hint(f"{number}: {hint}") from None
        except Exception as error:
            print(f"{number}: your code stopped with {type(error).__name__}. The last lines below say where and why.")
            raise
    print(f"{number} passed: {found.points} points.")
    progress.record(number, found.points)


def _apart(answer):
    """The answer with random numbers of its own: a manual_seed in it should not fix what the check draws next."""
    if not inspect.isfunction(answer):
        return answer
    theirs = torch.Generator().manual_seed(int(torch.randint(2 ** 62, ()))).get_state()

    @functools.wraps(answer)
    def called(*args, **more):
        nonlocal theirs
        ours = torch.get_rng_state()
        torch.set_rng_state(theirs)
        try:
            return answer(*args, **more)
        finally:
            theirs = torch.get_rng_state()
            torch.set_rng_state(ours)
    return called


# ---- what the checks are written with ----

def expect(condition, hint):
    """Raise the hint unless the condition holds."""
    if not condition:
        raise Hint(hint)


def takes(answer, *names):
    """The answer is a function that can be called with these arguments, by position."""
    expect(callable(answer), f"A function is needed here, and this is {type(answer).__name__}: give its name alone, "
                             "without brackets behind it.")
    try:
        inspect.signature(answer).bind(*names)
    except ValueError:                                       # a built-in function hides its arguments
        pass
    except TypeError:
        raise Hint(f"The function should take ({', '.join(names)}), and yours takes {inspect.signature(answer)}."
                   ) from None


def numbers(answer, *names):
    """What `answer()` returns: a dict with exactly these keys, each a number (or True, False)."""
    takes(answer)
    got = answer()
    expect(isinstance(got, dict) and set(got) == set(names), f"Return a dict with exactly the keys {', '.join(names)}.")
    got = {name: value.item() if getattr(value, "ndim", None) == 0 else value for name, value in got.items()}
    for name in names:
        expect(isinstance(got[name], (int, float)), f'"{name}" should be a number (or True / False), and is {got[name]!r}.')
    return got


def tensor(got, shape, dtype, what="The result"):
    """`got` is a tensor of this shape and dtype (a torch dtype), and finite where it is a float."""
    expect(got is not None, "None came back: does the function end with a return?")
    expect(isinstance(got, torch.Tensor), f"{what} should be a torch tensor, not a {type(got).__name__}.")
    expect(tuple(got.shape) == tuple(shape), f"{what} should have the shape {tuple(shape)}, not {tuple(got.shape)}.")
    expect(got.dtype == dtype, f"{what} should be {str(dtype).removeprefix('torch.')}, not "
                               f"{str(got.dtype).removeprefix('torch.')}.")
    if dtype.is_floating_point:
        expect(not got.isnan().any(), f"{what} should be numbers: there is a NaN (not a number).")
        expect(got.isfinite().all(), f"{what} should be finite: there is an infinite number.")


def close(got, want, hint, tolerance=1e-5):
    """Largest difference within the tolerance, else the hint with the place and the two numbers."""
    difference = (got.detach() - want.detach()).abs().nan_to_num(torch.inf)
    if difference.numel() and difference.max() > tolerance:
        place = tuple(int(i) for i in (difference == difference.max()).nonzero()[0])
        raise Hint(f"{hint} {f'At {place} the' if place else 'The'} answer is {want[place].item():.4f}, and yours gives "
                   f"{got[place].item():.4f}.")


def same(got, want, tolerance=1e-5):
    """Are two tensors equal in shape and, to the tolerance, in values? For telling one mistake from another."""
    return got.shape == want.shape and bool(torch.allclose(got.double(), want.double(), atol=tolerance))


def mistakes(got, want, *wrong, tolerance=1e-5):
    """Raise the hint of the first mistake that `got` is; `wrong` are pairs (what the mistake gives, its hint).

    Where two of them, or one and the right answer `want`, are the same by chance, the check begins again.
    """
    named = [(want, None), *wrong]
    if any(hint != other and same(a, b, 2 * tolerance) for (a, hint), (b, other) in combinations(named, 2)):
        raise Again
    for value, hint in wrong:
        expect(not same(got, value, tolerance), hint)
