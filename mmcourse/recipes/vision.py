"""The vision encoder: every patch learns to say which thing lies over it, and where (lesson 14)."""

import numpy as np
import torch
import torch.nn.functional as F

from mmcourse import device, world
from mmcourse.models.vit import KINDS, STANDARD, VisionEncoder
from mmcourse.recipes import Recipe

GRID, BATCH = 8, 32


def truth(scenes, grid=GRID):
    """What lies over each of grid x grid cells: labels (B, N, 5) and places (B, N, 2).

    labels: is a center here, is the cell covered, and the numbers of shape, color and
    size of the thing whose box covers most of it (10% at least); places: its x, y.
    """
    labels = np.zeros((len(scenes), grid, grid, 5), np.int64)
    places = np.zeros((len(scenes), grid, grid, 2), np.float32)
    for b, scene in enumerate(scenes):
        most = np.full((grid, grid), 0.1)
        for thing in scene:
            share = cover(thing.box, grid)
            mine, most = share > most, np.maximum(share, most)
            labels[b, mine, 1:] = 1, *(STANDARD.words(part).index(getattr(thing, part))
                                       for part in ("shape", "color", "size"))
            places[b, mine] = thing.x, thing.y
            labels[b, int(thing.y * grid), int(thing.x * grid), 0] = 1
    return [torch.from_numpy(part).flatten(1, 2) for part in (labels, places)]


def cover(box, grid):
    """How much of each cell a box covers, from 0 to 1: (grid, grid)."""
    edges, (x0, y0, x1, y1) = np.arange(grid + 1) / grid, box
    wide, high = (np.diff(edges.clip(low, high)) for low, high in ((x0, x1), (y0, y1)))
    return np.outer(high, wide) * grid ** 2


def pictures(scenes):
    """What models see: (B, 3, 64, 64) floats in [-1, 1]."""
    return torch.from_numpy(world.draw(scenes, 64)).permute(0, 3, 1, 2) / 127.5 - 1


def kinds(scenes):
    """Is there a red circle, a red square, ...: (B, 24) of 0 and 1, in the order of KINDS."""
    there = [{(thing.color, thing.shape) for thing in scene} for scene in scenes]
    return torch.tensor([[float(kind in seen) for kind in KINDS] for seen in there])


def data(seeds):
    """Pictures, labels, places and kinds of the scenes of these seeds."""
    scenes = [world.sample(seed) for seed in seeds]
    return pictures(scenes), *truth(scenes), kinds(scenes)


def batch(step):
    return data(range(step * BATCH, (step + 1) * BATCH))


def loss(model, data):
    """Every patch says what lies over it, the class token which kinds of things there are."""
    images, labels, places, there = data
    said, yes_or_no = model.report(images), F.binary_cross_entropy_with_logits
    covered = labels[..., 1] > 0
    total = (2 * yes_or_no(said["center"][..., 0], labels[..., 0].float())
             + yes_or_no(said["covered"][..., 0], labels[..., 1].float())
             + 4 * yes_or_no(said["kinds"], there)
             + 16 * F.smooth_l1_loss(said["place"][covered], places[covered], beta=1 / 32))
    for number, part in enumerate(("shape", "color", "size"), start=2):
        total = total + F.cross_entropy(said[part][covered], labels[covered][:, number])
    return total


@torch.no_grad()
def features(model, seeds):
    """The encoder's tokens (B, 64, D), class tokens (B, D), and the truth, on the CPU."""
    images, labels, places, there = data(seeds)
    tokens = torch.cat([model.vit(part.to(device())).float().cpu() for part in images.split(100)])
    return tokens[:, 1:], tokens[:, 0], labels, places, there


def linear(train, target, test):
    """A linear probe: least squares with a constant, fitted on `train`, answers for `test`."""
    def one(x):
        return torch.cat([x, torch.ones(len(x), 1)], 1).double()
    return (one(test) @ torch.linalg.lstsq(one(train), target.double()).solution).float()


def evaluate(model, train=range(10**9, 10**9 + 2000), test=world.split("validation").seeds[:1000]):
    """What a linear probe reads from frozen features, on held-out scenes.

    shape, color, size, place (both x and y within 1/32 of the canvas): from the token of the
    patch that holds a thing's center. presence: is a center here, for each patch. kinds: is
    there a red circle, ..., from the class token, right for each of the 24 kinds.
    """
    (a, first_a, labels_a, places_a, there_a), (b, first_b, labels_b, places_b, there_b) = \
        (features(model, seeds) for seeds in (train, test))
    on_a, on_b = labels_a[..., 0] > 0, labels_b[..., 0] > 0
    scores = {}
    for number, part in enumerate(("shape", "color", "size"), start=2):
        guess = linear(a[on_a], F.one_hot(labels_a[on_a][:, number]), b[on_b]).argmax(-1)
        scores[part] = (guess == labels_b[on_b][:, number]).float().mean().item()
    error = (linear(a[on_a], places_a[on_a], b[on_b]) - places_b[on_b]).abs()
    scores["place"] = (error < 1 / 32).all(-1).float().mean().item()
    scores["place_error_in_pixels"] = error.mean().item() * 64
    guess = linear(a.flatten(0, 1), labels_a[..., :1].flatten(0, 1), b.flatten(0, 1))[:, 0] > 0.5
    scores["presence"] = (guess == (labels_b[..., 0] > 0).flatten()).float().mean().item()
    guess = linear(first_a, there_a, first_b) > 0.5
    scores["kinds"] = (guess == (there_b > 0)).float().mean().item()
    return scores


RECIPE = Recipe(model=VisionEncoder, batch=batch, loss=loss, steps={"cpu": 4000, "gpu": 12000},
                evaluate=evaluate, options={"lr": 2e-3, "muon": 0.02, "warmup": 200})
