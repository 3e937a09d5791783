"""Runs in the order of one quantity, those that cannot be told apart at the same rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from glass_cli.common.errors import GlassError
from glass_cli.output.progress import counted
from glass_cli.output.results import Result, Run
from glass_cli.output.tables import text_table
from glass_cli.report import tables
from glass_cli.report.comparison import (
    Comparison,
    choose,
    compare,
    difference_over,
    paired,
    unlike,
)
from glass_cli.report.quantities import Estimate, Quantity, quantities
from glass_cli.report.run_groups import Key, RunGroup, group_seeds

NOTE = (
    "rank: 1 and one for each run that is better by a paired 95 % interval above 0;"
    " = shares its rank"
)

_QUICK = 40  # pairs, beyond which it is shown how many are left


@dataclass(frozen=True)
class Ranking:
    """Runs from the first to the last.

    comparison: of the runs in this order, differences from the first.
    ranks: of each run, 1 and up; None where it has no value.
    warnings: a line each.
    """

    comparison: Comparison
    ranks: tuple[int | None, ...]
    warnings: tuple[str, ...]


def rank(runs: Sequence[Run], key: str, names: Sequence[str] = ()) -> Ranking:
    """Ranks runs by a quantity, the highest first, on the prompts and seeds that all have.

    names: a label for each run, or group of seeds; by default what differs between them.

    A run's rank is 1 plus the number of runs whose paired difference from it has a 95 % bootstrap
    interval above 0 (each pair by itself, not corrected for how many there are): runs that share a
    rank are not told apart. A run that has no prompt and seed in common with the others is left
    out, with a warning.

    Raises GlassError for an unknown quantity, or where it is of several kinds.
    """
    groups = group_seeds(runs, names)
    kept, warnings = _with_common_prompts(groups)
    ranked = [run for group in kept for run in group.runs]
    if len(kept) < len(groups) and not names:
        kept = group_seeds(ranked)  # called by what differs between these
    (quantity,) = choose(quantities(ranked), [key])
    if quantity.scale in (kinds := unlike(ranked)):
        raise GlassError(kinds[quantity.scale])
    by_key, common = paired(kept)
    ranks = _ranks(by_key, common, quantity)
    comparison = compare(kept, 0, [key])
    values = [cell.value for cell in comparison.cells[key]]
    order = sorted(range(len(kept)), key=lambda i: (_last_if_none(ranks[i]), -_mean(values[i])))
    if order[0]:
        comparison = compare([kept[i] for i in order], 0, [key])
    warnings += comparison.warnings
    return Ranking(comparison, tuple(ranks[i] for i in order), tuple(warnings))


def _with_common_prompts(groups: Sequence[RunGroup]) -> tuple[list[RunGroup], list[str]]:
    """The groups, the largest first taken, that have prompts and seeds in common."""
    kept: list[RunGroup] = []
    for group in sorted(groups, key=lambda group: -len(group.results)):
        if paired([*kept, group])[1]:
            kept.append(group)
    warnings = [
        f"{group.label} has no prompt and seed in common with the others: it is not ranked"
        for group in groups
        if group not in kept
    ]
    return [group for group in groups if group in kept], warnings


def _ranks(
    by_key: Sequence[Mapping[Key, Result]], common: Sequence[Key], quantity: Quantity
) -> list[int | None]:
    better = [0] * len(by_key)  # how many runs are better than each
    pairs = [(i, j) for i in range(len(by_key)) for j in range(i)]
    for i, j in counted(pairs, "pair") if len(pairs) > _QUICK else pairs:
        difference = difference_over(by_key[i], by_key[j], common, quantity)
        if difference is None or difference.interval is None:
            continue
        low, high = difference.interval
        better[j] += low > 0
        better[i] += high < 0
    known = [any(quantity.of(table[key]) is not None for key in common) for table in by_key]
    return [1 + n if has else None for n, has in zip(better, known, strict=True)]


def _last_if_none(number: int | None) -> float:
    return float("inf") if number is None else number


def _mean(value: Estimate | None) -> float:
    return float("-inf") if value is None else value.mean


def ranking_table(ranking: Ranking, title: str) -> str:
    """The ranking for the terminal, under the title of its benchmark."""
    comparison = ranking.comparison
    (quantity,) = comparison.quantities
    cells = comparison.cells[quantity.key]
    places = tables.digits(e for cell in cells for e in (cell.value, cell.difference))
    rows = []
    for i, (label, cell) in enumerate(zip(comparison.labels, cells, strict=True)):
        number = ranking.ranks[i]
        shown = "-" if number is None else str(number)
        tie = "=" if number is not None and ranking.ranks.count(number) > 1 else " "
        row = [f"{shown:>2} {tie} {label}", *tables.cost_cells(comparison.costs[i])]
        row.append(tables.estimate_text(cell.value, places))
        if i:
            row.append(tables.estimate_text(cell.difference, places, True))
        rows.append(row)
    head = ["rank", *tables.COSTS, quantity.label.strip(), *["less the first"] * (len(rows) > 1)]
    return "\n".join([f"{title}: {tables.basis(comparison)}", "", text_table(head, rows)])
