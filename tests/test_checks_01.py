"""The checks of lesson 01 against right and wrong answers: every mistake meets the hint that names it."""

import prove
import torch

from mmcourse import world

RIGHT = {"red": 1.0, "gray": -0.2, "photo": 150528, "sound": 32000, "film": 98304, "shuffled": False}


def ids_and_mask(sentences, vocabulary, unknown=1, front=False, short=False, words=True):
    rows = [[vocabulary.get(word, unknown) for word in s.split()] for s in sentences]
    size = (min if short else max)(map(len, rows))
    fill = [[0] * (size - len(row)) for row in rows]
    ids = torch.tensor([f + row[:size] if front else row[:size] + f for row, f in zip(rows, fill)])
    return ids, (ids != 0) if words else (ids == 0)


def cut(wave, size, hop, more=0):
    starts = range(0, len(wave) - size + 1 + more, hop)
    return torch.stack([torch.cat([wave, torch.zeros(100)])[s:s + size] for s in starts])


def ink(pixels):
    return (pixels.amin(-1) < 225).numpy()


def islands(marked, diagonal=True):
    """Flood fill, one pixel after another."""
    left, count = set(zip(*marked.nonzero())), 0
    steps = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if diagonal or not (a and b)]
    while left:
        count, edge = count + 1, [left.pop()]
        while edge:
            y, x = edge.pop()
            near = {(y + a, x + b) for a, b in steps} & left
            left -= near
            edge += near
    return count


CORRECT = {
    "01.1": [lambda: dict(RIGHT)],
    "01.2": [lambda p: p.permute(0, 3, 1, 2).float().div(127.5).sub(1), lambda p: (p / 255 * 2 - 1).movedim(3, 1)],
    "01.3": [ids_and_mask],
    "01.4": [cut],
    "01.5": [lambda f: f.permute(3, 0, 1, 2) / 127.5 - 1, lambda f: (f.float() - 127.5).permute(3, 0, 1, 2) / 127.5],
    "01.6": [lambda p: islands(ink(p))],
}

