"""A folder of yaml files over the repository's own conf/config.yaml, with tiny groups."""

from __future__ import annotations

import gc
import hashlib
import importlib
import io
import json
import logging
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

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
    """Hydra's handlers write to the standard streams of the moment: they are taken off again."""
    loggers = [logging.getLogger(name) for name in ("", "hydra", "hydra_plugins")]
    before = [(each.handlers[:], each.level, each.propagate) for each in loggers]
    yield
    for each, (handlers, level, propagate) in zip(loggers, before, strict=True):
        each.handlers[:] = handlers
        each.setLevel(level)
        each.propagate = propagate


@pytest.fixture(autouse=True)
def _own_modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a test imports from its own folder, the next does not find in its place."""
    path, before = sys.path[:], set(sys.modules)
    yield
    sys.path[:] = path
    base = str(tmp_path_factory.getbasetemp())
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(base):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def _plain_density_plots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small picture in the place of each plot of a density, which takes as long to draw as all
    else of a small run; tests that look at one have the mark ``plots``."""
    if request.node.get_closest_marker("plots") is None:
        plots = importlib.import_module("glass_cli.models.density_plot")
        monkeypatch.setattr(plots, "density_plot", plain_plot)


def plain_plot(points: Any, log_w: Any, target: Any, tilted: bool, title: str) -> bytes:
    """A picture of a plain colour, which other points, weights or titles change."""
    told = [points.tolist(), log_w.tolist(), tilted, title]
    digest = hashlib.sha256(json.dumps(told).encode()).digest()
    file = io.BytesIO()
    Image.new("RGB", (320, 240), (digest[0], digest[1], digest[2])).save(file, "PNG")
    return file.getvalue()


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
    shutil.copytree(REPOSITORY / "conf" / "hydra", conf / "hydra")
    for name, (line, target, body) in TINY.items():
        write_choice(conf, name, line, target, body)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return conf


def pytest_configure() -> None:
    """Signals as a terminal has them: a program started by nohup, or in the background of a script,
    ignores two, glass heeds that, and tests that send them would see nothing end.

    The many objects of torch and of Hydra are looked through for garbage less often.
    """
    gc.set_threshold(50_000, 20, 50)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is signal.SIG_IGN:
        signal.signal(hangup, signal.SIG_DFL)
