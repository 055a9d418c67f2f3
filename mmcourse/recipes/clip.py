"""CLIP on the world (lesson 21): one space in which a picture lies near the sentences that are true of it."""

from random import Random

import torch
import torch.nn.functional as F

from mmcourse import batches, device, world
from mmcourse.models.contrastive import floor, info_nce, standard
from mmcourse.models.vit import KINDS
from mmcourse.recipes import Recipe, load_weights

BATCH = 64


def start():
    """CLIP whose eye starts from the shipped vision encoder; its first two blocks stay as they are.

    CLIP normalizes before the first block and that encoder did not: the norm gets the size that its tokens had.
    """
    model, weights = standard(), load_weights("vision")
    eye = {name[4:]: value for name, value in weights.items() if name.startswith("vit.")}
    size = torch.full((128,), 1.21)
    model.vision.load_state_dict(eye | {"pre_norm.weight": size, "pre_norm.bias": torch.zeros(128)})
    learned = [*model.vision.encoder.blocks[2:].parameters(), *model.vision.encoder.norm.parameters()]
    model.vision.requires_grad_(False)
    for parameter in learned:
        parameter.requires_grad_(True)
    return model


def kinds(scene):
    """The kinds of things in a scene, each once: [("red", "circle"), ...]."""
    return sorted({(thing.color, thing.shape) for thing in scene})


def name_one(scene, random):
    """A sentence on one of a scene's kinds, each alike likely: "there is a red circle"."""
    there = kinds(scene)
    words = there[int(random.random() * len(there))]
    return world.say(("exist", ("filter", words, ("scene",))), seed=int(random.random() * 2 ** 32)), words


def swapped(scene, random):
    """A true sentence on two things and the false one in which they have changed colors, or None.

    ("a red circle and a blue square", "a blue circle and a red square"): the same words, bound otherwise.
    """
    there = kinds(scene)
    pairs = [(a, b) for a in there for b in there if a[0] != b[0] and a[1] != b[1]
             and not {(b[0], a[1]), (a[0], b[1])} <= set(there)]
    if pairs:
        (c, s), (d, t) = pairs[int(random.random() * len(pairs))]
        form = "a {} {} and a {} {}" if random.random() < 0.7 else "the picture shows a {} {} and a {} {}"
        return form.format(c, s, d, t), form.format(d, s, c, t)


def data(scenes, seed):
    """Pictures, ids of 4 B sentences, and two truths: what fits what of `names` and of `captions`, (B, B).

    The sentences of each picture: a name for one kind of its things, a caption (every second one in full), a true
    sentence and a false one close to it.
    """
    random = Random(seed)
    names, words = zip(*(name_one(scene, random) for scene in scenes))
    fits_name = torch.tensor([[word in kinds(scene) for word in words] for scene in scenes])
    captions = [scene.caption(seed, "full" if i % 2 else None) for i, scene in enumerate(scenes)]
    fits = torch.tensor([[world.satisfies(scene, sentence) for sentence in captions] for scene in scenes])
    pairs = [(swapped(scene, random) if i % 2 else None) or near_miss(scene, seed) for i, scene in enumerate(scenes)]
    true, false = zip(*pairs)
    told = torch.tensor([float(len(kinds(scene))) for scene in scenes])
    ids, _ = batches.encode([*names, *captions, *true, *false])
    return batches.pictures(scenes), ids, fits_name, told, fits


def near_miss(scene, seed):
    """A true sentence and a false one that differs in one thing."""
    wrong = world.negatives(scene, 1, seed)[0]
    return wrong.caption, wrong.text


def batch(step):
    return data(batches.scenes(step, BATCH), step)


def read(model, ids, size=64):
    """Unit vectors of many sentences, those of about the same length together: less padding to compute."""
    order = (ids > 0).sum(-1).argsort()
    parts = [model.read(part[:, :(part > 0).sum(-1).max()]) for part in ids[order].split(size)]
    return torch.cat(parts)[order.argsort()]


def shared(logits, fits, told):
    """InfoNCE with its answers shared among all that fit, as the best model of `floor` does.

    The same floor, and less noise than answers that name one of several right ones.
    """
    best = (fits / told[:, None]).log()
    rows = F.cross_entropy(logits, best.softmax(1))
    return (rows + F.cross_entropy(logits.T, best.T.softmax(1))) / 2


def losses(model, data):
    """The three parts: InfoNCE of names, of captions without false negatives, and right against nearly right."""
    images, ids, fits_name, told, fits = data
    pictures, (names, captions, true, false) = model.look(images), read(model, ids).chunk(4)
    scale = model.scale()
    others = fits & ~torch.eye(len(fits), dtype=torch.bool, device=fits.device)
    by_caption = (scale * pictures @ captions.T).masked_fill(others, -torch.inf)
    margin = scale * (pictures * (true - false)).sum(-1)
    by_name = shared(scale * pictures @ names.T, fits_name, told)
    return by_name, info_nce(by_caption), F.softplus(-margin).mean()


