"""Scenes and pictures: functions of the seed, no overlap, exact masks and boxes, colors anybody can tell."""

import ast
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmcourse import world
from mmcourse.world import Object, Scene, Spec, scene as scene_module



def some(values):
    return st.lists(st.sampled_from(list(values)), min_size=1, unique=True).map(tuple)


specs = st.builds(Spec, objects=st.tuples(st.integers(1, 3), st.integers(3, 6)), shapes=some(world.SHAPES),
                  colors=some(world.COLORS), sizes=some(world.SIZES), textures=some(world.TEXTURES),
                  repeat=st.floats(0, 1), background=st.sampled_from(list(world.BACKGROUNDS)))
seeds = st.integers(0, 2 ** 40)


@settings(max_examples=60, deadline=None)
@given(specs, seeds)
def test_scene_keeps_to_its_spec(spec, seed):
    scene = world.sample(seed, spec)
    assert scene == world.sample(seed, spec)
    assert spec.objects[0] <= len(scene) <= spec.objects[1]
    for thing in scene:
        assert thing.shape in spec.shapes and thing.color in spec.colors
        assert thing.size in spec.sizes and thing.texture in spec.textures
        assert min(thing.box) > 0 and max(thing.box) < 1
        assert (thing.x * 128).is_integer() and (thing.y * 128).is_integer()
    for a, b in itertools.combinations(scene, 2):
        free = max(abs(a.x - b.x), abs(a.y - b.y)) - world.SIZES[a.size] - world.SIZES[b.size]
        assert free >= 6 / 128
    assert [(t.y, t.x) for t in scene] == sorted((t.y, t.x) for t in scene)


def test_seed_gives_this_scene_everywhere():
    """These scenes are part of the course: a change here changes every picture in it."""
    assert world.sample(7) == Scene((Object("circle", "red", "small", x=98 / 128, y=24 / 128),
                                     Object("circle", "yellow", "small", x=21 / 128, y=56 / 128)))
    assert world.sample(np.int64(2 ** 31)) == Scene((
        Object("triangle", "black", "small", x=65 / 128, y=30 / 128),
        Object("square", "pink", "large", x=49 / 128, y=95 / 128)))


def test_attributes_are_even():
    scenes = [world.sample(seed) for seed in range(3000)]
    for attribute in ("shape", "color", "size"):
        counts = np.array([sum(getattr(t, attribute) == v for s in scenes for t in s)
                           for v in Spec().words(attribute)])
        assert counts.max() / counts.min() < 1.1
    assert np.ptp([sum(len(s) == n for s in scenes) for n in range(1, 6)]) < 120


def test_forbidden_pairs_never_appear():
    spec = Spec(forbidden={("circle", "red"), ("star", "blue")})
    seen = {(t.shape, t.color) for seed in range(800) for t in world.sample(seed, spec)}
    assert seen == set(itertools.product(spec.shapes, spec.colors)) - spec.forbidden


def test_scenes_are_equal_if_they_look_the_same():
    a, b = Object("circle", "red", x=0.2, y=0.8), Object("square", "blue", x=0.7, y=0.3)
    assert Scene((a, b)) == Scene([b, a]) and hash(Scene((a, b))) == hash(Scene((b, a)))
    assert Scene((a,)) == Scene((a,), noise=8.0)
    assert Scene((a,)) != Scene((a,), "gray")
    assert Object("circle", "red", x=0.2) == Object("circle", "red", x=26 / 128)
    assert len(Scene((a, b))) == 2 and Scene((a, b))[0] == b and list(Scene((a, b))) == [b, a]


@pytest.mark.parametrize("make, words", [
    (lambda: world.sample(-1), "-1 is not a seed"),
    (lambda: world.sample(True), "True is not a seed"),
    (lambda: world.sample(1.0), "1.0 is not a seed"),
    (lambda: world.sample("7"), "'7' is not a seed"),
    (lambda: world.sample(1, "huge"), "'huge' is not a spec.*standard"),
    (lambda: Object("circle", "mauve"), "'mauve' is not a color.*red"),
    (lambda: Object("blob", "red"), "'blob' is not a shape.*circle"),
    (lambda: Object("circle", "red", "unknown"), "'unknown' is not a size"),
    (lambda: Object("circle", "red", x=1.5), "x = 1.5 is outside"),
    (lambda: Object("circle", "red", y=float("nan")), "y = nan is outside"),
    (lambda: Scene(("circle",)), "made of world.Object"),
    (lambda: Scene((), "purple"), "'purple' is not a background"),
    (lambda: Scene((), noise=-1), "Noise of -1"),
    (lambda: Spec(shapes=()), "Spec.shapes is a tuple"),
    (lambda: Spec(shapes="circle"), "Spec.shapes is a tuple"),
    (lambda: Spec(colors=("red", "mauve")), "'mauve' is not a color"),
    (lambda: Spec(objects=(3, 2)), r"\(3, 2\)"),
    (lambda: Spec(repeat=2), "Spec.repeat"),
    (lambda: Spec(shapes=("star",), colors=("red",), forbidden={("star", "red")}), "leaves no pair"),
    (lambda: world.sample(0, Spec(objects=(12, 12), sizes=("large",))), "12 objects .* do not fit"),
    (lambda: world.sample(0).image(7), "size 7 cannot be drawn"),
    (lambda: world.sample(0).image(2000), "size 2000 cannot be drawn"),
    (lambda: world.sample(0).image(64.0), "size 64.0 cannot be drawn"),
    (lambda: world.sample(0).masks(True), "size True cannot be drawn"),
    (lambda: Scene((Object("unknown", "red"),)).image(), "unknown shape, color or texture cannot be drawn"),
])
def test_bad_input_is_one_sentence(make, words):
    with pytest.raises(ValueError, match=words) as error:
        make()
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


