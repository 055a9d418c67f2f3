"""Functional programs over a scene, as in CLEVR (Johnson et al. 2017): what sentences and questions mean.

A program is nested tuples of plain data. These give a set of objects:

    ("scene",)                        all objects
    ("filter", (word, ...), set)      those with all these words: ("filter", ("red", "circle"), ("scene",))
    ("relate", relation, set)         those that stand in the relation to one of the set
    ("same", attribute, set)          the others that share the attribute with one of the set
    ("and", set, set)  ("or", set, set)
    ("unique", set)                   the set, which must hold exactly one object

and these an answer, a string:

    ("exist", set, ...)               "yes" if a different object can be found in each set, else "no"
    ("count", set)                    "0", "1", ...
    ("query", attribute, set)         "red", "circle", ... of the only object
    ("equal", attribute, set, set)    do the two objects share it?
    ("more", set, set)  ("fewer", set, set)  ("as many", set, set)
    ("number", n, set)                are there exactly n?
    ("not", answer)  ("every", answer, ...)
"""

from functools import lru_cache
from math import hypot

from mmcourse.world.scene import ATTRIBUTES, SIZES, UNKNOWN

RELATIONS = ("left of", "right of", "above", "below")
INVERSE = dict(zip(RELATIONS, ("right of", "left of", "below", "above")))
MARGIN = 0.1  # GenEval's share of the two boxes' sides by which an offset must exceed zero


class NotUnique(ValueError):
    """A program says "the ..." of nothing or of several objects."""


def relations(a, b):
    """The relations in which object a stands to object b, by GenEval's published rule (Ghosh et al. 2023).

    Per axis, offset = max(|delta| - 0.1 * (side of a's box + side of b's box), 0) with delta's sign, over the
    distance of the centres; the relation holds if that is over 0.5. Two may hold at once, or none.
    """
    dx, dy = a.x - b.x, a.y - b.y
    slack = MARGIN * 2 * (SIZES[a.size] + SIZES[b.size])
    half = 0.5 * hypot(dx, dy)
    found = []
    if abs(dx) - slack > half:
        found.append("left of" if dx < 0 else "right of")
    if abs(dy) - slack > half:
        found.append("above" if dy < 0 else "below")
    return found


class Facts:
    """What programs ask of a scene, as bit masks: bit i stands for object i.

    all: every object; words: {word: its objects}; relate: {relation: [the objects in it to object i]}.
    """

    def __init__(self, scene):
        self.objects = scene.objects
        self.all = (1 << len(scene)) - 1
        self.words = words = {}
        self.relate = {relation: [0] * len(scene) for relation in RELATIONS}
        for i, a in enumerate(scene):
            for word in (a.size, a.color, a.texture, a.shape):
                if word != UNKNOWN:
                    words[word] = words.get(word, 0) | 1 << i
            for j, b in enumerate(scene.objects[:i]):
                for relation in relations(a, b):
                    self.relate[relation][j] |= 1 << i
                    self.relate[INVERSE[relation]][i] |= 1 << j


facts = lru_cache(maxsize=256)(Facts)


def bits(mask):
    """The positions of the ones in a mask, lowest first."""
    return [i for i in range(mask.bit_length()) if mask >> i & 1]


def objects(program, known):
    """The set a program gives, as a bit mask over Facts `known`. Raises NotUnique."""
    match program:
        case ("scene",):
            return known.all
        case ("filter", words, inner):
            mask = objects(inner, known)
            for word in words:
                mask &= known.words.get(word, 0)
            return mask
        case ("relate", relation, inner):
            mask = 0
            for i in bits(objects(inner, known)):
                mask |= known.relate[relation][i]
            return mask
        case ("same", attribute, inner):
            mask = 0
            for i in bits(objects(inner, known)):
                mask |= known.words.get(getattr(known.objects[i], attribute), 0) & ~(1 << i)
            return mask
        case ("and", left, right):
            return objects(left, known) & objects(right, known)
        case ("or", left, right):
            return objects(left, known) | objects(right, known)
        case ("unique", inner):
            mask = objects(inner, known)
            if mask.bit_count() != 1:
                raise NotUnique(f'"the" needs exactly one such object: this scene has {mask.bit_count()}.')
            return mask
    raise ValueError(f"{program!r} is not a program: see the list in mmcourse/world/programs.py.")


def _value(attribute, program, known):
    """The attribute of the only object in a set."""
    return getattr(known.objects[objects(("unique", program), known).bit_length() - 1], attribute)


def _different(masks, used=0):
    """Can a different object be chosen from each mask?"""
    if not masks:
        return True
    return any(_different(masks[1:], used | 1 << i) for i in bits(masks[0] & ~used))


def _truth(program, known):
    match program:
        case ("exist", *sets):
            return _different([objects(inner, known) for inner in sets])
        case ("number", n, inner):
            return objects(inner, known).bit_count() == n
        case ("not", inner):
            return not _truth(inner, known)
        case ("every", *parts):
            return all(_truth(part, known) for part in parts)
        case ("equal", attribute, left, right):
            return _value(attribute, left, known) == _value(attribute, right, known) != UNKNOWN
        case ("more" | "fewer" | "as many" as word, left, right):
            one, other = (objects(inner, known).bit_count() for inner in (left, right))
            return {"more": one > other, "fewer": one < other, "as many": one == other}[word]
    raise ValueError(f"{program!r} is not a program: see the list in mmcourse/world/programs.py.")


def execute(program, scene):
    """Run a program on a scene.

    Returns the answer as a string ("red", "3", "yes"), or for a program that gives a set the indices of its
    objects. Raises NotUnique where "the ..." does not fit exactly one, ValueError for what is no program.
    """
    known = facts(scene)
    match program:
        case ("count", inner):
            return str(objects(inner, known).bit_count())
        case ("query", attribute, inner) if attribute in ATTRIBUTES:
            return _value(attribute, inner, known)
        case ("exist" | "number" | "not" | "every" | "equal" | "more" | "fewer" | "as many", *_):
            return "yes" if _truth(program, known) else "no"
    return bits(objects(program, known))
