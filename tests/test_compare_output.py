"""What `glass compare` writes: CSV, LaTeX, plots."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from comparisons import compared, two_runs
from example_runs import eval_run, sample_run
from matplotlib.container import ErrorbarContainer
from PIL import Image

from glass_cli.report import tables
from glass_cli.report.plots import reward_against_nfe, write_plots
from glass_cli.report.quantities import Estimate


def test_csv_is_read_back(tmp_path: Path) -> None:
    comparison = compared(two_runs(tmp_path), ['a "quoted", run', "b"])
    rows = list(csv.DictReader(io.StringIO(tables.as_csv(comparison))))
    best = [row for row in rows if row["quantity"] == "best"]
    assert [row["run"] for row in best] == ['a "quoted", run', "b"]
    assert (best[0]["difference"], best[0]["against"]) == ("", "")
    assert float(best[1]["difference"]) == pytest.approx(2.0)
    assert float(best[1]["nfe"]) == 32 and int(best[1]["prompts"]) == 2


NASTY = '50% of a_b & c # $x$ {y} ~ ^ \\input{/etc/passwd} [opt] <a|b> "q"\nsecond'


def test_latex_is_safe_and_whole(tmp_path: Path) -> None:
    text = tables.latex(compared(two_runs(tmp_path), ["glass_cli", NASTY]))
    assert r"\input" not in text and r"\textbackslash{}input\{/etc/passwd\}" in text
    assert r"glass\_cli" in text and r"50\% of a\_b \& c \#" in text
    body = text[text.index(r"\begin{tabular}") :]
    bare = re.sub(r"\\[\\{}$&#%_^~]", "", body)  # what is left of braces and signs is TeX's own
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0 and "%" not in bare and "#" not in bare
    columns = re.search(r"\\begin\{tabular\}\{(\w+)\}", body)
    assert columns is not None
    rows = [line for line in bare.splitlines() if " & " in line]
    assert len(rows) == 4  # the head, two runs, one difference
    assert {row.count("&") + 1 for row in rows} == {len(columns[1])}
    assert [body.count(rf"\{rule}rule") for rule in ("top", "mid", "bottom")] == [1, 2, 1]


@pytest.mark.parametrize(
    ("mean", "half", "shown"),
    [(76.74, 1.8, "76.7"), (0.512, 0.031, "0.512"), (1234.5, 40.0, "1234"), (-0.001, 1.0, "0.0")],
)
def test_digits_follow_the_interval(mean: float, half: float, shown: str) -> None:
    estimate = Estimate(mean, (mean - half, mean + half), 3)
    assert tables.number(mean, tables.digits([estimate])) == shown


def test_a_spreadsheet_takes_no_label_for_a_formula(tmp_path: Path) -> None:
    text = tables.as_csv(compared(two_runs(tmp_path), ["=1+1", "@SUM(A1)"]))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["run"] for row in rows} == {"'=1+1", "'@SUM(A1)"}
    assert {row["against"] for row in rows} == {"", "'=1+1"}
    # numbers stay numbers, negative ones too
    back = tables.as_csv(compared(two_runs(tmp_path / "more"), against=1))
    best = [row for row in csv.DictReader(io.StringIO(back)) if row["quantity"] == "best"]
    assert float(best[0]["difference"]) == pytest.approx(-2.0)


def test_plots(tmp_path: Path) -> None:
    results = [
        {"prompt": f"p{i}", "rewards": [float(i), 2.0 + i], "judged": {"correct": i % 2 == 0}}
        for i in range(6)
    ]
    runs = [eval_run(tmp_path / "a", results), eval_run(tmp_path / "b", results)]
    written = write_plots(compared(runs), tmp_path / "plots")
    assert {path.name for path in written} == {
        f"{name}.{suffix}"
        for name in ("reward_against_nfe", "reward_against_correct")
        for suffix in ("png", "pdf")
    }
    with Image.open(tmp_path / "plots" / "reward_against_nfe.png") as image:
        # both runs' colours are there
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 24) or []}
    assert (0, 114, 178) in colours and (213, 94, 0) in colours
    assert len(write_plots(compared(two_runs(tmp_path / "more")), tmp_path / "others")) == 2


def test_plots_say_the_calls_that_were_made(tmp_path: Path) -> None:
    """Runs of equal cost stand side by side on the page, at the calls of the table in the data."""
    calls = [400, 399, 400, 800]
    runs = [
        sample_run(tmp_path / str(i), {"one": [1.0, 2.0 + i], "two": [2.0, 3.0]}, nfe=n)
        for i, n in enumerate(calls)
    ]
    figure = reward_against_nfe(compared(runs, "abcd"))
    assert figure is not None
    (axes,) = figure.axes
    figure.canvas.draw()
    bars = [bar for bar in axes.containers if isinstance(bar, ErrorbarContainer)]
    marks = [bar.lines[0] for bar in bars]
    assert sorted({float(mark.get_xydata()[0][0]) for mark in marks}) == [399, 400, 800]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["400", "800"]
    low, high = axes.get_ylim()
    assert low < 1.5 and high > 4.0
    # on the page, in points: apart from each other, and about the tick; alone at the tick itself
    at_tick = {n: axes.transData.transform((n, 0.0))[0] for n in (400, 800)}
    scale = 72 / figure.dpi
    x = [float(mark.get_transform().transform(mark.get_xydata())[0][0]) for mark in marks]
    best = [x[i] * scale for i in range(0, 8, 2)]
    assert abs(best[1] - best[0]) > 8 and abs(best[2] - best[1]) > 8
    assert np.mean([*x[:2], *x[4:6]]) * scale == pytest.approx(at_tick[400] * scale, abs=1e-6)
    assert np.mean(x[6:]) == pytest.approx(at_tick[800])
    interval = bars[0].lines[2][0]
    assert interval.get_transform().transform((400, 0))[0] == pytest.approx(x[0])


def test_what_a_picture_cost_stands_below_the_table(tmp_path: Path) -> None:
    """Runs of the same network calls may have asked the reward more often, and taken longer."""
    judged = {"judged": {"correct": True}, "nfe": 50.0}
    rows = [{"prompt": f"p{i}", "rewards": [float(i)], **judged} for i in range(3)]
    a, b = eval_run(tmp_path / "a", rows), eval_run(tmp_path / "b", rows)
    for folder, calls, seconds in ((a, 8, 2.5), (b, 200, 3.25)):
        for file, key, value in (("results", "reward_calls", calls), ("times", "seconds", seconds)):
            for path in (folder / file).rglob("*.json"):
                path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    table = tables.terminal(compared([a, b])).splitlines()
    assert [line.split() for line in table[-4:] if set(line) != {"-"}] == [
        ["cost", "of", "a", "picture", "NFE", "reward", "calls", "seconds"],
        ["a", "50", "8", "2.50"],
        ["b", "50", "200", "3.25"],
    ]
    assert "cost of a picture" not in tables.terminal(compared([a])), (
        "alone it is the run's own page"
    )
