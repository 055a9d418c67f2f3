"""The checks of lesson 32 against right and wrong answers: every mistake meets the hint that names it."""

import math
from itertools import count

import numpy as np
import prove
import torch
import torch.nn.functional as F

from mmcourse import world

RIGHT = {"losses": 8, "clipped": 0.5, "brevity": 0.37, "all_right": 0.667, "longer": True, "one_picture": 0, "swapped": 1.0}


def windows(sentence, n):
    words = sentence.split()
    return [" ".join(words[i:i + n]) for i in range(len(words) - n + 1)]


def precision(allowed=max, once=False, first=False, total=len):
    """Clipped precision with one thing done wrong; `allowed` makes one count of the counts in the references."""
    def clipped(caption, references, n):
        mine = windows(caption, n)
        theirs = [windows(reference, n) for reference in (references[:1] if first else references)]
        matches = 0
        for gram in set(mine):
            limit = allowed([other.count(gram) for other in theirs])
            matches += min(limit, 1 if once else mine.count(gram))
        return matches, total(mine)
    return clipped


def crossing_out(caption, references, n):
    """The same by crossing out the n-grams of the references, gram by gram."""
    matches = 0
    for gram in set(windows(caption, n)):
        best = 0
        for reference in references:
            left, found = windows(reference, n), 0
            for mine in windows(caption, n):
                if mine == gram and gram in left:
                    left.remove(gram)
                    found += 1
            best = max(best, found)
        matches += best
    return [matches, max(0, len(caption.split()) - n + 1)]


def one_reference(caption, references, n):
    return max(precision()(caption, [reference], n) for reference in references)


def step(chances=lambda logits: logits.log_softmax(-1), penalty=1, done_grows=0, longer=1, stops=True, plain=True, each=False,
         swapped=False, backwards=False, old=1, pays=0, last=0, most=99):
    """A step of beam search by loops over candidates, with one thing done wrong."""
    def beam_step(scores, lengths, done, logits, alpha):
        logs, found = chances(logits), []
        for k, (score, length) in enumerate(zip(scores.tolist(), lengths.tolist())):
            ended = bool(done[k]) and stops
            mine = [(score + pays * logs[k, 0].item(), length + done_grows, k, last)] if ended else [
                (old * score + value, length + longer, k, word) for word, value in enumerate(logs[k].tolist())]
            mine.sort(key=lambda c: -c[0] / c[1] ** (alpha * penalty))
            found += mine[:1 if each else most]
        found.sort(key=lambda c: -c[0] / c[1] ** (alpha * penalty))
        best = found[:len(scores)][::-1 if backwards else 1]
        parents, words = (torch.tensor([c[i] for c in best]) for i in (2, 3))
        sums = torch.tensor([c[0] if plain else c[0] / c[1] ** alpha for c in best])
        return (words, parents, sums) if swapped else (parents, words, sums)
    return beam_step


def mask(rule):
    def caption_mask(ids):
        real, past = (ids != 0)[:, None, None, :], torch.ones(ids.shape[1], ids.shape[1]).tril().bool()
        return rule(real, past).expand(len(ids), 1, ids.shape[1], ids.shape[1])
    return caption_mask


