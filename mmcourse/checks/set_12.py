"""Checks of lesson 12, the Transformer. Truth: torch's layers and losses, complex numbers, loops, arithmetic."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from mmcourse.checks import close, exercise, expect, mistakes, same, takes, tensor


@exercise("12.1", points=2)
def predictions(answer):
    takes(answer)
    got = answer()
    names = ("block", "share", "reads", "first_loss", "order", "passes")
    expect(isinstance(got, dict) and set(got) == set(names), f"Return a dict with exactly the keys {', '.join(names)}.")
    got = {name: value.item() if getattr(value, "ndim", None) == 0 else value for name, value in got.items()}
    for name in names:
        if name == "reads":
            expect(isinstance(got[name], (list, tuple)), f'"reads" should be a list of words, and is {got[name]!r}.')
        else:
            expect(isinstance(got[name], (int, float)), f'"{name}" should be a number (or True / False), '
                                                        f"and is {got[name]!r}.")

    def near(name, value, within=0.01):
        return abs(got[name] - value) <= within
    expect(not near("block", 4 * 64 ** 2) and not near("block", 8 * 64 ** 2),
           '"block": this is one of the two parts alone; a block has attention and a feed-forward network.')
    expect(near("block", 12 * 64 ** 2), '"block": count D × D matrices: four in attention, and the two of the feed-forward '
                                        "network are as large as four each.")
    expect(not near("share", 1 / 3), '"share": this is the share of attention.')
    expect(near("share", 2 / 3), '"share": of twelve D × D matrices, how many are in the feed-forward network?')
    reads = list(got["reads"])
    expect(reads != [8, 5, 9, 2], '"reads": this is no shift at all: the decoder would read the word that it should write.')
    expect(reads != [1, 1, 8, 5], '"reads": this is shifted twice: the word directly before the one to write would be missing.')
    expect(reads not in ([5, 9, 2], [5, 9, 2, 0]), '"reads": shifted to the wrong side: the decoder reads the past.')
    expect(reads != [1, 8, 5, 9, 2], '"reads": as long as the target: nothing is written after END, so END is not read.')
    expect(reads == [1, 8, 5, 9], '"reads": START, then all words of the target but the last.')
    expect(not near("first_loss", math.log2(50)), '"first_loss": this is in bits; nats use the natural logarithm.')
    expect(near("first_loss", math.log(50), 0.02), '"first_loss": an undecided model gives each word 1/50; the loss is minus '
                                                   "the natural logarithm of that.")
    expect(not got["order"], '"order": self-attention without positions is a weighted mean over the same bag of words.')
    expect(not near("passes", 12), '"passes": word by word is how it writes; in training it is given the true past of all '
                                   "places at once.")
    expect(near("passes", 1), '"passes": with the causal mask all places are learned in the same pass.')


def _turned(x, angles):
    """x (B, T, d) in neighboring pairs, turned by angles (T, d/2), by complex numbers."""
    pairs = torch.view_as_complex(x.double().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2).float()


@exercise("12.2", points=3)
def turn(answer):
    takes(answer, "x", "places")
    width = 2 * int(torch.randint(3, 9, ()))
    x, places = torch.randn(3, 5, width), torch.tensor([0.0, 7.0, -2.5, *torch.rand(2).mul(40).add(1).tolist()]).double()
    got = answer(x.clone(), places.float())
    tensor(got, x.shape, torch.float32)
    rates = 10000.0 ** (-torch.arange(0, width, 2).double() / width)
    angles = places[:, None] * rates
    half = torch.cat([x.view(3, 5, 2, -1).mT.reshape(x.shape)], -1)              # (a_i, b_i) = (x_i, x_{i + d/2})
    halves = _turned(half, angles).unflatten(-1, (-1, 2)).mT.flatten(-2)
    expect(not same(got, halves, 1e-3), "Number i is paired with number i + d/2, as in Llama: here neighbors, 2i and 2i + 1, "
                                        "form a pair.")
    expect(not same(got, _turned(x, -angles), 1e-3), "The pairs turn the wrong way round: look at the two signs again.")
    expect(not same(got, _turned(x, torch.arange(5).double()[:, None] * rates), 1e-3),
           "The places are counted 0, 1, 2, ...: use the ones that are given, which may be any numbers.")
    expect(not same(got, _turned(x, places[:, None] * 10000.0 ** (-torch.arange(width // 2).double() / width)), 1e-3),
           "The rates fall too slowly: pair i has the exponent 2i / d, so the exponents go from 0 nearly to 1.")
    expect(not same(got, _turned(x, places[:, None].expand(-1, width // 2)), 1e-3),
           "All pairs turn by the same angle: pair i is slower by 10000^(2i/d).")
    split = _turned(x, angles).unflatten(-1, (-1, 2)).mT.flatten(-2)
    expect(not same(got, split, 1e-3), "The turned numbers are right, but in another order: each pair goes back to its "
                                       "own two places, 2i and 2i + 1.")
    lengths = [y.unflatten(-1, (-1, 2)).norm(dim=-1) for y in (got, x)]
    expect(same(*lengths, 1e-3), "A turn keeps the length of every pair, and yours does not: is one of the four products "
                                 "computed from a number that was changed already, or has it the wrong sign?")
    close(got, _turned(x, angles), "The turned vectors are not right.", 1e-3)


def _layer(width, norm_first):
    """A TransformerEncoderLayer with random norms, and its four parts as functions."""
    layer = nn.TransformerEncoderLayer(width, 2, 2 * width, 0.0, "gelu", batch_first=True, norm_first=norm_first)
    with torch.no_grad():
        for norm in (layer.norm1, layer.norm2):
            norm.weight.uniform_(0.5, 2)
            norm.bias.normal_()

    def attend(y):
        return layer.self_attn(y, y, y, need_weights=False)[0]

    def think(y):
        return layer.linear2(F.gelu(layer.linear1(y)))
    return layer, attend, think, layer.norm1, layer.norm2


@exercise("12.3", points=3)
def block(answer):
    takes(answer, "x", "attend", "think", "norm1", "norm2", "norm_first")
    x = torch.randn(2, 5, 8)
    for first in (True, False):
        layer, attend, think, norm1, norm2 = _layer(8, first)
        with torch.no_grad():
            got = answer(x.clone(), attend, think, norm1, norm2, first)
            tensor(got, x.shape, torch.float32, f"The result for norm_first={first}")
            where = f"For norm_first={first}: "
            pre = x + attend(norm1(x))
            post = norm1(x + attend(x))
            other = norm2(post + think(post)) if first else pre + think(norm2(pre))
            expect(not same(got, other), where + "the two are exchanged: pre-norm normalizes what a part reads, post-norm "
                                                 "the sum.")
            swapped = x + attend(norm2(x)) if first else norm2(x + attend(x))
            swapped = swapped + think(norm1(swapped)) if first else norm1(swapped + think(swapped))
            expect(not same(got, swapped), where + "the two norms are exchanged: norm1 belongs to attention.")
            bare = think(norm2(attend(norm1(x)))) if first else norm2(think(norm1(attend(x))))
            expect(not same(got, bare), where + "the residual is missing: what a part computes is added to the stream.")
            alone = think(norm2(pre)) if first else norm2(think(post))
            expect(not same(got, alone), where + "the second residual is missing: what `think` computes is added to what it reads from.")
            early = attend(norm1(x)) if first else norm1(attend(x))
            early = early + think(norm2(early)) if first else norm2(early + think(early))
            expect(not same(got, early), where + "the first residual is missing: what `attend` computes is added to x.")
            turned = x + think(norm2(x)) if first else norm2(x + think(x))
            turned = turned + attend(norm1(turned)) if first else norm1(turned + attend(turned))
            expect(not same(got, turned), where + "the order is turned around: attention comes first.")
            late = x + think(norm2(pre)) if first else norm2(x + think(post))
            expect(not same(got, late), where + "the second sum adds to the x that came in, and so loses what attention "
                                                "had added.")
            lost = pre + think(pre) if first else post + think(post)
            expect(not same(got, lost), where + "norm2 is not used.")
            if first:
                read = norm1(x) + attend(norm1(x))
                read = norm2(read) + think(norm2(read))
                expect(not same(got, read), where + "the stream itself was normalized: only what a part reads should be, the "
                                                    "sum takes the x from before the norm.")
                plain = pre + attend(norm2(pre))
                expect(not same(got, plain), where + "attention is used twice: the second part is `think`.")
            close(got, layer(x), where + "the result is not that of torch's TransformerEncoderLayer.")


def _name_the_loss(got, logits, target):
    """Raise the hint of the known wrong loss that `got` is, if it is one."""
    each = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none").view(target.shape)
    real = target != 0
    moved = F.cross_entropy(logits[:, :-1].flatten(0, 1), target[:, 1:].flatten(), reduction="none").view(len(target), -1)
    shifts = "It still shifts: logits[:, t] already is the guess of target[:, t]."
    rows = torch.stack([each[b][real[b]].mean() for b in range(len(target))])
    mistakes(got, each[real].mean(),
             (moved.mean(), shifts), ((moved * real[:, 1:]).mean(), shifts), (moved[real[:, 1:]].mean(), shifts),
             ((each * real).mean(),
              "The sum is right now, but it is divided by the number of all places: divide by the number of words."),
             (each.mean(), "Padding is learned as if it were words: leave the places out where the target is 0."),
             (each[target > 2].mean(), "END is left out: the model must learn when to stop."),
             (each[real].sum() / len(target), "The sum is divided by the number of rows: divide by the number of words."),
             (each[real].sum(), "This is the sum: take the mean over the words."),
             (rows.mean(), "This is a mean of the rows' means: it gives a word of a short row more weight. Take all words of the "
                           "batch as one list."),
             (F.cross_entropy(logits.softmax(-1)[real], target[real]),
              "A softmax before the cross-entropy: it takes logits and does its own."), tolerance=1e-4)


@exercise("12.4", points=3)
def writing_loss(answer):
    takes(answer, "logits", "target")
    batch, length, words = 4, 7, 9
    target = torch.randint(3, words, (batch, length))
    ends = torch.tensor([2, 6, 4, int(torch.randint(1, 6, ()))])[:, None]
    spot = torch.arange(length)
    target = target.masked_fill(spot == ends, 2).masked_fill(spot > ends, 0)
    logits = 2 * torch.randn(batch, length, words)
    logits[0] -= 4 * F.one_hot(target[0], words)                     # hard words in a short row: its mean counts too much
    got = answer(logits.clone(), target.clone())
    tensor(got, (), torch.float32, "The loss")
    if not same(got, F.cross_entropy(logits.mT, target, ignore_index=0)):
        _name_the_loss(got, logits, target)
    sure = answer(100.0 * F.one_hot(target, words), target.clone())
    expect(abs(sure) < 1e-3, "A model that knows every word should have loss 0.")
    wider = answer(F.pad(logits, (0, 0, 0, 3), value=1.0), F.pad(target, (0, 3)))
    expect(same(wider, got, 1e-4), "More padding behind the rows changes the loss.")
    close(got, F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=0), "The loss is not torch's.", 1e-4)


class _Scripted:
    """A model that writes fixed rows: each place's logits depend on the start word and on how much is written."""

    def __init__(self, rows, start, words=9):
        self.rows, self.start, self.words = rows, start, words       # rows (B, L): what is likeliest, word by word
        self.fault, self.fed, self.started = "", True, True

    def __call__(self, written):
        if not isinstance(written, torch.Tensor) or written.dim() != 2 or written.dtype != torch.long:
            self.fault = "`guess` takes all words written so far as whole numbers (B, t), the start words included."
            written = torch.zeros(len(self.rows), 1, dtype=torch.long)
        length = min(written.shape[1], self.rows.shape[1])
        known = written[:, :1] == self.start
        self.started &= bool(known.any(1).all())
        rows = self.rows[torch.where(known.any(1), known.int().argmax(1), torch.arange(len(written)))]
        past = rows[:, :length - 1]
        going = (past == 2).cumsum(-1) == 0                          # words before a row's END
        self.fed &= bool((written[:, 1:length] == past)[going].all())
        logits = torch.rand(written.shape[0], written.shape[1], self.words)
        logits[:, :length] += 1.1 * F.one_hot(rows[:, :length], self.words)
        return logits


