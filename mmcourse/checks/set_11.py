"""Checks of lesson 11, attention. Truth: torch's scaled_dot_product_attention and MultiheadAttention, loops, arithmetic."""

import math

import torch
import torch.nn.functional as F

from mmcourse import world
from mmcourse.checks import close, exercise, expect, numbers, same, takes, tensor


@exercise("11.1", points=2)
def predictions(answer):
    got = numbers(answer, "equal", "masked", "spread", "ratio", "reordered", "cold")

    def near(name, value):
        return abs(got[name] - value) < 0.01
    expect(near("equal", 1 / 3), '"equal": equal scores share the weight equally, and the weights sum to one.')
    expect(not near("masked", 1 / 3), '"masked": the weight of the hidden key does not get lost: the softmax shares it out, '
                                      "so that the rest still sums to one.")
    expect(near("masked", 1 / 2), '"masked": two keys are left, with equal scores.')
    expect(not near("spread", 64), '"spread": 64 is the variance; the standard deviation is its square root.')
    expect(near("spread", 8), '"spread": each of the 64 products has variance 1; variances of independent numbers add.')
    expect(not near("ratio", 2), '"ratio": twice the queries, each of which meets twice the keys.')
    expect(near("ratio", 4), '"ratio": count the entries of the table of scores, T rows by T columns, for both lengths.')
    expect(not got["reordered"], '"reordered": a weighted mean is a sum, and a sum does not care about the order '
                                 "of its terms.")
    expect(near("cold", 1), '"cold": near temperature zero the softmax becomes a maximum: everything goes to one key.')


def _masked_inputs():
    batch, length, keys = (torch.randperm(5)[:3] + 3).tolist()                         # all different
    width = 11                                              # and a root that is not whole
    query, key, value = (torch.randn(batch, n, w) for n, w in ((length, width), (keys, width), (keys, 9)))
    mask = torch.rand(batch, length, keys) > 0.4
    mask[..., 0], mask[..., 1] = True, False                # every row has something to see and something hidden
    return query, key, value, mask


@exercise("11.2", points=3)
def attention(answer):
    takes(answer, "query", "key", "value", "mask")
    query, key, value, mask = _masked_inputs()
    eye = torch.eye(key.shape[-2]).expand(len(key), -1, -1)  # values that are the identity give the weights back
    for hidden in (None, mask):
        got = answer(query.clone(), key.clone(), value.clone(), hidden if hidden is None else hidden.clone())
        expect(isinstance(got, (tuple, list)) and len(got) == 2, "Return two things: the mixed values and the weights.")
        output, weights = got
        expect(not isinstance(output, torch.Tensor) or output.shape != (*query.shape[:-1], key.shape[-2]),
               "The two results are exchanged: the output first, then the weights.")
        tensor(output, (*query.shape[:-1], value.shape[-1]), torch.float32, "The output")
        tensor(weights, (*query.shape[:-1], key.shape[-2]), torch.float32, "The weights")
        want = F.scaled_dot_product_attention(query, key, eye, attn_mask=hidden)
        if hidden is not None:
            expect(not same(weights, F.scaled_dot_product_attention(query, key, eye, attn_mask=~hidden)),
                   "The mask is read the wrong way round: True means this query may look at this key.")
            expect(weights[~hidden].abs().max() == 0, "A hidden key gets weight: its score must go (almost) to minus "
                                                      "infinity before the softmax.")
        expect(not same(weights.sum(-2), torch.ones_like(weights.sum(-2)), 1e-4),
               "The weights sum to one over the queries: the softmax runs over the wrong dimension. Each query shares "
               "its weight among the keys, the last one.")
        expect(same(weights.sum(-1), torch.ones_like(weights.sum(-1)), 1e-4),
               "The weights of a query should sum to one. With a mask: hide the scores before the softmax, not the "
               "weights after it.")
        expect(not same(weights, F.scaled_dot_product_attention(query, key, eye, attn_mask=hidden, scale=1.0)),
               "The scores are not scaled: divide by the square root of the width d.")
        expect(not same(weights, F.scaled_dot_product_attention(query, key, eye, hidden, scale=1 / query.shape[-1])),
               "The scores are divided by d: divide by its square root.")
        for name, count in (("keys", key.shape[-2]), ("queries", query.shape[-2])):
            expect(not same(weights, F.scaled_dot_product_attention(query, key, eye, hidden, scale=count ** -0.5)),
                   f"The scores are divided by the root of the number of {name}: divide by that of the width d.")
        close(weights, want, "The weights are not torch's.")
        close(output, F.scaled_dot_product_attention(query, key, value, hidden), "The output is not torch's.")
    for size in (300.0, -300.0):                            # overflow, and a sum of zeros
        weights = answer(torch.full_like(query, 300.0), torch.full_like(key, size), value, torch.ones_like(mask))[1]
        expect(weights.isfinite().all(), "With large scores your softmax becomes NaN: exp of them is infinite or zero. `softmax` takes "
                                         "the largest score of a row off first.")
    loud = answer(torch.full_like(query, 300.0), torch.full_like(key, -300.0), value.clone(), mask.clone())[1]
    expect(not loud.isnan().any() and loud[~mask].abs().max() == 0 and same(loud.sum(-1), torch.ones_like(loud.sum(-1))),
           "With scores of minus 100,000 a hidden key still takes weight: the number in its place is not low enough.")
    high = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    weights = answer(torch.tensor([[[300.0, 0.0]]]), high, high, torch.tensor([[[False, True]]]))[1]
    expect(same(weights, torch.tensor([[[0.0, 1.0]]])), "A hidden key with a huge score takes all the weight before it is hidden: hide "
                                                        "the scores before the softmax.")
    blind = mask.clone()
    blind[0, 0] = False
    output, weights = answer(query.clone(), key.clone(), value.clone(), blind.clone())
    expect(not output.isnan().any(), "A query that may look nowhere gives NaN: a softmax over nothing but minus infinity. "
                                     "Its weights should be zeros.")
    expect(weights[0, 0].abs().max() == 0, "A query that may look nowhere should get zero weights.")
    expect(output[0, 0].abs().max() == 0, "A query that may look nowhere gets zero weights, and yet its output is not zero: take the weights "
                                          "after this last step to mix the values.")
    close(output, F.scaled_dot_product_attention(query, key, eye, blind).nan_to_num(0.0) @ value,
          "A query that may look nowhere has changed the output of another.")


