"""The picture of a comparison: which rows it shows, and that it is one."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from invented_results import group, of
from PIL import Image

from glass_cli.report.results_file import Row, row_of
from glass_cli.reproduce.figure import METHODS, points, right_over_calls
from glass_cli.reproduce.pages import write_pages
from glass_cli.reproduce.plan import Scope, command, evaluations


def row(name: str, right: float, calls: int) -> Row:
    return row_of(name, group(name, "compose", (right, calls, 0.0)), "")


def test_each_method_has_its_best_split_of_a_budget() -> None:
    """Hand-made rows; 392 calls are of the budget of 400."""
    rows = {
        name: row(name, right, calls)
        for name, right, calls in (
            ("best_of_n_8x50", 0.2, 400),
            ("best_of_n_40x10", 0.6, 392),
            ("best_of_n_80x5", 0.4, 400),
            ("best_of_n_80", 0.3, 80),
            ("fk_glass_schedule_40x10", 0.7, 400),
            ("fk_glass_guidance_8x50", 0.9, 400),
            ("learned_best_of_n_80x5", 0.9, 400),
            ("glass1_50", 0.1, 50),
        )
    }
    found = {method: [point.run for point in own] for method, own in points(rows).items()}
    assert found == {
        "best of N (ODE)": ["best_of_n_80", "best_of_n_40x10"],
        "FK steering, GLASS": ["fk_glass_schedule_40x10"],
        "one particle, GLASS": ["glass1_50"],
    }


def test_every_experiment_is_shown_or_left_out_on_purpose() -> None:
    """Of another reward are learned_*, guided are fk_glass_guidance_*; studies have no answers."""
    names = {e.name for e in evaluations("embedded", Scope()) if e.benchmark is not None}
    left_out = {n for n in names if not points({n: row(n, 0.5, 400)})}
    assert left_out == {n for n in names if n.startswith(("learned_", "fk_glass_guidance_"))}
    assert len(set(METHODS.values())) == len(METHODS), "a name each"


def test_the_picture(tmp_path: Path) -> None:
    rows = {f"best_of_n_{n}": row(f"best_of_n_{n}", n / 500, n) for n in (80, 160, 400)}
    drawn = right_over_calls(rows)
    assert drawn is not None and drawn == right_over_calls(rows), "the same bytes again"
    pixels = np.asarray(Image.open(io.BytesIO(drawn)).convert("RGB"))
    blue = np.all(np.abs(pixels.astype(int) - [0x00, 0x72, 0xB2]) < 60, axis=-1)
    assert pixels.shape[1] > 1000 and blue.sum() > 200
    assert right_over_calls({}) is None
    found = of({"best_of_n_80x5": (0.8, 400, 0.0)})
    paths = write_pages(tmp_path, "embedded", found, lambda each: command(each, Scope(), (0, 1)))
    names = {path.name for path in paths}
    assert {"embedded_compose.png", "embedded_geneval.png"} <= names
    assert "](embedded_compose.png)" in (tmp_path / "embedded.md").read_text()
