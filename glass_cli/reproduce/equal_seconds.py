"""Methods beside best-of-N of the same seconds: reward calls cost time as network calls do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from glass_cli.report.comparison import paired
from glass_cli.report.quantities import Estimate, Prompt, estimate, mean, quantities
from glass_cli.report.run_groups import RunGroup
from glass_cli.reproduce.measured import CORRECT, Measured, shares_right
from glass_cli.reproduce.plan import method_of


def seconds(group: RunGroup) -> float | None:
    """Mean seconds a picture; None where not recorded."""
    known = [result.seconds for result in group.results if result.seconds is not None]
    return mean(known) if known and len(known) == len(group.results) else None


def best_of_n(measured: Measured, benchmark: str) -> list[tuple[float, RunGroup]]:
    """Best-of-N's rows of any budget with their seconds a picture, which rise, as do right answers:
    without those that took as long as a better one or longer."""
    groups = {
        name: group
        for (name, at), group in measured.rows.items()
        if at == benchmark and method_of(name) == "best_of_n"
    }
    timed = {name: took for name, group in groups.items() if (took := seconds(group))}
    right = shares_right({name: groups[name] for name in timed})
    found: list[tuple[float, RunGroup]] = []
    highest = -math.inf
    for name in sorted(right, key=lambda name: (timed[name], -right[name])):
        if right[name] > highest:
            highest = right[name]
            found.append((timed[name], groups[name]))
    return found


def at_equal_seconds(
    group: RunGroup, bases: Sequence[tuple[float, RunGroup]], key: str = CORRECT
) -> Estimate | None:
    """A quantity of ``group``, less that of best-of-N of the same seconds, paired.

    bases: see :func:`best_of_n`. Between two of them what best-of-N reaches is taken to rise
        evenly with the logarithm of its seconds.

    None where ``group`` took less than the first of them or more than the last, or lacks the
    quantity.
    """
    took = seconds(group)
    sides = [
        (low, high)
        for low, high in pairwise(bases)
        if took is not None and low[0] <= took <= high[0]
    ]
    if took is None or not sides:
        return None
    (less, low), (more, high) = sides[0]
    share = math.log(took / less) / math.log(more / less)
    quantity = next((q for q in quantities(group.runs) if q.key == key), None)
    (own, a, b), common = paired([group, low, high])
    if quantity is None:
        return None
    values: dict[Prompt, list[float]] = {}
    for each in common:
        value, below, above = (quantity.of(table[each]) for table in (own, a, b))
        if value is not None and below is not None and above is not None:
            base = (1.0 - share) * below + share * above
            values.setdefault((each[0], own[each].task), []).append(value - base)
    means = {prompt: mean(several) for prompt, several in values.items()}
    return estimate(means, quantity.by_task)