@exercise("11.3", points=2)
def batch_mask(answer):
    takes(answer, "lengths", "causal")
    longest = int(torch.randint(6, 15, ()))                   # never the example of the text
    lengths = torch.tensor([3, longest, 1, int(torch.randint(2, longest, ()))])
    for causal in (False, True):
        want = torch.zeros(4, 1, longest, longest, dtype=torch.bool)
        for b in range(4):
            for t in range(longest):
                for s in range(longest):
                    want[b, 0, t, s] = s < lengths[b] and (s <= t or not causal)
        got = answer(lengths.clone(), causal)
        tensor(got, want.shape, torch.bool, f"The mask (causal={causal})")
        expect(not got.equal(~want), "True and False are the wrong way round: True means may look.")
        if causal:
            expect(got[1, 0].diagonal().all(), "A position may look at itself: the diagonal is True.")
            expect(not got[1, 0].triu(1).any(), "Position 0 sees position 1: with causal=True nobody looks ahead.")
            expect(not got[2, 0, :, 1:].any(), "Padding can be seen in the causal mask: a key must be both real and not "
                                               "ahead, so join the two with `and` (&).")
        expect(got[2, 0, :, 0].all(), "A padding query sees nothing: hide keys only, the last dimension, and leave the "
                                      "rows of padding as in the example.")
        expect(not got[2, 0, 0, 1:].any(), "Row 2 has one word, yet its padding can be seen: hide the keys from "
                                           "lengths[b] on.")
        expect(got.equal(want), f"Some entries differ for causal={causal}: write out the table for lengths 3 and 5 "
                                "on paper and compare.")


@exercise("11.4", points=4)
def multi_head(answer):
    takes(answer, "x", "w_query", "w_key", "w_value", "w_output", "num_heads", "mask")
    for heads, width in ((2, 6), (3, 4), (4, 8)):
        _multi_head(answer, int(torch.randint(2, 5, ())), int(torch.randint(5, 8, ())), heads, width)


