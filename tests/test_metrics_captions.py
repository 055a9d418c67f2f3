"""The scores of captions: against pycocoevalcap and sacrebleu on the same words, and against scenes made by hand."""

import random

import pytest

from mmcourse import metrics, world

coco_bleu = pytest.importorskip("pycocoevalcap.bleu.bleu")
coco_cider = pytest.importorskip("pycocoevalcap.cider.cider")
coco_rouge = pytest.importorskip("pycocoevalcap.rouge.rouge")
sacrebleu = pytest.importorskip("sacrebleu")


def captions(seed, pictures, references):
    """Sentences about scenes and, for each, true ones: half of the sentences are about another scene."""
    scenes = [world.sample(seed * 1000 + i) for i in range(pictures + 1)]
    said = [scenes[i + (seed + i) % 2].caption(99 + seed) for i in range(pictures)]
    return said, [world.captions(scene, 1 + (references + i) % 5, seed) for i, scene in enumerate(scenes[:-1])]


def noise(seed, pictures, references):
    """Words by chance, single words and repeated words among them."""
    draw = random.Random(seed)

    def sentence():
        return " ".join(draw.choices("abcdefg"[:draw.randint(1, 7)], k=draw.randint(1, 12)))
    return [sentence() for _ in range(pictures)], [[sentence() for _ in range(draw.randint(1, references))]
                                                   for _ in range(pictures)]


CASES = [(make, seed, pictures, references) for make in (captions, noise) for seed in range(6)
         for pictures, references in ((1, 1), (2, 3), (30, 5))]


@pytest.mark.parametrize("make, seed, pictures, references", CASES)
def test_equal_to_pycocoevalcap(make, seed, pictures, references):
    said, true = make(seed, pictures, references)
    result = {i: [" ".join(metrics.tokens(sentence))] for i, sentence in enumerate(said)}
    truth = {i: [" ".join(metrics.tokens(sentence)) for sentence in others] for i, others in enumerate(true)}
    bleu, _ = coco_bleu.Bleu(4).compute_score(truth, result, verbose=0)
    for n in range(1, 5):
        assert metrics.bleu(said, true, n) == pytest.approx(bleu[n - 1], abs=1e-6)
    assert metrics.rouge_l(said, true) == pytest.approx(coco_rouge.Rouge().compute_score(truth, result)[0], abs=1e-6)
    assert metrics.cider_d(said, true) == pytest.approx(coco_cider.Cider().compute_score(truth, result)[0], abs=1e-6)


@pytest.mark.parametrize("make, seed, pictures, references", [case for case in CASES if case[2] == 30])
def test_bleu_equals_sacrebleu(make, seed, pictures, references):
    said, true = make(seed, pictures, references)
    most = max(map(len, true))
    words = [[" ".join(metrics.tokens(other)) for other in others] for others in true]
    streams = [[others[k] if k < len(others) else None for others in words] for k in range(most)]
    theirs = sacrebleu.corpus_bleu([" ".join(metrics.tokens(sentence)) for sentence in said], streams,
                                   tokenize="none", smooth_method="none", force=True)
    assert 100 * metrics.bleu(said, true) == pytest.approx(theirs.score, abs=1e-4)


def test_known_values():
    assert metrics.bleu(["a red circle"], [["a red circle"]], 3) == pytest.approx(1)
    assert metrics.common("the cat sat on the mat".split(), "the dog sat on a mat".split()) == 4
    assert metrics.cider_d(["a red circle"], [["a red circle"]]) == 0          # one picture: no word is rare
    assert metrics.tokens("A red circle, and a star. ") == ["a", "red", "circle", "and", "a", "star"]
    assert metrics.bleu([""], [["a star"]]) < 1e-3 and metrics.rouge_l([""], [["a star"]]) == 0
    with pytest.raises(ValueError, match="shorter|longer"):
        metrics.bleu(["a star"], [])


def scene(*things):
    return world.Scene([world.Object(shape, color, size, x=x, y=y) for size, color, shape, x, y in things])


TWO = scene(("small", "red", "star", 0.2, 0.5), ("large", "blue", "square", 0.7, 0.5))


@pytest.mark.parametrize("sentence, precision, recall, ghosts", [
    ("a small red star and a large blue square", 1, 1, 0),
    ("a small red star and a large blue square. a star left of a square", 1, 1, 0),
    ("a small red star and a large blue square. a square left of a star", 6 / 7, 1, 0),
    ("a red star", 1, 2 / 6, 0),
    ("there is no green circle", 0, 0, 0),
    ("a large red star and a small blue square", 4 / 6, 4 / 6, 2),            # each word is there, bound to the wrong thing
    ("a red star and a green circle", 2 / 4, 2 / 6, 1),
    ("two red stars", 2 / 4, 2 / 6, 0),                                       # one too many, but stars there are
    ("the red thing is a star", 1, 2 / 6, 0),
    ("the star is left of the blue square", 1, 3 / 6, 0),
    ("left of the square there is a little star", 1, 3 / 6, 0),
    ("a star left of a square left of a green circle", 2 / 5, 2 / 6, 1),      # one that is named deep inside
])
def test_facts_told(sentence, precision, recall, ghosts):
    got = metrics.tuple_scores(TWO, sentence)
    assert got == pytest.approx((precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)))
    assert len(metrics.hallucinated(TWO, sentence)) == ghosts


def test_which_is_which_is_solved_for_all_together():
    """The first thing fits both objects, the second only one: the first must give way."""
    there = [{"red", "star"}, {"red", "square"}]
    assert sorted(metrics.matched([{"red"}, {"red", "star"}], there)) == [(0, 1), (1, 0)]
    assert metrics.matched([{"red", "star"}] * 3, there[:1]) != () and len(metrics.matched([{"red"}] * 3, there)) == 2


def test_true_captions_are_true_by_every_score():
    scenes = [world.sample(seed) for seed in range(300)]
    full = [scene.caption(7, "full") for scene in scenes]
    assert metrics.truthfulness(scenes, full) == pytest.approx({"true": 1, "hallucinating": 0, "f1": 1, "unread": 0})
    for style in world.STYLES:
        for scene in scenes:
            try:
                sentence = scene.caption(3, style)
            except ValueError:
                continue
            assert metrics.tuple_scores(scene, sentence)[0] == 1 or style == "negation", sentence
            assert not metrics.hallucinated(scene, sentence), sentence


def test_false_captions_are_found():
    scenes = [world.sample(seed) for seed in range(100)]
    for change in ("shape", "color", "size"):
        false = [world.negatives(scene, 1, 0, change=change)[0].text for scene in scenes]
        scores = metrics.truthfulness(scenes, false)
        assert scores["true"] == 0 and scores["hallucinating"] > 0.6, (change, scores)
    got = metrics.truthfulness(scenes[:2], ["blub blub", "a star of"])
    assert got == {"true": 0, "hallucinating": 0, "f1": 0, "unread": 1}
