"""The table that ends a sweep: a row for what varies, a column for each number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from glass_cli.common.errors import GlassError
from glass_cli.output.results import Result, Run
from glass_cli.output.tables import fit, text_table
from glass_cli.report import tables
from glass_cli.report.comparison import paired, unlike
from glass_cli.report.quantities import (
    Estimate,
    Quantity,
    estimate_of,
    estimate_of_one,
    quantities,
    values_of,
)
from glass_cli.report.run_groups import RunGroup, group_seeds, readable_runs

_LABEL_WIDTH = 60


def sweep_table(folder: Path) -> str | None:
    """Means and 95 % intervals of the finished jobs in ``folder``, seeds together.

    None where fewer than two are finished: one job has said its own numbers. Jobs that are not
    finished, or are studies, have no row. Numbers are each job's own, of all its prompts.
    """
    runs, _ = readable_runs([folder])
    if len(runs) < 2:
        return None
    try:
        groups = group_seeds(runs)
    except GlassError:  # nothing that has been drawn is lost by a table that cannot be
        return None
    shown = [q for q in quantities(runs) if _in_table(q, runs)]
    columns = [_column(groups, quantity) for quantity in shown]
    head = ["", "NFE", *(quantity.label for quantity in shown)]
    rows = [
        [fit(group.label, _LABEL_WIDTH), _calls(group), *cells]
        for group, *cells in zip(groups, *columns, strict=True)
    ]
    prompts = sorted({len({result.prompt for result in group.results}) for group in groups})
    count = " to ".join(str(n) for n in dict.fromkeys((prompts[0], prompts[-1])))
    results = max(len(group.results) for group in groups)
    notes = [f"{count} prompt{'s' * (prompts[-1] != 1)}; {tables.over(prompts[-1], results)}"]
    notes += unlike(runs).values()
    if len(groups) > 1 and paired(groups)[1]:
        notes.append(f"paired differences: glass compare {folder}")
    return "\n".join(["", text_table(head, rows), "", *notes])


def _in_table(quantity: Quantity, runs: Sequence[Run]) -> bool:
    """Whether a quantity is a column: the judge's scores of all tasks, rewards and metrics.

    The reward of the answer is left out where it is the best particle's in every result.
    """
    kind, _, name = quantity.key.partition(".")
    if kind == "judged":
        return any(name in run.scores for run in runs)
    if quantity.key == "answer":
        return any(r.reward not in (None, r.best_reward) for run in runs for r in run.results)
    return not (kind == "correct" and name) and kind not in ("one_correct", "lineages")


def _column(groups: Sequence[RunGroup], quantity: Quantity) -> list[str]:
    estimates = [_estimate(group.results, quantity) for group in groups]
    places = tables.digits(estimates)
    return [tables.estimate_text(estimate, places) for estimate in estimates]


def _estimate(results: Sequence[Result], quantity: Quantity) -> Estimate | None:
    if len({result.prompt for result in results}) > 1:
        return estimate_of(results, quantity)
    values = values_of(results, quantity).values()
    return estimate_of_one([value for own in values for value in own], quantity)


def _calls(group: RunGroup) -> str:
    known = [result.nfe for result in group.results if result.nfe is not None]
    return tables.number(sum(known) / len(known) if known else None, 0)
