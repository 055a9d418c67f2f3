"""FID and KID against torchmetrics, with the same network: the course's own eye, and random ones."""

import pytest
import torch
from torch import nn

from mmcourse import batches, metrics, world, zoo


class Eye(nn.Module):
    """What torchmetrics asks of a network: pictures (B, 3, H, W) of bytes -> features."""

    num_features = 128

    def __init__(self):
        super().__init__()
        self.eye = zoo.load("vision").cpu()

    def forward(self, pictures):
        return self.eye(pictures / 127.5 - 1).mean(1)


class Flat(nn.Module):
    """The mean colors of nine fields."""

    num_features = 27

    def forward(self, pictures):
        return nn.functional.adaptive_avg_pool2d(pictures / 255.0, 3).flatten(1)


def bytes_of(seeds, spec):
    return ((batches.pictures([world.sample(seed, spec) for seed in seeds]) + 1) * 127.5).round().to(torch.uint8)


@pytest.mark.parametrize("network", [Eye, Flat])
@pytest.mark.parametrize("other", [world.Spec(), world.Spec(colors=("red", "blue"))])
def test_equal_to_torchmetrics(network, other):
    pytest.importorskip("torchmetrics")
    from torchmetrics.image import fid, kid
    network = network().eval()
    real, made = bytes_of(range(2 ** 31, 2 ** 31 + 200), "standard"), bytes_of(range(2 ** 32, 2 ** 32 + 200), other)
    theirs = [fid.FrechetInceptionDistance(feature=network, input_img_size=(3, 64, 64)),
              kid.KernelInceptionDistance(feature=network, subsets=1, subset_size=200)]
    for metric in theirs:
        for pictures, true in ((real, True), (made, False)):
            for part in pictures.split(50):
                metric.update(part, real=true)
    with torch.no_grad():
        features = [torch.cat([network(part) for part in pictures.split(50)]) for pictures in (real, made)]
    assert metrics.fid(*features) == pytest.approx(theirs[0].compute().item(), rel=1e-3, abs=1e-5)
    assert metrics.kid(*features) == pytest.approx(theirs[1].compute()[0].item(), rel=1e-3, abs=1e-5)


def test_zero_where_nothing_differs():
    features = torch.randn(300, 8)
    assert metrics.fid(features, features) == pytest.approx(0, abs=1e-9)
    assert metrics.fid(features, features + 2) == pytest.approx(8 * 4, rel=1e-6)             # the means alone
    chance = [metrics.kid(*torch.randn(2, 200, 8).unbind()) for _ in range(50)]
    assert abs(sum(chance)) / 50 < 0.01 < metrics.kid(features, features + 1)
