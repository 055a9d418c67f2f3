"""Checks of lesson 01, modalities. Truth: torch's own unfold, loops over bytes, and the world's scenes."""

from unittest import mock

import torch

from mmcourse import world
from mmcourse.checks import Hint, close, exercise, expect, numbers, same, takes, tensor


@exercise("01.1", points=2)
def predictions(answer):
    got = numbers(answer, "red", "gray", "photo", "sound", "film", "shuffled")
    expect(abs(got["red"] - 1) < 1e-3, '"red": put 255 into byte / 127.5 - 1.')
    expect(abs(got["gray"] - 0.4) > 1e-2, '"gray": that is byte / 255, from 0 to 1; the course maps bytes to -1 to 1.')
    expect(abs(got["gray"] + 0.2) < 1.5e-3, '"gray": put 102 into byte / 127.5 - 1.')
    expect(got["photo"] != 224 * 224, '"photo": each pixel has three numbers.')
    expect(got["photo"] == 224 * 224 * 3, '"photo": rows times columns times colors.')
    expect(got["sound"] == 16_000 * 2, '"sound": 16,000 numbers for each second.')
    expect(got["film"] == 8 * 3 * 64 * 64, '"film": multiply all numbers of the shape but the batch.')
    expect(not got["shuffled"], '"shuffled": a cloud is a set of places; a list of the same places in another order is '
                                "the same cloud.")


def _right_pixels(pixels):
    """The truth for bytes (B, H, W, 3), pixel by pixel."""
    batch, height, width, _ = pixels.shape
    want = torch.empty(batch, 3, height, width)
    for c in range(3):
        want[:, c] = pixels[..., c].float() / 127.5 - 1
    return want


@exercise("01.2", points=2)
def to_tensor(answer):
    takes(answer, "pixels")
    pixels = torch.randint(0, 256, (*(torch.randperm(5)[:3] + 4).tolist(), 3), dtype=torch.uint8)
    pixels[0, 0, 0], pixels[0, 0, 1] = torch.tensor([255, 0, 0]), torch.tensor([0, 200, 255])
    try:
        got = answer(pixels.clone())
    except NotImplementedError:
        raise
    except RuntimeError as error:
        expect("permute" not in str(error), "The input has four axes, (B, H, W, C): permute needs the names of all four.")
        raise
    want = _right_pixels(pixels)
    expect(not isinstance(got, torch.Tensor) or got.shape != pixels.shape, "The axes are still (B, H, W, C): the colors "
                                                                          "should stand before rows and columns.")
    tensor(got, want.shape, torch.float32)
    expect(not same(got, pixels.reshape(want.shape) / 127.5 - 1), "The numbers were dealt out anew: reshape keeps the reading order. "
                                                                 "To move an axis, use permute.")
    expect(not same(got, want.flip(1)), "Red and blue have changed places.")
    expect(not same(got, (want + 1) / 2), "The range is 0 to 1: it should be -1 to 1.")
    expect(not same(got, (want + 1) * 127.5), "The range is still 0 to 255: it should be -1 to 1.")
    expect(not same(got, (pixels * 2).permute(0, 3, 1, 2) / 255 - 1), "Bytes wrapped around: 200 * 2 does not fit into a byte. "
                                                                     "Make it a float first.")
    expect(not same(got, (pixels - 128).permute(0, 3, 1, 2) / 128), "Bytes wrapped around: 100 - 128 does not fit into a byte. Make it a "
                                                                    "float first.")
    for span in (127, 128):
        expect(not same(got, (want + 1) * 127.5 / span - 1), f"Nearly: with {span}, 255 does not become exactly 1. Divide by 127.5.")
    close(got, want, "Some numbers are wrong.")
    dim = torch.randint(40, 200, pixels.shape, dtype=torch.uint8)
    close(answer(dim.clone()), _right_pixels(dim), "The range comes from the format, not from this batch: 255 would be 1, even if no "
                                                   "pixel is that bright.")


