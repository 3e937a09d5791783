"""`budget=`: how many particles and calls it makes, what contradicts it, and that it is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from glass_cli.common.errors import GlassError
from glass_cli.config.split import with_particles
from glass_cli.launch import launch
from glass_cli.method.budget import picture_calls, spread_calls
from glass_cli.method.glass import Glass
from glass_cli.output.reader import read_run
from glass_cli.steering.budget import run_calls
from glass_cli.steering.rollover import RolloverBudget

POINTS = [
    "model=gaussian_mixture",
    "reward=linear",
    "wandb.mode=disabled",
    "sampler.transitions=4",
]


@pytest.mark.parametrize("budget", [30, 47, 80, 161])
@pytest.mark.parametrize("sizes", [(6,) * 4, (9, 5, 2, 1), (2, 4, 8, 6)])
def test_a_budget_is_spread_and_kept(budget: int, sizes: tuple[int, ...]) -> None:
    """Nothing beyond it, and no transition that could still have one call more gets none."""
    calls = spread_calls(budget, sizes)
    spent = picture_calls(calls, sizes)
    assert spent <= budget
    assert max(calls) - min(calls) <= 1
    shorter = [size for size, m in zip(sizes, calls, strict=True) if m == min(calls)]
    assert min(shorter) > budget - spent or min(calls) < max(calls)
    if len(set(sizes)) == 1:
        assert sum(calls) == budget // sizes[0]


@pytest.mark.parametrize(
    ("given", "particles"),
    [
        ({}, 8),
        ({"budget": 80}, 8),
        ({"budget": 80, "calls": 5}, 16),
        ({"budget": 83, "calls": 5}, 16),
        ({"budget": 80, "particles": 4}, 4),
        ({"budget": 80, "particles": 4, "calls": 20}, 4),
        ({"budget": 80, "sampler": {"steps": 2, "transitions": 4}}, 10),
        ({"budget": 80, "sampler": {"steps": 2, "times": [0, 0.5, 1]}}, 20),
        ({"budget": 80, "steering": {"sizes": [12, 6, 3]}}, 12),
        ({"steering": {"sizes": [12, 6, 3]}}, 12),
    ],
)
def test_particles_follow(given: dict[str, Any], particles: int) -> None:
    assert with_particles({"particles": None, **given})["particles"] == particles


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"budget": 80, "particles": 8, "calls": 20}, "160 network calls, not budget=80"),
        ({"budget": 80, "particles": 8, "calls": 5}, "40 network calls, not budget=80"),
        ({"budget": 8, "calls": 20}, "less than the network calls of one particle"),
    ],
)
def test_contradictions_are_one_line(given: dict[str, Any], words: str) -> None:
    with pytest.raises(GlassError, match=words):
        with_particles({"particles": None, **given})


def test_calls_of_a_search_are_those_of_a_picture() -> None:
    times = (0.0, 0.25, 0.5, 0.75, 1.0)
    assert run_calls(Glass(4), RolloverBudget(), times, 5, budget=40) == (2, 2, 2, 2)
    with pytest.raises(ValueError, match="budget=12"):
        run_calls(Glass(4), RolloverBudget(), times, 5, budget=12)
    with pytest.raises(ValueError, match="more than budget=12"):
        run_calls(Glass(4), RolloverBudget(), times, 1, calls=16, budget=12)


STEERINGS = sorted(
    path.stem for path in (Path(__file__).parents[1] / "conf" / "steering").glob("*.yaml")
)


@pytest.mark.parametrize("steering", STEERINGS)
def test_every_steering_keeps_to_its_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steering: str
) -> None:
    """A run of each choice there is: written, read again, within the budget; config.yaml says how
    many particles it was."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "run"
    more = [f"steering={steering}", "budget=64", f"hydra.run.dir={folder}"]
    assert launch([*POINTS, *more]) == 0
    config = OmegaConf.load(folder / "config.yaml")
    assert config.budget == 64
    if steering != "auto":  # which decides the number
        assert config.particles == 8
    (result,) = read_run(folder).results
    assert 0 < result.nfe <= 64
    assert len(result.particles) <= config.particles
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["nfe"] == result.nfe


def test_a_sampler_without_noise_is_refused_where_states_branch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for steering in ("rbf", "svdd", "dts"):
        more = [f"steering={steering}", "sampler=ode", f"hydra.run.dir={tmp_path / 'run'}"]
        assert launch([*POINTS[:-1], *more]) == 2
        assert "use sampler=glass or sampler=sde" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
