"""What a run says of itself beside its results: thumbnails that are missing, number types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eval_runs import EMOJI, evaluate, write_benchmarks

from glass_cli.launch import launch

FEW = ["particles=2", "sampler.transitions=2", "sampler.steps=1", "wandb.mode=disabled"]
FOLDER = Path("run")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_benchmarks(tmp_path / "mine")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text())


def test_thumbnails_of_finished_pictures_are_said_to_be_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [*EMOJI, "hydra.run.dir=run", "benchmark.images=1"]
    assert evaluate(*words, "benchmark.limit=1") == 0
    assert evaluate(*words, "benchmark.limit=1") == 0
    assert "thumbnails" not in capsys.readouterr().err
    assert evaluate(*words, "benchmark.limit=2", "thumbnails=true") == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "thumbnails" in line]
    assert said == [
        "glass: thumbnails=true: 1 of 1 finished pictures were drawn without, and thumbnails are"
        " made while a picture is drawn; --fresh draws them anew"
    ]
    assert len(list((FOLDER / "thumbs").iterdir())) == 1
    assert evaluate(*words, "benchmark.limit=2", "thumbnails=true", "fresh=true") == 0
    assert len(list((FOLDER / "thumbs").iterdir())) == 2
    capsys.readouterr()
    assert evaluate(*words, "benchmark.limit=2", "thumbnails=true") == 0
    assert "thumbnails" not in capsys.readouterr().err


def test_points_have_no_thumbnails(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model=gaussian_mixture", *FEW, "hydra.run.dir=run", "thumbnails=true"]
    assert launch(words) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "thumbnails" in line]
    assert said == ["glass: thumbnails=true: there are none of what this model gives (points)"]


def test_nothing_is_said_where_nothing_was_scored_on_the_way(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [*FEW, "hydra.run.dir=run", "thumbnails=true"]
    for more in (["steering=best_of_n"], ["steering=best_of_n", "limit=1"]):
        assert launch([*words, *more]) == 0
    assert "thumbnails" not in capsys.readouterr().err


@pytest.mark.parametrize(("word", "kind"), [("auto", "float32"), ("bfloat16", "bfloat16")])
def test_the_number_type_is_recorded_as_what_it_became(word: str, kind: str) -> None:
    assert launch([*FEW, "hydra.run.dir=run", "device=cpu", f"dtype={word}", "particles=1"]) == 0
    assert read("summary.json")["dtypes"] == [kind]
    assert read("times/00000/0000.json")["dtype"] == kind


@pytest.mark.parametrize(("particles", "said"), [(1002, True), (1000, False)])
def test_long_steps_are_announced(
    particles: int, said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["model=gaussian_mixture", *FEW, "hydra.run.dir=run", "micro_batch=2"]
    assert launch([*words, f"particles={particles}"]) == 0
    line = f"particles={particles} are 501 batches of micro_batch=2 a step"
    assert (line in capsys.readouterr().err) == said