@exercise("01.3", points=3)
def encode(answer):
    takes(answer, "sentences", "vocabulary")
    words, new = ("red", "circle", "a", "of", "left"), ("zebra", "Red", "red,", "hippopotamus", "elephant")
    vocabulary = {"<pad>": 0, "<unk>": 1} | dict(zip(words, (torch.randperm(40)[:5] + 2).tolist()))
    lengths = [1, *(torch.randperm(4)[:int(torch.randint(2, 5, ()))] + 2).tolist()]
    said = [[words[i] for i in torch.randint(5, (length,))] for length in lengths]
    said[0] = ["hippopotamus" * 4]                                                 # one long word is no long sentence
    for row in said[1:]:
        for place in torch.randperm(len(row))[:int(torch.randint(1, 3, ()))].tolist():
            row[place] = new[int(torch.randint(len(new), ()))]                     # nobody has heard of it
    said[1][0], said[2][0] = words[0].title(), words[0] + ","                      # words as they stand, says the text
    said = [said[i] for i in torch.randperm(len(said)).tolist()]
    sentences, longest, count = [" ".join(row) for row in said], max(lengths), len(said)
    want = torch.tensor([[*(vocabulary.get(word, 1) for word in row), *[0] * (longest - len(row))] for row in said])
    try:
        got = answer(list(sentences), dict(vocabulary))
    except KeyError as word:
        raise Hint(f"The word {word} is not in the vocabulary, and the function stopped: give such words the number of "
                   "<unk>.") from None
    expect(isinstance(got, (tuple, list)) and len(got) == 2, "Return two things: the numbers and the mask.")
    ids, mask = got
    expect(not isinstance(ids, torch.Tensor) or ids.shape != (count, 1), "Every sentence was cut to the length of the shortest: "
                                                                    "fill the short ones up instead.")
    expect(not isinstance(ids, torch.Tensor) or len(ids) != count or ids.dim() != 2 or ids.shape[1] >= longest,
           "A word has vanished: what is not in the vocabulary becomes <unk>.")
    tensor(ids, (count, longest), torch.int64, "The numbers")
    tensor(mask, (count, longest), torch.bool, "The mask")
    expect(not ids.equal(torch.stack([row.roll(int((row == 0).sum())) for row in want])),
           "The padding stands in front: in this course sentences begin at place 0 and padding follows.")
    unknown = torch.tensor([[word not in vocabulary for word in [*row, *["a"] * (longest - len(row))]] for row in said])
    expect(not (ids[unknown] == 0).all(), "An unknown word looks like padding: give it the number of <unk>.")
    row = int((ids != want).any(1).int().argmax())
    expect(ids.equal(want), f"“{sentences[row]}” should become {want[row].tolist()}, and became {ids[row].tolist()}.")
    expect(not mask.equal(want == 0), "The mask is the wrong way round: True marks the real words.")
    expect(mask.equal(want != 0), "The mask should be True for the words and False for the padding.")


@exercise("01.4", points=2)
def frames(answer):
    takes(answer, "wave", "size", "hop")
    size, hop = int(torch.randint(8, 12, ())), int(torch.randint(3, 6, ()))
    for size, hop, more, rest in ((size, hop, 5, 0), (size, hop, int(torch.randint(2, 7, ())), hop - 1), (6, 6, 4, 1), (4, 7, 3, 2),
                                  (size, hop, 0, 0)):
        wave = torch.randn(size + more * hop + rest)
        try:
            got, want = answer(wave.clone(), size, hop), wave.unfold(0, size, hop)
        except RuntimeError as error:
            expect("equal size" not in str(error), "The last slices reach past the end and are shorter: no frame may start behind "
                                                   "len(wave) - size.")
            raise
        expect(isinstance(got, torch.Tensor) and got.dim() == 2, "Return one tensor (frames, size).")
        expect(got.shape[1] == size, f"Each frame should have {size} numbers, and has {got.shape[1]}.")
        expect(len(got) > 0 and same(got[0], want[0]), "The first frame should start at the first sample.")
        expect(len(got) != len(wave) // size or hop >= size or more == 0, "The frames do not overlap: the next one starts `hop` samples "
                                                                         "later, not `size`.")
        expect(min(len(got), len(want)) < 2 or same(got[1], want[1]), f"The second frame should start {hop} samples (`hop`) behind the "
                                                                      "first.")
        expect(len(got) != len(want) - 1, "The last frame is missing: how many starts fit, the first included?")
        expect(len(got) <= len(want), "There is a frame too many: only frames that lie wholly inside the wave count.")
        tensor(got, want.shape, torch.float32)
        close(got, want, "Some frames hold the wrong samples.")


