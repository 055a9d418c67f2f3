"""Scenes: a few objects on a ground, as plain immutable data, each a pure function of an integer seed."""

import operator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from numbers import Real
from random import Random

GRID = 128  # positions are multiples of 1/128 of the canvas: half a pixel at 64 px
UNKNOWN = "unknown"  # what the oracle calls a shape, color or texture that it cannot name

SHAPES = ("circle", "square", "triangle", "star", "cross", "diamond", "heart", "crown")
# Okabe and Ito's palette (2008), moved until the closest two of the eight and white are 26 apart in CIELAB
# for normal, protan, deutan and tritan eyes alike (Machado et al. 2009). In the original they are 16 apart.
COLORS = {
    "red": (188, 30, 30), "green": (12, 160, 94), "blue": (18, 92, 190), "yellow": (255, 220, 36),
    "pink": (212, 122, 166), "black": (20, 20, 20), "orange": (233, 124, 20), "cyan": (64, 212, 255),
}
SIZES = {"small": 10 / GRID, "large": 16 / GRID}  # half the side of the object's box, canvas = 1
TEXTURES = ("solid", "striped", "outlined")
BACKGROUNDS = {"white": (255, 255, 255), "gray": (216, 216, 220)}
GAP = 6  # grid steps that stay free between two boxes: 3 px at 64 px
EDGE = 2  # and between a box and the edge of the canvas

ATTRIBUTES = {"size": tuple(SIZES), "color": tuple(COLORS), "texture": TEXTURES, "shape": SHAPES}


def known(kind, value, values):
    """Return value if it is one of values, else raise a ValueError that lists them."""
    if value not in values:
        raise ValueError(f"{value!r} is not a {kind} of this world: choose one of {', '.join(values)}.")
    return value


@dataclass(frozen=True, slots=True)
class Object:
    """One object. (x, y) is the centre of its square box, x to the right, y down, canvas = 1, both rounded to
    multiples of 1/128. Raises ValueError for an unknown word and for a centre outside of the canvas."""
    shape: str
    color: str
    size: str = "large"
    texture: str = "solid"
    x: float = 0.5
    y: float = 0.5

    def __post_init__(self):
        for name, values in ATTRIBUTES.items():
            value = getattr(self, name)
            if value not in values and (value != UNKNOWN or name == "size"):
                known(name, value, values)
        for name in ("x", "y"):
            value = getattr(self, name)
            if not (isinstance(value, Real) and 0 <= value <= 1):
                raise ValueError(f"{name} = {value!r} is outside of the canvas: give a number from 0 to 1.")
            object.__setattr__(self, name, round(float(value) * GRID) / GRID)

    def __str__(self):
        texture = "" if self.texture == "solid" else self.texture + " "
        return f"{self.size} {self.color} {texture}{self.shape}"

    @property
    def box(self):
        """(x0, y0, x1, y1) of its box, canvas = 1. Every shape fills the box that its size gives it."""
        half = SIZES[self.size]
        return self.x - half, self.y - half, self.x + half, self.y + half


@dataclass(frozen=True)
class Scene:
    """Objects on a ground, in reading order (by y, then x). Two scenes are equal if they show the same
    objects on the same ground; `noise` (sigma of the picture's Gaussian noise, 0 to 255) is the camera's and
    does not count. `len(scene)`, `scene[0]` and `for thing in scene` give the objects."""
    objects: tuple
    background: str = "white"
    noise: float = field(default=0.0, compare=False)

    def __post_init__(self):
        objects = (None,) if isinstance(self.objects, Object) else tuple(self.objects)
        if not all(isinstance(thing, Object) for thing in objects):
            raise ValueError("A scene is made of world.Object(...): Scene((Object('circle', 'red'),)).")
        known("background", self.background, BACKGROUNDS)
        if not 0 <= self.noise <= 255:
            raise ValueError(f"Noise of {self.noise!r} cannot be: sigma is a number from 0 to 255.")
        object.__setattr__(self, "objects", tuple(sorted(objects, key=lambda thing: (thing.y, thing.x))))

    def __len__(self):
        return len(self.objects)

    def __iter__(self):
        return iter(self.objects)

    def __getitem__(self, index):
        return self.objects[index]

    def image(self, size=64):
        """The picture: PIL.Image, RGB, size x size pixels (8 to 1024), antialiased."""
        from mmcourse.world import drawing
        return drawing.image(self, size)

    def masks(self, size=64):
        """bool array (N, size, size): the pixels of each object that can be seen."""
        from mmcourse.world import drawing
        return drawing.masks(self, size)

    def boxes(self, size=64):
        """float array (N, 4): x0, y0, x1, y1 of each object in pixels."""
        from mmcourse.world import drawing
        return drawing.boxes(self, size)

    def caption(self, seed=0, style=None):
        """One true sentence, a pure function of scene and seed; see `captions`."""
        return self.captions(1, seed, style)[0]

    def captions(self, n, seed=0, style=None):
        """n true sentences, of one style of `world.STYLES` or of all."""
        from mmcourse.world.captions import captions
        return captions(self, n, seed, style)


