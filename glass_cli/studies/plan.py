"""How to spend a budget with a model and a reward, with what it is expected to bring."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from glass_cli.common.files import atomic_write, json_text, writing_to
from glass_cli.common.paths import from_here
from glass_cli.config.settings import Study
from glass_cli.config.split import check_planned, picture_budget
from glass_cli.engine import auto_plan, plan_cache, plan_race
from glass_cli.output.progress import counted
from glass_cli.steering.auto import check_reward_cost
from glass_cli.studies.base import (
    MeasurePrompt,
    Part,
    Watch,
    check_settings,
    costs,
    mean_cell,
    measured_parts,
    study_prompts,
)

if TYPE_CHECKING:
    from pathlib import Path

    from glass_cli.config.settings import Settings
    from glass_cli.engine.draw import Work
    from glass_cli.engine.plan_cache import Choice
    from glass_cli.output.writer import RunFolder
    from glass_cli.steering.policies import Way
    from glass_cli.steering.replay import Draws, Forecast

# Where the parts of the second table, of the checks and of the cost of a reward call begin.
_SECOND, _CHECKS, _COST = 10_000, 20_000, 30_000
_Measure = Callable[[str, int], dict[str, Any]]


@dataclass(frozen=True)
class PlanStudy(Study):
    """A table of rewards, policies replayed on it, the best of each kind checked by real runs.

    See :mod:`glass_cli.steering.policies` for what is compared, :mod:`glass_cli.steering.replay`
    for how. The budget is that of the run: `budget=`, or particles times calls.

    path: a list of prompts (text, CSV, JSON lines); None for twelve of GenEval's forms.
    limit: the first so many prompts, 1 or more.
    samples: draws a prompt and way of sampling in the table, 2 or more.
    reward_cost: as of :class:`glass_cli.steering.auto.Auto`.

    Raises ValueError for a value out of range.
    """

    title = "plan"
    needs_budget: ClassVar[bool] = True

    path: str | None = None
    limit: int = 8
    samples: int = 8
    reward_cost: float | Literal["auto"] = 0.0

    def __post_init__(self) -> None:
        check_reward_cost(self.reward_cost, "benchmark.reward_cost")
        check_settings(self.path, {"limit": (self.limit, 1), "samples": (self.samples, 2)})

    def study(self, settings: Settings, folder: RunFolder) -> dict[str, Any]:
        """Makes the plan, prints it, caches it for ``steering=auto`` and writes it as an experiment
        into the folder; returns the summary."""
        from glass_cli.engine.plan_measurement import second_ways, table_of
        from glass_cli.steering.policies import ways
        from glass_cli.steering.replay import ranked

        budget = picture_budget(settings.root)
        prompts = study_prompts(self.path, self.limit, settings)
        loaded = _Loaded(settings)
        first = ways(budget)
        timed, rate = self._reward_cost(settings, folder, loaded, prompts[0])
        check_planned(budget, rate)
        parts = measured_parts(
            settings, folder, prompts, lambda: self._table(settings, loaded, first)
        )
        parts += timed
        second = second_ways(loaded.work(), parts, prompts[0], budget, rate)
        decides = [str(self.samples), *map(repr, second)]
        measure = self._table(settings, loaded, second)
        if second:
            parts += _kept(
                settings,
                folder,
                _SECOND,
                [(prompt, 0) for prompt in prompts],
                "further measured prompt",
                decides,
                lambda prompt, turn: measure(prompt, lambda share: None),
            )
        table = table_of(parts)
        forecasts = plan_race.to_check(ranked(budget, table, second, rate))
        checks = _kept(
            settings,
            folder,
            _CHECKS,
            plan_race.with_turns(prompts),
            "check",
            [repr(rate), *(repr(one.policy) for one in forecasts)],
            lambda prompt, turn: _check(settings, loaded, forecasts, prompt, turn, rate),
        )
        choice = plan_race.choose(forecasts, parts, checks, rate)
        cached = plan_cache.save(settings, choice)
        place = _write_experiment(settings, folder, choice)
        print(_forecast_table(ranked(budget, table, second, rate), choice), flush=True)
        print(_foretold(table), flush=True)
        print(f"\nplan     {choice.policy.title()}\nwhy      {choice.why}")
        if rate:
            print(f"counted  a reward call as {rate:.3g} network calls")
        print(f"use      glass sample -cd {from_here(place)} experiment=plan prompt=...")
        where = f"{cached}, for steering=auto budget={budget}" if cached else "no"
        print(f"cached   {where}\n", flush=True)
        cost = costs([*parts, *checks])
        chosen = next(c for c in choice.checked if c.forecast.policy == choice.policy)
        return {
            "benchmark": self.title,
            "score": chosen.mean,
            "means": {
                "reward of the plan": mean_cell(chosen.mean, None, len(prompts)),
                "reward of best-of-N": mean_cell(choice.checked[0].mean, None, len(prompts)),
                "network calls of the plan's making": mean_cell(cost["nfe"], None, len(prompts)),
            },
            "budget": budget,
            "plan": choice.as_dict(),
            "checked": [
                {
                    "policy": c.forecast.policy.title(),
                    "expected": c.forecast.reward,
                    "mean": c.mean,
                    "nfe": fmean(cost.nfe for cost in c.costs),
                    "reward_calls": fmean(cost.reward_calls for cost in c.costs),
                    "seconds": fmean(cost.seconds for cost in c.costs),
                }
                for c in choice.checked
            ],
            "prompts": len(prompts),
            **cost,
        }

    def _reward_cost(
        self, settings: Settings, folder: RunFolder, loaded: _Loaded, prompt: str
    ) -> tuple[list[Part], float]:
        """What a scored sample counts as in the budget, and the measurement where there is one."""
        if self.reward_cost != "auto":
            return [], self.reward_cost
        from glass_cli.engine.plan_measurement import measured_reward_cost

        def measure(prompt: str, turn: int) -> dict[str, Any]:
            return measured_reward_cost(
                loaded.work(), prompt, settings.root.negative_prompt, self.samples
            )

        decides = [str(self.samples)]
        parts = _kept(
            settings, folder, _COST, [(prompt, 0)], "seconds of a reward call", decides, measure
        )
        return parts, float(parts[0]["reward_cost"])

    def _table(self, settings: Settings, loaded: _Loaded, ways: Sequence[Way]) -> MeasurePrompt:
        from glass_cli.engine.reward_table import measured_rows

        def measure(prompt: str, watch: Watch) -> dict[str, Any]:
            return measured_rows(settings, loaded.work, prompt, ways, self.samples, watch)

        return measure


def _check(
    settings: Settings,
    loaded: _Loaded,
    forecasts: Sequence[Forecast],
    prompt: str,
    turn: int,
    reward_cost: float,
) -> dict[str, Any]:
    from glass_cli.engine.plan_measurement import check_prompt

    root = settings.root
    budget, work = picture_budget(root), loaded.work()
    return check_prompt(work, forecasts, prompt, root.negative_prompt, budget, turn, reward_cost)


def _kept(
    settings: Settings,
    folder: RunFolder,
    first: int,
    prompts: Sequence[tuple[str, int]],
    title: str,
    decides: Sequence[str],
    measure: _Measure,
) -> list[Part]:
    """What ``measure`` gives of each prompt and turn, kept in the folder as it is finished.

    first: the number of the first prompt's part. decides: on what a part depends beside its
        settings, seed, prompt and turn.
    """
    parts: list[Part] = []
    for number, (prompt, turn) in enumerate(counted(prompts, title), first):
        all_of = [plan_cache.belongs_to(settings), settings.root.seed, prompt, turn, decides]
        digest = hashlib.sha256(json_text(all_of).encode()).hexdigest()
        part = folder.study_part(number, digest)
        parts.append(part or folder.write_study_part(number, digest, measure(prompt, turn)))
    return parts


class _Loaded:
    """Model and reward, loaded when they are first needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._work: Work | None = None

    def work(self) -> Work:
        from glass_cli.common.stages import Stages
        from glass_cli.engine.load import load

        if self._work is None:
            self._work, _ = load(self._settings, Stages())
        return self._work


