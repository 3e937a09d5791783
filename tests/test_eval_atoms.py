"""``glass eval`` of benchmarks that judge atoms: from the command line to the summary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_vision_language as tiny
import torch
from test_geneval2 import RECORDS, write

from glass_cli.benchmarks.compose import Compose
from glass_cli.launch import launch

SMALL = ["sampler=ode", "calls=2", "particles=2", "wandb.mode=disabled", "launcher.threads=1"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def evaluate(*words: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The summary, and what was judged of each picture."""
    assert launch([*words, *SMALL, "hydra.run.dir=out"], False, config="eval") == 0
    results = [json.loads(path.read_text()) for path in sorted(Path("out/results").rglob("*.json"))]
    return json.loads(Path("out/summary.json").read_text()), [one["judged"] for one in results]


def test_compose() -> None:
    wanted = Compose(limit=3).records()
    summary, judged = evaluate("benchmark=compose", "benchmark.limit=3", "steering=best_of_n")
    assert summary["benchmark"] == Compose().title
    scores, means = summary["scores"], summary["means"]
    assert summary["score"] == scores["correct"]["mean"]
    assert {f"correct, {len(r['atoms'])} atoms" for r in wanted} < {*scores}
    assert "correct, nothing else, 2 atoms" in scores
    # what the scores say the means do not say again
    assert not {*scores} & {*means} and {*means} == {"reward", "best reward", "mean reward"}
    assert scores["arithmetic mean"]["mean"] == pytest.approx(
        sum(one["arithmetic mean"] for one in judged) / 3
    )
    assert sorted(one["tag"] for one in judged) == ["2 atoms", "3 atoms", "4 atoms"]


def test_geneval2_and_vqa(tmp_path: Path) -> None:
    judge = tiny.write(tmp_path / "judge")
    path = write(tmp_path / "list.jsonl", RECORDS)
    summary, judged = evaluate(
        "benchmark=geneval2",
        f"benchmark.path={path}",
        f"benchmark.judge={judge}",
        "reward=vqa",
        f"reward.path={judge}",
        "reward.question='Is \"{prompt}\" there, yes or no?'",
        "steering.lam=auto",
    )
    assert summary["benchmark"] == "GenEval 2 (judge)"
    assert summary["score"] == summary["scores"]["geometric mean"]["mean"] > 0.0
    assert 0.0 < summary["means"]["reward"]["mean"] < 1.0
    assert [len(one["atoms"]) for one in judged] == [3, 5]
