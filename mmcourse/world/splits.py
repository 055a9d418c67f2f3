"""Which seeds are for what, and data with dials: unseen pairs, language priors, what modalities share."""

from dataclasses import dataclass, replace
from itertools import product
from random import Random
from typing import NamedTuple

from mmcourse.world.programs import NotUnique, execute
from mmcourse.world.questions import NothingToAsk, answers, questions
from mmcourse.world.scene import (ATTRIBUTES, SPECS, Object, Scene, Spec, as_random, as_seed, as_spec, known,
                                  roomy, sample)

TRAINING = 2 ** 31  # training seeds lie below; named test lists from here on
RESERVED = 2 ** 40  # seeds from here on are for outside checks: nothing is tuned on them

# As in CLEVR's CoGenT: circles have three of the colors, squares the others, and in the test vice versa.
_WARM = ("red", "yellow", "pink")
_COLD = ("green", "blue", "black")
_SEEN = {("circle", color) for color in _COLD} | {("square", color) for color in _WARM}
_UNSEEN = {("circle", color) for color in _WARM} | {("square", color) for color in _COLD}


class Split(NamedTuple):
    """A range of seeds and the spec they are drawn with; `split.scene(i)` is the i-th scene."""
    seeds: range
    spec: Spec

    def scene(self, index):
        return sample(self.seeds[index], self.spec)


def _block(number, spec, length=10_000):
    return Split(range(TRAINING + number * 10 ** 6, TRAINING + number * 10 ** 6 + length), spec)


_PAIRS_A, _PAIRS_B = (replace(SPECS["standard"], forbidden=frozenset(pairs)) for pairs in (_SEEN, _UNSEEN))
SPLITS = {
    "train": Split(range(TRAINING), SPECS["standard"]),
    "validation": _block(0, SPECS["standard"]),
    "test": _block(1, SPECS["standard"]),
    "crowded": _block(2, SPECS["crowded"]),  # more objects than in training
    "rich": _block(3, SPECS["rich"]),
    "pairs-train": Split(range(TRAINING), _PAIRS_A),  # half the colors of circles and squares left out
    "pairs-test-seen": _block(4, _PAIRS_A),
    "pairs-test-unseen": _block(5, _PAIRS_B),  # circles and squares in the other colors
}


def split(name):
    """A named `Split`: its seeds and its spec. Raises ValueError for a name that is none."""
    return SPLITS[known("split", name, SPLITS)]


# ---- language priors, as in VQA v1 against VQA v2 (Goyal et al. 2017)

def favourite(question, spec="standard"):
    """The answer that a biased split prefers for questions of this kind with this last word."""
    choices = answers(question.kind, spec)
    return choices[sum(map(ord, question.kind + question.text.split()[-1])) % len(choices)]


def biased_questions(scene, n, seed=0, dial=1.0, kinds=("query_color", "query_shape"), spec="standard"):
    """Of n questions about a scene those that a biased split keeps, so that the text hints at the answer.

    A question whose answer is not its `favourite` is kept with chance 1 - dial: dial 0 leaves the balanced
    questions, dial 1 only favourites. Of K answers the favourite is then right with chance
    1 / (1 + (K - 1)(1 - dial)).
    """
    if not 0 <= dial <= 1:
        raise ValueError(f"A dial goes from 0 to 1, and not to {dial!r}.")
    random = as_random(scene, seed + 1).random
    try:
        asked = questions(scene, n, seed, kinds, spec)
    except NothingToAsk:
        return []
    return [q for q in asked if q.answer == favourite(q, spec) or random() < 1 - dial]


def complement(scene, question, seed=0, spec="standard"):
    """A scene in which the same question has another answer, one attribute of one object away, or None.

    Asked of both, the question says nothing about the answer: the complementary pairs of VQA v2.
    """
    spec = as_spec(spec)
    edits = [(i, name, value) for i in range(len(scene)) for name in ATTRIBUTES for value in spec.words(name)]
    Random(as_seed(seed)).shuffle(edits)
    for i, name, value in edits:
        thing = replace(scene[i], **{name: value})
        other = replace(scene, objects=(*scene[:i], thing, *scene[i + 1:]))
        try:
            if (thing.shape, thing.color) not in spec.forbidden and (name != "size" or roomy(other)) and \
                    execute(question.program, other) != question.answer:
                return other
        except NotUnique:
            continue


# ---- redundancy, unique information and synergy between a picture and a sentence

_BITS = {"shape": ("circle", "square"), "color": ("red", "blue"), "size": ("small", "large")}


@dataclass(frozen=True)
class Pair:
    """A scene of one object, a sentence of one object (not always the same one), and a label, 0 or 1."""
    scene: Scene
    sentence: str
    label: int


def _dials(redundancy, unique, synergy):
    for dial in (redundancy, unique, synergy):
        if not 0 <= dial <= 1:
            raise ValueError(f"A dial goes from 0 to 1, and not to {dial!r}.")
    return [(1 + dial) / 2 for dial in (redundancy, unique, synergy)]


def three_dials(n, seed=0, redundancy=0.0, unique=0.0, synergy=0.0):
    """n pairs of a picture and a sentence whose label three dials spread over the two, as a list of `Pair`.

    Shape tells the label in both, the same in both (redundancy); color tells it in the picture alone, the
    sentence's is chance (unique); size tells it only by whether the two differ (synergy, XOR: label 1 if they do). A dial d makes
    its sign right with chance (1 + d) / 2, independently of the others. `three_dials_best` gives the best
    accuracy that is possible.
    """
    chances = _dials(redundancy, unique, synergy)
    random = Random(as_seed(seed)).random
    made = []
    for _ in range(n):
        label = int(random() < 0.5)
        shared, own, differ = (label if random() < chance else 1 - label for chance in chances)
        seen, other_color = int(random() < 0.5), int(random() < 0.5)
        shape, color, size = (_BITS[name][bit] for name, bit in zip(_BITS, (shared, own, seen)))
        told = _BITS["size"][seen ^ differ], _BITS["color"][other_color], shape
        x, y = (0.15 + 0.7 * random() for _ in range(2))
        made.append(Pair(Scene((Object(shape, color, size, x=x, y=y),)), "a {} {} {}".format(*told), label))
    return made


def three_dials_best(redundancy=0.0, unique=0.0, synergy=0.0):
    """The best accuracy possible on `three_dials` from the "picture", the "sentence" and "both": a dict.

    The signs are independent given the label, so the best guess of k signs is right with chance
    (sum over their 2^k outcomes of the larger of P(outcome | 1) and P(outcome | 0)) / 2.
    """
    shared, own, differ = _dials(redundancy, unique, synergy)

    def best(*chances):
        total = 0.0
        for signs in product((True, False), repeat=len(chances)):
            one = zero = 1.0
            for sign, chance in zip(signs, chances):
                one *= chance if sign else 1 - chance
                zero *= 1 - chance if sign else chance
            total += max(one, zero) / 2
        return total

    return {"picture": best(shared, own), "sentence": best(shared), "both": best(shared, own, differ)}
