"""The runs of a comparison: the experiments of a folder, on its benchmarks, with its seeds."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glass_cli.common.errors import GlassError, near
from glass_cli.common.paths import conf_dir

EXPERIMENTS = ("embedded",)
# Of the experiments that choose none themselves.
BENCHMARKS = ("geneval", "compose")
BUDGET = 400  # network calls a picture, at which methods are compared split by split
SMALLER = (160, 80)
_NEAR = 0.05  # of a budget, by which a split may miss it
# The start of an experiment's name -> whether the method it names is tried at all budgets, with the
# split that was best at that of its files.
METHODS = {
    "best_of_n": True,
    "fk_sde": True,
    "fk_glass_guidance": False,
    "fk_glass_falling": False,
    "fk_glass": True,
    "evolution": True,
    "bfs": True,
    "svdd": True,
    "rbf": True,
    "dfs": True,
    "dts": True,
    "noise_search": True,
}
_LEAST = 5  # calls a particle: one for each transition


@dataclass(frozen=True)
class Evaluation:
    """One row of the results: an experiment on one benchmark, with every seed.

    name: of the row.
    experiment: the file that it is, in conf/experiment/.
    settings: in place of the experiment's own, `key=value`.
    benchmark: None where the experiment has one of its own.
    """

    name: str
    experiment: str
    settings: tuple[str, ...] = ()
    benchmark: str | None = None

    def overrides(self) -> list[str]:
        """The arguments of `glass eval` that make it, but for the seed and where it is written."""
        chosen = [] if self.benchmark is None else [f"benchmark={self.benchmark}"]
        return [f"experiment={self.experiment}", *self.settings, *chosen]


@dataclass(frozen=True)
class Scope:
    """How much of a comparison is run.

    only: patterns of experiments' names, such as `fk_*`; all where there are none.
    benchmarks: of BENCHMARKS.
    seeds: 0 to seeds - 1 are drawn, 1 or more.
    limit: at most so many prompts, 1 or more; None for all.
    geneval: a file with GenEval's prompts; None for the published list, downloaded once.
    """

    only: tuple[str, ...] = ()
    benchmarks: tuple[str, ...] = BENCHMARKS
    seeds: int = 2
    limit: int | None = None
    geneval: Path | None = None

    def settings(self, benchmark: str | None) -> list[str]:
        """What a run on ``benchmark`` is given beside its experiment."""
        if benchmark is None:  # a study, whose few prompts are its own
            return [] if self.limit is None else [f"benchmark.limit={self.limit}"]
        settings = ["benchmark.images=1"]
        if benchmark == "geneval":
            path = "published" if self.geneval is None else str(self.geneval.absolute())
            settings.append(f"benchmark.path={path}")
        return settings + ([] if self.limit is None else [f"benchmark.limit={self.limit}"])


def evaluations(folder: str, scope: Scope) -> list[Evaluation]:
    """What the files of conf/experiment/<folder>/ ask for. Raises GlassError."""
    if folder not in EXPERIMENTS:
        hint = near(folder, EXPERIMENTS)
        raise GlassError(f"there is no comparison {folder}{hint} ({', '.join(EXPERIMENTS)})")
    wrong = [name for name in scope.benchmarks if name not in BENCHMARKS]
    if wrong:
        hint = near(wrong[0], BENCHMARKS)
        raise GlassError(f"unknown benchmark {wrong[0]}{hint} ({', '.join(BENCHMARKS)})")
    if scope.geneval is not None and not scope.geneval.is_file():
        raise GlassError(f"--geneval {scope.geneval} is not a file; give GenEval's prompt list")
    paths = {
        path.stem: path for path in sorted((conf_dir() / "experiment" / folder).glob("*.yaml"))
    }
    for pattern in scope.only:
        if not fnmatch.filter(paths, pattern):
            hint = near(pattern, paths)
            raise GlassError(f"--only {pattern} is none of conf/experiment/{folder}/{hint}")
    patterns = scope.only or ("*",)
    planned = []
    for name, path in paths.items():
        if any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
            own = _has_benchmark(path)
            experiment = f"{folder}/{name}"
            benchmarks = (None,) if own else scope.benchmarks
            planned += [Evaluation(name, experiment, (), benchmark) for benchmark in benchmarks]
    return planned


def _has_benchmark(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    return re.search(r"^\s*-\s*override\s+/benchmark:", text, re.MULTILINE) is not None


def method_of(name: str) -> str | None:
    """The method that a row's name begins with; None for a run of one particle, or a study."""
    return next((method for method in METHODS if name.startswith(method)), None)


def split_of(name: str) -> tuple[int, int] | None:
    """Particles and calls of each, by a row's name; None where it does not end with them."""
    found = re.search(r"_(\d+)x(\d+)$", name)
    return None if found is None else (int(found[1]), int(found[2]))


def other_budgets(best: Mapping[str, Evaluation], scope: Scope) -> Iterator[Evaluation]:
    """The best split of each method, as near to it as the budgets that it was not chosen at allow.

    best: a method -> one of its evaluations, whose name ends with its split, such as 40x10.
    """
    for method, chosen in best.items():
        if METHODS[method]:
            split = split_of(chosen.name)
            assert split is not None
            particles, calls = split
            for budget in (BUDGET, *SMALLER):
                if budget == particles * calls:
                    continue
                fitting = particles_of(budget, calls)
                settings = (f"particles={fitting}", f"calls={budget // fitting}")
                for benchmark in scope.benchmarks:
                    name = f"{method}_{budget}"
                    yield Evaluation(name, chosen.experiment, settings, benchmark)


def budget_of(nfe: float | None) -> int | None:
    """The budget that so many network calls a picture are of; None where they are of none."""
    budgets = (BUDGET, *SMALLER)
    return next((b for b in budgets if nfe is not None and abs(nfe - b) <= _NEAR * b), None)


def particles_of(budget: int, calls: int) -> int:
    """The number of particles, two or more, that spends a budget with most nearly so many calls
    each: a divisor of the budget."""
    fitting = [n for n in range(2, budget // _LEAST + 1) if budget % n == 0]
    return min(fitting, key=lambda n: max(budget / n / calls, calls * n / budget))


def command(
    evaluation: Evaluation, scope: Scope, seeds: Sequence[int], overrides: Sequence[str] = ()
) -> str:
    """What a reader types to make a row of the results again.

    overrides: settings of all runs.
    """
    here = None if scope.geneval is None else str(scope.geneval.absolute())
    settings = [*evaluation.overrides(), *scope.settings(evaluation.benchmark), *overrides]
    if here is not None:
        settings = [word.replace(here, Path(here).name) for word in settings]
    several = len(seeds) > 1
    seed = ",".join(map(str, seeds))
    return " ".join(["glass eval", *["-m"] * several, *settings, f"seed={seed}"])
