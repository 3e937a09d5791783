"""From the results of a run to its summary: means with intervals over prompts, and costs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from glass_cli.common.files import plain
from glass_cli.common.statistics import bootstrap_interval, share_interval
from glass_cli.output.tables import text_table

if TYPE_CHECKING:
    from glass_cli.benchmarks.base import Answer
    from glass_cli.config.settings import Settings

Result = Mapping[str, Any]


def best_reward(result: Mapping[str, Any]) -> float | None:
    """The highest reward of a result's particles; None where there are none."""
    return max(_known(result), default=None)


def mean_reward(result: Mapping[str, Any]) -> float | None:
    """The mean reward of a result's particles; None where there are none."""
    known = _known(result)
    return sum(known) / len(known) if known else None


def _known(result: Mapping[str, Any]) -> list[float]:
    return [r for r in result.get("rewards") or [] if r is not None]


def numbers(result: Result) -> dict[str, float]:
    """What of a result can be averaged: rewards, metrics, the judge's numbers and verdicts.

    ``reward`` and the metrics by their names are those of the answer, where there is one; ``best
    reward``, ``mean reward`` and ``mean <metric>`` those of the particles.
    """
    values: dict[str, Any] = {"reward": result.get("reward"), **(result.get("metrics") or {})}
    values |= {"best reward": best_reward(result), "mean reward": mean_reward(result)}
    values |= {f"mean {name}": value for name, value in (result.get("mean_metrics") or {}).items()}
    judged = result.get("judged")
    values |= dict(judged) if isinstance(judged, Mapping) else {}
    return {
        str(name): float(value)
        for name, value in values.items()
        if isinstance(value, (bool, int, float)) and math.isfinite(value)
    }


def mean_over_prompts(results: Iterable[Result], name: str) -> dict[str, Any] | None:
    """Mean of a number over prompts, of each prompt's pictures first; None where nobody has it.

    The interval is a 95 % bootstrap over prompts, whose pictures are not independent.
    """
    by_prompt: dict[int, list[float]] = {}
    for result in results:
        own = numbers(result)
        if name in own:
            by_prompt.setdefault(int(result["prompt_index"]), []).append(own[name])
    if not by_prompt:
        return None
    means = [sum(values) / len(values) for values in by_prompt.values()]
    return {
        "mean": sum(means) / len(means),
        "interval95": bootstrap_interval(means),
        "prompts": len(means),
    }


def with_metrics(
    summary: Mapping[str, Any], results: Sequence[Result], metrics: Iterable[str]
) -> dict[str, Any]:
    """The summary with the means of ``metrics`` over all ``results``; all else as it was."""
    old = summary.get("means") or {}
    asked = {n for name in metrics for n in (name, f"mean {name}")}
    means = {
        name: mean_over_prompts(results, name) if name in asked else old.get(name)
        for name in dict.fromkeys([*names(results), *old])
    }
    known = {name: cell for name, cell in means.items() if cell is not None}
    changed: dict[str, Any] = plain({**summary, "means": known})
    return changed


def names(results: Sequence[Result]) -> list[str]:
    """The numbers that the results have, the reward first."""
    return list(dict.fromkeys(name for result in results for name in numbers(result)))


