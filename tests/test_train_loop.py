"""The resumable training loop, on a small problem."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from glass_cli.embedded.train.loop import averaged, fit, trapezoid

STEPS = 20


class Regression:
    """A small problem with buffers and a frozen parameter."""

    def __init__(self, log: list[list[Tensor]] | None = None) -> None:
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh())
        self.head = nn.Linear(4, 1)
        self.net[0].bias.requires_grad_(False)
        self.modules: dict[str, nn.Module] = {"net": self.net, "head": self.head}
        self.log = log

    def parameters(self) -> list[nn.Parameter]:
        every = (p for m in self.modules.values() for p in m.parameters())
        return [p for p in every if p.requires_grad]

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        if self.log is not None:
            self.log.append([p.detach().clone() for p in self.parameters()])
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        loss = (self.head(self.net(x))[:, 0] - x.prod(1)).square().mean()
        return loss, {"number": float(step)}

    def fit(self, folder: Path, **settings: Any) -> dict[str, Any]:
        """Trains, and returns the checkpoint."""
        fit("part", self.modules, self.loss, steps=STEPS, lr=0.05, folder=folder, **settings)
        state: dict[str, Any] = torch.load(folder / "part.pt", weights_only=True)
        return state


def assert_same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


def test_trapezoid() -> None:
    factor = [trapezoid(step, 1000, warmup=100, decay=0.25) for step in range(1000)]
    assert factor[:100] == pytest.approx([(step + 1) / 100 for step in range(100)])
    assert factor[100:750] == [1.0] * 650
    assert factor[750:] == pytest.approx([(1000 - step) / 250 for step in range(750, 1000)])
    # a run shorter than its warm-up never gets to the top, and never to nothing
    assert 0 < min(trapezoid(step, 8) for step in range(8)) < 8 / 300


def test_resumed_run_is_the_undisturbed_one(tmp_path: Path) -> None:
    whole, half = tmp_path / "whole", tmp_path / "half"
    whole.mkdir()
    half.mkdir()
    undisturbed = Regression()
    expected = undisturbed.fit(whole)
    assert Regression().fit(half, stop=12)["step"] == 12
    resumed = Regression()
    for p in resumed.parameters():
        p.data.fill_(9.0)  # all comes from the checkpoint
    found = resumed.fit(half)
    assert found["step"] == STEPS
    assert_same(found, expected)
    for name, module in undisturbed.modules.items():
        assert_same(resumed.modules[name].state_dict(), module.state_dict())
    # a run that is done only hands out its weights
    again = Regression(log=[])
    assert_same(again.fit(half), expected)
    assert again.log == []
    assert_same(again.net.state_dict(), undisturbed.net.state_dict())


def test_killed_save_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    expected = Regression().fit(whole)
    old = Regression().fit(killed, stop=7)
    write = torch.save

    def break_off(state: dict[str, Any], path: Path) -> None:
        write(state, path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(torch, "save", break_off)
        Regression().fit(killed, save_seconds=0.0)
    assert_same(torch.load(killed / "part.pt", weights_only=True), old)
    assert_same(Regression().fit(killed, save_seconds=0.0), expected)


def test_averages(tmp_path: Path) -> None:
    """Against the recurrence, from the weights that every step began with."""
    seen: list[list[Tensor]] = []
    run = Regression(seen)
    state = run.fit(tmp_path, ema_decay=0.5)
    last = Regression()
    for name, module in last.modules.items():
        module.load_state_dict(state["modules"][name])
    average = seen[0]
    for step, after in enumerate([*seen[1:], [p.detach() for p in last.parameters()]]):
        decay = min(0.5, (1 + step) / (10 + step))
        average = [decay * a + (1 - decay) * p for a, p in zip(average, after, strict=True)]
    for p, a in zip(run.parameters(), average, strict=True):
        assert p.detach().numpy() == pytest.approx(a.numpy(), abs=1e-6)
    loaded = Regression()
    assert averaged("part", loaded.modules, tmp_path) == STEPS
    for name, module in run.modules.items():
        assert_same(loaded.modules[name].state_dict(), module.state_dict())
    assert not torch.equal(last.head.weight, loaded.head.weight)


def test_log_has_means_since_the_last_line(tmp_path: Path) -> None:
    run = Regression()
    settings: dict[str, Any] = {"steps": 120, "lr": 0.01, "folder": tmp_path}
    for stop in (30, 120):
        fit("part", run.modules, run.loss, stop=stop, **settings)
    lines = [json.loads(line) for line in (tmp_path / "part.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [30, 50, 100, 120]
    means = [sum(range(a, b)) / (b - a) for a, b in ((0, 30), (30, 50), (50, 100), (100, 120))]
    assert [line["number"] for line in lines] == pytest.approx(means)
