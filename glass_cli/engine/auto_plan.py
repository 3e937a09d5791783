"""``steering=auto``: how a budget is spent, from what was measured of this model and reward.

A table of rewards is measured once on the run's own prompts, policies are replayed on it
(:mod:`glass_cli.steering.replay`), the best of each kind is checked by real runs until the others
have fallen behind, and the choice is cached for the model, the reward and the budget. ``glass
plan`` does the same with more words, all checks on all of its prompts.
"""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from glass_cli.common.files import json_text, writing_to
from glass_cli.common.messages import say
from glass_cli.config.split import picture_budget
from glass_cli.engine import plan_cache, window_cache
from glass_cli.engine.plan_cache import Checked, Choice
from glass_cli.steering.auto import Auto

if TYPE_CHECKING:
    from glass_cli.config.settings import Settings
    from glass_cli.engine.draw import Work
    from glass_cli.steering.policies import Policy, Way
    from glass_cli.steering.replay import Forecast

KINDS = 5  # that are checked at most, see to_check
# Network calls within which checks go on to more prompts than the table has: a small budget's cost
# little, and eight prompts seldom tell two good ways apart.
CHECK_CALLS = 16_000
FEWEST = 8  # checks, before a standard error is believed
FILE = "plan.json"  # in the folder of a run, which keeps to the plan that it began with


def to_check(forecasts: Sequence[Forecast]) -> list[Forecast]:
    """The best of each kind: best-of-N, dropping, FK steering, breadth-first and evolutionary
    search."""
    best: dict[tuple[str, bool], Forecast] = {}
    for one in forecasts:
        policy = one.policy
        best.setdefault((policy.steering, policy.steering != "fk" and policy.constant), one)
    return sorted(best.values(), key=lambda one: len(one.policy.sizes) > 1)


def choose(
    forecasts: Sequence[Forecast],
    parts: Sequence[Mapping[str, Any]],
    runs: Sequence[Mapping[str, Any]],
) -> Choice:
    """The policy of the highest real rewards over the checks that it has in common with best-of-N,
    the first.

    A difference within its error counts too: to ask for more would stay with best-of-N wherever
    the checks are few.

    parts: the table's, runs: the checks'; a reward is None where a policy was no longer run, which
        had fallen behind.
    """
    checked = [
        Checked(one, [float(run["rewards"][i]) for run in runs if run["rewards"][i] is not None])
        for i, one in enumerate(forecasts)
    ]
    base = best = checked[0]
    most = 0.0
    line = "nothing else that was tried is better"
    for i, one in enumerate(checked[1:], 1):
        gains = _gains(runs, i, 0)
        mean, error = _mean_and_error(gains)
        if mean > most:
            best, most = one, mean
            prompts = len({run["prompt"] for run in runs if run["rewards"][i] is not None})
            counted = f"{prompts} prompt{'s' * (prompts > 1)}"
            line = (
                f"{mean:+.3g} (standard error {error:.2g}) in reward against"
                f" {base.forecast.policy.title()}"
                f" {f'in {len(gains)} runs of' if len(gains) > prompts else 'on'} {counted}"
            )
    nfe = sum(int(part["nfe"]) for part in [*parts, *runs])
    return Choice(best.forecast.policy, line, checked, nfe)


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
    check: of these policies (numbers from 0) on a prompt, in this turn: their "rewards", and their
        "nfe" in all.
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
        rewards: list[float | None] = [None] * count
        for i, reward in zip(running, part["rewards"], strict=True):
            rewards[i] = reward
        runs.append({**part, "rewards": rewards})
    return runs


def with_policy(settings: Settings, policy: Policy) -> Settings:
    """Settings that spend their budget by ``policy``, also in what config.yaml will say."""
    from glass_cli.engine.plan_measurement import sampler_of, steering_of

    budget = picture_budget(settings.root)
    sampler, steering = sampler_of(policy.way), steering_of(policy)
    root = replace(settings.root, particles=policy.sizes[0], calls=None, budget=budget)
    config = {
        **settings.config,
        "sampler": node_of(sampler),
        "steering": node_of(steering),
        "particles": policy.sizes[0],
        "calls": None,
        "budget": budget,
    }
    return settings._replace(root=root, sampler=sampler, steering=steering, config=config)


def node_of(settings: Any) -> dict[str, Any]:
    """A settings object as the yaml node that builds it."""
    kind = type(settings)
    values = json.loads(json_text(asdict(settings)))
    return {"_target_": f"{kind.__module__}.{kind.__qualname__}", **values}


