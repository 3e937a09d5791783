"""The table that ends a sweep, and what W&B calls its runs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from example_runs import CONFIG, eval_run, sample_run, with_setting

from glass_cli.common.statistics import bootstrap_interval
from glass_cli.config.sweep_names import job_name
from glass_cli.launch import launch
from glass_cli.report.sweep_table import sweep_table

MIXTURE = ["model=gaussian_mixture", "sampler.steps=2", "particles=4", "wandb.mode=disabled"]


def jobs(sweep: Path, seeds: Sequence[int] = (0, 1)) -> list[Path]:
    """lam in (0.5, 2) times seeds; the best reward of prompt p is p^2 + seed + 10 lam."""
    folders: list[Path] = []
    for lam in (0.5, 2.0):
        for seed in seeds:
            rewards = {f"p{p}": [0.0, p * p + seed + 10 * lam] for p in range(4)}
            config = with_setting("steering.lam", lam)
            folders.append(sample_run(sweep / str(len(folders)), rewards, config=config, seed=seed))
    (sweep / "multirun.yaml").write_text("{}")
    return folders


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r" {2,}", line.strip())]


def test_a_row_for_what_varies_with_seeds_together(tmp_path: Path) -> None:
    jobs(tmp_path / "sweep")
    table = sweep_table(tmp_path / "sweep")
    assert table is not None
    _, head, _, *rows, empty, note, hint = table.splitlines()
    assert cells(head) == ["NFE", "reward of the best particle", "reward of the mean particle"]
    assert [cells(row)[:2] for row in rows] == [
        ["lam=0.5 (2 seeds)", "16"], ["lam=2.0 (2 seeds)", "16"],
    ]  # fmt: skip
    assert empty == "" and note.startswith("4 prompts; 95 % bootstrap intervals")
    assert hint.endswith(f"glass compare {tmp_path / 'sweep'}")
    for row, lam in zip(rows, (0.5, 2.0), strict=True):
        means = [p * p + 0.5 + 10 * lam for p in range(4)]  # of both seeds, a prompt each
        found = [float(text) for text in re.findall(r"-?\d+\.?\d*", cells(row)[2])]
        interval = bootstrap_interval(means)
        assert interval is not None
        assert found == pytest.approx([math.fsum(means) / 4, *interval], abs=0.051)


def test_a_single_prompt_has_intervals_over_its_seeds(tmp_path: Path) -> None:
    rewards = [1.0, 5.0, 2.0]
    for seed, reward in enumerate(rewards):
        sample_run(tmp_path / str(seed), {"one": [0.0, reward]}, seed=seed)
    table = sweep_table(tmp_path)
    assert table is not None
    row, note = table.splitlines()[3], table.splitlines()[5]
    found = [float(text) for text in re.findall(r"-?\d+\.?\d*", cells(row)[2])]
    interval = bootstrap_interval(rewards)
    assert interval is not None
    assert found == pytest.approx([8 / 3, *interval], abs=0.051)
    assert note.startswith("1 prompt; 95 % bootstrap intervals over its results")


def test_only_finished_runs_have_a_row(tmp_path: Path) -> None:
    folders = jobs(tmp_path / "sweep")
    for job in folders[1:3]:
        (job / "summary.json").unlink()
    table = sweep_table(tmp_path / "sweep")
    assert table is not None and "lam=0.5  " in table and "lam=2.0  " in table
    assert "seeds" not in table and "less" not in table
    (folders[0] / "results" / "00001" / "0000.json").write_text("{")
    assert sweep_table(tmp_path / "sweep") is None, "one is left, and one is damaged"
    assert sweep_table(tmp_path / "nothing") is None


def test_verdicts_and_scores_of_a_benchmark(tmp_path: Path) -> None:
    judged = {"correct": True, "atoms": 0.75, "other": 3.0, "tag": "colors"}
    scores = {"atoms": {"mean": 0.75, "interval95": None, "prompts": 2}}
    for number, lam in enumerate((0.5, 2.0)):
        results = [{"prompt": p, "rewards": [1.0], "judged": judged, "tag": "colors"} for p in "ab"]
        config = with_setting("steering.lam", lam)
        eval_run(tmp_path / str(number), results, config=config, scores=scores)
    table = sweep_table(tmp_path)
    assert table is not None
    head, row = (cells(table.splitlines()[i]) for i in (1, 3))
    assert head[:2] == ["NFE", "reward of the best particle"]
    assert head[3:] == ["judged correct, %", "judged atoms"]
    assert row[0] == "lam=0.5" and row[-2].startswith("100") and row[-1].startswith("0.75")


def test_prompts_that_vary_are_the_rows(tmp_path: Path) -> None:
    for number, prompt in enumerate(("a cat", "two dogs")):
        config = {**CONFIG, "prompt": prompt}
        sample_run(tmp_path / str(number), {prompt: [1.0, 2.0]}, config=config)
    table = sweep_table(tmp_path)
    assert table is not None
    assert [cells(line)[0] for line in table.splitlines()[3:5]] == ["a cat", "two dogs"]
    assert "glass compare" not in table, "nothing of them can be paired"


@pytest.mark.parametrize(
    ("overrides", "swept", "name"),
    [
        (["sampler=sde", "steering.lam=2", "seed=3"], ["sampler", "steering.lam"], "sde, lam=2"),
        (["experiment=paper/x"], ["experiment"], "paper/x"),
        (["seed=3", "particles=4"], ["seed"], "seed=3"),
        (["a.path=x", "b.path=y"], ["a.path", "b.path"], "a.path=x, b.path=y"),
        (["~reward"], ["reward"], "no reward"),
        (["++reward.terms.x=1"], ["reward.terms.x"], "x=1"),
        (["seed=3"], [], ""),
    ],
)  # fmt: skip
def test_a_job_is_called_by_what_varies(overrides: list[str], swept: list[str], name: str) -> None:
    assert job_name(overrides, swept) == name


def test_a_sweep_ends_with_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*MIXTURE, "sampler=sde,glass", "hydra.sweep.dir=wide"]
    assert launch([*words, "seed=0,1"], sweep=True) == 0
    out = capsys.readouterr().out
    assert out.endswith(f"{sweep_table(Path('wide'))}\n")
    rows = out.splitlines()[-5:-3]
    assert [cells(row)[0] for row in rows] == ["sde (2 seeds)", "glass (2 seeds)"]
    shown = [yaml.safe_load(Path(f"wide/{i}/config.yaml").read_text())["wandb"] for i in range(4)]
    assert {own["group"] for own in shown} == {"wide"}
    names = [own["name"] for own in shown]
    assert names == ["sde, seed=0", "sde, seed=1", "glass, seed=0", "glass, seed=1"]


def test_one_finished_job_has_no_table_and_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*MIXTURE, "hydra.sweep.dir=one", "wandb.group=mine", "wandb.name=${seed}th"]
    assert launch([*words, "seed=7"], sweep=True) == 0
    assert "bootstrap" not in capsys.readouterr().out
    own = yaml.safe_load(Path("one/0/config.yaml").read_text())["wandb"]
    assert (own["group"], own["name"]) == ("mine", "7th")