def _multi_head(answer, batch, length, heads, width):
    x, weights = torch.randn(batch, length, heads * width), [torch.randn(heads * width, heads * width) / 4 for _ in "qkvo"]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    mask = (torch.rand(length, length) < 0.5) | torch.eye(length, dtype=torch.bool)
    library = torch.nn.MultiheadAttention(heads * width, heads, bias=False, batch_first=True)
    with torch.no_grad():                                    # torch keeps its matrices transposed: y = x @ W.T
        library.in_proj_weight.copy_(torch.cat([w.T for w in weights[:3]]))
        library.out_proj.weight.copy_(weights[3].T)
    query, key, value = (x @ w for w in weights[:3])

    def split(y):
        return y.view(batch, length, heads, width).transpose(1, 2)
    for hidden in (None, causal, mask):
        got = answer(x.clone(), *(one.clone() for one in weights), heads, hidden if hidden is None else hidden.clone())
        tensor(got, x.shape, torch.float32)
        want = library(x, x, x, attn_mask=None if hidden is None else ~hidden, need_weights=False)[0]
        one = F.scaled_dot_product_attention(query, key, value, hidden) @ weights[3]
        expect(not same(got, one, 1e-4), "This is one wide head: split the width into num_heads slices first.")
        cut = [y.reshape(batch, heads, length, width) for y in (query, key, value)]
        cut = F.scaled_dot_product_attention(*cut, hidden)
        for merged in (cut.transpose(1, 2).reshape(x.shape), cut.reshape(x.shape)):
            expect(not same(got, merged @ weights[3], 1e-4),
                   "The heads were cut along the words: a view of (B, T, D) as (B, H, T, D/H) mixes words and heads. View it "
                   "as (B, T, H, D/H) first, then swap T and H.")
        heads_out = F.scaled_dot_product_attention(split(query), split(key), split(value), hidden)
        expect(not same(got, heads_out.reshape(x.shape) @ weights[3], 1e-4),
               "The heads were put together without swapping back: go from (B, H, T, D/H) to (B, T, H, D/H) before you "
               "flatten.")
        expect(not same(got, heads_out.transpose(1, 2).reshape(x.shape), 1e-4),
               "The heads stand side by side, but w_output is missing: it lets them talk.")
        wide = F.scaled_dot_product_attention(split(query), split(key), split(value), hidden,
                                              scale=1 / math.sqrt(heads * width))
        expect(not same(got, wide.transpose(1, 2).reshape(x.shape) @ weights[3], 1e-4),
               "The scores are scaled by the whole width: each head has only D / num_heads numbers.")
        q, k, v = split(query), split(key), split(value)
        loose = [y.transpose(1, 2) for y in (q, k, v)]                     # (B, T, H, D/H): never swapped
        if hidden is None:
            mixed = F.scaled_dot_product_attention(*loose).reshape(x.shape) @ weights[3]
            expect(not same(got, mixed, 1e-4), "The heads attend to one another, not the words: swap T and H before the "
                                               "attention, so that the words are the last axis but one.")
        turned = [split(x @ w.T) for w in weights[:3]]
        mixed = F.scaled_dot_product_attention(*turned, hidden).transpose(1, 2).reshape(x.shape)
        expect(not any(same(got, mixed @ w, 1e-4) for w in (weights[3], weights[3].T)),
               "The matrices are transposed: here they are used as x @ w, not as x @ w.T.")
        woven = [y.view(batch, length, width, heads).permute(0, 3, 1, 2) for y in (query, key, value)]
        mixed = F.scaled_dot_product_attention(*woven, hidden)
        expect(not any(same(got, y.reshape(x.shape) @ weights[3], 1e-4)
                       for y in (mixed.permute(0, 2, 3, 1), mixed.transpose(1, 2))),
               "The heads are woven into one another: head 0 takes the first columns, those next to each other.")
        if hidden is not None:
            inverse = F.scaled_dot_product_attention(q, k, v, ~hidden).transpose(1, 2).reshape(x.shape) @ weights[3]
            expect(not same(got[:, :-1], inverse[:, :-1], 1e-4), "The mask is read the wrong way round: True = may look.")
            expect(not same(got, library(x, x, x, need_weights=False)[0], 1e-4), "The mask is not used.")
        if hidden is mask:
            past = library(x, x, x, attn_mask=~causal, need_weights=False)[0]
            expect(not same(got, past, 1e-4), "The mask is taken to be causal, whatever it holds.")
        close(got, want, "The result is not that of torch.nn.MultiheadAttention.", 1e-4)


