"""`import glass_cli as glass`: what it gives, when, and that it draws what the engine does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import REPOSITORY
from PIL import Image
from tiny_pipeline import pipeline
from torch import Tensor

import glass_cli as glass
from glass_cli.common.stages import Stages
from glass_cli.config.build import build
from glass_cli.config.choice_files import choice_settings
from glass_cli.engine.draw import Work, draw
from glass_cli.models.base import LoadedModel
from glass_cli.rewards.clip import LoadedClip
from glass_cli.rewards.pixels import to_uint8

PROMPT = "a photo of a red car"
EMOJI = REPOSITORY / "glass_cli" / "embedded" / "weights" / "emoji"


@pytest.fixture(scope="module")
def emoji() -> LoadedModel:
    return glass.load_model("emoji", device="cpu")


@pytest.fixture(scope="module")
def points() -> LoadedModel:
    return glass.load_model("gaussian_mixture", dim=1, components=1, std=0.5, radius=0.0)


def redness(images: Tensor) -> Tensor:
    return images[:, 0].mean((1, 2))


def first(x: Tensor) -> Tensor:
    return x[:, 0]


def test_every_name_is_there_and_shown() -> None:
    assert sorted(glass.__all__) == glass.__all__
    assert set(glass.__all__) <= set(dir(glass))
    for name in glass.__all__:
        assert getattr(glass, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'glas'"):
        _ = glass.glas


def test_importing_it_imports_nothing() -> None:
    code = """
