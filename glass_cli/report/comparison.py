"""Several runs on the same prompts and seeds: means, and paired differences with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glass_cli.common.errors import GlassError, near
from glass_cli.report.quantities import Estimate, Quantity, estimate, quantities
from glass_cli.output.results import Result, Run

# Splits of a budget such as 7 x 57 for 400 differ by less than this share.
ROUNDING = 0.01

Key = tuple[str, int, int]
"""Prompt, seed, and which of the results with both: benchmarks may list a prompt twice."""


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
    """``cells[quantity key][run]`` and ``costs[run]``, runs counted as in ``labels``.

    ``pairs`` counts the prompts and seeds that all runs have, ``prompts`` the prompts among them.
    """

    labels: tuple[str, ...]
    folders: tuple[Path, ...]
    against: int
    quantities: tuple[Quantity, ...]
    cells: Mapping[str, tuple[Cell, ...]]
    costs: tuple[Cost, ...]
    prompts: int
    pairs: int
    warnings: tuple[str, ...]


def keyed(run: Run) -> dict[Key, Result]:
    """The results of ``run`` by what is paired."""
    found: dict[Key, Result] = {}
    for result in run.results:
        copy = 0
        while (key := (result.prompt, result.seed, copy)) in found:
            copy += 1
        found[key] = result
    return found


def paired(runs: Sequence[Run]) -> tuple[list[dict[Key, Result]], list[Key]]:
    """Each run's results by key, and the keys that all runs have, in the first one's order."""
    tables = [keyed(run) for run in runs]
    return tables, [key for key in tables[0] if all(key in table for table in tables)]


def compare(
    runs: Sequence[Run],
    labels: Sequence[str],
    against: int = 0,
    show: Sequence[str] | None = None,
) -> Comparison:
    """Compares ``runs`` with ``runs[against]`` on the prompts and seeds that all of them have.

    ``show`` keeps these quantities only (their keys). A quantity that a result lacks leaves that
    result out of its mean, and out of the difference where either side lacks it. Raises GlassError
    where no prompt and seed is common to all, or for an unknown quantity.
    """
    tables, common = paired(runs)
    if not common:
        raise GlassError(
            "the runs have no prompt with the same seed in common; compare runs of the same"
            " prompts and seed"
        )
    chosen, warnings = _chosen(quantities(runs), show), []
    for scale, line in _unlike(runs).items():
        kept = [q for q in chosen if q.scale != scale]
        if len(kept) < len(chosen):
            warnings.append(line)
        chosen = kept
    if not chosen:
        raise GlassError(f"{'; '.join(warnings)}, and nothing else is there to compare")
    cells = {
        q.key: tuple(_cell(table, tables[against], common, q, i == against)
                     for i, table in enumerate(tables))
        for q in chosen
    }  # fmt: skip
    costs = tuple(_cost([table[key] for key in common]) for table in tables)
    warnings += _unpaired(tables, common, labels)
    warnings += _unequal(costs, labels, against)
    warnings += _lacking(tables, common, chosen, labels)
    return Comparison(
        tuple(labels),
        tuple(run.folder for run in runs),
        against,
        tuple(chosen),
        cells,
        costs,
        len({prompt for prompt, _, _ in common}),
        len(common),
        tuple(warnings),
    )


def names(folders: Sequence[Path]) -> list[str]:
    """Folder names that tell the runs apart, with as many parents as that takes."""
    paths = [folder.resolve() for folder in folders]
    longest = max(len(path.parts) for path in paths)
    for depth in range(1, longest + 1):
        found = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(found)) == len(set(paths)):
            break
    return found


def _chosen(known: Sequence[Quantity], show: Sequence[str] | None) -> list[Quantity]:
    if show is None:
        return list(known)
    table = {q.key: q for q in known}
    for key in show:
        if key not in table:
            raise GlassError(
                f"the runs have no {key}{near(key, table)} (known: {', '.join(table)})"
            )
    return [table[key] for key in show]


def _cell(
    table: Mapping[Key, Result],
    base: Mapping[Key, Result],
    common: Sequence[Key],
    quantity: Quantity,
    is_base: bool,
) -> Cell:
    mine: dict[tuple[str, str | None], list[float]] = {}
    both: dict[tuple[str, str | None], list[tuple[float, float]]] = {}
    for key in common:
        value, other = quantity.of(table[key]), quantity.of(base[key])
        # The task is the prompt's; a run that was not judged may not know it.
        group = (key[0], table[key].task or base[key].task)
        if value is not None:
            mine.setdefault(group, []).append(value)
            if other is not None:
                both.setdefault(group, []).append((value, other))
    values = {group: quantity.pool(found) for group, found in mine.items()}
    differences = {
        group: quantity.pool([a for a, _ in pairs]) - quantity.pool([b for _, b in pairs])
        for group, pairs in both.items()
    }
    return Cell(
        estimate(values, quantity.by_task),
        None if is_base else estimate(differences, quantity.by_task),
    )


def _cost(results: Sequence[Result]) -> Cost:
    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if len(known) == len(values) else None

    return Cost(
        mean([r.nfe for r in results]),
        mean([r.reward_calls for r in results]),
        mean([r.seconds for r in results]),
    )


def _unlike(runs: Sequence[Run]) -> dict[str, str]:
    """The scales that the runs do not share, and why, in a line."""
    found = {}
    if len({repr(_scale(run.config.get("reward"))) for run in runs}) > 1:
        named = ", ".join(dict.fromkeys(run.choice("reward") or "none" for run in runs))
        found["reward"] = (
            f"the runs' rewards differ in kind or settings ({named}): rewards are not compared"
        )
    judges = dict.fromkeys(str(run.summary.get("benchmark")) for run in runs if run.kind == "eval")
    if len(judges) > 1:
        found["judge"] = f"the runs' judges differ ({', '.join(judges)}): they are not compared"
    return found


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
