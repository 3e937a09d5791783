"""What the finished runs of a comparison say: estimates, paired differences, best splits."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from glass_cli.common.errors import GlassError
from glass_cli.common.statistics import bootstrap_interval
from glass_cli.output.reader import read_run
from glass_cli.output.results import Run
from glass_cli.output.run_file import read_run_file
from glass_cli.output.study_file import FinishedStudy, read_study, read_study_file
from glass_cli.output.writer import SUMMARY
from glass_cli.report.comparison import compare
from glass_cli.report.quantities import Estimate
from glass_cli.report.run_groups import RunGroup
from glass_cli.reproduce.plan import (
    BUDGET,
    METHODS,
    SMALLER,
    Evaluation,
    budget_of,
    method_of,
    split_of,
)

CORRECT, REWARD = "correct", "answer"

STUDY = "study"  # in the place of a benchmark

Key = tuple[str, str]
"""A row's name, and the benchmark."""


class DrawnRun(NamedTuple):
    """One finished run, or study: an evaluation with one of its seeds."""

    evaluation: Evaluation
    seed: int
    run: Run | FinishedStudy


@dataclass(frozen=True)
class Measured:
    """What is finished.

    rows: each evaluation's runs, of one seed or more.
    evaluations: the same keys -> what was asked for.
    studies: those without a benchmark, by name; each has seed 0.
    """

    rows: Mapping[Key, RunGroup]
    evaluations: Mapping[Key, Evaluation]
    studies: Mapping[str, FinishedStudy]

    @property
    def drawn(self) -> list[DrawnRun]:
        """Every run of the rows, and every study."""
        rows = [
            DrawnRun(self.evaluations[key], _seed(run), run)
            for key, group in self.rows.items()
            for run in group.runs
        ]
        studies = [
            DrawnRun(self.evaluations[name, STUDY], 0, study)
            for name, study in self.studies.items()
        ]
        return [*rows, *studies]

    @property
    def benchmarks(self) -> list[str]:
        return list(dict.fromkeys(benchmark for _, benchmark in self.rows))

    def row(self, name: str, benchmark: str) -> RunGroup | None:
        return self.rows.get((name, benchmark))

    @staticmethod
    def difference(run: RunGroup | None, base: RunGroup | None, quantity: str) -> Estimate | None:
        """run - base, paired by prompt and seed; None where one of them, or the quantity, lacks."""
        if run is None or base is None:
            return None
        try:
            comparison = compare([base, run], 0, [quantity])
        except GlassError:
            return None
        return comparison.cells[quantity][1].difference

    @staticmethod
    def room(base: RunGroup) -> Estimate | None:
        """What a run that is always right would be ahead of ``base``, in points."""
        judged = {CORRECT: True}
        perfect = [
            replace(run, results=tuple(replace(each, judged=judged) for each in run.results))
            for run in base.runs
        ]
        return Measured.difference(replace(base, runs=tuple(perfect)), base, CORRECT)

    def budget(self, name: str, benchmark: str) -> float | None:
        """Network calls a picture; None where not recorded."""
        group = self.rows.get((name, benchmark))
        calls = [] if group is None else [result.nfe for result in group.results]
        known = [value for value in calls if value is not None]
        return sum(known) / len(known) if known and len(known) == len(calls) else None

    def best(
        self, method: str, benchmark: str, budget: int = BUDGET, without: int | None = None
    ) -> str | None:
        """The name of a method's row of that budget that is most often right on a benchmark.

        without: a seed whose results do not count, where there are others; only rows that have it
            are compared.

        None where it has no row of that budget.
        """
        return self._best(method, (benchmark,), budget, without)

    def _best(
        self, method: str, benchmarks: Sequence[str], budget: int, without: int | None = None
    ) -> str | None:
        """Of the rows that were measured on all of ``benchmarks``, one or more."""
        shares = [
            shares_right(
                {
                    name: group
                    for name, group in self._tried(method, benchmark, budget).items()
                    if without is None or without in _seeds(group)
                },
                without,
            )
            for benchmark in benchmarks
        ]
        common = [name for name in shares[0] if all(name in each for each in shares)]
        return max(common, key=lambda name: sum(each[name] for each in shares), default=None)

    def _tried(self, method: str, benchmark: str, budget: int) -> dict[str, RunGroup]:
        """A method's rows of that budget, by name."""
        return {
            name: group
            for (name, at), group in self.rows.items()
            if at == benchmark
            and method_of(name) == method
            and budget_of(self.budget(name, at)) == budget
        }

    def splits(self, method: str, benchmark: str, budget: int) -> int:
        """How many of a method's rows of that budget were measured on a benchmark."""
        return len(self._tried(method, benchmark, budget))

    def at_best(self, method: str, benchmark: str, budget: int = BUDGET) -> RunGroup | None:
        """A method's runs at its best split, which the results of the other seeds choose for each.

        The best of several that are equally good is the luckiest: on the results that chose it, it
        would look better than it is. With a single seed these are all that there are.
        """
        names = [name for name, at in self.rows if at == benchmark and method_of(name) == method]
        runs = [run for name in names for run in self.rows[name, benchmark].runs]
        chosen: dict[str, list[Run]] = {}
        for seed in dict.fromkeys(_seed(run) for run in runs):
            name = self.best(method, benchmark, budget, seed)
            group = None if name is None else self.row(name, benchmark)
            if name is not None and group is not None:
                chosen.setdefault(name, []).extend(r for r in group.runs if _seed(r) == seed)
        best_runs = tuple(run for several in chosen.values() for run in several)
        return RunGroup(" / ".join(chosen), best_runs) if best_runs else None

    def best_splits(self) -> dict[str, Evaluation]:
        """Each method's best evaluation at the largest budget that its splits were tried at, over
        all benchmarks that it was tried on with that budget, or on the first where no split was
        tried on all. Rows whose names end in no split, such as 40x10, are made for one budget."""
        named = {key: group for key, group in self.rows.items() if split_of(key[0]) is not None}
        known, splits = replace(self, rows=named), {}
        for method in METHODS:
            for budget in (BUDGET, *SMALLER):
                here = {b: known.best(method, b, budget) for b in known.benchmarks}
                tried = {benchmark: name for benchmark, name in here.items() if name is not None}
                if tried:
                    first = next(iter(tried))
                    common = known._best(method, [*tried], budget)
                    splits[method] = self.evaluations[common or tried[first], first]
                    break
        return splits

    def squared_distance(
        self, study: str, method: str, calls: int, less: tuple[str, int] | None
    ) -> Estimate | None:
        """Of a study of p(x_1 | x_t): a method's squared sliced 2-Wasserstein distance to an
        independent reference, less another's; a mean over times and prompts.

        less: a method and its calls; None for the distance between two references, of which the
            difference is then a share.

        Squared distances have the same expected floor, so that their difference is 0 where the laws
        are the same. None where it was not measured.
        """
        distances = []
        found = self.studies.get(study)
        for part in () if found is None else found.parts:
            values = []
            for at in part["times"]:
                squares = {(r["method"], r["calls"]): r["w2"] ** 2 for r in at["rows"]}
                own = squares.get((method, calls), math.nan)
                if less is None:
                    floor = at["floor"] ** 2
                    values.append((own - floor) / floor if floor > 0.0 else math.nan)
                else:
                    values.append(own - squares.get(less, math.nan))
            distances.append(sum(values) / len(values))
        if not distances or any(math.isnan(value) for value in distances):
            return None
        return Estimate(
            sum(distances) / len(distances), bootstrap_interval(distances), len(distances)
        )