def costs(results: Sequence[Result], times: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Network and reward calls, seconds and memory; seconds are those of all workers together."""
    nfe = sum(result["nfe"] for result in results)
    reward_calls = sum(result["reward_calls"] for result in results)
    stages: dict[str, float] = {}
    for each in times:
        for stage, seconds in (each.get("seconds_by_stage") or {}).items():
            stages[stage] = stages.get(stage, 0.0) + seconds
    seconds = sum(each.get("seconds", 0.0) for each in times)
    return {
        "nfe": nfe,
        "nfe_per_picture": nfe / len(results),
        "reward_calls": reward_calls,
        "reward_calls_per_picture": reward_calls / len(results),
        "seconds": seconds,
        "seconds_per_picture": seconds / len(results),
        "seconds_by_stage": stages,
        "peak_memory_bytes": max((each.get("peak_memory_bytes", 0) for each in times), default=0),
        "devices": sorted({str(each["device"]) for each in times if "device" in each}),
        "dtypes": sorted({str(each["dtype"]) for each in times if "dtype" in each}),
    }


def judged_scores(answer: Answer) -> dict[str, Any]:
    """The benchmark's own scores, each with its 95 % bootstrap interval over prompts.

    A score that is a mean of others (GenEval's of its tasks) is drawn within each of them. Where a
    score is 0 on all prompts, or 1, it is taken for a share.
    """
    per_prompt = answer["per_prompt"]
    scores = {}
    for name, value in answer["scores"].items():
        members = answer["groups"].get(name, [])
        interval = None
        if members and all(member in per_prompt for member in members):
            known = [per_prompt[member] for member in members if per_prompt[member]]
            interval = share_interval(known)
        elif name in per_prompt:
            interval = share_interval([per_prompt[name]])
        prompts = sum(len(per_prompt.get(member, [])) for member in members or [name])
        scores[name] = {"mean": value, "interval95": interval, "prompts": prompts or None}
    return scores


def main_score(answer: Answer, means: Mapping[str, Any]) -> float | None:
    """What a sweeper may maximise: the mean of all tasks, the first score, or the mean reward."""
    named = [*answer["groups"], *answer["scores"]]
    if named:
        return float(answer["scores"][named[0]])
    return next((float(cell["mean"]) for cell in means.values()), None)


def summary_of(
    settings: Settings,
    answer: Answer | None,
    results: Sequence[Result],
    times: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """What summary.json holds; but for seconds, memory and devices the same for every run.

    ``answer`` is what the benchmark says of the results; without one the score is the mean of the
    prompts' best rewards.
    """
    averages = {name: mean_over_prompts(results, name) for name in names(results)}
    judged = {} if answer is None else judged_scores(answer)
    for name in ("correct", *judged) if judged else ():
        averages.pop(name, None)  # the scores say it
    means = {name: cell for name, cell in averages.items() if cell is not None}
    if answer is None:
        best = means.get("best reward")
        score = None if best is None else float(best["mean"])
    else:
        score = main_score(answer, means)
    nfe = sum(result["nfe"] for result in results)
    return {
        "command": "sample" if settings.benchmark is None else "eval",
        "benchmark": None if settings.benchmark is None else settings.benchmark.title,
        "score": score,
        "scores": judged,
        "means": means,
        "prompts": len({result["prompt_index"] for result in results}),
        "pictures": len(results),
        "particles": settings.root.particles,
        "lineages": sum(result["lineages"] for result in results) / len(results),
        "nfe_per_particle": nfe / (len(results) * settings.root.particles),
        **costs(results, times),
    }


def table(summary: Mapping[str, Any]) -> str:
    """The answer as aligned plain text; of a study, its numbers."""
    rows: list[tuple[str, ...]] = []
    for group in ("scores", "means"):
        for name, cell in (summary.get(group) or {}).items():
            prompts = "" if cell["prompts"] is None else str(cell["prompts"])
            rows.append((name, *_cells(cell["mean"], cell["interval95"]), prompts))
    for key, name in (
        ("nfe_per_picture", "NFE a picture"),
        ("reward_calls_per_picture", "reward calls a picture"),
        ("seconds_per_picture", "seconds a picture"),
    ):
        if summary.get(key) is not None:
            rows.append((name, f"{summary[key]:.4g}"))
    if summary.get("peak_memory_bytes"):
        rows.append(("peak memory, MiB", f"{summary['peak_memory_bytes'] / 2**20:.0f}"))
    head = (str(summary.get("benchmark", "")), "mean", "95 % interval", "prompts")
    return text_table(head, rows)


def _cells(mean: float, interval: Sequence[float] | None) -> tuple[str, str]:
    shown = "" if interval is None else f"[{interval[0]:.4g}, {interval[1]:.4g}]"
    return f"{mean:.4g}", shown
