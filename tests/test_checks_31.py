"""The checks of lesson 31 against right and wrong answers: every mistake meets the hint that names it."""

import prove
import torch
import torch.nn.functional as F

from mmcourse import world

RIGHT = {"first_loss": 3.40, "blind": 100, "biased": 0.63, "pairs": 0, "soft": 0.6, "order": False}


def targets(score):
    """Soft targets by a rule of count and total."""
    def soft_targets(people, answers):
        return torch.tensor([[float(score(said.count(word), len(said))) for word in answers] for said in people])
    return soft_targets


def official(count, total):
    return (count * min(1, (count - 1) / 3) + (total - count) * min(1, count / 3)) / total


def alike(rule):
    """Soft targets where answers count as equal by a rule."""
    def soft_targets(people, answers):
        return targets(official)([[next((word for word in answers if rule(word, one)), one) for one in said] for said in people], answers)
    return soft_targets


def commonest(people, answers):
    return torch.tensor([[float(said.count(word) == max(map(said.count, answers))) for word in answers] for said in people])


def cam(score=lambda z: z.max(1).values, weigh=lambda g: g.mean(1, keepdim=True), end=lambda m: m.relu(), keep=False):
    """Grad-CAM with one thing done otherwise."""
    def grad_cam(tokens, head):
        with torch.enable_grad():
            x = tokens.detach().clone().requires_grad_()
            (gradient,) = torch.autograd.grad(score(head(x)).sum(), x, create_graph=keep)
        maps = end((weigh(gradient) * (x if keep else x.detach())).sum(-1))
        return maps if keep else maps.detach()
    return grad_cam


def features(tokens, head):
    """Grad-CAM with negative values cut off before the sum."""
    with torch.enable_grad():
        x = tokens.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(head(x).amax(1).sum(), x)
    return (gradient.mean(1, keepdim=True) * tokens).relu().sum(-1)


def one_by_one(tokens, head):
    maps = []
    for one in tokens:
        jacobian = torch.autograd.functional.jacobian(lambda x: head(x[None])[0], one)               # (K, N, D)
        best = jacobian[head(one[None])[0].argmax()]
        maps.append(F.relu((best.mean(0) * one).sum(-1)))
    return torch.stack(maps).detach()


def per_picture(logits, answers):
    return torch.stack([F.cross_entropy(x, y, ignore_index=-1) for x, y in zip(logits, answers)]).mean()


def masked(logits, answers, twice=False):
    kept = answers >= 0
    return F.cross_entropy(logits.softmax(-1)[kept] if twice else logits[kept], answers[kept])


def looking(question=None, key=None, scale=lambda d: d ** 0.5, add=None, dim=-1):
    """The look of exercise 31.5 with one thing done otherwise."""
    def look(words, mask, cells):
        q = (question or mean)(words, mask)
        k = (key or (lambda q, cells: cells))(q, cells)
        weights = (q @ k.transpose(1, 2) / scale(q.shape[-1])).softmax(dim)
        return weights @ k + (add or (lambda q, words: q))(q, words)
    return look


def mean(words, mask):
    return words.masked_fill(~mask[..., None], 0).sum(2) / mask.sum(2)[..., None].clamp(min=1)


def by_the_library(words, mask, cells):
    q = torch.nan_to_num(words.masked_fill(~mask[..., None], float("nan")).nanmean(2))
    return q + F.scaled_dot_product_attention(q, cells, cells)


def reader(least=-2.0, swap=False, guess=True, turn=lambda x, y: (x, y), once=True):
    """Read the things from the report, with one thing done otherwise."""
    def read_and_reason(report, questions):
        parts = report.split((1, 1, 4, 6, 2, 2), -1)
        spec, rows = world.SPECS["standard"], []
        for b, asked in enumerate(questions):
            things = []
            for n in parts[0][b, :, 0].argsort(descending=True).tolist():
                if parts[0][b, n] < least:
                    break
                words = [spec.words(name)[parts[k][b, n].argmax()] for k, name in ((2, "shape"), (3, "color"), (4, "size"))]
                x, y = turn(*parts[5][b, n].clamp(0, 1).tolist()[::-1 if swap else 1])
                if once and any((x - one.x) ** 2 + (y - one.y) ** 2 < 0.1 ** 2 for one in things):
                    continue
                things.append(world.Object(*words, x=x, y=y))
            rows.append([answered(world.Scene(things), text, guess) for text in asked])
        return rows
    return read_and_reason


