"""Checks of lesson 32, captioning. Truth: loops over words and candidates, arithmetic, the world's own judgement."""

import math
from numbers import Real
from random import Random

import torch

from mmcourse import metrics
from mmcourse.checks import close, exercise, expect, numbers, takes, tensor

END, PAD, NOTHING = 2, 0, -100


def _dice():
    return Random(int(torch.randint(2 ** 31, ())))


@exercise("32.1", points=2)
def predictions(answer):
    got = numbers(answer, "losses", "clipped", "brevity", "all_right", "longer", "one_picture", "swapped")

    def near(name, value):
        return abs(got[name] - value) < 0.006
    expect(got["losses"] != 7, '"losses": the caption has to end, too: END is a word to learn.')
    expect(got["losses"] != 9, '"losses": START is read and never written.')
    expect(got["losses"] == 8, '"losses": one for each word that is written.')
    expect(not near("clipped", 1), '"clipped": every word stands in the reference, but "a" only once. That is the clipping.')
    expect(not near("clipped", 2 / 3), '"clipped": divide by the length of the caption, not of the reference.')
    expect(near("clipped", 0.5), '"clipped": "a" counts once, "circle" once; of how many words?')
    expect(not near("brevity", 0.5), '"brevity": the ratio of lengths stands in an exponent.')
    expect(not near("brevity", math.exp(0.5)), '"brevity": this is above one. Reference over caption: 8 / 4.')
    expect(near("brevity", math.exp(-1)), '"brevity": exp(1 - reference / caption).')
    expect(not near("all_right", 0.98), '"all_right": this is one word; all twenty have to be right.')
    expect(not near("all_right", 0.6), '"all_right": chances multiply, they do not add up.')
    expect(near("all_right", 0.98 ** 20), '"all_right": 0.98 multiplied by itself, once for each word.')
    expect(got["longer"], '"longer": -1.2 / 3 and -1.8 / 6: which one is larger? Larger means closer to zero.')
    expect(got["one_picture"] not in (1, 10), '"one_picture": what is the logarithm of (pictures / pictures with this n-gram) '
                                              "when there is one picture?")
    expect(got["one_picture"] == 0, '"one_picture": every n-gram stands in every picture\'s references, so each weighs log 1.')
    expect(near("swapped", 1), '"swapped": single words know no order. Are there words in one and not in the other?')


def _windows(sentence, n):
    words = sentence.split()
    return [tuple(words[i:i + n]) for i in range(len(words) - n + 1)]


def _counts(caption, references, n):
    """(matches, total) with each reference's n-grams crossed out one by one, and the same with mistakes, {hint: pair}."""
    mine, theirs = _windows(caption, n), [_windows(reference, n) for reference in references]
    distinct = list(dict.fromkeys(mine))
    most = {gram: max(other.count(gram) for other in theirs) for gram in distinct}
    total = len(mine)
    right = sum(min(mine.count(gram), most[gram]) for gram in distinct)
    return (right, total), {
        "Nothing is clipped: an n-gram counts at most as often as it stands in one reference.":
            (sum(most[gram] > 0 for gram in mine), total),
        "Clipped at the sum over the references: the largest count in a single one is asked for.":
            (sum(min(mine.count(gram), sum(other.count(gram) for other in theirs)) for gram in distinct), total),
        "One reference was chosen for all n-grams: each n-gram takes the reference where it is most frequent.":
            (max(sum(min(mine.count(gram), other.count(gram)) for gram in distinct) for other in theirs), total),
        "Only the first reference was read.": (sum(min(mine.count(gram), theirs[0].count(gram)) for gram in distinct), total),
        "Each n-gram was counted once: repeated ones count as often as the references allow.":
            (sum(most[gram] > 0 for gram in distinct), total),
        "The matches are right. The total is the number of all n-grams of the caption, repeated ones included.":
            (right, len(distinct)),
        "The matches are right. A caption of L words has L - n + 1 n-grams, not L.": (right, len(caption.split())),
        "This is a precision: return both numbers, because BLEU adds them up over all captions before it divides.":
            right / max(total, 1)}


