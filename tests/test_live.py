"""What a run says on the way: steps, pictures done, running means."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from glass_cli.common.stages import Stages
from glass_cli.engine.draw import Work, draw
from glass_cli.engine.live import Live
from glass_cli.engine.summary import numbers
from glass_cli.method.glass import Glass
from glass_cli.models.gaussian_mixture import GaussianMixture
from glass_cli.output.finished import Unit
from glass_cli.rewards.linear import Linear
from glass_cli.steering.base import Steering
from glass_cli.steering.depth_first import DepthFirst
from glass_cli.steering.evolution import Evolution
from glass_cli.steering.feynman_kac import FeynmanKac
from glass_cli.steering.independent import BestOfN

RESULTS: list[dict[str, Any]] = [
    {
        "prompt": "a",
        "reward": 1.0,
        "rewards": [1.0, 0.0],
        "metrics": {"clip": 30.0},
        "judged": {"correct": True, "reason": None},
    },
    {
        "prompt": "b",
        "reward": None,
        "metrics": {"clip": 40.0},
        "judged": {"correct": False, "tag": "x"},
    },
    {"prompt": "c", "reward": 2.5, "metrics": {"clip": float("nan")}, "judged": {}},
]


def test_numbers_of_a_result() -> None:
    assert numbers(RESULTS[0]) == {
        "reward": 1.0,
        "clip": 30.0,
        "correct": 1.0,
        "best reward": 1.0,
        "mean reward": 0.5,
    }
    assert numbers(RESULTS[1]) == {"clip": 40.0, "correct": 0.0}
    assert numbers(RESULTS[2]) == {"reward": 2.5}


def test_means_are_of_what_is_there_and_of_earlier_runs_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    rewards = torch.tensor([0.25, 0.75])
    step = SimpleNamespace(t=0.5, ess=1.5, rewards=rewards, log_w=rewards.log_softmax(0))
    prompts = {0: "a", 1: "b", 2: "c"}
    monkeypatch.setattr("glass_cli.output.progress._EVERY", -1.0)  # every update is a line
    with Live(prompts, 3, RESULTS[:1], particles=2) as live:
        live.step(Unit(1, 0), step)  # type: ignore[arg-type]  # as much of a step as is read
        live.finished(RESULTS[1])
        means = live.finished(RESULTS[2])
    assert means == {
        "reward": 1.75,
        "clip": 35.0,
        "correct": 0.5,
        "best reward": 1.0,
        "mean reward": 0.5,
    }
    first, during, _, last = said.getvalue().splitlines()
    assert first == "1/3 prompts"
    assert during == "1/3 prompts | ESS 1.5, best reward 0.75: b"
    assert last.startswith("3/3 prompts, ") and last.endswith("| c") and "ESS" not in last
    assert "reward 1.75" in last


def test_a_changed_number_of_particles_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    monkeypatch.setattr("glass_cli.output.progress._EVERY", -1.0)
    step = SimpleNamespace(t=0.5, ess=4.0, rewards=None, log_w=torch.zeros(5))
    with Live({0: "a"}, 2, [], particles=3) as live:
        live.step(Unit(0, 0), step)  # type: ignore[arg-type]
        step.ess = 5.0  # as of a search, whose states have no weights
        live.step(Unit(0, 0), step)  # type: ignore[arg-type]
    assert said.getvalue().splitlines() == [
        "0/2 pictures | particles 5, ESS 4: a", "0/2 pictures | a"
    ]  # fmt: skip


def test_network_calls_move_the_bar_within_a_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the last step said of this prompt, and of no other one."""
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    monkeypatch.setattr("glass_cli.output.progress._EVERY", -1.0)
    step = SimpleNamespace(t=0.5, ess=1.5, rewards=None, log_w=torch.zeros(2))
    done: list[float] = []
    with Live({0: "a", 1: "b"}, 2, [], particles=2) as live:
        update = live._progress.update
        monkeypatch.setattr(
            live._progress, "update", lambda n, *a, **k: (done.append(n), update(n, *a, **k))
        )
        live.calls(Unit(0, 0), 0.25)
        live.step(Unit(0, 0), step)  # type: ignore[arg-type]  # as much of a step as is read
        live.calls(Unit(0, 0), 1.0)
        live.calls(Unit(1, 0), 0.5)
    assert done == [0.25, 0.0, 0.999, 0.5]
    shown = [line.rpartition(" | ")[2] for line in said.getvalue().splitlines()]
    assert shown[:4] == ["a", "ESS 1.5: a", "ESS 1.5: a", "b"]


@pytest.mark.parametrize(
    ("steering", "budget", "all_of_it"),
    [
        (BestOfN(), None, True),
        (BestOfN(sizes=(4, 2)), None, True),
        (FeynmanKac(lam=1.0, value="posterior", value_samples=2, value_steps=2), None, True),
        (FeynmanKac(lam=1.0), 40, True),
        (Evolution(), 40, True),
        (DepthFirst(), 40, False),  # ends when enough are finished
    ],
)
def test_what_is_heard_of_the_network(
    steering: Steering, budget: int | None, all_of_it: bool
) -> None:
    """The share of calls rises from the first call on, by no more than a call of all particles; at
    the end it is 1, or where a search ends early the share that was spent."""
    model = GaussianMixture().load("cpu", None)  # type: ignore[arg-type]
    reward = Linear((1.0, -2.0)).load(torch.device("cpu"), torch.float32)
    calls = None if budget else 6
    work = Work(model, Glass(2), steering, reward, 4, Stages(), calls=calls, budget=budget)
    heard: list[float] = []
    *_, last = draw(work, "a", "", 4, 0, heard.append)
    assert len(heard) >= 6 and 0.0 < heard[0] <= 0.25 and sorted(heard) == heard
    if all_of_it:
        assert heard[-1] == pytest.approx(1.0)
    else:
        assert budget is not None and heard[-1] == pytest.approx(last.step.nfe / budget)
