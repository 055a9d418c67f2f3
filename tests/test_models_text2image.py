"""Text to image: its sampler against the plain DiT, diffusers' pipeline from a folder, edits, and what cannot be drawn."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from mmcourse import batches, recipes, root, world, zoo
from mmcourse.models.text2image import CLEAN, Text2Image, amiss, foresee, images, remember, save_for_diffusers, word_maps
from mmcourse.recipes import painter as before, painter128, reader
from mmcourse.recipes import text2image as recipe

SENTENCES = ["a large red circle left of a small blue square", "a star", "two green triangles and a yellow star"]


@pytest.fixture(scope="module")
def model():
    """Untrained, with no zeros anywhere: gates, output and all."""
    torch.manual_seed(0)
    model = Text2Image().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


def apart(one, two):
    """The largest difference of two pictures in grey levels."""
    return np.abs(np.asarray(one, int) - np.asarray(two, int)).max()


def test_each_word_of_a_noun_names_its_things():
    scene = world.Scene([world.Object("star", "red", x=0.2), world.Object("star", "blue", "small", x=0.5),
                         world.Object("circle", "red", x=0.8)])
    star, little, circle = scene
    got = reader.named("two stars and a red circle. the little star is left of a red thing.", scene)
    both = [star, little]
    assert got == [[], both, [], [], [circle], [circle], [], [], [little], [little], [], [], [], [], [star, circle],
                   [star, circle], []]


def test_what_a_reader_learns_from(monkeypatch):
    ids, *wanted = reader.batch(3)
    names = torch.tensor([word in reader.MEANS for word in batches.WORDS])[ids]
    for want in wanted:                                    # shares of what is named, and of nothing else
        torch.testing.assert_close(want.sum(-1), names.float())
    monkeypatch.setattr(reader, "OFTEN", {before.related: 1})
    ids, columns, rows, looks, numbers = reader.batch(3)
    assert ids.shape == columns.shape[:2] and columns.shape[-1] == rows.shape[-1] == 8 and looks.shape[-1] == 48
    assert numbers[..., 0].sum() > 0.7 * numbers.sum()     # most words of a relation name one thing


def test_the_shipped_reader_knows_where_things_stand():
    scores = reader.evaluate(zoo.load("reader"))
    assert scores["place"] >= 0.99 and scores["look"] >= 0.9
    assert reader.evaluate(reader.model())["place"] < 0.7


@pytest.mark.parametrize("now", [1.0, 0.4, 0.05])
def test_the_sampler_sees_what_the_dit_sees(model, now):
    noisy, t = torch.randn(3, 3, 64, 64), torch.full((3,), now)
    with torch.no_grad():
        want = model.dit(noisy, t, *model.read(batches.encode(SENTENCES)[0]))
        got = foresee(model.dit, noisy, now, remember(model, SENTENCES))
        both = foresee(model.dit, noisy, now, remember(model, [*SENTENCES, "", "", ""]))
        none = model.dit(noisy, t, *model.read(batches.encode([""] * 3)[0]))
        way = model.velocity(noisy, t, *model.read(batches.encode(SENTENCES)[0]))
    scale = want.abs().max().item()
    torch.testing.assert_close(got, want, atol=1e-5 * scale, rtol=0)
    torch.testing.assert_close(both, torch.cat([want, none]), atol=1e-5 * scale, rtol=0)
    torch.testing.assert_close(noisy - now * way, want, atol=1e-5 * scale, rtol=0)


def test_guidance_is_the_formula(model):
    noisy, memory = torch.randn(2, 3, 64, 64), remember(model, [*SENTENCES[:2], "", "a star"])
    with torch.no_grad():
        wanted, unwanted = foresee(model.dit, noisy, 0.5, memory).chunk(2)
        for guidance in (0, 1.5, 4):
            got = model.guided(noisy, 0.5, memory, guidance)
            torch.testing.assert_close(got, (1 - guidance) * unwanted + guidance * wanted, atol=1e-4, rtol=1e-4)


def test_a_picture_does_not_know_its_neighbours(model):
    together = model.draw(SENTENCES * 6, seed=5, steps=3, tries=1)                                # more than are painted at once
    for place in (0, 1, 2, 16, 17):
        assert apart(together[place], model.draw((SENTENCES * 6)[place], seed=5 + place, steps=3, tries=1)) <= 1
    assert apart(model.draw(SENTENCES[:2], seed=[9, 7], steps=3, tries=1)[1], model.draw(SENTENCES[1], seed=7, steps=3, tries=1)) <= 1
    assert apart(together[0], model.draw(SENTENCES[0], seed=6, steps=3, tries=1)) > 1             # another seed, another picture


def test_what_is_amiss_in_a_scene():
    circle, star, other = (world.Object(shape, color, x=x) for shape, color, x in (
        ("circle", "red", 0.2), ("star", "blue", 0.5), ("circle", "blue", 0.8)))
    again = replace(circle, x=circle.x + 0.05)
    beside, edge = (world.Object("star", "red", "small", x=x, y=0.76) for x in (0.5, 0.42))
    for things, sentence, how in (
            ([circle], "a red circle", 0), ([circle, star], "a red circle", 4), ([star], "a red circle", 9), ([], "a star", 9),
            ([circle, star], "a circle left of a star", 0), ([star, other], "a circle left of a star", 9),
            ([circle, other], "two circles", 0), ([circle, other, star], "two circles", 4), ([circle], "two circles", 9),
            ([circle, star, other], "there is a red circle, a blue star and a blue circle", 0),
            ([star, circle, other], "a blue circle and a blue star. the star is right of a circle", 4),      # by the red circle
            ([circle, again], "two circles", 4),                                     # one thing, seen twice
            ([circle, beside], "a circle left of a star", 0), ([circle, edge], "a circle left of a star", 1),
            ([world.Object("star", "red", x=1.0, y=0.0)], "a star", 0)):                          # where the canvas ends
        assert amiss(world.Scene(things), sentence) == how, (things, sentence)


def test_keeps_the_try_that_its_eye_doubts_least(model, monkeypatch):
    """The third try of the first sentence is clean, and no other follows; of the second's four the second is the best."""
    doubts = iter(([9, 9.5], [9, 3], [0.1, 9.1], [9.4]))
    monkeypatch.setattr(model, "doubts", lambda pictures, sentences: torch.tensor(next(doubts), dtype=torch.float))
    got = model.draw(["a star", "a red star"], seed=3, steps=2, tries=4)
    noises = [torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(seed)) for seed in (3, 4)]
    for picture, sentence, noise in zip(got, ("a star", "a red star"), (noises[0][2], noises[1][1])):
        assert apart(picture, images(model.sample(noise[None], [sentence], 2))[0]) <= 1
    assert next(doubts, None) is None


