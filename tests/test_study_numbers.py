"""Rows, summaries and plots of the studies against closed forms."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from worlds import CONDOT, MixtureFlow, planar_mixture

from glass_cli.method.distance import rms, sliced_w2
from glass_cli.method.flow import Normal
from glass_cli.method.noise import ParticleNoise, generator
from glass_cli.studies.posterior import PosteriorStudy
from glass_cli.studies.posterior_measurement import METHODS, posterior_rows
from glass_cli.studies.posterior_plot import posterior_figure
from glass_cli.studies.posterior_summary import correlation_cell, summarise, within_correlation
from glass_cli.studies.window import WindowStudy
from glass_cli.studies.window_plot import window_figure
from glass_cli.studies.window_summary import summarise as summarise_window


@pytest.mark.parametrize(
    ("kind", "settings", "line"),
    [
        (WindowStudy, {"samples": 1}, "benchmark.samples must be at least 2"),
        (WindowStudy, {"draws": 1}, "benchmark.draws must be at least 2"),
        (WindowStudy, {"first": 0.9}, "0 < first < last < 1"),
        (PosteriorStudy, {"times": (0.0,)}, "benchmark.times must be times between 0 and 1"),
        (PosteriorStudy, {"times": ()}, "benchmark.times must be times between 0 and 1"),
        (PosteriorStudy, {"calls": ()}, "benchmark.calls must be at least 1"),
        (PosteriorStudy, {"reference": 20}, "benchmark.reference must be at least 21"),
    ],
)
def test_settings_that_cannot_be(kind: Any, settings: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=line):
        kind(**settings)


def test_settings_import_nothing_heavy() -> None:
    """A command line is checked with them, before anything is loaded."""
    code = (
        "import sys, glass_cli.studies.window, glass_cli.studies.posterior;"
        "print([m for m in ('torch', 'numpy', 'scipy', 'matplotlib', 'hydra') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_posterior_plot_has_labels_and_a_legend() -> None:
    rng = np.random.default_rng(0)

    def record(t: float) -> dict[str, Any]:
        rows = [
            {
                "method": method,
                "calls": m,
                "endpoint": 0.1 if method.startswith("GLASS") else None,
                "w2": 1.0 + rng.random(),
                "values": rng.normal(size=4).tolist(),
            }
            for m in (2, 4, 8)
            for method in METHODS
        ]
        lists = ("x_hat_rewards", "reference_values", "second_reference_values")
        return {
            "t": t,
            "floor": 0.9,
            "rows": rows,
            **{name: rng.normal(size=4).tolist() for name in lists},
        }

    summaries = [summarise([record(t) for _ in range(3)]) for t in (0.2, 0.5)]
    figure = posterior_figure(summaries)
    assert len(figure.axes) == 4
    for axes in figure.axes:
        assert axes.get_xlabel() == "network calls $M$ a draw"
        assert axes.get_ylabel() and axes.get_title()
        assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "4", "8"]
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert set(METHODS) < set(texts) and len(texts) == len(METHODS) + 2
    # the bars are the table's intervals
    bars = figure.axes[0].containers[METHODS.index("GLASS 2")].lines[2][0].get_segments()
    cells = [row["w2"] for row in summaries[0]["rows"] if row["method"] == "GLASS 2"]
    for segment, cell in zip(bars, cells, strict=True):
        assert segment[:, 1] == pytest.approx(cell["interval95"])
    # the numbers of calls are exact; on the page methods stand side by side, about the tick
    figure.canvas.draw()
    for axes in figure.axes:
        lines = [container.lines[0] for container in axes.containers]
        assert all(line.get_xdata().tolist() == [2, 4, 8] for line in lines)
        x = [line.get_transform().transform(line.get_xydata())[1][0] for line in lines]
        assert np.diff(x) == pytest.approx([3.5 * figure.dpi / 72] * 3)
        assert np.mean(x) == pytest.approx(axes.transData.transform((4, 1))[0])


def test_window_plot_has_labels_and_a_legend() -> None:
    rng = np.random.default_rng(0)
    parts = []
    for _ in range(3):
        seen = rng.normal(size=(3, 8))
        # at the first time nothing is foretold
        told = np.array([0.0, 1.0, 1.0])[:, None, None]
        finals = told * seen[..., None] + rng.normal(size=(3, 8, 4))
        grid = [0.2, 0.5, 0.8]
        parts.append({"t": grid, "even": grid, "x_hat": seen, "finals": finals})
    summary = summarise_window(parts)
    figure = window_figure(summary, (0.0, 0.3, 0.6, 1.0))
    (axes,) = figure.axes
    assert axes.get_xlabel() and axes.get_ylabel() and axes.get_title()
    (legend,) = figure.legends
    texts = [text.get_text().partition(":")[0] for text in legend.get_texts()]
    names = ["still open", "agreement", "foretold"]
    assert texts == [*names, "proposed ends of transitions"]
    assert list(summary.table().head[1:]) == names
    # every number of the table, those that are noise and those below 0 too
    for line, curve in zip(axes.get_lines(), summary.curves, strict=False):
        assert line.get_ydata() == pytest.approx(curve)
    lowest = min(band[0] for bands in summary.intervals.values() for band in bands if band)
    assert lowest < -0.05 and axes.get_ylim()[0] < lowest


def _normals(shape: tuple[int, ...]) -> Any:
    def of(name: str) -> Normal:
        g = generator("test", name)
        return lambda: torch.randn(shape, generator=g, dtype=torch.float64)

    return of


def test_rows_of_a_mixture_against_its_exact_posterior() -> None:
    """The reference's draws have the exact law; errors fall with M; GLASS 2 falls fastest."""
    mixture, draws, size, t = planar_mixture(), 2000, 6, 0.4
    flow = MixtureFlow(mixture)
    g = generator("x_t")
    z = mixture.sample(
        torch.randn(size, 2, generator=g, dtype=torch.float64), torch.rand(size, generator=g)
    )
    x = t * z + (1 - t) * torch.randn(size, 2, generator=g, dtype=torch.float64)
    seen: list[Tensor] = []

    def reward(points: Tensor) -> Tensor:
        seen.append(points)
        return points[:, 0]

    record = posterior_rows(
        flow, x, t, draws, (3, 6, 12), 60, _normals((size * draws, 2)), reward, "times"
    )
    posterior = mixture.posterior(CONDOT, x.repeat_interleave(draws, 0), t)
    exact = posterior.sample(
        torch.randn(size * draws, 2, generator=g, dtype=torch.float64),
        torch.rand(size * draws, generator=g),
    )
    reference = next(z for z in seen[::-1] if len(z) == size * draws)
    # two sets of exact draws are as far apart; 1.5 covers that floor's own spread
    assert sliced_w2(reference, exact, size) < 1.5 * record["floor"]
    means = mixture.posterior(CONDOT, x, t).mean()[:, 0]
    spread = exact[:, 0].reshape(size, draws).std(1) / math.sqrt(draws)
    assert torch.tensor(record["x_hat_rewards"]) == pytest.approx(means)
    for key in ("reference_values", "second_reference_values"):
        assert ((torch.tensor(record[key]) - means).abs() < 4.5 * spread).all()
    found = {(r["method"], r["calls"]): r for r in record["rows"]}
    assert set(found) == {(name, m) for name in METHODS for m in (3, 6, 12)}
    for name in METHODS:
        errors = [found[name, m]["w2"] for m in (3, 6, 12)]
        assert errors[0] > errors[2]
        assert (found[name, 3]["endpoint"] is None) == (not name.startswith("GLASS"))
    ends = {order: [found[f"GLASS {order}", m]["endpoint"] for m in (3, 6, 12)] for order in (1, 2)}
    assert ends[1] == sorted(ends[1], reverse=True) and ends[2] == sorted(ends[2], reverse=True)
    assert ends[2][1] < ends[1][1] / 2 and ends[2][2] < ends[1][2] / 2
    assert found["GLASS 2", 12]["w2"] < found["SDE", 12]["w2"]


