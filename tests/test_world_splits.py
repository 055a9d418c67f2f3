"""Splits do not overlap, dials do what they say, and the closed forms are what a counting learner finds."""

import itertools
from collections import Counter, defaultdict

import pytest

from mmcourse import world
from mmcourse.world.scene import roomy
from mmcourse.world.splits import RESERVED, TRAINING


def test_splits_keep_their_seeds_apart():
    tests = [split for name, split in world.SPLITS.items() if not name.endswith("train")]
    for split in tests:
        assert split.seeds[0] >= TRAINING and split.seeds[-1] < RESERVED
    for one, other in itertools.combinations(tests, 2):
        assert one.seeds[-1] < other.seeds[0] or other.seeds[-1] < one.seeds[0]
    assert world.split("train").seeds == range(2 ** 31)
    assert world.split("test").scene(3) == world.sample(world.split("test").seeds[3])
    with pytest.raises(ValueError, match="'exam' is not a split.*validation"):
        world.split("exam")


def test_unseen_pairs_are_unseen():
    def pairs(name):
        return {(t.shape, t.color) for i in range(1000) for t in world.split(name).scene(i)}
    train, seen, unseen = map(pairs, ("pairs-train", "pairs-test-seen", "pairs-test-unseen"))
    assert train == seen and len(train) == 18
    new = unseen - train
    assert len(new) == 6 and {shape for shape, _ in new} == {"circle", "square"}
    assert {shape for shape, _ in train} == {shape for shape, _ in unseen}
    assert {color for _, color in train} == {color for _, color in unseen}


@pytest.mark.parametrize("dial", [0, 0.5, 0.9, 1])
def test_language_prior_follows_its_closed_form(dial):
    kept = [q for seed in range(1500) for q in world.biased_questions(
        world.sample(seed), 4, seed, dial, "query_color")]
    share = sum(q.answer == world.favourite(q) for q in kept) / len(kept)
    assert share == pytest.approx(1 / (1 + 5 * (1 - dial)), abs=0.05)
    with pytest.raises(ValueError, match="from 0 to 1"):
        world.biased_questions(world.sample(0), 4, dial=1.5)


def test_complementary_scenes_change_the_answer_by_one_attribute():
    found = 0
    for seed in range(100):
        scene = world.sample(seed)
        for question in world.questions(scene, 3, seed):
            other = world.complement(scene, question, seed)
            if other is None:
                continue
            found += 1
            assert world.execute(question.program, other) != question.answer
            assert [(t.x, t.y) for t in other] == [(t.x, t.y) for t in scene]
            changed = sum(getattr(a, name) != getattr(b, name) for a, b in zip(scene, other)
                          for name in ("shape", "color", "size", "texture"))
            assert changed == 1 and roomy(scene) and roomy(other) and world.read(other.image()) == other
    assert found > 240


DIALS = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0.5, 0.4, 0.6), (0.2, 0.8, 0.3), (0.6, 0.6, 0.6)]


@pytest.mark.parametrize("dials", DIALS)
def test_three_dials_have_their_best_accuracy(dials):
    """A learner that counts every combination of what can be seen comes to the closed form."""
    made = world.three_dials(6000, 1, *dials)
    best = world.three_dials_best(*dials)

    def seen(pair):
        return pair.scene[0].shape, pair.scene[0].color, pair.scene[0].size

    views = {"picture": seen, "sentence": lambda p: p.sentence, "both": lambda p: (seen(p), p.sentence)}
    for name, view in views.items():
        counts = defaultdict(Counter)
        for pair in made:
            counts[view(pair)][pair.label] += 1
        right = sum(max(labels.values()) for labels in counts.values())
        assert right / len(made) == pytest.approx(best[name], abs=0.035)
    assert abs(sum(pair.label for pair in made) / len(made) - 0.5) < 0.02
    with pytest.raises(ValueError, match="from 0 to 1"):
        world.three_dials(1, redundancy=2)


def test_three_dials_by_hand():
    assert world.three_dials_best(0, 0, 1) == {"picture": 0.5, "sentence": 0.5, "both": 1}
    assert world.three_dials_best(1, 0, 0) == {"picture": 1, "sentence": 1, "both": 1}
    assert world.three_dials_best(0, 1, 0) == {"picture": 1, "sentence": 0.5, "both": 1}
    # three signs of 0.75: the majority of three is right in 0.75^3 + 3 * 0.75^2 * 0.25
    assert world.three_dials_best(0.5, 0.5, 0.5)["both"] == pytest.approx(0.84375)
