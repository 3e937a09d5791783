"""``steering=auto``: how a budget is spent, from what was measured of this model and reward.

A table of rewards is measured once on the run's own prompts, policies are replayed on it
(:mod:`glass_cli.steering.replay`), the best of each kind is checked by real runs until the others
have fallen behind, and the choice is cached for the model, the reward and the budget. ``glass
plan`` does the same with more words, all checks on all of its prompts.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from glass_cli.common.files import json_text, writing_to
from glass_cli.common.messages import say
from glass_cli.config.split import check_planned, picture_budget, reward_cost
from glass_cli.engine import plan_cache, window_cache
from glass_cli.engine.plan_cache import Choice
from glass_cli.engine.plan_race import FEWEST, choose, race, to_check, with_turns
from glass_cli.steering.auto import Auto

if TYPE_CHECKING:
    from glass_cli.config.settings import Settings
    from glass_cli.engine.draw import Work
    from glass_cli.steering.policies import Way

KINDS = 6  # that are checked at most, see :func:`glass_cli.engine.plan_race.to_check`
# Network calls within which checks go on to more prompts than the table has: a small budget's cost
# little, and eight prompts seldom tell two good ways apart.
CHECK_CALLS = 16_000
FILE = "plan.json"  # in the folder of a run, which keeps to the plan that it began with


def with_policy(settings: Settings, choice: Choice) -> Settings:
    """Settings that spend their budget as ``choice`` says, also in what config.yaml will say."""
    from glass_cli.engine.plan_measurement import calls_of, sampler_of, steering_of

    policy, budget = choice.policy, choice.run_budget(settings)
    sampler, steering = sampler_of(policy.way), steering_of(policy, choice.reward_cost)
    calls = calls_of(policy)
    root = replace(settings.root, particles=policy.sizes[0], calls=calls, budget=budget)
    config = {
        **settings.config,
        "sampler": node_of(sampler),
        "steering": node_of(steering),
        "particles": policy.sizes[0],
        "calls": calls,
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
        if self.choice.reward_cost:
            cost += f", a reward call counted as {self.choice.reward_cost:.3g} of them"
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
    planned = with_policy(settings, choice)
    if work is not None:
        # where others draw, what was loaded here is let go of
        work = _with(work, planned) if settings.launcher.in_process else None
    return Planned(planned, settings, choice, few, work)


def _with(work: Work, settings: Settings) -> Work:
    sampler, steering, root = settings.sampler, settings.steering, settings.root
    return work._replace(sampler=sampler, steering=steering, calls=root.calls, budget=root.budget)


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
        TRIES,
        check_prompt,
        measured_reward_cost,
        second_ways,
        table_of,
    )
    from glass_cli.engine.reward_table import measured_rows
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
    timing = (TRIES + 1) * rules.samples if reward_cost(settings) == "auto" else 0
    most = timing + table + min(KINDS * len(with_turns(raced)) * budget, checks)
    say(
        "steering=auto: no plan is cached for this model, reward and budget; one is made with at"
        f" most {most} network calls on {_which(raced, prompts)}"
    )
    work, _ = load(settings, Stages())
    negative = settings.root.negative_prompt

    def measured(ways: Sequence[Way], title: str) -> list[dict[str, Any]]:
        return [
            measured_rows(settings, lambda: work, prompt, ways, rules.samples, lambda share: None)
            for prompt in counted(chosen, f"plan: {title}")
        ]

    cost = reward_cost(settings)
    timed = []
    if cost == "auto":
        timed = [measured_reward_cost(work, chosen[0], negative, rules.samples)]
        cost = float(timed[0]["reward_cost"])
        check_planned(budget, cost)
    parts = measured(first, "measured prompt")
    second = second_ways(work, parts, chosen[0], budget, cost)
    parts += measured(second, "further measured prompt") if second else []
    forecasts = to_check(ranked(budget, table_of(parts), second, cost))
    runs = race(
        len(forecasts),
        counted(with_turns(raced), "plan: check"),
        max(count, FEWEST),
        CHECK_CALLS,
        lambda which, prompt, turn: check_prompt(
            work, [forecasts[i] for i in which], prompt, negative, budget, turn, cost
        ),
    )
    return choose(forecasts, [*timed, *parts], runs, cost), work