def _forecast_table(forecasts: Sequence[Forecast], choice: Choice) -> str:
    """The ten best policies by replay, and all that were checked, with what their runs took."""
    from glass_cli.output.tables import text_table

    real = {c.forecast.policy: c for c in choice.checked}
    shown = [one for i, one in enumerate(forecasts) if i < 10 or one.policy in real]
    rows = []
    for one in shown:
        run = real.get(one.policy)
        ran = ["", "", ""]
        if run is not None:
            calls, seconds = (fmean(values) for values in list(zip(*run.costs, strict=True))[1:])
            ran = [f"{run.mean:.4g}", f"{calls:.0f}", f"{seconds:.3g}"]
        chosen = "plan" if one.policy == choice.policy else ""
        rows.append([one.policy.title(), f"{one.reward:.4g}", *ran, chosen])
    head = ["policy", "reward, replayed", "reward, run", "reward calls", "seconds", ""]
    return text_table(head, rows)


def _foretold(table: Mapping[str, Draws]) -> str:
    """The share of the final reward's variance that x_hat's explains, of GLASS."""
    lines = ["The share of the final reward's variance that x_hat explains after each transition:"]
    for name, draws in table.items():
        cov = draws.cov
        if not name.startswith("glass") or not cov[-1, -1] > 0.0:
            continue
        shares = [
            cov[k, -1] ** 2 / (cov[k, k] * cov[-1, -1]) if cov[k, k] > 0.0 else 0.0
            for k in range(len(cov) - 1)
        ]
        lines.append(f"  {name} calls: {', '.join(f'{share:.2f}' for share in shares)}, 1")
    return "\n".join(lines) if len(lines) > 1 else ""


def _write_experiment(settings: Settings, folder: RunFolder, choice: Choice) -> Path:
    """Writes the plan as experiment/plan.yaml; returns the folder to give as -cd."""
    import yaml

    planned = auto_plan.with_policy(settings, choice)
    config = planned.config
    nodes = {
        "sampler": {k: v for k, v in config["sampler"].items() if v is not None},
        "steering": {k: v for k, v in config["steering"].items() if v is not None},
        "particles": config["particles"],
        "calls": config["calls"],
        "budget": config["budget"],
    }
    file = folder.folder / "experiment" / "plan.yaml"
    text = yaml.safe_dump(nodes, sort_keys=False)
    with writing_to(folder.folder):
        file.parent.mkdir(exist_ok=True)
        with atomic_write(file) as part:
            part.write_text(
                f"# @package _global_\n# {choice.policy.title()}\n# {choice.why}\n"
                "defaults:\n"
                f"  - override /sampler: {choice.policy.sampler}\n"
                f"  - override /steering: {choice.policy.steering}\n\n{text}",
                encoding="utf-8",
            )
    return folder.folder
