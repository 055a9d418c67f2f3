"""The training loop: it learns, and a run that was cut off ends like one that was not."""

import pytest
import torch
from torch import nn

import mmcourse
from mmcourse import UsageError, recipes
from mmcourse.training import Muon, Optimizers, fit, schedule


def batch(step):
    random = torch.Generator().manual_seed(step)
    x = torch.randn(32, 4, generator=random)
    return x, x @ torch.tensor([[1.0], [-2.0], [0.5], [3.0]])


def loss(model, data):
    return (model(data[0]) - data[1]).square().mean()


def model(width=4):
    torch.manual_seed(0)
    return nn.Linear(width, 1)


def test_it_learns():
    losses = fit(model(), batch, loss, steps=200, lr=0.1)
    assert losses[0] > 1 and losses[-1] < 1e-3 and len(losses) == 200


def test_a_run_cut_off_ends_like_an_undisturbed_one(tmp_path):
    whole = model()
    want = fit(whole, batch, loss, steps=60)

    class Cut(Exception):
        pass

    def until_45(step):
        if step == 45:
            raise Cut
        return batch(step)

    path, halves = tmp_path / "run.safetensors", model()
    with pytest.raises(Cut):
        fit(halves, until_45, loss, steps=60, checkpoint=path, every=20)
    fresh = nn.Linear(4, 1)                                        # other weights: all must come from the file
    seen = []
    got = fit(fresh, lambda step: seen.append(step) or batch(step), loss, steps=60, checkpoint=path, every=20)
    assert seen == list(range(40, 60))                             # step 40 was the last one saved
    assert torch.equal(fresh.weight, whole.weight) and got == want
    assert [file.name for file in tmp_path.iterdir()] == ["run.safetensors"]


class Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.blocks, self.out = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 8)), nn.Linear(8, 1)

    def forward(self, x):
        return self.out(self.blocks(x))


def test_muon_trains_matrices_of_blocks_and_resumes(tmp_path):
    whole, path, cut = Blocks(), tmp_path / "run.safetensors", Blocks()
    parts = Optimizers(whole, 1e-3, 0.01, 0.02).parts
    assert [[tuple(p.shape) for p in part.param_groups[0]["params"]] for part in parts] == [
        [(8,), (8,), (1, 8), (1,)], [(8, 4), (8, 8)]]
    want = fit(whole, batch, loss, steps=40, muon=0.02)

    def until_25(step):
        if step == 25:
            raise KeyboardInterrupt
        return batch(step)

    with pytest.raises(KeyboardInterrupt):
        fit(cut, until_25, loss, steps=40, muon=0.02, checkpoint=path, every=20)
    got = fit(cut, batch, loss, steps=40, muon=0.02, checkpoint=path)
    assert got == want and torch.equal(cut.blocks[1].weight, whole.blocks[1].weight)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    fit(model(), batch, loss, steps=5, checkpoint=path, every=5)
    other = nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 1))
    with pytest.raises(UsageError, match="holds another model"):
        fit(other, batch, loss, steps=5, checkpoint=path)


def test_a_loss_that_is_no_number_stops_the_run():
    with pytest.raises(FloatingPointError, match="at step 3: try a smaller lr"):
        fit(model(), lambda step: batch(step) if step != 3 else (batch(3)[0] * torch.inf, batch(3)[1]), loss, steps=9)


def test_schedule_rises_and_falls():
    values = [schedule(step, 100, 10) for step in range(100)]
    assert values[:10] == pytest.approx([k / 10 for k in range(1, 11)]) and values[10] == 1
    assert all(a >= b for a, b in zip(values[10:], values[11:])) and values[-1] < 0.01


def test_muon_is_that_of_torch_but_for_rounding():
    torch.manual_seed(0)
    start = [torch.randn(shape) for shape in ((8, 32), (32, 8), (16, 16), (32, 8), (16, 16))]   # some alike
    ours, theirs = ([torch.nn.Parameter(matrix.clone()) for matrix in start] for _ in range(2))
    optimizers = Muon(ours, 0.02, 0.1), torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1)
    for _ in range(5):
        for mine, other in zip(ours, theirs):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for mine, other, first in zip(ours, theirs, start):
        assert (mine - other).norm() < 0.02 * (other - first).norm()      # torch rounds to bfloat16 on the way


def test_a_checkpoint_of_another_plan_or_none_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    fit(model(), batch, loss, steps=5, checkpoint=path, every=5)
    for other, said in (({"steps": 9}, "a run with steps 5 and not 9"), ({"lr": 1e-4}, "with lr 0.002 and not 0.0001"),
                        ({"muon": 0.02}, "with muon None and not 0.02")):
        with pytest.raises(UsageError, match=said):
            fit(model(), batch, loss, **{"steps": 5} | other, checkpoint=path)
    for content in (b"", path.read_bytes()[:100], b"x" * 300):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="is no checkpoint of a run"):
            fit(model(), batch, loss, steps=5, checkpoint=path)


class Odd(nn.Module):
    """One weight that no loss uses, and one that has two names."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.idle, self.one, self.out = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1)
        self.same = self.one

    def forward(self, x):
        return self.out(self.same(self.one(x)))


def test_idle_and_shared_weights_can_be_resumed(tmp_path):
    path, whole, cut = tmp_path / "run.safetensors", Odd(), Odd()
    want = fit(whole, batch, loss, steps=10)

    def until_7(step):
        if step == 7:
            raise KeyboardInterrupt
        return batch(step)
    with pytest.raises(KeyboardInterrupt):
        fit(cut, until_7, loss, steps=10, checkpoint=path, every=5)
    assert fit(Odd(), batch, loss, steps=10, checkpoint=path) == want


def test_training_anew_trains_anew(tmp_path, monkeypatch):
    drawn = []
    recipe = recipes.Recipe(model=model, batch=lambda step: drawn.append(step) or batch(step), loss=loss, steps={"cpu": 6, "gpu": 6},
                            evaluate=lambda model: {"error": 0.5}, options={"every": 2})
    monkeypatch.setattr(recipes, "find", lambda name: recipe)
    monkeypatch.setattr(mmcourse, "root", lambda: tmp_path)
    monkeypatch.setattr(recipes, "weights", lambda: tmp_path)
    for _ in range(2):
        recipes.train("toy")
        assert drawn == list(range(6)) and not list((tmp_path / "runs").iterdir())
        drawn.clear()
