"""Checks of lesson 22, fusion. Truth: loops, hand numbers, torch's autograd."""

import torch
import torch.nn.functional as F

from mmcourse.checks import Again, close, exercise, expect, mistakes, numbers, same, takes, tensor


@exercise("22.1", points=2)
def predictions(answer):
    got = numbers(answer, "cells", "loss", "joined", "rows", "weights", "best")
    expect(got["cells"] != 4, '"cells": all four at once is what the proof rules out.')
    expect(got["cells"] == 3, '"cells": additive answers can satisfy more than half of the four, and not all.')
    expect(got["loss"] != 0.5, '"loss": the answer is always 50%, and the loss is minus its natural logarithm.')
    expect(not 0.0006 < abs(got["loss"] - 0.6931) < 0.006, '"loss": nearly. Give three digits.')
    expect(abs(got["loss"] - 0.6931) < 0.0006, '"loss": minus the natural logarithm of one half, to three digits.')
    expect(got["joined"] != 64, '"joined": side by side means that both sets of features are kept.')
    expect(got["joined"] == 128, '"joined": 64 features from each.')
    expect(got["rows"] != 32, '"rows": axis 0 is the batch: the words are put below the pictures.')
    expect(got["rows"] == 64, '"rows": 32 rows of one above 32 rows of the other.')
    expect(got["weights"] != 64 * 2, '"weights": here feature i meets feature i only. Bilinear multiplies each with each.')
    expect(got["weights"] != 128 * 2, '"weights": that is a linear layer on both side by side. Bilinear multiplies each '
                                      'with each.')
    expect(got["weights"] != 64 * 64, '"weights": that is for one answer.')
    expect(got["weights"] == 64 * 64 * 2, '"weights": one for each pair of features and each answer.')
    expect(got["best"] != 0.5, '"best": a dial of one half does not mean right half of the time.')
    expect(got["best"] != 75, '"best": as a share from 0 to 1, not in percent.')
    expect(got["best"] == 0.75, '"best": a dial d makes its sign right with chance (1 + d) / 2.')


@exercise("22.2", points=3)
def late(answer):
    takes(answer, "a", "b", "present")
    cases = torch.cartesian_prod(*[torch.tensor([True, False])] * 2).repeat(2, 1)
    for count in (8, 1):
        present = cases[torch.randperm(8)[:count]]
        _mean_of_present(answer, *torch.randn(2, count, int(torch.randint(2, 5, ()))), present)


def _mean_of_present(answer, a, b, present):
    want = torch.stack([(x * p + y * q) / max(1, int(p) + int(q)) for x, y, (p, q) in zip(a, b, present)]) + 0.0
    got, nobody = answer(a.clone(), b.clone(), present.clone()), ~present.any(1)
    expect(not isinstance(got, torch.Tensor) or got.shape != want.shape or not got[nobody].isnan().any(),
           "Where nothing is there, you divide zero by zero: no vote means logits of zero, which is chance.")
    tensor(got, want.shape, torch.float32)
    if len(present) == 1:                                                    # too little to tell mistakes by
        return close(got, want, "This is not the mean of the logits that are there.")
    expect(not same(got, (a + b) / 2), "You use the answer of a modality that is not there: look at `present`.")
    expect(not same(got, (a + b) / 2 * ~nobody[:, None]), "You use the answer of a modality that is not there, if the other is: "
                                                          "look at both columns of `present`.")
    expect(same(got[nobody], want[nobody]), "Where nothing is there, the logits should be zeros.")
    expect(not same(got, torch.where(present[:, :1], a, b * present[:, 1:])),
           "Where both are there you take the first alone: average them.")
    halved = (a * present[:, :1] + b * present[:, 1:]) / 2
    expect(not same(got, halved), "What is left alone counts half: divide by the number that is there, not by two.")
    expect(not same(got, halved * 2), "This is the sum: the mean of two logits is half of it.")
    swapped = torch.stack([(x * q + y * p) / max(1, int(p) + int(q)) for x, y, (p, q) in zip(a, b, present)])
    expect(not same(got, swapped), "Present has the first modality in column 0: the two have changed places.")
    close(got, want, "This is not the mean of the logits that are there.")


