"""Every fusion: one call, a gradient for every parameter, equal sizes, masks and missing modalities kept."""

import pytest
import torch
import torch.nn.functional as F

from mmcourse.models.fusion import BASELINES, EVERY, FUSIONS, parameters, sized

KINDS = list(EVERY.values())
NAMES = list(EVERY)


def pairs(seed=0, batch=6):
    torch.manual_seed(seed)
    mask = torch.arange(5) < torch.tensor([5, 3, 4, 5, 2, 1])[:batch, None]
    present = torch.tensor([[True, True], [True, False], [False, True]] * 2)[:batch]
    return torch.randn(batch, 4, 128), torch.randn(batch, 5, 128), mask, present


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_a_gradient_reaches_every_parameter(kind):
    model = kind(16, 3)
    F.cross_entropy(model(*pairs()), torch.tensor([0, 1, 2, 0, 1, 2])).backward()
    silent = [name for name, value in model.named_parameters() if value.grad is None]
    assert not silent
    # the bias of a score is the same for all tokens, so a softmax does not feel it; that of keys likewise
    still = [name for name, value in model.named_parameters() if value.grad.abs().max() < 1e-9]
    assert all(name.endswith(("score.bias", "key.bias")) for name in still)


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_padding_changes_nothing_and_a_batch_is_its_rows(kind):
    model, (a, b, mask, present) = kind(16, 3).eval(), pairs()
    want = model(a, b, mask, present)
    other = torch.where(mask[..., None], b, torch.randn_like(b))
    assert want.shape == (6, 3)
    assert torch.allclose(model(a, other, mask, present), want, atol=1e-5)
    one = torch.cat([model(a[i:i + 1], b[i:i + 1], mask[i:i + 1], present[i:i + 1]) for i in range(6)])
    assert torch.allclose(one, want, atol=1e-5)


@pytest.mark.parametrize("kind", list(FUSIONS.values()), ids=list(FUSIONS))
def test_both_modalities_are_used_and_what_is_absent_is_not_seen(kind):
    torch.manual_seed(1)
    model, (a, b, mask, _) = kind(16, 3), pairs()
    new_a, new_b = torch.randn_like(a), torch.randn_like(b)
    assert not torch.allclose(model(a, b, mask), model(new_a, b, mask), atol=1e-4)
    assert not torch.allclose(model(a, b, mask), model(a, new_b, mask), atol=1e-4)
    no_a, no_b = (torch.tensor([pair] * 6) for pair in ([False, True], [True, False]))
    assert torch.allclose(model(a, b, mask, no_a), model(new_a, b, mask, no_a), atol=1e-5)
    assert torch.allclose(model(a, b, mask, no_b), model(a, new_b, mask, no_b), atol=1e-5)


@pytest.mark.parametrize("target", [12_000, 40_000])
def test_all_have_about_as_many_parameters(target):
    for name, kind in EVERY.items():
        assert abs(parameters(sized(kind, target)) / target - 1) < 0.1, name


def test_late_fusion_is_additive_and_a_baseline_sees_one_modality():
    torch.manual_seed(2)
    late, (a, b, _, _) = EVERY["late: average"](16), pairs()
    new_a, new_b = torch.randn_like(a), torch.randn_like(b)
    assert torch.allclose(late(a, b) + late(new_a, new_b), late(a, new_b) + late(new_a, b), atol=1e-5)
    picture, words = (kind(16) for kind in BASELINES.values())
    assert torch.equal(picture(a, b), picture(a, new_b)) and torch.equal(words(a, b), words(new_a, b))
