"""The DiT of lessons 33 and 34 against diffusers' PixArt."""

import pytest
import torch

from mmcourse.models.dit import DiT, as_pixart, unpatchify
from mmcourse.models.vit import patchify


@pytest.mark.parametrize("seed, size, patch, heads, layers", [(0, 32, 4, 3, 2), (1, 64, 8, 2, 1), (2, 24, 2, 4, 3)])
def test_equals_pixart(seed, size, patch, heads, layers):
    torch.manual_seed(seed)
    ours = DiT(size, patch, 16 * heads, heads, layers, d_context=20)
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    theirs = as_pixart(ours)
    noisy, t, context = torch.randn(3, 3, size, size), torch.rand(3), torch.randn(3, 7, 20)
    mask = torch.arange(7) < torch.tensor([[7], [3], [1]])
    got = ours(noisy, t, context, mask)
    want = theirs(noisy, context, 1000 * t, encoder_attention_mask=mask.long()).sample
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
    ours.zero_grad(), theirs.zero_grad()
    got.square().mean().backward(), want.square().mean().backward()
    torch.testing.assert_close(ours.patch.weight.grad.flatten(), theirs.pos_embed.proj.weight.grad.flatten(), atol=1e-4, rtol=1e-4)


def test_unpatchify_undoes_patchify():
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(unpatchify(patchify(images, 8), 8), images)
