"""The checks of lesson 34 against right and wrong answers: every mistake meets the hint that names it."""

import math

import numpy as np
import prove
import torch
import torch.nn.functional as F

RIGHT = {"guided": 0.9, "looks": 200, "scores": 768, "noisy": 0.5, "scale": 0.25, "moved": 0.4, "reads": False}
EVEN = [1 - k / 8 for k in range(9)]


def attending(scaled=0.5, hide=-1e30, turn=False, after=False, over=-1, swap=True, values=None):
    """Cross-attention with one thing done otherwise."""
    def cross_attention(patches, words, mask, w_query, w_key, w_value):
        scores = torch.bmm(patches @ w_query, (words @ w_key).transpose(1, 2)) / patches.shape[-1] ** scaled
        real = (~mask if turn else mask)[:, None].expand_as(scores)
        if hide == 0:
            scores = scores * real
        elif hide is not None:
            scores = torch.where(real, scores, torch.tensor(hide))
        shares = torch.softmax(scores, over)
        shares = shares * real if after else shares
        given = {None: words @ w_value, "words": words, "keys": words @ w_key}[values]
        return torch.bmm(shares, given), shares.transpose(1, 2) if swap else shares
    return cross_attention


def with_torch(patches, words, mask, w_query, w_key, w_value):
    query, key = patches @ w_query, words @ w_key
    eye = torch.eye(words.shape[1]).expand(len(words), -1, -1)
    return (F.scaled_dot_product_attention(query, key, words @ w_value, mask[:, None]),
            F.scaled_dot_product_attention(query, key, eye, mask[:, None]).mT)


def inpainting(paint=None, keep=None, turn=False):
    def inpainting_step(x, picture, now, then, given, noise, anew):
        painted = (paint or walked)(x, picture, now, then, noise)
        kept = (keep or (lambda given, noise, x, now, then: given + then * (noise - given)))(given, noise, x, now, then)
        return torch.where(~anew if turn else anew, painted, kept.expand_as(x) if kept is not x else x)
    return inpainting_step


def walked(x, picture, now, then, noise):
    return x + (then - now) * (x - picture) / now


def pixel_by_pixel(x, picture, now, then, given, noise, anew):
    out = torch.empty_like(x)
    for place in anew.nonzero().tolist():
        i, j = place
        out[..., i, j] = picture[..., i, j] + (x[..., i, j] - picture[..., i, j]) / now * then
    for i, j in (~anew).nonzero().tolist():
        out[..., i, j] = (1 - then) * given[:, i, j] + then * noise[..., i, j]
    return out


def guided(mix=lambda wanted, without, w: without + w * (wanted - without), exchanged=False, short=False, there=False):
    def guided_step(x, pictures, now, then, weight):
        wanted, without = pictures.split(len(x))
        picture = mix(without, wanted, weight) if exchanged else mix(wanted, without, weight)
        return picture if there else x + (then - now) * (x - picture) / (1 if short else now)
    return guided_step


def split_by_two(x, pictures, now, then, weight):
    """`split(2)` in place of `chunk(2)`: pieces of two pictures each."""
    wanted, without = pictures.split(2)[:2]
    return without + weight * (wanted - without)


def batch(step=lambda u, count: (u * count).long(), see=lambda p: p / 127.5 - 1, tell=None, root=True, exchanged=False):
    def training_batch(pictures, ids, empty, noise, u, v, alphas):
        steps = step(u, len(alphas))
        kept = alphas[steps].view(-1, 1, 1, 1)
        a, b = (kept.sqrt(), (1 - kept).sqrt()) if root else (kept, 1 - kept)
        a, b = (b, a) if exchanged else (a, b)
        told = (tell or (lambda ids, empty, v: torch.where(v[:, None] < 0.1, empty, ids)))(ids, empty, v)
        return a * see(pictures.float()) + b * noise, told, steps
    return training_batch


def looped(pictures, ids, empty, noise, u, v, alphas):
    rows = []
    for i in range(len(ids)):
        step = math.floor(u[i].item() * len(alphas))
        share = alphas[step].item()
        clean = 2 * pictures[i].float() / 255 - 1
        rows.append((math.sqrt(share) * clean + math.sqrt(1 - share) * noise[i], empty if v[i] < 0.1 else ids[i], step))
    noisy, told, steps = zip(*rows)
    return torch.stack(noisy), torch.stack(told), torch.tensor(steps)


