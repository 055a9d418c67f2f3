"""CLIP and its losses against transformers, the floor against enumeration, and the shipped model's promises."""

import itertools
import math

import pytest
import torch

from mmcourse import batches, recipes, world, zoo
from mmcourse.models.contrastive import (CLIP, TextEncoder, as_clip, floor, info_nce, order, save_for_transformers,
                                         sigmoid_loss)
from mmcourse.models.vit import VisionTransformer
from mmcourse.recipes import clip as recipe


def apart(one, two):
    return (one - two).abs().max().item()


def random_clip(seed):
    """A small CLIP of random sizes with random weights, pictures and sentences with padding behind <end>."""
    torch.manual_seed(seed)
    heads, layers, side, vocab = (int(torch.randint(low, high, ())) for low, high in ((1, 4), (1, 4), (1, 4), (8, 30)))
    width, narrow = heads * 2 * int(torch.randint(2, 7, ())), 4 * int(torch.randint(2, 7, ()))
    model = CLIP(VisionTransformer(side * 4, 4, width, heads, layers, pre_norm=True),
                 TextEncoder(vocab, narrow, 2, layers, max_length=16), width, narrow, int(torch.randint(3, 9, ())))
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value) * 0.1)
    count = int(torch.randint(2, 6, ()))
    ids = torch.randint(3, vocab, (count, 12))
    for row in ids:
        end = int(torch.randint(2, 12, ()))
        row[0], row[end], row[end + 1:] = 1, 2, 0
    return model.eval(), torch.randn(count, 3, side * 4, side * 4), ids


@pytest.mark.parametrize("seed", range(15))
def test_scores_loss_and_pooling_equal_transformers(seed):
    pytest.importorskip("transformers")
    model, images, ids = random_clip(seed)
    theirs, vocab = as_clip(model), len(model.text.embedding.words.weight)
    with torch.no_grad():
        words = torch.tensor(order(vocab)).argsort()[ids]
        found = theirs(input_ids=words, attention_mask=ids > 0, pixel_values=images, return_loss=True)
        assert apart(found.logits_per_image, model(images, ids)) < 1e-4
        assert apart(theirs.text_model(input_ids=words).pooler_output, model.text(ids)) < 1e-5
        assert apart(theirs.vision_model(pixel_values=images).pooler_output, model.vision(images)[:, 0]) < 1e-5
        assert apart(found.image_embeds, model.look(images)) < 1e-5 and apart(found.text_embeds, model.read(ids)) < 1e-5
        assert apart(found.loss, info_nce(model(images, ids))) < 1e-5


@pytest.mark.parametrize("seed", range(5))
def test_sigmoid_loss_equals_siglip(seed):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    tiny = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    siglip = transformers.SiglipModel(transformers.SiglipConfig(
        text_config={**tiny, "vocab_size": 20, "projection_size": 16},
        vision_config={**tiny, "image_size": 16, "patch_size": 8})).eval()
    count = int(torch.randint(2, 9, ()))
    with torch.no_grad():
        out = siglip(input_ids=torch.randint(3, 20, (count, 6)), pixel_values=torch.randn(count, 3, 16, 16), return_loss=True)
    assert apart(out.loss, sigmoid_loss(out.logits_per_image)) < 1e-5


def test_losses_by_hand():
    assert abs(info_nce(torch.zeros(64, 64)).item() - math.log(64)) < 1e-5
    assert abs(sigmoid_loss(torch.zeros(8, 8)).item() - 8 * math.log(2)) < 1e-5
    assert apart(info_nce(torch.tensor([[1.0, 2.0], [0.0, 0.5]])), torch.tensor(
        (math.log1p(math.e) + math.log1p(math.exp(-0.5)) + math.log1p(math.exp(-1)) + math.log1p(math.exp(1.5))) / 4)) < 1e-6


def test_the_floor_cannot_be_beaten():
    """A world of 3 pictures and 2 sentences, batches of 2 enumerated: gradient descent on free scores ends at the floor."""
    true = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    told = true.sum(1)
    given = true / told[:, None]                             # p(sentence | picture); both sentences are equally frequent
    pairs = [(x, t, given[x, t].item() / 3) for x in range(3) for t in range(2) if true[x, t]]
    drawn = [([x, y], [t, u], p * q) for (x, t, p), (y, u, q) in itertools.product(pairs, pairs)]
    weight = torch.tensor([p for *_, p in drawn])
    assert abs(weight.sum().item() - 1) < 1e-6
    want = sum(p * floor(true[xs][:, ts] > 0, told[xs]).item() for xs, ts, p in drawn)
    scores = torch.zeros(3, 2, requires_grad=True)
    descent = torch.optim.Adam([scores], lr=0.1)
    for _ in range(400):
        loss = sum(p * info_nce(scores[xs][:, ts]) for xs, ts, p in drawn)
        descent.zero_grad()
        loss.backward()
        descent.step()
        assert loss.item() > want - 1e-5
    assert loss.item() < want + 5e-3


