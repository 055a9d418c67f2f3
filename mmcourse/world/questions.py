"""Questions about a scene with answers and programs, in CLEVR's families (Johnson et al. 2017), balanced.

Two rules keep a reader of the question alone at chance. What is asked for is a color, shape, size or texture
only of an object found without naming it, so every value is as likely as another. And a question with yes or
no is asked of a scene only if a question of the same build would have had the other answer; a coin says which
of the two is asked. (Counting goes by the same rule over 0 to 3, except for the plain "count", which also
asks of scenes with one object.)
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

from mmcourse.world.language import say_with
from mmcourse.world.programs import RELATIONS, Facts, _truth, bits, objects
from mmcourse.world.scene import ATTRIBUTES, UNKNOWN, as_random, as_spec, known

_NAMES = tuple(ATTRIBUTES)
_QUERIES = ("query", "relate", "and", "same", "two_hop", "three_hop")
STANDARD_KINDS = ("query_color", "query_shape", "query_size", "relate_color", "relate_shape", "relate_size",
                  "exist", "count", "compare_color", "compare_shape", "compare_size", "compare_number")
KINDS = (*(f"{family}_{name}" for family in (*_QUERIES, "compare") for name in _NAMES), "compare_number",
         "exist", "exist_relate", "exist_same", "count", "count_relate", "count_or", "count_same")
_BUILD = {kind: (family, _NAMES.index(name)) if name in _NAMES else (kind, None)
          for kind in KINDS for family, _, name in [kind.rpartition("_")]}
TRIES = 12  # random programs tried for one question before another kind takes its turn


@dataclass(frozen=True, slots=True)
class Question:
    """`text` ends with "?", `answer` is a string, `kind` one of KINDS, `program` for `world.execute`."""
    text: str
    answer: str
    kind: str
    program: tuple


def answers(kind, spec="standard"):
    """All answers that questions of a kind can have under a spec, as a list of strings."""
    known("kind of question", kind, KINDS)
    spec = as_spec(spec)
    family, k = _BUILD[kind]
    if family in _QUERIES:
        return list(spec.words(_NAMES[k]))
    if kind.startswith("count"):
        return [str(n) for n in range(spec.objects[1] + 1 if kind == "count" else 4)]
    return ["yes", "no"]


@lru_cache(maxsize=8192)
def _descriptions(look):
    """The words of an object for all 16 choices of attributes: bit k of the index is attribute k."""
    return tuple(tuple(word for k, word in enumerate(look) if choice >> k & 1) for choice in range(16))


def _filter(words, inner=("scene",)):
    return ("filter", words, inner) if words else inner


def _words(program):
    """The words of a set that a filter ends, else none."""
    return program[1] if program[0] == "filter" else ()


def _anchors(program):
    """Yield the words of every object that a program singles out by words alone."""
    if program[0] == "unique" and _words(program[1]) and program[1][2] == ("scene",):
        yield program[1][1]
    else:
        for part in program[1:]:
            if isinstance(part, tuple):
                yield from _anchors(part)


def _settled(program, values=()):
    """Does the text alone settle what is asked of a set beside anchors?

    "the red circle" is the only one, so there is no other red circle, and (values: the colors) a circle
    beside it is not red.
    """
    if program[0] == "unique":
        program = program[1]
    target = set(_words(program))
    for words in _anchors(program[2] if target else program):
        rest = [word for word in words if word not in values]
        if target.issuperset(rest) and (not values or len(rest) < len(words)):
            return True
    return False


class _Asker:
    """Builds programs about one scene. A method per family, which may return None: try again."""

    def __init__(self, scene, spec, random):
        self.scene, self.spec, self.random = scene, spec, random
        self.facts = Facts(scene)
        self.n = len(scene)
        self.names = [k for k, name in enumerate(_NAMES) if len(spec.words(name)) > 1]  # what can differ
        self.choices = [c for c in range(16) if all(k in self.names for k in bits(c))]
        self.looks = [(o.size, o.color, o.texture, o.shape) for o in scene]
        self.described = [_descriptions(look) for look in self.looks]
        self.counts = None  # words by how many objects they fit, made when first needed
        self.masks = masks = {}  # words -> objects they fit
        for i, described in enumerate(self.described):
            for choice in self.choices:
                words = described[choice]
                masks[words] = masks.get(words, 0) | 1 << i
        # per object the choices of attributes that single it out
        self.single = [[c for c in self.choices if masks[described[c]] == 1 << i]
                       for i, described in enumerate(self.described)]

    def pick(self, values):
        return values[int(self.random() * len(values))]

    def the(self, i, without=0):
        """A program for object i by words that fit nothing else, without some attributes (bits), or None."""
        choices = self.single[i]
        if without:
            choices = [c for c in choices if not c & without]
        if choices:
            return ("unique", _filter(self.described[i][self.pick(choices)]))

    def related(self, i, inner, within, without=0):
        """A program for object i by words that fit only it within a set (`inner`, its mask `within`) and
        others outside of it, so that the set is needed; or None."""
        fits = []
        for c in self.choices:
            if not c & without:
                mask = self.masks[self.described[i][c]]
                if mask & within == 1 << i and mask != 1 << i:
                    fits.append(c)
        if fits:
            return ("unique", _filter(self.described[i][self.pick(fits)], inner))

    # what is asked for is an attribute: (program, index of the object) or None

    def query(self, k):
        i = int(self.random() * self.n)
        program = self.the(i, 1 << k)
        return program and (program, i)

    def hop(self, hops, without=0):
        """Relations through different objects, each needed: (program, index of the last, mask of all)."""
        if not hops:
            i = int(self.random() * self.n)
            program = self.the(i, without)
            return program and (program, i, 1 << i)
        start = self.hop(hops - 1)
        if not start:
            return None
        anchor, at, used = start
        relation = self.pick(RELATIONS)
        within = self.facts.relate[relation][at]
        if not within & ~used:
            return None
        i = self.pick(bits(within & ~used))
        program = self.related(i, ("relate", relation, anchor), within, without)
        return program and (program, i, used | 1 << i)

    def relate(self, k):
        return self.hop(1, 1 << k)

    def two_hop(self, k):
        return self.hop(2, 1 << k)

    def three_hop(self, k):
        return self.hop(3, 1 << k)

    def both(self, k):
        """An object by its relations to two others, of which neither alone would find it."""
        i, *anchors = (int(self.random() * self.n) for _ in range(3))
        inner, within = ["and"], []
        for at in set(anchors):
            holds = [relation for relation in RELATIONS if self.facts.relate[relation][at] >> i & 1]
            anchor = self.the(at)
            if not holds or not anchor:
                return None
            relation = self.pick(holds)
            inner.append(("relate", relation, anchor))
            within.append(self.facts.relate[relation][at])
        if len(within) < 2:
            return None
        program = self.related(i, tuple(inner), within[0] & within[1], 1 << k)
        if program and all(self.masks[_words(program[1])] & mask != 1 << i for mask in within):
            return program, i

    def same_set(self, k, i):
        """("same", ...) of object i without naming the attribute k, and its mask; or (None, 0)."""
        anchor = self.the(i, 1 << k)
        if anchor is None:
            return None, 0
        mask = self.masks[self.described[i][1 << k]] & ~(1 << i)
        return ("same", _NAMES[k], anchor), mask

    def same(self, k):
        if len(self.names) < 2:
            return None
        shared = self.pick([other for other in self.names if other != k])
        inner, within = self.same_set(shared, int(self.random() * self.n))
        if not within:
            return None
        i = self.pick(bits(within))
        program = self.related(i, inner, within, 1 << k | 1 << shared)
        return program and (program, i)

    # the answer is yes or no

    def near(self, choice):
        """Words of some object for a choice of attributes, half of the time with one of them replaced."""
        words = self.pick(self.described)[choice]
        if self.random() < 0.5 or not words:
            return words
        place = int(self.random() * len(words))
        name = _NAMES[bits(choice)[place]]
        return (*words[:place], self.pick(self.spec.words(name)), *words[place + 1:])

    def balanced(self, build):
        """build() until both answers were seen; a coin chooses between them. None if one does not come up."""
        found = {}
        for _ in range(TRIES):
            program = build()
            if program is not None:
                found.setdefault(_truth(program, self.facts), program)
                if len(found) == 2:
                    return found[self.random() < 0.5]

    def exist(self):
        choice = self.pick(self.choices[1:])
        return self.balanced(lambda: ("exist", _filter(self.near(choice))))

    def exist_relate(self):
        choice, relation = self.pick(self.choices[1:]), self.pick(RELATIONS)

        def build():
            anchor = self.the(int(self.random() * self.n))
            target = anchor and _filter(self.pick(self.described)[choice], ("relate", relation, anchor))
            return ("exist", target) if target and not _settled(target) else None
        return self.balanced(build)

    def exist_same(self):
        k = self.pick(self.names)
        choice = self.pick([c for c in self.choices if not c >> k & 1])

        def build():
            inner, _ = self.same_set(k, int(self.random() * self.n))
            target = inner and _filter(self.pick(self.described)[choice], inner)
            return ("exist", target) if target and not _settled(target) else None
        return self.balanced(build)

    def compare(self, k):
        able = [i for i in range(self.n) if any(not c >> k & 1 for c in self.single[i])]
        same, different = [], []
        for i, j in combinations(able, 2):
            (same if self.looks[i][k] == self.looks[j][k] else different).append((i, j))
        if same and different:
            i, j = self.pick(same if self.random() < 0.5 else different)
            if self.random() < 0.5:
                i, j = j, i
            return ("equal", _NAMES[k], self.the(i, 1 << k), self.the(j, 1 << k))

    def compare_number(self):
        word, choice = self.pick(("more", "fewer", "as many")), 1 << self.pick(self.names)

        def build():
            left, right = self.near(choice), self.near(choice)
            if left != right and (left in self.masks or right in self.masks):
                return (word, _filter(left), _filter(right))
        return self.balanced(build)

    # the answer is a number

    def count(self):
        """From the largest number of alike objects down a coin says whether to ask for it, as 4 is rare."""
        if self.counts is None:
            self.counts = {}
            for words, mask in self.masks.items():
                self.counts.setdefault(mask.bit_count(), []).append(words)
        for count in sorted(self.counts, reverse=True):
            if self.random() < {1: 0.53, 2: 0.56}.get(count, 0.7):
                return ("count", _filter(self.pick(self.counts[count])))
        for _ in range(TRIES):
            words = self.near(self.pick(self.choices[1:]))
            if words not in self.masks:
                return ("count", _filter(words))

    def counted(self, build):
        """build() until each of 0, 1, 2, 3 was counted, then one of the four; None if one is missing."""
        found = {}
        for _ in range(10 * TRIES):
            program = build()
            if program is not None and not _settled(program):
                found.setdefault(objects(program, self.facts).bit_count(), program)
                if all(count in found for count in range(4)):
                    return ("count", found[int(self.random() * 4)])

    def count_relate(self):
        def build():
            anchor = self.the(int(self.random() * self.n))
            words = self.near(self.pick(self.choices))
            return anchor and _filter(words, ("relate", self.pick(RELATIONS), anchor))
        return self.counted(build)

    def count_or(self):
        def build():
            left, right = self.near(self.pick(self.choices[1:])), self.near(self.pick(self.choices[1:]))
            return ("or", _filter(left), _filter(right)) if left != right else None
        return self.counted(build)

    def count_same(self):
        def build():
            k = self.pick(self.names)
            inner, _ = self.same_set(k, int(self.random() * self.n))
            choice = self.pick([c for c in self.choices if not c >> k & 1])
            return inner and _filter(self.near(choice), inner)
        return self.counted(build)

    def ask(self, kind):
        """A program of this kind and its answer, or None."""
        family, k = _BUILD[kind]
        if not self.names or k is not None and k not in self.names:
            return None
        if family in _QUERIES:
            build = getattr(self, "both" if family == "and" else family)
            for _ in range(TRIES):
                made = build(k)
                if made and not _settled(made[0], self.spec.words(_NAMES[k])):
                    return ("query", _NAMES[k], made[0]), self.looks[made[1]][k]
            return None
        program = self.compare(k) if family == "compare" else getattr(self, kind)()
        if program is None:
            return None
        if program[0] == "count":
            return program, str(objects(program[1], self.facts).bit_count())
        return program, "yes" if _truth(program, self.facts) else "no"


class NothingToAsk(ValueError):
    """A scene of which no question of the wanted kinds can be asked."""


def questions(scene, n=8, seed=0, kinds=None, spec="standard"):
    """n questions about a scene as a list of `Question`, a pure function of scene, seed, kinds and spec.

    `kinds` (of KINDS) are mixed evenly as far as the scene has something to ask of each; None means
    STANDARD_KINDS. `spec` says which words may come up that are not in the scene. Raises ValueError for an
    unknown kind and an empty scene, NothingToAsk (a ValueError) where the scene gives too little.
    """
    kinds = STANDARD_KINDS if kinds is None else (kinds,) if isinstance(kinds, str) else tuple(kinds)
    for kind in kinds:
        known("kind of question", kind, KINDS)
    if not len(scene) or not kinds:
        raise ValueError("There is nothing to ask: give at least one object and one kind of question.")
    if any(UNKNOWN in (thing.shape, thing.color, thing.texture) for thing in scene):
        raise ValueError("Nothing is asked of an object without a name: give it shape, color and texture.")
    random = as_random(scene, seed).random
    asker = _Asker(scene, as_spec(spec), random)
    asked, left, good = [], list(kinds), set()
    for _ in range(100 * (n + len(kinds))):
        if len(asked) >= n or not left:
            break
        kind = asker.pick(left)
        made = asker.ask(kind)
        if made:
            asked.append(Question(say_with(made[0], random, True), made[1], kind, made[0]))
            good.add(kind)
        elif kind not in good:
            left.remove(kind)
    if len(asked) < n:
        raise NothingToAsk(f"Of this scene only {len(asked)} of {n} questions can be asked in these kinds: "
                           f"{', '.join(kinds)}.")
    return asked