@exercise("11.5", points=3)
def padded_sentences(answer):
    takes(answer, "attention", "embeddings", "lengths")
    library = torch.nn.MultiheadAttention(8, (1, 2, 4)[int(torch.randint(3, ()))], batch_first=True)
    words, lengths = torch.randn(4, 5, 8), torch.tensor([5, 1, 3, int(torch.randint(2, 5, ()))])[torch.randperm(4)]
    alone = torch.stack([library(words[b:b + 1, :n], words[b:b + 1, :n], words[b:b + 1, :n])[0][0].mean(0)
                         for b, n in enumerate(lengths.tolist())])
    padded = torch.cat([words, torch.randn(4, 3, 8)], dim=1)
    more = answer(library, padded, lengths)
    tensor(more, (4, 8), torch.float32)
    hidden = torch.arange(8) < lengths[:, None]
    wrong = library(padded, padded, padded, key_padding_mask=hidden)[0]
    average = (wrong * hidden[..., None]).sum(1) / lengths[:, None]
    expect(not same(more, average), "The mask still says the opposite: in torch.nn.MultiheadAttention True means hidden.")
    everything = library(padded, padded, padded)[0]
    expect(not same(more, (everything * hidden[..., None]).sum(1) / lengths[:, None]),
           "The attention still looks at the padding: hide it with key_padding_mask.")
    right = library(padded, padded, padded, key_padding_mask=~hidden)[0]
    expect(not same(more, right.mean(1)), "The attention is right now, but the mean still counts the padding: average over "
                                          "the real words only.")
    expect(not same(more, (right * hidden[..., None]).mean(1)), "The sum counts words only, but is divided by all places: divide by "
                                                               "`lengths`.")
    expect(not same(more, right.sum(1) / lengths[:, None]), "The sum still counts the rows of padding.")
    got = answer(library, words, lengths)
    expect(not isinstance(got, torch.Tensor) or not got.isnan().any(),
           "In the longest sentence every key is hidden, so there is NaN: in key_padding_mask True means hidden.")
    tensor(got, (4, 8), torch.float32)
    expect(same(got, more), "More padding still changes the sentence vectors: three random vectors behind the words must "
                            "change nothing.")
    close(got, alone, "A sentence in a batch should give what it gives alone.")


@exercise("11.6", points=4)
def look_for(answer):
    takes(answer, "cells", "color")
    inside, sharper, brightest, farthest, by_color = [], [], [], [], {}
    seed, colors = int(torch.randint(2**40, 2**60, ())), world.SPECS["standard"].colors
    for color in colors * 33:                                        # all equally often
        while color not in {thing.color for thing in world.sample(seed)}:
            seed += 1
        scene, seed = world.sample(seed), seed + 1
        pixels = torch.tensor(world.draw([scene], 64)[0]).float() / 255
        cells = pixels.unfold(0, 4, 4).unfold(1, 4, 4).mean((-1, -2)).reshape(256, 3)
        weights = answer(cells, torch.tensor(world.COLORS[color]).float() / 255)
        tensor(weights, (256,), torch.float32, "The weights")
        expect((weights >= 0).all() and abs(weights.sum() - 1) < 1e-4, "The weights should not be negative and should sum "
                                                                      "to one: end with a softmax.")
        masks = torch.tensor(scene.masks(64)[[thing.color == color for thing in scene]]).any(0)
        touched = masks.unfold(0, 4, 4).unfold(1, 4, 4).flatten(2).any(-1).reshape(256)
        inside.append(weights[touched].sum().item())
        sharper.append(touched[weights.argmax()].item())             # what an ever sharper softmax would give
        far = (cells - torch.tensor(world.COLORS[color]) / 255).square().sum(-1)
        farthest.append((far[weights.argmax()] > far.max() - 1e-4).item())
        by_color.setdefault(color, []).append(inside[-1])
        brightest.append((cells[weights.argmax()] > 0.97).all().item())
    score, sharpened, bright = sum(inside) / len(inside), sum(sharper) / len(inside), sum(brightest) > 99
    print(f"Of the weight, {score:.1%} lies on things of the asked color (target: 90%).")
    expect(score >= 0.9 or sum(farthest) < 193, "The weight lies where the color is least like the one that is asked for: the score "
                                                    "needs a minus.")
    never = [color for color, found in by_color.items() if sum(found) < 0.7 * len(found)]
    expect(score >= 0.9 or never != ["black"], "All colors are found but black: black and paper have the same direction, so no angle tells "
                                               "them apart. Take the negative squared distance between two colors.")
    expect(score >= 0.9 or not bright, "Most of the weight lies elsewhere: bright cells win a dot product, and paper is "
           "the brightest. Take the negative squared distance between two colors as the score.")
    expect(score >= 0.9 or sharpened < 0.9, "The order is right, but 256 small weights add up: multiply the scores by a "
           "larger number before the softmax.")
    expect(score >= 0.9, "Sharper will not help: another color wins in some pictures. Take the negative squared distance "
           "between two colors as the score.")
