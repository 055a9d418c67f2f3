"""Pictures of scenes: every shape is a polygon, drawn once in fine detail, reduced, and copied with numpy."""

from functools import lru_cache
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from mmcourse.world.scene import BACKGROUNDS, COLORS, GRID, SIZES, UNKNOWN, as_random

PALE = 0.35  # how much of its color the light parts of a striped or outlined object keep
RIM = 0.6  # side of the light part of an outlined object, box = 1
BANDS = 5  # bands of a striped object, every other one light


def _ring(angles, radii):
    return [(r * sin(a), -r * cos(a)) for a, r in zip(angles, radii)]


def _filled(points):
    """Stretch a polygon so that it fills the box from (-1, -1) to (1, 1)."""
    points = np.array(points, float)
    low, high = points.min(0), points.max(0)
    return (points - low) / (high - low) * 2 - 1


_TURN = [2 * pi * k / 64 for k in range(64)]
POLYGONS = {name: _filled(points) for name, points in {
    "circle": _ring(_TURN, [1] * 64),
    "square": [(-1, -1), (1, -1), (1, 1), (-1, 1)],
    "triangle": [(0, -1), (1, 1), (-1, 1)],
    "star": _ring([pi * k / 5 for k in range(10)], [1, 0.42] * 5),
    "cross": [(-.36, -1), (.36, -1), (.36, -.36), (1, -.36), (1, .36), (.36, .36),
              (.36, 1), (-.36, 1), (-.36, .36), (-1, .36), (-1, -.36), (-.36, -.36)],
    "diamond": [(0, -1), (1, 0), (0, 1), (-1, 0)],
    "heart": [(16 * sin(a) ** 3, -13 * cos(a) + 5 * cos(2 * a) + 2 * cos(3 * a) + cos(4 * a)) for a in _TURN],
    "crown": [(-1, -1), (-.5, -.1), (0, -1), (.5, -.1), (1, -1), (1, 1), (-1, 1)],
}.items()}


def check_size(size):
    """Return a picture's size. Raises ValueError unless it is a whole number from 8 to 1024."""
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or not 8 <= size <= 1024:
        raise ValueError(f"A picture of size {size!r} cannot be drawn: give whole pixels from 8 to 1024.")
    return int(size)


def _template(shape, size, texture, pixels, shift_x, shift_y):
    scale = max(2, min(16, 2048 // pixels))
    left, top = shift_x / GRID * scale, shift_y / GRID * scale
    half = SIZES[size] * pixels * scale
    width, height = (-int(-(shift + 2 * half) // scale) for shift in (left, top))

    def draw(fill, points, on):
        corners = [(left + (x + 1) * half - 0.5, top + (y + 1) * half - 0.5) for x, y in points]
        ImageDraw.Draw(on).polygon(corners, fill=fill)
        return on

    blank = Image.new("L", (width * scale, height * scale))
    whole = draw(255, POLYGONS[shape], blank)
    inked = whole.copy()
    light = round(255 * PALE)
    if texture == "outlined":
        draw(light, POLYGONS[shape] * RIM, inked)
    elif texture == "striped":
        pattern = Image.new("L", whole.size, 255)
        for band in range(1, BANDS, 2):
            y0, y1 = 2 * band / BANDS - 1, 2 * (band + 1) / BANDS - 1
            draw(light, [(-1, y0), (1, y0), (1, y1), (-1, y1)], pattern)
        inked = ImageChops.multiply(whole, pattern)
    ink, cover = (np.asarray(layer.reduce(scale), np.float32) / 255 for layer in (inked, whole))
    return ink, cover >= 0.5


_cached = lru_cache(maxsize=8192)(_template)


def template(shape, size, texture, pixels, shift_x, shift_y):
    """How much of each pixel an object colors: float32 (h, w) in [0, 1], and bool (h, w) for its mask.

    `pixels` is the picture's side; the box begins shift/128 of a pixel right of and below the patch's corner.
    """
    draw_one = _cached if pixels <= 128 else _template  # large ones would fill the memory
    return draw_one(shape, size, texture, pixels, shift_x, shift_y)


def _patches(scene, pixels):
    """Yield (object, window, ink, mask) with window = (rows, columns) of the canvas, cut at its edges."""
    for thing in scene:
        if UNKNOWN in (thing.shape, thing.color, thing.texture):
            raise ValueError("An object with an unknown shape, color or texture cannot be drawn.")
        half = round(SIZES[thing.size] * GRID)
        left, shift_x = divmod((round(thing.x * GRID) - half) * pixels, GRID)
        top, shift_y = divmod((round(thing.y * GRID) - half) * pixels, GRID)
        ink, mask = template(thing.shape, thing.size, thing.texture, pixels, shift_x, shift_y)
        height, width = ink.shape
        if left < 0 or top < 0 or left + width > pixels or top + height > pixels:
            cut = (slice(max(-top, 0), max(pixels - top, 0)), slice(max(-left, 0), max(pixels - left, 0)))
            ink, mask = ink[cut], mask[cut]
            top, left = max(top, 0), max(left, 0)
            height, width = ink.shape
        yield thing, (slice(top, top + height), slice(left, left + width)), ink, mask


_PAINT = {name: np.array(color, np.float32) for name, color in (COLORS | BACKGROUNDS).items()}


def draw(scenes, size=64):
    """The pictures of a list of scenes: uint8 array (N, size, size, 3). Later objects cover earlier ones."""
    size = check_size(size)
    canvas = np.empty((len(scenes), size, size, 3), np.float32)
    for page, scene in zip(canvas, scenes):
        page[:] = _PAINT[scene.background]
        for thing, window, ink, _ in _patches(scene, size):
            part = page[window]
            part += ink[..., None] * (_PAINT[thing.color] - part)
        if scene.noise:
            random = np.random.default_rng(as_random(scene, 0).getrandbits(64))
            page += scene.noise * random.standard_normal(page.shape, np.float32)
            np.clip(page, 0, 255, out=page)
    canvas += 0.5
    return canvas.astype(np.uint8)


def image(scene, size=64):
    """The picture of a scene: PIL.Image, RGB, size x size."""
    return Image.fromarray(draw([scene], size)[0])


def masks(scene, size=64):
    """bool array (N, size, size): the pixels that are at least half each object's, and not covered."""
    size = check_size(size)
    out = np.zeros((len(scene), size, size), bool)
    for index, (_, window, _, mask) in enumerate(_patches(scene, size)):
        out[(slice(index), *window)] &= ~mask
        out[(index, *window)] = mask
    return out


def boxes(scene, size=64):
    """float array (N, 4): x0, y0, x1, y1 of each object's box in pixels."""
    return np.array([thing.box for thing in scene], float).reshape(-1, 4) * check_size(size)
