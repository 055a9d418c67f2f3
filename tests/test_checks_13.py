"""The checks of lesson 13 against right and wrong answers: every mistake meets the hint that names it."""

import math
from random import Random

import prove
import torch
import torch.nn.functional as F

from mmcourse.checks.set_13 import _apart, _first_only, _language, merges
from mmcourse.models.tokenizer import BPE

RIGHT = {"blind": 50.0, "loss": 0.693, "ratio": 54.6, "nucleus": 3, "cache": 512, "below": False}


def cut(logits, p, temperature, *, normalize=True, cross=True, back=True, first=True):
    chances, order = (logits / temperature).softmax(-1).sort(-1, descending=True)
    sums = chances.cumsum(-1)
    keep = (sums - chances < p) if cross else (sums <= p)
    if not first:
        keep = keep & (sums - chances + 0.02 < p)
    chances = chances * keep
    if normalize:
        chances = chances / chances.sum(-1, keepdim=True)
    return torch.zeros_like(chances).scatter(-1, order, chances) if back else chances


def loss(logits, tokens, pad, by=1, skip=True, pieces="mean"):
    logits, labels = logits[:, :tokens.shape[1] - by], tokens[:, by:]
    each = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)
    real = (labels != pad) if skip else torch.ones_like(labels, dtype=torch.bool)
    each = each * real
    return {"mean": each.sum() / real.sum(), "all": each.mean(), "rows": (each.sum(1) / real.sum(1)).mean(),
            "none": each}[pieces]


def batch(prompts, pad, *, left=True, places="real", see="real", diagonal=True, after=0):
    longest = max(map(len, prompts))
    n = torch.tensor([len(row) for row in prompts])
    fill = [[pad] * (longest - len(row)) for row in prompts]
    tokens = torch.tensor([f + row if left else row + f for f, row in zip(fill, prompts)])
    real = torch.arange(longest) >= (longest - n)[:, None]
    there = {"real": (real.cumsum(1) - 1).clamp(min=0), "all": torch.arange(longest).expand(len(n), -1),
             "negative": real.cumsum(1) - 1, "one": real.cumsum(1)}[places]
    causal = torch.ones(longest, longest, dtype=torch.bool).tril()
    mask = {"real": causal & real[:, None], "causal": causal.expand(len(n), -1, -1),
            "future": real[:, None].expand(-1, longest, -1),
            "past": causal.tril(-1) & real[:, None]}[see]
    if diagonal:
        mask = torch.where(real[..., None], mask, torch.eye(longest, dtype=torch.bool))
    following = torch.full_like(n, longest) if after is None else n + after
    return tokens, there, mask, following


def by_number(prompts, pad):
    """Padding found by its number, and not by the lengths."""
    tokens = batch(prompts, pad)[0]
    real = tokens != pad
    mask = torch.where(real[..., None], real[:, None] & torch.ones(6, 6).tril().bool(), torch.eye(6, dtype=torch.bool))
    return tokens, (real.cumsum(1) - 1).clamp(min=0), mask, real.sum(1)


def beam(first, then, length, width):
    going = [(first[i].item(), [i]) for i in range(len(first))]
    for _ in range(length - 1):
        going = sorted(going, reverse=True)[:width]
        going = [(score + then[text[-1], j].item(), [*text, j]) for score, text in going for j in range(len(first))]
    return max(going)[1]


CORRECT = {                                                   # written otherwise than the course's solutions
    "13.1": [lambda: dict(RIGHT), lambda: {**RIGHT, "ratio": math.e ** 4, "below": 0}],
    "13.2": [merges],
    "13.3": [cut],
    "13.4": [loss, lambda logits, tokens, pad: F.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], ignore_index=pad)],
    "13.5": [batch],
    "13.6": [lambda first, then, length: beam(first, then, length, 60)],
}