CORRECT = {                                                   # written otherwise than the course's solutions
    "34.1": [lambda: dict(RIGHT), lambda: {**RIGHT, "looks": 200.0, "reads": 0},
             lambda: {**RIGHT, "guided": torch.tensor(0.9), "reads": np.bool_(False)}],
    "34.2": [attending(), with_torch],
    "34.3": [inpainting(), pixel_by_pixel],
    "34.4": [guided(), guided(lambda wanted, without, w: w * wanted + (1 - w) * without)],
    "34.5": [batch(), looped],
    "34.6": [lambda: (EVEN, [0.0] + [0.5] * 7), lambda: (tuple(EVEN), (0.2, *[0.45] * 7))],
}

WRONG = [
    ("34.1", "start from the pixel without words", lambda: {**RIGHT, "guided": 1.1}),
    ("34.1", "goes away from the words", lambda: {**RIGHT, "guided": -0.5}),
    ("34.1", "asks twice", lambda: {**RIGHT, "looks": 100}),
    ("34.1", "joint attention", lambda: {**RIGHT, "scores": 76 ** 2}),
    ("34.1", "counts self-attention", lambda: {**RIGHT, "scores": 64 ** 2 + 768}),
    ("34.1", "should be a number", lambda: {**RIGHT, "scores": torch.ones(2)}),
    ("34.1", "t = 1 the noise", lambda: {**RIGHT, "noisy": -0.1}),
    ("34.1", "times the factor", lambda: {**RIGHT, "scale": 4}),
    ("34.1", "half of what is left", lambda: {**RIGHT, "moved": 0.5}),
    ("34.1", "never sees a sentence", lambda: {**RIGHT, "reads": True}),
    ("34.1", "exactly the keys", lambda: {"looks": 200}),
    ("34.2", "a row for each patch", attending(swap=False)),
    ("34.2", "use the mask before the softmax", attending(hide=None)),
    ("34.2", "set to zero after the softmax", attending(hide=None, after=True)),
    ("34.2", "needs -inf", attending(hide=0)),
    ("34.2", "turned around", attending(turn=True)),
    ("34.2", "turned around", attending(hide=-math.inf, turn=True)),
    ("34.2", "runs over the patches", attending(hide=-math.inf, over=1)),
    ("34.2", "and padding is looked at", attending(hide=None, over=1)),
    ("34.2", "should get exactly 0", attending(hide=-12.0)),
    ("34.2", "here they are exchanged", lambda x, c, mask, query, key, value: attending()(x, c, mask, key, query, value)),
    ("34.2", "without transposing", lambda x, c, mask, query, key, value: attending()(x, c, mask, query.T, key.T, value)),
    ("34.2", "without the patches", lambda x, *given: (x + with_torch(x, *given)[0], with_torch(x, *given)[1])),
    ("34.2", "not divided by the square root", attending(scaled=0)),
    ("34.2", "not by its square root", attending(scaled=1)),
    ("34.2", "The", lambda x, c, mask, query, *more: attending()(x, c, mask, query * x.shape[-1] ** 0.5 / 2, *more)),
    ("34.2", "runs over the patches", attending(over=1)),
    ("34.2", "as they are", attending(values="words")),
    ("34.2", "The keys were added", attending(values="keys")),
    ("34.2", "Return two tensors", lambda *given: with_torch(*given)[0]),
    ("34.3", "turned around", inpainting(turn=True)),
    ("34.3", "Everything was painted", lambda x, picture, now, then, given, noise, anew: walked(x, picture, now, then, noise)),
    ("34.3", "put in without noise", inpainting(keep=lambda given, noise, x, now, then: given)),
    ("34.3", "noise of the time `now`", inpainting(keep=lambda given, noise, x, now, then: (1 - now) * given + now * noise)),
    ("34.3", "only mixed with x", inpainting(keep=lambda given, noise, x, now, then: (1 - then) * given + then * x)),
    ("34.3", "exchanged", inpainting(keep=lambda given, noise, x, now, then: then * given + (1 - then) * noise)),
    ("34.3", "divide by `now`", inpainting(paint=lambda x, picture, now, then, noise: x + (then - now) * (x - picture))),
    ("34.3", "leads away", inpainting(paint=lambda x, picture, now, then, noise: x + (now - then) * (x - picture) / now)),
    ("34.3", "walk only as far", inpainting(paint=lambda x, picture, now, then, noise: picture)),
    ("34.3", "new noise", inpainting(paint=lambda x, picture, now, then, noise: (1 - then) * picture + then * noise)),
    ("34.4", "halves are exchanged", guided(exchanged=True)),
    ("34.4", "halves are exchanged", guided(exchanged=True, short=True)),
    ("34.4", "start from the one without", guided(lambda wanted, without, w: wanted + w * (wanted - without), short=True)),
    ("34.4", "sign is wrong", guided(lambda wanted, without, w: without + w * (without - wanted))),
    ("34.4", "start from the one without", guided(lambda wanted, without, w: (1 + w) * wanted - w * without)),
    ("34.4", "the step is too short", guided(short=True)),
    ("34.4", "walk only as far", guided(there=True)),
    ("34.4", "Weight 0 should give", guided(lambda wanted, without, w: without + max(w, 1) * (wanted - without))),
    ("34.4", "should have the shape", split_by_two),
    ("34.4", "should have the shape", lambda x, pictures, now, then, weight: pictures),
    ("34.5", "never drawn: T steps", batch(step=lambda u, count: (u * (count - 1)).long())),
    ("34.5", "Step k is for u", batch(step=lambda u, count: (u * (count - 1)).round().long())),
    ("34.5", "outside of alphas", batch(step=lambda u, count: (u * count).long() + 1)),
    ("34.5", "The first step, 0", batch(step=lambda u, count: (u * (count - 1)).long() + 1)),
    ("34.5", "No sentence is dropped", batch(tell=lambda ids, empty, v: ids)),
    ("34.5", "All sentences are dropped", batch(tell=lambda ids, empty, v: empty.expand_as(ids))),
    ("34.5", "that should stay are dropped", batch(tell=lambda ids, empty, v: torch.where(v[:, None] < 0.1, ids, empty))),
    ("34.5", "exactly 0.1", batch(tell=lambda ids, empty, v: torch.where(v[:, None] <= 0.1, empty, ids))),
    ("34.5", "itself was changed", batch(tell=lambda ids, empty, v: ids.masked_scatter_(v[:, None] < 0.1, empty.repeat(len(v))))),
    ("34.5", "no cumprod", lambda *given: batch()(*given[:-1], given[-1].cumprod(0))),
    ("34.5", "padding alone", batch(tell=lambda ids, empty, v: ids * (v >= 0.1)[:, None])),
    ("34.5", "from 0 to 1", batch(see=lambda p: p / 255)),
    ("34.5", "are bytes", batch(see=lambda p: p)),
    ("34.5", "square roots", batch(root=False)),
    ("34.5", "exchanged their shares", batch(exchanged=True)),
    ("34.6", "right sign", lambda: (EVEN, [0] + [-0.5] * 7)),
    ("34.6", "times alone gain little", lambda: (EVEN, [0] * 8)),
    ("34.6", "times alone gain little", lambda: ([1.5 * t / (1 + 0.5 * t) for t in EVEN], [0] * 8)),
    ("34.6", "0.75 is the target", lambda: (EVEN, [0] + [0.08] * 7)),
    ("34.6", "equal times first", lambda: ([3 * t / (1 + 2 * t) for t in EVEN], [0.08] * 8)),
    ("34.6", "Return two lists", lambda: (EVEN, 0.5)),
    ("34.6", "nine times", lambda: (EVEN[:-1], [0] * 8)),
    ("34.6", "eight mixes", lambda: (EVEN, [0] * 9)),
    ("34.6", "begin at 1", lambda: (EVEN[::-1], [0] * 8)),
    ("34.6", "should fall", lambda: ([1, *[0.5] * 7, 0], [0] * 8)),
    ("34.6", "finite", lambda: (EVEN, [math.nan] * 8)),
]

test_right_answers_written_otherwise_pass, test_every_mistake_meets_its_hint = prove.tests_of(CORRECT, WRONG)
