"""Visual question answering: a question becomes four steps that find things (lesson 31)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mmcourse import world
from mmcourse.batches import ANSWERS, PAD, WORDS, encode, pictures, pixels
from mmcourse.models.transformer import Block, Encoder
from mmcourse.models.vit import STANDARD, VisionEncoder

LONGEST = 64                          # words of a question, <start> and <end> included
FAR = 0.35  # of a patch from what the eye makes of it, colors from -1 to 1
STRANGE = {"texture", *world.TEXTURES, *world.SHAPES, *world.COLORS}.difference(
    STANDARD.shapes, STANDARD.colors)  # what the standard world lacks


@dataclass(frozen=True)
class Answer:
    """What `VQA.ask` says: the answer, how sure it is (0 to 1), where it looked (8, 8), how
    many things its last step found, and if picture and question are of the standard one."""
    answer: str
    confidence: float
    map: np.ndarray
    found: int
    in_world: bool


class Reader(nn.Module):
    """Question in, steps out: ids (M, T) and mask -> (M, S, D), one vector for each step.

    The words look at one another (an encoder); then S learned step tokens look at the words
    (a decoder without causal mask, as the object queries of DETR, Carion et al. 2020).
    """

    def __init__(self, steps, d_model, num_heads, num_layers=2):
        super().__init__()
        self.words = nn.Embedding(len(WORDS), d_model)
        self.places = nn.Parameter(torch.randn(LONGEST, d_model) * 0.1)
        self.steps = nn.Parameter(torch.randn(steps, d_model))
        self.encoder = Encoder(1, d_model, num_heads)
        self.blocks = nn.ModuleList(Block(d_model, num_heads, cross=True)
                                    for _ in range(num_layers))
        self.norm = nn.LayerNorm(d_model)

    def forward(self, ids, mask):
        order = mask.sum(-1).argsort()             # like lengths together: less padding
        parts = [self.read(ids[part], mask[part]) for part in order.chunk(4)]
        return torch.cat(parts)[order.argsort()]

    def read(self, ids, mask):
        longest = mask.sum(-1).max()
        ids, mask = ids[:, :longest], mask[:, None, None, :longest]  # (M, 1, 1, T)
        words = self.encoder(self.words(ids) + self.places[:longest], mask)
        steps = self.steps.expand(len(ids), -1, -1)
        for block in self.blocks:
            steps = block(steps, None, words, mask)
        return self.norm(steps)


class Pairs(nn.Module):
    """What each patch is to each other one: tokens (B, N, D) -> (B, K, N, N).

    A small network reads every pair, as in the Relation Network (Santoro et al. 2017), once
    for a picture and before any question: K channels wait until one is asked for.
    """

    def __init__(self, d_model, hidden, channels):
        super().__init__()
        self.one = nn.Linear(d_model, hidden)
        self.other = nn.Linear(d_model, hidden, bias=False)
        self.output = nn.Linear(hidden, channels)

    def forward(self, tokens):
        both = self.one(tokens)[:, :, None] + self.other(tokens)[:, None]    # (B, N, N, h)
        return self.output(both.relu()).permute(0, 3, 1, 2)


class VQA(nn.Module):
    """Answers questions about pictures, and shows which things each step of it found.

    forward(images (B, 3, 64, 64) in [-1, 1], ids (B, Q, T), mask (B, Q, T), True = a word)
    -> logits (B, Q, 30) over batches.ANSWERS: Q questions share each picture.
    """

    STEPS = 4

    def __init__(self, d_model=64, d_eye=128, channels=12, num_heads=4, num_layers=2):
        super().__init__()
        self.eye = VisionEncoder().requires_grad_(False)  # of lesson 14, and kept as it is
        self.reader = Reader(self.STEPS, d_model, num_heads, num_layers)
        self.key, self.value = nn.Linear(d_eye, d_model), nn.Linear(d_eye, d_model)
        self.query, self.want = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)
        self.threshold = nn.Linear(d_model, 1)
        self.pairs = Pairs(d_eye, 64, channels)
        self.walk = nn.Linear(d_model, self.STEPS * (channels + 1))
        self.weigh = nn.Linear(d_model, channels + 1)
        width = d_model + self.STEPS * (d_model + channels + 2)
        self.output = nn.Sequential(nn.Linear(width, 256), nn.GELU(),
                                    nn.Linear(256, len(ANSWERS)))
        nn.init.constant_(self.threshold.bias, -3.0)  # at first steps find next to nothing

    def forward(self, images, ids, mask):
        return self.think(self.eye(images), ids, mask)[0]

    def think(self, tokens, ids, mask):
        """The eye's tokens (B, N, 128) and questions (B, Q, T) -> logits (B, Q, 30) and
        scores (B, Q, S, N): above 0 where a step finds a thing."""
        steps = self.reader(ids.flatten(0, 1), mask.flatten(0, 1))
        steps = steps.unflatten(0, ids.shape[:2])    # (B, Q, S, D)
        scores, between = self.find(tokens, steps)
        found = scores.sigmoid()  # yes or no for each patch, no softmax: it can count
        seen = (found.flatten(1, 2) @ self.value(tokens)).view_as(steps)  # (B, Q, S, D)
        seen, between = seen * self.want(steps), between * self.weigh(steps)
        together = [seen.flatten(2), between.flatten(2), found.sum(-1), steps[:, :, -1]]
        return self.output(torch.cat(together, dim=-1)), scores

    def find(self, tokens, steps):
        """Is the thing at a patch one that the step asks for? Scores (B, Q, S, N).

        By what is there (key against query), and by what it is to the things that an
        earlier step found: left of it, of the same color, or one of them. Also gives what
        the things of each step are to those of the step before, (B, Q, S, K + 1).
        """
        here = self.query(steps).flatten(1, 2) @ self.key(tokens).transpose(-2, -1)
        here = here.unflatten(1, steps.shape[1:3]) / steps.shape[-1] ** 0.5  # (B, Q, S, N)
        here = here + self.threshold(steps)
        related = self.pairs(tokens).flatten(1, 2).transpose(-2, -1)  # (B, N, K * N)
        walk = self.walk(steps).unflatten(-1, (self.STEPS, -1))  # (B, Q, S, S, K + 1)
        scores, reached, between = [], [], [torch.zeros_like(walk[:, :, 0, 0])]
        for s in range(self.STEPS):
            score = here[:, :, s]
            for j, way in enumerate(reached):
                score = score + (walk[:, :, s, j, None] @ way)[:, :, 0]
            found = score.sigmoid()                                      # (B, Q, N)
            if s:
                between.append((reached[-1] @ found[..., None])[..., 0])
            beside = (found @ related).unflatten(-1, (-1, found.shape[-1]))  # (B, Q, K, N)
            reached.append(torch.cat([beside, found[:, :, None]], dim=2))
            scores.append(score)
        return torch.stack(scores, dim=2), torch.stack(between, dim=2)

    def maps(self, images, ids, mask):
        """Where it looks, what its last step found: (B, Q, 8, 8), each summing to one."""
        return share(self.think(self.eye(images), ids, mask)[1][:, :, -1])

    def answer(self, images, questions):
        """The answer to a question about a PIL image; of two lists, one for each pair."""
        one, images, questions = listed(images, questions)
        numbers = self.batch(images, questions)[0].argmax(-1).tolist()
        answers = [ANSWERS[number] for number in numbers]
        return answers[0] if one else answers

    def ask(self, images, questions):
        """As `answer`, with everything there is to say: an `Answer`, or a list of them.

        Raises ValueError for an empty question and one with an unknown word.
        """
        one, images, questions = listed(images, questions)
        logits, scores = self.batch(images, questions)
        sure, numbers = logits.softmax(-1).max(-1)
        maps, found = share(scores).cpu().numpy(), scores.sigmoid().sum(-1).round().int()
        distinct = {id(image): image for image in images}
        known = dict(zip(distinct, self.draws(distinct.values())))
        answers = [Answer(ANSWERS[number], *rest, known[id(image)] and standard(question))
                   for number, *rest, image, question in zip(
                       numbers.tolist(), sure.tolist(), maps, found.tolist(),
                       images, questions)]
        return answers[0] if one else answers

    @torch.inference_mode()
    def batch(self, images, questions, most=256):
        """Logits (M, 30) and the last step's scores (M, N). A picture that comes again
        among `most` questions is looked at once."""
        if len(questions) > most:
            parts = [self.batch(images[start:start + most], questions[start:start + most])
                     for start in range(0, len(questions), most)]
            return [torch.cat(part) for part in zip(*parts)]
        ids = encode(questions)[0]
        if ids.shape[1] > LONGEST:
            raise ValueError(f"A question has {ids.shape[1] - 2} words, and the model "
                             f"reads {LONGEST - 2} at most.")
        shown, rows, columns = {}, [], []
        for image in images:
            row, times = shown.get(id(image), (len(shown), 0))
            shown[id(image)] = row, times + 1
            rows.append(row)
            columns.append(times)
        where = self.threshold.weight.device
        grid = ids.new_full((len(shown), max(columns) + 1, ids.shape[1]), PAD, device=where)
        grid[rows, columns] = ids.to(where)
        distinct = {id(image): image for image in images}.values()
        tokens = self.eye(pixels(distinct).to(where))
        logits, scores = self.think(tokens, grid, grid != PAD)
        return logits[rows, columns], scores[rows, columns, -1]

    @torch.inference_mode()
    def draws(self, images):
        """Are the pictures of the standard world? List of bools. What the eye reports, drawn
        again, must give the picture: no patch may differ by more than FAR on average."""
        seen = pixels(images)
        drawn = pictures(self.eye.read(seen.to(self.threshold.weight.device)))
        apart = nn.functional.avg_pool2d(seen - drawn, 8).abs().amax((1, 2, 3))
        return (apart < FAR).tolist()


def share(scores):
    """What each patch has of all that was found: scores (..., 64) -> (..., 8, 8)."""
    return nn.functional.logsigmoid(scores).softmax(-1).unflatten(-1, (8, 8))


def listed(images, questions):
    """Was it one question? And lists of both. Raises ValueError where they do not fit."""
    one = isinstance(questions, str)
    if not one and not (isinstance(images, (list, tuple)) and isinstance(questions, (list, tuple))):
        raise ValueError("Give one picture and one question, or a list of each: a picture for each question.")
    images, questions = ([images], [questions]) if one else (list(images), list(questions))
    if len(images) != len(questions) or not questions:
        raise ValueError(f"There are {len(images)} pictures for {len(questions)} questions: give "
                         "one for each.")
    if not all(isinstance(text, str) and text.strip(" ?") for text in questions):
        raise ValueError('A question is empty: ask one like "what color is the circle?".')
    return one, images, [question.rstrip(" ?") + "?" for question in questions]


def standard(question):
    """Is it a question of the grammar, and of nothing that the standard world lacks?"""
    try:
        words = flat(world.parse(question))
    except ValueError:
        return False
    return not STRANGE.intersection(words)


def flat(program):
    """All words of a program, in a row."""
    if isinstance(program, str):
        return [program]
    return [word for part in program for word in flat(part)]