def _telling_strings(n):
    """A caption and references on which every mistake gives another result than the truth."""
    dice = _dice()
    while True:
        caption = " ".join(dice.choices(("a", "red", "circle"), k=dice.randint(8, 10)))
        references = [" ".join(dice.choices(("a", "red", "circle", "star"), k=dice.randint(6, 10))) for _ in range(3)]
        right, wrong = _counts(caption, references, n)
        results = [value for value in (right, *wrong.values())]
        if len(set(results)) == len(results) - (n == 1):                       # n = 1: a caption of L words has L n-grams
            return caption, references, right, wrong


@exercise("32.2", points=3)
def clipped_precision(answer):
    takes(answer, "caption", "references", "n")
    found = []
    for n in (2, 1, 2):
        caption, references, right, wrong = _telling_strings(n)
        got = answer(caption, list(references), n)
        expect(got is not None, "The result is None: does the function end with a return?")
        expect(not hasattr(got, "shape"), "Return two whole numbers, (matches, total), and not an array.")
        found.append((tuple(got) if isinstance(got, list) else got, right, wrong))
    for hint in wrong:                                            # once alone, it may be by chance
        expect(any(got != wrong[hint] for got, _, wrong in found) or all(got == right for got, right, _ in found), hint)
    expect(isinstance(got, (tuple, list)) and len(got) == 2, f"Return two numbers, (matches, total), and not {got!r}.")
    for caption, references, n in (
            (caption, references, 2), (*_telling_strings(1)[:2], 1),
            ("a red circle and a red circle and a red star", ["a red star and a red circle", "a red circle and a red circle"], 3),
            ("a red circle and a red circle and a red star", ["a red circle and a red star", "and a red circle and a"], 4),
            ("a red star", ["a red star"], 3), ("a red star", ["red star"], 3), ("a star", ["star a"], 2),
            ("a a a", ["a a a"], 2), ("red", ["a reddish star"], 1)):
        got, right = tuple(answer(caption, list(references), n)), _counts(caption, references, n)[0]
        expect(got == right, f"For n = {n}, {caption!r} and the references {references!r} the answer is {right}, and yours "
                             f"gives {got}.")
    for short, n in (("a circle", 3), ("a", 4)):
        try:
            got = answer(short, ["a red circle left of a star"], n)
        except (ZeroDivisionError, ValueError, IndexError) as error:
            got = type(error).__name__
        expect(isinstance(got, (tuple, list)) and tuple(got) == (0, 0),
               f"A caption shorter than n words has no n-grams: (0, 0). Yours gives {got!r} for {short!r} and n = {n}.")


def _beams(scores, lengths, done, logits, alpha, chances=None, ended=True, longer=1, grows=0, old=1, pays=0, last=PAD):
    """The K best candidates by loops: a list of (worth, parent, word, score), and keywords for what can go wrong."""
    found = []
    chances = logits.log_softmax(-1) if chances is None else chances
    for k in range(len(scores)):
        if done[k] and ended:
            score, length = scores[k].item() + pays * chances[k, PAD].item(), lengths[k].item() + grows
            found.append((score / length ** alpha, k, last, score))
            continue
        for word in range(logits.shape[1]):
            score, length = old * scores[k].item() + chances[k, word].item(), lengths[k].item() + longer
            found.append((score / length ** alpha, k, word, score))
    return sorted(found, reverse=True)[:len(scores)]


def _draw():
    """Three to five captions that are being written: scores, lengths, done and logits."""
    beams, words = int(torch.randint(3, 6, ())), int(torch.randint(5, 8, ()))
    return -2 - 4 * torch.rand(beams), torch.randint(2, 8, (beams,)), torch.rand(beams) < 0.5, 2 * torch.randn(beams, words)


def _where_it_counts(alpha):
    """Inputs for which the length penalty alpha chooses otherwise than 1 does."""
    while True:
        given = _draw()
        right, other = _beams(*given, alpha), _beams(*given, 1.0)
        worths = torch.tensor([c[0] for c in right])
        if [c[1:3] for c in right] != [c[1:3] for c in other] and (worths[:-1] - worths[1:]).min() > 1e-3:
            return *given, alpha