@dataclass(frozen=True)
class Spec:
    """What scenes may hold: `objects`, fewest and most; the words to draw from; `forbidden`, (shape, color)
    pairs that never appear (for compositional splits); `repeat`, the chance that an object copies the shape
    of an earlier one and, independently, a color, so that there is something to count; ground and noise as
    in `Scene`. Raises ValueError for what cannot be."""
    objects: tuple = (1, 5)
    shapes: tuple = SHAPES[:4]
    colors: tuple = tuple(COLORS)[:6]
    sizes: tuple = tuple(SIZES)
    textures: tuple = ("solid",)
    forbidden: frozenset = frozenset()
    repeat: float = 0.25
    background: str = "white"
    noise: float = 0.0

    def __post_init__(self):
        for name, values in ATTRIBUTES.items():
            words = self.words(name)
            if not isinstance(words, (tuple, list)) or not words:            # a set has no order, and scenes hang on it
                raise ValueError(f"Spec.{name}s is a tuple of at least one word, like {values[:2]}.")
            object.__setattr__(self, name + "s", tuple(known(name, word, values) for word in words))
        if not (isinstance(self.objects, (tuple, list)) and len(self.objects) == 2 and 1 <= self.objects[0] <= self.objects[1]):
            raise ValueError(f"Spec.objects is (fewest, most), 1 <= fewest <= most, not {self.objects!r}.")
        if not 0 <= self.repeat <= 1:
            raise ValueError(f"Spec.repeat is a chance from 0 to 1, and not {self.repeat!r}.")
        Scene((), self.background, self.noise)                                # says what is wrong with these two
        if not all(len(pair) == 2 and pair[0] in SHAPES and pair[1] in COLORS for pair in map(tuple, self.forbidden)):
            raise ValueError(f"Spec.forbidden is pairs of a shape and a color, like {{('circle', 'red')}}, not {self.forbidden!r}.")
        object.__setattr__(self, "forbidden", frozenset(map(tuple, self.forbidden)))
        if not self.pairs:
            raise ValueError("Spec.forbidden leaves no pair of shape and color: forbid fewer of them.")

    @cached_property
    def pairs(self):
        """The colors that each shape may have: {shape: (color, ...)}, without shapes that may have none."""
        allowed = {s: tuple(c for c in self.colors if (s, c) not in self.forbidden) for s in self.shapes}
        return {shape: colors for shape, colors in allowed.items() if colors}

    def words(self, attribute):
        """The values of an attribute ('size', 'color', 'texture', 'shape') that may appear."""
        return getattr(self, attribute + "s")


SPECS = {
    "standard": Spec(),  # what lessons and shipped models share
    "noisy": Spec(noise=8.0),
    "crowded": Spec(objects=(6, 6)),  # more objects than the standard spec ever shows
    "rich": Spec((1, 6), SHAPES, tuple(COLORS), tuple(SIZES), TEXTURES),
    "gray": Spec((1, 6), SHAPES, tuple(COLORS), tuple(SIZES), TEXTURES, background="gray"),
}


def as_spec(spec):
    """A Spec, from a Spec or the name of one."""
    return spec if isinstance(spec, Spec) else SPECS[known("spec", spec, SPECS)]


def as_seed(seed):
    """A seed as int. Raises ValueError for anything but a non-negative integer."""
    try:
        number = -1 if isinstance(seed, bool) else operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise ValueError(f"{seed!r} is not a seed: seeds are whole numbers from 0 up.")
    return number


def as_random(scene, seed):
    """A random.Random for where a scene's objects are and a seed, the same on every machine."""
    key = as_seed(seed)
    for thing in scene:
        key = (key * 1_000_003 + int(thing.x * GRID) * 129 + int(thing.y * GRID)) % (2 ** 61 - 1)
    return Random(key)


def sample(seed, spec="standard"):
    """The scene of a seed: a pure function of seed and spec (a `Spec` or a name in `SPECS`).

    Shapes, sizes and textures are uniform, colors too where no pair is forbidden, positions uniform over what
    is free. Raises ValueError for a bad seed and for a spec whose objects do not fit on the canvas.
    """
    spec = as_spec(spec)
    random = Random(as_seed(seed)).random  # .random() is the same on every machine and Python

    def pick(values):
        return values[int(random() * len(values))]

    fewest, most = spec.objects
    shapes = tuple(spec.pairs)
    looks = []
    for _ in range(fewest + int(random() * (most - fewest + 1))):
        shape = pick(looks)[0] if looks and random() < spec.repeat else pick(shapes)
        color = pick(looks)[1] if looks and random() < spec.repeat else pick(spec.colors)
        if color not in spec.pairs[shape]:
            color = pick(spec.pairs[shape])
        looks.append((shape, color, pick(spec.sizes), pick(spec.textures)))
    places = _places([round(SIZES[look[2]] * GRID) for look in looks], random)
    objects = [Object(*look, x / GRID, y / GRID) for look, (x, y) in zip(looks, places)]
    return Scene(objects, spec.background, spec.noise)


def roomy(scene):
    """Are the objects of a scene as far from one another and from the edge as those of `sample`?"""
    halves = [round(SIZES[thing.size] * GRID) for thing in scene]
    places = [(round(thing.x * GRID), round(thing.y * GRID)) for thing in scene]
    return all(half + EDGE <= at <= GRID - half - EDGE for half, place in zip(halves, places) for at in place) and all(
        max(abs(a - x), abs(b - y)) >= one + other + GAP
        for (one, (a, b)), (other, (x, y)) in combinations(zip(halves, places), 2))


def _places(halves, random):
    """Centres (grid steps) for boxes of these half sides, uniform by rejection, at least GAP apart."""
    for _ in range(100):
        places = []
        for half in halves:
            room = GRID - 2 * (half + EDGE) + 1
            for _ in range(50):
                x = half + EDGE + int(random() * room)
                y = half + EDGE + int(random() * room)
                for (a, b), other in zip(places, halves):
                    apart = half + other + GAP
                    if -apart < a - x < apart and -apart < b - y < apart:
                        break
                else:
                    places.append((x, y))
                    break
            else:
                break
        else:
            return places
    raise ValueError(f"{len(halves)} objects of these sizes do not fit on the canvas: ask for fewer.")
