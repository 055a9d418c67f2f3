"""Batches for every task, made fresh from the world: each a pure function of its step.

`training.fit(model, lambda step: vqa(step), ...)` trains on them, and with workers=1 another process draws ahead.
All tensors are on the CPU; pictures are (B, 3, size, size) in [-1, 1]; masks are boolean, True = a real word.
"""

import re
from collections.abc import Iterable

import numpy as np
import torch
from PIL import Image

from mmcourse import world

PAD, START, END = 0, 1, 2
WORDS = ("<pad>", "<start>", "<end>", *world.VOCABULARY)
NUMBER = {word: number for number, word in enumerate(WORDS)}
ANSWERS = tuple(sorted({answer for kind in world.KINDS for answer in world.answers(kind, "rich")}))
STRIDE = 1 << 10                        # seeds that each step has for itself


def encode(sentences):
    """Sentences as word numbers between <start> and <end>: ids (B, T) int64 and their mask (B, T).

    Raises ValueError naming the first word that the world does not know.
    """
    rows = []
    for sentence in sentences:
        words = re.findall(r"[^\s.,?]+|[.,?]", sentence.lower())
        if unknown := [word for word in words if word not in NUMBER]:
            raise ValueError(f"This world does not know the word {unknown[0]!r}: its words are in world.VOCABULARY.")
        rows.append(torch.tensor([START, *(NUMBER[word] for word in words), END]))
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    return ids, ids != PAD


def decode(ids):
    """The sentences of word numbers (B, T): what stands between <start> and the first <end>."""
    sentences = []
    for row in ids.tolist():
        row = row[:row.index(END)] if END in row else row
        words = " ".join(WORDS[number] for number in row if number > END)
        sentences.append(re.sub(r" ([.,?])", r"\1", words))
    return sentences


def pixels(images, size=64):
    """What models see of PIL images (one or a list): float (B, 3, size, size) in [-1, 1].

    Another size is resized, another mode becomes RGB. Raises ValueError for what is no PIL image.
    """
    images = list(images) if isinstance(images, Iterable) else [images]
    if not images:
        raise ValueError("There is no picture: give one or more.")
    for image in images:
        if not isinstance(image, Image.Image):
            raise ValueError(f"A model looks at PIL images, and this is {type(image).__name__}: scene.image() makes one, "
                             "and PIL.Image.open(path) or PIL.Image.fromarray(array) does, too.")
    arrays = [np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BOX)) for image in images]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 127.5 - 1


def pictures(scenes, size=64):
    """The pictures of scenes: float (B, 3, size, size) in [-1, 1]."""
    return torch.from_numpy(world.draw(scenes, size)).permute(0, 3, 1, 2).float() / 127.5 - 1


def scenes(step, count, spec="standard", first=0):
    """The scenes of a step: seeds first + 1024 * step and the `count` - 1 after it."""
    start = first + step * STRIDE
    return [world.sample(seed, spec) for seed in range(start, start + count)]


def vqa(step, count=32, each=16, spec="standard", kinds=None, first=0):
    """Pictures (B, 3, 64, 64), questions (B, Q, T) with mask, and answers (B, Q) as places in ANSWERS."""
    asked, shown, seed = [], [], first + step * STRIDE
    while len(shown) < count:
        scene = world.sample(seed, spec)
        try:
            asked += world.questions(scene, each, seed, kinds, spec)
            shown.append(scene)
        except world.NothingToAsk:
            if not shown and seed >= first + (step + 1) * STRIDE:       # not one scene of a thousand
                raise
        seed += 1
    ids, mask = encode([question.text for question in asked])
    answers = torch.tensor([ANSWERS.index(question.answer) for question in asked])
    return pictures(shown), ids.view(count, each, -1), mask.view(count, each, -1), answers.view(count, each)


def captions(step, count=64, spec="standard", style=None, first=0):
    """Pictures (B, 3, 64, 64) and one true sentence each: ids (B, T) and mask. Also for text to image."""
    shown = scenes(step, count, spec, first)
    ids, mask = encode([scene.caption(step, style) for scene in shown])
    return pictures(shown), ids, mask


def contrastive(step, count=64, spec="standard", first=0):
    """As `captions`, and which sentence is true of which picture: (B, B) booleans, pictures in rows.

    True off the diagonal marks a false negative: a sentence that happens to fit another picture as well.
    """
    shown = scenes(step, count, spec, first)
    sentences = [scene.caption(step) for scene in shown]
    fits = torch.tensor([[world.satisfies(scene, sentence) for sentence in sentences] for scene in shown])
    return pictures(shown), *encode(sentences), fits


def sounds(step, count=32, spec="standard", first=0):
    """The scenes as sound: waves (B, samples) in [-1, 1], and one true sentence each: ids (B, T) and mask."""
    shown = scenes(step, count, spec, first)
    waves = torch.from_numpy(np.stack([world.sound(scene) for scene in shown]))
    return waves, *encode([scene.caption(step) for scene in shown])


def films(step, count=8, frames=16, size=32, first=0):
    """Films (B, T, 3, size, size) in [-1, 1] of the standard world; `world.film` of the same seeds knows their events."""
    shown = [world.film(scene, frames=frames) for scene in scenes(step, count, first=first)]
    clips = torch.from_numpy(np.stack([film.frames(size) for film in shown]))
    return clips.permute(0, 1, 4, 2, 3).float() / 127.5 - 1
