"""The numbers that runs are judged by, each a function of one result, and their means."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from glass_cli.common.statistics import bootstrap_interval, share_interval, stratified_interval
from glass_cli.output.results import Result, Run


def mean(values: Sequence[float]) -> float:
    """The mean of one value or more."""
    return sum(values) / len(values)


@dataclass(frozen=True)
class Quantity:
    """A number that results have.

    key, label: in a file of numbers, and in a table.
    of: a result's value, None where it has none.
    by_task: the mean is that of the tasks' means, as GenEval's overall score is.
    scale: what two runs must share to be compared in it: their "reward", their "judge", or nothing.
    pool: makes one value of those of a prompt's results.
    whole: of a share of what is right, the value where all is; None for other numbers.
    """

    key: str
    label: str
    of: Callable[[Result], float | None]
    by_task: bool = False
    scale: str = ""
    pool: Callable[[Sequence[float]], float] = mean
    whole: float | None = None

    @property
    def averages(self) -> bool:
        """Whether the value of a prompt is the mean of its results."""
        return self.pool is mean


@dataclass(frozen=True)
class Estimate:
    """A mean over ``prompts`` prompts and its 95 % bootstrap interval.

    Of a single prompt the interval is over its results, or None where that is not asked for.
    """

    mean: float
    interval: tuple[float, float] | None
    prompts: int


def quantities(runs: Sequence[Run]) -> list[Quantity]:
    """All for which some result of ``runs`` has a value, in the order of the tables."""
    results = [result for run in runs for result in run.results]
    scores = {name for run in runs for name in run.scores}
    candidates = [
        Quantity("answer", "reward of the answer", lambda r: r.reward, scale="reward"),
        Quantity("best", "reward of the best particle", lambda r: r.best_reward, scale="reward"),
        Quantity("mean", "reward of the mean particle", lambda r: r.mean_reward, scale="reward"),
        *_judged(results, scores),
        *_metrics(results),
        Quantity("lineages", "lineages left", lambda r: r.lineages),
    ]
    return [q for q in candidates if any(q.of(result) is not None for result in results)]


def _percent(result: Result) -> float | None:
    return None if result.correct is None else 100.0 * result.correct


def _judged(results: Sequence[Result], scores: Collection[str]) -> list[Quantity]:
    """Verdicts, and the judge's numbers; those that are ``scores`` are means of the tasks' too."""
    tasks = dict.fromkeys(r.task for r in results if r.task is not None and r.correct is not None)
    share = partial(Quantity, scale="judge", whole=100.0)
    judged = [share("correct", "judged correct, %", _percent, by_task=True)]
    for task in tasks:
        label = f"  {task.replace('_', ' ')}, %"
        judged.append(share(f"correct.{task}", label, _of_task(task)))
    if any(r.image_index > 0 for r in results):
        label = "prompts with a correct one, %"
        judged.append(share("one_correct", label, _percent, pool=max))
    for name in dict.fromkeys(name for result in results for name in result.measured):
        key, label, of = f"judged.{name}", f"judged {name}", _measured(name)
        judged.append(Quantity(key, label, of, by_task=name in scores, scale="judge"))
    return judged


def _measured(name: str) -> Callable[[Result], float | None]:
    return lambda result: result.measured.get(name)


def _of_task(task: str) -> Callable[[Result], float | None]:
    return lambda result: _percent(result) if result.task == task else None


def _metrics(results: Sequence[Result]) -> list[Quantity]:
    metrics = []
    for name in dict.fromkeys(name for result in results for name in result.metrics):
        metrics.append(Quantity(f"metrics.{name}", f"metric {name}", _metric(name)))
    for name in dict.fromkeys(name for result in results for name in result.mean_metrics):
        label = f"metric {name}, mean particle"
        metrics.append(Quantity(f"mean_metrics.{name}", label, _mean_metric(name)))
    return metrics


def _metric(name: str) -> Callable[[Result], float | None]:
    return lambda result: result.metrics.get(name)


def _mean_metric(name: str) -> Callable[[Result], float | None]:
    return lambda result: result.mean_metrics.get(name)


Prompt = tuple[Hashable, str | None]
"""What tells a prompt from others, and its task."""


def estimate(
    values: Mapping[Prompt, float], by_task: bool = False, whole: float | None = None
) -> Estimate | None:
    """The mean of ``values``, one for each prompt; None where there are none.

    Where ``by_task``, and all have tasks, prompts are drawn anew within each task and the tasks'
    means are averaged.

    whole: of shares, see :func:`glass_cli.common.statistics.share_interval`.
    """
    if not values:
        return None
    groups = [[*values.values()]]
    if by_task and all(task is not None for _, task in values):
        strata: dict[str | None, list[float]] = {}
        for (_, task), value in values.items():
            strata.setdefault(task, []).append(value)
        groups = list(strata.values())
    interval = stratified_interval(groups) if whole is None else share_interval(groups, whole)
    return Estimate(mean([mean(g) for g in groups]), interval, len(values))


def estimate_of_one(numbers: Sequence[float], quantity: Quantity) -> Estimate | None:
    """The estimate of a prompt that is alone: its interval is over its results, such as seeds.

    numbers: one for each result. None where there are none; a pool that is no mean has no interval.
    """
    if not numbers:
        return None
    interval = bootstrap_interval(numbers) if quantity.averages else None
    return Estimate(quantity.pool(numbers), interval, 1)


def estimate_of(results: Iterable[Result], quantity: Quantity) -> Estimate | None:
    """The estimate of one run's ``quantity``; pictures of a prompt are not independent."""
    pooled = {prompt: quantity.pool(own) for prompt, own in values_of(results, quantity).items()}
    return estimate(pooled, quantity.by_task, quantity.whole)


def values_of(results: Iterable[Result], quantity: Quantity) -> dict[Prompt, list[float]]:
    """The values of each prompt that has any."""
    values: dict[Prompt, list[float]] = {}
    for result in results:
        value = quantity.of(result)
        if value is not None:
            values.setdefault((result.prompt_index, result.task), []).append(value)
    return values
