"""One small English: `say` turns a program into a sentence, `parse` turns a sentence back into its program.

Statements:  a red circle | two large squares and a star | there is no green triangle | exactly two circles
             a red circle left of a blue square | above the star there is a small circle | the circle is red
Questions:   what color is the large circle? | how many stars are there? | is there a square below the circle?
             do the star and the circle have the same size? | are there more circles than squares?
"the" means that there is exactly one (Russell 1905), "a" at least one, a number exactly so many.
"""

import difflib
import re
from functools import lru_cache
from itertools import product
from random import Random

from mmcourse.world.programs import NotUnique, execute
from mmcourse.world.scene import ATTRIBUTES, SHAPES, as_seed

NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
SAID = {word: (word,) for words in ATTRIBUTES.values() for word in words}  # word -> ways to say it
SAID |= {"small": ("small", "little"), "large": ("large", "big")}
PHRASES = {  # relation -> ways to say it
    "left of": ("left of", "to the left of"), "right of": ("right of", "to the right of"),
    "above": ("above", "over"), "below": ("below", "under"),
}
PLURAL = {shape: shape + ("es" if shape.endswith("s") else "s") for shape in SHAPES}
NOUNS = {word: shape for shape in SHAPES for word in (shape, PLURAL[shape])}
NOUNS |= dict.fromkeys(("object", "objects", "thing", "things"))
_MEANS = {said: word for word, ways in SAID.items() for said in ways}
_RANK = {word: rank for rank, words in enumerate(ATTRIBUTES.values()) for word in words}
_OPENINGS = ("", "", "there is ", "the picture shows ")
VOCABULARY = sorted({*_MEANS, *NOUNS, *NUMBERS, *ATTRIBUTES, *" ".join(sum(PHRASES.values(), ())).split(),
                     *("a an another any and are as do exactly fewer have how is many more of or other "
                       "picture same see shows than that the there we what which with you . , ?").split()})


def refine(words, inner):
    """The program for those of a set that have all these words, in canonical order."""
    if inner[0] == "filter":
        words, inner = (*words, *inner[1]), inner[2]
    words = tuple(sorted(set(words), key=lambda word: (_RANK[word], word)))
    return ("filter", words, inner) if words else inner


def _plain(program):
    """Is a set described by words alone?"""
    return program[0] == "scene" or program[0] == "filter" and program[2][0] == "scene"


def _within(subject, relation):
    """Those of the subject that stand in the relation."""
    if _plain(subject):
        return refine(subject[1] if subject[0] == "filter" else (), relation)
    return ("and", subject, relation)


# ---- from programs to sentences

@lru_cache(maxsize=None)
def _ways(words, plural):
    """All ways to say a noun with these words, like ("large red circle", "big red circle")."""
    shapes = [word for word in words if word in SHAPES]
    heads = [PLURAL[shapes[0]] if plural else shapes[0]] if shapes else ["objects", "things"] if plural else [
        "object", "thing"]
    adjectives = [SAID[word] for word in words if word not in SHAPES]
    return tuple(" ".join(parts) for parts in product(*adjectives, heads))


def _noun(program, random, plural=False):
    words, inner = program[1:] if program[0] == "filter" else ((), program)
    ways = _ways(words, plural)
    other = "other " if inner[0] == "same" else ""
    return other + ways[int(random() * len(ways))] + _suffix(inner, random)


def _relation(program, random):
    _, relation, anchor = program
    return f"{PHRASES[relation][random() < 0.3]} {_phrase(anchor, random)}"


def _suffix(program, random):
    match program:
        case ("relate", *_):
            return " " + _relation(program, random)
        case ("same", attribute, inner):
            return f" of the same {attribute} as {_phrase(inner, random)}"
        case ("and", left, right):
            return _suffix(left, random) + " and" + _suffix(right, random)
    return ""


def _article(noun):
    return "an" + noun if noun.startswith("other ") else f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _phrase(program, random):
    if program[0] == "unique":
        return "the " + _noun(program[1], random)
    return _article(_noun(program, random))


