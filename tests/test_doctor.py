"""`glass doctor`: what it says of machines that lack one thing or another."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import REPOSITORY

from glass_cli.commands import doctor as module
from glass_cli.commands.doctor import EXTRAS, Finding, doctor, findings
from glass_cli.commands.weights import kept_weights

CONF = REPOSITORY / "conf"


def found(name: str) -> list[Finding]:
    """The lines on one subject: the one that names it, and those that belong to it."""
    lines: list[Finding] = []
    current = ""
    for each in findings():
        current = each.name or current
        if current == name:
            lines.append(each)
    return lines


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No account of anybody's."""
    monkeypatch.chdir(tmp_path)
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_DISABLED", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))


def test_the_command_says_plain_lines(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "glass_cli", "doctor"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "WANDB_MODE": "offline"},
    )
    assert done.returncode == 0 and done.stderr == ""
    assert f"torch {torch.__version__}" in done.stdout
    assert "W&B" in done.stdout and "offline, as WANDB_MODE says" in done.stdout
    assert f"in {tmp_path / 'outputs'}" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quiet")
def test_everything_here_can_run() -> None:
    text, can_run = doctor()
    assert can_run and "cannot run" not in text
    names = [each.name for each in findings()]
    for name in ("packages", "device", "embedded", "weights", "W&B", "fonts", "extras"):
        assert name in names
    assert "dtype=float32" in found("device")[0].text or torch.cuda.is_available()


@pytest.mark.usefixtures("quiet")
def test_what_makes_a_run_impossible(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "EMBEDDED", tmp_path)
    monkeypatch.setitem(sys.modules, "torch", None)
    text, can_run = doctor()
    assert not can_run
    assert "cannot run: torch cannot be imported" in text
    assert f"cannot run: emoji, clip, detector missing in {tmp_path}" in text


@pytest.mark.usefixtures("quiet")
def test_a_missing_detector_stops_no_sample(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("emoji/model_index.json", "clip/config.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    monkeypatch.setattr(module, "EMBEDDED", tmp_path)
    (embedded,) = found("embedded")
    assert embedded.text.startswith("detector missing") and not embedded.fatal and embedded.advice


@pytest.mark.usefixtures("quiet")
def test_packages_that_are_missing_or_old(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["torch>=2.6", "pillow>=99.1", "nothing_such>=1", 'peft>=0.1; extra == "lora"']
    monkeypatch.setattr(metadata, "requires", lambda _: lines)
    shown, wrong = found("packages")
    assert wrong.fatal and "nothing_such is missing" in wrong.text
    assert f"pillow {metadata.version('pillow')} is older than 99.1" in wrong.text
    assert "peft" not in wrong.text and "torch" in shown.text
    extras = {each.text.split()[0]: each for each in found("extras")}
    assert set(extras) == set(EXTRAS)
    assert extras["lora"].text.startswith("lora installed") and not extras["lora"].advice
    assert extras["ocr"].advice == "pip install 'glass_cli[ocr]'"


def test_the_extras_are_those_of_the_package() -> None:
    """All but those of developers, each with what it is for."""
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS) == set(project["optional-dependencies"]) - {"dev", "docs"}


@pytest.mark.usefixtures("quiet")
def test_the_account_of_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = found("W&B")
    assert line.text.startswith("offline, no API key") and "wandb login" in line.advice
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nobody listens there
    (line,) = found("W&B")
    assert line.text.startswith("offline: http://127.0.0.1:9 does not answer") and line.advice
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert found("W&B")[0].text == "disabled, as WANDB_MODE says"


@pytest.mark.usefixtures("quiet")
def test_a_gpu_that_torch_does_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("this torch sees a GPU")
    monkeypatch.setattr(module.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    (line,) = found("device")
    assert "sees no GPU: install its CUDA build" in line.advice


def _keep(cache: Path, repository: str, files: dict[str, int]) -> None:
    folder = cache / f"models--{repository.replace('/', '--')}" / "blobs"
    folder.mkdir(parents=True)
    for name, size in files.items():
        (folder / name).write_bytes(bytes(size))


def test_weights_in_the_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _keep(tmp_path, "black-forest-labs/FLUX.1-dev", {"a": 1000, "b": 24})
    _keep(tmp_path, "openai/clip-vit-large-patch14", {"a": 10, "b.incomplete": 99})
    kept = {each.repository: each for each in kept_weights(CONF, tmp_path)}
    flux = kept["black-forest-labs/FLUX.1-dev"]
    assert flux.size == 1024 and not flux.partial and "model=flux_dev" in flux.users
    clip = kept["openai/clip-vit-large-patch14"]
    assert clip.size == 10 and clip.partial
    assert {"reward=aesthetic", "benchmark=geneval"} <= set(clip.users)
    assert kept["xswu/HPSv2"].size == 0
    assert not any(name.startswith(("embedded", "ViT")) for name in kept)
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    lines = found("weights")
    said = [(each.text, each.advice) for each in lines]
    assert any("FLUX.1-dev, 0.0 GiB, for model=flux_dev" in text for text, _ in said)
    assert any(text.endswith("not whole") and "goes on with it" in advice for text, advice in said)
    assert "reward=" in lines[-1].text and "hf download" in lines[-1].advice


def test_names_are_shown_for_every_downloadable_choice(tmp_path: Path) -> None:
    named: set[Any] = {user for each in kept_weights(CONF, tmp_path) for user in each.users}
    assert {
        "model=sd15",
        "reward=imagereward",
        "reward=pickscore",
        "reward=vqa",
        "benchmark=geneval2",
    } <= named
    assert "model=emoji" not in named