@exercise("22.3", points=3)
def low_rank(answer):
    takes(answer, "a", "b", "U", "V", "W")
    batch, width, other, rank, outputs = (torch.randperm(6)[:5] + 2).tolist()          # all different
    a, b = torch.randn(batch, width), torch.randn(batch, other)
    U, V, W = torch.randn(rank, width), torch.randn(rank, other), torch.randn(outputs, rank)
    full = [sum(W[k, r] * torch.outer(U[r], V[r]) for r in range(rank)) for k in range(outputs)]
    want = torch.stack([torch.stack([x @ matrix @ y for matrix in full]) for x, y in zip(a, b)])
    got = answer(*(given.clone() for given in (a, b, U, V, W)))
    tensor(got, want.shape, torch.float32)
    x, y = a @ U.T, b @ V.T
    mistakes(got, want,
             ((x + y) @ W.T, "The two are added: that is early fusion by a sum. Multiply them."),
             ((x * x) @ W.T, "The first modality is multiplied with itself: where is b?"),
             ((y * y) @ W.T, "The second modality is multiplied with itself: where is a?"),
             ((x * y).sum(1, keepdim=True) * W.sum(1), "You sum over the rank before W: each of the products has a weight of its own."),
             ((x.relu() * y.relu()) @ W.T, "No activation is asked for: bilinear means linear in each of the two."), tolerance=1e-4)
    close(got, want, "The logits are not a M b with the full matrices.", 1e-4)
    tensor(answer(a[:1].clone(), b[:1].clone(), U, V, W), (1, outputs), torch.float32, "The result for a single pair")


@exercise("22.4", points=3)
def fuse(answer):
    takes(answer, "a", "b", "weight")
    batch, width = int(torch.randint(3, 7, ())), int(torch.randint(3, 6, ()))
    a, b, weight = torch.randn(batch, width), torch.randn(batch, width), torch.randn(2, 2 * width)
    x, y = (part / part.norm(dim=-1, keepdim=True) for part in (a, b))
    want = torch.stack([torch.stack([row[:width] @ p + row[width:] @ q for row in weight]) for p, q in zip(x, y)])
    got = answer(a.clone(), b.clone(), weight)
    expect(not isinstance(got, torch.Tensor) or got.shape[0] != 2 * batch,
           "There are twice as many rows as pairs: they were joined along the batch.")
    tensor(got, want.shape, torch.float32)
    mixed = torch.cat([x, y], 0).reshape(batch, -1) @ weight.T
    twin = torch.cat([x, x], 0).reshape(batch, -1) @ weight.T
    expect(not same(got, twin, 1e-4), "Nothing has changed yet: change the words and see which answers move.")
    expect(not same(got, mixed, 1e-4), "The words are used now, but a pair's answer depends on other pairs: they are "
                                       "joined along "
                                       "the batch (axis 0), and a reshape hides it.")
    expect(not same(got, torch.cat([x, x], 1) @ weight.T, 1e-4), "Joined along the features now, but the picture is "
                                                                 "fused with "
                                                                 "itself: change the words, and no answer moves.")
    expect(not same(got, torch.cat([y, x], 1) @ weight.T, 1e-4), "The words stand first: the weights expect the picture "
                                                                 "there.")
    expect(not same(got, torch.cat([a, b], 1) @ weight.T, 1e-4), "The lengths are no longer made one: keep both "
                                                                 "normalize lines.")
    for hint, first, second in (("The words are not scaled to length one.", x, b), ("The picture is not scaled to length one.", a, y),
                                ("The words are fused with themselves: where is the picture?", y, y),
                                ("Lengths are made one over the batch (dim=0): each row should have the length one.",
                                 F.normalize(a, dim=0), F.normalize(b, dim=0))):
        expect(not same(got, torch.cat([first, second], 1) @ weight.T, 1e-4), hint)
    expect(not same(got, F.normalize(torch.cat([a, b], 1), dim=1) @ weight.T, 1e-4),
           "The two are scaled together: each should have the length one by itself.")
    expect(not same(got, torch.stack([x, y], -1).flatten(1) @ weight.T, 1e-4),
           "Picture and words alternate: all features of the picture come first, then those of the words.")
    close(got, want, "The logits are not those of picture and words side by side.", 1e-4)
    tensor(answer(a[:1].clone(), b[:1].clone(), weight), (1, 2), torch.float32, "The result for a single pair")


