"""Sentences: captions true, negatives false by one thing, parse inverts say, satisfies knows the truth."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcourse import world
from mmcourse.world import Object, Scene
from mmcourse.world.bench import telling

SCENE = Scene((
    Object("circle", "red", "large", x=0.25, y=0.25), Object("square", "blue", "small", x=0.75, y=0.25),
    Object("star", "red", "small", x=0.25, y=0.8), Object("circle", "green", "large", x=0.75, y=0.8)))

TRUE = """a red circle
there is a large green circle
the picture shows two circles
there are exactly four objects
two red things and a square
a red circle, a blue square, a red star and a green circle
A Red Circle left of a blue square.
a red circle left of a blue square
a red circle to the left of a blue square
the blue square is right of the red circle
above the star there is a red circle
to the right of the star there is a thing
a star below a circle
a star under the red circle
the star is small
the blue object is a square
there is no triangle
there are no yellow things
one star
a big circle over a little star
the square is above the green circle
a circle that is above a star
two circles. the star is red. there is a small blue square""".splitlines()

FALSE = """a blue circle
two stars
a red circle right of a blue square
the circle is red
the triangle is red
three circles
exactly two objects
one circle
there is no star
the star is large
the square is a circle
a star and a triangle
a blue square and a small blue square
two circles. the star is blue
above the red circle there is a star
the red circle is below the star""".splitlines()


@pytest.mark.parametrize("sentence", TRUE)
def test_true_sentences(sentence):
    assert world.satisfies(SCENE, sentence)


@pytest.mark.parametrize("sentence", FALSE)
def test_false_sentences(sentence):
    assert not world.satisfies(SCENE, sentence)


def test_objects_of_a_list_are_different_ones():
    """One red circle is not both a circle and a red thing."""
    one = Scene((Object("circle", "red"),))
    two = Scene((Object("circle", "red", x=0.2), Object("circle", "blue", x=0.8)))
    assert not world.satisfies(one, "a circle and a red thing")
    assert world.satisfies(two, "a circle and a red thing")


@pytest.mark.parametrize("sentence, words", [
    ("a rad circle", "'rad': did you mean 'red'"),
    ("a red circle left of a unicorn", "'unicorn'"),
    ("a red circle # a star", "'#'"),
    ("红色", "红色"),
    ("red circle", "not built like a sentence.*a red circle left of a blue square"),
    ("a red circle left", "not built like a sentence"),
    ("a circle a star", "not built like a sentence"),
    ("there is", "not built like a sentence"),
    ("", "not built like a sentence"),
    ("exactly a circle", "not built like a sentence"),
    ("what is?", "not built like a sentence.*what color is the large circle"),
    ("what color is the circle?", "neither true nor false"),
    (None, "A sentence is a string"), (["a red circle"], "A sentence is a string"),
    ("a circle left of the other circle", "not built like a sentence"),             # "other" than what?
    ("are there any other circles?", "not built like a sentence"),
])
def test_a_sentence_outside_the_grammar_says_why(sentence, words):
    with pytest.raises(ValueError, match=words) as error:
        world.satisfies(SCENE, sentence)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("style", world.STYLES)
def test_captions_of_every_style_are_true_and_come_back(style):
    told = set()
    for seed in range(150):
        scene = world.sample(seed + 2 ** 36, world.Spec(objects=(2, 5)))
        try:
            caption = scene.caption(seed, style)
        except ValueError:
            assert style == "attribute" and len(set(map(str, scene))) < len(scene)
            continue
        assert world.satisfies(scene, caption), caption
        program = world.parse(caption)
        assert world.parse(world.say(program, seed)) == program
        told.add(caption)
    assert len(told) > 30


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2 ** 40), st.integers(0, 2 ** 20), st.sampled_from(list(world.SPECS)))
def test_captions_are_true_and_negatives_false(seed, wording, spec):
    scene = world.sample(seed, spec)
    for caption in world.captions(scene, 3, wording, spec=spec):
        assert world.satisfies(scene, caption)
    for negative in world.negatives(scene, 3, wording, spec):
        assert world.satisfies(scene, negative.caption)
        assert not world.satisfies(scene, negative.text)


def test_many_captions_and_negatives():
    assert telling(2000, "standard") == (0, 0, 0)
    assert telling(1000, "rich") == (0, 0, 0)


WORDS_OF = {"relation": {"left", "right", "above", "over", "below", "under"},
            "count": {*"one two three four five six is are".split()},
            "color": {*world.COLORS}, "shape": {*world.SHAPES}, "size": {*"small little large big".split()}}


@pytest.mark.parametrize("change", WORDS_OF)
def test_negatives_differ_in_one_thing(change):
    """Word by word, apart from what grammar drags along: a or an, is or are, plurals."""
    for seed in range(120):
        scene = world.sample(seed, world.Spec(objects=(3, 5)))
        if len(set(map(str, scene))) == 1:
            continue  # of three objects that are all alike no relation is ever false
        for negative in world.negatives(scene, 2, seed, change=change):
            assert negative.change == change
            old, new = (re.findall(r"\w+", text) for text in (negative.caption, negative.text))
            assert len(old) == len(new)
            changed = [(a, b) for a, b in zip(old, new) if a.rstrip("es") != b.rstrip("es")
                       and {a, b} - {"a", "an"} and {a, b} - {"is", "are"}]
            allowed = WORDS_OF[change] | {word + "s" for word in WORDS_OF[change]}
            assert len(changed) == 1, negative
            assert set(changed[0]) <= allowed, negative


def test_captions_are_functions_of_scene_and_seed():
    scene = world.sample(11)
    assert scene.captions(5, 3) == scene.captions(5, 3) != scene.captions(5, 4)
    assert scene.caption(3) == scene.captions(1, 3)[0]
    with pytest.raises(ValueError, match="'poem' is not a style"):
        scene.caption(style="poem")
    with pytest.raises(ValueError, match="nothing for a caption of style 'relation'"):
        Scene((Object("circle", "red"),)).caption(style="relation")
    with pytest.raises(ValueError, match="empty scene"):
        Scene(()).caption()
    with pytest.raises(ValueError, match="only 0 of 2 negatives"):
        world.negatives(Scene((Object("circle", "red"),)), 2, change="relation")


def test_more_alike_than_there_are_numbers():
    seven = Scene([Object("circle", "red", "small", x=0.1 + 0.13 * i, y=0.2) for i in range(7)])
    for style in ("list", "full", "count"):
        with pytest.raises(ValueError, match=f"nothing for a caption of style '{style}'"):
            seven.caption(style=style)
    assert all(world.satisfies(seven, caption) for caption in seven.captions(20))
    assert not any(world.satisfies(seven, negative.text) for negative in world.negatives(seven, 10))
    assert "six" in Scene(seven[:6]).caption(style="full")


def test_relations_are_geneval_s():
    """The published formula, on boxes in pixels."""
    for seed in range(300):
        scene = world.sample(seed, world.Spec(objects=(3, 6)))
        boxes = scene.boxes(512).reshape(-1, 2, 2)
        for i, a in enumerate(scene):
            for j, b in enumerate(scene):
                if i == j:
                    continue
                offset = boxes[i].mean(0) - boxes[j].mean(0)
                sides = np.ptp(boxes[i], 0) + np.ptp(boxes[j], 0)
                revised = np.maximum(np.abs(offset) - 0.1 * sides, 0) * np.sign(offset)
                dx, dy = revised / np.linalg.norm(offset)
                expected = {"left of": dx < -0.5, "right of": dx > 0.5, "above": dy < -0.5, "below": dy > 0.5}
                assert set(world.relations(a, b)) == {name for name, holds in expected.items() if holds}


def test_every_word_said_is_in_the_vocabulary():
    said = set()
    for seed in range(300):
        scene = world.sample(seed, "rich")
        asked = [question.text for question in world.questions(scene, 4, seed, spec="rich")]
        said |= set(re.findall(r"\w+|[^\w\s]", " ".join(world.captions(scene, 4, seed) + asked)))
    assert said <= set(world.VOCABULARY)
