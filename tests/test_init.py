"""`glass init`: the project it writes runs as it stands."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import child_process
import numpy as np
import pytest
import torch
from conftest import REPOSITORY

from glass_cli.commands.init import init
from glass_cli.common.errors import GlassError
from glass_cli.config.command_line import read_arguments
from glass_cli.config.preflight import preflight


def glass(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "WANDB_MODE": "disabled"}
    return child_process.run([sys.executable, "-m", "glass_cli", *words], environment, folder)


def test_the_project_runs_as_it_stands(tmp_path: Path) -> None:
    done = glass("init", "my project", folder=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    folder = tmp_path / "my project"
    said = done.stdout.splitlines()
    assert said[-2] == "cd 'my project'"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {line.strip() for line in said if line.startswith("  ")} == files
    command = shlex.split(said[-1])
    assert command == ["glass", "sample", "-cd", "my_conf", "experiment=first"]
    done = glass(*command[1:], "calls=5", "particles=2", "hydra.run.dir=run", folder=folder)
    assert done.returncode == 0, done.stderr
    prompts = (folder / "prompts.txt").read_text().split("\n")[:-1]
    results = [
        json.loads(path.read_text()) for path in sorted(folder.glob("run/results/**/*.json"))
    ]
    assert [result["prompt"] for result in results] == prompts
    particles = [
        json.loads(line) for line in (folder / "run" / "particles.jsonl").read_text().splitlines()
    ]
    assert len(particles) == 2 * len(prompts)
    assert all(0 < particle["reward"] < 150 for particle in particles)
    assert all(0 < particle["metrics"]["clip"] < 100 for particle in particles)
    assert "colourful" in glass("ls", "reward", "-cd", "my_conf", folder=folder).stdout


def test_every_command_of_its_readme_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init(tmp_path)
    monkeypatch.chdir(tmp_path)
    readme = Path("README.md").read_text(encoding="utf-8")
    commands = [shlex.split(line) for line in re.findall(r"^    glass (.*)", readme, re.MULTILINE)]
    runs = [words for words in commands if words[0] in ("sample", "sweep")]
    assert len(commands) == 6 and len(runs) == 4
    for kind, *words in runs:
        preflight(read_arguments(words, kind == "sweep"), REPOSITORY / "conf")


def test_colourfulness_is_the_papers(tmp_path: Path) -> None:
    """Against the definition, written for one picture of 8 bits."""
    init(tmp_path)
    found: dict[str, object] = {}
    exec((tmp_path / "my_rewards.py").read_text(encoding="utf-8"), found)
    pictures = torch.rand(3, 3, 16, 20, generator=torch.Generator().manual_seed(0))
    pictures[1] = pictures[1, :1]  # grey
    scores = found["colourful"](pictures, ["a"] * 3)  # type: ignore[operator]
    for picture, score in zip(255.0 * pictures.double().numpy(), scores, strict=True):
        r, g, b = picture
        rg, yb = r - g, 0.5 * (r + g) - b
        spread = np.hypot(rg.std(ddof=1), yb.std(ddof=1))
        assert score == pytest.approx(spread + 0.3 * np.hypot(rg.mean(), yb.mean()), abs=1e-3)
    assert scores[1] == pytest.approx(0.0, abs=1e-3)


def test_a_folder_with_something_in_it_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full/thesis.tex").write_text("all I have")
    Path("file").touch()
    with pytest.raises(GlassError, match=r"^full is not empty; name another folder"):
        init(Path("full"))
    with pytest.raises(GlassError, match=r"^cannot write to file: a file of that name"):
        init(Path("file"))
    assert [path.name for path in Path("full").iterdir()] == ["thesis.tex"]
    done = glass("init", "full", folder=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    Path("empty").mkdir()
    monkeypatch.chdir("empty")
    assert "\ncd " not in init(Path())
