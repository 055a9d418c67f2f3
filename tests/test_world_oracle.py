"""The oracle reads back what was drawn, survives noise, blur and drift, and names only what it knows."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from mmcourse import world
from mmcourse.world import Object, Scene
from mmcourse.world.bench import FRESH, reading


@pytest.mark.parametrize("spec", world.SPECS)
@pytest.mark.parametrize("size", [64, 48])
def test_reads_every_drawn_scene(spec, size):
    assert reading(150, size, 0, spec) == 1


@pytest.mark.parametrize("spec, size", [("standard", 64), ("rich", 64), ("gray", 64), ("standard", 48)])
def test_reads_under_noise(spec, size):
    assert reading(150, size, 8, spec) >= 0.98


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2 ** 40), st.sampled_from([*world.SPECS]), st.sampled_from([48, 64, 96, 128, 150, 400]))
def test_noiseless_pictures_are_read_to_the_grid_step(seed, spec, size):
    scene = world.sample(seed, spec)
    scene = Scene(scene.objects, scene.background)
    assert world.read(scene.image(size)) == scene


def spoiled(spoil, spec, n=60):
    """The share of n fresh scenes whose attributes are read right from a spoiled picture."""
    right = 0
    for seed in range(FRESH, FRESH + n):
        scene = world.sample(seed, spec)
        found = world.read(spoil(scene.image(64)))
        right += sorted(map(str, found)) == sorted(map(str, scene))
    return right / n


def drift(image):
    shift = np.random.default_rng(int(np.asarray(image, int).sum())).uniform(-20, 20, 3)
    return Image.fromarray(np.clip(np.asarray(image) + shift + 0.5, 0, 255).astype(np.uint8))


def jpeg(image):
    image.save(file := io.BytesIO(), "JPEG", quality=75)
    return Image.open(file).convert("RGB")


@pytest.mark.parametrize("spoil", [lambda im: im.filter(ImageFilter.GaussianBlur(1)), drift, jpeg])
def test_tolerates_blur_drift_and_jpeg(spoil):
    assert spoiled(spoil, "standard") >= 0.98
    assert spoiled(spoil, "rich") >= 0.95


def test_an_empty_picture_is_an_empty_scene():
    assert world.read(Image.new("RGB", (64, 64), "white")) == Scene(())
    assert world.read(Image.new("RGB", (64, 64), (217, 215, 221))) == Scene((), "gray")


def painted(paint):
    """A 64 px picture painted at 512 px."""
    paint(ImageDraw.Draw(image := Image.new("RGB", (512, 512), "white")))
    return image.resize((64, 64), Image.Resampling.BOX)


RED = world.COLORS["red"]


@pytest.mark.parametrize("paint, shape, color", [
    (lambda d: d.ellipse((192, 192, 320, 320), fill=(130, 90, 50)), "circle", "unknown"),  # brown
    (lambda d: d.ellipse((192, 192, 320, 320), fill=(120, 30, 160)), "circle", "unknown"),  # purple
    (lambda d: d.rectangle((192, 240, 320, 272), fill=RED), "unknown", "red"),  # a bar
    (lambda d: d.arc((192, 192, 320, 320), 0, 360, fill=RED, width=14), "unknown", "red"),  # a thin ring
    (lambda d: d.pieslice((192, 192, 320, 320), 0, 180, fill=RED), "unknown", "red"),  # half a circle
    (lambda d: d.ellipse((60, 60, 450, 450), fill=RED), "unknown", "red"),  # far too large
])
def test_what_it_cannot_name_is_unknown(paint, shape, color):
    thing, = world.read(painted(paint))
    assert (thing.shape, thing.color) == (shape, color)
    scene = Scene((thing,))
    assert world.satisfies(scene, "one object") and not world.satisfies(scene, "a red circle")


def test_what_is_no_more_than_noise_is_unknown():
    """A faint sheet, too wide for any object, on a ground so spotted that noise might have made it."""
    picture = np.full((32, 32, 3), 255, np.uint8)
    picture[::31, ::3] = picture[::3, ::31] = 0
    picture[6:26, 6:26] = 240
    thing, = world.read(picture)
    assert (thing.shape, thing.texture, thing.size) == ("unknown", "unknown", "large")


@pytest.mark.parametrize("color", ["red", "blue"])
def test_objects_that_blur_joins_are_told_apart(color):
    """As near to each other as the world allows, 3 px."""
    scene = Scene((Object("square", "blue", x=44 / 128, y=0.5), Object("circle", color, x=82 / 128, y=0.5),
                   Object("star", "red", "small", x=48 / 128, y=96 / 128)))
    assert world.read(scene.image(64).filter(ImageFilter.GaussianBlur(1.2))) == scene


def test_reads_arrays_and_lists():
    scenes = [world.sample(seed) for seed in range(3)]
    assert world.read(list(world.draw(scenes))) == scenes
    assert world.read(world.draw(scenes)[0]) == scenes[0]


@pytest.mark.parametrize("picture, words", [
    (Image.new("RGBA", (64, 64)), "not RGBA: use image.convert"),
    (Image.new("L", (64, 64)), "not L: use"),
    (Image.new("RGB", (64, 48)), "not 64 x 48"),
    (Image.new("RGB", (16, 16)), "16 x 16"),
    (Image.new("RGB", (1100, 1100)), "1100 x 1100"),
    (np.zeros((64, 64, 3)), "uint8 array"),
    (np.zeros((3, 64, 64), np.uint8), "uint8 array"),
    ("circle.png", "PIL image or a uint8 array"),
])
def test_bad_pictures_are_one_sentence(picture, words):
    with pytest.raises(ValueError, match=words) as error:
        world.read(picture)
    assert "\n" not in str(error.value)


# ---- scores

def test_prompts_are_sentences_of_their_category():
    for category in world.CATEGORIES:
        asked = world.prompts(category, 40, 1)
        assert asked == world.prompts(category, 40, 1) != world.prompts(category, 40, 2)
        for prompt in asked:
            program = world.parse(prompt.text)
            assert (program[0] == "number") == (category == "count") or category == "everything"
            related = any(f" {word} " in f" {prompt.text} " for word in "of above over below under".split())
            assert related == (category == "position") or category == "everything"
    with pytest.raises(ValueError, match="'beauty' is not a category"):
        world.prompts("beauty", 1)
    with pytest.raises(ValueError, match="'position' name two shapes"):
        world.prompts("position", 1, spec=world.Spec(shapes=("star",)))


def test_score_counts_right_pictures():
    asked = world.prompts("color", 3) + world.prompts("single object", 2)
    words = [world.parse(prompt.text)[1][1] for prompt in asked]
    drawn = [Scene((Object(w[-1], w[0] if len(w) > 1 else "pink", x=0.4),)).image() for w in words]
    assert world.score(asked, drawn) == {"color": 1, "single object": 1, "overall": 1}
    blank = Image.new("RGB", (64, 64), "white")
    assert world.score(asked, [drawn[0], blank, blank, drawn[3], blank]) == pytest.approx(
        {"color": 1 / 3, "single object": 1 / 2, "overall": 5 / 12})


def test_everything_allows_nothing_more():
    prompt = world.prompts("everything", 1)[0]
    scene = next(s for s in map(world.sample, range(10 ** 6)) if world.right(prompt, s))
    assert len(scene) == prompt.objects
    more = Scene((*scene, Object("star", "black", "small", x=0.03, y=0.03)))
    assert not world.right(prompt, more)
    assert world.right(prompt, scene.image())
