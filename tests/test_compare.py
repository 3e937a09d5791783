"""`glass compare`: known numbers, scipy's intervals, warnings, CSV, LaTeX, plots."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
from made_runs import CONFIG, eval_run, sample_run
from PIL import Image
from scipy import stats
from typer.testing import CliRunner

from glass_cli.cli import app
from glass_cli.common.errors import GlassError
from glass_cli.report import tables
from glass_cli.report.comparison import compare, names
from glass_cli.report.plots import write_plots
from glass_cli.output.reader import read_runs


def two_runs(tmp_path: Path) -> list[Path]:
    a = {"one": [1.0, 3.0], "two": [2.0, 2.0], "three": [0.0, 4.0]}
    b = {"three": [5.0, 5.0], "one": [4.0, 6.0], "four": [9.0, 9.0]}
    return [sample_run(tmp_path / "a", a), sample_run(tmp_path / "b", b, nfe=32)]


def test_known_numbers(tmp_path: Path) -> None:
    found = compare(read_runs(two_runs(tmp_path)), ["a", "b"])
    assert (found.prompts, found.pairs) == (2, 2)  # "one" and "three"
    best = found.cells["best"]
    assert best[0].value is not None and best[0].value.mean == pytest.approx(3.5)
    assert best[1].value is not None and best[1].value.mean == pytest.approx(5.5)
    assert best[0].difference is None
    # 6 - 3 and 5 - 4: the bootstrap of two values is their range
    assert best[1].difference is not None and best[1].difference.mean == pytest.approx(2.0)
    assert best[1].difference.interval == pytest.approx((1.0, 3.0))
    mean = found.cells["mean"][1].difference
    assert mean is not None and mean.mean == pytest.approx(3.0)
    assert [cost.nfe for cost in found.costs] == [16, 32]
    assert sum("not in every run" in line for line in found.warnings) == 2
    assert any("network calls differ: b took 32" in line for line in found.warnings)


def test_differences_turn_round_with_the_run_they_are_taken_from(tmp_path: Path) -> None:
    runs = read_runs(two_runs(tmp_path))
    forth, back = compare(runs, ["a", "b"]), compare(runs, ["a", "b"], against=1)
    up, down = forth.cells["best"][1].difference, back.cells["best"][0].difference
    assert up is not None and down is not None and up.mean == pytest.approx(-down.mean)
    assert back.cells["best"][1].difference is None


def test_pictures_of_a_prompt_are_averaged_first(tmp_path: Path) -> None:
    """Ten pictures of one prompt weigh as much as one picture of another."""
    many = [{"prompt": "a", "image": i, "rewards": [1.0]} for i in range(10)]
    runs = [
        eval_run(tmp_path / "a", [*many, {"prompt": "b", "rewards": [5.0]}]),
        eval_run(tmp_path / "b", [*many, {"prompt": "b", "rewards": [7.0]}]),
    ]
    found = compare(read_runs(runs), ["a", "b"])
    value, difference = found.cells["chosen"][1].value, found.cells["chosen"][1].difference
    assert value is not None and value.mean == pytest.approx(4.0)
    assert difference is not None and difference.mean == pytest.approx(1.0)
    assert (found.prompts, found.pairs, difference.prompts) == (2, 11, 2)
    assert found.warnings == ()


def test_seeds_are_paired_too(tmp_path: Path) -> None:
    one = {"one": [1.0]}
    runs = [sample_run(tmp_path / "a", one), sample_run(tmp_path / "b", one, seed=1)]
    with pytest.raises(GlassError, match="no prompt with the same seed"):
        compare(read_runs(runs), ["a", "b"])


def test_geneval_is_the_mean_of_its_tasks(tmp_path: Path) -> None:
    def judged(tasks: dict[str, list[bool]]) -> list[dict[str, object]]:
        return [
            {"prompt": f"{task} {i}", "rewards": [0.0], "judged": {"correct": right}, "tag": task}
            for task, verdicts in tasks.items()
            for i, right in enumerate(verdicts)
        ]

    a = judged({"counting": [True, False], "colors": [True, True, True, False, False, False]})
    b = judged({"counting": [True, True], "colors": [True, True, True, False, False, False]})
    runs = read_runs([eval_run(tmp_path / "a", a), eval_run(tmp_path / "b", b)])
    found = compare(runs, ["a", "b"])
    assert {"correct", "correct.counting", "correct.colors"} <= set(found.cells)
    left, right = found.cells["correct"]
    assert left.value is not None and left.value.mean == pytest.approx(50.0)
    assert right.value is not None and right.value.mean == pytest.approx(75.0)
    # 0 or 1 more right among two of one task, nothing in the other: half of 50 points
    assert right.difference is not None and right.difference.mean == pytest.approx(25.0)
    assert right.difference.interval == pytest.approx((0.0, 50.0))
    counting = found.cells["correct.counting"][1].difference
    assert counting is not None and counting.mean == pytest.approx(50.0)
    assert not any("left out" in line for line in found.warnings)


def test_prompts_with_one_correct_picture(tmp_path: Path) -> None:
    def judged(verdicts: dict[str, list[bool]]) -> list[dict[str, object]]:
        return [
            {"prompt": prompt, "image": i, "rewards": [0.0], "judged": {"correct": right}}
            for prompt, rights in verdicts.items()
            for i, right in enumerate(rights)
        ]

    a = judged({"one": [False, True], "two": [False, False], "three": [False, False]})
    b = judged({"one": [True, True], "two": [True, False], "three": [False, False]})
    runs = read_runs([eval_run(tmp_path / "a", a), eval_run(tmp_path / "b", b)])
    left, right = compare(runs, ["a", "b"]).cells["one_correct"]
    assert left.value is not None and left.value.mean == pytest.approx(100 / 3)
    assert right.value is not None and right.value.mean == pytest.approx(200 / 3)
    assert right.difference is not None and right.difference.mean == pytest.approx(100 / 3)


def test_verdicts_of_two_judges_are_not_compared(tmp_path: Path) -> None:
    result = {"prompt": "one", "rewards": [0.0], "judged": {"correct": True}}
    folders = [eval_run(tmp_path / "a", [result]), eval_run(tmp_path / "b", [result])]
    summary = folders[1] / "summary.json"
    summary.write_text(summary.read_text().replace("made up", "another"))
    found = compare(read_runs(folders), ["a", "b"])
    assert "correct" not in found.cells and "best" in found.cells
    assert found.warnings == ("the runs' judges differ (made up, another): they are not compared",)


def test_intervals_agree_with_scipy(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    first = rng.gamma(2.0, 3.0, 40)
    second = first + rng.normal(0.5, 1.0, 40)
    runs = [
        sample_run(tmp_path / name, {f"p{i}": [v] for i, v in enumerate(values)})
        for name, values in (("a", first.tolist()), ("b", second.tolist()))
    ]
    found = compare(read_runs(runs), ["a", "b"]).cells["best"][1]
    for estimate, sample in ((found.value, (second,)), (found.difference, (second, first))):
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
    batch = {**CONFIG, "reward": {**CONFIG["reward"], "batch": 1}}  # type: ignore[dict-item]
    metrics = {"clip": [1.0, 2.0]}
    folders = [
        sample_run(tmp_path / name, {"one": [1.0, 2.0]}, config=config, metrics=metrics)
        for name, config in (("a", CONFIG), ("b", other), ("c", batch))
    ]
    a, b, c = read_runs(folders)
    mixed = compare([a, b], ["a", "b"])
    assert "best" not in mixed.cells and "metrics.clip" in mixed.cells
    assert any("Clip, Pick" in line for line in mixed.warnings)
    with pytest.raises(GlassError, match="rewards differ"):
        compare([a, b], ["a", "b"], show=["best"])
    assert "best" in compare([a, c], ["a", "c"]).cells  # a batch size changes no score


def test_a_missing_value_leaves_its_pair_out(tmp_path: Path) -> None:
    runs = read_runs(
        [
            sample_run(tmp_path / "a", {"one": [1.0], "two": [None]}),
            sample_run(tmp_path / "b", {"one": [3.0], "two": [9.0]}),
        ]
    )
    found = compare(runs, ["a", "b"])
    difference = found.cells["best"][1].difference
    assert difference is not None and (difference.mean, difference.prompts) == (2.0, 1)
    assert any("a has no best particle for 1 of 2" in line for line in found.warnings)


def test_rounding_of_calls_is_no_difference(tmp_path: Path) -> None:
    runs = [
        sample_run(tmp_path / "a", {"one": [1.0]}, nfe=400),
        sample_run(tmp_path / "b", {"one": [1.0]}, nfe=399),
        sample_run(tmp_path / "c", {"one": [1.0]}, nfe=360),
    ]
    warnings = compare(read_runs(runs), ["a", "b", "c"]).warnings
    assert [w for w in warnings if "calls" in w] == [
        "network calls differ: c took 360 a picture, a 400"
    ]


def test_csv_is_read_back(tmp_path: Path) -> None:
    found = compare(read_runs(two_runs(tmp_path)), ['a "quoted", run', "b"])
    rows = list(csv.DictReader(io.StringIO(tables.as_csv(found))))
    best = [row for row in rows if row["quantity"] == "best"]
    assert [row["run"] for row in best] == ['a "quoted", run', "b"]
    assert (best[0]["difference"], best[0]["against"]) == ("", "")
    assert float(best[1]["difference"]) == pytest.approx(2.0)
    assert float(best[1]["nfe"]) == 32 and int(best[1]["prompts"]) == 2


NASTY = '50% of a_b & c # $x$ {y} ~ ^ \\input{/etc/passwd} [opt] <a|b> "q"\nsecond'


def test_latex_is_safe_and_whole(tmp_path: Path) -> None:
    text = tables.latex(compare(read_runs(two_runs(tmp_path)), ["glass_cli", NASTY]))
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
    estimate = tables.Estimate(mean, (mean - half, mean + half), 3)
    assert tables.number(mean, tables.digits([estimate])) == shown


def test_folders_of_the_same_name_are_told_apart() -> None:
    assert names([Path("x/one/run"), Path("x/two/run")]) == ["one/run", "two/run"]
    assert names([Path("x/one"), Path("x/two")]) == ["one", "two"]


def test_plots(tmp_path: Path) -> None:
    results = [
        {"prompt": f"p{i}", "rewards": [float(i), 2.0 + i], "judged": {"correct": i % 2 == 0}}
        for i in range(6)
    ]
    runs = read_runs([eval_run(tmp_path / "a", results), eval_run(tmp_path / "b", results)])
    made = write_plots(compare(runs, ["a", "b"]), tmp_path / "plots")
    assert {path.name for path in made} == {
        f"{name}.{suffix}"
        for name in ("reward_against_nfe", "reward_against_correct")
        for suffix in ("png", "pdf")
    }
    with Image.open(tmp_path / "plots" / "reward_against_nfe.png") as image:
        # both runs' colours are there
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 24) or []}
    assert (0, 114, 178) in colours and (213, 94, 0) in colours
    unjudged = read_runs(two_runs(tmp_path / "more"))
    assert len(write_plots(compare(unjudged, ["a", "b"]), tmp_path / "others")) == 2


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
        code, _, told = run_command("compare", *words)
        assert code == 2 and said in told.splitlines()[-1], told
    code, _, told = run_command("compare", a, tmp_path / "c", tmp_path / "d")
    assert code == 2 and len(told.splitlines()) == 2
