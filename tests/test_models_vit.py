"""The Vision Transformer against transformers' ViTModel and CLIPVisionModel, and the shipped encoder's promises."""

import copy

import pytest
import torch
import torch.nn.functional as F

from mmcourse import world, zoo
from mmcourse.models.vit import VisionTransformer, attention_distance, attention_maps, patchify, to_transformers
from mmcourse.recipes import vision


def apart(one, two):
    return (one - two).abs().max().item()


def random_pair(seed, clip):
    """A random small ViT, the same in transformers, and pictures."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    heads, layers, patch, side = (int(torch.randint(low, high, ())) for low, high in ((1, 5), (1, 4), (2, 7), (1, 5)))
    width, d_ff = heads * 2 * int(torch.randint(2, 9, ())), int(torch.randint(8, 65, ()))
    ours = VisionTransformer(side * patch, patch, width, heads, layers, d_ff, pre_norm=clip)
    with torch.no_grad():
        for value in ours.parameters():                      # no zeros and ones that could hide a wrong name
            value.add_(torch.randn_like(value) * 0.1)
    sizes = dict(hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=d_ff,
                 image_size=side * patch, patch_size=patch, layer_norm_eps=1e-5, hidden_act="gelu")
    if clip:
        theirs = transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**sizes))
    else:
        theirs = transformers.ViTModel(transformers.ViTConfig(**sizes), add_pooling_layer=False)
    theirs.load_state_dict(to_transformers(ours))
    return ours, theirs.eval(), torch.randn(int(torch.randint(1, 4, ())), 3, side * patch, side * patch)


def outputs(theirs, images, clip):
    """All tokens after the last norm. CLIPVisionModel normalizes the class token alone, as its pooled output."""
    found = theirs(images)
    if not clip:
        return found.last_hidden_state
    norm = getattr(theirs, "vision_model", theirs).post_layernorm
    assert apart(found.pooler_output, norm(found.last_hidden_state[:, 0])) == 0
    return norm(found.last_hidden_state)


@pytest.mark.parametrize("clip", [False, True], ids=["ViTModel", "CLIPVisionModel"])
@pytest.mark.parametrize("seed", range(15))
def test_outputs_loss_and_gradients_equal_transformers(seed, clip):
    ours, theirs, images = random_pair(seed, clip)
    images.requires_grad_()
    a, b = ours(images), outputs(theirs, images, clip)
    target = torch.randn_like(a)
    losses = [F.mse_loss(tokens, target) for tokens in (a, b)]
    assert apart(a, b) < 1e-5 and apart(*losses) < 1e-6
    names = [name for name, _ in theirs.named_parameters()]
    mine = torch.autograd.grad(losses[0], [images, *ours.parameters()])
    library = dict(zip(["images", *names], torch.autograd.grad(losses[1], [images, *theirs.parameters()])))
    assert apart(mine[0], library.pop("images")) < 1e-4
    slopes = copy.deepcopy(ours)                             # gradients find their partners by the names of the weights
    with torch.no_grad():
        for parameter, gradient in zip(slopes.parameters(), mine[1:]):
            parameter.copy_(gradient)
        if clip:
            slopes.patch.bias.zero_()                        # CLIP has none
    for name, gradient in to_transformers(slopes).items():
        assert apart(gradient, library.pop(name)) < 1e-4, name
    assert not library


def test_patches_by_hand():
    picture = torch.arange(16.0).view(1, 1, 4, 4)
    assert patchify(picture, 2)[0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    with pytest.raises(ValueError, match="5 x 4 pixels does not split into patches of 2 x 2"):
        patchify(torch.zeros(1, 3, 5, 4), 2)


def test_patches_and_a_linear_layer_are_a_convolution():
    torch.manual_seed(0)
    images, layer = torch.randn(2, 3, 12, 20), torch.nn.Linear(48, 7)
    want = F.conv2d(images, layer.weight.view(7, 3, 4, 4), layer.bias, stride=4).flatten(2).transpose(1, 2)
    assert apart(layer(patchify(images, 4)), want) < 1e-5


def test_attention_maps_and_their_distance():
    torch.manual_seed(0)
    vit, images = VisionTransformer(16, 4, 8, 2, 3), torch.randn(2, 3, 16, 16)
    maps = attention_maps(vit, images)
    assert maps.shape == (3, 2, 2, 17, 17) and apart(maps.sum(-1), torch.ones(3, 2, 2, 17)) < 1e-5
    assert not any(block.attend._forward_hooks for block in vit.encoder.blocks)
    assert attention_distance(maps, 4).shape == (3, 2)
    own = torch.eye(17).expand(1, 1, 1, 17, 17)
    right = torch.zeros(1, 1, 1, 5, 5)                       # 2 x 2 patches; each looks at the one across the corner
    right[..., [1, 2, 3, 4], [4, 3, 2, 1]], right[..., 0] = 0.3, 0.7
    assert attention_distance(own, 8).item() == 0
    assert abs(attention_distance(right, 8).item() - 8 * 2 ** 0.5) < 1e-4


def test_truth_of_the_cells():
    scene = world.Scene([world.Object("circle", "red", "large", x=0.25, y=0.5),
                         world.Object("star", "pink", "small", x=0.8, y=0.8)])
    labels, places = vision.truth([scene])
    labels, places = labels.view(8, 8, 5), places.view(8, 8, 2)
    assert labels[..., 0].nonzero().tolist() == [[4, 2], [6, 6]]
    assert labels[4, 2].tolist() == [1, 1, 0, 0, 1] and places[4, 2].tolist() == [0.25, 0.5]
    assert labels[6, 6, 2:].tolist() == [3, 4, 0] and labels[0].sum() == 0
    assert labels[3:5, 1:3, 1].all() and labels[..., 1].sum() == 4 + 3      # 2 x 2 cells whole; 6/8 and 2/8 but for a corner
    assert vision.kinds([scene]).sum() == 2


@pytest.fixture(scope="module")
def encoder():
    return zoo.load("vision")


def test_the_shipped_encoder_holds_every_attribute(encoder):
    scores = vision.evaluate(encoder, train=range(10**9, 10**9 + 1000), test=world.split("test").seeds[:400])
    for part in ("shape", "color", "size", "place"):
        assert scores[part] >= 0.98, scores
    assert scores["presence"] >= 0.99 and scores["kinds"] >= 0.99, scores


def test_the_shipped_weights_open_in_transformers(encoder):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.ViTModel(transformers.ViTConfig(
        hidden_size=128, num_hidden_layers=len(encoder.vit.encoder.blocks), num_attention_heads=4, intermediate_size=512,
        image_size=64, patch_size=8, layer_norm_eps=1e-5), add_pooling_layer=False).eval()
    theirs.load_state_dict(to_transformers(encoder.vit.cpu()))
    images = vision.pictures([world.sample(2**31 + i) for i in range(8)])
    with torch.no_grad():
        assert apart(encoder.vit(images), theirs(images).last_hidden_state) < 1e-4
        assert apart(encoder(images), theirs(images).last_hidden_state[:, 1:]) < 1e-4


def test_it_reads_scenes_and_batches_change_nothing(encoder):
    scenes = [world.sample(seed) for seed in world.split("test").seeds[:200]]
    read = encoder.read(vision.pictures(scenes))
    same = [[(t.shape, t.color, t.size) for t in a] == [(t.shape, t.color, t.size) for t in b]
            for a, b in zip([sorted(s, key=str) for s in scenes], [sorted(s, key=str) for s in read])]
    assert sum(same) / len(same) > 0.95
    images = vision.pictures(scenes[:4])
    with torch.no_grad():
        assert apart(encoder(images)[1:2], encoder(images[1:2])) < 1e-4