def _telling_beams():
    """Inputs on which every mistake chooses other candidates than the truth: (inputs, truth, {hint: choice})."""
    while True:
        alpha = float(torch.randint(5, 11, ())) / 10
        given = scores, lengths, done, logits, alpha = *_draw(), alpha
        right = _beams(*given)
        choices = {
            "The length penalty is missing: candidates are compared by score / length ** alpha.": _beams(*given[:4], 0.0),
            "The logits were added as they are: a beam's words need log-probabilities (log_softmax over the last axis).":
                _beams(*given, chances=logits),
            "Probabilities were added to a sum of log-probabilities: take their logarithm.": _beams(*given, chances=logits.softmax(-1)),
            "The softmax runs over the beams: each beam has its own chances of words (log_softmax over the last axis).":
                _beams(*given, chances=logits.log_softmax(0)),
            "The score so far is left out: a candidate has its beam's score plus the new log-probability.": _beams(*given, old=0),
            "A finished caption was continued: it is one candidate alone, itself, with word 0 and its score.":
                _beams(*given, ended=False),
            "A finished caption pays for word 0: its score stays as it is.": _beams(*given, pays=1),
            "A finished caption's word should be 0.": _beams(*given, last=END),
            "A finished caption does not grow: its length stays as it is.": _beams(*given, grows=1),
            "A new candidate has one word more than its beam: lengths + 1.": _beams(*given, longer=0),
            "The scores were multiplied by length ** alpha: divide.": _beams(*given[:4], -alpha),
            "Each beam kept its own best word: the best candidates of all beams together are asked for, and a good beam "
            "may have several.": sorted(((worth, k, *rest) for k in range(len(scores)) for worth, _, *rest in
                                         _beams(*(part[k:k + 1] for part in given[:4]), alpha)), reverse=True)}
        wanted, others = [c[1:3] for c in right], [[c[1:3] for c in other] for other in choices.values()]
        worths = torch.tensor([c[0] for c in right])
        apart = (worths[:-1] - worths[1:]).min() > 1e-3 and worths.isfinite().all()
        different = len({str(pairs) for pairs in (wanted, *others)}) == 1 + len(others)
        if apart and different and any(done[k] for k, _ in wanted):
            return given, right, dict(zip(choices, others))


@exercise("32.3", points=4)
def beam_step(answer):
    takes(answer, "scores", "lengths", "done", "logits", "alpha")
    draws = [_telling_beams() for _ in range(3)]
    chosen = [_chosen(answer, given) for given, *_ in draws]
    wanted = [[c[1:3] for c in right] for _, right, _ in draws]
    for hint in draws[0][2]:                                      # once alone, it may be by chance
        expect(any(mine != choices[hint] for mine, (_, _, choices) in zip(chosen, draws)), hint)
    expect(chosen != [[pair[::-1] for pair in pairs] for pairs in wanted], "Parents and words have changed places.")
    expect(chosen == wanted or any(sorted(mine) != sorted(pairs) for mine, pairs in zip(chosen, wanted)),
           "These are the right candidates in another order: the best comes first.")
    one = torch.tensor([-1.0]), torch.tensor([1]), torch.tensor([False]), torch.tensor([[-0.2, -1.7]])
    more = torch.tensor([-1.0, -30.0, -40.0]), torch.tensor([3, 4, 2]), torch.tensor([False, True, False]), 0.1 * torch.randn(3, 8)
    five = torch.tensor([-1.0, -300, -310, -320, -330]), torch.arange(3, 8), torch.arange(5) < 0, 0.1 * torch.randn(5, 8)
    for *given, alpha in (*(given for given, *_ in draws), (*five, 1.0), (*five[:2], torch.arange(5) < 1, five[3], 1.0),
                          (*one, 1.0), (*more, 1.0), _where_it_counts(0.0), _where_it_counts(2.0),
                          (*more[:2], torch.ones(3, dtype=torch.bool), more[3], 1.0),
                          (*more[:2], torch.zeros(3, dtype=torch.bool), more[3], 0.5)):
        right = _beams(*given, alpha)
        mine, scores = _chosen(answer, (*given, alpha)), answer(*given, alpha)[2]
        expect(mine == [c[1:3] for c in right], f"With scores {given[0].tolist()}, done {given[2].tolist()} and alpha {alpha:g} the "
                                                f"best candidates (beam, word) are {[c[1:3] for c in right]}, and yours are {mine}.")
        worth = torch.tensor([c[0] for c in right])
        expect(alpha == 0 or (scores - worth).abs().max() > 1e-5,
               "The scores were returned with the length penalty in them: the next step needs the plain sums.")
        close(scores, torch.tensor([c[3] for c in right]), "A score is the sum of all log-probabilities so far.", 1e-4)