@exercise("12.5", points=4)
def write(answer):
    takes(answer, "guess", "start", "longest")
    ends = torch.tensor([3, 0, 5, int(torch.randint(1, 5, ()))])
    rows = torch.stack([torch.randperm(6).repeat(2) + 3 for _ in ends])      # neighbors are never the same word
    spot = torch.arange(12)
    rows = rows.masked_fill(spot == ends[:, None], 2)
    want = rows.masked_fill(spot > ends[:, None], 0)[:, :6]
    start = torch.randperm(6)[:4] + 3                                         # different: a row is known by its start word

    def run(longest):
        guess = _Scripted(rows, start)
        got = answer(guess, start.clone(), longest)
        expect(not guess.fault, guess.fault)
        expect(isinstance(got, torch.Tensor) and got.dtype == torch.long, "Return a tensor of whole numbers (B, n).")
        expect(got.dim() == 2 and len(got) == 4, f"Return one row for each start word: (4, n), and not {tuple(got.shape)}.")
        return got, guess
    got, guess = run(10)
    expect(not torch.equal(got[:, :1], start[:, None]), "The start words are not part of the answer: cut them off.")
    expect(got.shape[1] != 1, "It stops as soon as one row has ended: go on until all have.")
    expect(not same(got[0, :3], want[0, :1].expand(3)),
           "It writes the first word again and again: the logits of the last place are those of the next word.")
    expect((got == 2).any(), "END is missing: it is a word that the model wrote, so it stays.")
    expect(not (got.shape[1] == 10 and torch.equal(got, rows[:, :10])),
           "It does not stop at END: after its END a row writes PAD, and when all have ended you are done.")
    expect(got.shape[1] <= 6, "It goes on after all rows have ended: n should be as short as possible.")
    expect(got.shape[1] == 6, f"The longest row has 6 words with its END, and yours has {got.shape[1]}.")
    expect(not torch.equal(got, rows[:, :6]), "After its END a row must hold only PAD (0), whatever the model says.")
    written = (rows[:, :6] == 2).cumsum(1) - (rows[:, :6] == 2).int() == 0                   # up to END
    expect(not torch.equal(got[written], want[written]) or torch.equal(got, want), "After its END a row must hold only PAD (0).")
    row = int((got != want).any(1).int().argmax())
    expect(torch.equal(got, want), f"These are not the likeliest words: take the argmax at the last place. Row {row} should be "
                                   f"{want[row].tolist()}, and is {got[row].tolist()}.")
    expect(guess.started, "The words are right, but only because this model does not care: hand the start words to `guess`.")
    expect(guess.fed, "The words are right, but only because this model does not care what it wrote: hand the words chosen so far "
                "to `guess`, behind the start words.")
    short, _ = run(3)
    expect(short.shape[1] == 3, f"With longest = 3 it writes {short.shape[1]} words: the start word does not count.")
    expect(torch.equal(short, want[:, :3]), "With longest = 3 the words differ from those it writes with more room.")


