"""Ways to spend a budget, replayed: against order statistics, and what a plan makes of them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from omegaconf import OmegaConf
from scipy.stats import norm

from glass_cli.config.build import build
from glass_cli.config.choice_files import choice_settings
from glass_cli.engine.plan_measurement import steering_of
from glass_cli.engine.plan_race import choose, race, to_check, with_turns
from glass_cli.launch import launch
from glass_cli.method.budget import picture_calls, spread_calls
from glass_cli.output.reader import read_run
from glass_cli.steering.policies import Policy, policies, splits, ways
from glass_cli.steering.replay import Draws, Forecast, expected, further_ways, moments_of, ranked

RANKS = norm.ppf((np.arange(4000) + 0.5) / 4000)


def draws(foretold: list[float], scale: float = 1.0, mean: float = 0.0) -> Draws:
    """Of a martingale: x_hat's reward explains these shares of the final one's variance."""
    shares = np.array([*foretold, 1.0])
    return Draws(mean, scale**2 * np.minimum.outer(shares, shares), scale * RANKS)


def best_of(n: int) -> float:
    """E max of n standard normal numbers, by quadrature."""
    x = np.linspace(-8, 8, 20_001)
    density = n * norm.pdf(x) * norm.cdf(x) ** (n - 1)
    return float(np.trapezoid(x * density, x))


@pytest.mark.parametrize("n", [2, 5, 20])
def test_best_of_n_is_the_order_statistic(n: int) -> None:
    found = expected(Policy("ode", 5, (n,), "best_of_n"), draws([], 2.0, 1.0), replicates=20_000)
    assert found == pytest.approx(1.0 + 2.0 * best_of(n), abs=4 * 2.0 / 20_000**0.5)


def test_dropping_with_foresight_loses_nothing_and_without_it_all() -> None:
    sizes = (16, 8, 4, 2, 1)
    sure = Draws(0.0, np.ones((5, 5)), RANKS)
    found = expected(Policy("ode", 10, sizes, "best_of_n"), sure, replicates=8000)
    assert found == pytest.approx(best_of(16), abs=0.04)
    blind = Draws(0.0, np.diag([1.0] * 5), RANKS)
    found = expected(Policy("ode", 10, sizes, "best_of_n"), blind, replicates=8000)
    assert found == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("kind", ["fk", "bfs"])
def test_copies_find_more_than_independent_draws(kind: Literal["fk", "bfs"]) -> None:
    """On a martingale with equal shares a filter of 16 beats best-of-16; lam = 0 equals it."""
    open_way = draws([0.2, 0.4, 0.6, 0.8])
    steered = expected(Policy("glass", 10, (16,) * 5, kind, 2.5), open_way, replicates=4000)
    assert steered > best_of(16) + 0.3
    still = expected(Policy("glass", 10, (16,) * 5, kind, 0.0), open_way, replicates=4000)
    assert still == pytest.approx(best_of(16), abs=0.04)


@pytest.mark.parametrize(("foretold", "pictures"), [(0.0, 12 + 18), (1.0, 12)])
def test_evolution_between_its_two_limits(foretold: float, pictures: int) -> None:
    """Half of 120 calls is 12 pictures of 5; the other 60 are 8 children from the second of five
    transitions, 8 from the third and 2 from the fourth, of 4, 3 and 2 calls. They are new draws
    where nothing is decided by then, and their parents again where everything is."""
    policy = Policy("ode", 5, (24,) * 5, "evolution")
    moments = draws([foretold + 1e-12] * 4)
    found = expected(policy, moments, replicates=20_000)
    assert found == pytest.approx(best_of(pictures), abs=0.02)
    half = expected(policy, draws([0.5] * 4), replicates=20_000)
    assert half > best_of(24) + 0.1, "better than the best of as many whole pictures"


def test_a_replay_foretells_nothing_that_was_not_seen() -> None:
    bounded = Draws(0.0, np.eye(1), np.array([-1.0, 0.0, 1.0]))
    assert expected(Policy("ode", 3, (500,), "best_of_n"), bounded) == pytest.approx(1.0, abs=0.01)
    flat = Draws(3.0, np.zeros((1, 1)), np.zeros(4))
    assert expected(Policy("ode", 3, (9,), "best_of_n"), flat) == 3.0


@pytest.mark.parametrize("budget", [6, 20, 80, 400])
def test_policies_keep_to_the_budget(budget: int) -> None:
    known = {one.name for one in ways(budget)}
    found = policies(budget)
    assert found[0].steering == "best_of_n" and len(set(found)) == len(found)
    for policy in found:
        assert policy.way.name in known
        calls = spread_calls(budget, policy.sizes)
        assert picture_calls(calls, policy.sizes) <= budget
        assert sum(calls) >= policy.calls - policy.calls % len(policy.sizes)
    assert splits(5) == [] and policies(5) == []


def test_moments_are_within_prompts() -> None:
    rng = np.random.default_rng(0)
    cov = np.array([[1.0, 0.6], [0.6, 2.0]])
    rows = [
        rng.multivariate_normal([0, 0], cov, 400) + 10 * rng.standard_normal(2) for _ in range(20)
    ]
    found = moments_of(rows)
    assert np.allclose(found.cov, cov, atol=4 * 2.0 * math.sqrt(2 / 8000))
    assert found.mean == pytest.approx(np.mean([r[:, 1].mean() for r in rows]))
    assert found.finals.std() == pytest.approx(math.sqrt(2.0), rel=0.05)


def test_the_best_of_each_kind_is_checked() -> None:
    table = {w.name: draws([0.3, 0.5, 0.7, 0.9] if w.transitions > 1 else []) for w in ways(160)}
    chosen = to_check(ranked(160, table))
    kinds = [(one.policy.steering, one.policy.constant) for one in chosen]
    assert kinds[0] == ("best_of_n", True) and len(chosen[0].policy.sizes) == 1
    assert [*kinds, "fk"].count("fk") == 1
    assert sorted(steering for steering, _ in kinds) == [
        "best_of_n", "best_of_n", "bfs", "evolution", "fk"
    ]  # fmt: skip


def test_a_second_table_is_of_the_best_steering() -> None:
    """By the SDE, at times of its own and with another correlation; its policies are compared with
    the rest."""
    shares = [0.3, 0.5, 0.7, 0.9]
    table = {w.name: draws(shares if w.transitions > 1 else []) for w in ways(160)}
    seen: list[list[float]] = []

    def times_of(foretold: np.ndarray) -> tuple[float, ...]:
        seen.append(foretold.tolist())
        return (0.0, 0.1, 0.2, 0.3, 0.4, 1.0)

    best = next(one.policy for one in ranked(160, table) if one.policy.steering == "fk")
    further = further_ways(160, table, times_of)
    assert seen == [pytest.approx(shares)]
    assert {(w.sampler, w.times is None, w.rho) for w in further} == {
        ("sde", True, "ddpm"), ("glass", True, 0.4), ("glass", False, "ddpm"), ("glass", False, 0.4)
    }  # fmt: skip
    usual = {"sampler": "glass", "times": None, "rho": "ddpm"}
    assert all(w._replace(**usual) == best.way for w in further)
    table |= {w.name: draws(shares, mean=5.0) for w in further}
    found = ranked(160, table, further)
    assert found[0].policy.way in further and found[0].policy.steering in ("fk", "bfs")
    assert set(policies(160)) < {one.policy for one in found}
    unvaried = {w.name: Draws(0.0, np.zeros((2, 2)), np.zeros(3)) for w in ways(160)}
    assert [w.rho for w in further_ways(160, unvaried, lambda foretold: None)] == ["ddpm", 0.4]


def test_breadth_first_search_is_as_the_choice_of_that_name() -> None:
    """In a plan and on the command line."""
    settings = choice_settings("steering", "bfs", {"lam": "auto"})
    assert steering_of(Policy("glass", 10, (8,) * 5, "bfs")) == build(settings, "steering")


def test_the_choice_is_more_often_ahead_and_not_behind() -> None:
    """Worked by hand; -2.8 and 30 are of prompts that one of the two got wrong."""
    base = Forecast(Policy("ode", 5, (8,), "best_of_n"), 1.0)
    other = Forecast(Policy("glass", 5, (8,) * 5, "fk"), 2.0)
    third = Forecast(Policy("sde", 5, (8,) * 5, "fk"), 1.5)
    parts = [{"nfe": 10}] * 4

    def chosen(rewards: list[tuple[float | None, ...]]) -> tuple[Policy, str]:
        runs = [{"rewards": list(p), "nfe": 5, "prompt": f"p{i}"} for i, p in enumerate(rewards)]
        choice = choose([base, other, third][: len(rewards[0])], parts, runs)
        assert choice.nfe == 60
        return choice.policy, choice.why

    policy, why = chosen([(0.0, 1.0), (0.0, 1.2), (0.5, 1.0), (0.0, 0.9)])
    assert policy == other.policy and why.startswith("+0.9 (standard error 0.15) in reward against")
    assert why.endswith(", ahead in 4 of 4 runs on 4 prompts")
    for steady in [(0.0, 3.0), (0.0, -2.8), (0.5, 0.6), (0.0, 0.1)], [
        (0.0, 0.1), (0.0, 0.1), (0.0, 0.1), (0.0, -2.8)  # -.68 (.73) in the mean
    ]:  # fmt: skip
        assert chosen([*steady])[0] == other.policy
    policy, why = chosen([(1.0, 0.0), (1.0, 0.2), (1.5, 1.0), (1.0, 0.9)])
    assert policy == base.policy and why == "nothing else that was tried is better"
    # more often ahead, but behind by more than a standard error: -2.18 (1.31)
    assert chosen([(0.0, 0.1), (0.0, 0.1), (0.0, -4.0), (0.0, -4.9)])[0] == base.policy
    # the last has the highest mean, by one prompt; the second is ahead of it on three of four
    several = [(0.0, 0.2, 0.1), (0.0, 0.2, 0.1), (0.0, 0.2, 0.1), (0.0, 0.2, 30.0)]
    assert chosen([*several])[0] == other.policy
    # who has left the race is not chosen, and best-of-N may have left it
    left = [(0.0, 9.0, 0.1), (0.0, 9.0, 0.1), (0.0, None, 0.1), (None, None, 0.1)]
    policy, why = chosen([*left])
    assert policy == third.policy and why.endswith("ahead in 3 of 3 runs on 3 prompts")


def test_few_prompts_are_checked_more_than_once() -> None:
    """Eight checks at least, of which those of one prompt differ in their noise."""
    assert with_turns(["a"]) == [("a", turn) for turn in range(8)]
    assert with_turns(["a", "b", "c"])[2:] == [
        ("c", 0), ("a", 1), ("b", 1), ("c", 1), ("a", 2), ("b", 2)
    ]  # fmt: skip
    assert with_turns([f"p{i}" for i in range(20)]) == [(f"p{i}", 0) for i in range(20)]


def runs_of(means: list[float], spread: float, calls: int, prompts: int) -> list[dict[str, Any]]:
    """A race whose policies get these mean rewards, each with its own noise, 10 calls a run."""
    rng = np.random.default_rng(0)

    def check(which: Sequence[int], prompt: str, turn: int) -> dict[str, Any]:
        rewards = [means[i] + spread * rng.standard_normal() for i in which]
        return {"rewards": rewards, "nfe": 10 * len(which), "prompt": prompt}

    return race(len(means), [(f"p{i}", 0) for i in range(prompts)], 3, calls, check)


def test_a_race_goes_on_with_those_that_are_not_behind() -> None:
    runs = runs_of([0.0, 0.5, -5.0], 1.0, 10_000, 200)
    still = [[reward is not None for reward in run["rewards"]] for run in runs]
    assert [run["prompt"] for run in runs] == [f"p{i}" for i in range(len(runs))]
    assert still[:8] == [[True] * 3] * 8 and still[8] == [True, True, False]
    assert still == sorted(still, reverse=True)  # who has left it stays out
    # a difference of .5 with a spread of sqrt 2 is two standard errors after 32 prompts or so
    assert 8 < len(runs) < 100
    forecasts = [Forecast(Policy("ode", 5, (8 + i,), "best_of_n"), 0.0) for i in range(3)]
    choice = choose(forecasts, [], runs)
    assert choice.policy.sizes == (9,) and choice.nfe == sum(run["nfe"] for run in runs)
    assert [len(one.rewards) for one in choice.checked] == [len(runs), len(runs), 8]


def test_a_race_ends_with_its_calls_or_its_prompts() -> None:
    even = runs_of([0.0, 0.0], 1.0, 200, 100)
    assert len(even) == 10 and sum(run["nfe"] for run in even) == 200
    assert len(runs_of([0.0, 0.0], 1.0, 10_000, 6)) == 6
    assert len(runs_of([0.0, 0.0], 1.0, 0, 6)) == 3  # all run on the table's prompts
    assert len(runs_of([0.0, 9.0], 0.1, 10_000, 100)) == 8


POINTS = ["model=gaussian_mixture", "reward=linear", "wandb.mode=disabled"]
AUTO = [*POINTS, "steering=auto", "budget=40", "steering.prompts=1", "steering.samples=3"]


@pytest.fixture
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_cache")
def test_auto_is_planned_once_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One plan a model, reward and budget; config.yaml has what was done; a run goes on with its
    own plan, whatever the cache holds by then."""
    assert launch([*AUTO, "hydra.run.dir=one"]) == 0
    assert "no plan is cached" in capsys.readouterr().err
    config = OmegaConf.load(tmp_path / "one" / "config.yaml")
    assert "Auto" not in config.steering._target_ and config.budget == 40
    (plan,) = (tmp_path / "cache" / "glass" / "plans").iterdir()
    summary = json.loads((tmp_path / "one" / "summary.json").read_text())
    assert summary["nfe"] <= 40 < summary["plan_nfe"]
    assert summary["plan"]["sizes"][0] == config.particles
    assert launch([*AUTO, "seed=1", "hydra.run.dir=two"]) == 0
    assert "no plan is cached" not in capsys.readouterr().err
    assert json.loads((tmp_path / "two" / "summary.json").read_text())["plan_nfe"] == 0
    # what one prompt says is for it alone
    assert launch([*AUTO, "prompt=another", "hydra.run.dir=three"]) == 0
    assert (
        "on this prompt, and for it alone (glass plan makes one for all)" in capsys.readouterr().err
    )
    assert json.loads((tmp_path / "three" / "summary.json").read_text())["plan_nfe"] > 0
    plan.write_text("{")
    (tmp_path / "one" / "summary.json").unlink()
    assert launch([*AUTO, "hydra.run.dir=one"]) == 0
    assert capsys.readouterr().err.count("plan") == 0
    assert len(read_run(tmp_path / "one").results) == 1


