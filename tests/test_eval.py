"""``glass eval`` from the command line to its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import REPOSITORY
from eval_runs import EMOJI, NAME, POINTS, evaluate, read, write_benchmarks
from PIL import Image

from glass_cli.common.statistics import bootstrap_interval, stratified_interval
from glass_cli.engine.worker import seed_of
from glass_cli.launch import launch


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_benchmarks(tmp_path / "mine")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture(autouse=True)
def _threads_as_they_were() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_pictures_results_and_summary(capsys: pytest.CaptureFixture[str]) -> None:
    """What lies in the folder, against `glass sample` and the pictures themselves."""
    words = [
        *EMOJI,
        "reward=clip",
        "benchmark.limit=3",
        "metrics=[clip]",
        "thumbnails=true",
        "seed=5",
    ]
    assert evaluate(*words) == 0
    (folder,) = Path("outputs/eval").iterdir()
    chosen, rest = "tiny-emoji-glass-fk-clip", "particles_2-steps_1-transitions_2-seed_5"
    assert folder.name == f"{chosen}-metrics_clip-{rest}"
    results = [read(p) for p in sorted((folder / "results").glob("*/*.json"))]
    keys = [(r["prompt_index"], r["image_index"]) for r in results]
    assert keys == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert len({digest for r in results for digest in r["sha256"].values()}) == 6
    for r in results:
        inside = Path("images", f"{r['prompt_index']:05d}")
        assert read(folder / inside / "metadata.jsonl")["prompt"] == r["prompt"]
        png = folder / inside / "samples" / f"{r['image_index']:04d}.png"
        with Image.open(png) as picture:
            pixels = np.asarray(picture).astype(np.float64) / 255.0
            text = picture.text  # type: ignore[attr-defined]
        assert (text["prompt"], int(text["seed"])) == (r["prompt"], r["seed"])
        assert json.loads(text["settings"])["particles"] == 2
        # judged as saved, in 256 levels; its pixels are kept in float32
        assert r["judged"]["value"] == pytest.approx(pixels.mean(), abs=1e-6)
        assert r["judged"]["correct"] == (r["judged"]["value"] > 0.75)
        assert r["judged"]["seen"] == [3, *pixels.shape[:2]]
        assert r["reward"] == r["rewards"][r["chosen"]] == max(r["rewards"])
        assert r["metrics"] == {"clip": r["reward"]}
        # K=2 transitions of one call for 2 particles, scored before the second and at the end
        assert (r["nfe"], r["reward_calls"]) == (4, 4)
        assert [s["step"] for s in r["steps"]] == [0, 1, 2] and "seconds" not in r["steps"][0]
        times = read(folder / "times" / f"{r['prompt_index']:05d}" / f"{r['image_index']:04d}.json")
        stages = [v for k, v in times["seconds_by_stage"].items() if k != "load"]
        assert 0 < sum(stages) <= times["seconds"]
    strips = sorted(p.name for p in (folder / "thumbs" / "00000" / "0000").iterdir())
    assert strips == ["step-001.webp", "step-002.webp"]
    summary = read(folder / "summary.json")
    parts = {
        part: [
            np.mean([r["judged"]["correct"] for r in results if r["prompt_index"] == i])
            for i in indices
        ]
        for part, indices in {"even": [0, 2], "odd": [1]}.items()
    }
    shares = {part: float(np.mean(values)) for part, values in parts.items()}
    scores = summary["scores"]
    assert {part: scores[part]["mean"] for part in shares} == shares
    assert scores["overall"]["mean"] == pytest.approx(np.mean([*shares.values()]))
    assert summary["score"] == scores["overall"]["mean"]
    assert scores["overall"]["interval95"] == list(stratified_interval([*parts.values()]) or ())
    rewards = np.reshape([r["reward"] for r in results], (3, 2)).mean(1)
    assert summary["means"]["reward"]["mean"] == pytest.approx(rewards.mean())
    expected = bootstrap_interval(rewards.tolist())
    assert summary["means"]["reward"]["interval95"] == pytest.approx(expected)
    assert (summary["pictures"], summary["nfe"], summary["nfe_per_picture"]) == (6, 24, 4)
    assert yaml.safe_load((folder / "config.yaml").read_text())["seed"] == 5
    out = capsys.readouterr().out
    assert "overall" in out and "summary.json" in out

    # picture 1 of a prompt is what glass sample draws with its seed
    words = [word for word in EMOJI if not word.startswith(("benchmark", "launcher"))]
    other = [*words, f"prompt={results[3]['prompt']}", f"seed={results[3]['seed']}"]
    assert launch([*other, "hydra.run.dir=sample"]) == 0
    sampled = Path("sample/images/00000") / f"{results[3]['chosen']:04d}.png"
    ours = folder / "images" / "00001" / "samples" / "0001.png"
    assert np.array_equal(np.asarray(Image.open(sampled)), np.asarray(Image.open(ours)))


def test_seeds_of_neighbouring_runs_share_no_picture() -> None:
    seeds = [seed_of(seed, image) for seed in range(50) for image in range(8)]
    assert len(set(seeds)) == len(seeds) and all(0 <= seed < 2**53 for seed in seeds)
    assert seed_of(7, 0) == 7


def test_names_make_folders_of_their_own() -> None:
    assert evaluate(*POINTS, "benchmark.limit=1", "name=mine", "seed=3") == 0
    assert evaluate(*POINTS, "benchmark.limit=1", "steering=none", "reward=null") == 0
    names = sorted(p.name for p in Path("outputs/eval").iterdir())
    assert names == [f"{NAME}-seed_3-mine", NAME.replace("-fk-linear", "-none")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["benchmark=tiny", *POINTS[1:]], "judges images, model=gaussian_mixture gives points"),
        ([*POINTS, "prompts=[a]"], "benchmark=prompts benchmark.path=FILE"),
        ([*POINTS, "benchmark=null"], "needs a benchmark"),
        ([*POINTS, "launcher=rya"], "unknown launcher rya; did you mean ray?"),
        ([*POINTS, "launcher.threads=0"], "launcher.threads must be at least 1"),
        ([*POINTS, "launcher=ray", "launcher.workers=0"], "launcher.workers must be at least 1"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_written(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(*words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not Path("outputs").exists()


def test_a_judge_that_cannot_be_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(*POINTS, "benchmark.missing=true") == 2
    assert "judge's weights are not there" in capsys.readouterr().err


def test_without_ray_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("glass_cli.engine.launchers.ray_actors.find_spec", lambda name: None)
    assert evaluate(*POINTS, "launcher=ray") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'glass_cli[ray]'" in line


def test_a_study_brings_its_own_summary() -> None:
    words = [word for word in POINTS if not word.startswith("benchmark")]
    assert evaluate("benchmark=study", *words) == 0
    folder = Path("outputs/eval", NAME.replace("tiny_points", "study"))
    summary = read(folder / "summary.json")
    assert summary.pop("versions")
    assert summary == {"benchmark": "Study", "score": 8.0}


def test_conf_of_eval_is_that_of_sample_and_more() -> None:
    text = (REPOSITORY / "conf" / "eval.yaml").read_text()
    assert "config" in yaml.safe_load(text)["defaults"]
