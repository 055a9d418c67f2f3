"""The checks of lesson 12 against right and wrong answers: every mistake meets the hint that names it."""

import math

import prove
import torch
import torch.nn.functional as F


RIGHT = {"block": 49152, "share": 0.667, "reads": [1, 8, 5, 9], "first_loss": 3.91, "order": False, "passes": 1}


def turned(x, places, pairs="neighbors", sign=1, exponent=2, count=False, merge=True):
    """Rotary positions with one thing done wrong."""
    width = x.shape[-1]
    places = torch.arange(len(places)) if count else places
    angles = sign * places[:, None] * 10000.0 ** (-exponent * torch.arange(width // 2) / width)
    cos, sin = angles.cos(), angles.sin()
    a, b = (x[..., ::2], x[..., 1::2]) if pairs == "neighbors" else x.chunk(2, -1)
    one, two = a * cos - b * sin, a * sin + b * cos
    together = torch.stack([one, two], -1).flatten(-2)
    return together if pairs == "neighbors" and merge else torch.cat([one, two], -1)


def rotation_matrices(x, places):
    """The same by a (T, d, d) matrix with 2 x 2 turns on its diagonal."""
    width = x.shape[-1]
    blocks = []
    for p in places.tolist():
        parts = [torch.tensor([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]])
                 for a in (p / 10000 ** (2 * i / width) for i in range(width // 2))]
        blocks.append(torch.block_diag(*parts))
    return torch.einsum("btd,tde->bte", x, torch.stack(blocks))


def changed_in_place(x, places):
    angles = places[:, None] * 10000.0 ** (-2 * torch.arange(x.shape[-1] // 2) / x.shape[-1])
    x[..., ::2] = x[..., ::2] * angles.cos() - x[..., 1::2] * angles.sin()
    x[..., 1::2] = x[..., ::2] * angles.sin() + x[..., 1::2] * angles.cos()
    return x


def blocks(x, attend, think, norm1, norm2, norm_first):
    if norm_first:
        middle = attend(norm1(x)) + x
        return think(norm2(middle)) + middle
    middle = norm1(attend(x) + x)
    return norm2(think(middle) + middle)


def normed_stream(x, attend, think, norm1, norm2, norm_first):
    if not norm_first:
        return blocks(x, attend, think, norm1, norm2, False)
    x = norm1(x)
    x = x + attend(x)
    x = norm2(x)
    return x + think(x)


def first_x(x, attend, think, norm1, norm2, norm_first):
    if not norm_first:
        return norm2(x + think(norm1(x + attend(x))))
    return x + think(norm2(x + attend(norm1(x))))


def no_residual(x, attend, think, norm1, norm2, norm_first):
    return think(norm2(attend(norm1(x)))) if norm_first else norm2(think(norm1(attend(x))))


def one_norm(x, attend, think, norm1, norm2, norm_first):
    return blocks(x, attend, think, norm1, norm2 if not norm_first else lambda y: y, norm_first)


def each(logits, target):
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none").view(target.shape)


def loops(logits, target):
    values = [-logits[b, t].log_softmax(-1)[target[b, t]]
              for b in range(len(target)) for t in range(target.shape[1]) if target[b, t] != 0]
    return torch.stack(values).mean()


def row_means(logits, target):
    return torch.stack([each(logits, target)[b][target[b] != 0].mean() for b in range(len(target))]).mean()


def shifted(logits, target):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), target[:, 1:].flatten(), ignore_index=0)


def writer(guess, start, longest, stop="all", fill=True, cut=True, last=True, extra=0, keep_end=True):
    """Greedy writing with one thing done wrong."""
    text, done = start[:, None], torch.zeros(len(start), dtype=torch.bool)
    for _ in range(longest + extra):
        logits = guess(text)
        word = (logits[:, -1] if last else logits[:, 0]).argmax(-1)
        word = torch.where(done, 0, word) if fill else word
        text, done = torch.cat([text, word[:, None]], 1), done | (word == 2)
        if stop == "all" and done.all() or stop == "any" and done.any():
            break
    text = text if keep_end else text.masked_fill(text == 2, 0)
    return text[:, 1:] if cut else text


def row_by_row(guess, start, longest):
    rows = []
    for b in range(len(start)):
        text = start[:, None].clone()
        while text.shape[1] <= longest and (text.shape[1] == 1 or text[b, -1] != 2):
            text = torch.cat([text, guess(text)[:, -1].argmax(-1, keepdim=True)], 1)
        rows.append(text[b, 1:])
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def one_at_a_time(guess, start, longest):
    """Each row is asked alone."""
    rows = [row_by_row(guess, start[b:b + 1], longest)[0] for b in range(len(start))]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def turn_waves(d_model, back, loud=60.0, sign=1):
    rates = 10000.0 ** (-torch.arange(0, d_model, 2) / d_model)
    parts = [torch.tensor([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]]) for a in (sign * back * rates).tolist()]
    return torch.eye(d_model), loud * torch.block_diag(*parts)           # the keys turn ahead, the queries stay


CORRECT = {                                                   # written otherwise than the course's solutions
    "12.1": [lambda: dict(RIGHT), lambda: {**RIGHT, "reads": (1, 8, 5, 9), "first_loss": math.log(50), "order": 0},
             lambda: {**RIGHT, "first_loss": torch.tensor(50.0).log()}],
    "12.2": [turned, rotation_matrices],
    "12.3": [blocks],
    "12.4": [loops, lambda logits, target: F.cross_entropy(logits.mT, target, ignore_index=0),
             lambda logits, target: F.cross_entropy(logits.flatten(0, 1), target.masked_fill_(target == 0, -100).flatten())],
    "12.5": [writer, row_by_row, one_at_a_time],
    "12.6": [turn_waves, lambda d, back: turn_waves(d, back, 200.0)],
}

WRONG = [
    ("12.1", "one of the two parts alone", lambda: {**RIGHT, "block": 16384}),
    ("12.1", "count D × D", lambda: {**RIGHT, "block": 12 * 64}),
    ("12.1", "share of attention", lambda: {**RIGHT, "share": 1 / 3}),
    ("12.1", "no shift at all", lambda: {**RIGHT, "reads": [8, 5, 9, 2]}),
    ("12.1", "shifted twice", lambda: {**RIGHT, "reads": [1, 1, 8, 5]}),
    ("12.1", "wrong side", lambda: {**RIGHT, "reads": [5, 9, 2]}),
    ("12.1", "as long as the target", lambda: {**RIGHT, "reads": [1, 8, 5, 9, 2]}),
    ("12.1", "in bits", lambda: {**RIGHT, "first_loss": math.log2(50)}),
    ("12.1", "undecided model", lambda: {**RIGHT, "first_loss": 0.02}),
    ("12.1", "same bag of words", lambda: {**RIGHT, "order": True}),
    ("12.1", "word by word", lambda: {**RIGHT, "passes": 12}),
    ("12.1", "exactly the keys", lambda: {"block": 49152}),
    ("12.1", "should be a list", lambda: {**RIGHT, "reads": 1}),
    ("12.2", "as in Llama", lambda x, places: turned(x, places, "halves")),
    ("12.2", "wrong way round", lambda x, places: turned(x, places, sign=-1)),
    ("12.2", "counted 0, 1, 2", lambda x, places: turned(x, places, count=True)),
    ("12.2", "fall too slowly", lambda x, places: turned(x, places, exponent=1)),
    ("12.2", "by the same angle", lambda x, places: turned(x, places, exponent=0)),
    ("12.2", "in another order", lambda x, places: turned(x, places, merge=False)),
    ("12.2", "keeps the length", changed_in_place),
    ("12.2", "should be float32", lambda x, places: turned(x.double(), places)),
    ("12.2", "should take (x, places)", lambda x: x),
    ("12.3", "the two are exchanged", lambda x, a, t, n, m, first: blocks(x, a, t, n, m, not first)),
    ("12.3", "norms are exchanged", lambda x, a, t, n, m, first: blocks(x, a, t, m, n, first)),
    ("12.3", "the residual is missing", no_residual),
    ("12.3", "the x that came in", first_x),
    ("12.3", "stream itself was normalized", normed_stream),
    ("12.3", "norm2 is not used", one_norm),
    ("12.3", "second residual is missing", lambda x, a, t, n, m, first: (
        (lambda y: t(m(y)))(x + a(n(x))) if first else (lambda y: m(t(y)))(n(x + a(x))))),
    ("12.3", "first residual is missing", lambda x, a, t, n, m, first: (
        (lambda y: y + t(m(y)))(a(n(x))) if first else (lambda y: m(y + t(y)))(n(a(x))))),
    ("12.3", "attention comes first", lambda x, a, t, n, m, first: (
        (lambda y: y + a(n(y)))(x + t(m(x))) if first else (lambda y: n(y + a(y)))(m(x + t(x))))),
    ("12.3", "attention is used twice", lambda x, a, t, n, m, first: blocks(x, a, a if first else t, n, m, first)),
    ("12.4", "It still shifts", shifted),
    ("12.4", "number of all places", lambda logits, target: (each(logits, target) * (target != 0)).mean()),
    ("12.4", "Padding is learned", lambda logits, target: each(logits, target).mean()),
    ("12.4", "END is left out", lambda logits, target: each(logits, target)[target > 2].mean()),
    ("12.4", "number of rows", lambda logits, target: each(logits, target)[target != 0].sum() / len(target)),
    ("12.4", "This is the sum", lambda logits, target: each(logits, target)[target != 0].sum()),
    ("12.4", "mean of the rows' means", row_means),
    ("12.4", "A softmax before", lambda logits, target: F.cross_entropy(logits.softmax(-1).mT, target, ignore_index=0)),
    ("12.4", "should have the shape ()", lambda logits, target: each(logits, target)),
    ("12.5", "start words are not part", lambda g, s, n: writer(g, s, n, cut=False)),
    ("12.5", "as soon as one row has ended", lambda g, s, n: writer(g, s, n, stop="any")),
    ("12.5", "END is missing", lambda g, s, n: writer(g, s, n, keep_end=False)),
    ("12.5", "does not stop at END", lambda g, s, n: writer(g, s, n, stop="never", fill=False)),
    ("12.5", "as short as possible", lambda g, s, n: writer(g, s, n, stop="never")),
    ("12.5", "must hold only PAD", lambda g, s, n: writer(g, s, n, fill=False)),
    ("12.5", "must hold only PAD", lambda g, s, n: (lambda t: torch.where((t == 0), 2, t))(writer(g, s, n))),
    ("12.5", "hand the start words", lambda g, s, n: writer(g, torch.ones_like(s), n)),
    ("12.5", "Row 2 should be", lambda g, s, n: (lambda t: torch.cat([t[:2], (t[2:3] > 2) * (11 - t[2:3]) + (t[2:3] == 2) * 2, t[3:]]))(
        writer(g, s, n))),
    ("12.5", "again and again", lambda g, s, n: writer(g, s, n, last=False)),
    ("12.5", "not the likeliest words",
     lambda g, s, n: writer(lambda text: g(text)[..., [0, 1, 2, 8, 7, 6, 5, 4, 3]], s, n)),
    ("12.5", "start word does not count", lambda g, s, n: writer(g, s, n, extra=-1)),
    ("12.5", "start word does not count", lambda g, s, n: writer(g, s, n, extra=1)),
    ("12.5", "hand the words chosen so far",
     lambda g, s, n: writer(lambda text: g(torch.cat([text[:, :1]] * text.shape[1], 1)), s, n)),
    ("12.5", "takes all words written", lambda g, s, n: writer(lambda text: g(text[:, -1]), s, n)),
    ("12.6", "its own place", lambda d, back: (100 * torch.eye(d), torch.eye(d))),
    ("12.6", "looks ahead", lambda d, back: turn_waves(d, back, sign=-1)),
    ("12.6", "becomes sharper", lambda d, back: turn_waves(d, back, 3.0)),
    ("12.6", "it is not read", lambda d, back: turn_waves(d, 3)),
    ("12.6", "it is not read", lambda d, back: turn_waves(d, 1)),
    ("12.6", "too far", lambda d, back: turn_waves(d, back + 1)),
    ("12.6", "some values of `back` only", lambda d, back: turn_waves(d, min(back, 3))),
    ("12.6", "Return two matrices", lambda d, back: torch.eye(d)),
]


test_right_answers_written_otherwise_pass, test_every_mistake_meets_its_hint = prove.tests_of(CORRECT, WRONG)