@pytest.mark.usefixtures("_cache")
def test_a_plan_is_an_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["benchmark=plan", "benchmark.limit=2", "benchmark.samples=3", "budget=40"]
    run = [*POINTS, *words, "hydra.run.dir=plan"]
    assert launch(run, config="eval") == 0
    out = capsys.readouterr().out
    assert "reward, replayed" in out and "use      glass sample -cd plan experiment=plan" in out
    summary = json.loads((tmp_path / "plan" / "summary.json").read_text())
    assert launch(run, config="eval") == 0  # again: from what is there
    assert json.loads((tmp_path / "plan" / "summary.json").read_text())["nfe"] == summary["nfe"]
    assert launch(["-cd", "plan", "experiment=plan", *POINTS, "hydra.run.dir=run"]) == 0
    config = OmegaConf.load(tmp_path / "run" / "config.yaml")
    assert config.particles == summary["plan"]["sizes"][0] and config.budget == 40
    # the plan is there for steering=auto
    capsys.readouterr()
    assert launch([*AUTO, "hydra.run.dir=auto"]) == 0
    assert "no plan is cached" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "config"), [(["steering=auto"], "config"), (["benchmark=plan"], "eval")]
)
def test_a_plan_needs_a_budget(
    words: list[str], config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = [*POINTS, *words, f"hydra.run.dir={tmp_path / 'no'}"]
    for more, told in (([], "set budget="), (["budget=5"], "budget=5 is too small to")):
        assert launch([*run, *more], config=config) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


@pytest.mark.usefixtures("_cache")
def test_a_plan_needs_no_call_for_each_of_the_usual_particles() -> None:
    assert launch([*AUTO, "budget=12", "hydra.run.dir=small"]) == 0


@pytest.mark.parametrize(
    "wrong",
    [{"times": (0.0, 0.5, 0.4, 1.0)}, {"times": (0.0, 0.5, 1.0)}, {"times": (0.1, 1)}, {"rho": 2}],
)
def test_a_policy_is_one_that_a_sampler_can_take(wrong: dict[str, Any]) -> None:
    """So that a damaged plan is found when it is read, not when it is drawn by."""
    with pytest.raises(ValueError):
        Policy("glass", 6, (4, 4, 4), "fk", **wrong)
