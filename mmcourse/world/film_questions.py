"""Questions about films with their answers and programs, in the style of CLEVRER (Yi et al. 2020).

An object is named by words that are true of it alone, from the first frame to the last. A program is one of

    ("way", words)                              which way it first moves: "left", "right", "up", "down"
    ("times", kind, words)                      how many events of a kind it has: "0", "1", ...
    ("happens", kind, words)                    has it any? "yes" or "no"
    ("order", (kind, words), (kind, words))     is the first such event of one before that of the other?
    ("first", kind, attribute)                  the attribute of the object that has such an event first
    ("before", words)                           its color before it changed
    ("at", frame, program)                      the answer of a program of `world.execute` in that frame
"""

from collections import Counter
from itertools import combinations, permutations

from mmcourse.world.programs import execute
from mmcourse.world.questions import NothingToAsk, Question, questions
from mmcourse.world.scene import ATTRIBUTES, as_random, known
from mmcourse.world.video import EVENTS, WAYS, way

FILM_KINDS = ("way", "bounces", "happens", "order", "first", "before", "end")
_VERBS = {"bounce": "bounce", "appear": "appear", "leave": "leave", "recolor": "change color"}
_THIRD = {"bounce": "bounces", "appear": "appears", "leave": "leaves", "recolor": "changes color"}
_TRIES = 12


def kept(track, attribute):
    """The value an object keeps for the whole film, or None."""
    values = {getattr(thing, attribute) for thing in track if thing}
    return values.pop() if len(values) == 1 else None


def find(film, words):
    """The number of the only object that keeps these words. Raises ValueError for none or several."""
    found = [i for i, track in enumerate(film.tracks)
             if set(words) <= {kept(track, attribute) for attribute in ATTRIBUTES}]
    if len(found) != 1:
        raise ValueError(f"{' '.join(words)!r} fits {len(found)} objects of this film and not exactly one.")
    return found[0]


def _times(film, kind, words):
    known("kind of event", kind, EVENTS)
    at = find(film, words)
    return [event.time for event in film.events if (event.object, event.kind) == (at, kind)]


def film_answer(film, program):
    """Run a program on a film: the answer as a string.

    Raises ValueError for what is no program, and where an object or event that it names is not in the film.
    """
    match program:
        case ("way", words) if turn := way(film.tracks[find(film, words)]):
            return turn
        case ("times", kind, words):
            return str(len(_times(film, kind, words)))
        case ("happens", kind, words):
            return "yes" if _times(film, kind, words) else "no"
        case ("order", one, two) if (early := _times(film, *one)) and (late := _times(film, *two)):
            return "yes" if early[0] < late[0] else "no"
        case ("first", kind, attribute) if events := [event for event in film.events if event.kind == kind]:
            return getattr(next(filter(None, film.tracks[events[0].object])), attribute)
        case ("before", words) if times := _times(film, "recolor", words):
            return film.tracks[find(film, words)][times[0] - 1].color
        case ("at", frame, inner):
            return execute(inner, film.scenes()[frame])
    raise ValueError(f"{program!r} cannot be asked of this film: see the list in world/film_questions.py.")


def the(words):
    ordered = [word for values in ATTRIBUTES.values() for word in values if word in words]
    return " ".join(["the", *ordered] + ([] if set(words) & set(ATTRIBUTES["shape"]) else ["object"]))


def _say(program):
    match program:
        case ("way", words):
            return f"which way does {the(words)} move at first?"
        case ("times", kind, words):
            return f"how many times does {the(words)} {_VERBS[kind]}?"
        case ("happens", kind, words):
            return f"does {the(words)} {_VERBS[kind]}?"
        case ("order", (kind, words), (other, others)):
            return f"does {the(words)} {_VERBS[kind]} before {the(others)} {_THIRD[other]}?"
        case ("first", kind, attribute):
            return f"what {attribute} is the object that {_THIRD[kind]} first?"
        case ("before", words):
            return f"what color was {the(words)} before it changed?"