def _question(program, random):
    match program:
        case ("query", attribute, inner):
            form = "what {0} is {1}?" if random() < 0.6 else "what is the {0} of {1}?"
            return form.format(attribute, _phrase(inner, random))
        case ("count", ("or", left, right)):
            return f"how many objects are {_noun(left, random, True)} or {_noun(right, random, True)}?"
        case ("count", ("filter", words, ("relate", *_) as inner)):
            noun = _noun(refine(words, ("scene",)), random, True)
            return f"how many {noun} are {_relation(inner, random)}?"
        case ("count", inner):
            form = "how many {} are there?" if random() < 0.6 else "how many {} do you see?"
            return form.format(_noun(inner, random, True))
        case ("exist", ("and", ("unique", _) as subject, ("relate", *_) as relation)):
            return f"is {_phrase(subject, random)} {_relation(relation, random)}?"
        case ("exist", ("filter", (word,), ("unique", _) as subject)):
            return f"is {_phrase(subject, random)} {_article(word) if word in SHAPES else word}?"
        case ("exist", inner):
            if random() < 0.7:
                return f"is there {_phrase(inner, random)}?"
            return f"are there any {_noun(inner, random, True)}?"
        case ("equal", attribute, left, right):
            short = random() < 0.4 and left[0] == "unique" and _plain(left[1])
            form = "is {1} the same {0} as {2}?" if short else "do {1} and {2} have the same {0}?"
            return form.format(attribute, _phrase(left, random), _phrase(right, random))
        case ("more" | "fewer" | "as many" as word, left, right):
            joint = "as" if word == "as many" else "than"
            return f"are there {word} {_noun(left, random, True)} {joint} {_noun(right, random, True)}?"


def _list(numbers, sets, random):
    """"two red circles, a star and a square" with an opening."""
    items = [f"{NUMBERS[n]} {_noun(inner, random, n > 1)}" for n, inner in numbers]
    items += [_phrase(inner, random) for inner in sets]
    opening = _OPENINGS[int(random() * len(_OPENINGS))]
    if opening == "there is " and numbers and numbers[0][0] > 1:
        opening = "there are "
    if opening.startswith("there") and numbers and len(items) == 1 and random() < 0.5:
        opening += "exactly "
    return opening + ", ".join(items[:-1]) + (" and " if len(items) > 1 else "") + items[-1]


def _statement(program, random):
    match program:
        case ("exist", ("and", ("unique", _) as subject, ("relate", *_) as relation)):
            return f"{_phrase(subject, random)} is {_relation(relation, random)}"
        case ("exist", ("filter", (word,), ("unique", _) as subject)):
            return f"{_phrase(subject, random)} is {_article(word) if word in SHAPES else word}"
        case ("exist", ("filter", words, ("relate", *_) as relation)):
            form = ("{0} {1}", "{0} {1}", "there is {0} {1}", "{1} there is {0}")[int(random() * 4)]
            return form.format(_phrase(refine(words, ("scene",)), random), _relation(relation, random))
        case ("exist", *sets):
            return _list([], sets, random)
        case ("number", n, inner):
            return _list([(n, inner)], [], random)
        case ("not", ("exist", inner)):
            if random() < 0.6:
                return f"there is no {_noun(inner, random)}"
            return f"there are no {_noun(inner, random, True)}"
        case ("every", *numbers, (("number" | "exist"), *_) as last) if (
                all(part[0] == "number" for part in numbers)
                and (last[0] == "number" or all(_plain(inner) for inner in last[1:]))):
            numbers, sets = ([*numbers, last], ()) if last[0] == "number" else (numbers, last[1:])
            return _list([part[1:] for part in numbers], sets, random)
        case ("every", *parts):
            return ". ".join(_statement(part, random) for part in parts)


