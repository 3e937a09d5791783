"""The guides "my sampler", "my reward", ..., written to files and run as they stand."""

from __future__ import annotations

import importlib
import json
import math
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import child_process
import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from PIL import Image

from glass_cli.benchmarks.base import LoadedBenchmark
from glass_cli.config.contracts import CONTRACTS, members_of
from glass_cli.models.base import LoadedModel, PromptedFlow
from glass_cli.rewards.base import LoadedReward

GUIDES = REPOSITORY / "docs" / "guides"
LOADED = {
    "model": [LoadedModel, PromptedFlow],
    "reward": [LoadedReward],
    "benchmark": [LoadedBenchmark],
}
KINDS = ["sampler", "steering", "model", "reward", "benchmark"]
FILE = re.compile(r"^`([\w/]+\.(?:py|yaml))`[^\n]*\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^python -m glass_cli (.*)$", re.MULTILINE)


def guide(kind: str) -> str:
    """The part of a guide that has a class; a function as reward is test_readme's."""
    text = (GUIDES / f"my_{kind}.md").read_text(encoding="utf-8")
    return text.partition("\n## A class\n")[2] or text


def write(kind: str, folder: Path) -> list[str]:
    """Writes a guide's files into the folder; returns the words of its command."""
    files = FILE.findall(guide(kind))
    assert len(files) == 2, f"{kind}: a class and its yaml"
    for name, code in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf-8")
    (command,) = COMMAND.findall(guide(kind))
    return shlex.split(command)


def glass(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, in the folder."""
    command = [sys.executable, "-m", "glass_cli", *words]
    command += ["wandb.mode=disabled", "hydra.run.dir=run"]
    return child_process.run(command, {**os.environ, "PYTHONPATH": str(REPOSITORY)}, folder)


def run(kind: str, folder: Path, *more: str) -> Path:
    """Runs the guide's command with further settings; returns the run's folder."""
    done = glass([*write(kind, folder), *more], folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


def pixels(path: Path) -> torch.Tensor:
    """A picture (3, H, W) in [0, 1]."""
    with Image.open(path) as picture:
        levels = torch.from_numpy(np.array(picture.convert("RGB")))
    return levels.permute(2, 0, 1).double() / 255


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_there_is_a_guide_for_each_kind() -> None:
    assert sorted(path.stem for path in GUIDES.glob("my_*.md")) == sorted(f"my_{k}" for k in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_guide_names_every_member(kind: str) -> None:
    module, _, name = CONTRACTS[kind].rpartition(".")
    contracts = [getattr(importlib.import_module(module), name), *LOADED.get(kind, ())]
    text = (GUIDES / f"my_{kind}.md").read_text(encoding="utf-8")
    for contract in contracts:
        lacking = [m for m in members_of(contract) if not re.search(rf"`{m}[`(]", text)]
        assert lacking == [], contract


def test_a_sampler(tmp_path: Path) -> None:
    folder = run("sampler", tmp_path, "steering=none", "particles=64", "calls=43")
    particles = lines(folder / "particles.jsonl")
    # six Gaussians of standard deviation 0.3 on a circle of radius 2
    square = []
    for particle in particles:
        x, y = particle["point"]
        near = round(math.atan2(y, x) / (math.pi / 3)) * math.pi / 3
        square.append((x - 2 * math.cos(near)) ** 2 + (y - 2 * math.sin(near)) ** 2)
    # |x - m|^2 / 0.3^2 is chi-squared with two degrees: mean 2, variance 4; 5 standard errors
    assert sum(square) / 64 / 0.3**2 == pytest.approx(2.0, abs=5 * 2 / math.sqrt(64))
    assert {particle["nfe"] for particle in particles} == {43}  # 5 transitions, all calls spent


def test_a_steering(tmp_path: Path) -> None:
    folder = run("steering", tmp_path, "particles=8", "calls=20")
    steps = lines(folder / "steps.jsonl")
    (halved,) = [step for step in steps if step["resampled"]]
    before = max(step["t"] for step in steps if step["step"] < halved["step"])
    assert before < 0.5 <= halved["t"]
    best = sorted(range(8), key=lambda i: -halved["rewards"][i])[:4]
    assert sorted(halved["ancestors"]) == sorted([*best, *best])
    assert steps[-1]["lineages"] == 4
    particles = lines(folder / "particles.jsonl")
    answer = max(particles, key=lambda particle: particle["reward"])
    assert answer["best"] and sum(particle["best"] for particle in particles) == 1


def test_a_model(tmp_path: Path) -> None:
    folder = run("model", tmp_path, "particles=400")
    points = [particle["point"] for particle in lines(folder / "particles.jsonl")]
    x = torch.tensor(points, dtype=torch.float64)
    assert x.shape == (400, 1)
    # standard errors of the mean and of the standard deviation
    assert float(x.mean()) == pytest.approx(1.0, abs=4 * 0.5 / math.sqrt(400))
    assert float(x.std()) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(800))


def test_a_reward(tmp_path: Path) -> None:
    small = ["particles=2", "sampler.transitions=2", "sampler.steps=2"]
    folder = run("reward", tmp_path, *small)
    for particle in lines(folder / "particles.jsonl"):
        red, green, blue = pixels(folder / particle["file"]).mean((1, 2)).tolist()
        # half a level of rounding in each of three means, two of them halved
        slack = 10.0 * 2 * 0.5 / 255
        assert particle["reward"] == pytest.approx(10.0 * (red - (green + blue) / 2), abs=slack)


def test_a_benchmark(tmp_path: Path) -> None:
    small = ["particles=2", "sampler.transitions=2", "sampler.steps=2"]
    folder = run("benchmark", tmp_path, *small)
    results = [json.loads(path.read_text()) for path in sorted(folder.glob("results/*/*.json"))]
    assert [result["prompt"].split()[-1] for result in results] == ["apple", "car", "umbrella"]
    warmth = []
    for result in results:
        file = folder / "images" / f"{result['prompt_index']:05d}" / "samples" / "0000.png"
        red, _, blue = pixels(file).mean((1, 2)).tolist()
        assert result["judged"]["warmth"] == pytest.approx(red - blue, abs=1e-6)
        assert result["judged"]["correct"] == (red > blue)
        warmth.append(red - blue)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["benchmark"] == "Warm"
    assert summary["means"]["warmth"]["mean"] == pytest.approx(sum(warmth) / 3, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "member", "shown"),
    [
        ("sampler", "def transition(", "sampler: ddim.Ddim lacks transition()"),
        ("steering", "def choose(", "steering: best_half.BestHalf lacks choose()"),
        ("model", "def load(", "model: normal.Normal lacks load()"),
        ("reward", "def load(", "reward: red.Red lacks load()"),
        ("benchmark", "def records(", "benchmark: warm.Warm lacks records()"),
    ],
)
def test_a_required_member_left_out_is_one_line(
    tmp_path: Path, kind: str, member: str, shown: str
) -> None:
    words = write(kind, tmp_path)
    (name,) = [file for file, _ in FILE.findall(guide(kind)) if file.endswith(".py")]
    path = tmp_path / name
    path.write_text(path.read_text().replace(member, "def another(", 1))
    done = glass(words, tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"glass: {shown}; see README, Add your own\n"
    assert not (tmp_path / "run").exists()


def test_a_record_without_a_prompt_is_one_line(tmp_path: Path) -> None:
    words = write("benchmark", tmp_path)
    path = tmp_path / "warm.py"
    path.write_text(path.read_text().replace('"prompt"', '"text"'))
    done = glass(words, tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "warm.Warm.records()[0] has no text as its prompt (it has text)" in done.stderr