class Planned(NamedTuple):
    """Settings with a plan in place of ``steering=auto``.

    given: the settings as they came, of which :func:`keep` writes the plan.
    choice: None where the steering was not auto.
    few: the prompts that the plan was made on where it is for them alone, see
        :func:`glass_cli.engine.window_cache.of_few`.
    work: what was loaded to make the plan, where this process goes on with it.
    """

    settings: Settings
    given: Settings
    choice: Choice | None = None
    few: tuple[str, ...] = ()
    work: Work | None = None

    def summary_with_plan(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        """``summary`` with the plan and what it cost, which is counted apart: it is made once."""
        if self.choice is None:
            return dict(summary)
        return {**summary, "plan": self.choice.as_dict(), "plan_nfe": self.choice.nfe}

    def note(self) -> str | None:
        """The plan in one line; None where the steering was not auto."""
        if self.choice is None:
            return None
        cost = f"{self.choice.nfe} network calls" if self.choice.nfe else "cached"
        return f"{self.choice.policy.title()} ({cost}); {self.choice.why}"


def decide(settings: Settings, folder: Path, prompts: Sequence[str]) -> Planned:
    """Settings with a plan in place of ``steering=auto``; others as they are.

    The folder's own plan comes first, so that a run goes on as it began; then the cache's; else one
    is made. Raises GlassError.
    """
    if not isinstance(settings.steering, Auto):
        return Planned(settings, settings)
    work = None
    few = window_cache.of_few(prompts)
    choice = plan_cache.read(folder / FILE, settings)
    for of in dict.fromkeys([(), few]):
        cached = plan_cache.path_of(settings, of)
        if choice is None and (choice := plan_cache.read(cached, settings, of)) is not None:
            choice = choice._replace(nfe=0)
    if choice is None:
        choice, work = _measured_choice(settings, prompts)
    planned = with_policy(settings, choice.policy)
    if work is not None:
        # where others draw, what was loaded here is let go of
        work = _with(work, planned) if settings.launcher.in_process else None
    return Planned(planned, settings, choice, few, work)


def _with(work: Work, settings: Settings) -> Work:
    sampler, steering, root = settings.sampler, settings.steering, settings.root
    return work._replace(sampler=sampler, steering=steering, calls=None, budget=root.budget)


def keep(planned: Planned, folder: Path) -> None:
    """Writes the plan to the folder, then to the cache unless a whole one is there.

    Raises GlassError where the folder cannot be written.
    """
    if planned.choice is None:
        return
    with writing_to(folder):
        plan_cache.write(folder / FILE, planned.given, planned.choice)
    given, few = planned.given, planned.few
    cached = plan_cache.path_of(given, few)
    if planned.choice.nfe and plan_cache.read(cached, given, few, quiet=True) is None:
        plan_cache.save(given, planned.choice, few)


def _which(raced: Sequence[str], prompts: Sequence[str]) -> str:
    """The prompts of a plan, and whom it is for."""
    if not window_cache.of_few(prompts):
        return f"{len(raced)} of the {len(prompts)} prompts"
    what = "this prompt, and for it" if len(prompts) == 1 else f"these {len(prompts)}, and for them"
    return f"{what} alone (glass plan makes one for all)"


def _measured_choice(settings: Settings, prompts: Sequence[str]) -> tuple[Choice, Work]:
    from glass_cli.common.stages import Stages
    from glass_cli.engine.load import load
    from glass_cli.engine.plan_measurement import (
        check_prompt,
        measure_prompt,
        second_ways,
        table_of,
    )
    from glass_cli.output.progress import counted
    from glass_cli.steering.policies import splits, ways
    from glass_cli.steering.replay import FURTHER_WAYS, ranked

    assert isinstance(settings.steering, Auto)
    rules, budget = settings.steering, picture_budget(settings.root)
    prompts = list(dict.fromkeys(prompts))
    count = min(rules.prompts, len(prompts))
    chosen = [prompts[i * len(prompts) // count] for i in range(count)]
    first = ways(budget)
    further = FURTHER_WAYS * max(splits(budget))
    table = count * rules.samples * (sum(way.calls for way in first) + further)
    others = [prompt for prompt in prompts if prompt not in chosen]
    random.Random(0).shuffle(others)  # a list may be in order, of task or length
    raced = [*chosen, *others[: max(0, CHECK_CALLS // (2 * budget) - count)]]
    checks = max(KINDS * max(count, FEWEST) * budget, CHECK_CALLS)
    most = table + min(KINDS * len(with_turns(raced)) * budget, checks)
    say(
        "steering=auto: no plan is cached for this model, reward and budget; one is made with at"
        f" most {most} network calls on {_which(raced, prompts)}"
    )
    work, _ = load(settings, Stages())
    negative = settings.root.negative_prompt

    def measured(ways: Sequence[Way], title: str) -> list[dict[str, Any]]:
        return [
            measure_prompt(work, prompt, negative, ways, rules.samples, lambda share: None)
            for prompt in counted(chosen, f"plan: {title}")
        ]

    parts = measured(first, "measured prompt")
    second = second_ways(work, parts, chosen[0], budget)
    parts += measured(second, "further measured prompt") if second else []
    forecasts = to_check(ranked(budget, table_of(parts), second))
    runs = race(
        len(forecasts),
        counted(with_turns(raced), "plan: check"),
        max(count, FEWEST),
        CHECK_CALLS,
        lambda which, prompt, turn: check_prompt(
            work, [forecasts[i] for i in which], prompt, negative, budget, turn
        ),
    )
    return choose(forecasts, parts, runs), work
