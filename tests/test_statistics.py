"""Bootstrap intervals against the normal one, which they approach for many values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from glass_cli.common.statistics import bootstrap_interval


def test_interval_of_many_normal_values() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    low, high = bootstrap_interval(values.tolist()) or (0.0, 0.0)
    half = 1.96 * values.std() / math.sqrt(400)
    # the quantiles of 10,000 draws have a standard error of about 2 % of the half width
    assert low == pytest.approx(values.mean() - half, abs=0.08 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.08 * half)


def test_too_few_values_have_none() -> None:
    assert bootstrap_interval([1.0]) is None
    assert bootstrap_interval([2.0, 2.0]) == (2.0, 2.0)
