"""The numbers that runs are judged by, each a function of one result, and their means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from glass_cli.answers.records import Result, Run
from glass_cli.experiments.statistics import bootstrap_interval, stratified_interval


@dataclass(frozen=True)
class Quantity:
    """``of`` gives a result's value, None where it has none.

    ``by_task``: the mean is that of the tasks' means, as GenEval's overall score is. ``on_reward``:
    it is on the scale of the run's own reward, and means nothing beside another reward.
    """

    key: str
    label: str
    of: Callable[[Result], float | None]
    by_task: bool = False
    on_reward: bool = False


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
        Quantity("chosen", "chosen particle", lambda r: r.chosen_reward, on_reward=True),
        Quantity("best", "best particle", lambda r: r.best_reward, on_reward=True),
        Quantity("mean", "mean particle", lambda r: r.mean_reward, on_reward=True),
        *_judged(results),
        *_metrics(results),
        Quantity("lineages", "lineages left", lambda r: r.lineages),
    ]
    return [q for q in candidates if any(q.of(result) is not None for result in results)]


def _percent(result: Result) -> float | None:
    return None if result.correct is None else 100.0 * result.correct


def _judged(results: Sequence[Result]) -> list[Quantity]:
    tasks = dict.fromkeys(r.task for r in results if r.task is not None and r.correct is not None)
    found = [Quantity("correct", "judged correct, %", _percent, by_task=True)]
    for task in tasks:
        label = f"  {task.replace('_', ' ')}, %"
        found.append(Quantity(f"correct.{task}", label, _of_task(task)))
    for name in dict.fromkeys(name for result in results for name in result.measured):
        found.append(Quantity(f"judged.{name}", f"judged {name}", _measured(name)))
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
    values: Mapping[tuple[str, str | None], Sequence[float]], by_task: bool
) -> Estimate | None:
    """The mean of ``values``, which are keyed by prompt and task; None where there are none.

    The values of one prompt are averaged first: pictures of one prompt are not independent, so
    the interval is over prompts. Where ``by_task``, and all have tasks, prompts are drawn anew
    within each task and the tasks' means are averaged.
    """
    means = {key: sum(found) / len(found) for key, found in values.items() if found}
    if not means:
        return None
    if by_task and all(task is not None for _, task in means):
        strata: dict[str | None, list[float]] = {}
        for (_, task), value in means.items():
            strata.setdefault(task, []).append(value)
        groups = list(strata.values())
        mean = sum(sum(group) / len(group) for group in groups) / len(groups)
        return Estimate(mean, stratified_interval(groups), len(means))
    found = list(means.values())
    return Estimate(sum(found) / len(found), bootstrap_interval(found), len(found))


def estimate_of(results: Iterable[Result], quantity: Quantity) -> Estimate | None:
    """The estimate of one run's ``quantity``."""
    values: dict[tuple[str, str | None], list[float]] = {}
    for result in results:
        value = quantity.of(result)
        if value is not None:
            values.setdefault((result.prompt, result.task), []).append(value)
    return estimate(values, quantity.by_task)
