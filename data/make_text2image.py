"""Measure the shipped text-to-image model for lesson 34, and write the numbers into data/text2image.json.

    python data/make_text2image.py [NAME ...] [--count 500]

NAME is one of the parts below, by default those that are not there yet for the shipped weights. At 500 sentences a category
painter and guidance took 25 minutes each on one core and painter128 ten, the others together about an hour; a part that is there is not measured
again, so a stopped run goes on.
"""

import argparse
import itertools
import json
import time
from pathlib import Path

import torch

from mmcourse import batches, metrics, recipes, world, zoo
from mmcourse.models.text2image import images
from mmcourse.models.vae import VAE, scale_factor, vae_loss
from mmcourse.recipes.painter import drawn
from mmcourse.training import fit

TO = Path(__file__).with_name("text2image.json")
FIRST = 2 ** 31 + 50_000                                     # these sentences chose only how many tries `draw` has
BEFORE = 1.5                                                 # the guidance that the painter needs before any marks
BOTH = {"painter": BEFORE, "text2image": 1.0}
WEIGHTS, STEPS = (0, 1, 1.5, 2, 3, 5, 8, 12), (2, 4, 8, 12, 20, 50)


def asked(category, count):
    return world.prompts(category, count, FIRST + world.CATEGORIES.index(category))


def all_asked(count):
    return [prompt for category in world.CATEGORIES for prompt in asked(category, count)]


def told(count):
    """Captions of scenes with one to four things, as in training, that name all of them."""
    return [world.sample(seed, world.Spec(objects=(1, 4))).caption(seed, "full") for seed in range(FIRST, FIRST + count)]


def draw(said, model="text2image", **options):
    """Pictures of sentences, or of world.Prompt."""
    return zoo.load(model).draw([getattr(one, "text", one) for one in said], seed=FIRST, **options)


def category(name):
    """The share of right pictures, as `draw` hands them in, at the first try, and at the first try before any marks."""
    def measure(count):
        prompts = asked(name, count)
        drawn = {"share": draw(prompts), "first": draw(prompts, tries=1),
                 "before": draw(prompts, "painter", tries=1, guidance=BEFORE)}
        return {key: world.score(prompts, pictures)[name] for key, pictures in drawn.items()} | {"count": count}
    return measure


def features(pictures):
    """What the course's eye sees, (N, 128): the mean of its tokens."""
    eye = zoo.load("vision")
    with torch.no_grad():
        return torch.cat([eye(part).mean(1) for part in batches.pixels(pictures).split(100)])


def real(count, first):
    """As many pictures of the world as there are sentences, of one to four things, as in training."""
    return [world.sample(seed, world.Spec(objects=(1, 4))).image(64) for seed in range(first, first + count)]


def diversity(prompts, **options):
    """The mean distance between the features of pictures of one sentence, by pairs of eight seeds."""
    apart = []
    for prompt in prompts:
        seen = features(draw([prompt] * 8, tries=1, **options))
        apart.append(torch.pdist(seen).mean().item())
    return sum(apart) / len(apart)


