"""Scores for generated pictures in GenEval's categories (Ghosh et al. 2023), judged by the oracle."""

from dataclasses import dataclass, replace
from random import Random

from mmcourse.world.captions import captions
from mmcourse.world.language import refine, satisfies, say_with
from mmcourse.world.oracle import read
from mmcourse.world.programs import RELATIONS
from mmcourse.world.scene import Scene, as_seed, as_spec, known, sample

CATEGORIES = ("single object", "two objects", "count", "color", "position", "attribute binding", "everything")


@dataclass(frozen=True)
class Prompt:
    """A sentence to draw, its category, and how many objects the picture may hold (None: any number)."""
    text: str
    category: str
    objects: int | None = None


def prompts(category, n, seed=0, spec="standard"):
    """n prompts of one of CATEGORIES, as a list of `Prompt`, with words and pairs that the spec allows.

    "everything" tells all attributes of the two or three objects of a scene, and a relation between two.
    Raises ValueError for an unknown category, and for one of two objects where the spec has one shape.
    """
    known("category", category, CATEGORIES)
    spec = as_spec(spec)
    random = Random(as_seed(seed))
    if category in ("two objects", "position", "attribute binding") and len(spec.pairs) < 2:
        raise ValueError(f"Prompts of category {category!r} name two shapes: give a spec with two or more.")

    def noun(color, besides=()):
        shape = random.choice([shape for shape in spec.pairs if shape not in besides])
        return refine((random.choice(spec.pairs[shape]), shape) if color else (shape,), ("scene",))

    def prompt(index):
        if category == "everything":
            scene = sample(random.getrandbits(31), replace(spec, objects=(2, 3)))
            return Prompt(captions(scene, 1, index, "full")[0], category, len(scene))
        first = noun(category in ("color", "attribute binding"))
        program = ("exist", first)
        if category == "count":
            program = ("number", 1 + index % 4, first)
        elif category == "position":
            second = noun(False, besides=first[1])
            program = ("exist", refine(first[1], ("relate", random.choice(RELATIONS), second)))
        elif category in ("two objects", "attribute binding"):
            program = ("exist", first, noun(category == "attribute binding", besides=first[1]))
        return Prompt(say_with(program, random.random), category)

    return [prompt(index) for index in range(n)]


def right(prompt, picture):
    """Does a picture (or a Scene) show what a Prompt or a sentence says?"""
    scene = picture if isinstance(picture, Scene) else read(picture)
    if isinstance(prompt, str):
        return satisfies(scene, prompt)
    return satisfies(scene, prompt.text) and prompt.objects in (None, len(scene))


def score(asked, pictures):
    """{category: share of right pictures} and, as GenEval defines it, their mean as "overall"."""
    results = {}
    for prompt, picture in zip(asked, pictures, strict=True):
        results.setdefault(prompt.category, []).append(right(prompt, picture))
    shares = {category: sum(found) / len(found) for category, found in results.items()}
    return shares | {"overall": sum(shares.values()) / len(shares)}