def test_doubts_what_is_not_there_and_what_is_not_clean():
    painter, red = zoo.load("text2image").cpu(), world.Scene([world.Object("star", "red", x=0.3), world.Object("circle", "blue", x=0.7)])
    clean = batches.pictures([red, red])
    said, other = painter.doubts(clean, ["a red star and a blue circle", "a blue star"]).tolist()
    assert said < CLEAN < 9 <= other
    smeared = clean[:1].clone()
    smeared[..., 24:40, :12] = 0.5                                                # a gray spot
    specks, other_color = clean[:1].clone(), clean[:1].clone()
    specks[..., 56:60, 20:24] = 0.4
    other_color[:, 1, :, 36:][other_color[:, 1, :, 36:] < 1] = 0.5                # a circle that is no longer blue
    for spoiled in (smeared, specks, other_color):
        assert painter.doubts(spoiled, ["a red star and a blue circle"]).item() > CLEAN
    assert painter.doubts(torch.ones(1, 3, 64, 64), ["a star"]).item() > 9        # nothing there


def test_marks_make_right_pictures_likelier(monkeypatch):
    monkeypatch.setattr(recipe, "SENTENCES", 2)
    painter, asked, marks = zoo.load("painter"), world.prompts("color", 2), [1.0, 0.0] * 8
    drawn = painter.sample(torch.randn(16, 3, 64, 64), [asked[0].text] * 16, steps=2)
    monkeypatch.setattr(painter, "sample", lambda *given, **options: drawn)

    def judged():
        given = iter(marks)
        monkeypatch.setattr(world, "right", lambda prompt, picture: next(given))
        return recipe.judged(painter, asked, torch.Generator().manual_seed(1))

    before = judged()
    before.backward()
    with torch.no_grad():
        for value in painter.parameters():
            if value.grad is not None:
                value -= 0.1 * value.grad
    assert judged() < before
    with torch.no_grad():
        painter.dit.output.weight *= 100                       # wrong pictures become no worse without end
    assert judged().abs() <= recipe.MOST / 4
    marks = [1.0] * 16                                      # nothing to choose from
    assert judged() == 0


def test_times_end_at_the_picture(model):
    """In one step from pure noise the picture is the one foreseen; with any number of steps the last one is."""
    noise = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model.sample(noise, ["a star"], 1, 1), foresee(model.dit, noise, 1.0, remember(model, ["a star"])))
    seen = []
    for steps in (7, 50):
        end = model.sample(noise, ["a star"], steps, 1, watch=lambda now, x, picture: seen.append(picture))
        torch.testing.assert_close(end, seen[-1], atol=1e-5, rtol=1e-4)
    assert len(seen) == 57


