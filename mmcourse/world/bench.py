"""`python -m mmcourse.world.bench` prints how fast the world is on one core, how exact, and how balanced."""

from collections import Counter, defaultdict
from time import process_time

import numpy as np

from mmcourse import world

FRESH = 2 ** 36  # seeds that nothing was tuned on


def rate(work, n):
    """Items a second of this core: work() makes n of them."""
    start = process_time()
    work()
    return n / (process_time() - start)


def reading(n, size=64, noise=0.0, spec="standard", start=FRESH):
    """The share of n fresh scenes that the oracle reads right: attributes exact, places within 1/64 of the canvas."""
    right = 0
    for seed in range(start, start + n):
        scene = world.sample(seed, spec)
        found = world.read(world.Scene(scene.objects, scene.background, noise).image(size))
        one, other = (sorted((o.shape, o.color, o.size, o.texture, o.x, o.y) for o in s) for s in (scene, found))
        right += len(one) == len(other) and found.background == scene.background and all(
            a[:4] == b[:4] and max(abs(a[4] - b[4]), abs(a[5] - b[5])) <= 1 / 64 for a, b in zip(one, other))
    return right / n


def telling(n, spec, start=FRESH):
    """Of n captions and n negatives: (captions false, captions that do not say and parse back, negatives true)."""
    false = lost = true = 0
    for seed in range(start, start + -(-n // 10)):
        scene = world.sample(seed, spec)
        for caption in world.captions(scene, 10, seed, spec=spec):
            false += not world.satisfies(scene, caption)
            lost += world.parse(world.say(world.parse(caption), seed)) != world.parse(caption)
        true += sum(world.satisfies(scene, negative.text) for negative in world.negatives(scene, 10, seed, spec))
    return false, lost, true


def balance(kind, scenes, spec="standard", start=FRESH):
    """(questions, answers K, share of the commonest answer, share right of the best guess from the text alone).

    The guess is the commonest answer to the same text on the even seeds, tried on the odd ones; 0 for too rare texts.
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
    share = right / tried if tried >= 200 else 0
    return seen.total(), len(world.answers(kind, spec)), max(seen.values()) / seen.total(), share


def matplotlib_picture(scene):
    """The same picture drawn with matplotlib, as ShapeWorld-like generators do."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Polygon
    canvas = FigureCanvasAgg(figure := Figure(figsize=(1, 1), dpi=64))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 1), ylim=(1, 0))
    axes.axis("off")
    for thing in scene:
        corners = world.drawing.POLYGONS[thing.shape] * world.SIZES[thing.size] + (thing.x, thing.y)
        axes.add_patch(Polygon(corners, color=np.array(world.COLORS[thing.color]) / 255))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def training_batch():
    scenes = [world.sample(seed) for seed in range(FRESH, FRESH + 128)]
    return world.draw(scenes), [world.questions(scene, 16, 1) for scene in scenes]


def main():
    scenes = [world.sample(seed) for seed in range(FRESH, FRESH + 3000)]
    world.draw(scenes)
    print(f"{rate(lambda: [world.sample(s) for s in range(3000)], 3000):9,.0f} scenes a second sampled")
    print(f"{rate(lambda: world.draw(scenes), 3000):9,.0f} pictures a second drawn at 64 px")
    print(f"{rate(lambda: [matplotlib_picture(s) for s in scenes[:100]], 100):9,.0f} by matplotlib")
    print(f"{rate(lambda: [(s.image(), s.masks()) for s in scenes], 3000):9,.0f} with masks")
    print(f"{rate(lambda: [world.questions(s, 16) for s in scenes], 48000):9,.0f} questions a second, 16 a scene")
    print(f"{1000 / rate(training_batch, 1):9,.0f} ms for 128 pictures with 16 questions each")
    for n in (1, 2, 4, 6):
        many = [world.sample(s, world.Spec((n, n))) for s in range(1000)]
        print(f"{1e6 / rate(lambda: world.draw(many), 1000):9,.0f} microseconds for a picture of {n} objects")
    for spec, size, noise in (("standard", 64, 0), ("standard", 48, 0), ("standard", 64, 8), ("rich", 64, 0),
                              ("rich", 48, 0), ("rich", 64, 8), ("gray", 64, 0), ("crowded", 64, 0)):
        print(f"{reading(5000, size, noise, spec):9.2%} of 5,000 {spec} scenes read right at {size} px, noise {noise}")
    for spec in ("standard", "rich"):
        false, lost, true = telling(50_000, spec)
        print(f"{false} false and {lost} lost of 50,000 captions, {true} true of 50,000 negatives ({spec})")
    for spec, kinds in (("standard", world.STANDARD_KINDS), ("rich", world.KINDS)):
        for kind in kinds:
            asked, choices, common, guess = balance(kind, 10_000, spec)
            print(f"{spec:9}{kind:18}{asked:6} asked  1/K {1 / choices:.3f}  commonest {common:.3f}  "
                  f"guess from text {guess:.3f}")


if __name__ == "__main__":
    main()
