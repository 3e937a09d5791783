"""Several runs on the same prompts and seeds: means, and paired differences with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glass_cli.common.errors import GlassError, near
from glass_cli.output.results import Result, Run
from glass_cli.report.labels import choice_name
from glass_cli.report.quantities import (
    Estimate,
    Prompt,
    Quantity,
    estimate,
    estimate_of_one,
    quantities,
)
from glass_cli.report.run_groups import Key, RunGroup, by_key

# Splits of a budget such as 7 x 57 for 400 differ by less than this share.
ROUNDING = 0.01


@dataclass(frozen=True)
class Cell:
    """One quantity of one run; ``difference`` is None for the run that the others stand against."""

    value: Estimate | None
    difference: Estimate | None


@dataclass(frozen=True)
class Cost:
    """Means a result, over the common prompts and seeds; None where not recorded."""

    nfe: float | None
    reward_calls: float | None
    seconds: float | None


@dataclass(frozen=True)
class Comparison:
    """Several runs in numbers, each possibly of several seeds.

    runs: what is compared, in the order of the table.
    against: the index of the run from which differences are taken.
    cells: quantity's key -> a cell for each run.
    costs: one for each run.
    prompts, pairs: how many prompts, and prompts with their seeds, all runs have.
    warnings: a line each.
    """

    runs: tuple[RunGroup, ...]
    against: int
    quantities: tuple[Quantity, ...]
    cells: Mapping[str, tuple[Cell, ...]]
    costs: tuple[Cost, ...]
    prompts: int
    pairs: int
    warnings: tuple[str, ...]

    @property
    def labels(self) -> list[str]:
        return [run.label for run in self.runs]


def paired(runs: Sequence[RunGroup]) -> tuple[list[dict[Key, Result]], list[Key]]:
    """Each run's results by key, and the keys that all runs have, in the first one's order."""
    tables = [by_key(run.results, lambda result: result.seed) for run in runs]
    return tables, [key for key in tables[0] if all(key in table for table in tables)]


def compare(
    runs: Sequence[RunGroup], against: int = 0, show: Sequence[str] | None = None
) -> Comparison:
    """Compares ``runs`` with ``runs[against]`` on the prompts and seeds that all of them have.

    show: the keys of the quantities to be compared; all by default.

    A quantity that a result lacks leaves that result out of its mean, and out of the difference
    where either side lacks it. Raises GlassError where no prompt and seed is common to all, or for
    an unknown quantity.
    """
    tables, common = paired(runs)
    if not common:
        raise GlassError(
            "the runs have no prompt with the same seed in common; compare runs of the same"
            " prompts and seed"
        )
    every_run = [run for group in runs for run in group.runs]
    chosen, warnings = choose(quantities(every_run), show), []
    for scale, line in unlike(every_run).items():
        kept = [q for q in chosen if q.scale != scale]
        if len(kept) < len(chosen):
            warnings.append(line)
        chosen = kept
    if not chosen:
        raise GlassError(f"{'; '.join(warnings)}, and nothing else is there to compare")
    cells = {
        q.key: tuple(
            Cell(
                value_over(table, common, q),
                None if i == against else difference_over(table, tables[against], common, q),
            )
            for i, table in enumerate(tables)
        )
        for q in chosen
    }
    costs = tuple(_cost([table[key] for key in common]) for table in tables)
    names = [run.label for run in runs]
    warnings += _unpaired(tables, common, names)
    warnings += _unequal(costs, names, against)
    warnings += _lacking(tables, common, chosen, names)
    return Comparison(
        tuple(runs),
        against,
        tuple(chosen),
        cells,
        costs,
        len({prompt for prompt, _, _ in common}),
        len(common),
        tuple(warnings),
    )


def choose(known: Sequence[Quantity], show: Sequence[str] | None) -> list[Quantity]:
    """The quantities of these keys, all where there are none. Raises GlassError."""
    if show is None:
        return list(known)
    table = {q.key: q for q in known}
    for key in show:
        if key not in table:
            raise GlassError(
                f"the runs have no {key}{near(key, table)} (known: {', '.join(table)})"
            )
    return [table[key] for key in show]


def is_one_prompt(common: Sequence[Key]) -> bool:
    """Whether all results are of a single prompt."""
    return len({prompt for prompt, _, _ in common}) == 1


def value_over(
    table: Mapping[Key, Result], common: Sequence[Key], quantity: Quantity
) -> Estimate | None:
    """The mean of a run over the ``common`` prompts and seeds; None where it has no value.

    Where there is one prompt alone, the interval is over its seeds.
    """
    own: dict[Prompt, list[float]] = {}
    for key in common:
        value = quantity.of(table[key])
        if value is not None:
            own.setdefault((key[0], table[key].task), []).append(value)
    if is_one_prompt(common):
        return estimate_of_one([value for values in own.values() for value in values], quantity)
    values = {prompt: quantity.pool(numbers) for prompt, numbers in own.items()}
    return estimate(values, quantity.by_task, quantity.whole)


def difference_over(
    table: Mapping[Key, Result],
    base: Mapping[Key, Result],
    common: Sequence[Key],
    quantity: Quantity,
) -> Estimate | None:
    """The mean of a run less that of another, paired; None where they share no value.

    Where there is one prompt alone, the interval is over its seeds.
    """
    both: dict[Prompt, list[tuple[float, float]]] = {}
    for key in common:
        value, other = quantity.of(table[key]), quantity.of(base[key])
        if value is not None and other is not None:
            # The task is the prompt's; a run that was not judged may not know it.
            prompt = (key[0], table[key].task or base[key].task)
            both.setdefault(prompt, []).append((value, other))
    if is_one_prompt(common) and quantity.averages:
        paired_values = [a - b for pairs in both.values() for a, b in pairs]
        return estimate_of_one(paired_values, quantity)
    differences = {
        prompt: quantity.pool([a for a, _ in pairs]) - quantity.pool([b for _, b in pairs])
        for prompt, pairs in both.items()
    }
    return estimate(differences, quantity.by_task)


def _cost(results: Sequence[Result]) -> Cost:
    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if len(known) == len(values) else None

    return Cost(
        mean([r.nfe for r in results]),
        mean([r.reward_calls for r in results]),
        mean([r.seconds for r in results]),
    )


def unlike(runs: Sequence[Run]) -> dict[str, str]:
    """The scales that the runs do not share, and why, in a line."""
    lines = {}
    if len({repr(_scale(run.config.get("reward"))) for run in runs}) > 1:
        named = ", ".join(dict.fromkeys(choice_name(run, "reward") or "none" for run in runs))
        lines["reward"] = (
            f"the runs' rewards differ in kind or settings ({named}): rewards are not compared"
        )
    judges = [str(run.summary.get("benchmark")) for run in runs if run.command == "eval"]
    if len(set(judges)) > 1:
        named = ", ".join(dict.fromkeys(judges))
        lines["judge"] = f"the runs' judges differ ({named}): they are not compared"
    return lines


def _scale(reward: Any) -> Any:
    """A reward's settings but those that do not move its scores."""
    if not isinstance(reward, Mapping):
        return reward
    return sorted((k, repr(v)) for k, v in reward.items() if k not in ("batch", "device"))


