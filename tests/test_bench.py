"""The benchmark works and its file has its form, on tiny shapes; how fast anything is, is for nobody's tests to say."""

import json
import re

import pytest
import torch

import mmcourse
from mmcourse import bench, cli
from mmcourse.bench import cost, growth, peers, quality, report, timing
from mmcourse.recipes import painter

SHIPPED = mmcourse.root() / "data" / "bench.json"


def quartiles(numbers):
    return 0 < numbers["low"] <= numbers["median"] <= numbers["high"]


def test_a_smoke_run_of_training_and_generation(tmp_path, capsys):
    pytest.importorskip("transformers"), pytest.importorskip("diffusers")
    assert cli.main(["bench", "training", "--smoke", "--output", str(tmp_path)]) == 0
    training = bench.load(tmp_path / "bench.json")["training"]
    assert cli.main(["bench", "generation", "--smoke", "--output", str(tmp_path)]) == 0
    results = bench.load(tmp_path / "bench.json")
    assert list(results) == ["training", "generation"] and results["training"] == training     # the other part stays
    assert [len(part["rows"]) for part in results.values()] == [8, 5]
    for part in results.values():
        assert part["smoke"] and part["where"]["threads"] and part["where"]["torch"] == torch.__version__
        for row in part["rows"]:
            assert quartiles(row["ratio"]) and set(row["rate"]) == set(row["seconds"]) == {"ours", "peer"}
    assert all(0 < share < 1.5 for row in results["training"]["rows"] for share in row["share_of_peak"].values())
    assert all(count > 1e5 for row in results["training"]["rows"] for count in row["memory"].values())
    assert all(row["alike"] == 1 for row in results["generation"]["rows"])        # the same weights say the same
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG") and not list(tmp_path.glob(".bench*"))
    printed = capsys.readouterr().out
    assert "numbers mean nothing" in printed and all(line in printed for line in report.table("training", training))


def test_growth_is_fitted():
    assert growth.exponent([1, 2, 4], [3, 12, 48]) == pytest.approx(2)
    row = growth.line("products", (256, 512), [lambda n=n: torch.randn(n, n) @ torch.randn(n, n) for n in (256, 512)])
    assert row["expected"] == pytest.approx(3) and quartiles(row["exponent"])
    assert quartiles(growth.processes(2, 1)["efficiency"])
    assert growth.grading("exercises", (1, 2))["values"] == [1, 2]


def test_memory_and_operations_are_counted():
    a = torch.randn(1000, 1000)
    assert timing.operations(lambda: a @ a) == 2 * 1000 ** 3
    assert 8e6 <= timing.memory(lambda: (a @ a) @ (a @ a).T) <= 13e6


def test_pairs_alternate():
    turns = []
    row = timing.pairs(lambda: turns.append("ours"), lambda: turns.append("peer"), 3)
    assert row["pairs"] == 3 and turns == ["ours", "peer", "peer", "ours"] * 2


def test_the_readers_twin_says_the_same():
    from mmcourse.models.vqa import Reader
    torch.manual_seed(0)
    ours, ids = Reader(4, 32, 4).eval(), torch.randint(3, 60, (6, 9))
    mask = torch.arange(9) < torch.tensor([[9], [4], [2], [7], [9], [1]])
    torch.testing.assert_close(peers.Reader(ours)(ids, mask), ours(ids, mask), atol=1e-5, rtol=1e-5)


def test_the_plain_painter_learns_and_draws():
    pytest.importorskip("diffusers")
    torch.manual_seed(0)
    model = quality.PixArt()
    data = [part[:2] for part in painter.batch(0)]
    quality.pixart_loss(model, data).backward()
    assert all(weight.grad is not None for name, weight in model.named_parameters()
               if weight.requires_grad and not name.startswith(("align", "text.head")))
    pictures = [model.eval().draw(["a red circle", "a star"], seed=3, steps=2, guidance=weight, tries=1) for weight in (1, 1, 3)]
    assert pictures[0] == pictures[1] != pictures[2] and pictures[0][0].size == (64, 64)


def test_cost_is_read_from_what_the_tests_noted(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cost, "notes", lambda: tmp_path / "tests.xml")
    assert cli.main(["bench", "cost", "--output", str(tmp_path)]) == 2 and "run `make test` first" in capsys.readouterr().err
    case = '<testcase classname="{}" name="one" time="{}"/>'.format
    cases = case("notebooks.11_attention.ipynb", 60), case("notebooks.11_attention.ipynb", 40.5), case("tests.test_cli", 2)
    (tmp_path / "tests.xml").write_text(f'<testsuites><testsuite tests="3" time="70">{"".join(cases)}</testsuite></testsuites>')
    found = cost.measure()
    assert found == {"rows": [{"name": "notebooks/11_attention", "seconds": 100.5}, {"name": "tests/test_cli", "seconds": 2.0}],
                     "tests": 3, "whole": 70.0, "too_slow": ["notebooks/11_attention"]}


def test_what_it_cannot_use_is_named(tmp_path, capsys):
    assert cli.main(["bench", "speed"]) == 2 and "'speed' is not a part" in capsys.readouterr().err
    (tmp_path / "bench.json").write_text("{")
    assert cli.main(["bench", "growth", "--output", str(tmp_path)]) == 2 and "is no file of results" in capsys.readouterr().err
    assert (tmp_path / "bench.json").read_text() == "{"


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_the_readme_shows_the_shipped_run(name):
    text, results = (mmcourse.root() / name).read_text("utf-8"), json.loads(SHIPPED.read_text("utf-8"))
    assert {"training", "generation", "quality", "growth"} <= set(results) and not any(part["smoke"] for part in results.values())
    assert all(row["pairs"] >= 5 for part in ("training", "generation") for row in results[part]["rows"])
    for part in ("training", "generation", "quality"):
        for line in report.table(part, results[part])[2:]:
            assert line in text, f"{name} lacks or has another: {line}"
    assert re.search(rf"\b{results['training']['geometric_mean']:.2f}\b", text)
