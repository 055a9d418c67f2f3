"""The captioner: against transformers' VisionEncoderDecoderModel, its cache against none, the shipped one on new scenes."""

import warnings

import pytest
import torch
from PIL import Image

from mmcourse import world, zoo
from mmcourse.batches import END, PAD, WORDS, decode, encode, pictures
from mmcourse.metrics import truthfulness
from mmcourse.models.captioning import STARTS, Captioner, Telling, to_transformers
from mmcourse.models.language_model import beam_search, generate
from mmcourse.recipes import captioner as recipe
from mmcourse.recipes import weights


def apart(one, two):
    return (one - two).abs().max().item()


def untrained(seed, sharp=1.0, **shape):
    """A captioner with random norms and biases, too; `sharp` scales its logits, so that no two nearly tie."""
    torch.manual_seed(seed)
    model = Captioner(**shape).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
        model.decoder.norm.weight.mul_(sharp)
    return model.requires_grad_(False)


SHAPES = [{}, {"num_heads": 2, "num_layers": 1}, {"num_heads": 8, "num_layers": 2}]


@pytest.fixture(scope="module")
def images():
    return pictures([world.sample(2 ** 31 + i) for i in range(3)])


@pytest.fixture(scope="module")
def shipped():
    return zoo.load("captioner")


@pytest.mark.parametrize("seed, shape", list(enumerate(SHAPES)))
def test_equals_transformers(seed, shape, images):
    pytest.importorskip("transformers")
    ours = untrained(seed, **shape)
    theirs = to_transformers(ours)
    theirs.set_attn_implementation("eager")                             # which shows its attention
    ids = torch.randint(len(STARTS) + len(WORDS) - 1, (3, 11))
    got = theirs(pixel_values=images, decoder_input_ids=ids, output_attentions=True)
    assert apart(ours(images, ids), got.logits[..., :len(WORDS)]) < 1e-5 * got.logits.abs().max()
    maps = torch.stack(got.cross_attentions).mean((0, 2))[..., 1:].unflatten(-1, (8, 8))
    assert apart(ours.attention(images, ids), maps) < 1e-5


@pytest.mark.parametrize("seed, shape", list(enumerate(SHAPES)))
@pytest.mark.parametrize("beams, penalty", [(1, 1.0), (2, 1.0), (4, 0.0), (4, 2.0)])
def test_generates_the_tokens_of_transformers(seed, shape, beams, penalty, images):
    pytest.importorskip("transformers")
    ours = untrained(seed, 2.0, **shape)
    theirs, context = to_transformers(ours), ours.see(images)
    options = {"length_penalty": penalty} if beams > 1 else {}
    for style in ("full", "count"):
        want = theirs.generate(pixel_values=images, num_beams=beams, do_sample=False, max_length=30,
                               decoder_start_token_id=STARTS[style], **options)[:, 1:].tolist()
        if beams == 1:
            got = generate(Telling(ours, context), [[STARTS[style]]] * 3, 29, END)
        else:
            got = [beam_search(Telling(ours, one[None]), [STARTS[style]], beams, 29, END, penalty) for one in context]
        assert got == [row[:row.index(END)] if END in row else [word for word in row if word != PAD] for row in want]


def test_the_cache_changes_nothing(images):
    ours = untrained(5)
    ids, cache, context = torch.randint(len(WORDS), (3, 9)), [[] for _ in ours.decoder.blocks], ours.see(images)
    telling = Telling(ours, context)
    steps = torch.cat([telling(ids[:, t:t + 1], cache=cache) for t in range(9)], 1)
    assert apart(steps, ours(images, ids)) < 1e-4
    assert apart(telling.about(torch.tensor([2, 0, 2]))(ids), ours(images[[2, 0, 2]], ids)) < 1e-4
    assert [tuple(part.shape) for part in cache[0]] == [(3, 4, 9, 32)] * 2


def test_what_comes_later_changes_nothing(images):
    ours, ids = untrained(6), torch.randint(len(WORDS), (3, 9))
    other = ids.clone()
    other[:, 5:] = PAD
    assert apart(ours(images, ids)[:, :5], ours(images, other)[:, :5]) < 1e-5
    assert apart(ours(images, ids), ours(images.flip(0), ids)) > 1e-2              # but the picture does


