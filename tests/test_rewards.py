"""The two rewards: CLIPScore on pictures and a linear one on points."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_pipeline
import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from glass_cli.rewards.clip import Clip, LoadedClip
from glass_cli.rewards.linear import Linear

SIDE = 16
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.4]
CPU = torch.device("cpu")
PROMPT = "a cat"  # some pictures get a cosine above 0, some below


def image_processor() -> CLIPImageProcessorPil:
    size = {"height": SIDE, "width": SIDE}
    return CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size=size, image_mean=MEAN, image_std=STD
    )


def tiny_clip() -> CLIPModel:
    torch.manual_seed(0)
    tokenizer = tiny_pipeline.tokenizer()
    both = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    text = {
        **both,
        "num_attention_heads": 2,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": tiny_pipeline.LENGTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**both, "num_attention_heads": 2, "image_size": SIDE, "patch_size": 4}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    with torch.no_grad():
        # transformers' initial weights are so small that all pictures embed alike
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return model.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    tiny_clip().save_pretrained(folder)
    tiny_pipeline.tokenizer().save_pretrained(folder)
    image_processor().save_pretrained(folder)
    return folder


@pytest.fixture
def reward(folder: Path) -> LoadedClip:
    return Clip(str(folder)).load(CPU, torch.float32)


def images(count: int = 7, height: int = SIDE, width: int = SIDE) -> Tensor:
    """Of 8 bits, which the rewards round to."""
    x = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1))
    return (x * 255).round() / 255


def cosines(model: CLIPModel, x: Tensor, prompt: str) -> Tensor:
    """transformers' own, of a prompt that needs no padding against normalised pictures (N,)."""
    tokens = tiny_pipeline.tokenizer()(prompt, return_tensors="pt", truncation=True)
    shift, scale = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    with torch.no_grad():
        out = model(**tokens, pixel_values=(x - shift) / scale)
        return out.logits_per_image[:, 0] / model.logit_scale.exp()


def test_score_is_the_cosine_of_transformers(reward: LoadedClip) -> None:
    x = images(64)
    signs = set()
    for prompt in (PROMPT, "blue", "a photo of a very long prompt that does not fit"):
        expected = cosines(tiny_clip(), x, prompt)
        signs |= set(expected.sign().tolist())
        scores = reward.score(x, prompt)
        assert scores.shape == (64,)
        assert scores.numpy() == pytest.approx(100 * expected.clamp(min=0).numpy(), abs=1e-3)
    # the clamp is at work in some of them and not in others
    assert signs == {-1.0, 1.0}


def test_text_is_encoded_once_a_prompt(reward: LoadedClip, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Tensor] = []
    encode = reward.towers.model.get_text_features

    def counted(ids: Tensor) -> Any:
        calls.append(ids)
        return encode(ids)

    monkeypatch.setattr(reward.towers.model, "get_text_features", counted)
    first = reward.score(images(), PROMPT)
    assert torch.equal(reward.score(images(), PROMPT), first)
    assert len(calls) == 1
    assert not torch.equal(reward.score(images(), "a dog"), first)
    assert len(calls) == 2
    assert torch.equal(reward.score(images(), PROMPT), first)


@pytest.mark.parametrize("batch", [1, 3, 7, 100])
def test_batch_size_does_not_matter(folder: Path, reward: LoadedClip, batch: int) -> None:
    scores = Clip(str(folder), batch=batch).load(CPU, torch.float32).score(images(), PROMPT)
    assert scores.numpy() == pytest.approx(reward.score(images(), PROMPT).numpy(), abs=1e-4)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (40, 31), (9, 13)])
def test_pictures_of_any_size_go_through_the_folders_own_processor(
    reward: LoadedClip, height: int, width: int
) -> None:
    """Pillow on bytes and transformers' model, end to end."""
    pixels = (images(2, height, width) * 255).round().byte()
    pictures = [Image.fromarray(p.permute(1, 2, 0).numpy()) for p in pixels]
    seen = image_processor()(pictures, return_tensors="pt").pixel_values
    tokens = tiny_pipeline.tokenizer()(PROMPT, return_tensors="pt")
    model = tiny_clip()
    with torch.no_grad():
        out = model(**tokens, pixel_values=seen).logits_per_image[:, 0] / model.logit_scale.exp()
    found = reward.towers.cosines(pixels / 255, PROMPT)
    assert found.numpy() == pytest.approx(out.numpy(), abs=1e-5)


