"""The command `glass compare`: runs, sweeps and seeds, unfinished runs, mistakes."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from comparisons import run_command, two_runs
from example_runs import eval_run, sample_run, with_setting

from glass_cli.output.reader import read_run
from glass_cli.report.quantities import quantities


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
