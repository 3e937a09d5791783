"""Bootstrap intervals, bias-corrected and accelerated (BCa; Efron 1987), of what prompts say.

scipy draws them; it is imported at the first interval. Drawn with a fixed seed: the same values
have the same interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Interval = tuple[float, float]
Numbers = NDArray[np.float64]

LEVEL = 0.95
# Numbers drawn at a time: with few prompts and with many, a few megabytes.
_AT_A_TIME = 250_000


def bootstrap_interval(
    values: Sequence[float], level: float = LEVEL, draws: int = 10_000
) -> Interval | None:
    """Interval of the mean of ``values``; None for fewer than two."""
    return stratified_interval([values], level, draws)


def stratified_interval(
    groups: Sequence[Sequence[float]], level: float = LEVEL, draws: int = 10_000
) -> Interval | None:
    """Interval of the mean of the groups' means, drawn within each group.

    The prompts of a benchmark's tasks are such groups. None where no group has two values.
    """
    drawn = [np.asarray(group, dtype=np.float64) for group in groups if len(group) > 1]
    if not drawn:
        return None
    alone = sum(float(group[0]) for group in groups if len(group) == 1)

    def mean(*samples: Numbers, axis: int) -> Numbers:
        total: Numbers = alone + sum(sample.mean(axis) for sample in samples)
        return total / len(groups)

    (interval,) = _intervals(drawn, mean, level, draws, vectorized=True)
    return interval


def share_interval(
    groups: Sequence[Sequence[float]], whole: float = 1.0, level: float = LEVEL
) -> Interval | None:
    """As :func:`stratified_interval`, of shares from 0 to ``whole``.

    Where all values are 0, or all ``whole``, no draw differs from another, and the interval would
    have no width whatever their number. There the other end is the exact one of Clopper and
    Pearson (1934); of several groups, as if each had as many values as the smallest, which is
    never too narrow.
    """
    interval = stratified_interval(groups, level)
    values = {value for group in groups for value in group}
    if interval is None or values not in ({0.0}, {whole}):
        return interval
    count = len(groups) * min(map(len, groups))
    bound = ((1.0 - level) / 2.0) ** (1.0 / count)
    return (0.0, whole * (1.0 - bound)) if values == {0.0} else (whole * bound, whole)


def statistic_intervals(
    items: Sequence[T],
    statistic: Callable[[Sequence[T]], Sequence[float] | Numbers],
    level: float = LEVEL,
    draws: int = 2_000,
) -> list[Interval | None]:
    """Intervals of the numbers that ``statistic`` gives of ``items``, which are drawn anew.

    statistic: numbers of a fixed count; NaN where one is not known. A draw that lacks a number does
        not count for that number.

    All None for fewer than two items, and None for a number that no draw knows.
    """
    if len(items) < 2:
        return [None] * len(np.atleast_1d(statistic(items)))

    def of(picks: NDArray[np.int64]) -> Numbers:
        return np.asarray(statistic([items[i] for i in picks]), dtype=np.float64)

    return _intervals([np.arange(len(items))], of, level, draws, vectorized=False)


def _intervals(
    samples: Sequence[NDArray[Any]],
    statistic: Callable[..., Numbers],
    level: float,
    draws: int,
    vectorized: bool,
) -> list[Interval | None]:
    import warnings

    from scipy.stats import bootstrap

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of samples without spread, see below
        result = bootstrap(
            samples,
            statistic,
            n_resamples=draws,
            batch=max(1, _AT_A_TIME // sum(map(len, samples))),
            vectorized=vectorized,
            confidence_level=level,
            method="BCa",
            rng=np.random.default_rng(0),
        )
    low, high = (np.atleast_1d(end) for end in result.confidence_interval)
    again = np.atleast_2d(result.bootstrap_distribution)
    return [_known(*row, level) for row in zip(low, high, again, strict=True)]


def _known(low: float, high: float, again: Numbers, level: float) -> Interval | None:
    """The interval, or where BCa has none (all draws equal, or some unknown) the draws' own."""
    if not (np.isfinite(low) and np.isfinite(high)):
        again = again[~np.isnan(again)]
        if not len(again):
            return None
        low, high = np.quantile(again, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
