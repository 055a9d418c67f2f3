"""The checks of lesson 22 against right and wrong answers: every mistake meets the hint that names it."""

import torch
import torch.nn.functional as F

import prove

RIGHT = {"cells": 3, "loss": 0.693, "joined": 128, "rows": 64, "weights": 8192, "best": 0.75}


def mean_of_present(a, b, present):
    both = torch.stack([a, b], 1) * present[..., None]
    return both.sum(1) / present.sum(1, keepdim=True).clamp(min=1)


def by_loops(a, b, present):
    rows = []
    for x, y, (p, q) in zip(a, b, present.tolist()):
        there = [logits for logits, here in ((x, p), (y, q)) if here]
        rows.append(sum(there) / len(there) if there else torch.zeros_like(x))
    return torch.stack(rows)


def joined(a, b, weight, first=lambda a, b: torch.cat([a, b], 1), normal=lambda x: F.normalize(x, dim=-1)):
    return first(normal(a), normal(b)) @ weight.T


def rows_below(x, y):
    return torch.cat([x, y], 0).reshape(len(x), -1)


def descend(grow=1.0, moved="UVW", reduction="mean"):
    def step(a, b, labels, U, V, W, rate):
        leaves = {"U": U.requires_grad_(), "V": V.requires_grad_(), "W": W.requires_grad_()}
        logits = ((a @ U.T) * (b @ V.T)) @ W.T
        moves = torch.autograd.grad(F.cross_entropy(logits, labels, reduction=reduction), list(leaves.values()))
        return [(value - grow * rate * move if name in moved else value).detach()
                for (name, value), move in zip(leaves.items(), moves)]
    return step


def by_backward(a, b, labels, U, V, W, rate):
    leaves = [torch.nn.Parameter(value) for value in (U, V, W)]
    optimizer = torch.optim.SGD(leaves, lr=rate)
    F.cross_entropy(((a @ leaves[0].T) * (b @ leaves[1].T)) @ leaves[2].T, labels).backward()
    optimizer.step()
    return tuple(value.detach() for value in leaves)


def products(strength):
    def learn(a, b, labels, new_a, new_b):
        x, new = (torch.einsum("bd,be->bde", *pair).flatten(1) for pair in ((a, b), (new_a, new_b)))
        rule = torch.linalg.solve(x.T @ x + strength * torch.eye(64), x.T @ (labels * 2.0 - 1))
        return (new @ rule > 0).long()
    return learn


def additive(a, b, labels, new_a, new_b):
    known, new = torch.cat([a, b], 1), torch.cat([new_a, new_b], 1)
    return (new @ torch.linalg.lstsq(known, labels * 2.0 - 1).solution > 0).long()


def neighbours(a, b, labels, new_a, new_b, k=11):
    far = torch.cdist(torch.cat([new_a, new_b], 1), torch.cat([a, b], 1))
    return (labels[far.topk(k, largest=False).indices].float().mean(1) > 0.5).long()


CORRECT = {                                                   # written otherwise than the course's solutions
    "22.1": [lambda: dict(RIGHT), lambda: {**RIGHT, "loss": 0.6931}],
    "22.2": [mean_of_present, by_loops],
    "22.3": [lambda a, b, U, V, W: (a @ U.T * (b @ V.T)) @ W.T,
             lambda a, b, U, V, W: torch.stack([((a @ u) * (b @ v))[:, None] * w for u, v, w in zip(U, V, W.T)]).sum(0)],
    "22.4": [joined, lambda a, b, w: sum(F.normalize(x, dim=1) @ part.T for x, part in zip((a, b), w.chunk(2, dim=1)))],
    "22.5": [descend(), by_backward],
    "22.6": [products(100.0)],
}

