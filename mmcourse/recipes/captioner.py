"""The captioner of lesson 32: behind the eye of lesson 14, a decoder learns to tell what the eye sees."""

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from mmcourse import world
from mmcourse.batches import END, PAD, START, decode, encode, pictures, scenes
from mmcourse.metrics import is_true, truthfulness, tuple_scores
from mmcourse.models.captioning import LONGEST, STARTS, Captioner, Telling
from mmcourse.models.language_model import generate
from mmcourse.recipes import Recipe, load_weights

PICTURES = 48
ALWAYS, OTHERS = ("full", "relation", "relation", "relation"), ("object", "attribute", "list", "count", "negation")


def model():
    """A captioner whose eye has learned to see (`zoo.load("vision")`) and stays as it is; its decoder knows nothing."""
    captioner = Captioner()
    captioner.vision.load_state_dict(load_weights("vision"))
    captioner.vision.requires_grad_(False)
    return captioner


def tell(scene, style, seed):
    """A style and a true caption in it; the style is "full" where the scene has nothing for another."""
    if not len(scene):
        return style, "there are no things"
    try:
        return style, world.captions(scene, 1, seed, style)[0]
    except ValueError:
        return "full", world.captions(scene, 1, seed, "full")[0]


def batch(step):
    """Pictures (48, 3, 64, 64) and five captions of each in the styles ALWAYS and one of OTHERS, in groups by length.

    The first picture is empty. A group is (numbers of its pictures (48,), ids (48, T)): so little of it is padding.
    """
    shown = [world.Scene([]), *scenes(step, PICTURES - 1)]
    told = [(i, *tell(scene, style, 8 * step + k)) for i, scene in enumerate(shown)
            for k, style in enumerate((*ALWAYS, OTHERS[(i + step) % len(OTHERS)]))]
    told.sort(key=lambda caption: len(caption[2].split()))
    groups = []
    for start in range(0, len(told), PICTURES):
        numbers, styles, sentences = zip(*told[start:start + PICTURES])
        ids, _ = encode(sentences)
        ids[:, 0] = torch.tensor([STARTS[style] for style in styles])
        groups.append((torch.tensor(numbers), ids))
    return pictures(shown), groups


def loss(model, data):
    """Teacher forcing: mean cross-entropy of each word given the picture and the true words before it."""
    images, groups = data
    telling, total, words = Telling(model, model.see(images)), 0, 0
    for numbers, ids in groups:
        logits, target = telling.about(numbers)(ids[:, :-1]), ids[:, 1:]
        total = total + F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD, reduction="sum")
        words = words + (target != PAD).sum()
    return total / words


def reward(scene, sentence):
    """How much of a scene a wholly true sentence tells (its recall); 0 for one that is not."""
    return tuple_scores(scene, sentence)[1] if is_true(scene, sentence) else 0.0


def self_critical(model, data, reward=reward):
    """Learn from the judge (Rennie et al. 2017): make likelier what was drawn by chance and beat the greedy caption.

    data: pictures (B, 3, 64, 64) and their scenes. Returns a loss: the mean of -(gain in reward) * log-probability.
    """
    images, shown = data
    with torch.no_grad():
        context = model.see(images)
        usual, tried = (generate(Telling(model, context), [[START]] * len(shown), LONGEST - 1, END, temperature=temperature)
                        for temperature in (0.0, 1.0))
    gain = [reward(scene, decode(torch.tensor([new]))[0]) - reward(scene, decode(torch.tensor([old]))[0])
            for scene, new, old in zip(shown, tried, usual)]
    ids = pad_sequence([torch.tensor([START, *row, END]) for row in tried], True, PAD)[:, :LONGEST].to(images.device)
    logits = model.decode(ids[:, :-1], context)
    nats = F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], ignore_index=PAD, reduction="none").sum(1)
    return (torch.tensor(gain).to(nats) * nats).mean()


def evaluate(model, seeds=world.split("validation").seeds[:1000]):
    """On held-out scenes: `metrics.truthfulness` of what `describe` says, and the share that is true at the first try."""
    shown = [world.sample(seed) for seed in seeds]
    pictures = [[scene.image(64) for scene in shown[start:start + 100]] for start in range(0, len(shown), 100)]
    said, first = ([sentence for part in pictures for sentence in model.describe(part, tries=tries)] for tries in (8, 1))
    return truthfulness(shown, said) | {"true_at_first": truthfulness(shown, first)["true"]}


RECIPE = Recipe(model=model, batch=batch, loss=loss, steps={"cpu": 2000, "gpu": 4000}, evaluate=evaluate,
                options={"lr": 4e-3, "muon": 0.02, "warmup": 30, "every": 50})