def loss(model, data):
    by_name, by_caption, near = losses(model, data)
    return 3 * by_name + by_caption + near


def distinct(seeds, count=64):
    """Scenes and one full sentence each, of which every one is true of its own scene alone."""
    chosen = []
    for seed in seeds:
        scene = world.sample(seed)
        sentence = scene.caption(seed, "full")
        if not any(world.satisfies(scene, other) or world.satisfies(old, sentence) for old, other in chosen):
            chosen.append((scene, sentence))
        if len(chosen) == count:
            return zip(*chosen)


def look(model, scenes):
    """The unit vectors of scenes' pictures, (N, width)."""
    return torch.cat([model.look(part.to(device())) for part in batches.pictures(scenes).split(64)])


def retrieval(model, seeds, groups=8):
    """Picture to text and text to picture among 64 distinct scenes: how often the best is the right one."""
    ways = []
    for group in range(groups):
        scenes, sentences = distinct(seeds[group * 200:])
        scores = look(model, scenes) @ model.read_all(sentences).T
        own = torch.arange(len(scores), device=scores.device)
        ways.append([(part.argmax(-1) == own).float().mean().item() for part in (scores, scores.T)])
    return torch.tensor(ways).mean(0).tolist()


def zero_shot(model, seeds, count=500):
    """Color and shape of lone things by 24 prompts, "a red circle", ...: how often each is right."""
    scenes = [world.sample(seed, world.Spec(objects=(1, 1))) for seed in seeds[:count]]
    prompts = [f"a {color} {shape}" for color, shape in KINDS]
    said = [KINDS[i] for i in (look(model, scenes) @ model.read_all(prompts).T).argmax(-1).tolist()]
    right = [(color == scene[0].color, shape == scene[0].shape) for (color, shape), scene in zip(said, scenes)]
    return torch.tensor(right).float().mean(0).tolist()


def choices(model, scenes, pairs):
    """How often a picture prefers the true sentence of its pair (true, false)."""
    true, false = (model.read_all(list(texts)) for texts in zip(*pairs))
    return (look(model, scenes) * (true - false)).sum(-1).gt(0).float().mean().item()


def binding(model, seeds, count=500):
    """Two things of two colors: which color belongs to which shape?"""
    scenes = [world.sample(seed, world.Spec(objects=(2, 2))) for seed in seeds[:2 * count]]
    found = [(scene, pair) for i, scene in enumerate(scenes) if (pair := swapped(scene, Random(i)))]
    return choices(model, *zip(*found[:count]))


def one_change(model, seeds, change, count=300):
    """A true sentence against the same with one thing changed (see `world.negatives`), where a scene has such."""
    scenes, pairs = [], []
    for scene in map(world.sample, seeds[:2 * count]):
        try:
            wrong = world.negatives(scene, 1, 0, change=change)[0]
        except ValueError:                                   # one thing alone has no relation
            continue
        scenes.append(scene)
        pairs.append((wrong.caption, wrong.text))
    return choices(model, scenes[:count], pairs[:count])


def against_floor(model, first, count=64, steps=32):
    """InfoNCE of names on new batches of `count`, and its floor there."""
    found = []
    for step in range(steps):
        images, ids, fits, told, _ = (part.to(device()) for part in data(batches.scenes(step, count, first=first), step))
        reached = info_nce(model.scale() * model.look(images) @ read(model, ids.chunk(4)[0]).T)
        found.append((reached.item(), floor(fits, told).item()))
    return torch.tensor(found).mean(0).tolist()


@torch.no_grad()
def evaluate(model, split="validation"):
    """Held-out scores: retrieval, zero-shot, hard choices, and the loss beside its floor."""
    model, seeds = model.to(device()).eval(), world.split(split).seeds
    scores = dict(zip(("picture_to_text", "text_to_picture"), retrieval(model, seeds)))
    scores |= zip(("zero_shot_color", "zero_shot_shape"), zero_shot(model, seeds))
    scores |= zip(("loss", "floor"), against_floor(model, seeds[0]))
    scores["loss_over_floor"] = scores["loss"] / scores["floor"]
    scores["binding"] = binding(model, seeds)
    return scores | {f"changed_{change}": one_change(model, seeds, change)
                     for change in ("color", "shape", "size", "relation", "count")}


RECIPE = Recipe(model=start, batch=batch, loss=loss, steps={"cpu": 4000, "gpu": 6000}, evaluate=evaluate,
                options={"lr": 2e-3, "muon": 0.02, "warmup": 50, "every": 50})