import sys
before = set(sys.modules)
import glass_cli
heavy = {"torch", "numpy", "diffusers", "transformers", "hydra", "omegaconf", "wandb", "PIL"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
glass_cli.Glass(), glass_cli.FeynmanKac(), glass_cli.GlassError
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_draws_what_the_engine_draws(emoji: LoadedModel) -> None:
    clip = glass.load_reward("clip", device="cpu")
    sampler, steering = glass.Glass(2), glass.FeynmanKac(lam=0.5, ess_threshold=1.0)
    settings = {"sampler": sampler, "steering": steering, "particles": 3, "seed": 4}
    result = glass.draw(emoji, PROMPT, reward=clip, calls=5, **settings)
    work = Work(emoji, sampler, steering, clip, 2, Stages(), calls=5)
    *_, last = draw(work, PROMPT, "", 3, 4)
    assert result.nfe == 15 and [step.k for step in result.steps] == [0, 1, 2]
    assert last.samples is not None and last.step.rewards is not None
    # float32 networks round differently for other batch sizes; a level is 1/255
    assert (result.samples - last.samples).abs().max() < 1 / 255
    assert result.rewards is not None and result.best == int(result.rewards.argmax())
    assert [image.size for image in result.images] == [(64, 64)] * 3
    levels = torch.from_numpy(to_uint8(result.samples))
    assert result.images[1].tobytes() == bytes(levels[1].flatten().tolist())


def test_a_function_is_a_reward(emoji: LoadedModel) -> None:
    result = glass.draw(emoji, PROMPT, reward=redness, particles=2, calls=5)
    assert result.rewards is not None
    assert torch.allclose(result.rewards, redness(result.samples).double())
    # lam=auto is the default where there is a reward
    assert result.steps[-1].particles.lam is not None and result.steps[1].rewards is not None


def test_a_function_may_take_the_prompts_too(points: LoadedModel) -> None:
    def scored(samples: Tensor, prompts: list[str]) -> Tensor:
        assert prompts == ["points"] * len(samples)
        return samples[:, 0]

    result = glass.draw(points, "points", reward=scored, particles=3, calls=5)
    assert result.rewards is not None and result.rewards.shape == (3,)


def test_without_a_reward_nothing_is_chosen(points: LoadedModel) -> None:
    result = glass.draw(points, "points", particles=8, calls=23)
    assert (result.rewards, result.best, result.nfe) == (None, None, 184)
    assert result.samples.shape == (8, 1) and len(result.steps) == 6
    with pytest.raises(glass.GlassError, match="points are no pictures"):
        _ = result.images


def test_nothing_chosen_means_the_highest_reward(points: LoadedModel) -> None:
    result = glass.draw(points, "points", steering=glass.NoSteering(), reward=first, calls=5)
    assert result.rewards is not None and result.steps[-1].chosen is None
    assert result.best == int(result.samples[:, 0].argmax())


def test_a_folder_is_a_model(emoji: LoadedModel) -> None:
    model = glass.load_model(str(EMOJI), guidance=1.0, device=torch.device("cpu"))
    pictures = [
        glass.draw(m, PROMPT, particles=1, calls=5, sampler=glass.Ode()).samples
        for m in (model, emoji)
    ]
    assert torch.equal(*pictures)


def test_a_reward_must_know_the_models_pictures(
    emoji: LoadedModel, points: LoadedModel, tmp_path: Path
) -> None:
    """As on the command line: weights of the embedded world would score FLUX without a word."""
    clip = glass.load_reward("clip", device="cpu")
    pipeline().save_pretrained(tmp_path)
    other = glass.load_model(str(tmp_path), device="cpu")
    with pytest.raises(glass.GlassError, match="embedded:clip has seen the pictures of model=em"):
        glass.draw(other, PROMPT, reward=clip, particles=1, calls=5)
    with pytest.raises(glass.GlassError, match="the reward scores images, the model gives points"):
        glass.draw(points, "points", reward=clip, particles=1, calls=5)
    detector = glass.load_reward("detector", device="cpu")
    with pytest.raises(glass.GlassError, match="unicorn"):
        glass.draw(emoji, "a photo of a unicorn", reward=detector, particles=1, calls=5)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ({"model": "emoji"}, r"model='emoji' is a name; give glass.load_model\('emoji'\)"),
        ({"reward": "clip"}, r"reward='clip' is a name; give glass.load_reward\('clip'\)"),
        ({"reward": LoadedClip}, "reward=LoadedClip is a class; give one that glass.load_reward"),
        ({"sampler": "glass"}, r"sampler must be an object such as glass.Glass\(\) \(got glass"),
        ({"steering": glass.FeynmanKac}, "steering must be an object such as .*got FeynmanKac"),
        ({"steering": glass.FeynmanKac(every=1.5)},  # type: ignore[arg-type]
         r"steering.every must be a whole number \(got 1.5"),
        ({"sampler": glass.Glass(transitions=2.5)},  # type: ignore[arg-type]
         r"sampler.transitions must be a whole number \(got 2.5"),
        ({"prompt": ["a", "b"]}, "prompt must be text .got list.; a call draws one prompt"),
    ],
)  # fmt: skip
def test_what_a_call_is_given_is_checked(
    points: LoadedModel, words: dict[str, Any], line: str
) -> None:
    given = {"model": points, "prompt": "points", "reward": first, "calls": 5, **words}
    with pytest.raises(glass.GlassError, match=line):
        glass.draw(given.pop("model"), given.pop("prompt"), **given)


def test_a_search_keeps_fewer_than_its_budget_buys(points: LoadedModel) -> None:
    evolution = build(choice_settings("steering", "evolution", {}), "steering")
    words = {"reward": first, "sampler": glass.Ode(transitions=5), "steering": evolution}
    result = glass.draw(points, "points", particles=2, calls=5, budget=40, **words)
    assert result.nfe == 40 and len(result.samples) == 2


