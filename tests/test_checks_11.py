"""The checks of lesson 11 against right and wrong answers: every mistake meets the hint that names it."""

import math

import prove
import torch
import torch.nn.functional as F


RIGHT = {"equal": 1 / 3, "masked": 0.5, "spread": 8.0, "ratio": 4, "reordered": False, "cold": 1.0}


def scores(query, key, divisor=None):
    return query @ key.mT / (divisor or math.sqrt(query.shape[-1]))


def plain(query, key, value, mask=None, *, hide=None, divisor=None, dim=-1, after=None):
    """Attention with one thing left out or done wrong."""
    table = scores(query, key, divisor)
    if mask is not None and hide:
        table = hide(table, mask)
    weights = table.softmax(dim)
    if mask is not None and after:
        weights = after(weights, mask)
    return weights @ value, weights


def late_zero(query, key, value, mask=None):
    """The weights of a query that may look nowhere become zeros only after they have mixed the values."""
    output, weights = plain(query, key, value, mask, hide=low)
    return output, weights if mask is None else weights * mask


def low(table, mask):
    return table.masked_fill(~mask, -1e30)


def zero(weights, mask):
    return weights * mask


def naive(query, key, value, mask=None):
    """A softmax by its formula."""
    weights = scores(query, key).exp() * (1 if mask is None else mask)
    weights = weights / weights.sum(-1, keepdim=True)
    return weights @ value, weights


def heads(x, w, num_heads, split, merge, scale=None, mask=None, out=True):
    q, k, v = (split(x @ m, num_heads) for m in w[:3])
    mixed = merge(F.scaled_dot_product_attention(q, k, v, mask, scale=scale), x)
    return mixed @ w[3] if out else mixed


def good_split(y, n):
    return y.view(*y.shape[:2], n, -1).transpose(1, 2)


def bad_split(y, n):
    return y.view(y.shape[0], n, y.shape[1], -1)


def good_merge(y, x):
    return y.transpose(1, 2).reshape(x.shape)


def bad_merge(y, x):
    return y.reshape(x.shape)


def mask_loops(lengths, causal, allowed):
    size = int(lengths.max())
    return torch.tensor([[[[allowed(t, s, int(n)) for s in range(size)] for t in range(size)]] for n in lengths])


def vectors(layer, words, lengths, mask, mean):
    return mean(layer(words, words, words, key_padding_mask=mask(torch.arange(words.shape[1]) < lengths[:, None]))[0],
                torch.arange(words.shape[1]) < lengths[:, None])


def word_mean(mixed, real):
    return (mixed * real[..., None]).sum(1) / real.sum(1, keepdim=True)


def mine(x, q, k, v, o, n, mask=None):
    return heads(x, (q, k, v, o), n, good_split, good_merge, mask=mask)


CORRECT = {                                                   # written otherwise than the course's solutions
    "11.1": [lambda: dict(RIGHT), lambda: {**RIGHT, "equal": 0.333, "reordered": 0}],
    "11.2": [lambda q, k, v, mask=None: plain(q, k, v, mask, hide=low, after=zero),
             lambda q, k, v, mask=None: plain(q.mul_(q.shape[-1] ** -0.5), k, v, mask, hide=low, after=zero, divisor=1.0),
             lambda q, k, v, mask=None: plain(q, k, v, mask, hide=lambda t, m: t.masked_fill(m.logical_not_(), -1e30),
                                              after=lambda w, m: w.masked_fill(m, 0.0)),
             lambda q, k, v, mask=None: (F.scaled_dot_product_attention(q, k, v, mask),
                                         F.scaled_dot_product_attention(q, k, torch.eye(k.shape[1]).expand(len(k), -1, -1), mask))],
    "11.3": [lambda lengths, causal: mask_loops(lengths, causal, lambda t, s, n: s < n and (s <= t or not causal))],
    "11.4": [mine],
    "11.5": [lambda layer, words, lengths: vectors(layer, words, lengths, torch.logical_not, word_mean)],
    "11.6": [lambda cells, color: (-(cells - color).abs().sum(-1) * 30).softmax(0)],
}

