"""The scores of lesson 31 against numbers worked out by hand and plain loops."""

import pytest
import torch

from mmcourse.metrics import (calibration_error, deletion_curve, pointing_game, reliability, vqa_accuracy, vqa_marks)


def test_ten_people_give_five_scores():
    scores = [vqa_accuracy("red", ["red"] * agree + ["blue"] * (10 - agree)) for agree in range(11)]
    assert scores == pytest.approx([0, 0.3, 0.6, 0.9] + [1] * 7)


@pytest.mark.parametrize("answer, humans, score", [
    ("two", ["2"] * 10, 1),                            # the model's number words become digits ...
    ("2", ["two"] * 10, 0),                            # ... and people's do not
    ("two", ["two"] * 10, 0),                          # not even against themselves
    ("The Circle", ["circle"] * 10, 1), ("circle", ["the circle"] * 10, 0),
    ("none", ["0"] * 10, 1), ("an apple", ["apple"] * 3 + ["pear"] * 7, 0.9),
    ("yes.", ["yes."] * 10, 0),                        # all the same: people's point stays, the model's goes
    ("yes.", ["yes."] * 9 + ["no"], 1),                # not all the same: both go
    ("dont know", ["don't know"] * 10, 1), ("shes", ["she's"] * 10, 0), ("somebody'd", ["somebodyd"] * 10, 1),
    ("wouldnt've", ["wouldn't've"] * 10, 1), ("left\tside\n", ["left side"] * 10, 1),
    ("red", ["red"], 0), ("red", ["red", "red"], 1 / 3), ("red", ["red"] * 3, 2 / 3), ("red", ["red"] * 4, 1),
])
def test_the_published_quirks(answer, humans, score):
    assert vqa_accuracy(answer, humans) == pytest.approx(score)


@pytest.mark.parametrize("text, out", [
    ("black-white", "black white"), ("black - white", "black  white"), ("1,000", "1000"), ("1,000-2", "10002"),
    ("2.5", "2.5"), ("5.", "5"), (".5", ".5"), ("yes!", "yes "), ("e.g.", "eg"), ("." * 40, "." * 8), ("it's", "it's"),
])
def test_marks(text, out):
    assert vqa_marks(text) == out


def test_nobody_to_compare_with_is_one_sentence():
    with pytest.raises(ValueError, match="give what people said"):
        vqa_accuracy("red", [])


def test_calibration_by_hand():
    confidence, right = torch.tensor([0.95, 0.85, 0.85, 0.85, 0.05]), torch.tensor([True, True, True, False, True])
    table = reliability(confidence, right)
    assert table[8].tolist() == pytest.approx([0.85, 2 / 3, 0.6]) and table[5].tolist() == [0, 0, 0]
    assert calibration_error(confidence, right) == pytest.approx(0.2 * 0.05 + 0.6 * (0.85 - 2 / 3) + 0.2 * 0.95)
    assert calibration_error(torch.tensor([1.0, 1.0, 0.0]), torch.tensor([True, True, False])) == 0


def test_calibration_equals_a_loop():
    confidence, right = torch.rand(3000), torch.rand(3000) < 0.6
    total = 0.0
    for k in range(10):
        inside = (confidence > k / 10) & (confidence <= (k + 1) / 10)
        total += abs(confidence[inside].mean().item() - right[inside].float().mean().item()) * inside.float().mean().item()
    assert calibration_error(confidence, right) == pytest.approx(total, abs=1e-5)


def test_pointing_game():
    masks = torch.zeros(3, 64, 64, dtype=torch.bool)
    masks[:, 40:48, 16:24] = True                                  # row 5, column 2 of 8 x 8
    maps = torch.zeros(3, 8, 8)
    maps[0, 5, 2], maps[1, 2, 5], maps[2, 5, 3] = 1, 1, 1
    assert pointing_game(maps, masks).tolist() == [True, False, False]
    assert pointing_game(maps, masks, tolerance=5).tolist() == [True, False, True]


def test_deletion_takes_the_brightest_cells_first():
    images, maps = torch.zeros(2, 3, 64, 64), torch.arange(128.0).view(2, 8, 8)
    maps[1] = -maps[1]
    seen = deletion_curve(lambda x: (x[:, 0] == 0).float().mean((1, 2)), images, maps)
    assert seen[:, 0].tolist() == [1 - n / 64 for n in (0, 1, 2, 4, 8, 16, 32, 64)]
    kept = []
    deletion_curve(lambda x: kept.append(x) or x[:, 0, 0, 0], images, maps, counts=(1,))
    assert (kept[0][0, :, 56:, 56:] == 1).all() and (kept[0][1, :, :8, :8] == 1).all() and kept[0].sum() == 2 * 3 * 64