def test_editing(model):
    image = Image.fromarray(np.full((64, 64, 3), 200, np.uint8))
    assert apart(model.edit(image, "a star", 0.01, steps=1, guidance=1), model.edit(image, "a star", 0.9, steps=1, guidance=1)) > 1
    assert apart(model.edit(image, "a star", 1, seed=3, steps=4), model.draw("a star", seed=3, steps=4, tries=1)) <= 1
    anew = np.zeros((64, 64), bool)
    anew[:, 40:] = True
    filled = np.asarray(model.fill(image, anew, "a star", steps=4))
    assert apart(filled[:, :40], np.full((64, 40, 3), 200)) <= 1 < apart(filled[:, 40:], np.full((64, 24, 3), 200))


def test_word_maps_are_the_cross_attention_of_the_drawing(model):
    words, maps, picture = word_maps(model, "a red star", seed=4, steps=3)
    assert words == ["a", "red", "star"] and maps.shape == (3, 8, 8) and (maps >= 0).all() and (maps.sum(0) < 1).all()
    assert apart(picture, model.draw("a red star", seed=4, steps=3, tries=1)) <= 1
    assert not any(block.cross._forward_hooks for block in model.dit.blocks)


@pytest.mark.parametrize("wrong, hint", [
    (dict(sentences="a red zebra"), "'zebra'"), (dict(sentences="a rd circle"), "did you mean 'red'"),
    (dict(sentences="what color is the circle?"), "is a question"), (dict(sentences="is there a star"), "is a question"),
    (dict(sentences=[]), "at least one"), (dict(sentences=3), "at least one"), (dict(sentences=["a star", 3]), "is a string"),
    (dict(sentences=""), "is not built like"), (dict(sentences="circle red a"), "is not built like"),
    (dict(sentences="there is no star"), "as `negative`"), (dict(sentences="a crown"), "No picture has taught this model the word 'crown'"),
    (dict(sentences="two striped crosses"), "'striped'"), (dict(sentences="a cyan star"), "'cyan'"),
    (dict(steps=0), "steps = 0 cannot be: give a whole number from 1 to 1000"), (dict(steps=2.5), "whole number"),
    (dict(steps=True), "whole number"), (dict(guidance=-1), "from 0 to 20"), (dict(guidance="3"), "from 0 to 20"),
    (dict(guidance=float("nan")), "from 0 to 20"), (dict(seed=-1), "is not a seed"), (dict(seed=0.5), "is not a seed"),
    (dict(tries=0), "tries = 0 cannot be: give a whole number from 1 to 100"),
    (dict(seed=[1, 2]), "2 seeds for 1 sentences"), (dict(negative="a blob"), "'blob'"), (dict(negative=None), "is a string"),
    (dict(negative="a star"), "give a guidance above 1"),
])
def test_what_cannot_be_drawn_is_said(model, wrong, hint):
    with pytest.raises(ValueError) as error:
        model.draw(**{"sentences": "a star", "steps": 1} | wrong)
    assert hint in str(error.value) and "\n" not in str(error.value)


def test_what_cannot_be_edited_is_said(model):
    image = Image.new("RGB", (64, 64))
    for strength in (0, 1.1, "1", True):
        with pytest.raises(ValueError, match="strength = "):
            model.edit(image, "a star", strength)
    with pytest.raises(ValueError, match="PIL images"):
        model.edit("picture.png", "a star")
    for anew in (np.zeros((64, 64)), np.zeros((32, 32), bool)):
        with pytest.raises(ValueError, match="marks the pixels to paint"):
            model.fill(image, anew, "a star")


def test_opens_in_diffusers_with_equal_pictures(model, tmp_path):
    diffusers = pytest.importorskip("diffusers")
    save_for_diffusers(model, tmp_path)
    with pytest.raises(ValueError, match="trust_remote_code=True"):
        diffusers.DiffusionPipeline.from_pretrained(tmp_path)
    pipe = diffusers.DiffusionPipeline.from_pretrained(tmp_path, trust_remote_code=True)
    pipe.set_progress_bar_config(disable=True)
    assert json.loads((tmp_path / "model_index.json").read_text())["_class_name"] == ["pipeline", "Text2ImagePipeline"]
    for steps, guidance, negative in ((3, 1.0, ""), (5, 2.0, ""), (30, 3.0, "a red square")):
        seeds = [torch.Generator().manual_seed(8 + k) for k in range(3)]
        theirs = pipe(SENTENCES, num_inference_steps=steps, guidance_scale=guidance, negative_prompt=negative, generator=seeds)
        for mine, other in zip(model.draw(SENTENCES, 8, steps, guidance, negative, tries=1), theirs, strict=True):
            assert apart(mine, other) <= 1