def answered(scene, text, guess):
    try:
        return world.answer(scene, text)
    except ValueError:
        return {"color": "blue", "shape": "star", "size": "small"}.get(next(
            (word for word in ("color", "shape", "size") if word in text), ""), "yes") if guess else ""


def blind(report, questions):
    guesses = {"color": "red", "shape": "circle", "size": "large", "many": "1"}
    return [["yes" if text.split()[0] in ("is", "are", "do") else next(guess for word, guess in guesses.items() if word in text)
             for text in asked] for asked in questions]


CORRECT = {                                                   # written otherwise than the course's solutions
    "31.1": [lambda: dict(RIGHT), lambda: {**RIGHT, "biased": 0.625, "first_loss": 3.4012, "pairs": 0.0}],
    "31.2": [targets(official)],
    "31.3": [cam(), one_by_one],
    "31.4": [masked, lambda z, y: F.cross_entropy(z.transpose(1, 2), y, ignore_index=-1)],
    "31.5": [looking(), by_the_library],
    "31.6": [reader()],
}

WRONG = [
    ("31.1", "base 10", lambda: {**RIGHT, "first_loss": 1.48}),
    ("31.1", "-ln of it", lambda: {**RIGHT, "first_loss": 0.03}),
    ("31.1", "How many of the 600", lambda: {**RIGHT, "blind": 1 / 6}),
    ("31.1", "between 0 and 1", lambda: {**RIGHT, "biased": 62.5}),
    ("31.1", "two answers", lambda: {**RIGHT, "blind": 300}),
    ("31.1", "balanced world", lambda: {**RIGHT, "biased": 0.25}),
    ("31.1", "is no share", lambda: {**RIGHT, "biased": 0.8}),
    ("31.1", "Can both be right", lambda: {**RIGHT, "pairs": 0.25}),
    ("31.1", "left out first", lambda: {**RIGHT, "soft": 0.67}),
    ("31.1", "does not know their order", lambda: {**RIGHT, "order": True}),
    ("31.1", "exactly the keys", lambda: {"blind": 100}),
    ("31.2", "shares of the people", targets(lambda c, n: c / n)),
    ("31.2", "leave each person out once", targets(lambda c, n: min(c / 3, 1))),
    ("31.2", "the `min` is missing", targets(lambda c, n: c / 3 * (n - 1) / n)),
    ("31.2", "Only the commonest", commonest),
    ("31.2", "write the mean itself", targets(lambda c, n: min(0.3 * c, 1))),
    ("31.2", "Only those who gave the answer", targets(lambda c, n: min(max(c - 1, 0) / 3, 1))),
    ("31.2", "'Red' and 'red ' are not", alike(lambda word, other: word == other.lower().strip())),
    ("31.2", "'Red' is not 'red'", alike(lambda word, other: word == other.lower())),
    ("31.2", "'red ' is not 'red'", alike(lambda word, other: word == other.strip())),
    ("31.2", "'dark red' is not", alike(lambda word, other: word in other)),
    ("31.2", "'re' is not 'red'", alike(lambda word, other: other in word)),
    ("31.2", "how they begin", alike(lambda word, other: other.startswith(word))),
    ("31.2", "should be float32", lambda p, a: targets(official)(p, a).double()),
    ("31.3", "still carries a gradient", cam(keep=True)),
    ("31.3", "speaks against", cam(end=lambda m: m)),
    ("31.3", "by abs", cam(end=lambda m: m.abs())),
    ("31.3", "its own gradient", cam(weigh=lambda g: g)),
    ("31.3", "all logits together", cam(score=lambda z: z)),
    ("31.3", "its own highest logit", cam(score=lambda z: z[:, z[0].argmax()])),
    ("31.3", "may be negative", cam(score=lambda z: z.gather(1, z.abs().argmax(1, keepdim=True)))),
    ("31.3", "Only one picture", cam(score=lambda z: z.max())),
    ("31.3", "do not take their mean", cam(score=lambda z: z.amax(1).mean())),
    ("31.3", "summed over the cells", cam(weigh=lambda g: g.sum(1, keepdim=True))),
    ("31.3", "cut off at 1", cam(end=lambda m: m.clamp(0, 1))),
    ("31.3", "zero everywhere", cam(end=lambda m: 0 * m)),
    ("31.3", "before the sum over the features", features),
    ("31.3", "not Grad-CAM's", cam(score=lambda z: z[:, 0])),
    ("31.3", "after the softmax", cam(score=lambda z: z.softmax(1).amax(1))),
    ("31.3", "averaged over the features", cam(weigh=lambda g: g.mean(2, keepdim=True))),
    ("31.3", "sum to one", cam(end=lambda m: m.relu() / m.relu().sum(1, keepdim=True).clamp(min=1e-9))),
    ("31.4", "still two softmaxes: F", lambda z, y: F.cross_entropy(z.softmax(-1).flatten(0, 1), y.clamp(min=0).flatten())),
    ("31.4", "Empty places are left out now", lambda z, y: masked(z, y, twice=True)),
    ("31.4", "clamp makes the first answer", lambda z, y: F.cross_entropy(z.flatten(0, 1), y.clamp(min=0).flatten())),
    ("31.4", "Answer 0 is a real answer", lambda z, y: F.cross_entropy(z[y > 0], y[y > 0])),
    ("31.4", "Answer 0 is a real answer", lambda z, y: F.cross_entropy(z.flatten(0, 1), y.clamp(min=0).flatten(), ignore_index=0)),
    ("31.4", "carries no gradient", lambda z, y: masked(z.detach(), y)),
    ("31.4", "sum over the questions", lambda z, y: masked(z, y) * (y >= 0).sum()),
    ("31.4", "divided by all places", lambda z, y: masked(z, y) * (y >= 0).float().mean()),
    ("31.4", "each picture's mean", per_picture),
    ("31.4", "sign is turned", lambda z, y: -masked(z, y)),
    ("31.4", "over the questions of a picture", lambda z, y: -z.log_softmax(1)[y >= 0].gather(-1, y[y >= 0][:, None]).mean()),
    ("31.4", "its logarithm is missing", lambda z, y: -z.softmax(-1)[y >= 0].gather(-1, y[y >= 0][:, None]).mean()),
    ("31.4", "without axes", lambda z, y: F.cross_entropy(z.flatten(0, 1), y.flatten(), ignore_index=-1, reduction="none")),
    ("31.5", "the picture plays no part", looking(lambda w, m: w.mean(2), key=lambda q, c: q)),
    ("31.5", "The words are right now, but", looking(key=lambda q, c: q)),
    ("31.5", "padding still counts as words", looking(lambda w, m: w.mean(2))),
    ("31.5", "divided by all places", looking(lambda w, m: (w * m[..., None]).mean(2))),
    ("31.5", "sum of the real words", looking(lambda w, m: (w * m[..., None]).sum(2))),
    ("31.5", "still looks at the cells", lambda w, m, c: looking()(w, m, c) * m.any(2)[..., None]),
    ("31.5", "Padding is still in the sum", looking(lambda w, m: w.sum(2) / m.sum(2)[..., None].clamp(min=1))),
    ("31.5", "There is NaN", looking(lambda w, m: (w * m[..., None]).sum(2) / m.sum(2)[..., None])),
    ("31.5", "not divided by the square root", looking(scale=lambda d: 1)),
    ("31.5", "its square root is asked for", looking(scale=lambda d: d)),
    ("31.5", "the sum is missing", looking(add=lambda q, words: 0)),
    ("31.5", "softmax goes over the questions", looking(dim=1)),
    ("31.5", "what is added to is not", looking(add=lambda q, words: words.mean(2))),
    ("31.6", "A blind model gets this far", blind),
    ("31.6", "worse than a blind guess", lambda r, q: [["red"] * 8 for _ in q]),
    ("31.6", "Something is read wrongly", reader(swap=True)),
    ("31.6", "Something is read wrongly", reader(turn=lambda x, y: (x, 1 - y))),
    ("31.6", "Nearly", reader(least=-3.0, once=False)),
    ("31.6", "each with an answer", lambda r, q: ["red"] * len(q)),
    ("31.6", "Every answer is a string", lambda r, q: [[1] * 8 for _ in q]),
]

test_right_answers_written_otherwise_pass, test_every_mistake_meets_its_hint = prove.tests_of(CORRECT, WRONG)
