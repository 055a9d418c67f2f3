"""Train the models that lesson 31 sets beside its own, and write their scores into data/vqa_baselines.json.

    python data/make_vqa_baselines.py [NAME ...]

NAME is one of the runs below, by default all of them. A minute a run on one core, three and ten for the last two.
"""

import json
import sys
import time
from datetime import date
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from mmcourse import batches, world
from mmcourse.models.vqa_baselines import Baseline, SmallVQA
from mmcourse.recipes import halved, vqa
from mmcourse.training import fit

TO, LOOKS = Path(__file__).with_name("vqa_baselines.json"), ("query_color", "query_shape")
STEPS, PICTURES, EACH = 300, 20, 8
OURS, RICH = 500, 1800                  # steps of the recipe, of 16 pictures with 32 questions each


class FromScratch(nn.Module):
    """SmallVQA on the 8 x 8 cells of a small CNN that learns together with it."""

    def __init__(self):
        super().__init__()
        sizes = ((3, 32), (32, 64), (64, 128))
        self.cnn = nn.Sequential(*(layer for a, b in sizes for layer in (
            nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b), nn.ReLU())), nn.Conv2d(128, 128, 3, 1, 1))
        self.vqa = SmallVQA()

    def forward(self, images, ids, mask):
        return self.vqa(self.cnn(images).flatten(2).transpose(1, 2), ids, mask)[0]


def loss(model, data):
    return F.cross_entropy(model(*data[:3]).flatten(0, 1), data[3].flatten())


def by_kind(model, split, kinds, count=600):
    """The share of right answers to each kind of question about the first scenes of a split."""
    scores = vqa.judge(model, vqa.asked(split.seeds[0], count, 12, kinds, split.spec))
    return {kind: round(share, 4) for kind, share in scores.items() if kind != "accuracy"}


def baseline(**options):
    """A Baseline on all standard questions: its scores on held-out scenes."""
    model = Baseline(**options)
    fit(model, lambda step: batches.vqa(step, PICTURES, EACH), loss, STEPS, lr=2e-3)
    return by_kind(model, world.split("validation"), None)


def unseen_pairs():
    """Trained from scratch without half of the colored circles and squares: scores on those seen and on the others."""
    model, spec = FromScratch(), world.split("pairs-train").spec
    fit(model, lambda step: batches.vqa(step, PICTURES, EACH, spec, LOOKS), loss, STEPS, lr=2e-3)
    return {name: by_kind(model, world.split(f"pairs-test-{name}"), LOOKS) for name in ("seen", "unseen")}


def ours(model, steps, kinds, spec):
    """The model of the lesson, trained by its recipe in another world."""
    fit(model, lambda step: vqa.tensors(vqa.asked(step * batches.STRIDE, vqa.PICTURES, vqa.EACH, kinds, spec)),
        halved(vqa.loss), steps, **vqa.RECIPE.options)
    return model


def ours_unseen():
    """Without those pairs; all standard kinds."""
    model = ours(vqa.model(), OURS, vqa.MIXED, world.split("pairs-train").spec)
    return {name: by_kind(model, world.split(f"pairs-test-{name}"), None) for name in ("seen", "unseen")}


def ours_rich():
    """In the rich world, where its eye has to learn as well; all kinds there are."""
    model, split = vqa.model(), world.split("rich")
    model.eye.requires_grad_(True)
    return by_kind(ours(model, RICH, world.KINDS, split.spec), split, world.KINDS)


RUNS = {
    "picture only": lambda: baseline(reads=False), "CNN + LSTM": baseline, "unseen pairs": unseen_pairs,
    "unseen pairs, ours": ours_unseen, "rich world, ours": ours_rich,
}


def main(names):
    for name in names or RUNS:
        torch.manual_seed(0)
        start = time.perf_counter()
        scores = RUNS[name]()
        print(name, scores, f"{time.perf_counter() - start:.0f} s", flush=True)
        found = json.loads(TO.read_text("utf-8")) if TO.exists() else {}
        found |= {name: {"date": str(date.today()), "torch": torch.__version__, "seed": 0, "scores": scores}}
        TO.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
