"""`python -m mmcourse.world.bench` prints how fast the world is on one core, how exact, and how balanced."""

from collections import Counter, defaultdict
from time import process_time

import numpy as np

from mmcourse import world
from mmcourse.world.drawing import POLYGONS

FRESH = 2 ** 36  # seeds that nothing was tuned on


def rate(work, n):
    """How many of the n things that work() does it does in a second of this core."""
    start = process_time()
    work()
    return n / (process_time() - start)


def reading(n, size=64, noise=0.0, spec="standard", start=FRESH):
    """The share of n scenes read right by the oracle: attributes exact, places within 1/64 of the canvas."""
    right = 0
    for seed in range(start, start + n):
        scene = world.sample(seed, spec)
        found = world.read(world.Scene(scene.objects, scene.background, noise).image(size))
        one, other = (sorted((str(o), o.texture, o.x, o.y) for o in s) for s in (scene, found))
        right += len(one) == len(other) and found.background == scene.background and all(
            a[:2] == b[:2] and max(abs(a[2] - b[2]), abs(a[3] - b[3])) <= 1 / 64 for a, b in zip(one, other))
    return right / n


def telling(n, spec, start=FRESH):
    """Of n captions and n negatives: (false captions, captions that do not parse back, true negatives)."""
    false = lost = true = 0
    for seed in range(start, start + -(-n // 10)):
        scene = world.sample(seed, spec)
        for caption in world.captions(scene, 10, seed, spec=spec):
            false += not world.satisfies(scene, caption)
            lost += world.parse(world.say(world.parse(caption), seed)) != world.parse(caption)
        true += sum(world.satisfies(scene, wrong.text) for wrong in world.negatives(scene, 10, seed, spec))
    return false, lost, true


def balance(kind, scenes, spec="standard", start=FRESH):
    """(questions, answers K, share of the commonest answer, share right of the best guess from the text).

    The guess is the commonest answer to the same text on even seeds, tried on odd ones; 0 for too rare texts.
    """
    seen, learned, right, tried = Counter(), defaultdict(Counter), 0, 0
    for seed in (*range(start, start + scenes, 2), *range(start + 1, start + scenes, 2)):
        try:
            question = world.questions(world.sample(seed, spec), 1, seed, kind, spec)[0]
        except world.NothingToAsk:
            continue
        seen[question.answer] += 1
        if seed % 2 == 0:
            learned[question.text][question.answer] += 1
        elif learned[question.text].total() >= 4:
            tried += 1
            right += learned[question.text].most_common(1)[0][0] == question.answer
    commonest = max(seen.values()) / seen.total()
    return seen.total(), len(world.answers(kind, spec)), commonest, right / tried if tried >= 200 else 0


def matplotlib_picture(scene):
    """A picture of a scene drawn with matplotlib, as ShapeWorld-like generators do it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    canvas = FigureCanvasAgg(Figure(figsize=(1, 1), dpi=64))
    axes = canvas.figure.add_axes((0, 0, 1, 1), xlim=(0, 1), ylim=(1, 0))
    axes.axis("off")
    for thing in scene:
        corners = POLYGONS[thing.shape] * world.SIZES[thing.size] + (thing.x, thing.y)
        axes.fill(*corners.T, color=np.array(world.COLORS[thing.color]) / 255)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def main():
    def say(value, what):
        print(f"{value:10,.0f} {what}", flush=True)

    scenes = [world.sample(seed) for seed in range(FRESH, FRESH + 3000)]
    world.draw(scenes)  # fills the cache of templates
    say(rate(lambda: [world.sample(seed) for seed in range(3000)], 3000), "scenes sampled a second")
    say(rate(lambda: world.draw(scenes), 3000), "pictures drawn a second at 64 px")
    say(rate(lambda: [matplotlib_picture(s) for s in scenes[:100]], 100), "by matplotlib")
    say(rate(lambda: [(s.image(), s.masks()) for s in scenes], 3000), "with masks")
    say(rate(lambda: [world.questions(s, 16) for s in scenes], 48000), "questions a second, 16 a scene")
    batch = range(FRESH, FRESH + 128)
    say(1000 / rate(lambda: [world.questions(s, 16) for s in map(world.sample, batch)] and world.draw(
        [world.sample(seed) for seed in batch]), 1), "ms for 128 pictures with 16 questions each")
    for n in (1, 2, 3, 4, 5, 6):
        many = [world.sample(seed, world.Spec((n, n))) for seed in range(1000)]
        world.draw(many)
        say(1e6 / rate(lambda: world.draw(many), 1000), f"microseconds for a picture of {n} objects")
    for spec in world.SPECS:
        for size, noise in ((64, 0), (48, 0), (64, 8)):
            say(5000 * reading(5000, size, noise, spec), f"of 5,000 {spec} read, {size} px, noise {noise}")
    for spec in ("standard", "rich"):
        for count, what in zip(telling(50_000, spec), ("captions false", "captions lost", "negatives true")):
            say(count, f"of 50,000 {what} ({spec})")
    for spec, kinds in (("standard", world.STANDARD_KINDS), ("rich", world.KINDS)):
        for kind in kinds:
            asked, choices, commonest, guess = balance(kind, 20_000, spec)
            print(f"{spec:9}{kind:18}{asked:6,} asked, 1/K {1 / choices:.3f}, commonest {commonest:.3f}, "
                  f"guess from text {guess:.3f}", flush=True)


if __name__ == "__main__":
    main()
