"""`glass compare`: known numbers, scipy's intervals, warnings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from comparisons import compared, two_runs
from example_runs import CONFIG, eval_run, sample_run
from scipy import stats

from glass_cli.common.errors import GlassError
from glass_cli.common.statistics import bootstrap_interval
from glass_cli.output.reader import read_run
from glass_cli.report.comparison import compare
from glass_cli.report.run_groups import RunGroup
from glass_cli.report.tables import basis


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


def test_a_single_prompt_has_intervals_over_its_seeds(tmp_path: Path) -> None:
    rewards = {"a": [1.0, 4.0, 2.0, 8.0], "b": [2.0, 6.5, 3.5, 8.5]}
    groups = [
        RunGroup(name, tuple(
            read_run(sample_run(tmp_path / f"{name}{seed}", {"one": [0.0, reward]}, seed=seed))
            for seed, reward in enumerate(of_seeds)))
        for name, of_seeds in rewards.items()
    ]  # fmt: skip
    comparison = compare(groups)
    a, b = comparison.cells["best"]
    assert a.value is not None and b.value is not None and b.difference is not None
    assert a.value.interval == bootstrap_interval(rewards["a"])
    assert b.value.interval == bootstrap_interval(rewards["b"])
    assert b.difference.mean == pytest.approx(1.375)
    assert b.difference.interval == bootstrap_interval([1.0, 2.5, 1.5, 0.5])
    assert (comparison.prompts, comparison.pairs, b.difference.prompts) == (1, 4, 1)
    assert basis(comparison).startswith("1 prompt, 4 results; 95 % bootstrap intervals over its")
    alone = compare([RunGroup(group.label, group.runs[:1]) for group in groups])
    difference = alone.cells["best"][1].difference
    assert difference is not None and difference.interval is None
    assert basis(alone).startswith("1 prompt; no intervals, which need several prompts or seeds")


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
