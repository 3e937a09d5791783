"""A folder of yaml files over the repository's own conf/config.yaml, with tiny groups."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
TINY = {
    "model/emoji": ("# draws nothing", "Model", "folder: null\nguidance: 1.0"),
    "model/points": ("# points in the plane", "Points", "dim: 2"),
    "sampler/glass": (
        "# GLASS transitions",
        "Sampler",
        "steps: 4\norder: 2\nrho: ddpm\ntimes: null\nclip: false",
    ),
    "sampler/sde": ("# Euler-Maruyama", "Sampler", "steps: 9\norder: 1"),
    "steering/fk": ("# Feynman-Kac", "Steered", "threshold: 0.5"),
    "steering/none": ("# no steering", "Plain", ""),
    "reward/clip": ("# scores images", "ImageReward", ""),
    "reward/linear": ("# scores points", "PointReward", ""),
    "launcher/local": ("# runs nothing", "Nowhere", ""),
}


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Hydra gives the root logger handlers on the standard output of the moment; take them off."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def write_choice(folder: Path, name: str, line: str, target: str, body: str) -> None:
    path = folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{line}\n_target_: tiny_settings.{target}\n{body}\n", encoding="utf-8")


@pytest.fixture
def tiny_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of yaml files; the working directory is an empty folder beside it."""
    conf = tmp_path / "conf"
    conf.mkdir()
    shutil.copy(REPOSITORY / "conf" / "config.yaml", conf)
    for name, (line, target, body) in TINY.items():
        write_choice(conf, name, line, target, body)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return conf
