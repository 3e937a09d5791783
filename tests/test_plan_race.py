"""Real runs decide between a plan's policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from glass_cli.engine.plan_race import choose, race, with_turns
from glass_cli.steering.policies import Policy
from glass_cli.steering.replay import Forecast


def test_the_choice_is_more_often_ahead_and_not_behind() -> None:
    """Worked by hand; -2.8 and 30 are of prompts that one of the two got wrong."""
    base = Forecast(Policy("ode", 5, (8,), "best_of_n"), 1.0)
    other = Forecast(Policy("glass", 5, (8,) * 5, "fk"), 2.0)
    third = Forecast(Policy("sde", 5, (8,) * 5, "fk"), 1.5)
    parts = [{"nfe": 10}] * 4

    def chosen(rewards: list[tuple[float | None, ...]]) -> tuple[Policy, str]:
        runs = [
            {
                "rewards": list(p),
                "costs": [None if r is None else (2, 1, 0.5) for r in p],
                "nfe": 5,
                "prompt": f"p{i}",
            }
            for i, p in enumerate(rewards)
        ]
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
        costs = [(10, 1, 0.5)] * len(which)
        return {"rewards": rewards, "costs": costs, "nfe": 10 * len(which), "prompt": prompt}

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