def say(program, seed=0, question=False):
    """A sentence with the meaning of a program; the seed chooses among the ways to say it.

    `question` asks where both are possible: "is there a star?" and not "there is a star".
    """
    random = Random(as_seed(seed)).random
    return say_with(program, random, question)


def say_with(program, random, question=False):
    """`say` with a random() function in place of a seed."""
    if question or program[0] in ("query", "count", "equal", "more", "fewer", "as many"):
        return _question(program, random)
    return _statement(program, random)


# ---- from sentences to programs

class _Reader:
    """A recursive-descent parser over the words of one sentence."""

    def __init__(self, sentence):
        self.sentence = sentence
        self.tokens = re.findall(r"\w+|[^\w\s]", sentence.lower())
        for word in self.tokens:
            if word not in VOCABULARY:
                close = difflib.get_close_matches(word, VOCABULARY, 1)
                hint = f"did you mean {close[0]!r}?" if close else "its words are in world.VOCABULARY."
                raise ValueError(f"This world does not know the word {word!r}: {hint}")
        self.at = 0

    def next_is(self, *phrases):
        """Do the next words spell one of these phrases?"""
        return any(self.tokens[self.at:self.at + len(words)] == words for words in map(str.split, phrases))

    def accept(self, *phrases):
        """Step over the first of the phrases that comes next, and return it, or None."""
        for phrase in phrases:
            if self.next_is(phrase):
                self.at += len(phrase.split())
                return phrase

    def expect(self, *phrases):
        return self.accept(*phrases) or self.fail()

    def fail(self):
        asks = "?" in self.tokens
        example = "what color is the large circle?" if asks else "a red circle left of a blue square"
        raise ValueError(f"{self.sentence!r} is not built like a sentence of this world: try {example!r}.")

    def sentence_end(self):
        return self.at == len(self.tokens)

    # noun phrases

    def relation(self):
        for relation, ways in PHRASES.items():
            if self.accept(*ways):
                return relation

    def related(self):
        """"left of the square": its set, or None if no relation comes next."""
        start = self.at
        if self.accept("that", "which"):
            self.expect("is", "are")
        if relation := self.relation():
            return ("relate", relation, self.phrase(joined=False))
        self.at = start

    def suffix(self, joined):
        """What follows a noun; `joined` allows "left of the star and above the square"."""
        if self.accept("of the same", "with the same"):
            attribute = self.expect(*ATTRIBUTES)
            self.expect("as")
            return ("same", attribute, self.phrase(joined=False))
        program = self.related()
        while program and joined and self.next_is("and"):
            self.at += 1
            more = self.related()
            if not more:
                self.at -= 1
                break
            program = ("and", program, more)
        return program or ("scene",)

    def words(self):
        """Adjectives and a noun: their words."""
        found = []
        while (word := self.accept(*_MEANS)) and word not in SHAPES:
            found.append(_MEANS[word])
        if word is None:
            word = self.expect(*NOUNS)
        return found + [NOUNS[word]] if NOUNS[word] else found

    def noun(self, joined=True):
        other, words, inner = self.accept("other"), self.words(), self.suffix(joined)
        return self.fail() if other and inner[0] != "same" else refine(words, inner)     # "other" than what?

    def phrase(self, joined=True, bare=False):
        """An article and a noun: a set. `bare` leaves what follows the noun unread."""
        article = self.expect("the", "a", "an", "another")
        noun = refine(self.words(), ("scene",)) if bare else self.noun(joined)
        return ("unique", noun) if article == "the" else noun

    # statements

    def predicate(self, subject):
        """What comes after "the circle is": a set within the subject."""
        if relation := self.related():
            return _within(subject, relation)
        if self.accept("a", "an"):
            return refine(self.words(), subject)
        words = [_MEANS[self.expect(*(_MEANS.keys() - set(SHAPES)))]]
        return refine(words, subject)

    def item(self):
        """One item of a list: ("number", n, set) or ("exist", set)."""
        exactly = self.accept("exactly")
        if number := self.accept(*NUMBERS[1:]):
            return ("number", NUMBERS.index(number), self.noun())
        return self.fail() if exactly else ("exist", self.phrase())

    def statement(self):
        if relation := self.related():
            self.accept(",")
            self.expect("there is", "there are", "is", "are")
            return ("exist", _within(self.phrase(), relation))
        opened = self.accept("there is", "there are", "the picture shows", "a picture of", "we see")
        if self.accept("no"):
            return ("not", ("exist", self.noun()))
        items = [self.item()]
        if not opened and items[0][0] == "exist" and self.accept("is", "are"):
            return ("exist", self.predicate(items[0][1]))
        while self.accept(", and", ",", "and"):
            items.append(self.item())
        parts = [item for item in items if item[0] == "number"]
        if sets := [item[1] for item in items if item[0] == "exist"]:
            parts.append(("exist", *sets))
        return parts[0] if len(parts) == 1 else ("every", *parts)

    # questions

    def how_many(self):
        noun = self.noun()
        if self.accept("do you see", "are there"):
            return ("count", noun)
        self.expect("are")
        if relation := self.related():
            return ("count", _within(noun, relation))
        if noun != ("scene",):
            self.fail()
        left = self.noun()
        self.expect("or")
        return ("count", ("or", left, self.noun()))

    def are_there(self):
        if word := self.accept("more", "fewer", "as many"):
            left = self.noun()
            self.expect("as" if word == "as many" else "than")
            return (word, left, self.noun())
        if self.accept("any"):
            return ("exist", self.noun())
        return self.item()

    def question(self):
        if self.accept("what is the"):
            attribute = self.expect(*ATTRIBUTES)
            self.expect("of")
            return ("query", attribute, self.phrase())
        if self.accept("what"):
            attribute = self.expect(*ATTRIBUTES)
            self.expect("is")
            return ("query", attribute, self.phrase())
        if self.accept("how many"):
            return self.how_many()
        if self.accept("are there", "is there"):
            return self.are_there()
        if self.accept("do"):
            left = self.phrase()
            self.expect("and")
            right = self.phrase()
            self.expect("have the same")
            return ("equal", self.expect(*ATTRIBUTES), left, right)
        self.expect("is")
        left = self.phrase(bare=True)
        if self.accept("the same"):
            attribute = self.expect(*ATTRIBUTES)
            self.expect("as")
            return ("equal", attribute, left, self.phrase())
        return ("exist", self.predicate(left))

    def read(self):
        if self.next_is("what", "how", "do", "is", "are"):
            program = self.question()
            self.accept("?")
            return program if self.sentence_end() else self.fail()
        parts = [self.statement()]
        while self.accept(".") and not self.sentence_end():
            parts.append(self.statement())
        if not self.sentence_end():
            self.fail()
        return parts[0] if len(parts) == 1 else ("every", *parts)


def parse(sentence):
    """The program of a statement or question. Raises ValueError naming a word that is not of this world, or
    showing a sentence that works where the words are known but not their order."""
    if not isinstance(sentence, str):
        raise ValueError(f"A sentence is a string, and this is {type(sentence).__name__}.")
    return _parsed(sentence)


@lru_cache(maxsize=4096)
def _parsed(sentence):
    return _Reader(sentence).read()


def satisfies(scene, sentence):
    """Is the sentence true of the scene? "the" of nothing or of several things makes it false.
    Raises ValueError as `parse` does, and for a question that yes or no does not answer."""
    program = parse(sentence)
    if program[0] in ("query", "count"):
        raise ValueError(f"{sentence!r} is neither true nor false: world.answer(scene, question) answers it.")
    try:
        return execute(program, scene) == "yes"
    except NotUnique:
        return False


def answer(scene, question):
    """The true answer to any question of the grammar, as a string: "red", "3", "yes".
    Raises ValueError as `parse` does, and where "the ..." does not fit exactly one object."""
    return execute(parse(question), scene)
