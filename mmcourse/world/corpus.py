"""Texts of the world whose probability is known exactly: descriptions, dialogues, stories and little sums.

The grammar is a program that makes choices. Run with a random Teller it tells a text, and the chances of its choices
multiply to the text's probability. Run with a Reader it follows a given text, tries every choice that fits, and adds
up: the exact probability of any text, zero if it is not in the grammar. Same code, so the two cannot disagree.

    corpus.tell(7)                      # Text("7 + 12 = 19.", kind="sum", log_prob=-7.2...)
    corpus.log_prob("7 + 12 = 19.")     # -7.2...; -inf for "7 + 12 = 20."
    corpus.following("the picture shows a small red")      # {"circle": 0.16, ...}: the true next word
"""

import math
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from mmcourse.world.language import NUMBERS, PHRASES, PLURAL
from mmcourse.world.scene import SPECS, as_seed, known

COLORS, SHAPES = SPECS["standard"].colors, SPECS["standard"].shapes
NAMES = ("ada", "ben", "ida", "leo", "max", "mia", "tom", "zoe")
END = "<end>"                                                     # what `following` calls the end of a text


@dataclass(frozen=True)
class Text:
    """A text of the corpus, its kind (one of KINDS), and the natural logarithm of its exact probability."""
    text: str
    kind: str
    log_prob: float


# ---- tellers: they make the grammar's choices -----------------------------------------------------------------------

class Teller:
    """Makes every choice at random; `text` is what was said, `log_prob` the logarithm of the chance of the choices."""

    def __init__(self, random):
        self.random, self.text, self.log_prob = random, "", 0.0

    def choose(self, options, weights=None):
        """One of the options, silently."""
        return self._take(options, weights, [None] * len(options))

    def pick(self, options, weights=None, words=str):
        """One of the options, said aloud as words(option)."""
        said = [words(option) for option in options]
        chosen = self._take(options, weights, said)
        self.say(words(chosen))
        return chosen

    def say(self, words):
        self.text = self.joined(words)

    def joined(self, words):
        return self.text + words if not self.text or words[:1] in ("", ".", ",", "?") else f"{self.text} {words}"

    def _take(self, options, weights, said):
        sums = list(accumulate(weights or [1] * len(options)))
        mark = self.random() * sums[-1]
        return self._settle(options, sums, next(i for i, level in enumerate(sums) if mark < level))

    def _settle(self, options, sums, i):
        self.log_prob += math.log((sums[i] - (sums[i - 1] if i else 0)) / sums[-1])
        return options[i]


class Stuck(Exception):
    """The choices made so far do not lead to the text."""


class Reader(Teller):
    """Makes the choices of `path`, then the first that fits `target`; all others that fit go onto the list `todo`."""

    def __init__(self, target, path, todo):
        super().__init__(None)
        self.target, self.path, self.todo, self.made = target, path, todo, []

    def fits(self, text):
        return self.target.startswith(text)

    def say(self, words):
        super().say(words)
        if not self.fits(self.text):
            raise Stuck

    def _take(self, options, weights, said):
        fitting = [i for i, words in enumerate(said) if words is None or self.fits(self.joined(words))]
        if not fitting:
            raise Stuck
        if len(self.made) < len(self.path):
            i = self.path[len(self.made)]
        else:
            i = fitting[0]
            self.todo += [[*self.made, other] for other in fitting[1:]]
        self.made.append(i)
        return self._settle(options, list(accumulate(weights or [1] * len(options))), i)


class Guesser(Reader):
    """A Reader that may go beyond its target, and stops there."""

    def fits(self, text):
        return self.target.startswith(text) or text.startswith(self.target)

    def say(self, words):
        super().say(words)
        if len(self.text) > len(self.target):
            raise StopIteration


def tell(seed, kind=None):
    """The Text of a seed, a pure function of it; of one kind of KINDS, or of all."""
    teller = Teller(Random(as_seed(seed)).random)
    kind = document(teller) if kind is None else document(teller, [known("kind of text", kind, KINDS)])
    return Text(teller.text, kind, teller.log_prob)