@exercise("22.5", points=3)
def step(answer):
    takes(answer, "a", "b", "labels", "U", "V", "W", "rate")
    count, width, other, rank, kinds, rate = *(torch.randperm(6)[:5] + 3).tolist(), 0.2 + 0.3 * torch.rand(()).item()
    a, b, labels = torch.randn(count, width), torch.randn(count, other), torch.randint(kinds, (count,))
    before = [torch.randn(rank, width), torch.randn(rank, other), torch.randn(kinds, rank)]
    leaves = [value.clone().requires_grad_() for value in before]
    U, V, W = leaves
    loss = F.cross_entropy(torch.einsum("bd,rd,be,re,kr->bk", a, U, b, V, W), labels)
    moves = torch.autograd.grad(loss, leaves)
    if min(move.abs().max() for move in moves) < 1e-3:                # sure of all labels already: nothing would move
        raise Again
    got = answer(a.clone(), b.clone(), labels.clone(), *(value.clone() for value in before), rate)
    expect(isinstance(got, (tuple, list)) and len(got) == 3, "Return three tensors: the new U, V and W.")
    for name, new, old, move in zip("UVW", got, before, moves):
        tensor(new, old.shape, torch.float32, name)
        expect(not same(new, old, 1e-7), f"{name} has not moved: no gradient reaches it.")
        expect(not same(new, old + rate * move), f"{name} went up the slope: subtract the gradient.")
        expect(not same(new, old - rate * count * move), "The gradient is that of the summed loss: losses are means here.")
        expect(not same(new, old - move), f"{name} moved by the whole gradient: multiply it by `rate`.")
        close(new, old - rate * move, f"{name} is not where one step leads.")


def _signs(count, u, v):
    """Noisy features of two modalities whose hidden signs are equal (label 1) or not (label 0)."""
    left, right = (torch.randint(2, (count,)) * 2.0 - 1 for _ in range(2))
    return (left[:, None] * u + 0.5 * torch.randn(count, 8), right[:, None] * v + 0.5 * torch.randn(count, 8),
            (left == right).long())


@exercise("22.6", points=4)
def learn(answer):
    takes(answer, "a", "b", "labels", "new_a", "new_b")
    shares = []
    hidden = [[F.normalize(torch.randn(8), dim=0) for _ in range(2)] for _ in range(10)]      # one draw alone may be lucky
    draws = [(_signs(80, u, v), _signs(2000, u, v)) for u, v in hidden]       # before the answer may fix the seed
    for (a, b, labels), (new_a, new_b, truth) in draws:
        got = answer(a.clone(), b.clone(), labels.clone(), new_a.clone(), new_b.clone())
        tensor(got, truth.shape, torch.int64, "The guesses")
        expect(((got == 0) | (got == 1)).all(), f"Guesses are 0 or 1, and one of yours is {got[(got != 0) & (got != 1)][:1].tolist()}.")
        shares.append((got == truth).float().mean().item())
    score = sum(shares) / len(shares)
    print(f"{score:.1%} of new pairs are right in the mean of ten draws (target: 92%; chance: 50%).")
    expect(score > 0.4, "Turned around: 1 means that the two signs are equal.")
    expect(score > 0.57, "This is near chance: an answer that adds up what each modality says cannot do it. Multiply them.")
    expect(score >= 0.92, "Better than chance. One product of features alone knows too little, and a rule of 64 free weights also "
                         "learns the noise: 80 pairs can teach few numbers. Keep the weights small, or make one direction for each "
                         "modality of them.")
