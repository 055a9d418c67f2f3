"""Draws data/world.png and prints the measured tables of data/world.md: `python data/make_world_card.py`."""

from collections import Counter, defaultdict
from pathlib import Path

import matplotlib.pyplot as plt

from mmcourse import show, world

show.style()
fig, axes = plt.subplots(4, 6, figsize=(11, 8.6), height_ratios=(1, 1, 1.35, 1.35))
looks = [(shape, color, "large", "solid") for shape, color in zip(world.SHAPES, world.COLORS)]
looks += [("circle", "blue", "small", "solid"), ("star", "red", "large", "striped"),
          ("square", "green", "large", "outlined"), ("heart", "pink", "small", "solid")]
for ax, look in zip(axes[:2].flat, looks):
    thing = world.Object(*look)
    show.panel(ax, world.Scene((thing,)).image(128), show.wrapped(str(thing), 22))
for ax, seed in zip(axes[2:].flat, range(2**31, 2**31 + 60, 5)):
    spec = "standard" if ax in axes[2] else "rich"
    scene = world.sample(seed, spec)
    caption = min((text for text in scene.captions(8, seed) if len(text) > 18), key=len)
    show.panel(ax, scene.image(192), show.wrapped(f"{spec}: {caption}", 25))
fig.savefig(Path(__file__).with_name("world.png"), dpi=90)

scenes = [world.sample(seed) for seed in range(20_000)]
for name, counts in {"things in a scene": Counter(map(len, scenes)),
                     **{name: Counter(getattr(thing, name) for scene in scenes for thing in scene)
                        for name in ("shape", "color", "size")}}.items():
    total = sum(counts.values())
    print(f"{name}: " + ", ".join(f"{value} {count / total:.1%}" for value, count in sorted(counts.items(), key=str)))
asked = defaultdict(Counter)
for seed, scene in enumerate(scenes[:6000]):
    try:
        for question in world.questions(scene, 12, seed):
            asked[question.kind][question.answer] += 1
    except world.NothingToAsk:
        pass
for kind, counts in sorted(asked.items()):
    answer, count = counts.most_common(1)[0]
    choices = len(world.answers(kind))
    print(f"| {kind} | {choices} | {1 / choices:.1%} | {count / counts.total():.1%} ({answer}) |")
