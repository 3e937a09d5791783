"""A run beside what is published of it: a file of results, another run, a paper's figures."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_runs import CONFIG, eval_run, with_setting

from glass_cli.common.errors import GlassError
from glass_cli.report.agreement import difference
from glass_cli.report.commands import compare_runs
from glass_cli.report.quantities import Estimate
from glass_cli.report.results_file import as_csv, read_rows, row_of
from glass_cli.report.run_groups import group_seeds, read_runs

PROMPTS = 40


def made(
    folder: Path, shift: float = 0.0, prompts: int = PROMPTS, seed: int = 0, **config: Any
) -> Path:
    """An evaluation of normal rewards of mean 50 + shift and standard deviation 5."""
    rng = np.random.default_rng(seed)
    results = [
        {
            "prompt": f"prompt {i}",
            "rewards": (50.0 + shift + 5.0 * rng.standard_normal(2)).tolist(),
            "judged": {"correct": bool(rng.random() < 0.5)},
            "tag": "counting" if i % 2 else "colors",
            "seed": seed,
        }
        for i in range(prompts)
    ]
    eval_run(folder, results, config={**CONFIG, "seed": seed, **config})
    summary = folder / "summary.json"
    versions = {"glass": "1", "commit": "c0ffee", "weights": {"embedded:emoji": "aa"}}
    text = json.loads(summary.read_text())
    summary.write_text(json.dumps({**text, "versions": [versions]}))
    return folder


def results_file(path: Path, **runs: Path) -> Path:
    rows = []
    for name, folder in runs.items():
        (group,) = group_seeds(read_runs([folder])[0])
        rows.append(row_of(name, group, f"glass eval experiment={name}"))
    path.write_text(as_csv(rows))
    return path


def compared(*paths: Path) -> tuple[str, list[str]]:
    return compare_runs(paths, None, [], [], None, None, None)


def test_a_file_of_results_reads_back(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    (group,) = group_seeds(read_runs([run])[0])
    row = row_of("one", group, "glass eval experiment=one")
    file = results_file(tmp_path / "results.csv", one=run)
    (read,) = read_rows(file)
    # a quantity's number of prompts is not in the file, all else is, to the last digit
    for key, estimate in read.estimates.items():
        assert (estimate.mean, estimate.interval) == (
            row.estimates[key].mean,
            row.estimates[key].interval,
        )
    assert {**vars(read), "estimates": 0} == {**vars(row), "estimates": 0}
    assert {"answer", "best", "mean", "correct", "correct.colors"} <= {*read.estimates}
    assert read.settings["sampler.transitions"] == 2 and "seed" not in read.settings
    assert read.versions == (
        {"glass": "1", "commit": "c0ffee", "weights": {"embedded:emoji": "aa"}},
    )
    rewards = [
        json.loads(p.read_text())["reward"] for p in sorted((run / "results").rglob("*.js*"))
    ]
    assert read.estimates["answer"].mean == pytest.approx(np.mean(rewards))


def test_the_same_settings_again_agree(tmp_path: Path) -> None:
    file = results_file(tmp_path / "results.csv", one=made(tmp_path / "published"))
    text, warnings = compared(file, made(tmp_path / "fresh", seed=1))
    assert "they agree within their 95 % intervals" in text and "differs" not in text
    assert text.startswith(f"one of {file} (GenEval), and {tmp_path / 'fresh'}")
    assert warnings == ["one: the file is of seed 0, the run of seed 1"]


def test_another_mean_differs(tmp_path: Path) -> None:
    file = results_file(tmp_path / "results.csv", one=made(tmp_path / "published"))
    text, _ = compared(file, made(tmp_path / "fresh", shift=4.0, seed=1))
    assert "they differ in answer, best, mean, of" in text
    verdicts = [line.split()[-1] for line in text.splitlines() if line.startswith("reward of")]
    assert verdicts == ["differs"] * 3
    judged = next(line for line in text.splitlines() if line.startswith("judged correct"))
    assert judged.split()[-1] == "agrees"


def test_what_was_made_otherwise_is_said(tmp_path: Path) -> None:
    file = results_file(tmp_path / "results.csv", one=made(tmp_path / "published"))
    fresh = made(tmp_path / "fresh", prompts=10)
    summary = json.loads((fresh / "summary.json").read_text())
    summary["versions"] = [{"glass": "2", "weights": {"embedded:emoji": "bb"}}]
    (fresh / "summary.json").write_text(json.dumps(summary))
    text, warnings = compared(file, fresh)
    assert "(of 40 and 10 prompts, which may differ in how hard they are" in text
    assert warnings == [
        "one: the file is of 40 prompts, the run of 10 of them",
        "one: glass was 1 in the file, and is 2 in the run",
        "one: commit was c0ffee in the file, and is not known in the run",
        "one: the weights of embedded:emoji are others: aa in the file, bb in the run",
    ]


def test_a_run_of_other_settings_is_refused(tmp_path: Path) -> None:
    other = with_setting("sampler.transitions", 3)
    runs = {
        "near": made(tmp_path / "a"),
        "far": made(tmp_path / "b", **with_setting("steering", 1)),
    }
    file = results_file(tmp_path / "results.csv", **runs)
    with pytest.raises(GlassError) as refused:
        compared(file, made(tmp_path / "fresh", **other))
    assert str(refused.value) == (
        f"no row of {file} has the settings of {tmp_path / 'fresh'}; the nearest is near, with"
        " sampler.transitions=2 (the run: 3)"
    )
    with pytest.raises(GlassError, match="is a file of results; name a run"):
        compared(file)


def test_where_a_list_of_prompts_lies_does_not_matter(tmp_path: Path) -> None:
    benchmark = {"_target_": "glass_cli.benchmarks.geneval.GenEval", "images": 1, "limit": None}
    runs = []
    for name in ("published", "/here/evaluation_metadata.jsonl"):
        folder = made(tmp_path / name.strip("/").replace("/", "-"))
        text = (folder / "config.yaml").read_text()
        assert "benchmark:\n" in text
        (folder / "config.yaml").write_text(
            text.replace("benchmark:\n", f"benchmark:\n  path: {name}\n", 1)
        )
        runs.append(folder)
    assert benchmark["images"] == 1
    file = results_file(tmp_path / "results.csv", one=runs[0])
    assert "they agree" in compared(file, runs[1])[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "is no file of results: it has no column run"),
        (None, "cannot be read"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "results.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(GlassError, match=message) as refused:
        read_rows(path)
    assert "\n" not in str(refused.value)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    file = results_file(tmp_path / "results.csv", one=made(tmp_path / "run"))
    with file.open(newline="") as read:
        rows = list(csv.DictReader(read))
    for column, value in (("settings", "{"), ("prompts", "many"), ("answer", "x"), ("seeds", "a")):
        with file.open("w", newline="") as write:
            out = csv.DictWriter(write, [*rows[0]])
            out.writeheader()
            out.writerow({**rows[0], column: value})
        with pytest.raises(GlassError, match="is damaged"):
            read_rows(file)


def test_intervals_of_differences_cover() -> None:
    """Of 1,000 pairs of samples whose means differ by 1, 95 % hold it; normal intervals."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(1000):
        sides = []
        for mean, n, spread in ((1.0, 50, 2.0), (0.0, 200, 3.0)):
            x = mean + spread * rng.standard_normal(n)
            half = 1.96 * x.std(ddof=1) / np.sqrt(n)
            sides.append(Estimate(float(x.mean()), (x.mean() - half, x.mean() + half), n))
        found = difference(*sides)
        assert found is not None and found.interval is not None
        inside += found.interval[0] <= 1.0 <= found.interval[1]
    assert 930 <= inside <= 970