def prefix(own=lambda seen, k: seen.repeat_interleave(k, 0), read=slice(None, -1), taught=None):
    """A prefix batch with one thing done otherwise: the pictures, the words read, or the words taught."""
    def prefix_batch(seen, ids, table):
        pictures = own(seen, len(ids) // len(seen))
        targets = (taught or next_words)(ids)
        hidden = torch.full((len(ids), seen.shape[1]), -100)
        return torch.cat([pictures, table[ids[:, read]]], 1), torch.cat([hidden, targets], 1)
    return prefix_batch


def next_words(ids):
    return torch.where(ids[:, 1:] == 0, -100, ids[:, 1:])


def sets(program):
    if not isinstance(program, tuple):
        return []
    rest = [found for part in program for found in sets(part)]
    return rest + [frozenset(program[1])] if program and program[0] == "filter" else rest


def supported(caption, references):
    known = [words for reference in references for words in sets(world.parse(reference))]
    mine = sets(world.parse(caption))
    return sum(any(words <= other for other in known) for words in mine) / max(1, len(mine))


def rebuilt(caption, references):
    """The things that the first reference names, put along a line, and the world's own judgement of the caption."""
    things, first = [], world.parse(references[0].split(".")[0])
    for part in first[1:] if first[0] == "every" else [first]:
        times, described = (part[1], [part[2]]) if part[0] == "number" else (1, part[1:])
        things += [words for _, words, _ in described for _ in range(times)]
    spec = world.SPECS["standard"]
    chosen = [[next(word for word in words if word in values) for values in (spec.shapes, spec.colors, spec.sizes)] for words in things]
    scene = world.Scene([world.Object(*look, x=0.1 + 0.2 * i, y=0.1 + 0.2 * i) for i, look in enumerate(chosen)])

    def flat(program):
        if not isinstance(program, tuple) or not program:
            return program
        return ("scene",) if program[0] == "relate" else tuple(flat(part) for part in program)
    try:
        return world.execute(flat(world.parse(caption)), scene) == "yes"
    except world.NotUnique:
        return False


def common_words(caption, references):
    words = caption.split()
    return sum(word in " ".join(references).split() for word in words) / len(words)


def triples_in_a_row(caption, references):
    """How many groups of three words stand in a reference: longer captions have more of them."""
    return sum(any(gram in windows(reference, 3) for reference in references) for gram in windows(caption, 3))


CORRECT = {                                                   # written otherwise than the course's solutions
    "32.1": [lambda: dict(RIGHT), lambda: {**RIGHT, "clipped": 2 / 4, "brevity": math.exp(-1), "longer": 1}],
    "32.2": [precision(), crossing_out],
    "32.3": [step()],
    "32.4": [mask(lambda real, past: real & past), lambda ids: torch.stack([torch.stack([
        (torch.arange(len(row)) <= t) & (row > 0) for t in range(len(row))])[None] for row in ids])],
    "32.5": [prefix(), prefix(own=lambda seen, k: torch.stack([part for part in seen for _ in range(k)]))],
    "32.6": [supported, rebuilt, lambda caption, references: np.float32(supported(caption, references))],
}

WRONG = [
    ("32.1", "has to end, too", lambda: {**RIGHT, "losses": 7}),
    ("32.1", "never written", lambda: {**RIGHT, "losses": 9}),
    ("32.1", "That is the clipping", lambda: {**RIGHT, "clipped": 1}),
    ("32.1", "not of the reference", lambda: {**RIGHT, "clipped": 0.667}),
    ("32.1", "stands in an exponent", lambda: {**RIGHT, "brevity": 0.5}),
    ("32.1", "all twenty have to be right", lambda: {**RIGHT, "all_right": 0.98}),
    ("32.1", "chances multiply", lambda: {**RIGHT, "all_right": 0.6}),
    ("32.1", "closer to zero", lambda: {**RIGHT, "longer": False}),
    ("32.1", "when there is one picture", lambda: {**RIGHT, "one_picture": 10}),
    ("32.1", "single words know no order", lambda: {**RIGHT, "swapped": 0.6}),
    ("32.1", "exactly the keys", lambda: {"losses": 8}),
    ("32.2", "Nothing is clipped", precision(lambda counts: 99 if any(counts) else 0)),
    ("32.2", "sum over the references", precision(sum)),
    ("32.2", "One reference was chosen for all", one_reference),
    ("32.2", "Only the first reference", precision(first=True)),
    ("32.2", "counted once", precision(once=True)),
    ("32.2", "repeated ones included", precision(total=lambda grams: len(set(grams)))),
    ("32.2", "has L - n + 1 n-grams, not L", lambda c, r, n: (precision()(c, r, n)[0], len(c.split()))),
    ("32.2", "This is a precision", lambda c, r, n: (lambda m, t: m / max(t, 1))(*precision()(c, r, n))),
    ("32.2", "shorter than n words", lambda c, r, n: (precision()(c, r, n)[0], len(c.split()) - n + 1)),
    ("32.2", "the answer is", lambda c, r, n: precision()(c, r, n) if n < 3 else (0, 0)),
    ("32.2", "the answer is", lambda c, r, n: precision()(c, r, n) if len(c.split()) > n else (0, 0)),
    ("32.2", "the answer is", lambda c, r, n: (sum(min(windows(c, n).count(x), max(o.count(x) for o in r)) for x in set(windows(c, n))),
                                               len(windows(c, n)))),
    ("32.2", "and not an array", lambda c, r, n: torch.tensor(precision()(c, r, n))),
    ("32.2", "does the function end with a return", lambda c, r, n: None),
    ("32.3", "length penalty is missing", step(penalty=0)),
    ("32.3", "logits were added as they are", step(chances=lambda x: x)),
    ("32.3", "runs over the beams", step(chances=lambda x: x.log_softmax(0))),
    ("32.3", "score so far is left out", step(old=0)),
    ("32.3", "pays for word 0", step(pays=1)),
    ("32.3", "word should be 0", step(last=2)),
    ("32.3", "the best candidates (beam, word) are", lambda *given: step()(*given[:4], given[4] or 1.0)),
    ("32.3", "the best candidates (beam, word) are", lambda *given: step()(*given[:4], min(given[4], 1.0))),
    ("32.3", "the best candidates (beam, word) are", step(most=2)),
    ("32.3", "take their logarithm", step(chances=lambda x: x.softmax(-1))),
    ("32.3", "A finished caption was continued", step(stops=False)),
    ("32.3", "A finished caption does not grow", step(done_grows=1)),
    ("32.3", "one word more than its beam", step(longer=0)),
    ("32.3", "divide", step(penalty=-1)),
    ("32.3", "Each beam kept its own best word", step(each=True)),
    ("32.3", "Parents and words have changed places", step(swapped=True)),
    ("32.3", "the best comes first", step(backwards=True)),
    ("32.3", "next step needs the plain sums", step(plain=False)),
    ("32.4", "padding mask alone", mask(lambda real, past: real)),
    ("32.4", "causal mask alone", mask(lambda real, past: past)),
    ("32.4", "joined by or", mask(lambda real, past: real | past)),
    ("32.4", "turned around", mask(lambda real, past: ~(real & past))),
    ("32.4", "what follows them", mask(lambda real, past: real & past.mT)),
    ("32.4", "The columns are right", mask(lambda real, past: real & real.mT & past)),
    ("32.4", "may look at", lambda ids: mask(lambda real, past: real & past)(ids.masked_fill(ids == 1, 0))),
    ("32.4", "may look at", lambda ids: mask(lambda real, past: real & past)(ids.masked_fill(ids == 2, 0))),
    ("32.4", "must not look at", lambda ids: (torch.arange(ids.shape[1]) < (ids != 0).sum(1, keepdim=True))[:, None, None] & torch.ones(
        ids.shape[1], ids.shape[1]).tril().bool()),
    ("32.4", "as a query", mask(lambda real, past: real.mT & past)),
    ("32.4", "A word must see itself", mask(lambda real, past: real & past.tril(-1))),
    ("32.4", "made of floats", lambda ids: torch.zeros(len(ids), 1, ids.shape[1], ids.shape[1])),
    ("32.5", "beside the wrong pictures", prefix(own=lambda seen, k: seen.repeat(k, 1, 1))),
    ("32.5", "changes `ids`", lambda seen, ids, table: prefix()(seen, ids.masked_fill_(ids == 0, 3), table)),
    ("32.5", "the same picture", prefix(own=lambda seen, k: seen[:1].expand(k * len(seen), -1, -1))),
    ("32.5", "read without START", prefix(read=slice(1, None))),
    ("32.5", "shifted twice", prefix(taught=lambda ids: F.pad(next_words(ids)[:, 1:], (0, 1), value=-100))),
    ("32.5", "shifted twice", prefix(taught=lambda ids: F.pad(ids[:, 2:], (0, 1), value=-100))),
    ("32.5", "This is not shifted", prefix(taught=lambda ids: ids[:, :-1])),
    ("32.5", "PAD is taught as a word", prefix(taught=lambda ids: ids[:, 1:])),
    ("32.5", "END must be learned", prefix(taught=lambda ids: torch.where(ids[:, 1:] < 3, -100, ids[:, 1:]))),
    ("32.6", "prefers the false caption", triples_in_a_row),
    ("32.6", "compare sets of words", common_words),
    ("32.6", "Hardly better than chance", lambda caption, references: 1.0),
    ("32.6", "caption", lambda caption, references, calls=count(): float(next(calls) % 2 == 1)),        # told by the order of calls?
    ("32.6", "returns one number", lambda caption, references: references),
    ("32.6", "finite number", lambda caption, references: -math.inf),
]

test_right_answers_written_otherwise_pass, test_every_mistake_meets_its_hint = prove.tests_of(CORRECT, WRONG)