class Asker:
    """Builds programs about one film; a method per kind, which returns None where it cannot."""

    def __init__(self, film, random):
        self.film, self.random = film, random
        looks = [[kept(track, attribute) for attribute in ATTRIBUTES] for track in film.tracks]
        self.told = [name for k, name in enumerate(ATTRIBUTES) if len({look[k] for look in looks}) > 1]
        plain = None if "texture" in self.told else "solid"  # worth a word only where something is not
        self.count = Counter((event.object, event.kind) for event in film.events)
        seen = [[{getattr(one, name) for name in ATTRIBUTES} for one in track if one] for track in film.tracks]
        self.names = {}  # object -> the fewest words that are true of it alone, every choice of them
        for i, look in enumerate(looks):
            telling = [word for word in look if word not in (None, plain)]
            for n in range(1, 5):
                names = [words for words in combinations(telling, n)
                         if sum(any(set(words) <= look for look in track) for track in seen) == 1]
                if names:
                    self.names[i] = names
                    break

    def pick(self, values):
        values = list(values)
        return values[int(self.random() * len(values))] if values else None

    def one_of(self, groups, fewest=1):
        """A random name of an object of a random group, if at least `fewest` groups hold one with a name."""
        named = [[i for i in group if i in self.names] for group in groups]
        named = [group for group in named if group]
        return self.pick(self.names[self.pick(self.pick(named))]) if len(named) >= fewest else None

    def way(self):
        ways = [way(track) for track in self.film.tracks]
        words = self.one_of([[i for i, one in enumerate(ways) if one == turn] for turn in WAYS])
        return words and ("way", words)

    def bounces(self):
        movers = [i for i, track in enumerate(self.film.tracks) if all(track) and way(track)]
        words = self.one_of([[i for i in movers if self.count[i, "bounce"] == n] for n in range(3)])
        return words and ("times", "bounce", words)

    def happens(self):
        kind = self.pick(EVENTS)
        has = [self.count[i, kind] > 0 for i in range(len(self.film.tracks))]
        words = self.one_of([[i for i, one in enumerate(has) if one == so] for so in (True, False)], 2)
        return words and ("happens", kind, words)

    def order(self):
        first = {}
        for event in self.film.events:
            if event.object in self.names:
                first.setdefault((event.kind, event.object), event.time)
        pair = self.pick((one, two) for one, two in permutations(first, 2)
                         if one[1] != two[1] and first[one] != first[two])
        return pair and ("order", *((kind, self.pick(self.names[i])) for kind, i in pair))

    def first(self):
        kind, attribute = self.pick(EVENTS), self.pick(self.told)
        events = [event for event in self.film.events if event.kind == kind]
        alone = events and attribute and all(event.time > events[0].time for event in events[1:])
        if alone and kept(self.film.tracks[events[0].object], attribute):
            return ("first", kind, attribute)

    def before(self):
        words = self.one_of([[i for i in range(len(self.film.tracks)) if self.count[i, "recolor"]]])
        return words and ("before", words)


def film_questions(film, n=8, seed=0, kinds=FILM_KINDS):
    """n questions about a film as a list of `Question`, a pure function of film, seed and kinds.

    `kinds` are mixed evenly, as far as the film has something to ask of each. Whether something happens is
    asked only where it happens to one object and not to another, and "first" of attributes in which the
    objects differ. Raises ValueError for a kind that is none, NothingToAsk (a ValueError) where none of the
    kinds can be asked.
    """
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    for kind in kinds:
        known("kind of question", kind, FILM_KINDS)
    last = film.scenes()[-1]
    random = as_random(last, seed).random
    asker, asked, left = Asker(film, random), [], list(kinds)
    while len(asked) < n:
        if not left:
            raise NothingToAsk(f"None of these kinds can be asked of this film: {', '.join(kinds)}.")
        kind = asker.pick(left)
        question = _last(film, last, random) if kind == "end" else _ask(film, asker, kind)
        if question:
            asked.append(question)
        elif all(other.kind != kind for other in asked):
            left.remove(kind)
    return asked


def _ask(film, asker, kind):
    for _ in range(_TRIES):
        if program := getattr(asker, kind)():
            return Question(_say(program), film_answer(film, program), kind, program)


def _last(film, scene, random):
    if not len(scene):
        return None
    try:
        question = questions(scene, 1, int(random() * 2 ** 31))[0]
    except NothingToAsk:
        return None
    program = ("at", len(film) - 1, question.program)
    return Question("at the end, " + question.text, question.answer, "end", program)
