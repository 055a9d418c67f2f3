"""Scenes as sound, and spoken sentences.

`sound` reads a picture as a line that sweeps it from left to right in 2.56 seconds. An object sounds while the line
crosses its box, so onset and length say where it is and how large; y gives the pitch (high is up), the shape a timbre,
the color an overtone between the harmonics, and the texture swells and fades. `hear` gets the scene back exactly.
`speak` joins recorded words of four synthetic voices.
"""

import re
from functools import lru_cache

import numpy as np

from mmcourse.world.drawing import BANDS, PALE, RIM
from mmcourse.world.scene import COLORS, GRID, SHAPES, SIZES, TEXTURES, Object, Scene, as_seed, known

RATE = 16_000  # samples a second
STEP = RATE // 50  # samples in which the line crosses one step of the grid: 20 ms
LOW, OCTAVES = 220.0, 2  # pitch in Hz at the bottom of the picture, and octaves from there to its top
LOUD = {"small": 0.06, "large": 0.12}  # root mean square of an object's tone before its texture
TIMBRES = np.array([  # strength of harmonics 1 to 6
    [1, 0, 0, 0, 0, 0],             # circle: a pure tone
    [1, 0, .6, 0, .45, 0],          # square: odd harmonics, as in a square wave
    [1, .6, .4, .3, .25, .2],       # triangle: all harmonics, as in a sawtooth
    [1, .9, 0, 0, 0, 0],            # star: octave
    [1, 0, .9, 0, 0, 0],            # cross: twelfth
    [1, 0, 0, .9, 0, 0],            # diamond: double octave
    [1, .5, .9, 0, 0, 0],           # heart
    [1, 0, 0, 0, .6, .8],           # crown: bright
])
OVERTONE = 0.5  # strength of the overtone that says the color
OVERTONES = dict(zip(COLORS, np.arange(1.5, 9.5)))  # color -> its frequency, as a multiple of the pitch
RAMP = STEP // 4  # samples over which a tone swells and fades: 5 ms, so that nothing clicks
PARTIALS = np.array([*range(1, 7), *OVERTONES.values()])


def pitch(y):
    """The pitch in Hz of an object at height y."""
    return LOW * 2 ** (OCTAVES * (1 - y))


@lru_cache(maxsize=None)
def _strengths(shape, color):
    """The strength of each of PARTIALS, (14,), such that the tone has a root mean square of 1."""
    strengths = np.concatenate([TIMBRES[SHAPES.index(shape)], [OVERTONE * (name == color) for name in COLORS]])
    return strengths * np.sqrt(2 / np.sum(strengths ** 2))


@lru_cache(maxsize=None)
def _envelope(size, texture):
    """Loudness over the samples of a tone, as the profile of the drawing: (samples,) in [0, 1]."""
    u = (np.arange(2 * round(SIZES[size] * GRID) * STEP) + 0.5) / (2 * round(SIZES[size] * GRID) * STEP)
    faint = {"solid": u < 0, "striped": (u * BANDS).astype(int) % 2 == 1, "outlined": abs(2 * u - 1) < RIM}[texture]
    flat = np.where(faint, PALE, 1.0)
    flat[:RAMP] = flat[-RAMP:] = 0
    return np.convolve(flat, np.hanning(RAMP + 2)[1:-1] / np.hanning(RAMP + 2).sum(), "same")


@lru_cache(maxsize=64)
def _partials(step_y, size):
    """sin waves of PARTIALS for a height in grid steps: (14, samples)."""
    time = np.arange(2 * round(SIZES[size] * GRID) * STEP) / RATE
    return np.sin(2 * np.pi * pitch(step_y / GRID) * PARTIALS[:, None] * time)
