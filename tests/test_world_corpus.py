"""The corpus: pure, exactly scored, true to the world's language, and its answers are the world's."""

import math
import re
from collections import Counter

import pytest

from mmcourse import world
from mmcourse.world import corpus
from mmcourse.world.language import NUMBERS


PICTURE = "the picture shows a small red star and a large blue circle."


def test_reader_and_teller_agree():
    for seed in range(400):
        told = corpus.tell(seed)
        assert told == corpus.tell(seed) and abs(corpus.log_prob(told.text) - told.log_prob) < 1e-9
    assert {corpus.tell(seed).kind for seed in range(50)} == set(corpus.KINDS) == set(corpus.CHANCES)


def test_probability_by_hand():
    assert corpus.log_prob("7 + 12 = 19.") == pytest.approx(math.log(0.2 / 3 / 13 / 2 / 13))
    assert corpus.log_prob("7 - 2 = 5.") == pytest.approx(math.log(0.2 / 3 / 13 / 2 / 8))
    assert sum(math.exp(corpus.log_prob(f"{a} {sign} {b} = {c}.")) for a in range(13) for b in range(13)
               for sign, c in (("+", a + b), ("-", a - b))) == pytest.approx(0.2 / 3)


@pytest.mark.parametrize("text", [
    "", "7 + 12 = 20.", "7 + 12 = 19", "3 - 5 = -2.", "a red star", "a red stars.", "the picture shows.", "Hello.",
    f"{PICTURE} what color is the star? the star is blue.", f"{PICTURE} what color is the star? red.",
    f"{PICTURE} how many stars are there? there are two stars.", f"{PICTURE} what color is the thing? the thing is red.",
    f"{PICTURE} is there a green thing? yes, there is a green thing.", PICTURE[:-1],
    f"{PICTURE} what shape is the large thing? the large thing is a star.",
    "once there was a small red star called ada. ada was hungry. ada went up and found an apple. ada ate the apple. "
    "the red circle was not hungry any more.", corpus.tell(3).text + " "])
def test_what_is_not_in_the_grammar_has_no_chance(text):
    assert corpus.log_prob(text) == -math.inf


def test_the_right_answers_have_a_chance():
    for answer in ("what color is the star? the star is red.", "is there a green thing? no, there is no green thing.",
                   "how many red things are there? there is one red thing."):
        assert corpus.log_prob(f"{PICTURE} {answer}") > -30


def test_descriptions_are_the_worlds_language():
    for seed in range(300):
        world.parse(corpus.tell(seed, "description").text)


def test_answers_are_the_worlds():
    """Build a scene of what a dialogue describes, and ask the world its questions."""
    corners = [(x / 5, y / 5) for y in range(1, 5) for x in range(1, 5)]
    seen = Counter()
    for seed in range(300):
        front, _, rest = corpus.tell(seed, "dialogue").text.partition(". ")
        things = []
        for item in front.removeprefix("the picture shows ").split(" and "):
            number, size, color, shape = item.split()
            things += [(shape.removesuffix("s"), color, size)] * (1 if number == "a" else NUMBERS.index(number))
        scene = world.Scene(tuple(world.Object(*thing, x=x, y=y) for thing, (x, y) in zip(things, corners)))
        for question, answer in re.findall(r"(\w[^?]*\?) ([^.]*)\.", rest):
            assert world.satisfies(scene, re.sub("^(yes|no), ", "", answer)), (front, answer)
            words = answer.replace(",", "").split()
            said = str(NUMBERS.index(words[2])) if words[0] == "there" else words[0 if words[0] in ("yes", "no") else -1]
            truth = world.answer(scene, question)
            assert said == truth, (front, question)
            seen[truth] += 1
    assert len(seen) > 15


def test_following_is_the_true_next_word():
    assert corpus.following("7 + 12 =") == {"19.": pytest.approx(1.0)}
    assert sum(corpus.following("the picture shows").values()) == pytest.approx(1.0)
    words = Counter()
    for seed in range(4000):
        words[corpus.tell(seed).text.split()[0]] += 1 / 4000
    truth = corpus.following("")
    assert all(abs(words[word] - truth.get(word, 0)) < 0.03 for word in words | truth)
    assert corpus.END in corpus.following("there are three stars.")
    assert corpus.END not in corpus.following("the star is blue. the star is")     # the first sentence alone is a text, too
    with pytest.raises(ValueError, match="No text of the corpus starts with 'zebra'"):
        corpus.following("zebra")
