"""``glass sample`` steered by each published reward, on tiny random checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reward_files as files
import torch
from PIL import Image

from glass_cli.launch import launch
from glass_cli.rewards.aesthetic import Aesthetic
from glass_cli.rewards.hpsv2 import Hpsv2
from glass_cli.rewards.imagereward import ImageReward
from glass_cli.rewards.pickscore import PickScore

FEW = ["sampler.transitions=2", "sampler.steps=1", "particles=2", "steering.lam=1"]
SETTINGS: dict[str, Any] = {
    "imagereward": ImageReward,
    "pickscore": PickScore,
    "hpsv2": Hpsv2,
    "aesthetic": Aesthetic,
}


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return files.write_all(tmp_path_factory.mktemp("rewards"))


@pytest.mark.parametrize("name", SETTINGS)
def test_steering_the_emoji_model(
    words: dict[str, list[str]], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says of a particle is the score of the PNG that it wrote, read again by Pillow."""
    monkeypatch.chdir(tmp_path)
    chosen = [f"reward.{word}" for word in words[name]]
    run = [*FEW, f"reward={name}", *chosen, "wandb.mode=disabled", "hydra.run.dir=run"]
    prompt = "a red cat"
    assert launch([*run, f"prompt={prompt}"]) == 0
    lines = Path("run/particles.jsonl").read_text().splitlines()
    particles = [json.loads(line) for line in lines]
    pictures = [np.asarray(Image.open(Path("run") / p["file"])) for p in particles]
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    made = SETTINGS[name](**dict(word.split("=", 1) for word in words[name]))
    reward = made.load(torch.device("cpu"), torch.float32)
    scores = [p["reward"] for p in particles]
    assert scores == pytest.approx(reward.score(pixels, prompt).tolist(), rel=1e-4, abs=1e-4)
    assert scores[0] != scores[1]
    steps = [json.loads(line) for line in Path("run/steps.jsonl").read_text().splitlines()]
    assert [step["rewards"] is None for step in steps] == [True, False, False]
