"""Rewards of full size, in the original names and shapes: no key is missing, none unexpected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import by_hand
import pytest
import reward_files as files
import tiny_pipeline
import torch
from torch import Tensor

from glass_cli.common import checkpoint
from glass_cli.rewards import two_towers
from glass_cli.rewards.aesthetic import head_of
from glass_cli.rewards.hpsv2 import HEADS, Hpsv2, network
from glass_cli.rewards.imagereward import ImageReward, Networks
from glass_cli.rewards.pixels import LongestSide, ShortestSide

CPU = torch.device("cpu")


def numbers(state: dict[str, Tensor]) -> int:
    return sum(value.numel() for value in state.values())


def test_full_size_imagereward_fits() -> None:
    state = files.meta(files.image_reward(files.BLIP_L, files.HEAD))
    networks = Networks.of(state, "x", torch.float32)
    unused = ("blip.vision_proj.", "blip.text_proj.", "blip.text_encoder.embeddings.position_ids")
    used = {key: value for key, value in state.items() if not key.startswith(unused)}
    assert sum(numbers(part.state_dict()) for part in networks) == numbers(used)
    vision, text = networks.vision.config, networks.text.config
    assert (vision.num_hidden_layers, vision.num_attention_heads) == (24, 16)
    assert (vision.image_size, vision.patch_size) == (224, 16)
    assert (text.num_hidden_layers, text.num_attention_heads) == (12, 12)
    assert (text.encoder_hidden_size, text.vocab_size) == (1024, 30524)
    assert [(h.in_features, h.out_features) for h in networks.head] == [
        (768, 1024), (1024, 128), (128, 64), (64, 16), (16, 1)
    ]  # fmt: skip


def test_full_size_hpsv2_fits() -> None:
    original = files.meta(files.open_clip(files.VIT_H))
    state = two_towers.from_open_clip(original, "x")
    model = network(state, "x", 49407, torch.float32)
    assert numbers(model.state_dict()) == numbers(original) == 986_109_441
    vision, text = model.config.vision_config, model.config.text_config
    assert (vision.num_attention_heads, text.num_attention_heads) == (16, 16)
    assert (vision.image_size, vision.hidden_act, text.hidden_act) == (224, "gelu", "gelu")
    assert HEADS == (1280 // 16, 1024 // 16)


def test_full_size_pickscore_and_aesthetic_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder's config.json is read, its weights are stood in for by shapes."""
    for sizes, heads in ((files.VIT_H, (16, 16)), (files.VIT_L, (16, 12))):
        state = files.meta(files.transformers_clip(sizes))
        (tmp_path / "config.json").write_text(json.dumps(files.clip_config(sizes, heads)))
        monkeypatch.setattr(checkpoint, "folder_weights", lambda *_, state=state: state)
        model = two_towers.model_of_folder(str(tmp_path), "reward.path", torch.float32)
        positions = sizes.places + sizes.tokens
        assert numbers(model.state_dict()) == numbers(state) - positions
        assert model.config.vision_config.num_attention_heads == heads[0]
    head = head_of(files.meta(files.layers("layers.", 768, files.HEAD)), "x")
    assert numbers(head.state_dict()) == 769 * 1024 + 1025 * 128 + 129 * 64 + 65 * 16 + 17


@pytest.mark.slow
@pytest.mark.parametrize("name", ["imagereward", "hpsv2"])
def test_full_size_files_are_read_and_score(tmp_path: Path, name: str) -> None:
    """Gigabytes of random weights, written and read back; heads of the true number and width."""
    x = torch.rand(2, 3, 256, 224, generator=torch.Generator().manual_seed(3))
    x = (x * 255).round() / 255
    tokenizer = tiny_pipeline.tokenizer()
    tokenizer.save_pretrained(tmp_path)
    if name == "imagereward":
        files.write_bert(tmp_path / "bert")
        state = files.random(files.image_reward(files.BLIP_L, files.HEAD))
        torch.save(state, tmp_path / "ImageReward.pt")
        reward: Any = ImageReward(str(tmp_path), str(tmp_path / "bert")).load(CPU, torch.float32)
        words = [files.WORDS.index(w) for w in ("[CLS]", "dog", "[SEP]")]
        pixels = ShortestSide(224, corner="even")(x)
        truth = [
            by_hand.image_reward(state, p, words + [0] * 32, [True] * 3 + [False] * 32)
            for p in pixels
        ]
    else:
        state = files.random(files.open_clip(files.VIT_H))
        torch.save({"state_dict": state}, tmp_path / "HPS_v2.1_compressed.pt")
        reward = Hpsv2(str(tmp_path), tokenizer=str(tmp_path)).load(CPU, torch.float32)
        ids = tokenizer("dog").input_ids
        truth = [by_hand.open_clip_cosine(state, p, ids) for p in LongestSide(224)(x)]
    found = reward.score(x, "dog")
    torch.testing.assert_close(found, torch.stack(truth), rtol=1e-3, atol=1e-3)
    assert abs(float(found[0] - found[1])) > 1e-5