def _chosen(answer, given):
    """The pairs (parent, word) that an answer chooses, a list."""
    got, count = answer(*(part.clone() if isinstance(part, torch.Tensor) else part for part in given)), len(given[0])
    expect(isinstance(got, (tuple, list)) and len(got) == 3, "Return three tensors: parents, words and scores.")
    tensor(got[0], (count,), torch.int64, "The first result, parents,")
    tensor(got[1], (count,), torch.int64, "The second result, words,")
    tensor(got[2], (count,), torch.float32, "The third result, scores,")
    return list(zip(got[0].tolist(), got[1].tolist()))


@exercise("32.4", points=3)
def caption_mask(answer):
    takes(answer, "ids")
    lengths = torch.randperm(5)[:5] + 4                                        # START, 2 to 6 words, END: all different
    ids = torch.randint(3, 20, (5, int(lengths.max()) + 1))
    for row, length in zip(ids, lengths):
        row[0], row[length - 1], row[length:] = 1, END, PAD
    ids[3], ids[4, 2] = ids[3].roll(int((ids[3] == PAD).sum())), PAD           # PAD in front, and PAD in the middle
    batch, longest = ids.shape
    want = torch.tensor([[[s <= t and int(ids[b, s]) != PAD for s in range(longest)] for t in range(longest)]
                         for b in range(batch)])[:, None]
    got = answer(ids.clone())
    expect(not isinstance(got, torch.Tensor) or not got.is_floating_point(),
           "The mask is made of floats: here masks are boolean, True = may look.")
    tensor(got, want.shape, torch.bool, "The mask")
    real, past = (ids != PAD)[:, None, None].expand_as(want), torch.ones(longest, longest).tril().bool().expand_as(want)
    for hint, wrong in {
            "This is the padding mask alone: a word may still see those that come after it, and training teaches it to copy.": real,
            "This is the causal mask alone: padding may be looked at.": past,
            "The masks were joined by or: a place must be allowed by both.": real | past,
            "The mask is turned around: True should mean that a word may look.": ~want,
            "Words see what follows them and not what came before: the lower triangle is asked for.": real & past.mT,
            "The columns are right. The rows of PAD follow the same rule: do not hide them.": past & real & real.mT,
            "Padding was hidden as a query (a row). It must be hidden as a key (a column).": past & real.mT}.items():
        expect(not torch.equal(got, wrong), hint)
    expect(not torch.equal(got, real & past & ~torch.eye(longest, dtype=torch.bool)),
           "A word must see itself: START would see nothing at all.")
    b, _, t, s = (int(i) for i in ((got != want).nonzero()[:1] if (got != want).any() else torch.zeros(1, 4))[0])
    expect(torch.equal(got, want), f"In row {b} the word at {t} {'may' if want[b, 0, t, s] else 'must not'} look at {s}.")


