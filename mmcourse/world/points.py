"""Point clouds: a scene as solids that stand on the ground, seen from above as in its picture.

Every object is its shape with upright walls, as tall as its box is wide: a circle is a cylinder, a square a
cube. x runs to the right, y away (the picture's 1 - y), z up; the ground is z = 0 and the canvas 1 x 1.
"""

from typing import NamedTuple

import numpy as np

from mmcourse.world.drawing import BANDS, PALE, POLYGONS, RIM
from mmcourse.world.scene import BACKGROUNDS, COLORS, SIZES, UNKNOWN, as_random


class Cloud(NamedTuple):
    """n points on the surface of the objects of a scene.

    points float32 (n, 3); normals float32 (n, 3), length 1, out of the object; colors float32 (n, 3), RGB in
    [0, 1]; labels int64 (n,), the number of the point's object in the scene: the answer to "which object is
    this a point of?"
    """
    points: np.ndarray
    normals: np.ndarray
    colors: np.ndarray
    labels: np.ndarray


def inside(places, polygon):
    """Which places (n, 2) lie in a polygon (k, 2): bool (n,). Even-odd rule."""
    x, y = places.T[:, :, None]
    (x0, y0), (x1, y1) = polygon.T, np.roll(polygon, -1, 0).T
    with np.errstate(divide="ignore", invalid="ignore"):
        crossed = ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return crossed.sum(1) % 2 == 1


def _areas(polygon):
    """Areas of the prism of height 2 over a polygon (k, 2): of the top, signed, and of each wall (k,)."""
    ahead = np.roll(polygon, -1, 0)
    top = (polygon[:, 0] * ahead[:, 1] - polygon[:, 1] * ahead[:, 0]).sum() / 2
    return top, 2 * np.linalg.norm(ahead - polygon, axis=1)


def _tops(polygon, n, random):
    """n places (n, 2) uniform in a polygon, by rejection: every shape fills a quarter of its box or more."""
    places = np.zeros((0, 2))
    while len(places) < n:
        more = random.uniform(-1, 1, (4 * n + 16, 2))
        places = np.concatenate([places, more[inside(more, polygon)]])
    return places[:n]


def _solid(shape, n, random):
    """n points uniform on top and walls of a shape's prism, x, y in [-1, 1], z in [0, 2]; their normals."""
    polygon = POLYGONS[shape] * [1, -1]  # y away
    top, walls = _areas(polygon)
    ahead = np.roll(polygon, -1, 0) - polygon
    outward = np.stack([ahead[:, 1], -ahead[:, 0]], 1) * np.sign(top) / np.linalg.norm(ahead, axis=1)[:, None]
    face = random.choice(len(polygon) + 1, n, p=np.append(walls, abs(top)) / (walls.sum() + abs(top)))
    on_top = face == len(polygon)
    wall = np.where(on_top, 0, face)
    along, height = random.random((2, n, 1))
    points = np.concatenate([polygon[wall] + along * ahead[wall], 2 * height], 1)
    normals = np.concatenate([outward[wall], np.zeros((n, 1))], 1)
    points[on_top] = np.pad(_tops(polygon, on_top.sum(), random), ((0, 0), (0, 1)), constant_values=2)
    normals[on_top] = 0, 0, 1
    return points, normals


def _faint(thing, points):
    """Which points of a solid have the light part of its texture: bool (n,)."""
    if thing.texture == "striped":
        return ((1 - points[:, 1]) / 2 * BANDS).astype(int) % 2 == 1
    if thing.texture == "outlined":
        return (points[:, 2] == 2) & inside(points[:, :2] / RIM, POLYGONS[thing.shape] * [1, -1])
    return np.zeros(len(points), bool)


def cloud(scene, n=1024, seed=0):
    """A `Cloud` of n points, uniform over the tops and walls of all objects: a pure function.

    What can be asked of it is what can be asked of the scene. Raises ValueError for an empty scene, for an
    object without a name for its shape, color or texture, and for n that is no whole number from 1 to
    1,000,000.
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 1 <= n <= 1_000_000:
        raise ValueError(f"A cloud of {n!r} points cannot be made: ask for a whole number, 1 to 1,000,000.")
    if not len(scene) or any(UNKNOWN in (thing.shape, thing.color, thing.texture) for thing in scene):
        raise ValueError("A cloud needs objects with shape, color and texture: give the scene at least one.")
    random = np.random.default_rng(as_random(scene, seed).getrandbits(64))
    areas = np.array([(abs(top) + walls.sum()) * SIZES[thing.size] ** 2
                      for thing in scene for top, walls in [_areas(POLYGONS[thing.shape])]])
    labels = np.sort(random.choice(len(scene), n, p=areas / areas.sum()))
    points, normals, colors = (np.zeros((n, 3), np.float32) for _ in range(3))
    ground = np.array(BACKGROUNDS[scene.background])
    for i, thing in enumerate(scene):
        own = labels == i
        solid, normals[own] = _solid(thing.shape, own.sum(), random)
        points[own] = solid * SIZES[thing.size] + [thing.x, 1 - thing.y, 0]
        ink = np.where(_faint(thing, solid), PALE, 1.0)[:, None]
        colors[own] = (ink * COLORS[thing.color] + (1 - ink) * ground) / 255
    order = random.permutation(n)
    return Cloud(points[order], normals[order], colors[order], labels[order])
