"""How each shipped model was trained: one module a model, with its data, schedule and evaluation.

A module of this package defines RECIPE = Recipe(...). `mmcourse train NAME` runs it: it goes on where a killed run
stopped, judges the model on held-out scenes, and puts weights and scores into data/weights/.
"""

import hashlib
import importlib
import json
import pkgutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load as read_tensors, save_file

import mmcourse
from mmcourse import UsageError, files, training


@dataclass(frozen=True)
class Recipe:
    """model() builds the model untrained; batch(step) and loss(model, data) are as in `training.fit`, as are `options`.

    steps is {"cpu": n, "gpu": n}; evaluate(model) returns held-out scores, {"accuracy": 0.98, ...}.
    """

    model: Callable
    batch: Callable
    loss: Callable
    steps: dict
    evaluate: Callable
    options: dict


def names():
    """The models that have a recipe."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name):
    """The recipe of a model. Raises UsageError with the names there are."""
    if name not in names():
        raise UsageError(f"There is no model {name!r}: choose one of {', '.join(names())}.")
    return importlib.import_module(f"{__name__}.{name}").RECIPE


def weights():
    """The folder of the shipped weights (a Path)."""
    return Path(mmcourse.__file__).resolve().parent.parent / "data" / "weights"


def manifest():
    """What is shipped: {name: {"file", "sha256", "scores", "steps", "seconds", "device"}}."""
    path = weights() / "manifest.json"
    try:
        return json.loads(path.read_text("utf-8")) if path.exists() else {}
    except ValueError:
        raise UsageError(f"{path} cannot be read: run `git checkout data/weights`, or fetch the course anew.") from None


def load_weights(name):
    """The tensors of a shipped model, {name: tensor}. Raises UsageError if the file is missing or not the shipped one."""
    entry = manifest().get(name)
    if entry is None:
        raise UsageError(f"There is no model {name!r}: choose one of {', '.join(sorted(manifest())) or 'none yet'}.")
    path = weights() / entry["file"]
    content = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise UsageError(f"{path.name} is missing or not the file that was shipped: run `git checkout data/weights`, or "
                         f"train it anew with `mmcourse train {name}`.")
    return read_tensors(content)


def halved(loss):
    """The same loss with the matrix products in bfloat16, if the device has them in hardware."""
    def in_half(model, data):
        with training.half(mmcourse.device()):
            return loss(model, data)
    return in_half


def train(name, steps=None, until=None):
    """Train a model by its recipe, judge it, and ship it: data/weights/NAME.safetensors and its line in the manifest. A run
    that was cut off goes on; one that is shipped is over, and the next begins anew.

    With a score `until`, only print how the held-out score grows over the seconds until it is reached, and ship nothing.
    """
    recipe, start = find(name), time.perf_counter()
    manifest()                                                                 # a broken one is named before the work
    torch.manual_seed(0)
    model = recipe.model()
    steps = steps or recipe.steps[mmcourse.budget()]
    if until is not None:
        return curve(recipe, model, steps, until)
    checkpoint = mmcourse.root() / "runs" / f"{name}.safetensors"
    losses = training.fit(model, recipe.batch, halved(recipe.loss), steps, checkpoint=checkpoint, **recipe.options)
    seconds = round(time.perf_counter() - start)
    model.load_state_dict(model.state_dict() | packed(model))                  # judged as it is shipped
    scores = {key: round(value, 4) for key, value in recipe.evaluate(model).items()}
    print(f"{name}: {steps} steps, loss {losses[-1]:.4f}, held-out scores {scores}")
    ship(name, model, {"scores": scores, "steps": steps, "seconds": seconds, "device": str(mmcourse.device())})
    checkpoint.unlink(missing_ok=True)


class Reached(Exception):
    """The score that was waited for is there."""


def curve(recipe, model, steps, until, every=100):
    """Train without a checkpoint, printing the first of the recipe's held-out scores every `every` steps and at the end,
    until it is at least `until`. Returns [(seconds without those of judging, processor seconds, score), ...]."""
    points, step, start, quick = [], 0, (time.perf_counter(), time.process_time()), halved(recipe.loss)

    def reached():
        nonlocal start
        now = (time.perf_counter(), time.process_time())
        name, score = next(iter(recipe.evaluate(model.eval()).items()))
        model.train()
        points.append((now[0] - start[0], now[1] - start[1], score))
        print("step {}: {:.0f} s ({:.0f} s of processor time), {} {:.4f}".format(step, *points[-1][:2], name, score), flush=True)
        start = (start[0] + time.perf_counter() - now[0], start[1] + time.process_time() - now[1])
        return score >= until

    def loss(model, data):
        nonlocal step
        if step and step % every == 0 and reached():
            raise Reached
        step += 1
        return quick(model, data)

    try:
        training.fit(model, recipe.batch, loss, steps, **recipe.options)
        done = reached()
    except Reached:
        done = True
    print(f"{until} is reached." if done else f"After {steps} steps the score is still below {until}: --steps gives it more.")
    return points


def packed(model):
    """A model's weights as they are shipped: in float32, or in float16 where that would take more than 8 MB. Parameters
    that are not trained (another model's, which recipe.model() loads) are left out."""
    frozen = {key for key, value in model.named_parameters() if not value.requires_grad}
    tensors = {key: value.contiguous().cpu() for key, value in model.state_dict().items() if key not in frozen}
    if sum(value.nbytes for value in tensors.values()) <= 8e6:
        return tensors
    return {key: value.half() if value.is_floating_point() else value for key, value in tensors.items()}


def ship(name, model, facts):
    """Write a model's weights as safetensors and its line in the manifest, each whole or not at all."""
    weights().mkdir(parents=True, exist_ok=True)
    path = weights() / f"{name}.safetensors"
    with files.whole(path) as beside:
        save_file(packed(model), beside)
        digest = hashlib.sha256(beside.read_bytes()).hexdigest()
    entries = manifest() | {name: {"file": path.name, "sha256": digest, **facts}}
    files.write(weights() / "manifest.json", json.dumps(entries, indent=1, sort_keys=True) + "\n")
