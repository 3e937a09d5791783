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
