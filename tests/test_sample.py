"""``glass sample`` from the command line to its folder, on models of closed form and tiny ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from tiny_pipeline import LENGTH, WIDTH, pipeline, tokenizer
from transformers import CLIPConfig, CLIPModel

from glass_cli.launch import launch
from glass_cli.rewards.linear import LoadedLinear

MIXTURE = ["model=gaussian_mixture", "wandb.mode=disabled"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Words that choose a tiny pipeline and a tiny CLIP, both random."""
    folder = tmp_path_factory.mktemp("tiny")
    pipeline().save_pretrained(folder / "model")
    torch.manual_seed(1)
    tok = tokenizer()
    layers = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    ends = {"bos_token_id": tok.bos_token_id, "eos_token_id": tok.eos_token_id}
    text = {
        "vocab_size": len(tok),
        "hidden_size": WIDTH,
        "max_position_embeddings": LENGTH,
        **layers,
        **ends,
    }
    vision = {"hidden_size": WIDTH, "image_size": 8, "patch_size": 4, **layers}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH)
    CLIPModel(config).save_pretrained(folder / "clip")
    tok.save_pretrained(folder / "clip")
    settings = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    (folder / "clip" / "preprocessor_config.json").write_text(json.dumps(settings))
    return [
        f"model.path={folder / 'model'}",
        "reward=clip",
        f"reward.path={folder / 'clip'}",
        "wandb.mode=disabled",
        "sampler.transitions=2",
        "sampler.steps=2",
        "particles=3",
    ]