def test_half_precision_weights_score_in_single(tmp_path: Path) -> None:
    model = tiny_clip().half()
    model.save_pretrained(tmp_path)
    tiny_pipeline.tokenizer().save_pretrained(tmp_path)
    image_processor().save_pretrained(tmp_path)
    reward = Clip(str(tmp_path)).load(CPU, torch.float16)
    assert {p.dtype for p in reward.towers.model.parameters()} == {torch.float32}
    scores = reward.score(images().half(), PROMPT)
    expected = 100 * cosines(model.float(), images(), PROMPT).clamp(min=0)
    assert scores.dtype == torch.float32
    assert scores.numpy() == pytest.approx(expected.numpy(), abs=1e-3)


def test_folder_of_a_whole_processor(tmp_path: Path, reward: LoadedClip) -> None:
    """transformers 5 saves a CLIPProcessor's image settings within processor_config.json."""
    tiny_clip().save_pretrained(tmp_path)
    processor = CLIPProcessor(
        image_processor=image_processor(), tokenizer=tiny_pipeline.tokenizer()
    )
    processor.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink(missing_ok=True)
    again = Clip(str(tmp_path)).load(CPU, torch.float32)
    assert torch.equal(again.score(images(), PROMPT), reward.score(images(), PROMPT))


def test_missing_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere"
    with pytest.raises(ValueError, match=r"reward\.path=.*CLIP model") as caught:
        Clip(str(path))
    assert str(path) in str(caught.value)
    with pytest.raises(ValueError, match="embedded:nothing"):
        Clip("embedded:nothing")


def test_missing_image_settings_are_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(ValueError, match=r"preprocessor_config\.json"):
        Clip(str(tmp_path))


def test_batch_is_at_least_one(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"reward\.batch must be at least 1 \(got 0\)"):
        Clip(str(folder), batch=0)


def test_a_device_that_cannot_be_is_named(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"reward\.device must be null.*\(got gpu\)"):
        Clip(str(folder), device="gpu")


def test_gradient_is_the_slope(reward: LoadedClip) -> None:
    """Against finite differences in double precision, along random directions; the rounding of
    pictures to 8 bits, through which gradients go straight, is made 2^40 times finer."""
    reward.towers.model.double()
    reward.towers.pixels = dataclasses.replace(reward.towers.pixels, unit=2.0**-40)
    x = images(7, 24, 20).double().mul(0.6).add(0.2)
    x = x[reward.score(x, PROMPT) > 1.0].requires_grad_()
    assert len(x) > 0
    (grad,) = torch.autograd.grad(reward.score(x, PROMPT).sum(), x)
    v = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():
        rise = reward.score(x + 1e-5 * v, PROMPT) - reward.score(x - 1e-5 * v, PROMPT)
    slopes = (grad * v).sum((1, 2, 3))
    # second order in the step, and 2^-40 levels over a step of 255e-5 of them
    torch.testing.assert_close(rise / 2e-5, slopes, rtol=1e-5, atol=1e-5)


def test_no_gradient_is_kept_where_the_caller_wants_none(reward: LoadedClip) -> None:
    with torch.no_grad():
        assert not reward.score(images().requires_grad_(), PROMPT).requires_grad
    assert not reward.score(images(), PROMPT).requires_grad
    assert reward.score(images().requires_grad_(), PROMPT).requires_grad


def test_bfloat16_weights_give_single_precision_scores(folder: Path, reward: LoadedClip) -> None:
    half = Clip(str(folder), dtype="bfloat16").load(CPU, torch.float32)
    assert {p.dtype for p in half.towers.model.parameters() if p.ndim} == {torch.bfloat16}
    scores = half.score(images(), PROMPT)
    assert scores.dtype == torch.float32
    # some twenty roundings one after another, of 2^-9 each, in vectors of 8 numbers: of the order
    # of 20^(1/2) 2^-9, seven times which is allowed; the cosines themselves spread over 0.7
    exact = reward.towers.cosines(images(), PROMPT)
    torch.testing.assert_close(half.towers.cosines(images(), PROMPT), exact, atol=0.06, rtol=0.0)
    assert not torch.equal(scores, reward.score(images(), PROMPT))


def test_linear_reward() -> None:
    points = torch.tensor([[1.0, 2.0, 5.0], [-3.0, 0.5, 7.0]])
    reward = Linear((2.0, -1.0)).load(CPU, torch.float32)
    assert reward.score(points, "anything").tolist() == [0.0, -6.5]
    assert Linear().load(CPU, torch.float32).score(points, "").tolist() == [1.0, -3.0]
    assert reward.linear_coefficients(4).tolist() == [2.0, -1.0, 0.0, 0.0]
    assert reward.score(points.double(), "").dtype == torch.float64


def test_linear_direction_longer_than_the_points() -> None:
    with pytest.raises(
        ValueError, match=r"reward\.direction=\[1,0,2\] has 3 coordinates, more than the 2"
    ):
        Linear((1.0, 0.0, 2.0)).check_model(SimpleNamespace(dim=2))
    Linear((1.0, 0.0, 2.0)).check_model(SimpleNamespace(dim=3))
