"""Which of several ways to spend a budget is best: real runs, until the others have fallen behind.

The ways come from a plan's table (:mod:`glass_cli.steering.replay`), which foretells them only.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from glass_cli.engine.plan_cache import Checked, Choice, Cost

if TYPE_CHECKING:
    from glass_cli.steering.replay import Forecast

FEWEST = 8  # checks, before a standard error is believed


def to_check(forecasts: Sequence[Forecast]) -> list[Forecast]:
    """The best of each kind: best-of-N, dropping, FK steering, breadth-first search, and
    evolutionary search with many and with few collages, which a replay leaves out."""
    best: dict[tuple[str, bool, int], Forecast] = {}
    for one in forecasts:
        policy = one.policy
        constant = policy.steering != "fk" and policy.constant
        best.setdefault((policy.steering, constant, policy.crossover), one)
    return sorted(best.values(), key=lambda one: len(one.policy.sizes) > 1)


def choose(
    forecasts: Sequence[Forecast],
    parts: Sequence[Mapping[str, Any]],
    runs: Sequence[Mapping[str, Any]],
    reward_cost: float = 0.0,
) -> Choice:
    """The policy that most often has the higher real reward, of those whose mean reward is not
    behind the highest by more than a standard error of their difference.

    Rewards have long tails: one prompt that all but one policy got wrong outweighs all others in a
    mean, and checks are few. Who is ahead on more of them is known sooner.

    parts: the table's, runs: the checks'; a reward and its cost are None where a policy was no
        longer run, which had fallen behind.
    reward_cost: with which the policies were made.
    """
    checked = [
        Checked(
            one,
            [float(run["rewards"][i]) for run in runs if run["rewards"][i] is not None],
            [Cost(*run["costs"][i]) for run in runs if run["costs"][i] is not None],
        )
        for i, one in enumerate(forecasts)
    ]
    last = [i for i in range(len(forecasts)) if runs[-1]["rewards"][i] is not None]
    highest = max(last, key=lambda i: checked[i].mean)
    near = [i for i in last if _near(runs, i, highest)]
    best = max(near, key=lambda i: (_share_ahead(runs, i, last), checked[i].mean))
    line = "nothing else that was tried is better"
    if best != 0:
        gains = _gains(runs, best, 0)
        mean, error = _mean_and_error(gains)
        prompts = len({run["prompt"] for run in runs if run["rewards"][0] is not None})
        counted = f"{prompts} prompt{'s' * (prompts > 1)}"
        line = (
            f"{mean:+.3g} (standard error {error:.2g}) in reward against"
            f" {checked[0].forecast.policy.title()}, ahead in {sum(gain > 0 for gain in gains)} of"
            f" {len(gains)} runs on {counted}"
        )
    nfe = sum(int(part["nfe"]) for part in [*parts, *runs])
    return Choice(checked[best].forecast.policy, line, checked, nfe, reward_cost)


def _near(runs: Sequence[Mapping[str, Any]], one: int, highest: int) -> bool:
    mean, error = _mean_and_error(_gains(runs, highest, one))
    return mean <= error


def _share_ahead(runs: Sequence[Mapping[str, Any]], one: int, others: Sequence[int]) -> float:
    """Of all comparisons with the others, the share in which a policy got more; equal ones count
    half."""
    ahead = [
        1.0 if gain > 0.0 else 0.5 if gain == 0.0 else 0.0
        for other in others
        if other != one
        for gain in _gains(runs, one, other)
    ]
    return sum(ahead) / max(1, len(ahead))


def _gains(runs: Sequence[Mapping[str, Any]], one: int, other: int) -> list[float]:
    """How much more a policy got than another, on the prompts on which both were run."""
    pairs = [(run["rewards"][one], run["rewards"][other]) for run in runs]
    return [a - b for a, b in pairs if a is not None and b is not None]


def _mean_and_error(gains: Sequence[float]) -> tuple[float, float]:
    mean = sum(gains) / len(gains)
    if len(gains) < 2:
        return mean, math.inf
    spread = sum((gain - mean) ** 2 for gain in gains) / (len(gains) - 1)
    return mean, math.sqrt(spread / len(gains))


def with_turns(prompts: Sequence[str]) -> list[tuple[str, int]]:
    """What is checked: each prompt once, and fewer than FEWEST again, with other noise.

    A prompt comes with the number of its turn, from 0.
    """
    count = max(FEWEST, len(prompts))
    return [(prompts[i % len(prompts)], i // len(prompts)) for i in range(count)]


def race(
    count: int,
    prompts: Iterable[tuple[str, int]],
    least: int,
    calls: int,
    check: Callable[[Sequence[int], str, int], Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Real runs of ``count`` policies on one prompt after another, of those still in the race.

    From FEWEST checks on one leaves it that is behind another by more than two standard errors of
    their difference. It ends with one, with the prompts, or, after ``least`` checks, where one
    more would exceed ``calls`` network calls.

    prompts: see :func:`with_turns`.
    check: of these policies (numbers from 0) on a prompt, in this turn: their "rewards" and
        "costs", and their "nfe" in all.
    """
    running = list(range(count))
    runs: list[dict[str, Any]] = []
    for prompt, turn in prompts:
        if len(runs) >= FEWEST:
            behind = {
                worse
                for worse, better in itertools.permutations(running, 2)
                for mean, error in [_mean_and_error(_gains(runs, better, worse))]
                if mean > 2.0 * error
            }
            running = [i for i in running if i not in behind]
        spent = sum(run["nfe"] for run in runs)
        last = runs[-1]["nfe"] if runs else 0
        if len(runs) >= least and (len(running) < 2 or spent + last > calls):
            break
        part = check(running, prompt, turn)
        placed = {
            key: [by_number.get(i) for i in range(count)]
            for key in ("rewards", "costs")
            for by_number in [dict(zip(running, part[key], strict=True))]
        }
        runs.append({**part, **placed})
    return runs