def test_a_search_decodes_no_collage(emoji: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoded are the finished pictures, and those that are kept once more."""
    decode, decoded, scored = emoji.decode, [0, 0], [0, 0]
    for i, crossover in enumerate((0, 3)):

        def counted(x: torch.Tensor, i: int = i) -> torch.Tensor:
            decoded[i] += len(x)
            return decode(x)

        def bright(images: torch.Tensor, i: int = i) -> torch.Tensor:
            scored[i] += len(images)
            return images.mean((1, 2, 3))

        monkeypatch.setattr(emoji, "decode", counted)
        given = {"parents": 4, "children": 1, "crossover": crossover}
        evolution = build(choice_settings("steering", "evolution", given), "steering")
        words = {"reward": bright, "sampler": glass.Ode(transitions=5), "steering": evolution}
        result = glass.draw(emoji, PROMPT, particles=2, calls=5, budget=60, **words)
        assert result.nfe <= 60
    finished, roots = scored[0], 6
    assert scored[1] == finished + 3 * (finished - roots) > finished
    assert decoded == [finished + 2, finished + 2]


def test_sizes_say_how_many_particles_begin(points: LoadedModel) -> None:
    falling = glass.FeynmanKac(lam=1.0, sizes=(6, 3, 3, 3, 3))
    result = glass.draw(points, "points", reward=first, steering=falling, calls=5)
    assert len(result.steps[0].log_w) == 6 and len(result.samples) == 3


def test_a_reward_follows_its_model(emoji: LoadedModel) -> None:
    reward = glass.load_reward("imagereward", model=emoji, device="cpu")
    result = glass.draw(emoji, PROMPT, reward=reward, particles=1, calls=5)
    assert result.rewards is not None
    with pytest.warns(UserWarning, match="the model was never trained on: unicorn"):
        glass.draw(emoji, "a photo of a unicorn", particles=1, calls=5)


def test_settings_of_the_choices_below_are_kept() -> None:
    """model/emoji.yaml says only what differs from model/diffusers.yaml."""
    with pytest.raises(glass.GlassError, match=r"unknown key model\.guidence; did you mean model"):
        glass.load_model("emoji", guidence=2.0)


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
def test_a_rewards_own_dtype(dtype: str | torch.dtype) -> None:
    for words, expected in (({"dtype": dtype}, torch.bfloat16), ({}, torch.float32)):
        reward = glass.load_reward("clip", device="cpu", **words)
        assert isinstance(reward, LoadedClip)
        assert reward.towers.model.visual_projection.weight.dtype == expected


def test_terms_of_a_weighted_sum_are_settings() -> None:
    reward = glass.load_reward("composite", terms={"clip": {"scale": 2.0, "mean": 0.0}})
    r, terms = reward.score_terms(torch.rand(2, 3, 64, 64), PROMPT)
    assert torch.allclose(r, terms["clip"].to(r) / 2.0)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (
            {"calls": 3},
            "calls=3 are fewer than the 5 transitions, which take one each at least; use",
        ),
        ({"calls": 0}, "calls must be at least 1"),
        ({"calls": 7, "sampler": glass.Glass(2, 2)}, "not calls=7; set only one of the two"),
        ({"particles": 0}, "particles must be at least 1"),
        ({"particles": 2.5}, "particles must be a whole number"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"steering": glass.BestOfN()}, "BestOfN needs a reward; give reward="),
        ({"steering": glass.NoSteering(guidance=1.0)}, "guidance needs a reward"),
        ({"sampler": glass.Glass(times="auto")}, "times=auto is for glass sample"),
    ],
)
def test_wrong_settings_are_one_line(
    points: LoadedModel, words: dict[str, object], shown: str
) -> None:
    with pytest.raises(glass.GlassError) as refused:
        glass.draw(points, "a dog", **words)
    assert shown in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("load", "name", "words", "shown"),
    [
        ("load_model", "emojis", {}, "unknown model emojis; did you mean emoji? (diffusers, emoji"),
        ("load_model", "a/b/c/d", {"local_files_only": True}, "a/b/c/d"),
        ("load_model", "emoji", {"dtype": "float8"}, "dtype must be auto, float32, bfloat16 or"),
        ("load_reward", "clp", {}, "unknown reward clp; did you mean clip?"),
        ("load_reward", "clip", {"batch": 0}, "reward.batch must be at least 1"),
    ],
)
def test_wrong_names_are_one_line(
    load: str, name: str, words: dict[str, object], shown: str
) -> None:
    with pytest.raises(glass.GlassError) as refused:
        getattr(glass, load)(name, **words)
    assert shown in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.slow
def test_the_embedded_pipeline_loads_after_the_scheduler(tmp_path: Path) -> None:
    code = f"""
import diffusers
from glass_cli import GlassScheduler
diffusers.DiffusionPipeline.from_pretrained({str(EMOJI)!r})
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_a_result_can_be_saved(emoji: LoadedModel, tmp_path: Path) -> None:
    result = glass.draw(emoji, PROMPT, particles=1, calls=5)
    result.images[0].save(tmp_path / "car.png")
    with Image.open(tmp_path / "car.png") as picture:
        assert picture.tobytes() == result.images[0].tobytes()