def _seed(run: Run) -> int:
    return int(run.config.get("seed") or 0)


def _seeds(group: RunGroup) -> set[int]:
    return {_seed(run) for run in group.runs}


def shares_right(groups: Mapping[str, RunGroup], without: int | None = None) -> dict[str, float]:
    """The share of right answers of each row, on the seeds that all have: one row's luckier seed is
    not set against another's mean.

    without: a seed that does not count, unless there is no other.
    """
    seeds = {name: _seeds(group) - {without} for name, group in groups.items()}
    if not any(seeds.values()):
        seeds = {name: _seeds(group) for name, group in groups.items()}
    seeds = {name: own for name, own in seeds.items() if own}
    common = set.intersection(*seeds.values()) if seeds else set()
    shares = {name: _share_right(groups[name], common or own) for name, own in seeds.items()}
    return {name: share for name, share in shares.items() if share is not None}


def _share_right(group: RunGroup, seeds: set[int]) -> float | None:
    """The mean of the tasks' shares of right answers; None where nobody judged."""
    tasks: dict[str | None, list[float]] = {}
    for run in group.runs:
        for result in run.results if _seed(run) in seeds else ():
            if result.correct is not None:
                tasks.setdefault(result.task, []).append(float(result.correct))
    means = [sum(values) / len(values) for values in tasks.values()]
    return sum(means) / len(means) if means else None


def run_folder(runs: Path, evaluation: Evaluation, seed: int) -> Path:
    """Where a run of a comparison lies."""
    return runs / evaluation.name / (evaluation.benchmark or STUDY) / f"seed_{seed}"


def measured(
    runs: Path,
    evaluations: Iterable[Evaluation],
    seeds: Sequence[int],
    failed: Collection[Path] = (),
    earlier: Mapping[Path, Path] = MappingProxyType({}),
) -> Measured:
    """What of the evaluations is finished in the folder ``runs``; the rest is left out.

    failed: folders whose results are not these evaluations', but older ones.
    earlier: a run's folder -> the file whose results are taken in its place.
    """
    rows: dict[Key, RunGroup] = {}
    asked: dict[Key, Evaluation] = {}
    studies: dict[str, FinishedStudy] = {}
    for evaluation in evaluations:
        if evaluation.benchmark is None:
            folder = run_folder(runs, evaluation, seeds[0])
            if folder in earlier:
                study = read_study_file(earlier[folder])
            elif folder not in failed and (folder / SUMMARY).is_file():
                study = read_study(folder)
            else:
                continue
            studies[evaluation.name] = study
            asked[evaluation.name, STUDY] = evaluation
            continue
        finished = []
        for seed in seeds:
            folder = run_folder(runs, evaluation, seed)
            if folder in earlier:
                finished.append(read_run_file(earlier[folder]))
                continue
            if folder in failed:
                continue
            try:
                finished.append(read_run(folder))
            except GlassError:
                continue
        if finished:
            key = (evaluation.name, evaluation.benchmark)
            rows[key] = RunGroup(evaluation.name, tuple(finished))
            asked[key] = evaluation
    return Measured(rows, asked, studies)