WRONG = [
    ("22.1", "rules out", lambda: {**RIGHT, "cells": 4}),
    ("22.1", "natural logarithm", lambda: {**RIGHT, "loss": 0.5}),
    ("22.1", "Give three digits", lambda: {**RIGHT, "loss": 0.69}),
    ("22.1", "that is for one answer", lambda: {**RIGHT, "weights": 4096}),
    ("22.1", "feature i meets feature i only", lambda: {**RIGHT, "weights": 128}),
    ("22.1", "not in percent", lambda: {**RIGHT, "best": 75}),
    ("22.1", "both sets of features", lambda: {**RIGHT, "joined": 64}),
    ("22.1", "axis 0 is the batch", lambda: {**RIGHT, "rows": 32}),
    ("22.1", "multiplies each with each", lambda: {**RIGHT, "weights": 256}),
    ("22.1", "does not mean right half", lambda: {**RIGHT, "best": 0.5}),
    ("22.2", "divide zero by zero", lambda a, b, p: (torch.stack([a, b], 1) * p[..., None]).sum(1) / p.sum(1, keepdim=True)),
    ("22.2", "that is not there", lambda a, b, p: (a + b) / 2),
    ("22.2", "alone counts half", lambda a, b, p: (a * p[:, :1] + b * p[:, 1:]) / 2),
    ("22.2", "This is the sum", lambda a, b, p: a * p[:, :1] + b * p[:, 1:]),
    ("22.2", "if the other is", lambda a, b, p: (a + b) / 2 * p.any(1, keepdim=True)),
    ("22.2", "should be zeros", lambda a, b, p: torch.where(p.any(1, keepdim=True), mean_of_present(a, b, p), (a + b) / 2)),
    ("22.2", "take the first alone", lambda a, b, p: torch.where(p[:, :1], a, b * p[:, 1:])),
    ("22.2", "not the mean", lambda a, b, p: mean_of_present(a, b, p) * 1.01),
    ("22.2", "should have the shape", lambda a, b, p: mean_of_present(a, b, p).squeeze(0)),
    ("22.2", "changed places", lambda a, b, p: mean_of_present(a, b, p.flip(1))),
    ("22.3", "The two are added", lambda a, b, U, V, W: (a @ U.T + b @ V.T) @ W.T),
    ("22.3", "where is b", lambda a, b, U, V, W: ((a @ U.T) * (a @ U.T)) @ W.T),
    ("22.3", "You sum over the rank", lambda a, b, U, V, W: ((a @ U.T) * (b @ V.T)).sum(1, keepdim=True) * W.sum(1)),
    ("22.3", "should have the shape", lambda a, b, U, V, W: (a @ U.T) * (b @ V.T)),
    ("22.3", "a single pair", lambda a, b, U, V, W: ((a @ U.T * (b @ V.T)) @ W.T).squeeze()),
    ("22.4", "a single pair", lambda a, b, w: joined(a, b, w).squeeze()),
    ("22.4", "twice as many rows", lambda a, b, w: joined(a, b, w[:, :a.shape[1]], lambda x, y: torch.cat([x, y], 0))),
    ("22.4", "Nothing has changed yet", lambda a, b, w: joined(a, a, w, rows_below)),
    ("22.4", "depends on other pairs", lambda a, b, w: joined(a, b, w, rows_below)),
    ("22.4", "fused with itself", lambda a, b, w: joined(a, a, w)),
    ("22.4", "words stand first", lambda a, b, w: joined(b, a, w)),
    ("22.4", "The words are not scaled", lambda a, b, w: torch.cat([F.normalize(a, dim=1), b], 1) @ w.T),
    ("22.4", "The picture is not scaled", lambda a, b, w: torch.cat([a, F.normalize(b, dim=1)], 1) @ w.T),
    ("22.4", "where is the picture", lambda a, b, w: joined(b, b, w)),
    ("22.4", "over the batch", lambda a, b, w: joined(a, b, w, normal=lambda x: F.normalize(x, dim=0))),
    ("22.4", "scaled together", lambda a, b, w: F.normalize(torch.cat([a, b], 1), dim=1) @ w.T),
    ("22.4", "alternate", lambda a, b, w: joined(a, b, w, lambda x, y: torch.stack([x, y], -1).flatten(1))),
    ("22.4", "no longer made one", lambda a, b, w: joined(a, b, w, normal=lambda x: x)),
    ("22.5", "U has not moved", descend(moved="W")),
    ("22.5", "V has not moved", descend(moved="UW")),
    ("22.5", "up the slope", descend(grow=-1.0)),
    ("22.5", "by the whole gradient", lambda *given: descend()(*given[:-1], 1.0)),
    ("22.5", "not where one step leads", lambda *given: descend()(*given[:-1], 0.1)),
    ("22.5", "summed loss", descend(reduction="sum")),
    ("22.6", "adds up what each modality says", additive),
    ("22.6", "adds up what each modality says", lambda a, b, y, new_a, new_b: torch.zeros(len(new_a), dtype=torch.int64)),
    ("22.6", "also learns the noise", products(1e-3)),
    ("22.6", "also learns the noise", neighbours),
    ("22.6", "Turned around", lambda *given: 1 - products(100.0)(*given)),
    ("22.6", "Guesses are 0 or 1", lambda *given: 2 * products(100.0)(*given) - 1),
    ("22.6", "should be int64", lambda a, b, y, new_a, new_b: new_a[:, 0]),
]

test_right_answers_written_otherwise_pass, test_every_mistake_meets_its_hint = prove.tests_of(CORRECT, WRONG)
