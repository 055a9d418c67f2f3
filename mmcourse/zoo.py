"""The trained models of the course: load by name, verified against the manifest."""

from mmcourse import device, recipes


def names():
    """The models that are shipped."""
    return sorted(recipes.manifest())


def load(name):
    """A shipped model, ready to use on this machine's device: `zoo.load("lm")`. Raises UsageError for a name that is not
    shipped, and for a file that is missing or not the shipped one."""
    weights = recipes.load_weights(name)
    model = recipes.find(name).model()
    model.load_state_dict(model.state_dict() | weights)          # what was not trained is not in the file
    return model.to(device()).eval()
