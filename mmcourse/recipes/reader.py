"""The text encoder of lesson 34's painter, before it steers any picture: it learns from sentences and their scenes where
each word's thing may stand and what it looks like.

Pictures teach this slowly: near the noise, where a painter settles places, the words "left of" change its error by a few parts
in a hundred (lesson 34). Asked for directly, it is learned in 83 seconds on two cores. (GLIGEN, Li et al. 2023, gives a
painter places from outside; TokenCompose, Wang et al. 2024, teaches attention with masks of things.)
"""

from itertools import groupby, product
from random import Random

import torch
from torch import nn

from mmcourse import batches, device
from mmcourse.models.contrastive import TextEncoder
from mmcourse.models.text2image import Text2Image
from mmcourse.models.vit import KINDS, STANDARD
from mmcourse.recipes import Recipe, painter
from mmcourse.world.language import NOUNS, SAID

SENTENCES = 128
MEANS = {way: word for word, ways in SAID.items() for way in ways} | NOUNS     # "big" -> "large", "things" -> None
LOOKS = list(product(STANDARD.colors, STANDARD.shapes, STANDARD.sizes))
OFTEN = {painter.alike: 0.1, painter.told: 0.1, painter.everything: 0.2, painter.related: 0.6}


class Reader(nn.Module):
    """A text encoder with a head that guesses: ids (B, T) -> logits of the column and row where the things of each word stand,
    of their look, and of their number: (B, T, 8), (B, T, 8), (B, T, 48), (B, T, 4)."""

    def __init__(self):
        super().__init__()
        self.text = TextEncoder(len(batches.WORDS), 128, 4, 3)
        self.guess = nn.Linear(128, 8 + 8 + len(LOOKS) + 4)

    read = Text2Image.read

    def forward(self, ids):
        return self.guess(self.read(ids)[0]).split([8, 8, len(LOOKS), 4], -1)


def model():
    """A reader two of whose three blocks begin as those of CLIP (`zoo.load("clip")`): words that have met pictures."""
    reader = Reader()
    reader.text.load_state_dict(painter.text_of("clip"), strict=False)
    return reader


def named(sentence, scene):
    """The things that each word may mean, a list of lists: for "a red star left of a circle", "red" and "star" the red stars,
    "circle" the circles, and for the other words none."""
    words, found = [batches.WORDS[i] for i in batches.encode([sentence])[0][0, 1:-1]], []
    for noun, run in groupby(words, MEANS.__contains__):
        run = list(run)
        wanted = {MEANS[word] for word in run if noun} - {None}
        found += [[thing for thing in scene if noun and wanted <= {thing.shape, thing.color, thing.size}]] * len(run)
    return found


def batch(step):
    """ids (B, T), and how likely each column, row, look and number is for the things that a word names: (B, T, 8), (B, T, 8),
    (B, T, 48) and (B, T, 4), which sum to 1 over the last dimension, or to 0 where it names none."""
    said, rows = [], []
    for seed in range(step * batches.STRIDE, step * batches.STRIDE + SENTENCES):
        random = Random(seed)
        scene, sentence = random.choices(list(OFTEN), OFTEN.values())[0](seed, random)
        said.append(sentence), rows.append(named(sentence, scene))
    ids = batches.encode(said)[0]
    columns, lines, looks, numbers = (torch.zeros(*ids.shape, n) for n in (8, 8, len(LOOKS), 4))
    for b, row in enumerate(rows):
        for word, things in enumerate(row, 1):                                     # <start> comes first
            for thing in things:
                columns[b, word, int(8 * thing.x)] += 1 / len(things)
                lines[b, word, int(8 * thing.y)] += 1 / len(things)
                looks[b, word, LOOKS.index((thing.color, thing.shape, thing.size))] += 1 / len(things)
                numbers[b, word, min(len(things), 4) - 1] = 1
    return ids, columns, lines, looks, numbers


def loss(model, data):
    """Cross-entropy over the words that name a thing; places count more, as looks and numbers are soon learned."""
    ids, *wanted = data
    columns, lines, looks, numbers = (-(want * logits.log_softmax(-1)).sum() / want.sum()
                                      for want, logits in zip(wanted, model(ids)))
    return columns + lines + 0.1 * (looks + numbers)


@torch.no_grad()
def evaluate(model, n=250, first=2 ** 31 + 77):
    """Of n sentences for each relation, "a red star left of a green circle": how often do the mean places of the two things
    stand so, and how often is the likeliest look of each of the four words what the sentence says?"""
    where, random, scores, at = device(), Random(first), [], torch.arange(8.0, device=device())
    for relation, axis, sign in (("left of", 0, -1), ("right of", 0, 1), ("above", 1, -1), ("below", 1, 1)):
        pairs = [random.sample(KINDS, 2) for _ in range(n)]
        ids = batches.encode([f"a {' '.join(one)} {relation} a {' '.join(other)}" for one, other in pairs])[0]
        *place, looks, _ = model.to(where).eval()(ids.to(where))
        mean, kind = sign * place[axis].softmax(-1) @ at, looks.argmax(-1) // len(STANDARD.sizes)
        one, other = torch.tensor([[KINDS.index(kind) for kind in pair] for pair in pairs], device=where).T
        named = torch.stack([kind[:, 2] == one, kind[:, 3] == one, kind[:, -3] == other, kind[:, -2] == other], 1)
        scores.append([(mean[:, 3] > mean[:, -2]).float().mean(), named.float().mean()])
    return {name: sum(part).item() / 4 for name, part in zip(("place", "look"), zip(*scores))}


RECIPE = Recipe(model=model, batch=batch, loss=loss, steps={"cpu": 1000, "gpu": 1000}, evaluate=evaluate,
                options={"lr": 2e-3, "muon": 0.02, "warmup": 50, "every": 100})
