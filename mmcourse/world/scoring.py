"""Scores for generated pictures in GenEval's categories (Ghosh et al. 2023), judged by the oracle."""

from dataclasses import dataclass
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
    """
    known("category", category, CATEGORIES)
    spec = as_spec(spec)
    random = Random(as_seed(seed))

    def noun(*, color=False, besides=()):
        shape = random.choice([shape for shape in spec.pairs if shape not in besides])
        return refine((random.choice(spec.pairs[shape]), shape) if color else (shape,), ("scene",))

    def prompt(index):
        if category == "everything":
            low, high = 2, min(3, spec.objects[1])
            numbered = (sample(random.getrandbits(31), spec) for _ in range(10_000))
            scene = next(scene for scene in numbered if low <= len(scene) <= high)
            return Prompt(captions(scene, 1, index, "full")[0], category, len(scene))
        colored = category in ("color", "attribute binding")
        first = noun(color=colored)
        second = noun(color=colored, besides=first[1])
        related = refine(first[1], ("relate", random.choice(RELATIONS), second))
        program = {"single object": ("exist", first), "color": ("exist", first), "count": (
            "number", 1 + index % 4, first), "position": ("exist", related)}.get(category, ("exist", first, second))
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