def run(*words: str) -> Path:
    """Runs ``glass sample`` and returns its folder."""
    assert launch([*words, "hydra.run.dir=run"]) == 0
    return Path("run")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_pictures_tables_and_summary(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    prompt = "a dog, (a=cat) 'x' \"y\" [z]"
    folder = run(*tiny, f"prompt={prompt}", "seed=7")
    particles, steps = lines(folder / "particles.jsonl"), lines(folder / "steps.jsonl")
    summary = json.loads((folder / "summary.json").read_text())
    assert [p["particle"] for p in particles] == [0, 1, 2]
    assert all(p["prompt"] == prompt and p["seed"] == 7 for p in particles)
    best = max(particles, key=lambda p: p["reward"])
    assert [p["particle"] for p in particles if p["best"]] == [best["particle"]]
    # K = 2 transitions: a step at each of their ends; the last knows everything
    assert [s["step"] for s in steps] == [0, 1, 2]
    assert [s["nfe"] for s in steps] == [3, 3 * 3, 3 * 2 * 2]
    assert steps[0]["rewards"] is None and len(steps[1]["rewards"]) == 3
    assert summary["nfe"] == 12 and summary["nfe_per_particle"] == 4
    assert summary["means"]["best reward"]["mean"] == pytest.approx(best["reward"])
    assert summary["score"] == pytest.approx(best["reward"])
    assert set(summary["seconds_by_stage"]) >= {"load", "network", "decode", "reward", "record"}
    assert summary["peak_memory_bytes"] > 10_000_000
    with Image.open(folder / best["file"]) as picture:
        assert picture.size == (8, 8)
        assert picture.text["prompt"] == prompt  # type: ignore[attr-defined]
        assert json.loads(picture.text["settings"])["sampler.steps"] == 2  # type: ignore[attr-defined]
        assert float(picture.text["reward"]) == pytest.approx(best["reward"])  # type: ignore[attr-defined]
    assert Image.open(folder / "sheet.png").width > 3 * 128
    assert yaml.safe_load((folder / "config.yaml").read_text())["prompt"] == prompt
    assert "sheet.png" in capsys.readouterr().out


def test_micro_batches_give_the_same_pictures(tiny: list[str], tmp_path: Path) -> None:
    pictures = []
    for size in (1, 2, 3):
        folder = run(*tiny, "prompt=a dog", f"micro_batch={size}").rename(f"run{size}")
        files = [folder / p["file"] for p in lines(folder / "particles.jsonl")]
        pictures.append(np.stack([np.asarray(Image.open(file)) for file in files]).astype(int))
    for other in pictures[1:]:
        # sums in another order may move a value across a rounding edge, by one of 255 levels
        assert abs(pictures[0] - other).max() <= 1


def test_a_prompt_does_not_depend_on_its_neighbours(tiny: list[str]) -> None:
    Path("prompts.txt").write_text("a cat\n\na dog\n")
    both = lines(run(*tiny, "prompts=prompts.txt").rename("both") / "particles.jsonl")
    alone = lines(run(*tiny, "prompt=a dog") / "particles.jsonl")
    assert [p["reward"] for p in both if p["prompt"] == "a dog"] == [p["reward"] for p in alone]


@pytest.mark.parametrize("steering", ["none", "best_of_n"])
def test_unsteered_particles_are_not_scored_on_the_way(tiny: list[str], steering: str) -> None:
    folder = run(*tiny, f"steering={steering}", "prompt=a dog")
    assert [s["rewards"] is None for s in lines(folder / "steps.jsonl")] == [True, True, False]
    chosen = [p["best"] for p in lines(folder / "particles.jsonl")]
    assert sum(chosen) == (1 if steering == "best_of_n" else 0)


def test_without_a_reward(tiny: list[str]) -> None:
    words = [word for word in tiny if not word.startswith("reward.")]
    folder = run(*words, "steering=none", "reward=null", "prompt=a dog")
    assert [p["reward"] for p in lines(folder / "particles.jsonl")] == [None, None, None]
    assert len(list((folder / "images").rglob("*.png"))) == 3


@pytest.mark.plots
@pytest.mark.parametrize("sampler", ["ode", "sde", "glass"])
def test_the_mixture_is_plotted_against_its_density(sampler: str) -> None:
    folder = run(*MIXTURE, f"sampler={sampler}", "particles=20", "sampler.steps=4")
    assert Image.open(folder / "density.png").width > 300
    points = [p["point"] for p in lines(folder / "particles.jsonl")]
    assert np.shape(points) == (20, 2)
    assert not (folder / "images").exists()


@pytest.mark.plots
def test_in_one_dimension() -> None:
    assert (run(*MIXTURE, "model.dim=1", "particles=8") / "density.png").exists()


@pytest.mark.plots
def test_every_prompt_has_its_own_density() -> None:
    words = [*MIXTURE, "particles=4", "sampler.steps=2", "hydra.run.dir=run"]
    folder = run(*words, "prompts=[one, two, three]", "limit=1")
    first = (folder / "density.png").read_bytes()
    single = np.asarray(Image.open(folder / "density.png"))
    run(*words, "prompts=[one, two, three]")
    plots = [np.asarray(Image.open(folder / f"density/{i:05d}.png")) for i in range(3)]
    assert (plots[0][..., :3] == single).all()
    assert not (plots[1] == plots[2]).all(), "another prompt's points, under its own title"
    page = np.asarray(Image.open(folder / "density.png"))
    height, width = single.shape[:2]
    assert page.shape == (2 * height, 2 * width, 3)
    for i, plot in enumerate(plots):
        top, left = i // 2 * height, i % 2 * width
        assert (page[top : top + height, left : left + width] == plot[..., :3]).all()
    assert (page[height:, width:] == 255).all()
    run(*words, "prompts=[one, two, three]", "limit=1", "fresh=true")
    assert (folder / "density.png").read_bytes() == first
    assert [path.name for path in (folder / "density").iterdir()] == ["00000.png"]


@pytest.mark.plots
def test_plots_of_the_first_prompts_say_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("engine.worker", "engine.sample"):
        monkeypatch.setattr(f"glass_cli.{module}.DENSITY_PROMPTS", 2)
    words = [*MIXTURE, "particles=2", "sampler.steps=1", "hydra.run.dir=run"]
    folder = run(*words, "prompts=[one, two, three]")
    assert len(list((folder / "density").iterdir())) == 2
    assert "density.png (the first 2 of 3 prompts)" in capsys.readouterr().out
    run(*words, "prompts=[one, two, three]", "limit=2", "fresh=true")
    assert "the first" not in capsys.readouterr().out


def test_a_direction_that_is_too_long_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert launch([*MIXTURE, "reward.direction=[1,0,0]"]) == 2
    assert "reward.direction" in capsys.readouterr().err


def test_a_reward_that_is_not_finite_names_particle_and_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second prompt fails half-way; the first one's results stay, and no summary is written."""
    calls: list[int] = []

    def score(self: LoadedLinear, samples: torch.Tensor, prompt: str) -> torch.Tensor:
        calls.append(1)
        r = samples[:, 0].clone()
        if prompt == "two" and len(calls) > 6:
            r[3] = float("nan")
        return r

    monkeypatch.setattr(LoadedLinear, "score", score)
    words = [*MIXTURE, "prompts=[one,two]", "particles=5", "hydra.run.dir=run"]
    assert launch(words) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "particle 3 is nan at step 2" in said and "two" in said
    assert [p["prompt"] for p in lines(Path("run/particles.jsonl"))] == ["one"] * 5
    assert not Path("run/summary.json").exists()


def test_a_sweep_over_samplers_and_particles() -> None:
    words = [*MIXTURE, "particles=4,5", "sampler=sde,glass", "sampler.steps=2"]
    assert launch([*words, "hydra.sweep.dir=sweep"], sweep=True) == 0
    sizes = [json.loads(f.read_text())["particles"] for f in Path("sweep").rglob("summary.json")]
    assert sorted(sizes) == [4, 4, 5, 5]
