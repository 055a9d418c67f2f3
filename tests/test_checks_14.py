"""The checks of lesson 14 against right and wrong answers: every mistake meets the hint that names it."""

import prove
import torch
import torch.nn.functional as F

RIGHT = {"numbers": 768, "patches": 196, "tokens": 197, "pairs": 16, "llava": 576, "bag": False}


def axes(order, swapped=False):
    """Put a picture together with its six axes in this order."""
    def assemble(patches, size, height, width):
        rows, columns = (width // size, height // size) if swapped else (height // size, width // size)
        six = patches.reshape(len(patches), rows, columns, 3, size, size).permute(order)
        return six.reshape(len(patches), 3, height, width)
    return assemble


def painted(patches, size, height, width):
    """Every patch laid into an empty picture, by loops."""
    out = torch.zeros(len(patches), 3, height, width)
    for n in range(patches.shape[1]):
        row, column = n // (width // size) * size, n % (width // size) * size
        out[:, :, row:row + size, column:column + size] = patches[:, n].reshape(-1, 3, size, size)
    return out


def colors_last(patches, size, height, width):
    six = patches.reshape(len(patches), height // size, width // size, size, size, 3)
    return six.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), 3, height, width)


def vit_input(cells=lambda grid: grid.flatten(2).transpose(1, 2), join=None, bias=True):
    def embed(images, kernel, b, first, position):
        patches = cells(F.conv2d(images, kernel, b if bias else None, stride=kernel.shape[-1]))
        return (join or good_join)(first.expand(len(images), 1, -1), patches, position)
    return embed


def good_join(first, patches, position):
    return torch.cat([first, patches], 1) + position


def resized(mode="bilinear", there=None, back=None, **options):
    def stretch(position, side):
        n, width = round((len(position) - 1) ** 0.5), position.shape[1]
        sheet = (there or (lambda p: p.T.reshape(width, n, n)))(position[1:])
        sheet = sheet if sheet.shape == (width, n, n) else sheet.reshape(width, n, n)
        larger = F.interpolate(sheet[None], size=(side, side), mode=mode, **options)[0]
        return torch.cat([position[:1], (back or (lambda x: x.flatten(1).T))(larger)])
    return stretch