@pytest.mark.parametrize("spec", world.SPECS)
@pytest.mark.parametrize("size", [48, 64, 100])
def test_picture_masks_and_boxes(spec, size):
    for seed in range(10):
        scene = world.sample(seed, spec)
        image = scene.image(size)
        assert (image.mode, image.size) == ("RGB", (size, size))
        masks, boxes = scene.masks(size), scene.boxes(size)
        assert masks.shape == (len(scene), size, size) and masks.dtype == bool
        assert boxes.shape == (len(scene), 4)
        assert masks.sum(0).max() <= 1
        for mask, box in zip(masks, boxes):
            rows, columns = np.nonzero(mask)
            found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            assert np.abs(found - box).max() <= 2.6  # a star's points are thinner than half a pixel


def test_pixels_have_their_object_s_color():
    for seed in range(20):
        scene = world.sample(seed)
        pixels, masks = np.asarray(scene.image(256)), scene.masks(256)
        for thing, mask in zip(scene, masks):
            assert (np.median(pixels[mask], 0) == world.COLORS[thing.color]).all()
        assert (np.median(pixels[~masks.any(0)], 0) == 255).all()


def test_edges_are_antialiased_alike_at_every_size():
    """A picture is the larger picture averaged over each of its pixels."""
    for seed in range(20):
        scene = world.sample(seed, "rich")
        large = scene.image(256)
        for size in (64, 32):
            small = large.resize((size, size), Image.Resampling.BOX)
            difference = np.abs(np.asarray(scene.image(size), int) - np.asarray(small, int))
            assert difference.max() <= 24 and difference.mean() < 1


def test_batch_is_the_pictures_one_by_one():
    scenes = [world.sample(seed, "gray") for seed in range(8)]
    batch = world.draw(scenes, 48)
    assert batch.dtype == np.uint8
    assert (batch == np.stack([np.asarray(scene.image(48)) for scene in scenes])).all()


def test_noise_is_a_function_of_the_scene():
    quiet, noisy = world.sample(5, "gray"), world.sample(5, "gray")
    noisy = Scene(noisy.objects, "gray", 8.0)
    one, other = (np.asarray(noisy.image(), float) for _ in range(2))
    assert (one == other).all()
    assert 7 < (one - np.asarray(quiet.image(), float)).std() < 9


def test_later_objects_cover_earlier_ones_and_the_canvas_cuts():
    back, front = Object("square", "red", x=0.5, y=0.5), Object("square", "blue", x=0.55, y=0.55)
    corner = Object("circle", "green", x=0, y=1)
    scene = Scene((front, corner, back))
    pixels, masks = np.asarray(scene.image(64)), scene.masks(64)
    assert tuple(pixels[35, 35]) == world.COLORS["blue"] and tuple(pixels[25, 25]) == world.COLORS["red"]
    assert masks.sum(0).max() == 1 and masks[1][35, 35] and not masks[0][35, 35]
    assert tuple(pixels[63, 0]) == world.COLORS["green"]


def test_every_shape_fills_its_box_and_differs_from_the_others():
    masks = [Scene((Object(shape, "red"),)).masks(64)[0] for shape in world.SHAPES]
    for mask in masks:
        rows, columns = np.nonzero(mask)
        assert 14 <= np.ptp(rows) + 1 <= 16 and 14 <= np.ptp(columns) + 1 <= 16
    for a, b in itertools.combinations(masks, 2):
        assert (a ^ b).sum() >= 0.15 * (a | b).sum()


# Machado, Oliveira, Fernandes 2009, severity 1, on linear RGB
VISION = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.303900]],
}


def lab(color, vision):
    rgb = np.array(color) / 255
    linear = np.clip(vision @ np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4), 0, 1)
    to_xyz = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                       [0.0193339, 0.1191920, 0.9503041]])
    ratio = to_xyz @ linear / to_xyz.sum(1)
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
def test_colors_are_far_apart_for_every_eye(vision):
    """CIELAB distances; the palette of Okabe and Ito itself comes to 16 in the worst case."""
    colors = [lab(color, np.array(VISION[vision])) for color in (*world.COLORS.values(), (255, 255, 255))]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(colors, 2)) > 25


def test_the_world_stands_on_numpy_and_pillow_alone():
    for path in Path(scene_module.__file__).parent.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for name in names:
                top = name.split(".")[0]
                assert top in sys.stdlib_module_names or top in ("numpy", "PIL") or name.startswith(
                    ("mmcourse.world", "mmcourse.UsageError", "mmcourse.root")), f"{path.name} imports {name}"
