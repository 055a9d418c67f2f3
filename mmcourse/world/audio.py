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
from mmcourse.world.scene import COLORS, GRID, SHAPES, SIZES, TEXTURES, Object, Scene, as_seed, known, UNKNOWN

RATE = 16_000  # samples a second
STEP = RATE // 50  # samples in which the line crosses one step of the grid: 20 ms
LOW, OCTAVES = 220.0, 2  # pitch in Hz at the bottom of the picture, and octaves from there to its top
LOUD = {"small": 0.06, "large": 0.12}  # root mean square of an object's tone before its texture
TIMBRES = dict(zip(SHAPES, np.array([  # strength of harmonics 1 to 6
    [1, 0, 0, 0, 0, 0],             # circle: a pure tone
    [1, 0, .6, 0, .45, 0],          # square: odd harmonics, as in a square wave
    [1, .6, .4, .3, .25, .2],       # triangle: all harmonics, as in a sawtooth
    [1, .9, 0, 0, 0, 0],            # star: octave
    [1, 0, .9, 0, 0, 0],            # cross: twelfth
    [1, 0, 0, .9, 0, 0],            # diamond: double octave
    [1, .5, .9, 0, 0, 0],           # heart
    [1, 0, 0, 0, .6, .8],           # crown: bright
])))
OVERTONE = 0.5  # strength of the overtone that says the color
OVERTONES = dict(zip(COLORS, np.arange(1.5, 9.5)))  # color -> its frequency, as a multiple of the pitch
RAMP = STEP // 4  # samples over which a tone swells and fades: 5 ms, so that nothing clicks
PARTIALS = np.array([*range(1, 7), *OVERTONES.values()])
SAMPLES = GRID * STEP
MOST = 8


def pitch(y):
    """The pitch in Hz of an object at height y."""
    return LOW * 2 ** (OCTAVES * (1 - y))


def pitch(y):
    """The pitch in Hz of an object at height y (0 is the top of the picture)."""
    return LOW * 2 ** (OCTAVES * (1 - y))


def _half(thing):
    return round(SIZES[thing.size] * GRID)


@lru_cache(maxsize=None)
def _strengths(shape, color):
    """The strength of each of PARTIALS, (14,), such that the tone has a root mean square of 1."""
    strengths = np.concatenate([TIMBRES[shape], [OVERTONE * (name == color) for name in COLORS]])
    return strengths * np.sqrt(2 / np.sum(strengths ** 2))


@lru_cache(maxsize=None)
def _envelope(size, texture):
    """Loudness over the samples of a tone, shaped as the drawing's profile: (n,) in [0, 1]."""
    n = 2 * round(SIZES[size] * GRID) * STEP
    u = (np.arange(n) + 0.5) / n
    faint = {"solid": u > 1, "striped": (u * BANDS).astype(int) % 2 == 1, "outlined": abs(2 * u - 1) < RIM}[texture]
    flat = np.where(faint, PALE, 1.0)
    flat[:RAMP] = flat[-RAMP:] = 0
    ramp = np.hanning(RAMP + 2)[1:-1]
    return LOUD[size] * np.convolve(flat, ramp / ramp.sum(), "same")


def _partials(y, n):
    """Sine waves of all PARTIALS for an object at height y: (14, n)."""
    return np.sin(2 * np.pi / RATE * pitch(y) * PARTIALS[:, None] * np.arange(n))


def _tone(thing):
    """Where in the wave an object sounds, a slice, and its samples there."""
    strengths, envelope = _strengths(thing.shape, thing.color), _envelope(thing.size, thing.texture)
    used = strengths > 0
    start = (round(thing.x * GRID) - _half(thing)) * STEP
    time = np.arange(len(envelope))
    waves = np.sin(2 * np.pi / RATE * pitch(thing.y) * PARTIALS[used, None] * time)
    tone = envelope * (strengths[used] @ waves)
    return slice(max(start, 0), start + len(tone)), tone[max(-start, 0):len(tone) - max(start + len(tone) - SAMPLES, 0)]


