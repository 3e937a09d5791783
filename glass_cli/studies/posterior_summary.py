"""What ``benchmark=posterior`` says of all prompts together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glass_cli.common.statistics import bootstrap_interval, statistic_intervals
from glass_cli.output.tables import Table, two_digits
from glass_cli.studies.base import of_prompts

Pairs = Sequence[tuple[Sequence[float], Sequence[float]]]
"""Two lists of equal length for each prompt."""


def within_correlation(pairs: Pairs) -> float | None:
    """Correlation of two numbers within prompts: pooled covariance over pooled variances.

    None where one of them does not vary within any prompt.
    """
    return _correlation([_centred_products(*pair) for pair in pairs])


def correlation_cell(pairs: Pairs) -> dict[str, Any]:
    """:func:`within_correlation` and its 95 % bootstrap interval over several prompts."""
    products = [_centred_products(*pair) for pair in pairs]

    def of(drawn: Sequence[NDArray[np.float64]]) -> list[float]:
        value = _correlation(drawn)
        return [math.nan if value is None else value]

    (interval,) = statistic_intervals(products, of)
    return {"mean": _correlation(products), "interval95": interval}


def _centred_products(x: Sequence[float], y: Sequence[float]) -> NDArray[np.float64]:
    """A prompt's sums of x y, x x and y y, both about their means."""
    xs, ys = np.asarray(x) - np.mean(x), np.asarray(y) - np.mean(y)
    return np.array([(xs * ys).sum(), (xs * xs).sum(), (ys * ys).sum()])


def _correlation(products: Sequence[NDArray[np.float64]]) -> float | None:
    xy, xx, yy = np.sum(products, 0)
    scale = math.sqrt(float(xx * yy))
    return float(xy) / scale if scale > 0.0 else None


def summarise(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One time's records of all prompts (see ``posterior_rows``) put together.

    Each number is a mapping of its ``mean`` and ``interval95``.
    """

    def correlation(key: str) -> dict[str, Any]:
        return correlation_cell([(r[key], r["reference_values"]) for r in records])

    rows = []
    for i, first in enumerate(records[0]["rows"]):
        own = [record["rows"][i] for record in records]
        freed = [
            math.sqrt(max(row["w2"] ** 2 - record["floor"] ** 2, 0.0))
            for row, record in zip(own, records, strict=True)
        ]
        pairs = [
            (row["values"], record["reference_values"])
            for row, record in zip(own, records, strict=True)
        ]
        endpoint = None if first["endpoint"] is None else _mean([row["endpoint"] for row in own])
        rows.append(
            {
                "method": first["method"],
                "calls": first["calls"],
                "endpoint": endpoint,
                "w2": _mean([row["w2"] for row in own]),
                "w2_freed": _mean(freed),
                "value_correlation": correlation_cell(pairs),
            }
        )
    return {
        "t": records[0]["t"],
        "floor": _mean([record["floor"] for record in records]),
        "second_reference_correlation": correlation("second_reference_values"),
        "x_hat_correlation": correlation("x_hat_rewards"),
        "rows": rows,
    }


def _mean(values: Sequence[float]) -> dict[str, Any]:
    return {"mean": sum(values) / len(values), "interval95": bootstrap_interval(values)}


def posterior_table(summary: Mapping[str, Any], prompts: int) -> Table:
    """One time's summary as a table, a row a sampler and number of calls."""
    two = "{:.2f}".format
    methods = dict.fromkeys(row["method"] for row in summary["rows"])
    rows = [
        (
            row["method"],
            str(row["calls"]),
            _shown(row["endpoint"], two_digits),
            _shown(row["w2_freed"], two_digits),
            _shown(row["value_correlation"], two),
        )
        for method in methods
        for row in summary["rows"]
        if row["method"] == method
    ]
    again, x_hat = summary["second_reference_correlation"], summary["x_hat_correlation"]
    floor = f"floor {two_digits(summary['floor']['mean'])}"
    rows += [
        ("reference again", "", "", floor, _shown(again, two)),
        ("r(x_hat)", "1", "", "", _shown(x_hat, two)),
    ]
    return Table(
        f"p(x_1 | x_t) at t={summary['t']:.3g}, {of_prompts(prompts)}",
        ("sampler", "calls", "endpoint", "sliced W2", "value correlation"),
        rows,
        "endpoint: rms against the reference of the same noise; sliced W2: to an independent"
        " reference, freed\nof the floor in quadrature; value: mean reward of an x_t's draws,"
        " correlated within prompts with the\nreference's. 95 % bootstrap intervals over prompts.",
    )


def _shown(cell: Mapping[str, Any] | None, digits: Callable[[float], str]) -> str:
    if cell is None or cell["mean"] is None:
        return "-"
    interval = cell["interval95"]
    spread = "" if interval is None else f" [{digits(interval[0])}, {digits(interval[1])}]"
    return digits(cell["mean"]) + spread
