"""Bootstrap intervals: against the normal one, which they approach, and for what has no spread."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from invented_results import group
from scipy import stats

from glass_cli.common.statistics import (
    bootstrap_interval,
    share_interval,
    statistic_intervals,
    stratified_interval,
)
from glass_cli.engine.summary import judged_scores
from glass_cli.report.comparison import compare
from glass_cli.report.quantities import Estimate, estimate_of, quantities

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


@pytest.mark.parametrize("count", [2, 6, 200])
@pytest.mark.parametrize(("value", "whole"), [(1.0, 1.0), (0.0, 1.0), (100.0, 100.0)])
def test_shares_without_spread_have_the_exact_interval(
    count: int, value: float, whole: float
) -> None:
    """Of Clopper and Pearson, by scipy; in groups never narrower than of all values together."""
    right = round(value / whole) * count
    exact = stats.binomtest(right, count).proportion_ci(0.95, "exact")
    found = share_interval([[value] * count], whole)
    assert found == pytest.approx((whole * exact.low, whole * exact.high))
    halves = share_interval([[value] * count, [value] * count], whole)
    twice = stats.binomtest(2 * right, 2 * count).proportion_ci(0.95, "exact")
    assert halves == pytest.approx((whole * twice.low, whole * twice.high))
    uneven = share_interval([[value] * count, [value] * (3 * count)], whole)
    assert uneven == pytest.approx(halves)


def test_other_shares_are_drawn_anew() -> None:
    """And a difference that is 0 everywhere is no share: nothing speaks for its being above."""
    mixed = [[1.0, 0.0, 1.0, 1.0], [1.0, 1.0]]
    assert share_interval(mixed) == stratified_interval(mixed)
    assert share_interval([[1.0]]) is None
    assert share_interval([[100.0, 100.0]], 1.0) == (100.0, 100.0)
    assert stratified_interval([[0.0] * 9]) == (0.0, 0.0)


def test_all_right_is_not_known_to_be_all() -> None:
    """In a table of runs; their difference stays 0."""
    runs = [group(name, "compose", (1.0, 50, 0.0), (0,)) for name in ("a", "b")]
    (correct,) = [q for q in quantities([each.runs[0] for each in runs]) if q.key == "correct"]
    found = estimate_of(runs[0].results, correct)
    exact = stats.binomtest(150, 150).proportion_ci(0.95, "exact")
    assert found is not None and found.mean == 100.0
    assert found.interval == pytest.approx((100.0 * exact.low, 100.0))
    cells = compare(runs, 0, ["correct"]).cells["correct"]
    assert [cell.value for cell in cells] == [found, found]
    assert cells[1].difference == Estimate(0.0, (0.0, 0.0), 150)
    scores = judged_scores({"scores": {"one": 1.0}, "per_prompt": {"one": [1.0] * 6}, "groups": {}})
    low, high = scores["one"]["interval95"]
    assert 0.5 < low < 0.6 and high == 1.0
