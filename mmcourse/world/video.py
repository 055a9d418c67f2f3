"""Films: the objects of a scene slide, bounce off the walls, appear, leave and change color; all is known.

A film is plain data, so what happens in it can be computed, asked (as in CLEVRER, Yi et al. 2020) and read
back.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from mmcourse.world.drawing import draw
from mmcourse.world.oracle import read
from mmcourse.world.scene import EDGE, GAP, GRID, SIZES, Scene, as_random, as_spec

FPS = 8  # frames a second
SPEEDS = range(2, 13)  # grid steps a frame
BOUNCES = (0, 0, 1, 1, 2, 2, 2)  # what is drawn for one object; with two it finds its way free less often
TRIES = 12  # slides tried for one object
WAYS = ("left", "right", "up", "down")
EVENTS = ("bounce", "appear", "leave", "recolor")


@dataclass(frozen=True, order=True, slots=True)
class Event:
    """`kind` is one of EVENTS, `object` the number of its track, `time` the frame: of a bounce the one in
    which the object touches the wall, of the others the first in which the picture is different."""
    time: int
    kind: str
    object: int


@dataclass(frozen=True)
class Film:
    """`tracks` holds per object a tuple with its `Object` in every frame, or None where it is not there.
    Tracks are sorted by the frame in which they begin, then in reading order. len(film) is the number of
    frames, FPS a second."""
    tracks: tuple
    background: str = "white"
    noise: float = field(default=0.0, compare=False)

    def __post_init__(self):
        tracks = [tuple(track) for track in self.tracks]
        if not tracks or len({len(track) for track in tracks}) > 1 or not all(map(any, tracks)):
            raise ValueError("A film is made of tracks of equal length, each with an object in some frame.")
        object.__setattr__(self, "tracks", tuple(sorted(tracks, key=_begin)))

    def __len__(self):
        return len(self.tracks[0])

    def scenes(self):
        """The `Scene` of each frame, as a list."""
        return [Scene(tuple(filter(None, now)), self.background, self.noise) for now in zip(*self.tracks)]

    def frames(self, size=64):
        """The pictures: uint8 array (T, size, size, 3)."""
        return draw(self.scenes(), size)

    @cached_property
    def events(self):
        """Everything that happens, as a tuple of `Event` in the order of time."""
        return tuple(sorted(event for i, track in enumerate(self.tracks) for event in _events(i, track)))


def _begin(track):
    time = next(time for time, thing in enumerate(track) if thing)
    return time, track[time].y, track[time].x


def _events(index, track):
    for time in range(1, len(track)):
        before, now, after = track[time - 1], track[time], track[time + 1] if time + 1 < len(track) else None
        if (before is None) != (now is None):
            yield Event(time, "appear" if now else "leave", index)
        elif now and before.color != now.color:
            yield Event(time, "recolor", index)
        if before and now and after and ((now.x - before.x) * (after.x - now.x) < 0
                                         or (now.y - before.y) * (after.y - now.y) < 0):
            yield Event(time, "bounce", index)


def way(track):
    """Which way an object first moves: "left", "right", "up", "down", or None if it stands still."""
    seen = [thing for thing in track if thing]
    for one, two in zip(seen, seen[1:]):
        dx, dy = two.x - one.x, two.y - one.y
        if dx or dy:
            return ("left" if dx < 0 else "right") if abs(dx) >= abs(dy) else "up" if dy < 0 else "down"


def _slide(at, step, low, high, frames):
    """Places of something that turns around where it touches low or high, and how often that is seen."""
    places, turns = [at], 0
    while len(places) < frames:
        at += step
        if not low < at < high:
            at, step = min(max(at, low), high), -step
            turns += len(places) < frames - 1
        places.append(at)
    return places, turns


def _motion(place, half, frames, bounces, random):
    """A random slide with so many bounces from a place: its (x, y) in every frame in grid steps, or None."""
    axis, sign = int(random() * 2), 1 if random() < 0.5 else -1
    at, fixed = place[axis], place[1 - axis]
    low, high = min(half + EDGE, at), max(GRID - half - EDGE, at)
    options = [places for speed in SPEEDS if low < at + sign * speed < high  # else the wall is right there
               for places, turns in [_slide(at, sign * speed, low, high, frames)] if turns == bounces]
    if options:
        places = options[int(random() * len(options))]
        return [(place, fixed) if axis == 0 else (fixed, place) for place in places]


def _paths(scene, frames, random):
    """Per object its (x, y) in every frame, in grid steps. One after another, objects get a slide with 0 to 2
    bounces that keeps clear of all others; those that find none stand still, as three of ten do anyway."""
    halves = [round(SIZES[thing.size] * GRID) for thing in scene]
    paths = [[(round(thing.x * GRID), round(thing.y * GRID))] * frames for thing in scene]
    for i, half in enumerate(halves):
        bounces = BOUNCES[int(random() * len(BOUNCES))]
        for _ in range(TRIES if random() < 0.7 else 0):
            path = _motion(paths[i][0], half, frames, bounces, random)
            if path and all(abs(x - a) >= apart or abs(y - b) >= apart
                            for j, other in enumerate(paths) if j != i for apart in [half + halves[j] + GAP]
                            for (x, y), (a, b) in zip(path, other)):
                paths[i] = path
                break
    return paths


def film(scene, frames=16, seed=0):
    """A `Film` that starts from the places of a scene: a pure function of scene, number of frames and seed.

    Most objects slide along a row or a column with constant speed (2 to 12 grid steps a frame) and turn
    around where they touch a wall; none ever comes close to another. Half of them once appear, leave or
    change color; at least one is there all the time. Raises ValueError for an empty scene or other than 4 to
    512 frames.
    """
    if isinstance(frames, bool) or not isinstance(frames, (int, np.integer)) or not 4 <= frames <= 512:
        raise ValueError(f"A film of {frames!r} frames cannot be made: ask for a whole number from 4 to 512.")
    if not len(scene):
        raise ValueError("A film needs something to see: give the scene an object.")
    random = as_random(scene, seed).random
    tracks, stays = [], int(random() * len(scene))
    for i, (thing, path) in enumerate(zip(scene, _paths(scene, frames, random))):
        track = [replace(thing, x=x / GRID, y=y / GRID) for x, y in path]
        change, time = int(random() * 6), 1 + int(random() * (frames - 2))
        if change == 0 and i != stays:
            track[:time] = [None] * time
        elif change == 1 and i != stays:
            track[time:] = [None] * (frames - time)
        elif change == 2:
            colors = [color for color in as_spec("standard").colors if color != thing.color]
            color = colors[int(random() * len(colors))]
            track[time:] = [replace(thing, color=color) for thing in track[time:]]
        tracks.append(track)
    return Film(tracks, scene.background, scene.noise)


def watch(frames):
    """Read the pictures of a film, uint8 array (T, size, size, 3), back into a `Film`, without learning.

    Exact where `world.read` is: an object goes on as the one of the same shape, size and texture that was
    within 12 grid steps of it. Raises ValueError where the oracle cannot read a frame, and where no object is
    ever seen.
    """
    tracks, scenes = [], read(list(frames))
    for time, scene in enumerate(scenes):
        for thing in scene:
            for track in tracks:
                last = track[-1]
                if len(track) == time and last and _same(last, thing):
                    track.append(thing)
                    break
            else:
                tracks.append([None] * time + [thing])
        for track in tracks:
            track.extend([None] * (time + 1 - len(track)))
    if not tracks:
        raise ValueError("No object is seen in these frames: watch the pictures of a film, film.frames().")
    return Film(tracks, scenes[0].background)


def _same(one, two):
    far = max(abs(one.x - two.x), abs(one.y - two.y)) * GRID
    return far <= SPEEDS[-1] and (one.shape, one.size, one.texture) == (two.shape, two.size, two.texture)
