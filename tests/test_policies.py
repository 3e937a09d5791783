"""Ways to spend a budget, replayed: against order statistics, and what a plan makes of them."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import pytest
from scipy.stats import norm

from glass_cli.config.build import build
from glass_cli.config.choice_files import choice_settings
from glass_cli.engine.auto_plan import KINDS
from glass_cli.engine.plan_measurement import sampler_of, steering_of
from glass_cli.engine.plan_race import to_check
from glass_cli.method.budget import picture_calls, spread_calls
from glass_cli.steering.policies import (
    COLLAGES,
    FEW_COLLAGES,
    Policy,
    generations,
    policies,
    reward_calls,
    run_budget,
    splits,
    ways,
)
from glass_cli.steering.replay import (
    FURTHER_WAYS,
    Draws,
    expected,
    further_ways,
    moments_of,
    ranked,
)

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


@pytest.mark.parametrize("budget", [8, 80, 400])
@pytest.mark.parametrize("cost", [0.1, 1.0, 7.5])
def test_a_budget_that_pays_for_rewards_too(budget: int, cost: float) -> None:
    """Network calls and what reward calls count as are within it; one more of best-of-N's pictures
    is not."""
    found = policies(budget, reward_cost=cost)
    assert bool(found) == (budget >= 2 * (3 + cost))
    for policy in found:
        network, scored = run_budget(policy, budget, cost), reward_calls("fk", policy.sizes)
        if policy.steering == "evolution":
            assert network == budget >= policy.sizes[0] * (policy.calls + cost)
            continue
        if policy.steering == "best_of_n":
            scored = reward_calls("best_of_n", policy.sizes)
        calls = spread_calls(network, policy.sizes)
        assert sum(calls) >= policy.calls - policy.calls % len(policy.sizes)
        assert picture_calls(calls, policy.sizes) <= network
        assert network + cost * scored <= budget + 1e-6
        if len(policy.sizes) == 1:
            assert (policy.sizes[0] + 1) * (policy.calls + cost) > budget
    few = {one.crossover for one in found if one.steering == "evolution"}
    assert few <= {COLLAGES, FEW_COLLAGES} and (budget < 400 or FEW_COLLAGES in few)
    assert {one.crossover for one in policies(budget)} <= {COLLAGES}
    table = {w.name: draws([0.3, 0.5, 0.7, 0.9] if w.transitions > 1 else []) for w in ways(budget)}
    assert len(to_check(ranked(budget, table, (), cost))) <= KINDS


def test_dropping_scores_where_it_drops() -> None:
    """By hand: before the third, fourth and fifth transition and at the end."""
    assert reward_calls("best_of_n", (16, 16, 8, 4, 2)) == 16 + 8 + 4 + 2
    assert reward_calls("fk", (16, 16, 8, 4, 2)) == 46


def test_a_search_that_pays_for_rewards_makes_fewer_generations() -> None:
    """By hand: 120 calls, 5 a picture and 1 a reward: 10 pictures, and of the 60 that are left 6
    children of 4 calls and 5 rewards, which leave 6, too little for one of 2 calls and 5."""
    calls = (1,) * 5
    assert generations(120, calls, 4) == (12, [1, 2, 3], [8, 8, 2])
    assert generations(120, calls, 4, 1.0) == (10, [1], [6])


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
    further = further_ways(160, table, times_of, 0.4)
    assert seen == [pytest.approx(shares)]
    assert {(w.sampler, w.times is None, w.rho) for w in further} == {
        ("sde", True, "ddpm"), ("glass", True, 0.4), ("glass", False, "ddpm"),
        ("glass", False, 0.4),
        ("glass", True, ((0.0, 0.0), (0.4, 0.8))), ("glass", True, ((0.0, 0.8), (0.4, 0.0))),
    }  # fmt: skip
    assert len(further) == FURTHER_WAYS
    rising = next(w for w in further if w.rho == ((0.0, 0.0), (0.4, 0.8)))
    one = Policy("glass", rising.calls, (8,) * 5, "fk", rho=rising.rho)
    assert one.way == rising and one.title().endswith("rho [[0,0.0],[0.4,0.8]]")
    assert sampler_of(rising) == build(
        {"_target_": "glass_cli.method.glass.Glass", "transitions": 5,
         "rho": [[0, 0.0], [0.4, 0.8]]},
        "sampler",
    )  # fmt: skip
    usual = {"sampler": "glass", "times": None, "rho": "ddpm"}
    assert all(w._replace(**usual) == best.way for w in further)
    table |= {w.name: draws(shares, mean=5.0) for w in further}
    found = ranked(160, table, further)
    assert found[0].policy.way in further and found[0].policy.steering in ("fk", "bfs")
    assert set(policies(160)) < {one.policy for one in found}
    unvaried = {w.name: Draws(0.0, np.zeros((2, 2)), np.zeros(3)) for w in ways(160)}
    assert len(further_ways(160, unvaried, lambda foretold: None, 0.4)) == FURTHER_WAYS - 2


def test_breadth_first_search_is_as_the_choice_of_that_name() -> None:
    """In a plan and on the command line."""
    settings = choice_settings("steering", "bfs", {"lam": "auto"})
    assert steering_of(Policy("glass", 10, (8,) * 5, "bfs")) == build(settings, "steering")


@pytest.mark.parametrize(
    "wrong",
    [
        {"times": (0.0, 0.5, 0.4, 1.0)},
        {"times": (0.0, 0.5, 1.0)},
        {"times": (0.1, 1)},
        {"rho": 2},
        {"rho": ((0.1, 0.4),)},
    ],
)
def test_a_policy_is_one_that_a_sampler_can_take(wrong: dict[str, Any]) -> None:
    """So that a damaged plan is found when it is read, not when it is drawn by."""
    with pytest.raises(ValueError):
        Policy("glass", 6, (4, 4, 4), "fk", **wrong)
