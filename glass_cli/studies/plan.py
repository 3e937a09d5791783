"""How to spend a budget with a model and a reward, with what it is expected to bring."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glass_cli.common.files import atomic_write, json_text, writing_to
from glass_cli.config.settings import Study
from glass_cli.config.split import picture_budget
from glass_cli.engine import auto_plan, plan_cache
from glass_cli.studies.base import (
    MeasurePrompt,
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
    from glass_cli.steering.policies import Draws, Forecast

_CHECKS = 10_000  # parts of the checks are numbered from here


@dataclass(frozen=True)
class PlanStudy(Study):
    """A table of rewards, policies replayed on it, the best of each kind checked by real runs.

    See :mod:`glass_cli.steering.policies` for what is compared. The budget is that of the run:
    `budget=`, or particles times calls.

    path: a list of prompts (text, CSV, JSON lines); None for twelve of GenEval's forms.
    limit: the first so many prompts, 1 or more.
    samples: draws a prompt and way of sampling in the table, 2 or more.

    Raises ValueError for a value out of range.
    """

    title = "plan"

    path: str | None = None
    limit: int = 8
    samples: int = 8

    def __post_init__(self) -> None:
        check_settings(self.path, {"limit": (self.limit, 1), "samples": (self.samples, 2)})

    def study(self, settings: Settings, folder: RunFolder) -> dict[str, Any]:
        """Makes the plan, prints it, caches it for ``steering=auto`` and writes it as an experiment
        into the folder; returns the summary."""
        from glass_cli.engine.plan_measurement import table_of
        from glass_cli.steering.policies import ranked

        budget = picture_budget(settings.root)
        prompts = study_prompts(self.path, self.limit, settings)
        loaded = _Loaded(settings)
        parts = measured_parts(
            settings, folder, prompts, lambda: self._table(settings, loaded, budget)
        )
        forecasts = auto_plan.forecasts_of(budget, parts)
        checks = self._checks(settings, folder, prompts, forecasts, loaded, budget)
        choice = auto_plan.choose(forecasts, parts, checks)
        cached = plan_cache.save(settings, choice)
        place = _write_experiment(settings, folder, choice)
        table = table_of(parts)
        print(_forecast_table(ranked(budget, table), choice), flush=True)
        print(_foretold(table), flush=True)
        print(f"\nplan     {choice.policy.title()}\nwhy      {choice.why}")
        print(f"use      glass sample -cd {os.path.relpath(place)} experiment=plan prompt=...")
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
            "plan": choice.told(),
            "checked": [
                {"policy": c.forecast.policy.title(), "expected": c.forecast.reward, "mean": c.mean}
                for c in choice.checked
            ],
            "prompts": len(prompts),
            **cost,
        }

    def _table(self, settings: Settings, loaded: _Loaded, budget: int) -> MeasurePrompt:
        from glass_cli.engine.plan_measurement import measure_prompt

        work, negative = loaded.work(), settings.root.negative_prompt

        def measure(prompt: str, watch: Watch) -> dict[str, Any]:
            return measure_prompt(work, prompt, negative, budget, self.samples, watch)

        return measure

    def _checks(
        self,
        settings: Settings,
        folder: RunFolder,
        prompts: Sequence[str],
        forecasts: Sequence[Forecast],
        loaded: _Loaded,
        budget: int,
    ) -> list[Mapping[str, Any]]:
        """Real runs under each prompt, kept in the folder as they are finished."""
        from glass_cli.engine.plan_measurement import check_prompt
        from glass_cli.output.progress import counted

        policies = [repr(one.policy) for one in forecasts]
        checks = []
        for number, prompt in enumerate(counted(prompts, "check of prompt")):
            decides = [plan_cache.belongs_to(settings), settings.root.seed, prompt, policies]
            digest = hashlib.sha256(json_text(decides).encode()).hexdigest()
            part = folder.study_part(_CHECKS + number, digest)
            if part is None:
                negative = settings.root.negative_prompt
                part = check_prompt(loaded.work(), forecasts, prompt, negative, budget)
                part = folder.write_study_part(_CHECKS + number, digest, part)
            checks.append(part)
        return checks


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
    """The ten best policies by replay, and all that were checked."""
    from glass_cli.output.tables import text_table

    real = {c.forecast.policy: c.mean for c in choice.checked}
    shown = [one for i, one in enumerate(forecasts) if i < 10 or one.policy in real]
    rows = [
        [
            one.policy.title(),
            f"{one.reward:.4g}",
            f"{real[one.policy]:.4g}" if one.policy in real else "",
            "plan" if one.policy == choice.policy else "",
        ]
        for one in shown
    ]
    return text_table(["policy", "reward, replayed", "reward, run", ""], rows)


def _foretold(table: Mapping[str, Draws]) -> str:
    """How much of the final reward x_hat's explains at the ends of transitions, of GLASS."""
    lines = []
    for name, draws in table.items():
        cov = draws.cov
        if not name.startswith("glass") or not cov[-1, -1] > 0.0:
            continue
        shares = [
            cov[k, -1] ** 2 / (cov[k, k] * cov[-1, -1]) if cov[k, k] > 0.0 else 0.0
            for k in range(len(cov) - 1)
        ]
        text = ", ".join(f"{share:.2f}" for share in shares)
        lines.append(f"x_hat foretells of the final reward, {name} calls: {text}")
    return "\n".join(lines)


def _write_experiment(settings: Settings, folder: RunFolder, choice: Choice) -> Path:
    """Writes the plan as experiment/plan.yaml; returns the folder to give as -cd."""
    import yaml

    planned = auto_plan.with_policy(settings, choice.policy)
    config = planned.config
    nodes = {
        "sampler": {k: v for k, v in config["sampler"].items() if v is not None},
        "steering": {k: v for k, v in config["steering"].items() if v is not None},
        "particles": config["particles"],
        "calls": None,
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
