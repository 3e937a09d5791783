"""Intervals for means over prompts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def bootstrap_interval(
    values: Sequence[float], level: float = 0.95, draws: int = 10_000
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of the mean (Efron 1979); None for fewer than two values."""
    if len(values) < 2:
        return None
    rng = np.random.default_rng(0)
    picks = rng.integers(len(values), size=(draws, len(values)))
    means = np.asarray(values)[picks].mean(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def stratified_interval(
    groups: Sequence[Sequence[float]], level: float = 0.95, draws: int = 10_000
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of the mean of the groups' means, drawn within each group.

    The prompts of a benchmark's tasks are such groups. None where no group has two values.
    """
    if not groups or max(map(len, groups)) < 2:
        return None
    rng = np.random.default_rng(0)
    total = np.zeros(draws)
    for group in groups:
        picks = rng.integers(len(group), size=(draws, len(group)))
        total += np.asarray(group)[picks].mean(1)
    low, high = np.quantile(total / len(groups), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
