"""The numbers that runs are judged by, each a function of one result, and their means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from glass_cli.common.statistics import bootstrap_interval, stratified_interval
from glass_cli.output.results import Result, Run


def mean(values: Sequence[float]) -> float:
    """The mean of one value or more."""
    return sum(values) / len(values)


@dataclass(frozen=True)
class Quantity:
    """``of`` gives a result's value, None where it has none; ``pool`` makes one of a prompt's.

    ``by_task``: the mean is that of the tasks' means, as GenEval's overall score is. ``scale`` says
    what two runs must share to be compared in it: their "reward", their "judge", or nothing.
    """

    key: str
    label: str
    of: Callable[[Result], float | None]
    by_task: bool = False
    scale: str = ""
    pool: Callable[[Sequence[float]], float] = mean


@dataclass(frozen=True)
class Estimate:
    """A mean over ``prompts`` prompts and its 95 % bootstrap interval, None for a single prompt."""

    mean: float
    interval: tuple[float, float] | None
    prompts: int


def quantities(runs: Sequence[Run]) -> list[Quantity]:
    """All for which some result of ``runs`` has a value, in the order of the tables."""
    results = [result for run in runs for result in run.results]
    candidates = [
        Quantity("chosen", "chosen particle", lambda r: r.chosen_reward, scale="reward"),
        Quantity("best", "best particle", lambda r: r.best_reward, scale="reward"),
        Quantity("mean", "mean particle", lambda r: r.mean_reward, scale="reward"),
        *_judged(results),
        *_metrics(results),
        Quantity("lineages", "lineages left", lambda r: r.lineages),
    ]
    return [q for q in candidates if any(q.of(result) is not None for result in results)]


def _percent(result: Result) -> float | None:
    return None if result.correct is None else 100.0 * result.correct


def _judged(results: Sequence[Result]) -> list[Quantity]:
    tasks = dict.fromkeys(r.task for r in results if r.task is not None and r.correct is not None)
    found = [Quantity("correct", "judged correct, %", _percent, by_task=True, scale="judge")]
    for task in tasks:
        label = f"  {task.replace('_', ' ')}, %"
        found.append(Quantity(f"correct.{task}", label, _of_task(task), scale="judge"))
    if any(r.image_index > 0 for r in results):
        label = "prompts with a correct one, %"
        found.append(Quantity("one_correct", label, _percent, scale="judge", pool=max))
    for name in dict.fromkeys(name for result in results for name in result.measured):
        found.append(Quantity(f"judged.{name}", f"judged {name}", _measured(name), scale="judge"))
    return found


def _measured(name: str) -> Callable[[Result], float | None]:
    return lambda result: result.measured.get(name)


def _of_task(task: str) -> Callable[[Result], float | None]:
    return lambda result: _percent(result) if result.task == task else None


def _metrics(results: Sequence[Result]) -> list[Quantity]:
    found = []
    for name in dict.fromkeys(name for result in results for name in result.metrics):
        found.append(Quantity(f"metrics.{name}", f"metric {name}", _metric(name)))
    for name in dict.fromkeys(name for result in results for name in result.mean_metrics):
        label = f"metric {name}, mean particle"
        found.append(Quantity(f"mean_metrics.{name}", label, _mean_metric(name)))
    return found


def _metric(name: str) -> Callable[[Result], float | None]:
    return lambda result: result.metrics.get(name)


def _mean_metric(name: str) -> Callable[[Result], float | None]:
    return lambda result: result.mean_metrics.get(name)


def estimate(
    values: Mapping[tuple[str, str | None], float], by_task: bool = False
) -> Estimate | None:
    """The mean of ``values``, one for each prompt and its task; None where there are none.

    Where ``by_task``, and all have tasks, prompts are drawn anew within each task and the tasks'
    means are averaged.
    """
    if not values:
        return None
    if by_task and all(task is not None for _, task in values):
        strata: dict[str | None, list[float]] = {}
        for (_, task), value in values.items():
            strata.setdefault(task, []).append(value)
        groups = list(strata.values())
        return Estimate(mean([mean(g) for g in groups]), stratified_interval(groups), len(values))
    found = list(values.values())
    return Estimate(mean(found), bootstrap_interval(found), len(found))


def estimate_of(results: Iterable[Result], quantity: Quantity) -> Estimate | None:
    """The estimate of one run's ``quantity``; pictures of a prompt are not independent."""
    values: dict[tuple[str, str | None], list[float]] = {}
    for result in results:
        value = quantity.of(result)
        if value is not None:
            values.setdefault((result.prompt, result.task), []).append(value)
    pooled = {key: quantity.pool(found) for key, found in values.items()}
    return estimate(pooled, quantity.by_task)
