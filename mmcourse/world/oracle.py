"""The oracle reads pictures back into scenes by analysis and synthesis, with nothing learned in it.

What differs from the ground falls into connected pieces. For each piece every shape, size and texture is drawn at every
place nearby; the drawing that explains most of the piece's difference from the ground, in the color that suits it best,
is what the piece shows. Too poor a fit leaves the shape unknown, too foreign a color the color.
"""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

from mmcourse.world.drawing import template
from mmcourse.world.scene import BACKGROUNDS, COLORS, GRID, SHAPES, SIZES, TEXTURES, UNKNOWN, Object, Scene

LOOKS = [(shape, texture) for shape in SHAPES for texture in TEXTURES]
FAINT = 24  # distance from the ground (RGB, 0 to 255) from which on a pixel belongs to an object
PAD = 3  # pixels around a template, room for blur
BLURS = (0, 0.6, 1.0, 1.4)  # sigma in pixels; the later ones are tried where the first does not fit
SHARP = 0.985  # share of the difference from the ground that a fit must explain to be taken without trying blur
GOOD = 0.86  # ... and to be believed at all
WIDE = 21.5  # half width in grid steps from which on a piece must be several objects that touch
NEAR = 64  # how far (RGB, 0 to 255) a color may be from the one it is called by


def _pixels(picture):
    """float32 (S, S, 3) of a picture, at most 128 px. Raises ValueError for what is not a square RGB picture."""
    if isinstance(picture, Image.Image):
        if picture.mode != "RGB":
            raise ValueError(f"The oracle reads RGB pictures, and this one is {picture.mode}: use image.convert('RGB').")
        picture = np.asarray(picture)
    if not (isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3
            and picture.shape[2] == 3):
        raise ValueError("The oracle reads a PIL image or a uint8 array of shape (size, size, 3).")
    height, width = picture.shape[:2]
    if height != width or not 32 <= height <= 1024:
        raise ValueError(f"The oracle reads square pictures of 32 to 1024 pixels, and this one is {width} x {height}.")
    if height > 128:
        picture = np.asarray(Image.fromarray(picture).resize((128, 128), Image.Resampling.BOX))
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


@lru_cache(maxsize=2048)
def _bank(size, pixels, shift_x, shift_y, blur):
    """Every look's template, padded and flat: float32 (looks, h * w) scaled to length 1, their lengths, (h, w)."""
    inks = [np.pad(template(shape, size, texture, pixels, shift_x, shift_y)[0], PAD) for shape, texture in LOOKS]
    if blur:
        soft = [Image.fromarray((ink * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(blur)) for ink in inks]
        inks = [np.asarray(image, np.float32) / 255 for image in soft]
    flat = np.stack([ink.ravel() for ink in inks])
    lengths = np.linalg.norm(flat, axis=1)
    return flat / lengths[:, None], lengths, inks[0].shape


def _fit(difference, pixels, middle, size, blur, reach):
    """The best (energy explained, look, color difference, x, y) near a middle (x, y), all in grid steps."""
    best = (-1.0,)
    half = round(SIZES[size] * GRID)
    for y in range(middle[1] - reach, middle[1] + reach + 1):
        for x in range(middle[0] - reach, middle[0] + reach + 1):
            left, shift_x = divmod((x - half) * pixels, GRID)
            top, shift_y = divmod((y - half) * pixels, GRID)
            bank, lengths, (height, width) = _bank(size, pixels, shift_x, shift_y, blur)
            # `difference` is padded by PAD + pixels // 4 all around, so that no window leaves it
            top, left = top + pixels // 4, left + pixels // 4
            window = difference[top:top + height, left:left + width].reshape(-1, 3)
            if len(window) != height * width:
                continue
            along = bank @ window
            explained = np.einsum("kc,kc->k", along, along)
            look = int(explained.argmax())
            if explained[look] > best[0]:
                best = (float(explained[look]), look, along[look] / lengths[look], x, y)
    return best


def _name(piece, difference, ground, grain, pixels):
    """The Object that a piece (bool array) of the picture shows."""
    edges = _edges(piece)
    middle = [round((edges[i] + edges[i + 2]) / 2 * GRID / pixels) for i in (0, 1)]
    own = np.pad(difference * piece[..., None], [(PAD + pixels // 4,) * 2] * 2 + [(0, 0)])
    energy = float((own ** 2).sum()) - 2 * grain ** 2 * piece.sum()  # less what noise adds to it
    reach = 2 if pixels >= 64 else 3
    best, size = (-1.0,), None
    for blur in BLURS:
        for candidate in SIZES:
            fit = _fit(own, pixels, middle, candidate, blur, reach)
            if fit[0] > best[0]:
                best, size = fit, candidate
        if best[0] > SHARP * energy:
            break
    if best[0] < GOOD * energy:
        size = min(SIZES, key=lambda name: abs(SIZES[name] * GRID + 1 - _half(piece)))
        inside = own[piece.nonzero()[0] + PAD + pixels // 4, piece.nonzero()[1] + PAD + pixels // 4]
        return Object(UNKNOWN, _color(ground + np.median(inside, 0)), size, UNKNOWN,
                      *(min(max(at / GRID, 0), 1) for at in middle))
    _, look, color, x, y = best
    shape, texture = LOOKS[look]
    return Object(shape, _color(ground + color), size, texture, *(min(max(at / GRID, 0), 1) for at in (x, y)))


def _color(rgb):
    distances = {name: np.linalg.norm(rgb - color) for name, color in COLORS.items()}
    nearest = min(distances, key=distances.get)
    return nearest if distances[nearest] < NEAR else UNKNOWN


def read(picture):
    """The scene that a picture shows: a PIL image (RGB, square, 32 to 1024 px) or a uint8 array (size, size, 3).

    Exact for what `scene.image(size)` draws at 48 px and more, Gaussian noise of sigma 8 included. Made for generated
    pictures too: see the margins in the tests. An object it cannot name has shape, color or texture "unknown".
    Raises ValueError for a picture of another mode, shape or size.
    """
    picture = _pixels(picture)
    pixels = len(picture)
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    ground = np.median(border, 0)
    difference = picture - ground
    strength = np.linalg.norm(difference, axis=2)
    grain = np.sqrt(np.mean(np.minimum(np.linalg.norm(border - ground, axis=1), 40) ** 2))
    marked = strength > max(FAINT, 2.6 * grain)
    if grain > 0:  # in a grainy picture a faint pixel counts if its neighbours are on the whole marked too
        soft = sum(np.roll(difference, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)) / 9
        marked |= (strength > FAINT) & (np.linalg.norm(soft, axis=2) > max(FAINT, 0.9 * grain))
    smallest = 0.12 * (2 * SIZES["small"] * pixels) ** 2
    pieces = [part for piece in _pieces(marked) if piece.sum() >= smallest
              for part in _split(piece, strength, smallest)]
    things = [_name(piece, difference, ground, grain, pixels) for piece in pieces]
    background = min(BACKGROUNDS, key=lambda name: np.linalg.norm(ground - BACKGROUNDS[name]))
    return Scene(things, background)