def test_the_floor_in_closed_form():
    torch.manual_seed(0)
    kinds = torch.randint(24, (2000, 64))
    mean = torch.stack([floor(row[:, None] == row) for row in kinds]).mean().item()
    want = sum(math.comb(63, n) * (1 / 24) ** n * (23 / 24) ** (63 - n) * math.log1p(n) for n in range(64))
    assert abs(mean - want) < 0.01


def test_temperature():
    model, _, _ = random_clip(0)
    fresh = CLIP(model.vision, model.text, 4, 4, 4)
    assert abs(fresh.log_scale.item() - 2.6593) < 1e-4 and abs(fresh.scale().item() - 14.2857) < 1e-3
    fresh.log_scale.data.fill_(9.0)
    assert abs(fresh.scale().item() - 100) < 1e-3


def test_names_are_drawn_evenly_and_told_truly():
    data = recipe.batch(3)
    _, ids, fits, told, _ = data
    scenes = batches.scenes(3, recipe.BATCH)
    sentences = batches.decode(ids)[:recipe.BATCH]
    assert fits.diagonal().all()
    for row, scene in zip(fits, scenes):
        assert [world.satisfies(scene, sentence) for sentence in sentences] == row.tolist()
    assert told.tolist() == [len({(t.color, t.shape) for t in scene}) for scene in scenes]
    for place, scene in enumerate(scenes):
        caption, true, false = (batches.decode(part)[place] for part in ids.chunk(4)[1:])
        assert world.satisfies(scene, caption) and world.satisfies(scene, true) and not world.satisfies(scene, false)


@pytest.fixture(scope="module")
def clip():
    return zoo.load("clip")


def test_similarity_takes_one_or_many(clip):
    scenes = [world.sample(2**31 + i) for i in range(3)]
    images, texts = [scene.image() for scene in scenes], ["a red circle", "There is a blue star.", "two squares"]
    table = clip.similarity(images, texts)
    assert table.shape == (3, 3) and table.abs().max() <= 1.0001 and not table.requires_grad
    assert clip.similarity(images[0], texts[1]).shape == (1, 1)
    assert apart(clip.similarity(images[2], texts[1]), table[2:, 1:2]) < 1e-4       # longer padding, other batch
    with pytest.raises(ValueError, match="does not know the word 'purple'"):
        clip.similarity(images, ["a purple circle"])
    with pytest.raises(ValueError, match="at least one"):
        clip.similarity(images, [])
    with pytest.raises(ValueError, match="PIL images"):
        clip.similarity([torch.zeros(3, 64, 64)], texts)


def test_shipped_weights_open_in_a_pipeline(clip, tmp_path):
    transformers = pytest.importorskip("transformers")
    save_for_transformers(clip.cpu(), tmp_path)
    classify = transformers.pipeline("zero-shot-image-classification", model=str(tmp_path), device="cpu")
    labels = ["a red circle", "there is a Blue star.", "two large squares, a small star"]
    for size in (64, 150):
        image = world.sample(2**31 + 4).image(size)
        want = (clip.scale() * clip.similarity(image, labels)[0]).softmax(-1).tolist()
        said = {answer["label"]: answer["score"] for answer in classify(image, candidate_labels=labels,
                                                                        hypothesis_template="{}")}
        assert max(abs(said[label] - value) for label, value in zip(labels, want)) < 1e-4


def test_held_out_scores(clip):
    with torch.no_grad():
        seeds = world.split("test").seeds
        kept = recipes.manifest()["clip"]["scores"]
        assert min(recipe.retrieval(clip, seeds, groups=4)) > kept["picture_to_text"] - 0.05
        assert min(recipe.zero_shot(clip, seeds, 300)) > 0.97
        assert recipe.binding(clip, seeds, 300) > kept["binding"] - 0.06
        loss, lowest = recipe.against_floor(clip, seeds[0], steps=8)
        assert lowest * 0.97 < loss < lowest * (kept["loss_over_floor"] + 0.03)
