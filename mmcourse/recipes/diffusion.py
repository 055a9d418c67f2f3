"""The small diffusion model of lesson 33: close-ups of 32 x 32 pixels, one large thing of one of 24 kinds on each."""

from random import Random

import torch

from mmcourse import batches, device, world
from mmcourse.models.diffusion import ANYTHING, Flow, KindDiT
from mmcourse.models.text2image import LEAST, images
from mmcourse.models.vit import KINDS
from mmcourse.recipes import Recipe

SIDE, PICTURES = 32, 32                          # pixels, and pictures of a step
MIDDLE = slice(SIDE // 2, SIDE // 2 + SIDE)      # what a close-up shows of a picture with twice its side


def close_up(scenes):
    """The middle of the scenes' pictures: (B, 3, 32, 32), as large as on pictures of 64 x 64."""
    return batches.pictures(scenes, 2 * SIDE)[:, :, MIDDLE, MIDDLE]


def shown(seeds):
    """Close-ups (B, 3, 32, 32) of one large thing, up to 4 pixels off the middle, and the number of its kind (B,)."""
    scenes, kinds = [], []
    for random in map(Random, seeds):
        kind, *off = random.randrange(len(KINDS)), random.randint(-8, 8), random.randint(-8, 8)
        x, y = (0.5 + steps / 128 for steps in off)
        scenes.append(world.Scene((world.Object(KINDS[kind][1], KINDS[kind][0], "large", x=x, y=y),)))
        kinds.append(kind)
    return close_up(scenes), torch.tensor(kinds)


def noised(pictures, kinds, chance):
    """What a step needs: pictures, kinds (one of ten is left out: ANYTHING), times (B,) and noise."""
    kept = torch.rand(len(kinds), generator=chance) > 0.1
    times = torch.sigmoid(torch.randn(len(kinds), generator=chance) + 0.5)
    return pictures, torch.where(kept, kinds, ANYTHING), times, torch.randn(pictures.shape, generator=chance)


def batch(step):
    first = step * batches.STRIDE
    return noised(*shown(range(first, first + PICTURES)), torch.Generator().manual_seed(step))


def loss(model, data, says="picture"):
    """The mean squared error of the velocity, whatever the model `says` (JiT: Li and He 2025)."""
    pictures, kinds, t, noise = data
    x = Flow().add(pictures, noise, t)
    guess, _ = Flow().read(x, model(x, t, kinds), t.clamp(max=1 - LEAST) if says == "noise" else t, says)
    return ((guess - pictures) / t.clamp(min=LEAST)[:, None, None, None]).square().mean()


def read(x):
    """What the oracle reads in close-ups x (B, 3, 32, 32), each laid on white paper: a list of scenes."""
    return world.read(images(torch.nn.functional.pad(x, [SIDE // 2] * 4, value=1.0)))


def judge(x, kinds):
    """The oracle's verdict on close-ups x (B, 3, 32, 32) that should show these kinds (B,).

    Returns the share that shows one thing that it can name, the share that shows one of the right kind (any, for
    ANYTHING), and how far the named ones are from a clean drawing of what it read (root mean square, 0 to 255).
    """
    scenes = read(x)
    names = [KINDS.index((scene[0].color, scene[0].shape)) if len(scene) == 1 and scene[0].texture == "solid"
             and (scene[0].color, scene[0].shape) in KINDS else None for scene in scenes]
    clear = [k for k, name in enumerate(names) if name is not None]
    right = sum(kinds[k].item() in (names[k], ANYTHING) for k in clear)
    if not clear:
        return 0.0, 0.0, float("nan")
    off = (x[clear].clamp(-1, 1) - close_up([scenes[k] for k in clear])).square().mean((1, 2, 3)).sqrt()
    return len(clear) / len(kinds), right / len(kinds), 127.5 * off.mean().item()


@torch.no_grad()
def draw(model, kinds, steps=20, seed=0):
    """Pictures (B, 3, 32, 32) of these kinds (B,), in straight steps from noise."""
    noise = torch.randn(len(kinds), 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)).to(device())
    return Flow().sample(lambda x, t: model(x, t, kinds.to(device())), noise, steps, "picture").cpu()


def evaluate(model, n=96):
    """Of n pictures of each sort: right kind (the right ones of 24), one thing (unconditional), distance from clean."""
    kinds, anything = torch.arange(n) % ANYTHING, torch.full((n,), ANYTHING)
    _, right, far = judge(draw(model, kinds, seed=2 ** 31), kinds)
    return {"kind": right, "one thing": judge(draw(model, anything, seed=2 ** 31 + 1), anything)[0], "off by": far}


def model():
    return KindDiT(SIDE, patch_size=8, d_model=64, num_heads=4, num_layers=4)


RECIPE = Recipe(model=model, batch=batch, loss=loss, steps={"cpu": 2000, "gpu": 2000}, evaluate=evaluate,
                options={"lr": 3e-3, "muon": 0.02, "warmup": 100, "every": 50})
