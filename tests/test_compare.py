"""`glass compare`: known numbers, scipy's intervals, warnings, CSV, LaTeX, plots."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from example_runs import CONFIG, eval_run, sample_run, with_setting
from matplotlib.container import ErrorbarContainer
from PIL import Image
from scipy import stats
from typer.testing import CliRunner

from glass_cli.cli import app
from glass_cli.common.errors import GlassError
from glass_cli.output.reader import read_run
from glass_cli.report import tables
from glass_cli.report.comparison import Comparison, compare
from glass_cli.report.plots import reward_against_nfe, write_plots
from glass_cli.report.quantities import Estimate, quantities
from glass_cli.report.run_groups import RunGroup


def compared(
    folders: Sequence[Path],
    labels: Sequence[str] = "abc",
    against: int = 0,
    show: Sequence[str] | None = None,
) -> Comparison:
    """The runs in ``folders``, each alone."""
    pairs = zip(labels, folders, strict=False)
    groups = [RunGroup(label, (read_run(folder),)) for label, folder in pairs]
    return compare(groups, against, show)


def two_runs(tmp_path: Path) -> list[Path]:
    a = {"one": [1.0, 3.0], "two": [2.0, 2.0], "three": [0.0, 4.0]}
    b = {"three": [5.0, 5.0], "one": [4.0, 6.0], "four": [9.0, 9.0]}
    return [sample_run(tmp_path / "a", a), sample_run(tmp_path / "b", b, nfe=32)]


def test_known_numbers(tmp_path: Path) -> None:
    comparison = compared(two_runs(tmp_path))
    assert (comparison.prompts, comparison.pairs) == (2, 2)  # "one" and "three"
    best = comparison.cells["best"]
    assert best[0].value is not None and best[0].value.mean == pytest.approx(3.5)
    assert best[1].value is not None and best[1].value.mean == pytest.approx(5.5)
    assert best[0].difference is None
    # 6 - 3 and 5 - 4: the bootstrap of two values is their range
    assert best[1].difference is not None and best[1].difference.mean == pytest.approx(2.0)
    assert best[1].difference.interval == pytest.approx((1.0, 3.0))
    mean = comparison.cells["mean"][1].difference
    assert mean is not None and mean.mean == pytest.approx(3.0)
    assert [cost.nfe for cost in comparison.costs] == [16, 32]
    assert sum("not in every run" in line for line in comparison.warnings) == 2
    assert any("network calls differ: b took 32" in line for line in comparison.warnings)


def test_differences_turn_round_with_the_run_they_are_taken_from(tmp_path: Path) -> None:
    runs = two_runs(tmp_path)
    forth, back = compared(runs), compared(runs, against=1)
    up, down = forth.cells["best"][1].difference, back.cells["best"][0].difference
    assert up is not None and down is not None and up.mean == pytest.approx(-down.mean)
    assert back.cells["best"][1].difference is None


def test_pictures_of_a_prompt_are_averaged_first(tmp_path: Path) -> None:
    """Ten pictures of one prompt weigh as much as one picture of another, whose others are not
    scored."""
    many = [{"prompt": "a", "image": i, "rewards": [1.0]} for i in range(10)]
    few = [{"prompt": "b", "image": i, "rewards": [None]} for i in range(1, 10)]
    runs = [
        eval_run(tmp_path / name, [*many, {"prompt": "b", "rewards": [reward]}, *few])
        for name, reward in (("a", 5.0), ("b", 7.0))
    ]
    comparison = compared(runs)
    cell = comparison.cells["answer"][1]
    assert cell.value is not None and cell.value.mean == pytest.approx(4.0)
    assert cell.difference is not None and cell.difference.mean == pytest.approx(1.0)
    assert (comparison.prompts, comparison.pairs, cell.difference.prompts) == (2, 20, 2)
    assert any("a has no reward of the answer for 9 of 20" in w for w in comparison.warnings)


def test_seeds_are_paired_too(tmp_path: Path) -> None:
    one = {"one": [1.0]}
    runs = [sample_run(tmp_path / "a", one), sample_run(tmp_path / "b", one, seed=1)]
    with pytest.raises(GlassError, match="no prompt with the same seed"):
        compared(runs)


def test_geneval_is_the_mean_of_its_tasks(tmp_path: Path) -> None:
    def judged(tasks: dict[str, list[bool]]) -> list[dict[str, object]]:
        return [
            {"prompt": f"{task} {i}", "rewards": [0.0], "judged": {"correct": right}, "tag": task}
            for task, verdicts in tasks.items()
            for i, right in enumerate(verdicts)
        ]

    a = judged({"counting": [True, False], "colors": [True, True, True, False, False, False]})
    b = judged({"counting": [True, True], "colors": [True, True, True, False, False, False]})
    comparison = compared([eval_run(tmp_path / "a", a), eval_run(tmp_path / "b", b)])
    assert {"correct", "correct.counting", "correct.colors"} <= set(comparison.cells)
    left, right = comparison.cells["correct"]
    assert left.value is not None and left.value.mean == pytest.approx(50.0)
    assert right.value is not None and right.value.mean == pytest.approx(75.0)
    # 0 or 1 more right among two of one task, nothing in the other: half of 50 points
    assert right.difference is not None and right.difference.mean == pytest.approx(25.0)
    assert right.difference.interval == pytest.approx((0.0, 50.0))
    counting = comparison.cells["correct.counting"][1].difference
    assert counting is not None and counting.mean == pytest.approx(50.0)
    assert not any("left out" in line for line in comparison.warnings)


def test_prompts_with_one_correct_picture(tmp_path: Path) -> None:
    def judged(verdicts: dict[str, list[bool]]) -> list[dict[str, object]]:
        return [
            {"prompt": prompt, "image": i, "rewards": [0.0], "judged": {"correct": right}}
            for prompt, rights in verdicts.items()
            for i, right in enumerate(rights)
        ]

    a = judged({"one": [False, True], "two": [False, False], "three": [False, False]})
    b = judged({"one": [True, True], "two": [True, False], "three": [False, False]})
    runs = [eval_run(tmp_path / "a", a), eval_run(tmp_path / "b", b)]
    left, right = compared(runs).cells["one_correct"]
    assert left.value is not None and left.value.mean == pytest.approx(100 / 3)
    assert right.value is not None and right.value.mean == pytest.approx(200 / 3)
    assert right.difference is not None and right.difference.mean == pytest.approx(100 / 3)


def test_verdicts_of_two_judges_are_not_compared(tmp_path: Path) -> None:
    result = {"prompt": "one", "rewards": [0.0], "judged": {"correct": True}}
    folders = [eval_run(tmp_path / name, [result], benchmark=name) for name in ("one", "other")]
    comparison = compared(folders)
    assert "correct" not in comparison.cells and "best" in comparison.cells
    assert comparison.warnings == ("the runs' judges differ (one, other): they are not compared",)


def test_intervals_agree_with_scipy(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    first = rng.gamma(2.0, 3.0, 40)
    second = first + rng.normal(0.5, 1.0, 40)
    runs = [
        sample_run(tmp_path / name, {f"p{i}": [v] for i, v in enumerate(values)})
        for name, values in (("a", first.tolist()), ("b", second.tolist()))
    ]
    comparison = compared(runs).cells["best"][1]
    for estimate, sample in (
        (comparison.value, (second,)),
        (comparison.difference, (second, first)),
    ):
        theirs = stats.bootstrap(
            sample,
            lambda x, y=None, axis=-1: (x if y is None else x - y).mean(axis),
            n_resamples=10_000,
            paired=True,
            vectorized=True,
            method="BCa",
            rng=np.random.default_rng(1),
        ).confidence_interval
        assert estimate is not None and estimate.interval is not None
        half = (theirs.high - theirs.low) / 2
        # The 2.5 % quantile of 10,000 draws has a standard error of sqrt(.025 * .975 / 10^4) / f,
        # f = 0.058 per sigma: 0.027 sigma = 0.014 half widths; two independent ones, 4 sigma.
        assert estimate.interval == pytest.approx((theirs.low, theirs.high), abs=0.08 * half)


def test_rewards_of_two_kinds_are_not_compared(tmp_path: Path) -> None:
    other = {**CONFIG, "reward": {"_target_": "glass_cli.rewards.pick.Pick"}}
    batch = {**CONFIG, "reward": {**CONFIG["reward"], "batch": 1}}
    metrics = {"clip": [1.0, 2.0]}
    folders = [
        sample_run(tmp_path / name, {"one": [1.0, 2.0]}, config=config, metrics=metrics)
        for name, config in (("a", CONFIG), ("b", other), ("c", batch))
    ]
    a, b, c = folders
    mixed = compared([a, b])
    assert "best" not in mixed.cells and "metrics.clip" in mixed.cells
    assert any("clip, Pick" in line for line in mixed.warnings)
    with pytest.raises(GlassError, match="rewards differ"):
        compared([a, b], show=["best"])
    assert "best" in compared([a, c]).cells  # a batch size changes no score


def test_a_missing_value_leaves_its_pair_out(tmp_path: Path) -> None:
    runs = [
        sample_run(tmp_path / "a", {"one": [1.0], "two": [None]}),
        sample_run(tmp_path / "b", {"one": [3.0], "two": [9.0]}),
    ]
    comparison = compared(runs)
    difference = comparison.cells["best"][1].difference
    assert difference is not None and (difference.mean, difference.prompts) == (2.0, 1)
    assert any(
        "a has no reward of the best particle for 1 of 2" in line for line in comparison.warnings
    )


def test_rounding_of_calls_is_no_difference(tmp_path: Path) -> None:
    runs = [
        sample_run(tmp_path / "a", {"one": [1.0]}, nfe=400),
        sample_run(tmp_path / "b", {"one": [1.0]}, nfe=399),
        sample_run(tmp_path / "c", {"one": [1.0]}, nfe=360),
    ]
    warnings = compared(runs).warnings
    assert [w for w in warnings if "calls" in w] == [
        "network calls differ: c took 360 a picture, a 400"
    ]


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


def run_command(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.stdout, done.stderr


def test_the_command(tmp_path: Path) -> None:
    a, b = two_runs(tmp_path)
    out = tmp_path / "new" / "table.csv"
    code, said, warned = run_command(
        "compare", a, b, "--against", b, "--csv", out, "--show", "best"
    )
    assert code == 0 and "less b" in said and "-2.00 [-3.00, -1.00]" in said
    assert "mean particle" not in said and out.exists()
    assert all(line.startswith("glass: warning: ") for line in warned.splitlines())
    code, said, _ = run_command("compare", b, "--against", a, "--label", "A", "--label", "B")
    assert code == 0 and "less A" in said


def test_help_names_the_numbers(tmp_path: Path) -> None:
    """Those of a run with verdicts and metrics are among the words of --show."""
    results = [{"prompt": "a", "rewards": [1.0], "judged": {"correct": True}, "tag": "colors"}]
    run = read_run(eval_run(tmp_path / "a", [{**results[0], "metrics": {"ocr": [0.5]}}]))
    said = " ".join(run_command("compare", "--help")[1].split())
    general = {"correct.colors": "correct.TASK", "metrics.ocr": "metrics.NAME"}
    general["mean_metrics.ocr"] = "mean_metrics.NAME"
    keys = {general.get(q.key, q.key) for q in quantities([run])}
    assert {"answer", "best", "mean", "correct", "metrics.NAME"} <= keys
    shown = said.partition("Only this number: ")[2].partition("; repeat.")[0]
    assert keys <= set(re.split(r", | ", shown)), (keys, shown)


def jobs_of_a_sweep(sweep: Path, seeds: Sequence[int] = (0, 1, 2)) -> list[Path]:
    """lam in (0.5, 2) times seeds; the best reward of prompt p is p + seed + 10 lam."""
    jobs: list[Path] = []
    for lam in (0.5, 2.0):
        for seed in seeds:
            config = with_setting("steering.lam", lam)
            rewards = {f"p{p}": [0.0, p + seed + 10 * lam] for p in range(2)}
            job = sweep / str(len(jobs))
            jobs.append(sample_run(job, rewards, config=config, seed=seed))
    (sweep / "multirun.yaml").write_text("{}")
    return jobs


def test_a_sweep_is_its_jobs_and_seeds_are_averaged(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    jobs_of_a_sweep(sweep)
    table = tmp_path / "table.csv"
    code, said, warned = run_command("compare", sweep, "--csv", table, "--show", "best")
    assert code == 0 and warned == "", warned
    assert "lam=0.5 (3 seeds)" in said and "lam=2.0 (3 seeds)" in said
    assert said.startswith("2 prompts, 6 results;")
    first, second = csv.DictReader(io.StringIO(table.read_text()))
    # over seeds 0, 1, 2 and prompts 0, 1: 0.5 + 1 + 10 lam
    assert float(first["mean"]) == pytest.approx(6.5)
    assert float(second["mean"]) == pytest.approx(21.5)
    assert float(second["difference"]) == pytest.approx(15.0)
    assert second["folder"].split("; ") == [str(sweep / str(i)) for i in (3, 4, 5)]
    names = sorted(map(str, sweep.iterdir()))  # as a shell expands SWEEP/*
    again = run_command("compare", *names, "--show", "best")
    assert again[:2] == (0, said.partition("\nwrote")[0] + "\n")


def test_a_base_may_be_a_job_or_a_group(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    jobs = jobs_of_a_sweep(sweep)
    code, said, _ = run_command("compare", sweep, "--against", jobs[4])
    assert code == 0 and "less lam=2.0 (3 seeds)" in said
    code, _, error = run_command("compare", sweep, "--against", sweep)
    assert code == 2 and "--against names 2 runs of different settings" in error
    code, said, _ = run_command("compare", sweep, "--label", "low", "--label", "high")
    assert code == 0 and "less low" in said


def test_seeds_alone_are_averaged(tmp_path: Path) -> None:
    jobs = jobs_of_a_sweep(tmp_path / "sweep")
    code, said, _ = run_command("compare", *jobs[:3], "--show", "best")
    assert code == 0 and "glass, fk (3 seeds)" in said and "less" not in said
    assert "6.5" in said and "paired" not in said


def test_unfinished_runs_are_passed_over(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    jobs = jobs_of_a_sweep(sweep)
    (jobs[5] / "summary.json").unlink()
    failed = sweep / "6"
    failed.mkdir()
    (failed / "error.txt").write_text("steering.lam=9: not finite\n\ntrace\n")
    code, said, warned = run_command("compare", sweep, "--show", "best")
    assert code == 0 and "lam=2.0 (2 seeds)" in said
    lines = warned.splitlines()
    assert sum("passing over" in line for line in lines) == 2
    assert any(str(jobs[5]) in line and "did not finish" in line for line in lines)
    assert any("steering.lam=9: not finite" in line for line in lines)
    # the third seed has nobody to stand beside
    assert any("2 of the 6 prompts and seeds of lam=0.5" in line for line in lines)
    code, _, error = run_command("compare", jobs[0], jobs[5])
    assert code == 2 and "passing over" in error.splitlines()[0]
    assert "nothing to stand against" in error.splitlines()[1]
    code, _, error = run_command("compare", jobs[5], failed)
    assert code == 2 and len(error.splitlines()) == 2


def test_mistakes_are_one_line_and_exit_2(tmp_path: Path) -> None:
    a, b = two_runs(tmp_path)
    (tmp_path / "c").mkdir()
    for words, said in (
        ((a,), "nothing to stand against"),
        ((a, a), "named twice"),
        ((a, b, "--label", "x"), "1 labels for 2 runs"),
        ((a, b, "--show", "bets"), "did you mean best?"),
        ((a, b, "--csv", a / "config.yaml" / "x"), "cannot write"),
        ((a, b, "--plots", a / "config.yaml"), "cannot write to"),
    ):
        code, _, error = run_command("compare", *words)
        assert code == 2 and said in error.splitlines()[-1], error
    code, _, error = run_command("compare", a, tmp_path / "c", tmp_path / "d")
    assert code == 2 and len(error.splitlines()) == 2
