"""Invented results of the embedded comparison, in memory and in folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from example_runs import CONFIG, eval_run

from glass_cli.output.results import Result, Run
from glass_cli.output.study_file import FinishedStudy
from glass_cli.report.run_groups import RunGroup
from glass_cli.reproduce.measured import Measured, run_folder
from glass_cli.reproduce.plan import Evaluation

Row = tuple[float, int, float]
"""The share that is right, network calls a picture, and the mean reward."""


def results(
    benchmark: str, right: float, calls: int, reward: float, prompts: int, seed: int
) -> tuple[Result, ...]:
    """Results of which that share is right. What one prompt asks is as hard in every run, whose
    luck is the same: a common number decides."""
    rng = np.random.default_rng([seed, 7])
    found = []
    for i in range(prompts):
        luck, score = rng.random(), float(rng.standard_normal()) + reward
        found.append(
            Result(
                i, 0, f"{benchmark} prompt {i}", seed, 0, score, (score,), {}, {}, (), float(calls),
                1.0, 1.0, {"correct": bool(luck < right)}, "one", (),
            )
        )  # fmt: skip
    return tuple(found)


def group(
    name: str, benchmark: str, row: Row, seeds: Sequence[int] = (0, 1), prompts: int = 150
) -> RunGroup:
    """Runs in memory."""
    runs = []
    for seed in seeds:
        config, summary = {**CONFIG, "seed": seed}, {"benchmark": benchmark}
        found = results(benchmark, *row, prompts, seed)
        runs.append(Run(Path(name), "eval", config, (), summary, {}, found))
    return RunGroup(name, tuple(runs))


def written(runs: Path, name: str, benchmark: str, row: Row, prompts: int = 4) -> None:
    """The same in a run's folder, of seed 0."""
    rows = [
        {
            "prompt": each.prompt,
            "rewards": each.rewards,
            "nfe": each.nfe,
            "judged": each.judged,
            "tag": "one",
        }
        for each in results(benchmark, *row, prompts, 0)
    ]
    folder = run_folder(runs, Evaluation(name, name, (), benchmark), 0)
    eval_run(folder, rows, config={**CONFIG, "seed": 0}, benchmark=benchmark)


def study(squares: Mapping[tuple[str, int], float]) -> list[dict[str, Any]]:
    """The parts of a study of two times and 12 prompts, of squared distances around those given."""
    rng = np.random.default_rng(0)
    parts = []
    for _ in range(12):
        times = []
        for t in (0.15, 0.4):
            rows = [
                {"method": m, "calls": c, "w2": float(np.sqrt(s * (1 + 0.02 * rng.normal())))}
                for (m, c), s in squares.items()
            ]
            times.append({"t": t, "floor": 1.0, "rows": rows})
        parts.append({"times": times})
    return parts


PAPER = {
    "best_of_n_8x50": (0.55, 400, 0.0),
    "best_of_n_20x20": (0.60, 400, 0.1),
    "fk_sde_schedule_8x50": (0.40, 400, -0.5),
    "fk_glass_schedule_8x50": (0.75, 400, 0.4),
    "fk_glass_auto_20x20": (0.80, 400, 0.5),
    "learned_fk_glass_schedule_8x50": (0.75, 400, 0.4),
    "fk_glass_guidance_8x50": (0.85, 400, 0.8),
    "ode1_50": (0.50, 50, 0.0),
    "ode2_50": (0.50, 50, 0.0),
    "glass1_50": (0.50, 50, 0.0),
    "glass2_50": (0.51, 50, 0.0),
    "sde_50": (0.30, 50, -1.0),
}
LAW = {("ancestral", 200): 1.0, ("SDE", 200): 1.0}
CALLS = {("GLASS 1", 10): 1.2, ("GLASS 2", 10): 1.1, ("SDE", 10): 2.0, ("SDE", 20): 1.5}


def of(rows: Mapping[str, Row], **studies: Mapping[tuple[str, int], float]) -> Measured:
    asked = {
        (name, benchmark): Evaluation(name, f"embedded/{name}", (), benchmark)
        for name in rows
        for benchmark in ("geneval", "compose")
    }
    groups = {key: group(*key, rows[key[0]]) for key in asked}
    found = {name: FinishedStudy(Path(name), {}, study(given)) for name, given in studies.items()}
    return Measured(groups, asked, found)