WRONG = [
    ("13.1", "e to the loss", lambda: {**RIGHT, "blind": math.log(50)}),
    ("13.1", "mean over its 6 tokens", lambda: {**RIGHT, "loss": math.log(64)}),
    ("13.1", "in bits", lambda: {**RIGHT, "loss": 1}),
    ("13.1", "dividing by 0.5 doubles", lambda: {**RIGHT, "ratio": math.e}),
    ("13.1", "at temperature 1", lambda: {**RIGHT, "ratio": math.exp(2)}),
    ("13.1", "crosses the line", lambda: {**RIGHT, "nucleus": 2}),
    ("13.1", "share two key and value heads", lambda: {**RIGHT, "cache": 1536}),
    ("13.1", "two numbers for each place", lambda: {**RIGHT, "cache": 256}),
    ("13.1", "seen the answers", lambda: {**RIGHT, "below": True}),
    ("13.1", "exactly the keys", lambda: {"loss": 1}),
    ("13.2", "counted once", lambda words, n: merges(words, n, weigh=False)),
    ("13.2", "everywhere in it", lambda words, n: merges(words, n, rewrite=_first_only)),
    ("13.2", "yours begins with", lambda words, n: merges(words, n, within=False)),
    ("13.2", "One merge was asked for", lambda words, n: merges(words, n + 1)),
    ("13.2", "count anew", lambda words, n: merges(words, 1) + [["a", "b"]] * (n - 1)),
    ("13.2", "side by side", lambda words, n: merges(words, n, tally=_apart)),
    ("13.2", "once for each word: it may", lambda words, n: merges(words, n, tally=set)),
    ("13.2", "one merge can be learned", lambda words, n: merges(words, n) if max(words.values()) > 1 else []),
    ("13.2", "nothing is learned", lambda words, n: merges(words, max(n, 1))),
    ("13.2", "a list of pairs", lambda words, n: {"ab": 1}),
    ("13.3", "do not sum to one", lambda x, p, t: cut(x, p, t, normalize=False)),
    ("13.3", "temperature is not used", lambda x, p, t: cut(x, p, 1.0)),
    ("13.3", "multiplied by the temperature", lambda x, p, t: cut(x, p, 1 / t)),
    ("13.3", "come out sorted", lambda x, p, t: cut(x, p, t, back=False)),
    ("13.3", "crosses p was dropped", lambda x, p, t: cut(x, p, t, cross=False).nan_to_num(0)),
    ("13.3", "crosses p was dropped", lambda x, p, t: cut(x, p, t, cross=False)),
    ("13.3", "keeps four", lambda x, p, t: (lambda c, o: torch.zeros_like(c).scatter(-1, o, c * (c.cumsum(-1) - c <= p)) / (
        c * (c.cumsum(-1) - c <= p)).sum(-1, keepdim=True))(*(x / t).softmax(-1).sort(-1, descending=True))),
    ("13.3", "nothing is cut off", lambda x, p, t: cut(x, p, t) * (torch.nan if p == 1 else 1)),
    ("13.3", "temperature is not used", lambda x, p, t: cut(x, p, max(t, 1.0))),
    ("13.3", "temperature is not used", lambda x, p, t: cut(x, p, min(t, 1.0))),
    ("13.3", "not the chances of the nucleus", lambda x, p, t: cut(x, max(p, 0.6), t)),
    ("13.3", "Nothing was cut off", lambda x, p, t: (x / t).softmax(-1)),
    ("13.3", "the likeliest always stays", lambda x, p, t: cut(x, p, t) if p > 0.1 else torch.zeros_like(x)),
    ("13.4", "not the mean loss", lambda x, tokens, pad: (F.cross_entropy(x[:, :-1].mT, tokens[:, 1:], reduction="none")
                                                          * (tokens[:, 1:] > pad)).sum() / (tokens[:, 1:] > pad).sum().clamp(min=1)),
    ("13.4", "still shifts twice", lambda x, tokens, pad: loss(x, tokens, pad, by=2)),
    ("13.4", "still shifts twice", lambda x, tokens, pad: loss(x, tokens, pad, by=2, skip=False)),
    ("13.4", "nothing is shifted", lambda x, tokens, pad: loss(x, tokens, pad, by=0)),
    ("13.4", "padding is still counted", lambda x, tokens, pad: loss(x, tokens, pad, skip=False)),
    ("13.4", "wrong way", lambda x, tokens, pad: F.cross_entropy(x[:, 1:].flatten(0, 1), tokens[:, :-1].flatten(),
                                                                 ignore_index=pad)),
    ("13.4", "divided by all positions", lambda x, tokens, pad: loss(x, tokens, pad, pieces="all")),
    ("13.4", "rows' means", lambda x, tokens, pad: loss(x, tokens, pad, pieces="rows")),
    ("13.4", "roll brings the first", lambda x, tokens, pad: F.cross_entropy(x.flatten(0, 1), tokens.roll(-1, 1).flatten(),
                                                                             ignore_index=pad)),
    ("13.4", "This is the sum", lambda x, tokens, pad: loss(x, tokens, pad) * (tokens[:, 1:] != pad).sum()),
    ("13.4", "in bits", lambda x, tokens, pad: loss(x, tokens, pad) / math.log(2)),
    ("13.4", "padding is still counted", lambda x, tokens, pad: loss(x, tokens, 0)),
    ("13.4", "should have the shape ()", lambda x, tokens, pad: loss(x, tokens, pad, pieces="none")),
    ("13.5", "pad on the left", lambda prompts, pad: batch(prompts, pad, left=False)),
    ("13.5", "still counts as places", lambda prompts, pad: batch(prompts, pad, places="all")),
    ("13.5", "place is negative", lambda prompts, pad: batch(prompts, pad, places="negative")),
    ("13.5", "has the places", lambda prompts, pad: batch(prompts, pad, places="one")),
    ("13.5", "still sees padding", lambda prompts, pad: batch(prompts, pad, see="causal")),
    ("13.5", "must be causal", lambda prompts, pad: batch(prompts, pad, see="future")),
    ("13.5", "itself included", lambda prompts, pad: batch(prompts, pad, see="past")),
    ("13.5", "itself and nothing else", lambda prompts, pad: batch(prompts, pad, diagonal=False)),
    ("13.5", "was taken for padding", by_number),
    ("13.5", "upside down", lambda prompts, pad: (lambda t, p, m, n: (t, p, ~m, n))(*batch(prompts, pad))),
    ("13.5", "Row 0 of tokens", lambda prompts, pad: batch(prompts, 0)),
    ("13.5", "at the padded length", lambda prompts, pad: batch(prompts, pad, after=None)),
    ("13.5", "one too small", lambda prompts, pad: batch(prompts, pad, after=-1)),
    ("13.6", "fewer than greedy", lambda first, then, length: beam(-first, -then, length, 60)),
    ("13.6", "the likeliest text of 1", lambda first, then, length: beam(first, then, 10, 60)),
    ("13.6", "whole number", lambda first, then, length: [True] * length),
    ("13.6", "greedy finds about 34", lambda first, then, length: beam(first, then, length, 1)),
    ("13.6", "close: keep more", lambda first, then, length: beam(first, then, length, 4)),
    ("13.6", "greedy finds about 34", lambda first, then, length: torch.manual_seed(4) and beam(first, then, length, 1)),
    ("13.6", "a list of 10", lambda first, then, length: [0]),
]


test_right_answers_written_otherwise_pass, test_every_mistake_meets_its_hint = prove.tests_of(CORRECT, WRONG)


def test_the_checks_merges_are_the_packages():
    """The check counts with loops of its own; the package's BPE agrees with it where no tie decides."""
    for seed in range(10):
        words, want = _language(Random(seed), "abcdefgh", 8)
        bpe = BPE.train([word for word, times in words.items() for _ in range(times // 1000)], 257 + 8)
        counts = {word: times // 1000 for word, times in words.items()}
        if (same := merges(counts, 8, strict=True)) is not None:
            assert list(map(list, bpe.ranks)) == same