@exercise("01.5", points=3)
def film_to_tensor(answer):
    takes(answer, "frames")
    length, height, width = (torch.randperm(4)[:3] + 4).tolist()
    film = torch.randint(0, 256, (length, height, width, 3), dtype=torch.uint8)
    film[0, 0, 0] = torch.tensor([0, 100, 255])
    want = film.permute(3, 0, 1, 2) / 127.5 - 1
    got = answer(film.clone())
    expect(not isinstance(got, torch.Tensor) or got.shape != (length, 3, height, width), "Time comes first here: the colors should be the "
                                                                          "first axis, (C, T, H, W).")
    expect(not isinstance(got, torch.Tensor) or got.shape != (3, length, width, height), "Rows and columns have changed places.")
    tensor(got, want.shape, torch.float32)
    numbers = [small for span in (127.5, 128.0) for small in (film / span - 1, (film.float() - span) / span,
                                                              (film.float() - 128) / span, (film - 128) / span)]
    expect(not any(same(got, one.reshape(want.shape)) for one in numbers), "The film is still scrambled: reshape keeps the "
           "reading order; permute moves axes.")
    expect(not any(same(got, ((film - 128) / span).permute(3, 0, 1, 2)) for span in (127.5, 128.0)),
           "The axes are right now, but dark bytes still wrap around: 100 - 128 does not fit into a byte. Make it a "
           "float first.")
    expect(abs(got.max() - 1) < 1e-4 and abs(got.min() + 1) < 1e-4, "Nearly: 0 should become exactly -1 and 255 exactly 1. "
           "Divide by 127.5, then subtract 1.")
    close(got, want, "Some numbers are wrong: bytes 0 to 255 map to -1 to 1.")
    dim = torch.randint(40, 200, film.shape, dtype=torch.uint8)
    close(answer(dim.clone()), dim.permute(3, 0, 1, 2) / 127.5 - 1, "The range comes from the format, not from this film: 255 would be 1, "
                                                                    "even if no pixel is that bright.")


def _refuse(picture):
    raise Hint("world.read is not to be used here: count from the pixels.")


@exercise("01.6", points=4)
def count_things(answer):
    takes(answer, "pixels")
    start = int(torch.randint(2**40, 2**60, ()))                    # too many seeds to try
    scenes = [world.sample(seed) for seed in range(start, start + 200)]
    pictures = torch.from_numpy(world.draw(scenes, 64))
    with mock.patch.object(world, "read", _refuse):
        got = [answer(picture) for picture in pictures]
    expect(all(isinstance(n, int) and not isinstance(n, bool) for n in got), "Return a whole number (int(...) makes one).")
    right = sum(n == len(scene) for n, scene in zip(got, scenes)) / 200
    by_color = sum(n == len({thing.color for thing in scene}) for n, scene in zip(got, scenes)) / 200
    print(f"Counted right: {right:.0%} of 200 scenes (target: 95%).")
    expect(right >= 0.95 or by_color < 0.95, "You count colors: two red things are one to you.")
    off = [n - len(scene) for n, scene in zip(got, scenes)]
    expect(right >= 0.95 or sum(one == 1 for one in off) < 150, "You count one too many nearly everywhere: is the paper among them?")
    expect(right >= 0.95 or right < 0.3 or any(one > 0 for one in off), "Whole things are missing, and none is counted twice: is a "
           "yellow or pink thing dark enough for your mark?")
    expect(right >= 0.95 or right < 0.1 or any(one < 0 for one in off), "Some things are counted as several: did their pixels have the "
           "time to agree?")
    expect(right >= 0.3, "That is little more than guessing: which pixels are not paper, and which of them hang together?")
    expect(right >= 0.95, "On the way, not yet there: look at a picture you got wrong. Are corners that touch one thing? "
                          "Are pale edge pixels part of it?")
