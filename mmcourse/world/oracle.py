"""The oracle reads pictures back into scenes by analysis and synthesis, with nothing learned in it.

What differs from the ground falls into connected pieces. For each piece every shape, size and texture is
drawn at every place nearby; the piece shows the one that explains most of its difference from the ground, in
the color that suits it best. Too poor a fit leaves the shape unknown, too foreign a color the color.
"""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

from mmcourse.world.drawing import template
from mmcourse.world.scene import BACKGROUNDS, COLORS, GRID, SHAPES, SIZES, TEXTURES, UNKNOWN, Object, Scene

LOOKS = [(shape, texture) for shape in SHAPES for texture in TEXTURES]
SIDES = (64, 96, 128)  # a larger picture is first reduced to the next smaller of these
FAINT = 24  # distance from the ground (RGB, 0 to 255) from which on a pixel belongs to an object
PAD = 3  # pixels around a template, room for blur
BLURS = (0, 0.6, 1.0, 1.4)  # sigma in pixels; the later ones are tried where the first does not fit
SHARP = 0.985  # share of a piece's difference from the ground that a fit explains if nothing is blurred
GOOD = 0.86  # ... and to be believed at all
WIDE = 21.5  # half width in grid steps from which on a piece must be several objects that touch
NEAR = 66  # how far (RGB, 0 to 255) a color may be from the one it is called by


def _pixels(picture):
    """float32 (S, S, 3) of a picture, S at most 128. Raises ValueError unless it is square and RGB."""
    if isinstance(picture, Image.Image):
        if picture.mode != "RGB":
            raise ValueError(f"The oracle reads RGB pictures, not {picture.mode}: use image.convert('RGB').")
        picture = np.asarray(picture)
    if not (isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3
            and picture.shape[2] == 3):
        raise ValueError("The oracle reads a PIL image or a uint8 array of shape (size, size, 3).")
    height, width = picture.shape[:2]
    if height != width or not 32 <= height <= 1024:
        raise ValueError(f"The oracle reads square pictures of 32 to 1024 px, not {width} x {height}.")
    side = max((side for side in SIDES if side <= height), default=height)
    if side < height:
        picture = np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BOX))
    return picture.astype(np.float32)


def _spread(labels, allowed):
    """Let labels (int array, 0 for none) grow into their 8 neighbours where allowed, the larger one first."""
    for axis in (0, 1):
        padded = np.pad(labels, [(1, 1) if a == axis else (0, 0) for a in (0, 1)])
        ends = (slice(None, -2), slice(2, None))
        low, high = (padded[end] if axis == 0 else padded[:, end] for end in ends)
        labels = np.maximum(labels, np.maximum(low, high))
    return np.where(allowed, labels, 0)


def _pieces(marked):
    """The 8-connected pieces of a bool array, as a list of bool arrays in the order of their last pixels."""
    labels, before = np.where(marked, np.arange(1, marked.size + 1).reshape(marked.shape), 0), None
    while before is None or (labels != before).any():
        labels, before = _spread(labels, marked), labels
    return [labels == label for label in np.unique(labels)[1:]]


