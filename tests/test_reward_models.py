"""ImageReward, PickScore, HPSv2 and the aesthetic score against their formulas written by hand."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import by_hand
import pytest
import reward_files as files
import tiny_pipeline
import torch
from torch import Tensor

from glass_cli.rewards import two_towers
from glass_cli.rewards.aesthetic import Aesthetic
from glass_cli.rewards.hpsv2 import Hpsv2
from glass_cli.rewards.imagereward import ImageReward
from glass_cli.rewards.pickscore import PickScore
from glass_cli.rewards.pixels import LongestSide, ShortestSide, bicubic

CPU = torch.device("cpu")
PROMPTS = ("a red cat", "dog")
SETTINGS = {
    "imagereward": ImageReward,
    "pickscore": PickScore,
    "hpsv2": Hpsv2,
    "aesthetic": Aesthetic,
}


@pytest.fixture(scope="module")
def choices(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """The settings of each reward on tiny random checkpoints."""
    words = files.write_all(tmp_path_factory.mktemp("rewards"))
    return {name: dict(word.split("=", 1) for word in settings) for name, settings in words.items()}


@pytest.fixture
def make(choices: dict[str, dict[str, str]]) -> Callable[..., Any]:
    def made(name: str, **more: Any) -> Any:
        return SETTINGS[name](**choices[name], **more).load(CPU, torch.float32)

    return made


def images(count: int = 5, height: int = 41, width: int = 37) -> Tensor:
    x = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(3))
    return (x * 255).round() / 255


def parts(reward: Any) -> list[Any]:
    """The networks of a loaded reward."""
    if hasattr(reward, "networks"):
        return list(reward.networks)
    return [reward.clip, reward.head] if hasattr(reward, "clip") else [reward.towers.model]


def double(reward: Any, unit: float = 1.0) -> Any:
    """The reward in double precision; pictures rounded to ``unit`` levels."""
    for part in parts(reward):
        part.double()
    holder = getattr(reward, "towers", reward)
    holder.pixels = dataclasses.replace(holder.pixels, unit=unit)
    return reward


def expected(name: str, prompt: str, x: Tensor) -> Tensor:
    """By hand from the state dict, in double precision; preprocessing has its own tests."""
    crop, corner = ShortestSide(32)(x.double()), ShortestSide(32, corner="even")(x.double())
    ids = tiny_pipeline.tokenizer()(prompt, truncation=True, max_length=12).input_ids
    if name == "imagereward":
        s = doubled(files.image_reward(files.SMALL_BLIP, files.SMALL_HEAD))
        words = [files.WORDS.index(w) for w in ("[CLS]", *prompt.split(), "[SEP]")]
        pad = 35 - len(words)
        real = [True] * len(words) + [False] * pad
        return torch.stack([by_hand.image_reward(s, p, words + [0] * pad, real) for p in corner])
    if name == "hpsv2":
        s = doubled(files.open_clip(files.SMALL), 1)
        pad = LongestSide(32)(x.double())
        return torch.stack([by_hand.open_clip_cosine(s, p, ids) for p in pad])
    s = doubled(files.transformers_clip(files.SMALL))
    if name == "pickscore":
        text = by_hand.clip_text(s, ids, 2)
        found = torch.stack([by_hand.clip_picture(s, p, 2) for p in crop])
        cosines = found @ text / (found.norm(dim=1) * text.norm())
        return s["logit_scale"].exp() * cosines
    head = doubled(files.layers("layers.", files.SMALL.joint, files.SMALL_HEAD))
    found = torch.stack([by_hand.clip_picture(s, p, 2) for p in corner])
    unit = found / found.norm(dim=1, keepdim=True)
    return by_hand.straight(unit, head, "layers.")[:, 0]


def doubled(shapes: files.Shapes, seed: int = 0) -> dict[str, Tensor]:
    return {key: value.double() for key, value in files.random(shapes, seed).items()}


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("name", SETTINGS)
def test_score_is_the_formula(make: Callable[..., Any], name: str, prompt: str) -> None:
    found = double(make(name)).score(images().double(), prompt)
    truth = expected(name, prompt, images())
    # the pictures are told apart, or this would show nothing
    assert float(truth.std()) > 1e-3
    torch.testing.assert_close(found, truth, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SETTINGS)
def test_single_precision_is_near_and_batches_do_not_matter(
    make: Callable[..., Any], name: str
) -> None:
    truth = expected(name, PROMPTS[0], images()).float()
    for batch in (1, 3, 8):
        found = make(name, batch=batch).score(images(), PROMPTS[0])
        assert found.dtype == torch.float32 and found.shape == (5,)
        # pickscore is a cosine times exp(4.3)
        torch.testing.assert_close(found, truth, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", SETTINGS)
def test_gradient_is_the_slope(make: Callable[..., Any], name: str) -> None:
    reward = double(make(name), unit=2.0**-40)
    g = torch.Generator().manual_seed(0)
    x = (0.3 + 0.4 * torch.rand(3, 3, 20, 24, generator=g)).double().requires_grad_()
    score = reward.score(x, PROMPTS[0])
    (grad,) = torch.autograd.grad(score.sum(), x)
    v = torch.randn(x.shape, generator=g, dtype=torch.float64)
    with torch.no_grad():
        rise = reward.score(x + 1e-5 * v, PROMPTS[0]) - reward.score(x - 1e-5 * v, PROMPTS[0])
    slopes = (grad * v).sum((1, 2, 3))
    assert float(slopes.abs().min()) > 1e-4
    # second order in the step; rounding to 2^-40 levels over a step of 2.55e-3 of them
    torch.testing.assert_close(rise / 2e-5, slopes, rtol=1e-4, atol=1e-7)
    assert SETTINGS[name].differentiable


@pytest.mark.parametrize("name", SETTINGS)
def test_only_the_callers_grad_mode_counts(make: Callable[..., Any], name: str) -> None:
    reward = make(name)
    assert not any(p.requires_grad for part in parts(reward) for p in part.parameters())
    with torch.no_grad():
        assert not reward.score(images().requires_grad_(), "dog").requires_grad
    assert reward.score(images().requires_grad_(), "dog").requires_grad


@pytest.mark.parametrize("name", ["imagereward", "pickscore", "hpsv2"])
def test_text_is_read_once_a_prompt(make: Callable[..., Any], name: str) -> None:
    reward = make(name)
    holder = getattr(reward, "towers", reward)
    calls: list[str] = []

    def counted(prompt: str, **options: Any) -> Any:
        calls.append(prompt)
        return tokenize(prompt, **options)

    tokenize, holder.tokenizer = holder.tokenizer, counted
    first = [reward.score(images(), p) for p in ("dog", "dog", "a red cat", "dog")]
    assert calls == ["dog", "a red cat", "dog"]
    assert torch.equal(first[0], first[1]) and torch.equal(first[0], first[3])
    assert not torch.equal(first[0], first[2])


def test_the_aesthetic_score_ignores_the_prompt(make: Callable[..., Any]) -> None:
    reward = make("aesthetic")
    assert torch.equal(reward.score(images(), "dog"), reward.score(images(), "a red cat"))


def test_long_prompts_are_cut(make: Callable[..., Any]) -> None:
    """ImageReward reads 35 tokens, [CLS] and [SEP] among them, the CLIP of this test 12."""
    reward = make("imagereward")
    same = [reward.score(images(), "a " * n) for n in (33, 34, 90)]
    assert torch.equal(same[0], same[1]) and torch.equal(same[0], same[2])
    assert not torch.equal(same[0], reward.score(images(), "a " * 32))
    clip = make("hpsv2")
    # a letter is a token; the eleventh is cut off
    assert torch.equal(clip.score(images(), "abcdefghijx"), clip.score(images(), "abcdefghijyz"))
    assert not torch.equal(clip.score(images(), "abcdefghix"), clip.score(images(), "abcdefghiyz"))


def test_both_versions_of_hpsv2(
    choices: dict[str, dict[str, str]], make: Callable[..., Any]
) -> None:
    """The version chooses the file in a folder, and not where the file itself is given."""
    new, old = (make("hpsv2", version=v).score(images(), "dog") for v in ("v2.1", "v2"))
    assert not torch.allclose(new, old)
    file = str(Path(choices["hpsv2"]["path"]) / "HPS_v2_compressed.pt")
    given = Hpsv2(file, tokenizer=choices["hpsv2"]["tokenizer"]).load(CPU, torch.float32)
    assert torch.equal(given.score(images(), "dog"), old)


@pytest.mark.parametrize("name", SETTINGS)
def test_bfloat16_scores_in_single_precision(make: Callable[..., Any], name: str) -> None:
    reward = make(name, dtype="bfloat16")
    large = parts(reward)[: 2 if name == "imagereward" else 1]
    assert {p.dtype for part in large for p in part.parameters() if p.ndim} == {torch.bfloat16}
    found, truth = reward.score(images(), PROMPTS[0]), expected(name, PROMPTS[0], images()).float()
    assert found.dtype == torch.float32
    # of the scale of the score, some twenty roundings of 2^-9, three times over
    scale = {"pickscore": float(torch.tensor(4.0).exp()), "imagereward": 2.0}.get(name, 1.0)
    torch.testing.assert_close(found, truth, atol=scale * 20**0.5 * 3 * 2**-9, rtol=0.0)


def test_pickscores_scale_is_exact_in_bfloat16(make: Callable[..., Any]) -> None:
    """bfloat16 would make 99 of exp(4.6052) = 100."""
    logarithm = files.random(files.transformers_clip(files.SMALL))["logit_scale"].double()
    assert make("pickscore", dtype="bfloat16").scale == pytest.approx(float(logarithm.exp()))


@pytest.mark.parametrize("name", SETTINGS)
def test_scores_in_inference_mode_do_not_spoil_later_gradients(
    make: Callable[..., Any], name: str
) -> None:
    reward = make(name)
    bicubic.cache_clear()  # whatever another test has left
    with torch.inference_mode():
        first = reward.score(images(), "dog")
    x = images().requires_grad_()
    again = reward.score(x, "dog")
    again.sum().backward()
    assert x.grad is not None and float(x.grad.abs().max()) > 0.0
    torch.testing.assert_close(again.detach(), first.clone())


def test_pickscore_reads_an_older_folder(tmp_path: Path, make: Callable[..., Any]) -> None:
    """pytorch_model.bin in place of safetensors."""
    state = files.random(files.transformers_clip(files.SMALL))
    files.write_clip(tmp_path / "pick", files.SMALL, state, "pytorch_model.bin")
    files.write_processor(tmp_path / "processor")
    old = PickScore(str(tmp_path / "pick"), str(tmp_path / "processor")).load(CPU, torch.float32)
    # memory that is mapped from a file is aligned differently, which changes the last bits
    torch.testing.assert_close(old.score(images(), "dog"), make("pickscore").score(images(), "dog"))


def test_the_end_of_a_text_is_found_as_the_old_configuration_says(tmp_path: Path) -> None:
    """PickScore's config.json says that a text ends with token 2, which means: the highest."""
    state = files.random(files.transformers_clip(files.SMALL))
    files.write_clip(tmp_path, files.SMALL, state)
    config = files.clip_config(files.SMALL)
    assert config["text_config"]["eos_token_id"] == 2
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = two_towers.model_of_folder(str(tmp_path), "reward.path", torch.float64)
    ids = [3, 9, 4, 500, 7]
    found = model.get_text_features(torch.tensor([ids])).pooler_output[0]
    by = {key: value.double() for key, value in state.items()}
    torch.testing.assert_close(found, by_hand.clip_text(by, ids[:4], 2))