def laid_again(position, side):
    rest = position[1:]
    return torch.cat([position[:1], rest.repeat(-(-side * side // len(rest)), 1)[:side * side]])


def cells_of(tokens, first=1, last=None, turn=True, swap=False):
    kept = tokens[:, first:last]
    side, width = round(kept.shape[1] ** 0.5), tokens.shape[2]
    grid = (kept.transpose(1, 2) if turn else kept).reshape(len(tokens), width, side, side)
    return grid.transpose(2, 3) if swap else grid


def discriminant(tokens, labels, new):
    """Fisher's linear discriminant: the means, seen through the spread within a shape (a little of it evened out)."""
    means = torch.stack([tokens[labels == shape].mean(0) for shape in range(4)])
    within = tokens - means[labels]
    spread = within.T @ within / len(within)
    weights = torch.linalg.solve(spread + 0.01 * spread.diag().mean() * torch.eye(128), means.T)      # (128, 4)
    return (new @ weights - 0.5 * (means.T * weights).sum(0)).argmax(1)


def least_squares(tokens, labels, new):
    known, asked = (F.pad(x, (0, 1), value=1.0) for x in (tokens, new))
    return (asked @ torch.linalg.lstsq(known, F.one_hot(labels).float()).solution).argmax(1)


def ridge(strength):
    def learn(tokens, labels, new):
        x, y = tokens - tokens.mean(0), F.one_hot(labels, 4).float()
        return ((new - tokens.mean(0)) @ torch.linalg.solve(x.T @ x + strength * torch.eye(128), x.T @ (y - y.mean(0)))).argmax(1)
    return learn


def by_factor(position, side):
    n = round((len(position) - 1) ** 0.5)
    larger = F.interpolate(position[1:].T.reshape(1, -1, n, n), scale_factor=side / n, mode="bilinear")[0]
    return torch.cat([position[:1], larger.flatten(1).T])


def nearest(tokens, labels, new):
    return labels[torch.cdist(new, tokens).argmin(1)]


CORRECT = {                                                   # written otherwise than the course's solutions
    "14.1": [lambda: dict(RIGHT), lambda: {**RIGHT, "bag": 0, "pairs": 16.0}],
    "14.2": [axes((0, 3, 1, 4, 2, 5)), painted],
    "14.3": [vit_input(), lambda i, k, b, c, p: torch.cat(
        [(c + p[0]).expand(len(i), 1, -1), F.unfold(i, k.shape[-1], stride=k.shape[-1]).mT @ k.flatten(1).T + b + p[1:]], 1)],
    "14.4": [resized(), resized(align_corners=False)],
    "14.5": [cells_of, lambda t: torch.einsum("byxd->bdyx", t[:, 1:].unflatten(1, (round((t.shape[1] - 1) ** 0.5), -1)))],
    "14.6": [discriminant],
}

WRONG = [
    ("14.1", "three numbers: red", lambda: {**RIGHT, "numbers": 256}),
    ("14.1", "along one side", lambda: {**RIGHT, "patches": 14}),
    ("14.1", "class token comes out too", lambda: {**RIGHT, "tokens": 196}),
    ("14.1", "meets four times as many", lambda: {**RIGHT, "pairs": 4}),
    ("14.1", "one of the 577", lambda: {**RIGHT, "llava": 575}),
    ("14.1", "does not know the order", lambda: {**RIGHT, "bag": True}),
    ("14.1", "exactly the keys", lambda: {"numbers": 768}),
    ("14.2", "Rows and columns are mixed up", lambda p, s, h, w: axes((0, 3, 1, 4, 2, 5))(p, s, *sorted((h, w))).reshape(-1, 3, h, w)),
    ("14.2", "A reshape alone", lambda p, s, h, w: p.reshape(len(p), 3, h, w)),
    ("14.2", "stand together before the rows", axes((0, 3, 1, 2, 4, 5))),
    ("14.2", "lies on its side", axes((0, 3, 1, 5, 2, 4))),
    ("14.2", "stand in columns", axes((0, 3, 2, 4, 1, 5))),
    ("14.2", "colors were taken as the last axis", colors_last),
    ("14.2", "Rows and columns are mixed up", axes((0, 3, 1, 4, 2, 5), swapped=True)),
    ("14.2", "should have the shape", lambda p, s, h, w: painted(p, s, h, w)[:, 0]),
    ("14.3", "positions are missing", vit_input(join=lambda c, x, p: torch.cat([c, x], 1))),
    ("14.3", "stands last", vit_input(join=lambda c, x, p: torch.cat([x, c], 1) + p)),
    ("14.3", "has no position", vit_input(join=lambda c, x, p: torch.cat([c, x + p[1:]], 1))),
    ("14.3", "positions from 0 on", vit_input(join=lambda c, x, p: torch.cat([c, x + p[:-1]], 1))),
    ("14.3", "bias is missing", vit_input(bias=False)),
    ("14.3", "column by column", vit_input(cells=lambda g: g.transpose(2, 3).flatten(2).transpose(1, 2))),
    ("14.3", "Channels and places are mixed", vit_input(cells=lambda g: g.reshape(len(g), -1, g.shape[1]))),
    ("14.3", "Token 0 holds its position alone", vit_input(join=lambda c, x, p: torch.cat([0 * c, x], 1) + p)),
    ("14.3", "Only the class token", vit_input(join=lambda c, x, p: torch.cat([c + p[0], x], 1))),
    ("14.3", "the same position", vit_input(join=lambda c, x, p: torch.cat([c, x], 1) + p[0])),
    ("14.3", "positions from 0 on", vit_input(join=lambda c, x, p: torch.cat([c + p[0], x + p[:-1]], 1))),
    ("14.3", "should have the shape", vit_input(join=lambda c, x, p: x + p[1:])),
    ("14.4", "class token's vector is missing", lambda p, s: resized()(p, s)[1:]),
    ("14.4", "class token's vector has changed", lambda p, s: resized()(p, s) + torch.eye(1 + s * s, p.shape[1])),
    ("14.4", "class token's vector has changed", lambda p, s: torch.cat([torch.zeros_like(p[:1]), resized()(p, s)[1:]])),
    ("14.4", "stands last", lambda p, s: resized()(p, s).roll(-1, 0)),
    ("14.4", "positions are needed", by_factor),
    ("14.4", "without antialiasing", resized(antialias=True)),
    ("14.4", "positions are needed", lambda p, s: p if s * s < len(p) else resized()(p, s)),
    ("14.4", "line after line", laid_again),
    ("14.4", "one old place", resized("nearest")),
    ("14.4", "corners are aligned", resized(align_corners=True)),
    ("14.4", "This is bicubic", resized("bicubic")),
    ("14.4", "changed places", resized(back=lambda x: x.transpose(1, 2).flatten(1).T)),
    ("14.4", "not reshaped", resized(there=lambda p: p)),
    ("14.4", "way back a reshape", resized(back=lambda x: x.reshape(-1, len(x)))),
    ("14.5", "still taken for a patch", lambda t: cells_of(t, 0, -1)),
    ("14.5", "still taken for a patch", lambda t: cells_of(t, 0, -1, turn=False)),
    ("14.5", "features and places are mixed", lambda t: cells_of(t, turn=False)),
    ("14.5", "Rows and columns have changed", lambda t: cells_of(t, swap=True)),
    ("14.5", "should have the shape", lambda t: t[:, 1:]),
    ("14.6", "hardly better than chance", lambda t, y, new: torch.zeros(len(new), dtype=torch.int64)),
    ("14.6", "all 128 directions alike", nearest),
    ("14.6", "Keep its weights small", least_squares),
    ("14.6", "held too small", ridge(100.0)),
    ("14.6", "should be int64", lambda t, y, new: F.one_hot(nearest(t, y, new)).float().argmax(1).float()),
]


test_right_answers_written_otherwise_pass, test_every_mistake_meets_its_hint = prove.tests_of(CORRECT, WRONG)
