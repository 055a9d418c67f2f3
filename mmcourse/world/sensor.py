"""Accelerometers: every object carries one, and its trace tells what the object does.

A sensor has the axes of the picture (x to the right, y down) and z, up from the ground, and reads m/s^2; the
ground is 1 m x 1 m. On an object at rest it reads gravity, (0, 0, 9.81), and its own noise. Sliding adds
rumble, a bounce a kick of 60 ms, shaking a fast swing in one direction; spinning end over end turns gravity
around. Where an object of a film is not there its sensor is off and reads 0.
"""

import numpy as np

from mmcourse.world.film_questions import Asker, kept, the
from mmcourse.world.questions import NothingToAsk, Question
from mmcourse.world.scene import as_random
from mmcourse.world.video import FPS, Film, way

ACTIVITIES = ("rest", "slide", "bounce", "shake", "spin")
GRAVITY = 9.81
HISS, RUMBLE = 0.05, 0.4  # noise of the sensor and of sliding: sigma in m/s^2
KICK = 0.06  # length of a kick in seconds
SECONDS = 4  # length of a scene's trace; a film's is as long as the film


def _film(thing):
    """A film, or a scene as a film in which nothing moves."""
    if not isinstance(thing, Film) and not len(thing):
        raise ValueError("There is nothing that could carry a sensor: give the scene an object.")
    return thing if isinstance(thing, Film) else Film([[one] for one in thing], thing.background)


def activities(thing, seed=0):
    """What each object does, a tuple of words from ACTIVITIES: the truth of `trace(thing, seed=seed)`.

    The objects of a scene do what the seed says. In a film they rest, slide or bounce as can be seen; an
    object that slides and touches a wall in its first or last frame only is not seen to bounce.
    """
    film = _film(thing)
    if film is not thing:
        random = as_random(thing, seed).random
        return tuple(ACTIVITIES[int(random() * len(ACTIVITIES))] for _ in film.tracks)
    bouncing = {event.object for event in film.events if event.kind == "bounce"}
    return tuple("bounce" if i in bouncing else "slide" if way(track) else "rest"
                 for i, track in enumerate(film.tracks))


def _kick(time, at, change):
    """Acceleration (T, 3) of a change of velocity (x, y, m/s) at a time: half a sine wave."""
    phase = np.clip((time - at) / KICK + 0.5, 0, 1)
    return np.outer(np.pi / (2 * KICK) * np.sin(np.pi * phase), [*change, 0.0])


def _kicks(film, index):
    """(seconds, change of velocity) of every bounce of a film's object."""
    track = film.tracks[index]
    for event in film.events:
        if event.object == index and event.kind == "bounce":
            before, now, after = track[event.time - 1:event.time + 2]
            bends = after.x - 2 * now.x + before.x, after.y - 2 * now.y + before.y
            yield event.time / FPS, [FPS * bend for bend in bends]


def _made_up(random):
    """(seconds, change of velocity) of an object of a scene that goes back and forth between two walls."""
    axis, speed, every = int(random.random() * 2), random.uniform(0.2, 0.5), random.uniform(0.8, 1.6)
    for n, at in enumerate(np.arange(random.uniform(0.2, 0.8), SECONDS - 0.2, every)):
        change = [0.0, 0.0]
        change[axis] = 2 * speed * (-1) ** n
        yield at, change


def _acceleration(activity, time, kicks, random):
    """What a sensor without noise of its own reads at the times (T,), in seconds: (T, 3)."""
    felt = np.zeros((len(time), 3)) + [0, 0, GRAVITY]
    turn, phase = random.uniform(0, 2 * np.pi, 2)
    if activity == "spin":
        angle = 2 * np.pi * random.uniform(0.5, 1.5) * time + phase
        level = np.outer(np.sin(angle), [np.cos(turn), np.sin(turn)])
        return GRAVITY * np.column_stack([level, np.cos(angle)])
    if activity == "shake":
        swing = random.uniform(3, 6) * np.sin(2 * np.pi * random.uniform(4, 8) * time + phase)
        felt += np.outer(swing, [np.cos(turn), np.sin(turn), 0])
    if activity in ("slide", "bounce"):
        felt += RUMBLE * random.standard_normal(felt.shape)
    for at, change in kicks:
        felt += _kick(time, at, change)
    return felt