WRONG = [
    ("01.1", "255", lambda: {**RIGHT, "red": 255}),
    ("01.1", "from 0 to 1", lambda: {**RIGHT, "gray": 0.4}),
    ("01.1", "three numbers", lambda: {**RIGHT, "photo": 224 * 224}),
    ("01.1", "same cloud", lambda: {**RIGHT, "shuffled": True}),
    ("01.1", "16,000 numbers", lambda: {**RIGHT, "sound": 16000}),
    ("01.2", "dealt out anew", lambda p: p.reshape(p.shape[0], 3, *p.shape[1:3]) / 127.5 - 1),
    ("01.2", "still (B, H, W, C)", lambda p: p / 127.5 - 1),
    ("01.2", "0 to 1", lambda p: p.permute(0, 3, 1, 2) / 255),
    ("01.2", "0 to 255", lambda p: p.permute(0, 3, 1, 2).float()),
    ("01.2", "Red and blue", lambda p: p.flip(-1).permute(0, 3, 1, 2) / 127.5 - 1),
    ("01.2", "wrapped around", lambda p: (p * 2).permute(0, 3, 1, 2) / 255 - 1),
    ("01.2", "does not fit into a byte", lambda p: (p - 128).permute(0, 3, 1, 2) / 128),
    ("01.2", "Divide by 127.5", lambda p: p.permute(0, 3, 1, 2) / 128 - 1),
    ("01.2", "from the format", lambda p: p.permute(0, 3, 1, 2) / p.max() * 2 - 1),
    ("01.2", "from the format", lambda p: (p.permute(0, 3, 1, 2) - p.min()) / (p.max() - p.min()).float() * 2 - 1),
    ("01.2", "not a ndarray", lambda p: (p.permute(0, 3, 1, 2) / 127.5 - 1).numpy()),
    ("01.2", "None came back", lambda p: None),
    ("01.3", "number of <unk>", lambda s, v: ids_and_mask(s, {w: v[w] for w in v}, unknown=0)),
    ("01.3", "is not in the vocabulary, and", lambda s, v: [v[w] for w in " ".join(s).split()]),
    ("01.3", "should", lambda s, v: ids_and_mask(s[:2], v)),
    ("01.3", "A word has vanished", lambda s, v: ids_and_mask([one.rsplit(" ", 1)[0] for one in s], v)),
    ("01.3", "stands in front", lambda s, v: ids_and_mask(s, v, front=True)),
    ("01.3", "length of the shortest", lambda s, v: ids_and_mask(s, v, short=True)),
    ("01.3", "wrong way round", lambda s, v: ids_and_mask(s, v, words=False)),
    ("01.3", "Return two things", lambda s, v: ids_and_mask(s, v)[0]),
    ("01.3", "should become", lambda s, v: ids_and_mask([one.lower() for one in s], v)),
    ("01.3", "should become", lambda s, v: ids_and_mask([one.replace(",", "") for one in s], v)),
    ("01.3", "should be bool", lambda s, v: (ids_and_mask(s, v)[0], ids_and_mask(s, v)[1].long())),
    ("01.4", "do not overlap", lambda w, size, hop: cut(w, size, size)),
    ("01.4", "last frame is missing", lambda w, size, hop: cut(w, size, hop, more=-hop)),
    ("01.4", "last frame is missing", lambda w, size, hop: torch.stack([w[i:i + size] for i in range(0, max(1, len(w) - size), hop)])),
    ("01.4", "first frame", lambda w, size, hop: cut(torch.cat([w[1:], w[:1]]), size, hop)),
    ("01.4", "second frame", lambda w, size, hop: cut(w, size, 1)),
    ("01.4", "second frame", lambda w, size, hop: cut(w, size, min(size, hop))),
    ("01.4", "are shorter", lambda w, size, hop: torch.stack([w[i:i + size] for i in range(0, len(w), hop)])),
    ("01.4", "frame too many", lambda w, size, hop: cut(w, size, hop, more=hop)),
    ("01.4", "Each frame should have", lambda w, size, hop: cut(w, size, hop)[:, :-1]),
    ("01.5", "scrambled", lambda f: (f / 127.5 - 1).reshape(3, *f.shape[:3])),
    ("01.5", "scrambled", lambda f: ((f - 128) / 128).reshape(3, *f.shape[:3])),
    ("01.5", "wrap around", lambda f: ((f - 128) / 128).permute(3, 0, 1, 2)),
    ("01.5", "Divide by 127.5", lambda f: ((f.float() - 128) / 128).permute(3, 0, 1, 2)),
    ("01.5", "scrambled", lambda f: ((f.float() - 128) / 128).reshape(3, *f.shape[:3])),
    ("01.2", "the names of all four", lambda p: p.permute(2, 0, 1) / 127.5 - 1),
    ("01.5", "comes from the format", lambda f: (f / f.max() * 2 - 1).permute(3, 0, 1, 2)),
    ("01.5", "Time comes first", lambda f: f.permute(0, 3, 1, 2) / 127.5 - 1),
    ("01.5", "Rows and columns", lambda f: f.permute(3, 0, 2, 1) / 127.5 - 1),
    ("01.6", "world.read is not to be used", lambda p: len(world.read(p.numpy()))),
    ("01.6", "count colors", lambda p: sum(int((p == torch.tensor(rgb)).all(-1).sum()) > 12
                                           for rgb in world.COLORS.values())),
    ("01.6", "is the paper among them", lambda p: islands(ink(p)) + 1),
    ("01.6", "dark enough", lambda p: islands((p.amin(-1) < 100).numpy() & (p.float().mean(-1) < 140).numpy())),
    ("01.6", "counted as several", lambda p: islands(ink(p)) + int(p.sum() % 3 == 0)),
    ("01.6", "more than guessing", lambda p: 0),
    ("01.6", "not yet there", lambda p: max(1, round(ink(p).sum() / 160))),
    ("01.6", "whole number", lambda p: 3.0),
]


test_right_answers_written_otherwise_pass, test_every_mistake_meets_its_hint = prove.tests_of(CORRECT, WRONG)
