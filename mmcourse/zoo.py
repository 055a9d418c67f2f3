"""The trained models of the course: load by name, verified against the manifest."""

import hashlib

from safetensors.torch import load as read_tensors

from mmcourse import UsageError, device, recipes


def names():
    """The models that are shipped."""
    return sorted(recipes.manifest())


def load_weights(name):
    """The tensors of a shipped model, {name: tensor}. Raises UsageError if the file is missing or not the shipped one."""
    entry = recipes.manifest().get(name)
    if entry is None:
        raise UsageError(f"There is no model {name!r}: choose one of {', '.join(names()) or 'none yet'}.")
    path = recipes.weights() / entry["file"]
    content = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise UsageError(f"{path.name} is missing or not the file that was shipped: run `git checkout data/weights`, or "
                         f"train it anew with `mmcourse train {name}`.")
    return read_tensors(content)


def load(name):
    """A shipped model, ready to use on this machine's device: `zoo.load("lm")`."""
    weights = load_weights(name)
    model = recipes.find(name).model()
    model.load_state_dict(weights)
    return model.to(device()).eval()