def test_within_correlation() -> None:
    """Levels of the groups do not count; it is numpy's correlation of centred values."""
    rng = np.random.default_rng(0)
    pairs = []
    for level in (0.0, 100.0, -50.0):
        x = rng.normal(size=5)
        pairs.append(((x + level).tolist(), (0.5 * x + rng.normal(size=5) - level).tolist()))
    centred = [np.concatenate([np.array(p[i]) - np.mean(p[i]) for p in pairs]) for i in (0, 1)]
    right = np.corrcoef(*centred)[0, 1]
    assert within_correlation(pairs) == pytest.approx(right)
    cell = correlation_cell(pairs)
    assert cell["interval95"][0] <= cell["mean"] <= cell["interval95"][1]
    assert correlation_cell(pairs[:1])["interval95"] is None
    assert within_correlation([([1.0, 1.0], [0.0, 2.0])]) is None


def test_distances() -> None:
    """W2 of a shift by v along random directions: |v|/sqrt(d) on average, whatever the order."""
    like = torch.empty(0, dtype=torch.float64)
    a = ParticleNoise(0, "a", 600, (2, 2), like)()
    shuffled = a.reshape(3, 200, 2, 2)[:, torch.randperm(200, generator=generator(1))]
    shuffled = shuffled.reshape(600, 2, 2)
    assert sliced_w2(a, shuffled, 3) == pytest.approx(0.0, abs=1e-12)
    shift = torch.tensor([[1.0, 2.0], [-1.0, 0.5]], dtype=torch.float64)
    right = float(shift.norm()) / 2
    assert sliced_w2(a, shuffled + shift, 3, directions=4000) == pytest.approx(right, rel=0.05)
    assert rms(a, a + shift) == pytest.approx(right)