@exercise("12.6", points=4)
def look_back(answer):
    takes(answer, "d_model", "back")
    scores, nearest = [], {}
    for width in (32, 2 * int(torch.randint(17, 41, ()))):
        place = torch.arange(40).double()[:, None]
        angles = place * 10000.0 ** (-torch.arange(0, width, 2).double() / width)
        waves = torch.stack([angles.sin(), angles.cos()], -1).flatten(1).float()
        for back in range(1, 6):
            pair = answer(width, back)
            expect(isinstance(pair, (tuple, list)) and len(pair) == 2, "Return two matrices: w_query and w_key.")
            for name, matrix in zip(("w_query", "w_key"), pair):
                tensor(matrix, (width, width), torch.float32, name)
            weights = ((waves @ pair[0]) @ (waves @ pair[1]).T / width ** 0.5).softmax(-1)
            t = torch.arange(back, 40)
            here, behind = weights[t, t].mean(), weights[t, t - back].mean()
            ahead = weights[t[:-back], t[:-back] + back].mean()
            middle = torch.arange(8, 32)
            nearest[width, back] = max(range(-8, 9), key=lambda k: weights[middle, middle - k].mean().item())
            expect(nearest[width, back] != 0 or not (here > behind and here > ahead), "The head looks at its own place: one of the two matrices has to turn "
                                                         "the waves.")
            expect(ahead <= behind or nearest[width, back] > 0, "The head looks ahead: it turns the wrong way round.")
            scores.append(behind.item())
    score = sum(scores) / len(scores)
    print(f"Of the weight, {score:.1%} lies on the word asked for (target: 90%).")
    found = {nearest[width, back] - back for width, back in nearest}
    expect(found != {1} and found != {-1}, f"The head looks one place {'too far' if found == {1} else 'less far than it should'}.")
    expect(score >= 0.9 or len(set(nearest.values())) > 1, f"The head looks {nearest[32, 1]} places back for every `back`: it is not read.")
    expect(min(scores) > 0.05, "The head finds the place for some values of `back` only.")
    expect(score >= 0.9, "The right place wins, but its neighbors get weight too: multiply one of the matrices, so that the "
                         "softmax becomes sharper.")