def test_runs_of_the_same_settings_beside_each_other(tmp_path: Path) -> None:
    one, again = made(tmp_path / "one"), made(tmp_path / "again")
    text, _ = compared(one, again)
    assert text.splitlines()[-1].endswith(
        "have the same settings, and agree within their intervals"
    )
    results = sorted((again / "results").rglob("*.json"))
    for path in results:  # another machine whose rewards are higher
        record = json.loads(path.read_text())
        record["reward"] += 1.0
        path.write_text(json.dumps(record))
    text, _ = compared(one, again)
    assert text.splitlines()[-1].endswith("have the same settings, and differ in answer")
    other = made(tmp_path / "other", **with_setting("sampler.transitions", 3))
    assert "same settings" not in compared(one, other)[0]


PUBLISHED = {
    "source": "A paper, Table 1",
    "values": {"answer": 60.0, "correct": 50.0},
    "with_reward": {"pickscore": {"answer": 40.0}},
}


def overridden(folder: Path, *words: str) -> Path:
    (folder / "overrides.yaml").write_text(json.dumps(words))
    return folder


def test_a_papers_figures_beside_the_measured(tmp_path: Path) -> None:
    run = made(tmp_path / "run", published=PUBLISHED)
    text, _ = compared(overridden(run, "experiment=paper/x", "device=cpu", "benchmark.limit=9"))
    lines = text.splitlines()
    assert lines[0].endswith("A paper, Table 1")
    verdicts = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in lines[3:]}
    assert verdicts["reward of the answer"] == "measured below"
    assert verdicts["judged correct, %"] == "within"
    assert "other settings" not in text
    text, _ = compared(overridden(run, "experiment=paper/x", "calls=10", "seed=3"))
    assert text.splitlines()[-1] == "with other settings than the published: calls=10"
    # beside other runs too
    text, _ = compared(run, made(tmp_path / "other", **with_setting("sampler.transitions", 3)))
    assert "A paper, Table 1" in text


def test_the_figures_of_another_reward(tmp_path: Path) -> None:
    run = made(tmp_path / "run", published=PUBLISHED)
    text, _ = compared(overridden(run, "experiment=paper/x", "reward=pickscore"))
    lines = [line for line in text.splitlines() if line.startswith(("reward of", "judged"))]
    assert len(lines) == 1 and lines[0].endswith("measured above")
    with pytest.raises(GlassError, match="one run has nothing to stand against"):
        compared(overridden(run, "experiment=paper/x", "reward=clip"))
