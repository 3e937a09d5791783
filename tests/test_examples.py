"""docs/examples, on tiny pipelines with random weights."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import child_process
import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from diffusers import DiffusionPipeline
from families import FAMILIES, SIZE
from PIL import Image
from torch import Tensor

from glass_cli.callback import SteeringCallback
from glass_cli.scheduler import GlassScheduler
from glass_cli.steering.feynman_kac import FeynmanKac

FLUX = REPOSITORY / "docs" / "examples" / "pipeline_flux_glass.py"
WORDS: dict[str, Any] = {"num_inference_steps": 6, "max_sequence_length": 32, **SIZE}
PROMPT = "a red apple"


def redness(images: Tensor) -> Tensor:
    return images[:, 0].mean((1, 2)) - images[:, 1:].mean((1, 2, 3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny FLUX as it would be downloaded."""
    path = tmp_path_factory.mktemp("flux")
    FAMILIES["flux_dev"]().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def pipe(folder: Path) -> Any:
    """Loaded by diffusers as a community pipeline is."""
    made = DiffusionPipeline.from_pretrained(
        folder, custom_pipeline=str(FLUX), trust_remote_code=True
    )
    made.set_progress_bar_config(disable=True)
    return made


def pixels(images: list[Image.Image]) -> Tensor:
    return torch.stack([torch.from_numpy(np.array(i)) for i in images]).permute(0, 3, 1, 2) / 255.0


def test_it_gives_the_rewards_of_its_pictures(pipe: Any) -> None:
    vendor = pipe.scheduler
    found = pipe.steered(PROMPT, redness, particles=4, transitions=3, **WORDS)
    assert pipe.scheduler is vendor and not isinstance(vendor, GlassScheduler)
    assert found.rewards.shape == (4,) and len(found.images) == 4
    # the pictures are rounded to 8 bits
    assert torch.allclose(redness(pixels(found.images)), found.rewards.float(), atol=2 / 255)
    assert found.best == int(found.rewards.argmax())


def test_it_is_the_scheduler_and_the_callback(pipe: Any) -> None:
    """FLUX's own call with both in place draws the same; without pull it draws something else."""
    vendor = pipe.scheduler
    try:
        pipe.scheduler = GlassScheduler.from_scheduler(vendor, transitions=3, seed=3)
        by_hand = [
            pipe(
                PROMPT,
                num_images_per_prompt=4,
                generator=torch.Generator().manual_seed(3),
                callback_on_step_end=SteeringCallback(redness, FeynmanKac(lam=lam), seed=3),
                **WORDS,
            ).images
            for lam in (0.0, 1e4)
        ]
    finally:
        pipe.scheduler = vendor
    found = pipe.steered(PROMPT, redness, particles=4, lam=1e4, seed=3, transitions=3, **WORDS)
    assert torch.equal(pixels(found.images), pixels(by_hand[1]))
    assert not torch.equal(pixels(found.images), pixels(by_hand[0]))


def test_a_reward_that_cannot_be_had_is_a_line_before_anything_else(tmp_path: Path) -> None:
    command = [PROMPT, "--model", "nowhere", "--reward", "imagereward"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path),
    }
    done = child_process.run([sys.executable, str(FLUX), *command], environment, tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("pipeline_flux_glass.py: reward.path=")
    assert "Traceback" not in done.stderr


def test_it_is_a_script(folder: Path, tmp_path: Path) -> None:
    command = [PROMPT, "--model", str(folder), "--reward", "clip", "--particles", "2"]
    command += ["--calls", "5", "--size", "64", "64"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "HF_HUB_OFFLINE": "1"}
    done = child_process.run([sys.executable, str(FLUX), *command], environment, tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["0.png", "1.png"]
    (best,) = [line.split()[0] for line in lines if line.endswith("best")]
    made = tmp_path / "flux_glass"
    assert (made / "best.png").read_bytes() == (made / best).read_bytes()
