"""True sentences about a scene in several styles, and false ones that differ from a true one in one thing."""

from dataclasses import dataclass
from itertools import combinations, permutations
from random import Random

from mmcourse.world.language import NUMBERS, refine, satisfies, say_with
from mmcourse.world.programs import INVERSE, facts, relations
from mmcourse.world.scene import ATTRIBUTES, UNKNOWN, as_random, as_spec, known

STYLES = ("object", "attribute", "list", "relation", "count", "full", "negation")
_KINDS = {word: kind for kind, words in ATTRIBUTES.items() for word in words}


def _words(thing, kinds):
    return tuple(getattr(thing, kind) for kind in ATTRIBUTES if kind in kinds)


def _mask(words, known_facts):
    mask = known_facts.all
    for word in words:
        mask &= known_facts.words.get(word, 0)
    return mask


class _Teller:
    """Builds programs of captions about one scene. A method per style, which may return None: try again."""

    def __init__(self, scene, random, spec):
        self.scene, self.random, self.spec = scene, random, spec
        self.facts = facts(scene)
        # "solid" is worth a word only where something is not
        textured = any(thing.texture != "solid" for thing in scene)
        self.kinds = [kind for kind in ATTRIBUTES if kind != "texture" or textured]

    def pick(self, values):
        return values[int(self.random() * len(values))]

    def some_kinds(self):
        """A random choice of attributes to mention, mostly with the shape."""
        chosen = [kind for kind in self.kinds if self.random() < (0.85 if kind == "shape" else 0.5)]
        return chosen or [self.pick(self.kinds)]

    def noun(self, thing, definite=True):
        """A set that holds the thing; now and then as "the ..." where it is the only one."""
        words = _words(thing, self.some_kinds())
        only = definite and _mask(words, self.facts).bit_count() == 1 and self.random() < 0.5
        program = refine(words, ("scene",))
        return ("unique", program) if only else program

    def object(self):
        return ("exist", self.noun(self.pick(self.scene.objects), definite=False))

    def attribute(self):
        thing, told = self.pick(self.scene.objects), self.pick(self.kinds)
        choices = [kinds for n in range(1, 4) for kinds in combinations(self.kinds, n)
                   if told not in kinds and _mask(_words(thing, kinds), self.facts).bit_count() == 1]
        if choices:
            subject = ("unique", refine(_words(thing, self.pick(choices)), ("scene",)))
            return ("exist", ("filter", (getattr(thing, told),), subject))

    def list(self, kinds=None):
        kinds = kinds or self.some_kinds()
        groups = {}
        for thing in self.scene:
            groups[_words(thing, kinds)] = groups.get(_words(thing, kinds), 0) + 1
        if max(groups.values()) >= len(NUMBERS):
            return None
        parts = [("number", n, refine(words, ("scene",))) for words, n in groups.items() if n > 1]
        if singles := [refine(words, ("scene",)) for words, n in groups.items() if n == 1]:
            parts.append(("exist", *singles))
        return parts[0] if len(parts) == 1 else ("every", *parts)

    def relation(self):
        pairs = [(a, b, relation) for a, b in permutations(self.scene, 2) for relation in relations(a, b)]
        if not pairs:
            return None
        a, b, relation = self.pick(pairs)
        subject, anchor = self.noun(a), self.noun(b)
        if subject[0] == "unique":
            return ("exist", ("and", subject, ("relate", relation, anchor)))
        return ("exist", refine(subject[1] if subject[0] == "filter" else (), ("relate", relation, anchor)))

    def count(self):
        words = _words(self.pick(self.scene.objects), self.some_kinds())
        n = _mask(words, self.facts).bit_count()
        return ("number", n, refine(words, ("scene",))) if n < len(NUMBERS) else None

    def full(self):
        everything, relation = self.list(self.kinds), self.relation()
        return ("every", everything, relation) if everything and relation else everything

    def negation(self):
        words = list(_words(self.pick(self.scene.objects), self.some_kinds()))
        place = int(self.random() * len(words))
        words[place] = self.pick(self.spec.words(_KINDS[words[place]]))
        if not _mask(words, self.facts):
            return ("not", ("exist", refine(words, ("scene",))))

    def program(self, style):
        """A program of this style, or None if 30 tries find none."""
        for _ in range(30):
            if program := getattr(self, style)():
                return program


def _check(scene):
    if not len(scene):
        raise ValueError("An empty scene has nothing to tell of: give it an object.")
    if any(UNKNOWN in (thing.shape, thing.color, thing.texture) for thing in scene):
        raise ValueError("An object without a name cannot be told of: give it shape, color and texture.")


def captions(scene, n, seed=0, style=None, spec="standard"):
    """n true sentences about a scene, a pure function of scene and seed.

    `style` is one of STYLES; without one, all but "negation" are mixed. `spec` says which words a negation
    may use. Raises ValueError for an empty scene and for one that has nothing for the style: one object has
    no relation, and of more alike than six, the highest number of the language, no list can tell.
    """
    _check(scene)
    random = as_random(scene, seed).random
    teller = _Teller(scene, random, as_spec(spec))
    told = []
    while len(told) < n:
        chosen = known("style", style, STYLES) if style else teller.pick(STYLES[:-1])
        program = teller.program(chosen)
        if program:
            told.append(say_with(program, random))
        elif style:
            raise ValueError(f"This scene has nothing for a caption of style {style!r}: choose another.")
    return told


@dataclass(frozen=True)
class Negative:
    """A false sentence `text`, the true `caption` it was made from, and the one thing that was changed:
    "shape", "color", "size", "texture", "relation" or "count"."""
    text: str
    caption: str
    change: str


def _changes(program, spec, most):
    """Yield (what, program) for every program that differs from this one in one word, relation or number."""
    match program:
        case ("filter", words, inner):
            for word in words:
                for other in spec.words(_KINDS[word]):
                    if other != word:
                        yield _KINDS[word], refine([other if w == word else w for w in words], inner)
        case ("relate", relation, inner):
            yield "relation", ("relate", INVERSE[relation], inner)
        case ("number", n, inner):
            for other in range(1, min(most + 2, len(NUMBERS))):
                if other != n:
                    yield "count", ("number", other, inner)
    for place, part in enumerate(program):
        if isinstance(part, tuple) and part and not (program[0] == "filter" and place == 1):
            for what, changed in _changes(part, spec, most):
                yield what, (*program[:place], changed, *program[place + 1:])


def negatives(scene, n, seed=0, spec="standard", change=None):
    """n false sentences, each a true caption with one thing changed, as a list of `Negative`.

    `spec` says which words a change may use; `change` asks for one kind of change. Raises ValueError for an
    empty scene and where many tries find too few, as with the relations of one object.
    """
    _check(scene)
    spec = as_spec(spec)
    random = as_random(scene, seed).random
    teller = _Teller(scene, random, spec)
    if change is not None:
        known("change", change, (*ATTRIBUTES, "relation", "count"))
    found = []
    for _ in range(200 + 20 * n):
        if len(found) == n:
            return found
        program = teller.program(teller.pick(STYLES[:-1]))
        if program is None:
            continue
        options = {}
        for what, changed in _changes(program, spec, len(scene)):
            if change in (None, what):
                options.setdefault(what, []).append(changed)
        if not options:
            continue
        what = teller.pick(list(options))
        wording = int(random() * 2 ** 32)
        text = say_with(teller.pick(options[what]), Random(wording).random)
        if not satisfies(scene, text):
            found.append(Negative(text, say_with(program, Random(wording).random), what))
    raise ValueError(f"This scene gives only {len(found)} of {n} negatives: ask for fewer or another change.")
