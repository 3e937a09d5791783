"""Real runs, as the engine writes them, to compare, report and sheet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from glass_cli.cli import app
from glass_cli.launch import launch
from glass_cli.output.reader import read_run

QUICK = ["wandb.mode=disabled", "particles=2", "sampler.transitions=2"]
EMOJI = [*QUICK, "calls=2", "launcher.threads=1"]
TINY = "# for tests\n_target_: eval_bench.Tiny\nimages: 2\nlimit: null\nstrict: 0.75\n"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine" / "benchmark").mkdir(parents=True)
    (tmp_path / "mine" / "benchmark" / "tiny.yaml").write_text(TINY)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _threads_as_they_were() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def glass(*words: str) -> str:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def evaluate(*words: str) -> None:
    assert launch(["-cd", "mine", "benchmark=tiny", *EMOJI, *words], config="eval") == 0


def test_a_summary_and_its_report_are_of_the_same_results() -> None:
    """Three prompts of two images, then five of one: of eight results in the folder five count."""
    evaluate("hydra.run.dir=run", "benchmark.limit=3")
    evaluate("hydra.run.dir=run", "benchmark.limit=5", "benchmark.images=1")
    assert len(list(Path("run/results").glob("*/*.json"))) == 8
    summary, run = json.loads(Path("run/summary.json").read_text()), read_run(Path("run"))
    assert summary["pictures"] == summary["prompts"] == len(run.results) == 5
    assert summary["units"] == {"images": 1, "prompts": [[0, 4]]}
    assert summary["means"]["reward"]["mean"] == pytest.approx(
        sum(r.reward or 0.0 for r in run.results) / 5
    )
    glass("report", "run")
    html = Path("run/report.html").read_text(encoding="utf-8")
    assert '<th scope="row">results</th><td>5</td>' in html and html.count("<article") == 5
    assert html.count("<img") == 5
    # the benchmark's scores as the summary has them
    for name, score in summary["scores"].items():
        assert f'<th scope="row">{name}</th><td>{score["mean"]:.3f}'[:-4] in html


def test_two_evaluations_side_by_side() -> None:
    for sampler in ("sde", "glass"):
        evaluate(f"hydra.run.dir={sampler}", f"sampler={sampler}", "benchmark.limit=2")
    assert "(2 rows)" in glass("sheet", "sde", "glass", "-o", "sheet.png")
    with Image.open("sheet.png") as sheet:
        # two images of two runs in a row
        assert sheet.width >= 4 * 128
    text = glass("compare", "sde", "glass")
    assert "less sde" in text and text.startswith("2 prompts, 4 results")


def test_a_sweep_s_table() -> None:
    words = ["model=gaussian_mixture", *QUICK, "prompts=[one, two]", "hydra.sweep.dir=sweep"]
    assert launch([*words, "sampler=glass,sde", "seed=0,1"], sweep=True) == 0
    text = glass("compare", "sweep")
    assert "glass (2 seeds)" in text and "sde (2 seeds)" in text
    assert text.startswith("2 prompts, 4 results")
    assert glass("report", "sweep").count("wrote") == 4


def test_a_sweep_of_evaluations_is_found_by_its_folder() -> None:
    evaluate("-m", "hydra.sweep.dir=sweep", "sampler=glass,sde", "benchmark.limit=1")
    text = glass("compare", "sweep")
    assert "less glass" in text and "1 prompt, 2 results" in text


def test_a_sheet_of_a_shorter_run_has_its_prompts_only() -> None:
    prompts = "prompts=[a photo of a red car, a photo of a dog, a photo of a cat]"
    words = [prompts, *EMOJI, "hydra.run.dir=run"]
    heights = []
    for limit in (3, 1):
        assert launch([*words, f"limit={limit}"]) == 0
        with Image.open("run/sheet.png") as sheet:
            heights.append(sheet.height)
    assert heights[1] < heights[0] / 2
    assert len(read_run(Path("run")).results) == 1