def log_prob(text):
    """The exact log-probability of a text under the corpus, in nats; -inf if it is not in the grammar."""
    total, todo = 0.0, [[]]
    while todo:
        reader = Reader(text, todo.pop(), todo)
        try:
            document(reader)
        except Stuck:
            continue
        if reader.text == text:
            total += math.exp(reader.log_prob)
    return math.log(total) if total else -math.inf


def following(prefix):
    """The true distribution of the next word after whole words: {word: probability}, `END` where a text may end.
    Raises ValueError if no text of the corpus starts so."""
    found, todo = {}, [[]]
    while todo:
        reader = Guesser(prefix, todo.pop(), todo)
        try:
            document(reader)
        except Stuck:
            continue
        except StopIteration:
            pass
        if len(reader.text) < len(prefix):                          # it ended before the prefix did
            continue
        rest = reader.text[len(prefix):]
        if not rest or rest[0] in " .,?" or not prefix:             # else the prefix ends inside a word
            word = rest.lstrip(" ").split(" ")[0] or END
            found[word] = found.get(word, 0.0) + math.exp(reader.log_prob)
    if not found:
        raise ValueError(f"No text of the corpus starts with {prefix!r}.")
    total = sum(found.values())
    return {word: found[word] / total for word in sorted(found, key=found.get, reverse=True)}


# ---- the grammar ----------------------------------------------------------------------------------------------------

def document(t, kinds=None):
    """One text. Returns its kind."""
    kind = t.choose(kinds or list(KINDS), [1] if kinds else [CHANCES[kind] for kind in KINDS])
    KINDS[kind](t)
    return kind


def adjectives(t):
    t.pick(("", "small", "large", "little", "big"), (8, 3, 3, 1, 1))
    t.pick(("", *COLORS), (4, *[2] * len(COLORS)))


def a_noun(t):
    if t.pick(("a", "an"), (24, 1)) == "an":
        t.say("object")
    else:
        adjectives(t)
        t.pick((*SHAPES, "thing"), (*[4] * len(SHAPES), 2))


def the_noun(t):
    t.say("the")
    adjectives(t)
    t.pick((*SHAPES, "thing"), (*[4] * len(SHAPES), 2))


def nouns(t):
    adjectives(t)
    t.pick((*[PLURAL[shape] for shape in SHAPES], "things"), (*[4] * len(SHAPES), 2))


def some(t):
    """"a red circle" or "two red circles"."""
    if t.choose((True, False), (2, 1)):
        a_noun(t)
    else:
        t.pick(NUMBERS[2:5])
        nouns(t)


def listing(t):
    opening = t.pick(("", "there is", "there are", "the picture shows"), (2, 1, 1, 2))
    if opening == "there is":
        a_noun(t)
    elif opening == "there are":
        t.pick(NUMBERS[2:5])
        nouns(t)
    else:
        some(t)
    match t.pick((".", "and", ","), (2, 2, 1)):
        case "and":
            some(t)
            t.say(".")
        case ",":
            some(t)
            t.say("and")
            some(t)
            t.say(".")


def relation(t):
    t.pick([way for ways in PHRASES.values() for way in ways], (7, 3) * len(PHRASES))


def placing(t):
    form = t.choose(("plain", "is", "front"), (2, 2, 1))
    if form == "plain":
        a_noun(t)
        relation(t)
        a_noun(t)
    elif form == "is":
        the_noun(t)
        t.say("is")
        relation(t)
        the_noun(t)
    else:
        relation(t)
        a_noun(t)
        t.say("there is")
        a_noun(t)
    t.say(".")


def naming(t):
    t.say("the")
    t.pick(("", "small", "large"), (2, 1, 1))
    if t.choose(("color", "shape")) == "color":
        t.pick(SHAPES)
        t.say("is")
        t.pick(COLORS)
    else:
        t.pick(COLORS)
        t.say("thing is a")
        t.pick(SHAPES)
    t.say(".")


def denial(t):
    if t.pick(("there is no", "there are no"), (2, 1)) == "there is no":
        adjectives(t)
        t.pick(SHAPES)
    else:
        nouns(t)
    t.say(".")


def description(t):
    """One or two sentences about a picture nobody has drawn: all of them are read by `world.parse`."""
    for _ in range(t.choose((1, 2), (2, 1))):
        t.choose((listing, placing, naming, denial), (4, 3, 2, 1))(t)