def trace(thing, rate=50, seed=0):
    """The accelerometer of every object of a scene or film: float32 (N, T, 3) in m/s^2, `rate` a second.

    A film's traces belong to film.tracks, are as long as the film and take their kicks from its bounces; a
    scene's last 4 seconds. A pure function of its arguments. Raises ValueError for a rate that is no whole
    number from 50 (a kick would fall between two samples) to 1000.
    """
    if isinstance(rate, bool) or not isinstance(rate, (int, np.integer)) or not 50 <= rate <= 1000:
        raise ValueError(f"A sensor cannot take {rate!r} samples a second: give a whole number, 50 to 1000.")
    film, doing = _film(thing), activities(thing, seed)
    seconds = len(film) / FPS if film is thing else SECONDS
    time = np.arange(round(seconds * rate)) / rate
    random = np.random.default_rng(as_random(film.scenes()[0], seed).getrandbits(64))
    frame = np.minimum((time * FPS).astype(int), len(film) - 1)
    traces = np.zeros((len(doing), len(time), 3))
    for i, activity in enumerate(doing):
        kicks = list(_kicks(film, i)) if film is thing else _made_up(random) if activity == "bounce" else ()
        felt = _acceleration(activity, time, kicks, random) + HISS * random.standard_normal((len(time), 3))
        there = np.array([one is not None for one in film.tracks[i]])[frame]
        traces[i] = felt * there[:, None]
    return traces.astype(np.float32)


def feel(traces):
    """What the objects do, from traces (N, T, 3) as `trace` makes them, without learning: a tuple of words
    from ACTIVITIES. Four thresholds tell them apart. Raises ValueError for another shape, for what is not
    finite, and for a sensor that is off all the time."""
    traces = np.asarray(traces, float)
    if traces.ndim != 3 or traces.shape[2] != 3 or not np.isfinite(traces).all():
        raise ValueError(f"Traces are finite numbers of shape (objects, samples, 3), and not {traces.shape}.")
    if not traces.any((1, 2)).all():
        raise ValueError("A sensor that is off all the time tells nothing: give traces of what is there.")
    return tuple(map(_feel, traces))


def _feel(samples):
    samples = samples[samples.any(1)]  # while the sensor is on
    level, upright = np.hypot(samples[:, 0], samples[:, 1]), samples[:, 2]
    if upright.std() > 3:
        return "spin"
    if np.median(level) > 1.2:
        return "shake"
    if level.max() > 3.2:
        return "bounce"
    return "slide" if upright.std() > 0.2 else "rest"


def trace_questions(thing, doing, n=4, seed=0):
    """n questions about what objects do; `doing` is activities(thing, seed), with the seed of the trace.

    Their kinds and programs: "does", ("does", words): what does it do?; "doing", ("doing", activity, words):
    does it do that?; "who", ("who", activity, attribute): an attribute of the only object that does. What bounces
    slides, too, so no question sets one against the other. Raises
    NothingToAsk (a ValueError) where no object can be named by words that are true of it alone.
    """
    film = _film(thing)
    asker = Asker(film, as_random(film.scenes()[0], seed).random)
    if len(doing) != len(film.tracks):
        raise ValueError(f"There are {len(film.tracks)} objects and {len(doing)} activities: give "
                         "world.activities(...) of the same scene or film.")
    if not asker.names:
        raise NothingToAsk("No object can be told from the others by its words: choose another scene.")
    asked = []
    while len(asked) < n:
        kind = asker.pick(("does", "doing", "who"))
        i = asker.pick(asker.names)
        words, activity = asker.pick(asker.names[i]), doing[i]
        if kind == "does":
            asked.append(Question(f"what does {the(words)} do?", activity, kind, (kind, words)))
        elif kind == "doing":
            others = [other for other in dict.fromkeys(doing) if {other, activity} not in ({activity}, {"slide", "bounce"})]
            if others:
                told = activity if asker.random() < 0.5 else asker.pick(others)
                asked.append(Question(f"does {the(words)} {told}?", "yes" if told == activity else "no", kind,
                                      (kind, told, words)))
        elif doing.count(activity) + (activity == "slide") * doing.count("bounce") == 1 and (attribute := asker.pick(asker.told)):
            if value := kept(film.tracks[i], attribute):
                asked.append(Question(f"what {attribute} is the object that {activity}s?", value, kind,
                                      (kind, activity, attribute)))
    return asked
