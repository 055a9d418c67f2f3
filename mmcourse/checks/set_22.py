"""Checks of lesson 22, fusion. Truth: loops, hand numbers, torch's autograd."""

import torch
import torch.nn.functional as F

from mmcourse.checks import close, exercise, expect, numbers, same, takes, tensor


@exercise("22.1", points=2)
def predictions(answer):
    got = numbers(answer, "cells", "loss", "joined", "rows", "weights", "best")
    expect(got["cells"] != 4, '"cells": all four at once is what the proof rules out.')
    expect(got["cells"] == 3, '"cells": additive answers can satisfy more than half of the four, and not all.')
    expect(got["loss"] != 0.5, '"loss": the answer is always 50%, and the loss is minus its natural logarithm.')
    expect(abs(got["loss"] - 0.6931) < 0.002, '"loss": ln 2, in natural logarithms, to three digits.')
    expect(got["joined"] != 64, '"joined": side by side means that both sets of features are kept.')
    expect(got["joined"] == 128, '"joined": 64 features from each.')
    expect(got["rows"] != 32, '"rows": axis 0 is the batch: the words are put below the pictures.')
    expect(got["rows"] == 64, '"rows": 32 rows of one above 32 rows of the other.')
    expect(got["weights"] != 128 * 2, '"weights": that is a linear layer on both side by side. Bilinear multiplies each '
                                      'with each.')
    expect(got["weights"] == 64 * 64 * 2, '"weights": one for each pair of features and each answer.')
    expect(got["best"] != 0.5, '"best": a dial of one half is no sign that is right half of the time.')
    expect(got["best"] == 0.75, '"best": a dial d makes its sign right with chance (1 + d) / 2.')


@exercise("22.2", points=3)
def late(answer):
    takes(answer, "a", "b", "present")
    a, b = torch.randn(5, 3), torch.randn(5, 3)
    present = torch.tensor([[True, True], [True, False], [False, True], [False, False], [True, True]])
    want = torch.stack([(x * p + y * q) / max(1, int(p) + int(q)) for x, y, (p, q) in zip(a, b, present)])
    got = answer(a.clone(), b.clone(), present.clone())
    expect(not isinstance(got, torch.Tensor) or got.shape != want.shape or not got[3].isnan().any(),
           "Where nothing is there, you divide zero by zero: no vote means logits of zero, which is chance.")
    tensor(got, want.shape, torch.float32)
    expect(not same(got, (a + b) / 2), "You use the answer of a modality that is not there: look at `present`.")
    halved = (a * present[:, :1] + b * present[:, 1:]) / 2
    expect(not same(got, halved), "What is left alone counts half: divide by the number that is there, not by two.")
    expect(not same(got, halved * 2), "This is the sum: the mean of two logits is half of it.")
    swapped = torch.stack([(x * q + y * p) / max(1, int(p) + int(q)) for x, y, (p, q) in zip(a, b, present)])
    expect(not same(got, swapped), "Present has the first modality in column 0: the two have changed places.")
    close(got, want, "The mean of the answers that are there is another.")


@exercise("22.3", points=3)
def low_rank(answer):
    takes(answer, "a", "b", "U", "V", "W")
    batch, width, other, rank, outputs = 3, 4, 5, 3, 2
    a, b = torch.randn(batch, width), torch.randn(batch, other)
    U, V, W = torch.randn(rank, width), torch.randn(rank, other), torch.randn(outputs, rank)
    full = [sum(W[k, r] * torch.outer(U[r], V[r]) for r in range(rank)) for k in range(outputs)]
    want = torch.stack([torch.stack([x @ matrix @ y for matrix in full]) for x, y in zip(a, b)])
    got = answer(a, b, U, V, W)
    tensor(got, want.shape, torch.float32)
    expect(not same(got, (a @ U.T + b @ V.T) @ W.T, 1e-4), "The two are added: that is early fusion by a sum. Multiply "
                                                           "them.")
    expect(not same(got, (a @ U.T * (a @ U.T)) @ W.T, 1e-4), "The first modality is multiplied with itself: where is b?")
    expect(not same(got, (b @ V.T * (b @ V.T)) @ W.T, 1e-4), "The second modality is multiplied with itself: where is a?")
    dot = (a @ U.T * (b @ V.T)).sum(1, keepdim=True)
    expect(not same(got, dot * W.sum(1), 1e-4), "You sum over the rank before W: each of the products has a weight of "
                                                "its own.")
    expect(not same(got, (a @ U.T).relu() * (b @ V.T).relu() @ W.T, 1e-4), "No activation is asked for: bilinear means "
                                                                           "linear in "
                                                                            "each of the two.")
    close(got, want, "The logits are not a M b with the full matrices.", 1e-4)


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
    close(got, want, "The logits are not those of picture and words side by side.", 1e-4)


@exercise("22.5", points=3)
def step(answer):
    takes(answer, "a", "b", "labels", "U", "V", "W", "rate")
    a, b, labels = torch.randn(8, 4), torch.randn(8, 5), torch.randint(2, (8,))
    before = [torch.randn(3, 4), torch.randn(3, 5), torch.randn(2, 3)]
    leaves = [value.clone().requires_grad_() for value in before]
    U, V, W = leaves
    loss = F.cross_entropy(torch.einsum("bd,rd,be,re,kr->bk", a, U, b, V, W), labels)
    moves = torch.autograd.grad(loss, leaves)
    got = answer(a, b, labels, *(value.clone() for value in before), 0.1)
    expect(isinstance(got, (tuple, list)) and len(got) == 3, "Return three tensors: the new U, V and W.")
    for name, new, old, move in zip("UVW", got, before, moves):
        tensor(new, old.shape, torch.float32, name)
        expect(not same(new, old, 1e-7), f"{name} has not moved: no gradient reaches it.")
        expect(not same(new, old + 0.1 * move), f"{name} went up the slope: subtract the gradient.")
        expect(not same(new, old - 0.8 * move), "The gradient is that of the summed loss: losses are means here.")
        close(new, old - 0.1 * move, f"{name} is not where one step leads.")


def _signs(count, u, v):
    """Noisy features of two modalities whose hidden signs are equal (label 1) or not (label 0)."""
    left, right = (torch.randint(2, (count,)) * 2.0 - 1 for _ in range(2))
    return (left[:, None] * u + 0.5 * torch.randn(count, 8), right[:, None] * v + 0.5 * torch.randn(count, 8),
            (left == right).long())


@exercise("22.6", points=4)
def learn(answer):
    takes(answer, "a", "b", "labels", "new_a", "new_b")
    u, v = (F.normalize(torch.randn(8), dim=0) for _ in range(2))
    a, b, labels = _signs(80, u, v)
    new_a, new_b, truth = _signs(2000, u, v)
    got = answer(a.clone(), b.clone(), labels.clone(), new_a.clone(), new_b.clone())
    tensor(got, truth.shape, torch.int64, "The guesses")
    score = (got == truth).float().mean().item()
    print(f"{score:.1%} of 2,000 new pairs are right (target: 90%; chance: 50%).")
    expect(score > 0.57, "This is near chance: an answer that adds up what each modality says cannot do it. Multiply them.")
    expect(score >= 0.9, "Better than chance, but it also learns the noise: products of features are 64 unknowns, and "
                         "there are "
                         "80 pairs. Keep their weights small, or their matrix at rank 1.")