def test_grows_to_four_times_the_pixels():
    """At first the large painter sees means of four pixels, and paints each pixel of the small one four times."""
    small, large, noisy, t = zoo.load("painter").cpu(), painter128.model(), torch.randn(2, 3, 128, 128), torch.tensor([0.9, 0.3])
    said = batches.encode(SENTENCES[:2])[0]
    with torch.no_grad():
        want = small.dit(F.avg_pool2d(noisy, 2), t, *small.read(said))
        got = large.dit(noisy, t, *large.read(said))
    torch.testing.assert_close(got, F.interpolate(want, scale_factor=2), atol=1e-5, rtol=1e-4)


def test_times_hide_as_much_at_128_pixels():
    chance = torch.Generator()
    small, large = (before.times(100, chance.manual_seed(0), size) for size in (64, 128))
    torch.testing.assert_close(large / (1 - large), 2 * small / (1 - small), rtol=1e-3, atol=0)
    steps = []
    for size in (64, 128):
        Text2Image(size).sample(torch.randn(1, 3, size, size), ["a star"], 9, watch=lambda now, *_: steps.append(now))
    steps = torch.tensor(steps).view(2, 9)[:, 1:]                                      # without the first, pure noise
    torch.testing.assert_close(steps[1] / (1 - steps[1]), 2 * steps[0] / (1 - steps[0]), rtol=1e-3, atol=0)


def test_the_shipped_painter_of_128_pixels(tmp_path):
    diffusers, large = pytest.importorskip("diffusers"), zoo.load("painter128").cpu()
    prompts = [prompt for category in world.CATEGORIES for prompt in world.prompts(category, 2, 2 ** 31 + 12_000)]
    pictures = large.draw([prompt.text for prompt in prompts], guidance=1.5, tries=30)
    assert {picture.size for picture in pictures} == {(128, 128)} and sum(map(world.right, prompts, pictures)) >= 12
    save_for_diffusers(large, tmp_path)
    pipe = diffusers.DiffusionPipeline.from_pretrained(tmp_path, trust_remote_code=True)
    pipe.set_progress_bar_config(disable=True)
    theirs = pipe(SENTENCES[0], num_inference_steps=4, generator=[torch.Generator().manual_seed(3)])[0]
    assert apart(theirs, large.draw(SENTENCES[0], 3, steps=4, tries=1)) <= 1
    assert apart(large.edit(pictures[0], SENTENCES[0], 1, seed=3, steps=4), theirs) <= 1       # strength 1 forgets the picture
    with pytest.raises(ValueError, match=r"booleans \(128, 128\), not"):
        large.fill(pictures[0], np.zeros((64, 64), bool), "a star")


@pytest.mark.parametrize("name, title", [("README.md", "Ten minutes of painting."), ("README.zh.md", "十分钟学画。")])
def test_the_readme_tells_of_ten_minutes(name, title):
    found = json.loads((root() / "data" / "ten_minutes.json").read_text("utf-8"))
    told = (root() / name).read_text("utf-8").split(f"**{title}**")[1].split("\n\n")[0]
    assert found["seconds"] <= 600 and found["up to 100 tries"]["overall"] >= 0.9
    for share in [*found["up to 100 tries"].values(), *(point["first tries"] for point in found["curve"])]:
        assert f"{share:.0%}" in told, share
    assert all(str(point["seconds"]) in told for point in found["curve"])


@pytest.mark.parametrize("name, title", [("README.md", "An hour of painting."), ("README.zh.md", "一小时学画。")])
def test_the_readme_tells_of_an_hour(name, title):
    told = (root() / name).read_text("utf-8").split(f"**{title}**")[1].split("\n\n")[0]
    found, shipped = json.loads((root() / "data" / "text2image.json").read_text("utf-8")), recipes.manifest()
    assert shipped["reader"]["seconds"] + shipped["painter"]["seconds"] <= 3600
    least = dict(zip(world.CATEGORIES, (0.995, 0.98, 0.95, 0.99, 0.97, 0.97, 0.97)))
    for painter, digits in (("painter", 1), ("painter128", 0)):
        assert found[painter]["weights"] == shipped[painter]["sha256"]
        assert all(f"{category} {share:.{digits}%}" in told for category, share in found[painter]["shares"].items())
    assert all(found["painter"]["shares"][category] >= share for category, share in least.items())
