"""The README's code runs as written."""

from __future__ import annotations

import json
import re
import shlex
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY

from glass_cli.config.command_line import read_arguments
from glass_cli.config.listing import choices, groups
from glass_cli.config.preflight import preflight
from glass_cli.launch import launch

README = (REPOSITORY / "README.md").read_text()
BLOCKS = [
    textwrap.dedent(block)
    for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", README, flags=re.MULTILINE)
]


@pytest.fixture(autouse=True)
def _modules_of_the_readme() -> Iterator[None]:
    """Other tests have modules of the same names, in other folders."""
    places = list(sys.path)
    yield
    sys.path[:] = places
    sys.modules.pop("my_rewards", None)


def block(containing: str) -> str:
    (found,) = [text for text in BLOCKS if containing in text]
    return found


def test_the_library_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    exec(block("glass.steer("), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and lines[-1].startswith("t=1.00")


def test_a_function_as_reward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_rewards.py").write_text(block("def red(images, prompts)"))
    command = shlex.split(block("reward.target=my_rewards.red").strip())
    assert command[:2] == ["glass", "sample"]
    small = ["sampler.transitions=2", "sampler.steps=2", "particles=2", "wandb.mode=disabled"]
    words = [*command[2:], *small, "hydra.run.dir=run"]
    assert launch(words) == 0
    particles = [json.loads(line) for line in Path("run/particles.jsonl").read_text().splitlines()]
    assert all(-1.0 <= particle["reward"] <= 1.0 for particle in particles)
    assert all(0.0 <= particle["metrics"]["clip"] <= 100.0 for particle in particles)


def test_a_picture_in_ten_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program = block("glass.draw(").strip()
    assert len(program.splitlines()) <= 10
    assert [line for line in program.splitlines() if "import" in line] == [
        "import glass_cli as glass"
    ]
    found: dict[str, Any] = {}
    exec(program.replace("calls=20", "calls=7"), found)
    assert found["result"].nfe == 8 * 7
    assert Path("apple_and_car.png").is_file()


def test_the_scheduler_in_a_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("glass_cli").symlink_to(REPOSITORY / "glass_cli")
    program = block("GlassScheduler.from_scheduler")
    found: dict[str, Any] = {}
    exec(program.replace("num_inference_steps=50", "num_inference_steps=10"), found)
    assert len(found["images"]) == 4 and len(found["steered"].steps) == 6
    assert Path("red_car.png").is_file()


def test_every_command_passes_preflight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("prompts.txt").write_text("a dog\n")
    for folder in ("docs", "glass_cli"):
        Path(folder).symlink_to(REPOSITORY / folder)
    Path("my_rewards.py").write_text(block("def red(images, prompts)"))
    commands = [
        shlex.split(line)
        for text in BLOCKS
        for line in text.replace("\\\n", " ").splitlines()
        if re.match(r"glass (sample|sweep|eval) ", line)
    ]
    assert len(commands) >= 10
    for _, kind, *words in commands:
        # plugins and lists that are not there are for their own tests
        here = [
            word for word in words if not word.startswith(("hydra/", "hydra.launcher", "launcher"))
        ]
        config = "eval" if kind == "eval" else "config"
        preflight(
            read_arguments(here, kind == "sweep" or "-m" in here, config), REPOSITORY / "conf"
        )


def test_every_choice_is_in_the_table() -> None:
    conf = [REPOSITORY / "conf"]
    for group in groups(conf):
        for choice in choices(group, conf):
            assert f"`{choice}`" in README, f"{group}={choice}"