def guidance(count):
    """First tries by guidance weight, before any marks and after: the share of right ones, KID, and diversity."""
    prompts, said, one = all_asked(count // 10), told(2 * count // 5), features(real(2 * count, FIRST + 10 ** 6))
    rows = {name: [] for name in BOTH}
    for name, weight in itertools.product(BOTH, WEIGHTS):
        seen = features(draw(said, name, tries=1, guidance=weight))
        rows[name].append({"guidance": weight, "kid": metrics.kid(one, seen),
                           "right": world.score(prompts, draw(prompts, name, tries=1, guidance=weight))["overall"],
                           "diversity": diversity(all_asked(3), model=name, guidance=weight)})
    return {"rows": rows, "count": len(prompts)}


def steps(count):
    """Quality by number of steps."""
    prompts = all_asked(max(2, count // 20))
    return {"rows": [{"steps": n, "overall": world.score(prompts, draw(prompts, steps=n, tries=1))["overall"]} for n in STEPS],
            "count": len(prompts)}


def distances(count):
    """FID and KID between fresh renders and pictures of fresh sentences, those before any marks, and other renders; and the
    diversity of the pictures."""
    made = {"renders": features(real(2 * count, FIRST + 2 * 10 ** 6))} | {
        name: features(draw(told(2 * count), name, tries=1, guidance=weight)) for name, weight in BOTH.items()}
    one = features(real(2 * count, FIRST + 10 ** 6))
    rows = {name: {"fid": metrics.fid(one, seen), "kid": metrics.kid(one, seen)} for name, seen in made.items()}
    for name, weight in BOTH.items():
        rows[name]["diversity"] = diversity(all_asked(3), model=name, guidance=weight)
    return rows | {"count": 2 * count}


def nearest(count):
    """The nearest of many training pictures: root mean squared distance, of drawn pictures and of fresh renders."""
    training, said = 40 * count, [drawn(FIRST + k) for k in range(count // 5)]
    made = batches.pixels(zoo.load("text2image").draw([sentence for _, sentence in said], seed=FIRST, tries=1))
    fresh, best = batches.pictures([scene for scene, _ in said]), torch.full((2, len(said)), torch.inf)
    for step in range(count):                                           # 40 of the 48 pictures of each of the first steps
        seen = batches.pictures([drawn(step * batches.STRIDE + k)[0] for k in range(40)]).flatten(1)
        for row, pictures in enumerate((made, fresh)):
            best[row] = best[row].minimum(torch.cdist(pictures.flatten(1), seen).min(1).values)
    best = best / made[0].numel() ** 0.5
    rows = {name: {"median": row.median().item(), "smallest": row.min().item()}
            for name, row in zip(("drawn", "fresh"), best)}
    return rows | {"training": training, "count": len(said)}


def vae(count):
    """A VAE trained for 3 * count steps: its error, its scale factor, and how many scenes the oracle still reads right."""
    torch.manual_seed(0)
    model = VAE()
    fit(model, lambda step: batches.pictures(batches.scenes(step, 24)), vae_loss, 3 * count, lr=2e-3)
    scenes = [world.sample(seed) for seed in range(FIRST, FIRST + count)]
    pictures = batches.pictures(scenes)
    with torch.no_grad():
        back = model.decode(model.encode(pictures)[0])
    right = sum(world.read(image) == scene for image, scene in zip(images(back), scenes))
    return {"rmse": (back - pictures).square().mean().sqrt().item(), "scale": scale_factor(model, pictures),
            "read": right / count, "count": count}


def alone(name, part):
    """The shares of right pictures, in up to 100 tries, of a painter that learned from pictures alone, by category."""
    def measure(count):
        shares, count = {}, max(2, round(part * count))
        for category in world.CATEGORIES:
            prompts = asked(category, count)
            shares[category] = world.score(prompts, draw(prompts, name, guidance=BEFORE))[category]
        return {"shares": shares, "count": count}
    return measure


PARTS = {name: category(name) for name in world.CATEGORIES} | {
    "guidance": guidance, "steps": steps, "distances": distances, "nearest": nearest, "vae": vae,
    "painter": alone("painter", 1), "painter128": alone("painter128", 0.2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="; ".join(PARTS))
    parser.add_argument("--count", type=int, default=500)
    given, shipped = parser.parse_args(), recipes.manifest()
    for name in given.names or PARTS:
        found = json.loads(TO.read_text("utf-8")) if TO.exists() else {}
        mark = "any" if name == "vae" else shipped[name if name in shipped else "text2image"]["sha256"]
        if not given.names and found.get(name, {}).get("weights") == mark and found[name].get("of", 0) >= given.count:
            continue
        start = time.perf_counter()
        row = PARTS[name](given.count) | {"weights": mark, "of": given.count}
        print(name, row, f"{time.perf_counter() - start:.0f} s", flush=True)
        found = json.loads(TO.read_text("utf-8")) if TO.exists() else {}              # others may have measured meanwhile
        TO.write_text(json.dumps(found | {name: row}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