WRONG = [
    ("11.1", "standard deviation", lambda: {**RIGHT, "spread": 64}),
    ("11.1", "does not get lost", lambda: {**RIGHT, "masked": 1 / 3}),
    ("11.1", "twice the queries", lambda: {**RIGHT, "ratio": 2}),
    ("11.1", "does not care about the order", lambda: {**RIGHT, "reordered": True}),
    ("11.1", "exactly the keys", lambda: {"equal": 1 / 3}),
    ("11.1", "should be a number", lambda: {**RIGHT, "equal": "a third"}),
    ("11.1", "should take ()", lambda x: RIGHT),
    ("11.2", "not scaled", lambda q, k, v, mask=None: plain(q, k, v, mask, hide=low, divisor=1.0)),
    ("11.2", "divided by d", lambda q, k, v, mask=None: plain(q, k, v, mask, hide=low, divisor=q.shape[-1])),
    ("11.2", "wrong dimension", lambda q, k, v, mask=None: plain(q, k, v, mask, hide=low, dim=-2)),
    ("11.2", "wrong way round", lambda q, k, v, mask=None: plain(q, k, v, mask, hide=lambda t, m: low(t, ~m))),
    ("11.2", "A hidden key gets weight", lambda q, k, v, mask=None: plain(q, k, v, mask)),
    ("11.2", "before the softmax, not the weights", lambda q, k, v, mask=None: plain(q, k, v, mask, after=zero)),
    ("11.2", "not low enough", lambda q, k, v, mask=None: plain(q, k, v, mask, hide=lambda t, m: t.masked_fill(~m, -200))),
    ("11.2", "largest score of a row off", naive),
    ("11.2", "look nowhere gives NaN",
     lambda q, k, v, mask=None: plain(q, k, v, mask, hide=lambda t, m: t.masked_fill(~m, -torch.inf))),
    ("11.2", "should get zero weights", lambda q, k, v, mask=None: plain(q, k, v, mask, hide=low)),
    ("11.2", "its output is not zero", late_zero),
    ("11.2", "Return two things", lambda q, k, v, mask=None: plain(q, k, v, mask)[0]),
    ("11.2", "should take (query, key, value, mask)", lambda q, k, v: plain(q, k, v)),
    ("11.2", "should be float32", lambda q, k, v, mask=None: [x.double() for x in plain(q, k, v, mask, hide=low)]),
    ("11.3", "wrong way round", lambda n, c: ~mask_loops(n, c, lambda t, s, n: s < n and (s <= t or not c))),
    ("11.3", "may look at itself", lambda n, c: mask_loops(n, c, lambda t, s, n: s < n and (s < t or not c))),
    ("11.3", "nobody looks ahead", lambda n, c: mask_loops(n, c, lambda t, s, n: s < n)),
    ("11.3", "join the two", lambda n, c: mask_loops(n, c, lambda t, s, n: (s < n or s <= t) if c and s <= t else s < n and not c)),
    ("11.3", "hide keys only", lambda n, c: mask_loops(n, c, lambda t, s, n: t < n and (s <= t or not c))),
    ("11.3", "should have the shape", lambda n, c: torch.arange(5) < n[:, None]),
    ("11.3", "should be bool", lambda n, c: mask_loops(n, c, lambda t, s, n: s < n and (s <= t or not c)).float()),
    ("11.4", "one wide head", lambda x, q, k, v, o, n, mask=None: heads(x, (q, k, v, o), 1, good_split, good_merge, mask=mask)),
    ("11.4", "cut along the words",
     lambda x, q, k, v, o, n, mask=None: heads(x, (q, k, v, o), n, bad_split, bad_merge, mask=mask)),
    ("11.4", "without swapping back",
     lambda x, q, k, v, o, n, mask=None: heads(x, (q, k, v, o), n, good_split, bad_merge, mask=mask)),
    ("11.4", "w_output is missing",
     lambda x, q, k, v, o, n, mask=None: heads(x, (q, k, v, o), n, good_split, good_merge, mask=mask, out=False)),
    ("11.4", "scaled by the whole width",
     lambda x, q, k, v, o, n, mask=None: heads(x, (q, k, v, o), n, good_split, good_merge, x.shape[-1] ** -0.5, mask)),
    ("11.4", "mask is not used",
     lambda x, q, k, v, o, n, mask=None: heads(x, (q, k, v, o), n, good_split, good_merge)),
    ("11.2", "not low enough", lambda q, k, v, mask=None: plain(q, k, v, mask, hide=lambda t, m: t.masked_fill(~m, -1e4), after=zero)),
    ("11.3", "hide keys only", lambda n, c: mask_loops(n, c, lambda t, s, n: s < n and t < n and (s <= t or not c))),
    ("11.4", "attend to one another", lambda x, q, k, v, o, n, mask=None: F.scaled_dot_product_attention(
        *(y.view(*y.shape[:2], n, -1) for y in (x @ q, x @ k, x @ v))).reshape(x.shape) @ o),
    ("11.4", "not as x @ w.T", lambda x, q, k, v, o, n, mask=None: heads(x, (q.T, k.T, v.T, o.T), n, good_split, good_merge, mask=mask)),
    ("11.4", "woven", lambda x, q, k, v, o, n, mask=None: heads(
        x, (q, k, v, o), n, lambda y, n: y.view(*y.shape[:2], -1, n).permute(0, 3, 1, 2),
        lambda y, x: y.permute(0, 2, 3, 1).reshape(x.shape), mask=mask)),
    ("11.4", "wrong way round", lambda x, q, k, v, o, n, mask=None: heads(
        x, (q, k, v, o), n, good_split, good_merge, mask=None if mask is None else ~mask)),
    ("11.5", "True means hidden", lambda layer, w, n: vectors(layer, w, n, lambda real: real, word_mean)),
    ("11.5", "still looks at the padding", lambda layer, w, n: vectors(layer, w, n, lambda real: None, word_mean)),
    ("11.5", "still counts the padding", lambda layer, w, n: vectors(layer, w, n, torch.logical_not, lambda y, real: y.mean(1))),
    ("11.6", "bright cells win", lambda cells, color: (cells @ color).softmax(0)),
    ("11.6", "larger number", lambda cells, color: (-((cells - color) ** 2).sum(-1)).softmax(0)),
    ("11.6", "Sharper will not help",
     lambda cells, color: (100 * (cells - cells.mean(0)) @ (color - cells.mean(0))).softmax(0)),
    ("11.2", "is hidden: hide the scores before", lambda q, k, v, mask=None: plain(q, k, v, mask, after=lambda w, m: w * m / (
        w * m).sum(-1, keepdim=True).clamp_min(1e-9))),
    ("11.2", "number of keys", lambda q, k, v, mask=None: plain(q, k, v, mask, hide=low, divisor=k.shape[-2] ** 0.5)),
    ("11.2", "are exchanged", lambda q, k, v, mask=None: plain(q, k, v, mask, hide=low)[::-1]),
    ("11.4", "one wide head", lambda x, q, k, v, o, n, mask=None: mine(x, q, k, v, o, 1, mask)),
    ("11.4", "not that of torch", lambda x, q, k, v, o, n, mask=None: mine(x, q, k, v, o, 2, mask)),
    ("11.4", "taken to be causal", lambda x, q, k, v, o, n, mask=None: mine(
        x, q, k, v, o, n, None if mask is None else torch.ones(mask.shape).tril().bool())),
    ("11.5", "in a batch should give what it gives alone", lambda layer, w, n: vectors(layer, w, n.flip(0), torch.logical_not, word_mean)),
    ("11.5", "divided by all places", lambda layer, w, n: vectors(layer, w, n, torch.logical_not, lambda y, real: (y * real[..., None]).mean(1))),
    ("11.5", "still counts the rows", lambda layer, w, n: vectors(layer, w, n, torch.logical_not, lambda y, real: y.sum(1) / real.sum(
        1, keepdim=True))),
    ("11.6", "needs a minus", lambda cells, color: (1e3 * (cells - color).square().sum(-1)).softmax(-1)),
    ("11.6", "same direction", lambda cells, color: (1e4 * F.cosine_similarity(cells, color[None])).softmax(-1)),
    ("11.6", "there is a NaN", lambda cells, color: cells.sum(-1) * torch.nan),
    ("11.6", "sum to one", lambda cells, color: -((cells - color) ** 2).sum(-1)),
]


test_right_answers_written_otherwise_pass, test_every_mistake_meets_its_hint = prove.tests_of(CORRECT, WRONG)