PITCHES = pitch(np.arange(GRID + 1) / GRID)
NAMES = [(shape, color) for shape in SHAPES for color in COLORS]
LOOKS = np.array([_strengths(*name) for name in NAMES])  # (64, 14)


def sound(scene):
    """The scene as sound: float32 (40960,) in [-1, 1], 2.56 seconds at 16 kHz. Silence where there is no object; the
    ground is not heard. Raises ValueError for an object that has no name for its shape, color or texture."""
    wave = np.zeros(SAMPLES)
    for thing in scene:
        if UNKNOWN in (thing.shape, thing.color, thing.texture):
            raise ValueError("An object that the oracle could not name has no sound: give it shape, color and texture.")
        when, tone = _tone(thing)
        wave[when] += tone
    return (wave / max(1.0, abs(wave).max())).astype(np.float32)


def _strongest(wave):
    """The object that explains most of a wave, and how much it explains of the energy that it would have itself."""
    block = np.exp(-2j * np.pi / RATE * np.outer(np.arange(STEP), PITCHES))
    turn = np.exp(-2j * np.pi / RATE * np.outer(np.arange(GRID) * STEP, PITCHES))
    heard = np.cumsum(np.pad((wave.reshape(GRID, STEP) @ block) * turn, ((1, 0), (0, 0))), 0)  # (129 times, 129 pitches)
    best = (0.0, None, 0.0)
    for size, half in ((size, round(SIZES[size] * GRID)) for size in SIZES):
        score = abs(heard[2 * half:] - heard[:-2 * half])
        left, y = np.unravel_index(score.argmax(), score.shape)
        part = wave[left * STEP:(left + 2 * half) * STEP]
        waves = _partials(y / GRID, len(part))
        for texture in TEXTURES:
            shaped = waves * _envelope(size, texture)
            gain = 2 * LOOKS @ (shaped @ part)
            energy = np.einsum("lp,pq,lq->l", LOOKS, shaped @ shaped.T, LOOKS)
            look = (gain - energy).argmax()
            if gain[look] - energy[look] > best[0]:
                shape, color = NAMES[look]
                thing = Object(shape, color, size, texture, (left + half) / GRID, y / GRID)
                best = (gain[look] - energy[look], thing, (gain[look] - energy[look]) / energy[look])
    return best[1], best[2]


def hear(wave):
    """The scene that a sound tells of, without learning: the strongest tone is found by its pitch, onset and length,
    named by comparison with every shape, color and texture, and taken away, until only noise is left.

    Exact for `sound(scene)` of scenes whose objects do not touch and lie on the canvas, and under noise of sigma 0.02.
    Raises ValueError for what is not float (40960,) in [-1, 1], and for a wave that is not the sound of a scene.
    """
    wave = np.asarray(wave)
    if wave.shape != (SAMPLES,) or wave.dtype.kind != "f" or not abs(wave).max() <= 1:
        raise ValueError(f"A scene sounds for {SAMPLES} samples from -1 to 1, and this is {wave.dtype} {wave.shape}.")
    rest, found = wave.astype(float), []
    while len(found) < MOST:
        thing, share = _strongest(rest)
        if share < 0.5:
            break
        found.append(thing)
        rest[_tone(thing)[0]] -= _tone(thing)[1]
    for _ in range(2):  # listen to each again without the others
        for i, thing in enumerate(found):
            rest[_tone(thing)[0]] += _tone(thing)[1]
            found[i] = _strongest(rest)[0] or thing
            rest[_tone(found[i])[0]] -= _tone(found[i])[1]
    if (rest ** 2).sum() > 0.5 * (wave ** 2).sum() > 0:
        raise ValueError("This is not the sound of a scene: world.sound(scene) makes one.")
    return Scene(tuple(found))