def test_describe(images):
    ours = untrained(7)
    ours.vision = zoo.load("vision").cpu()
    shown = [world.sample(2 ** 31 + i).image(size) for i, size in enumerate((64, 128, 100))]
    said = ours.describe(shown)
    assert len(said) == 3 and all(isinstance(sentence, str) for sentence in said)
    assert ours.describe(shown[0]) == said[0] and ours.describe(shown[1].convert("RGBA")) == said[1]
    assert ours.describe(shown, beams=2)[2] == ours.describe(shown[2], beams=2)
    drawn = [ours.describe(shown, temperature=1.0, top_p=0.9, seed=seed, tries=1) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    with pytest.raises(ValueError, match="no style 'poem': choose one of full, object"):
        ours.describe(shown, style="poem")
    with pytest.raises(ValueError, match="looks at PIL images, and this is Tensor"):
        ours.describe(list(images))


def test_a_strange_picture_is_called_strange(shipped):
    gradient = Image.linear_gradient("L").resize((64, 64))
    with pytest.warns(UserWarning, match="Picture 1 does not look like this world's"):
        assert len(shipped.describe([world.sample(1).image(), gradient])) == 2
    with warnings.catch_warnings(action="error"):
        shipped.describe([world.sample(2 ** 31 + i).image() for i in range(200)], style="object")
        assert shipped.describe(world.Scene([]).image()) == "there are no things"


def test_attention_is_a_share_of_the_picture(images):
    ids, _ = encode(["a red star", "a small square", "a star and a circle"])
    maps = untrained(8).attention(images, ids)
    assert maps.shape == (3, ids.shape[1], 8, 8) and (maps >= 0).all() and (maps.sum((-1, -2)) < 1).all()


def test_batches_tell_the_truth_in_every_style():
    for step in range(3):
        images, groups = recipe.batch(step)
        again = recipe.batch(step)
        shown, styles = [world.Scene([]), *(world.sample(step * 1024 + i) for i in range(47))], set()
        assert apart(images, pictures(shown)) == 0 and len(groups) == 5
        for (numbers, ids), (same, equal) in zip(groups, again[1]):
            assert (numbers == same).all() and (ids == equal).all()
            styles |= set(ids[:, 0].tolist())
            for number, row in zip(numbers.tolist(), ids[:, 1:]):
                words = row[:row.tolist().index(END)]
                assert world.satisfies(shown[number], decode(words[None])[0])
        assert styles == set(STARTS.values())


def test_self_critical_learning_follows_the_reward():
    """Whatever is rewarded comes more often: here short captions, from a model that has learned nothing."""
    ours = recipe.model()
    images, shown = pictures([world.sample(i) for i in range(4)]), [world.sample(i) for i in range(4)]
    assert recipe.self_critical(ours, (images, shown), reward=lambda scene, sentence: 1.0).item() == 0
    torch.manual_seed(0)
    optimizer, lengths = torch.optim.Adam(ours.decoder.parameters(), 3e-3), []
    for _ in range(12):
        lost = recipe.self_critical(ours, (images, shown), reward=lambda scene, sentence: -len(sentence.split()) / 10)
        optimizer.zero_grad()
        lost.backward()
        optimizer.step()
        lengths.append(sum(len(sentence.split()) for sentence in
                           ours.describe([scene.image() for scene in shown], temperature=1.0, tries=1)))
    assert sum(lengths[-3:]) < 0.6 * sum(lengths[:3]), lengths


@pytest.fixture(scope="module")
def told(shipped):
    """Held-out scenes, and what it says of them at once and with eight tries."""
    scenes = [world.sample(seed) for seed in world.split("test").seeds[:200]]
    images = [scene.image() for scene in scenes]
    return scenes, shipped.describe(images, tries=1), shipped.describe(images)


def test_the_shipped_captioner_names_what_is_there(told):
    scenes, once, _ = told
    scores = truthfulness(scenes, once)
    assert scores["hallucinating"] <= 0.01 and scores["f1"] >= 0.97 and scores["unread"] == 0, scores


def test_the_shipped_captioner_tells_nothing_but_the_truth(told):
    scenes, _, checked = told
    truth = truthfulness(scenes, checked)
    assert truth["true"] >= 0.98 and truth["f1"] >= 0.98 and truth["hallucinating"] <= 0.005


def test_checking_itself_helps(told):
    scenes, first, checked = told
    assert 0.85 <= truthfulness(scenes, first)["true"] < truthfulness(scenes, checked)["true"]


def test_every_style_is_a_style_of_its_own(shipped):
    scenes = [scene for scene in map(world.sample, range(2 ** 31, 2 ** 31 + 150)) if len(scene) > 2]
    images, lengths = [scene.image() for scene in scenes], {}
    for style in world.STYLES:
        said = shipped.describe(images, style=style, tries=1)
        lengths[style] = sum(len(sentence.split()) for sentence in said) / len(said)
        if style == "negation":
            assert all({"no", "not"} & set(sentence.split()) for sentence in said)
    assert lengths["object"] < lengths["relation"] < lengths["full"], lengths


def test_the_shipped_captioner_in_transformers(shipped, images):
    pytest.importorskip("transformers")
    want = decode(to_transformers(shipped.cpu()).generate(pixel_values=images, do_sample=False))
    assert shipped.describe([world.sample(2 ** 31 + i).image() for i in range(3)], tries=1) == want


def test_the_file_is_small(shipped):
    assert (weights() / "captioner.safetensors").stat().st_size <= 8e6