def _unpaired(
    tables: Sequence[Mapping[Key, Result]], common: Sequence[Key], labels: Sequence[str]
) -> list[str]:
    lines = []
    for label, table in zip(labels, tables, strict=True):
        extra = len(table) - len(common)
        if extra:
            lines.append(
                f"{extra} of the {len(table)} prompts and seeds of {label} are not in every run:"
                f" only the {len(common)} common ones are used"
            )
    return lines


def _unequal(costs: Sequence[Cost], labels: Sequence[str], against: int) -> list[str]:
    base = costs[against].nfe
    lines = []
    for label, cost in zip(labels, costs, strict=True):
        if cost.nfe is None or base is None:
            continue
        if abs(cost.nfe - base) > ROUNDING * max(cost.nfe, base):
            lines.append(
                f"network calls differ: {label} took {cost.nfe:.0f} a picture, {labels[against]}"
                f" {base:.0f}"
            )
    return lines


def _lacking(
    tables: Sequence[Mapping[Key, Result]],
    common: Sequence[Key],
    shown: Sequence[Quantity],
    labels: Sequence[str],
) -> list[str]:
    lines = []
    for quantity in shown:
        if "." in quantity.key and quantity.key.startswith("correct"):
            continue  # of one task only
        for label, table in zip(labels, tables, strict=True):
            missing = sum(quantity.of(table[key]) is None for key in common)
            if missing and missing < len(common):
                lines.append(
                    f"{label} has no {quantity.label.strip()} for {missing} of {len(common)}"
                    " prompts and seeds: these are left out"
                )
    return lines
