"""A painter of 128 x 128 pixels, grown from that of 64 (recipes/painter.py), for lesson 34.

A patch covers an eighth of the picture at both sizes, so what the painter knows of words and places can stay. Its first layer
begins with the means of 2 x 2 pixels, its last gives each pixel four times. What remains to be learned are finer edges, and
that the same noise hides less (`painter.times`): 16 minutes on one core. Of 100 new sentences of each category it paints right,
with guidance 1.5 and up to 100 tries: everything 98%, each other category 100% (data/make_text2image.py).
"""

from mmcourse.recipes import Recipe, load_weights, painter

SIZE = 128


def model():
    """`zoo.load("painter")` with four pixels for each of its own."""
    large, weights = painter.model(SIZE), load_weights("painter")
    first, last, bias = (weights[f"dit.{name}"] for name in ("patch.weight", "output.weight", "output.bias"))
    grown = {"dit.patch.weight": fourfold(first) / 4, "dit.output.weight": fourfold(last.T).T, "dit.output.bias": fourfold(bias)}
    large.load_state_dict(large.state_dict() | weights | grown)
    return large


def fourfold(numbers):
    """Numbers (..., 3 * 8 * 8) of a patch's pixels, each four times: (..., 3 * 16 * 16)."""
    return numbers.unflatten(-1, (3, 8, 8)).repeat_interleave(2, -2).repeat_interleave(2, -1).flatten(-3)


def batch(step):
    """As the painter's, of scenes that it has not seen."""
    return painter.batch(step + painter.RECIPE.steps["cpu"], SIZE)


RECIPE = Recipe(model=model, batch=batch, loss=painter.loss, steps={"cpu": 3000, "gpu": 4000}, evaluate=painter.evaluate,
                options=painter.RECIPE.options | {"muon": 0.01})
