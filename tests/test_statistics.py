"""Bootstrap intervals: against the normal one, which they approach, and for what has no spread."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from glass_cli.common.statistics import bootstrap_interval, statistic_intervals, stratified_interval

# The 2.5 % quantile of 10,000 draws has a standard error of sqrt(.025 * .975 / 10^4) / f,
# f = 0.058 per sigma: 0.027 sigma = 0.014 half widths. Two independent ones, 4 sigma: 0.08.
CLOSE = 0.08


def test_interval_of_many_normal_values() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    low, high = bootstrap_interval(values.tolist()) or (0.0, 0.0)
    half = 1.96 * values.std() / math.sqrt(400)
    assert low == pytest.approx(values.mean() - half, abs=CLOSE * half)
    assert high == pytest.approx(values.mean() + half, abs=CLOSE * half)


def test_interval_of_skewed_values_is_not_symmetric() -> None:
    """Of the exponential law, exactly: 2 n mean / mu has a chi-squared law of 2 n degrees."""
    n = 30
    values = -np.log(1.0 - (np.arange(n) + 0.5) / n)
    low, high = bootstrap_interval(values.tolist()) or (0.0, 0.0)
    mean = values.mean()
    exact = 2 * n * mean / stats.chi2.ppf(0.975, 2 * n), 2 * n * mean / stats.chi2.ppf(0.025, 2 * n)
    # to second order in 1 / sqrt(n): what BCa corrects and the percentiles do not
    assert (high - mean) / (mean - low) == pytest.approx(
        (exact[1] - mean) / (mean - exact[0]), rel=0.15
    )
    assert (high - mean) / (mean - low) > 1.25


def test_too_few_values_have_none() -> None:
    assert bootstrap_interval([]) is None
    assert bootstrap_interval([1.0]) is None
    assert bootstrap_interval([2.0, 2.0]) == (2.0, 2.0)
    assert bootstrap_interval([0.0] * 100) == (0.0, 0.0)


def test_the_same_values_have_the_same_interval() -> None:
    values = [0.1, 0.5, 0.7, 2.0, 2.5]
    assert bootstrap_interval(values) == bootstrap_interval(values)


def test_groups_are_drawn_within() -> None:
    """Groups of one value are constants; what differs between groups does not count."""
    values = np.random.default_rng(2).normal(0.0, 1.0, 50)
    (low, high) = bootstrap_interval(values.tolist()) or (0.0, 0.0)
    found = stratified_interval([values.tolist(), [100.0], [-40.0]])
    assert found == pytest.approx(((low + 60.0) / 3, (high + 60.0) / 3))
    assert stratified_interval([[1.0], [2.0]]) is None
    assert stratified_interval([]) is None


def test_any_statistic() -> None:
    """The interval of a mean among others, one constant, and one that nobody knows."""
    rng = np.random.default_rng(3)
    rows = [(x, 7.0, math.nan) for x in rng.normal(0.0, 1.0, 40)]

    def means(some: Sequence[tuple[float, float, float]]) -> np.ndarray:
        return np.mean(some, 0)

    mean, constant, unknown = statistic_intervals(rows, means, draws=10_000)
    half = 1.96 / math.sqrt(40)
    assert mean == pytest.approx(bootstrap_interval([x for x, _, _ in rows]), abs=CLOSE * half)
    assert constant == (7.0, 7.0) and unknown is None
    assert statistic_intervals(rows[:1], means) == [None, None, None]


def test_draws_that_lack_the_number_do_not_count() -> None:
    """The correlation of three pairs is not known where one is drawn three times."""
    pairs = [(0.0, 0.0), (1.0, 2.0), (3.0, 1.0)]

    def correlation(some: Sequence[tuple[float, float]]) -> list[float]:
        xs, ys = np.transpose(some)
        return [float(np.corrcoef(xs, ys)[0, 1]) if np.ptp(xs) > 0 else math.nan]

    ((low, high),) = statistic_intervals(pairs, correlation)  # type: ignore[misc]  # not None
    assert -1.0 - 1e-9 <= low < high <= 1.0 + 1e-9
