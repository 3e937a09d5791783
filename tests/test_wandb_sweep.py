"""docs/wandb_sweep.yaml, run by W&B's own agent as it would be on line; no network is needed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY

from glass_cli.config.command_line import read_arguments
from glass_cli.config.preflight import preflight

wandb_agent = pytest.importorskip("wandb.wandb_agent")
SWEEP: dict[str, Any] = yaml.safe_load((REPOSITORY / "docs" / "wandb_sweep.yaml").read_text())


def proposals() -> list[dict[str, Any]]:
    """Settings that W&B may propose: the first and the last of each parameter's range."""
    ends = {
        name: [space["value"]]
        if "value" in space
        else space.get("values") or [space["min"], space["max"]]
        for name, space in SWEEP["parameters"].items()
    }
    return [{name: values[i] for name, values in ends.items()} for i in (0, -1)]


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """W&B's agent without its server, and `glass` on its path."""
    program = tmp_path / "bin" / "glass"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m glass_cli "$@"\n')
    program.chmod(0o755)
    (tmp_path / "docs").symlink_to(REPOSITORY / "docs")
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(tmp_path),
        "WANDB_SWEEP_ID": "sweep123",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):  # the agent sets them for good
        monkeypatch.setenv(name, "")
    found = wandb_agent.Agent(None, None, sweep_id="sweep123")
    found._sweep_command = list(SWEEP["command"])
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="its env program is not there")
def test_the_agents_command_runs(agent: Any) -> None:
    proposed = {**proposals()[-1], "limit": 1, "particles": 2, "calls": 5, "steering.every": 2}
    arguments = {name: {"value": value} for name, value in proposed.items()}
    agent._command_run({"run_id": "abc12345", "program": None, "args": arguments})
    process = agent._run_processes["abc12345"]._popen
    assert process.args == [
        "/usr/bin/env",
        "glass",
        "sample",
        *(f"{k}={v}" for k, v in proposed.items()),
    ]
    assert process.wait(timeout=300) == 0
    (run,) = Path("outputs").glob("*/*/summary.json")
    config = yaml.safe_load((run.parent / "config.yaml").read_text())
    assert config["steering"]["lam"] == proposed["steering.lam"]
    assert config["steering"]["resampling"] == "ssp"
    summary = json.loads(run.read_text())
    assert summary[SWEEP["metric"]["name"]] > 0
    # W&B's server knows the run by the agent's name for it
    (recorded,) = run.parent.glob("wandb/offline-run-*-abc12345/run-abc12345.wandb")
    assert b"score" in recorded.read_bytes()


@pytest.mark.parametrize("proposed", proposals())
def test_every_proposal_is_a_run(
    proposed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").symlink_to(REPOSITORY / "docs")
    monkeypatch.chdir(tmp_path)
    line = read_arguments([f"{name}={value}" for name, value in proposed.items()])
    settings = preflight(line, REPOSITORY / "conf").settings
    assert settings is not None and settings.root.limit == 6


def test_wandbs_usual_command_gets_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    from glass_cli.launch import launch

    assert launch(["--sampler.rho=0.4"]) == 2
    assert "settings are written key=value: sampler.rho=0.4" in capsys.readouterr().err
