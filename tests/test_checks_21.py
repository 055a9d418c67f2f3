"""The checks of lesson 21 against right and wrong answers: every mistake meets the hint that names it."""

import math

import prove
import torch
import torch.nn.functional as F

from mmcourse import zoo
from mmcourse.models.vit import KINDS

RIGHT = {"blind": math.log(256), "alone": math.log1p(math.exp(-2)), "twins": math.log(2), "scale": math.exp(3),
         "pairs": 1024, "bag": False}


def loss(exp=True, ways=(0, 1), mean=True, unit=(1, 1), scale=lambda c: c):
    def clip_loss(pictures, texts, log_scale):
        a, b = (F.normalize(x, dim=dim) if dim is not None else x for x, dim in zip((pictures, texts), unit))
        scores = scale(log_scale.exp() if exp else log_scale) * a @ b.T
        own = torch.arange(len(scores))
        total = sum(F.cross_entropy(scores.T if way else scores, own) for way in ways)
        return total / len(ways) if mean else total
    return clip_loss


def by_masks(fits):
    """Each true pair gets 0, each false one minus infinity, and torch does the rest."""
    scores = torch.zeros(len(fits), len(fits)).masked_fill(~fits, -torch.inf)
    own = torch.arange(len(fits))
    return (F.cross_entropy(scores, own) + F.cross_entropy(scores.mT, own)) / 2


def classes(first=True, last=True, pick=lambda x: x.mean(1)):
    def ensemble(pictures, prompts):
        vectors = pick(F.normalize(prompts, dim=-1) if first else prompts)
        return (pictures @ (F.normalize(vectors, dim=-1) if last else vectors).T).argmax(-1)
    return ensemble


def nearest_prompt(ways):
    def ensemble(pictures, prompts):
        return (pictures @ F.normalize(prompts.flatten(0, 1), dim=-1).T).argmax(-1) // (prompts.shape[1] if ways else 1)
    return ensemble


def recall(least=lambda hits, right: hits.any(1), more=0, largest=True, turn=False):
    def recall_at(scores, right, k):
        if turn:
            scores, right = scores.T, right.T
        best = scores.topk(min(k + more, scores.shape[1]), dim=1, largest=largest).indices
        return least(right.gather(1, best), right).double().mean().item()
    return recall_at


def sorted_recall(scores, right, k):
    places = scores.argsort(1, descending=True).argsort(1)       # the rank of each answer
    return sum(bool((row < k)[truth].any()) for row, truth in zip(places, right)) / len(scores)


def cosines(looks, form="a {} {}"):
    return looks @ zoo.load("clip").cpu().read_all([form.format(*kind) for kind in KINDS]).T


def two_best(looks):
    found = cosines(looks)
    return torch.zeros(found.shape, dtype=torch.bool).scatter(1, found.topk(2).indices, True)


CORRECT = {
    "21.1": [lambda: dict(RIGHT), lambda: {**RIGHT, "blind": 5.545, "alone": 0.127, "twins": 0.693, "scale": 20.1, "bag": 0}],
    "21.2": [by_masks, lambda f: (f.sum(0).log().mean() + f.sum(1).log().mean()) / 2],
    "21.3": [classes(), lambda p, q: torch.einsum("nd,kd->nk", p, F.normalize(F.normalize(q, dim=2).sum(1), dim=1)).max(1)[1]],
    "21.4": [recall(), sorted_recall],
    "21.5": [loss(), lambda p, t, s: loss()(t, p, s)],
    "21.6": [lambda looks: cosines(looks) > 0.28, lambda looks: cosines(looks).gt(0.3)],
}