@exercise("32.5", points=4)
def prefix_batch(answer):
    takes(answer, "seen", "ids", "table")
    (pictures, each), places, width = (torch.randperm(3)[:2] + 3).tolist(), int(torch.randint(2, 5, ())), 7
    seen, table = torch.randn(pictures, places, width), torch.randn(20, width)
    lengths = torch.randperm(pictures * each) + 2                               # words of each caption, all different
    ids = torch.full((pictures * each, int(lengths.max()) + 2), PAD)
    for row, length in zip(ids, lengths):
        row[0], row[1:1 + length], row[1 + length] = 1, torch.randint(3, 20, (int(length),)), END
    given = ids.clone()
    got = answer(seen.clone(), given, table.clone())
    expect(torch.equal(given, ids), "Your function changes `ids` itself, which training needs again: make a new tensor.")
    expect(isinstance(got, (tuple, list)) and len(got) == 2, "Return two tensors: inputs and targets.")
    inputs, targets = got
    rows, steps = ids.shape[0], places + ids.shape[1] - 1
    tensor(inputs, (rows, steps, width), torch.float32, "The first result, inputs,")
    tensor(targets, (rows, steps), torch.int64, "The second result, targets,")
    pairs = [[seen[row // each, i] for i in range(places)] for row in range(rows)]
    in_turn = [[seen[row % pictures, i] for i in range(places)] for row in range(rows)]
    front, want_front, wrong_front = inputs[:, :places], *(torch.stack([torch.stack(p) for p in side]) for side in (pairs, in_turn))
    expect(not torch.equal(front, wrong_front), "Captions stand beside the wrong pictures: two captions of one picture follow one "
                                                "another, and `repeat` gives A B C A B C. Trained on this, a model learns that "
                                                "pictures mean nothing and says the same of each.")
    expect(not torch.equal(front, front[:1].expand_as(front)), "Every caption has the same picture.")
    close(front, want_front, "The picture's tokens should come first, each caption beside its own picture.")
    words = torch.stack([torch.stack([table[i] for i in row[:-1]]) for row in ids.tolist()])
    expect(not torch.equal(inputs[:, places:], torch.stack([torch.stack([table[i] for i in row[1:]]) for row in ids.tolist()])),
           "The words are read without START: the model would see the word that it should write.")
    close(inputs[:, places:], words, "After the picture come the vectors of the words, from START to the last but one place.")
    expect((targets[:, :places] == NOTHING).all(), "At the places of the picture there is nothing to write: -100.")
    taught = targets[:, places:]
    hidden = ids.masked_fill(ids == PAD, NOTHING)
    nothing = torch.full((rows, 1), NOTHING)
    for double in (ids, hidden):
        for last in (nothing, nothing * 0):
            expect(not torch.equal(taught, torch.cat([double[:, 2:], last], 1)),
                   "This is shifted twice: START should learn the first word, and here it learns the second.")
        expect(not torch.equal(taught, double[:, :-1]), "This is not shifted: each place should learn the word after it.")
    expect(not torch.equal(taught, ids[:, 1:]), "PAD is taught as a word: its places should be -100, which the loss leaves out.")
    expect(not torch.equal(taught, hidden[:, 1:].masked_fill(ids[:, 1:] == END, NOTHING)),
           "END must be learned: without it no caption ever ends.")
    expect(torch.equal(taught, hidden[:, 1:]), "At the place of each word, the target is the word after it, and -100 where that is "
                                               "PAD.")


@exercise("32.6", points=4)
def metric(answer):
    takes(answer, "caption", "references")
    pairs = metrics.judged_pairs(500, first=int(torch.randint(2 ** 40, 2 ** 60, ())))
    trial = answer(pairs[0][0], list(pairs[0][2]))
    expect(isinstance(trial, Real) or getattr(trial, "shape", None) in ((), (1,)),
           f"A metric returns one number, and this is {trial!r}.")

    def finite(caption, references):
        value = float(answer(caption, list(references)))
        expect(math.isfinite(value), f"A score should be a finite number, and is {value}.")
        return value
    asked = [(caption, tuple(references)) for true, false, references in pairs for caption in (true, false)]
    scores = {asked[i]: finite(*asked[i]) for i in torch.randperm(len(asked)).tolist()}      # else the order tells which is true
    score = metrics.share_right(lambda caption, references: scores[caption, tuple(references)], pairs)
    print(f"It prefers the true caption in {score:.1%} of {len(pairs)} pairs (target: 75%; chance: 50%).")
    expect(score > 0.49, "It prefers the false caption: a false one is made of the words of the references, and a true one may use "
                         "others. Do you count common words?")
    expect(score > 0.55, "Hardly better than chance. A true caption may tell little: ask whether the references support what it "
                        "says (precision), not whether it says all that they say (recall).")
    expect(score >= 0.75, "Better than chance. A red circle supports 'a circle', but not 'a large circle': compare sets of words, "
                          "and mind numbers.")
