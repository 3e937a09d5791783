"""`glass compare --rank`: ranks, ties, benchmarks beside each other."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from example_runs import CONFIG, eval_run, sample_run, with_setting
from scipy import stats
from typer.testing import CliRunner

from glass_cli.cli import app
from glass_cli.common.errors import GlassError
from glass_cli.output.reader import read_run
from glass_cli.report.ranking import rank


def run_of(folder: Path, values: Sequence[float], **settings: object) -> Path:
    """A run whose best reward of prompt i is values[i]; its settings are those of CONFIG but for
    ``steering__lam`` and the like."""
    config: Mapping[str, object] = CONFIG
    for key, value in settings.items():
        config = with_setting(key.replace("__", "."), value, config)
    rewards = {f"p{i}": [value - 1.0, value] for i, value in enumerate(values)}
    return sample_run(folder, rewards, config=config)


def command(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["compare", *map(str, words)])
    return done.exit_code, done.stdout, done.stderr


def test_a_rank_counts_the_runs_that_are_better(tmp_path: Path) -> None:
    """Against scipy's paired bootstrap of every pair."""
    rng = np.random.default_rng(0)
    base = rng.normal(10.0, 3.0, 24)
    shifts = {"a": 0.0, "b": 0.9, "c": 1.1, "d": -0.4, "e": 0.45}
    values = {name: base + shift + rng.normal(0, 0.8, 24) for name, shift in shifts.items()}
    folders = {
        name: run_of(tmp_path / name, own.tolist(), steering__lam=0.1 * i)
        for i, (name, own) in enumerate(values.items())
    }
    ranking = rank([read_run(f) for f in folders.values()], "best", list(folders))
    expected = dict.fromkeys(values, 1)
    for one, other in permutations(values, 2):
        difference = values[other] - values[one]
        rng = np.random.default_rng(1)
        low = stats.bootstrap((difference,), np.mean, rng=rng).confidence_interval.low
        assert abs(low) > 0.02, "of which the draws do not decide"
        expected[one] += bool(low > 0)
    names = ranking.comparison.labels
    assert dict(zip(names, ranking.ranks, strict=True)) == expected
    assert len(set(expected.values())) > 2 and len(set(expected.values())) < 5
    order = [(expected[name], -values[name].mean()) for name in names]
    assert order == sorted(order)
    cells = ranking.comparison.cells["best"]
    for name, cell in zip(names, cells, strict=True):
        assert cell.value is not None and cell.value.mean == pytest.approx(values[name].mean())
        if name != names[0]:
            assert cell.difference is not None
            less = (values[name] - values[names[0]]).mean()
            assert cell.difference.mean == pytest.approx(less)


def test_ties_are_marked_and_the_last_have_no_value(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 1, 12)
    run_of(tmp_path / "low", (noise - 5).tolist(), steering__lam=1)
    run_of(tmp_path / "one", noise.tolist(), steering__lam=2)
    run_of(tmp_path / "other", (noise[::-1] + 0.01).tolist(), steering__lam=3)
    sample_run(
        tmp_path / "none", {f"p{i}": [None] for i in range(12)},
        config=with_setting("steering.lam", 4),
    )  # fmt: skip
    table = tmp_path / "table.csv"
    code, said, _ = command(*sorted(tmp_path.iterdir()), "--rank", "best", "--csv", table)
    assert code == 0, said
    rows = [line.split()[: 3 if "=" in line[:5] else 2] for line in said.splitlines()[4:8]]
    assert rows == [["1", "=", "lam=3"], ["1", "=", "lam=2"], ["3", "lam=1"], ["-", "lam=4"]]
    first, second, *_ = csv.DictReader(table.open())
    assert (first["run"], first["against"]) == ("lam=3", "")
    assert (second["run"], second["against"]) == ("lam=2", "lam=3")


def test_each_benchmark_has_its_ranking(tmp_path: Path) -> None:
    def judged(name: str, right: int, lam: float, benchmark: str) -> None:
        results = [
            {"prompt": f"{benchmark} {i}", "rewards": [1.0], "judged": {"correct": i < right}}
            for i in range(20)
        ]
        config = with_setting("steering.lam", lam)
        eval_run(tmp_path / name, results, config=config, benchmark=benchmark)

    judged("a", 3, 0.5, "GenEval")
    judged("b", 18, 2.0, "GenEval")
    judged("c", 10, 0.5, "compose")
    run_of(tmp_path / "sample", [1.0, 2.0])
    study = tmp_path / "study"
    study.mkdir()
    for name in ("summary.json", "identity.json"):
        (study / name).write_text("{}")
    code, said, warned = command(*sorted(tmp_path.iterdir()), "--rank", "correct")
    assert code == 0
    geneval, compose, note = re.split(r"\n\n(?=compose|rank:)", said)
    assert geneval.startswith("GenEval: 20 prompts;") and note.startswith("rank: 1 and one for")
    better, worse = geneval.splitlines()[-2:]
    assert re.match(r" 1   lam=2.0 +16 +8 +3.00 +90", better)
    assert re.match(r" 2   lam=0.5 +16 +8 +3.00 +15", worse)
    assert "-75" in worse and "less the first" in geneval and "less" not in compose
    assert "holds a study" in warned and "glass sample: the runs have no correct" in warned
    assert len(warned.splitlines()) == 2
    code, _, error = command(*sorted(tmp_path.iterdir()), "--rank", "correct", "--csv", "x.csv")
    assert code == 2 and "of several benchmarks (GenEval, compose, glass sample)" in error


def test_runs_of_other_prompts_are_left_out(tmp_path: Path) -> None:
    run_of(tmp_path / "a", [1.0, 2.0, 3.0], steering__lam=1)
    run_of(tmp_path / "b", [4.0, 5.0, 7.0, 8.0], steering__lam=2)
    sample_run(tmp_path / "c", {"another": [1.0]}, config=with_setting("particles", 1))
    code, said, warned = command(tmp_path / "c", tmp_path / "a", tmp_path / "b", "--rank", "best")
    assert code == 0 and [line.split()[:2] for line in said.splitlines()[4:6]] == [
        ["1", "lam=2"], ["2", "lam=1"],
    ]  # fmt: skip
    assert "particles=1" in warned and "it is not ranked" in warned
    assert "1 of the 4 prompts and seeds of lam=2 are not in every run" in warned


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    a = run_of(tmp_path / "a", [1.0, 2.0])
    other = {**CONFIG, "reward": {"_target_": "glass_cli.rewards.linear.Linear"}}
    b = sample_run(tmp_path / "b", {"p0": [1.0], "p1": [2.0]}, config=other)
    for words, line in (
        ((a, "--rank", "corect"), "the runs have no corect"),
        ((a, "--rank", "bets"), "did you mean best?"),
        ((a, b, "--rank", "best"), "rewards differ in kind"),
        ((a, "--rank", "best", "--against", b), "leave out --against and --show"),
        ((tmp_path / "nowhere", "--rank", "best"), "is not a folder"),
        ((a, "--rank", "best", "--label", "x", "--label", "y"), "2 labels for 1 runs"),
    ):
        code, said, error = command(*words)
        assert code == 2 and said == "" and line in error and len(error.splitlines()) == 1, error
    with pytest.raises(GlassError, match=r"did you mean mean\?"):
        rank([read_run(a)], "meen")