WRONG = [
    ("21.1", "logarithm to base 2", lambda: {**RIGHT, "blind": 8}),
    ("21.1", "cannot reach 1", lambda: {**RIGHT, "alone": 0}),
    ("21.1", "farther away", lambda: {**RIGHT, "alone": math.log1p(math.exp(-1))}),
    ("21.1", "nobody can say", lambda: {**RIGHT, "twins": 0.0}),
    ("21.1", "a guess among four", lambda: {**RIGHT, "twins": math.log(4)}),
    ("21.1", "logarithm of the scale", lambda: {**RIGHT, "scale": 3.0}),
    ("21.1", "whose answer is yes", lambda: {**RIGHT, "pairs": 32}),
    ("21.1", "the same words", lambda: {**RIGHT, "bag": True}),
    ("21.1", "exactly the keys", lambda: {"blind": 1.0}),
    ("21.2", "blind guess", lambda f: torch.tensor(math.log(len(f)))),
    ("21.2", "A floor of 0", lambda f: torch.tensor(0.0)),
    ("21.2", "Only the rows", lambda f: f.sum(1).log().mean()),
    ("21.2", "Only the columns", lambda f: f.sum(0).log().mean()),
    ("21.2", "are added", lambda f: f.sum(0).log().mean() + f.sum(1).log().mean()),
    ("21.2", "before the logarithm", lambda f: f.sum(1).float().mean().log()),
    ("21.2", "own sentence is not counted", lambda f: ((f.sum(0) - 1).clamp(min=1).log().mean()
                                                       + (f.sum(1) - 1).clamp(min=1).log().mean()) / 2),
    ("21.2", "should have the shape", lambda f: f.sum(0).log()),
    ("21.2", "should score minus infinity", lambda f: (F.cross_entropy(f.float(), torch.arange(len(f)))
                                                       + F.cross_entropy(f.T.float(), torch.arange(len(f)))) / 2),
    ("21.2", "in bits", lambda f: by_masks(f) / math.log(2)),
    ("21.2", "sum over the batch", lambda f: by_masks(f) * len(f)),
    ("21.2", "score alike, the loss is", lambda f: -by_masks(f)),
    ("21.3", "dim=-1", lambda p, q: (p @ F.normalize(F.normalize(q).mean(1), dim=-1).T).argmax(-1)),
    ("21.3", "largest cosine", lambda p, q: (classes()(p, q) + (torch.arange(len(p)) == 7)) % len(q)),
    ("21.3", "means are not brought to length 1", classes(last=False)),
    ("21.3", "before the mean", classes(first=False)),
    ("21.3", "No vector was brought", classes(first=False, last=False)),
    ("21.3", "Only the first prompt", classes(pick=lambda x: x[:, 0])),
    ("21.3", "not of classes", nearest_prompt(False)),
    ("21.3", "nearest single prompt", nearest_prompt(True)),
    ("21.3", "should have the shape", lambda p, q: p @ F.normalize(q, dim=-1).mean(1).T),
    ("21.4", "Only the best answer", lambda s, r, k: recall()(s, r, 1)),
    ("21.4", "k smallest", recall(largest=False)),
    ("21.4", "not all of them", recall(lambda hits, right: hits.sum(1) == right.sum(1))),
    ("21.4", "One answer too many", recall(more=1)),
    ("21.4", "One answer too few", recall(more=-1)),
    ("21.4", "precision at k", recall(lambda hits, right: hits.double())),
    ("21.4", "counts fully", recall(lambda hits, right: hits.sum(1) / right.sum(1))),
    ("21.4", "columns were searched", recall(turn=True)),
    ("21.4", "one of them is enough", recall(lambda hits, right: hits.all(1))),
    ("21.4", "The share is", lambda s, r, k: round(recall()(s, r, k), 2)),
    ("21.4", "The share is", lambda s, r, k: (((s * r).amax(1, keepdim=True) < s).sum(1) < k).double().mean().item()),
    ("21.4", "The share is", lambda s, r, k: r[:, :k].any(1).double().mean().item()),
    ("21.4", "is a count", lambda s, r, k: round(recall()(s, r, k) * len(s))),
    ("21.4", "does the function end with a return", lambda s, r, k: None),
    ("21.4", "at most 1", lambda s, r, k: r.sum().item() / 10.0),
    ("21.4", "Python number", lambda s, r, k: torch.tensor(0.5)),
    ("21.5", "Both bugs", loss(exp=False, ways=(0,))),
    ("21.5", "exp is missing", loss(exp=False)),
    ("21.5", "Only the pictures ask", loss(ways=(0,))),
    ("21.5", "Only the sentences ask", loss(ways=(1,))),
    ("21.5", "are added", loss(mean=False)),
    ("21.5", "divided by the scale", loss(scale=lambda c: 1 / c)),
    ("21.5", "scale is not used", loss(scale=lambda c: 1)),
    ("21.5", "not brought to length 1", loss(unit=(None, None))),
    ("21.5", "along the batch", loss(unit=(0, 0))),
    ("21.5", "along the batch", loss(unit=(1, 0))),
    ("21.5", "Only one side", loss(unit=(1, None))),
    ("21.5", "No gradient reaches log_scale", lambda p, t, s: loss()(p, t, s.detach())),
    ("21.5", "No gradient reaches texts", lambda p, t, s: loss()(p, t.detach(), s)),
    ("21.5", "No gradient reaches pictures", lambda p, t, s: loss()(p, t, s).detach()),
    ("21.5", "The loss of CLIP is", lambda p, t, s: loss()(p, t, s) + 0.01),
    ("21.6", "Nothing is said", lambda looks: cosines(looks) > 2),
    ("21.6", "Everything is said", lambda looks: cosines(looks) > -2),
    ("21.6", "same number of kinds", two_best),
    ("21.6", "too many kinds", lambda looks: cosines(looks) > 0.18),
    ("21.6", "too few kinds", lambda looks: cosines(looks) > 0.35),
    ("21.6", "by shapes first", lambda looks: (cosines(looks) > 0.28).view(-1, 6, 4).mT.flatten(1)),
    ("21.6", "should be bool", lambda looks: (cosines(looks) > 0.28).float()),
]

test_right_answers_written_otherwise_pass, test_every_mistake_meets_its_hint = prove.tests_of(CORRECT, WRONG)
