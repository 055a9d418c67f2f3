"""Attention against torch's own: outputs, weights and gradients, over random shapes and masks."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmcourse.models.attention import MultiHeadAttention, attention, causal_mask, padding_mask, prefix_mask


def apart(one, two):
    return (one - two).abs().max().item()


def random_case(seed):
    """Random shapes and a random mask, in which the first query of the first sentence may look nowhere."""
    torch.manual_seed(seed)
    batch, heads, length, keys, width = (int(torch.randint(1, most, ())) for most in (4, 5, 10, 10, 24))
    inputs = [torch.randn(batch, heads, n, width, requires_grad=True) for n in (length, keys, keys)]
    mask = torch.rand(batch, 1, length, keys) > 0.4
    mask[0, 0, 0] = False
    return inputs, (None, mask)[seed % 2]


@pytest.mark.parametrize("seeds", [range(start, start + 50) for start in range(0, 200, 50)])
def test_attention_equals_torch(seeds):
    for seed in seeds:
        inputs, mask = random_case(seed)
        ours, weights = attention(*inputs, mask)
        theirs = F.scaled_dot_product_attention(*inputs, attn_mask=mask)
        assert apart(ours, theirs) < 1e-6
        pull = torch.randn_like(ours)
        for a, b in zip(torch.autograd.grad((ours * pull).sum(), inputs), torch.autograd.grad((theirs * pull).sum(), inputs)):
            assert torch.isfinite(a).all() and apart(a, b) < 1e-5
        sums = torch.ones_like(weights.sum(-1)) if mask is None else mask.any(-1).float().expand_as(weights.sum(-1))
        assert apart(weights.sum(-1), sums) < 1e-6


@pytest.mark.parametrize("seed", range(20))
def test_multi_head_attention_equals_torch(seed):
    torch.manual_seed(seed)
    heads, batch, length, keys = (int(torch.randint(1, most, ())) for most in (5, 4, 10, 10))
    width = 4 * heads
    ours, theirs = MultiHeadAttention(width, heads), nn.MultiheadAttention(width, heads, batch_first=True)
    parts = (ours.query, ours.key, ours.value)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    x = torch.randn(batch, length, width, requires_grad=True)
    context = torch.randn(batch, keys, width)
    mask = torch.rand(length, keys) > 0.3
    mask[:, 0] = True
    for context, hidden in ((context, mask), (context, None), (None, None)):
        output, weights = ours(x, context, hidden)
        source = x if context is None else context
        want, mean = theirs(x, source, source, attn_mask=None if hidden is None else ~hidden)
        assert apart(output, want) < 1e-6 and apart(weights.mean(1), mean) < 1e-6
        pull = torch.randn_like(output)
        mine = torch.autograd.grad((output * pull).sum(), (x, *ours.parameters()))
        library = torch.autograd.grad((want * pull).sum(), (x, theirs.in_proj_weight, theirs.out_proj.weight))
        assert apart(mine[0], library[0]) < 1e-5
        assert apart(torch.cat([mine[1], mine[3], mine[5]]), library[1]) < 1e-5 and apart(mine[7], library[2]) < 1e-5


def test_masks_by_hand():
    assert causal_mask(3).int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert prefix_mask(4, 2).int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert padding_mask([1, 3])[:, 0, 0].int().tolist() == [[1, 0, 0], [1, 1, 1]]
    assert padding_mask(torch.tensor([1]), longest=2).shape == (1, 1, 1, 2)


def test_padding_and_batching_change_nothing():
    torch.manual_seed(0)
    layer, x = MultiHeadAttention(16, 4), torch.randn(2, 5, 16)
    lengths = [5, 3]
    batch, _ = layer(x, mask=padding_mask(lengths))
    longer, _ = layer(torch.cat([x, torch.randn(2, 4, 16)], 1), mask=padding_mask(lengths, 9))
    for row, length in enumerate(lengths):
        alone, _ = layer(x[row:row + 1, :length])
        assert apart(batch[row, :length], alone[0]) < 1e-6 and apart(longer[row, :length], alone[0]) < 1e-6


def test_wrong_use_is_named():
    with pytest.raises(ValueError, match="3 heads cannot share a width of 16"):
        MultiHeadAttention(16, 3)
    with pytest.raises(TypeError, match="make it boolean"):
        attention(torch.randn(2, 4), torch.randn(2, 4), torch.randn(2, 4), torch.ones(2, 2))