def _edges(piece):
    """x0, y0, x1, y1 of a bool array's marked part, in pixels."""
    rows, columns = (np.flatnonzero(piece.any(axis)) for axis in (1, 0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def _half(piece):
    """Half the longer side of a piece's box, in grid steps."""
    x0, y0, x1, y1 = _edges(piece)
    return max(x1 - x0, y1 - y0) / 2 * GRID / len(piece)


def _split(piece, strength, smallest):
    """Cut a piece that is too wide for one object where it is faintest: a list of pieces."""
    if _half(piece) < WIDE:
        return [piece]
    peak = np.percentile(strength[piece], 90)
    for level in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7):
        cores = [core for core in _pieces(piece & (strength > level * peak)) if core.sum() >= smallest]
        if len(cores) > 1:
            labels = sum(core * number for number, core in enumerate(cores, 1))
            while (piece & (labels == 0)).any():
                labels = np.where(labels, labels, _spread(labels, piece))
            return [part for number in range(1, len(cores) + 1)
                    for part in _split(labels == number, strength, smallest)]
    return [piece]


@lru_cache(maxsize=512)
def _bank(size, pixels, shift_x, shift_y, blur):
    """Every look's template, flat and scaled to length 1 (looks, h * w), the lengths, and (h, w)."""
    inks = []
    for shape, texture in LOOKS:
        ink = np.pad(template(shape, size, texture, pixels, shift_x, shift_y)[0], PAD)
        if blur:
            soft = Image.fromarray((ink * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(blur))
            ink = np.asarray(soft, np.float32) / 255
        inks.append(ink)
    flat = np.stack([ink.ravel() for ink in inks])
    lengths = np.linalg.norm(flat, axis=1)
    return flat / lengths[:, None], lengths, inks[0].shape


def _fit(difference, pixels, middle, size, blur, reach):
    """The best (energy explained, look, color, x, y) near a middle (x, y); places in grid steps, color as
    difference from the ground. `difference` has a margin of pixels // 4 + PAD all around, so that no window
    leaves it."""
    best = (-1.0,)
    half = round(SIZES[size] * GRID)
    for y in range(middle[1] - reach, middle[1] + reach + 1):
        for x in range(middle[0] - reach, middle[0] + reach + 1):
            left, shift_x = divmod((x - half) * pixels, GRID)
            top, shift_y = divmod((y - half) * pixels, GRID)
            bank, lengths, (height, width) = _bank(size, pixels, shift_x, shift_y, blur)
            top, left = top + pixels // 4, left + pixels // 4
            along = bank @ difference[top:top + height, left:left + width].reshape(-1, 3)
            explained = (along ** 2).sum(1)
            look = int(explained.argmax())
            if explained[look] > best[0]:
                best = (float(explained[look]), look, along[look] / lengths[look], x, y)
    return best


def _name(piece, difference, ground, grain):
    """The Object that a piece (bool array) of the picture shows."""
    pixels = len(piece)
    strength = np.linalg.norm(difference, axis=2)
    core = piece & (strength > 0.25 * np.percentile(strength[piece], 90))
    x0, y0, x1, y1 = _edges(core)
    x, y = (round((low + high) / 2 * GRID / pixels) for low, high in ((x0, x1), (y0, y1)))
    half = _half(core)
    own = np.pad(difference * piece[..., None], [(pixels // 4 + PAD,) * 2] * 2 + [(0, 0)])
    energy = max(0.0, float((own ** 2).sum()) - 2 * grain ** 2 * piece.sum())  # less what noise adds to it
    sizes = [size for size in SIZES if abs(SIZES[size] * GRID + 1 - half) < 6]
    best = (-1.0,)
    for blur in BLURS:
        for size in sizes:
            fit = _fit(own, pixels, (x, y), size, blur, 2 if pixels >= 64 else 3)
            if fit[0] > best[0]:
                best = (*fit, size)
        if best[0] > SHARP * energy:
            break
    if best[0] > GOOD * energy:
        _, look, color, x, y, size = best
        shape, texture = LOOKS[look]
    else:
        shape = texture = UNKNOWN
        color = np.median(difference[piece & (strength >= np.percentile(strength[piece], 75))], 0)
        size = min(SIZES, key=lambda name: abs(SIZES[name] * GRID + 1 - half))
    return Object(shape, _color(ground + color), size, texture, *(min(max(at / GRID, 0), 1) for at in (x, y)))


def _color(rgb):
    distances = {name: np.linalg.norm(rgb - color) for name, color in COLORS.items()}
    nearest = min(distances, key=distances.get)
    return nearest if distances[nearest] < NEAR else UNKNOWN


def _marked(difference, grain):
    """The pixels that belong to an object: bool array."""
    strength = np.linalg.norm(difference, axis=2)
    soft = sum(np.roll(difference, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)) / 9
    # where noise hides a faint pixel its neighbours speak for it
    faint = (strength > FAINT) & (np.linalg.norm(soft, axis=2) > max(FAINT, 0.9 * grain))
    return (strength > max(FAINT, 2.6 * grain)) | faint


def read(picture):
    """The scene that a picture shows: a square RGB PIL image of 32 to 1024 px, or uint8 (size, size, 3).
    A list of pictures gives a list of scenes.

    Exact to the step of the grid for what `scene.image(size)` draws at 48, 64, 96 and at 128 px or more; between these a
    place may be a step off, and now and then a shape unknown. At 64 px attributes are exact and places within a pixel
    for 95 of 100 rich scenes or more under Gaussian noise of sigma 8, a shift of each channel by up to 20, JPEG of
    quality 75, or a blur of sigma 1 px. What it cannot name it calls "unknown". A picture takes milliseconds, but a second
    or two at a size below 64 px that is no multiple of 8. Raises ValueError for a picture of another mode, shape or size.
    """
    if isinstance(picture, (list, tuple)):
        return [read(one) for one in picture]
    picture = _pixels(picture)
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    ground = np.median(border, 0)
    grain = np.sqrt(np.mean(np.minimum(np.linalg.norm(border - ground, axis=1), 40) ** 2))
    difference = picture - ground
    strength = np.linalg.norm(difference, axis=2)
    smallest = 0.12 * (2 * SIZES["small"] * len(picture)) ** 2
    pieces = [part for piece in _pieces(_marked(difference, grain)) if piece.sum() >= smallest
              for part in _split(piece, strength, smallest)]
    background = min(BACKGROUNDS, key=lambda name: np.linalg.norm(ground - BACKGROUNDS[name]))
    return Scene([_name(piece, difference, ground, grain) for piece in pieces], background)