def dialogue(t):
    """All that a picture shows, then one to three questions about it with their answers. No two groups of things share
    a shape or a color, so either names its group."""
    t.say("the picture shows")
    groups, colors, shapes = [], list(COLORS), list(SHAPES)          # groups: (number, size, color, shape)
    for place in range(t.choose((2, 3))):
        if place:
            t.say("and")
        number = t.pick((1, 2, 3), (3, 1, 1), lambda n: "a" if n == 1 else NUMBERS[n])
        size, color = t.pick(("small", "large")), t.pick(colors)
        shape = t.pick(shapes, words=lambda shape: noun(shape, number))
        colors.remove(color), shapes.remove(shape)
        groups.append((number, size, color, shape))
    t.say(".")
    for _ in range(t.choose((1, 2, 3))):
        question(t, groups)


def question(t, groups):
    single = [group for group in groups if group[0] == 1]
    match t.pick(("how many", "is there a", *["what"] * bool(single)), (3, 2, *[4] * bool(single))):
        case "how many":
            n, word = t.pick([(n, word) for n, _, *look in groups for word in look], words=lambda ask: noun(ask[1], 2))
            t.say(f"are there? there {'is' if n == 1 else 'are'} {NUMBERS[n]} {noun(word, n)}.")
        case "is there a":
            there = [word for _, _, *look in groups for word in look]
            words = (*COLORS, *SHAPES)
            word = t.pick(words, [3 if word in there else 2 for word in words], words=lambda word: noun(word, 1))
            t.say(f"? {'yes, there is a' if word in there else 'no, there is no'} {noun(word, 1)}.")
        case "what":
            asks = [ask for _, size, color, shape in single for ask in (
                ("color", shape, color), ("shape", color, f"a {shape}"), ("size", shape, size), ("size", color, size))]
            _, word, found = t.pick(asks, words=lambda ask: f"{ask[0]} is the {noun(ask[1], 1)}?")
            t.say(f"the {noun(word, 1)} is {found}.")


def noun(word, number):
    """("star", 2) -> "stars"; a color gives ("red", 1) -> "red thing"."""
    if word in COLORS:
        return f"{word} thing{'s' * (number > 1)}"
    return word if number == 1 else PLURAL[word]


def story(t):
    """Somebody lacks something and finds it; who it was and what was wrong must be kept to the end."""
    t.say("once there was a")
    t.pick(("small", "large"))
    color, shape = t.pick(COLORS), t.pick(SHAPES)
    t.say("called")
    name = t.pick(NAMES)
    t.say(".")
    mood = t.pick(("lonely", "hungry", "tired", "curious"), words=lambda mood: f"{name} was {mood}.")
    t.say(f"{name} went")
    t.pick(("left", "right", "up", "down"))
    match mood:
        case "lonely":
            t.say("and met a")
            t.pick(COLORS), t.pick(SHAPES)
            t.say("called")
            friend = t.pick([other for other in NAMES if other != name])
            t.say(".")
            t.pick(("played all day.", "sang a song."), words=lambda end: f"{name} and {friend} {end}")
        case "hungry":
            food = t.pick(("an apple", "a cake", "a pear"), words=lambda food: f"and found {food}.")
            t.say(f"{name} ate the {food.split()[1]}.")
        case "tired":
            t.say("and lay down")
            t.pick(("under", "behind", "on"))
            t.say("a")
            t.pick(COLORS), t.pick(SHAPES)
            t.say(".")
            t.say(f"{name} slept all night.")
        case "curious":
            t.say("and looked")
            t.pick(("under", "behind", "into"))
            t.say("a box.")
            thing = t.pick(("key", "map", "shell"), words=lambda thing: f"there was a {thing} in the box.")
            t.say(f"{name} took the {thing}.")
    t.say(f"the {color} {shape} was not {mood} any more.")


def sums(t):
    """One to three sums of numbers up to 12."""
    for _ in range(t.choose((1, 2, 3))):
        a, sign = t.pick(range(13)), t.pick(("+", "-"))
        b = t.pick(range(13 if sign == "+" else a + 1))
        t.say(f"= {a + b if sign == '+' else a - b}.")


KINDS = {"description": description, "dialogue": dialogue, "story": story, "sum": sums}
CHANCES = {"description": 0.25, "dialogue": 0.35, "story": 0.2, "sum": 0.2}
