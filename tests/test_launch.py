"""Failed starts, errors of plugins, pipes that are closed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from eval_runs import ENVIRONMENT

from glass_cli.common.errors import GlassError
from glass_cli.launch import launch
from glass_cli.output.lock import Lock, Refused

MIXTURE = ["model=gaussian_mixture", "wandb.mode=disabled", "calls=5"]


def test_a_failed_start_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused only when the model is loaded, and before."""
    monkeypatch.chdir(tmp_path)
    assert launch(["model.path=/etc/passwd", "wandb.mode=disabled"]) == 2
    assert launch(["reward.path=/nonexistent", "wandb.mode=disabled"]) == 2
    evaluate = ["benchmark=geneval", "benchmark.limit=1", "model.path=/etc/passwd"]
    assert launch([*evaluate, "wandb.mode=disabled"], config="eval") == 2
    assert len(capsys.readouterr().err.splitlines()) == 3
    assert list(tmp_path.iterdir()) == []


def failing(conf: Path, folder: str, work: Callable[[Path], None]) -> int:
    """A run whose engine does some work and then fails by a mistake of the user's."""
    engine = type(sys)("failing_engine")

    def run(_: Any, place: Path) -> None:
        work(place)
        raise GlassError("the reward is NaN")

    engine.run = run  # type: ignore[attr-defined]
    sys.modules["failing_engine"] = engine
    try:
        return launch([f"hydra.run.dir={folder}"], conf=conf, engine="failing_engine")
    finally:
        del sys.modules["failing_engine"]


def test_what_was_there_before_a_failed_start_stays(tiny_conf: Path) -> None:
    Path("mine").mkdir()
    assert failing(tiny_conf, "mine/a/b", lambda place: (place / "config.yaml").touch()) == 2
    assert list(Path("mine").iterdir()) == [], "a/b was made for the run, mine was not"
    Path("mine/a").mkdir()
    assert failing(tiny_conf, "mine/a", lambda place: None) == 2
    assert [p.name for p in Path("mine/a").iterdir()] == ["error.txt"]


def test_an_error_is_whole_when_it_is_there(
    tiny_conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who watches a sweep reads its line once."""
    seen, replace = [], os.replace

    def watched(part: Path, path: Path) -> None:
        if path.name == "error.txt":
            seen.append((path.exists(), Path(part).read_text().splitlines()[0]))
        replace(part, path)

    monkeypatch.setattr(os, "replace", watched)
    Path("run").mkdir()
    assert failing(tiny_conf, "run", lambda place: None) == 2
    assert seen == [(False, "the reward is NaN")]


@pytest.mark.parametrize("part", ["results/00000", "study"])
def test_finished_work_stays_when_a_run_fails(tiny_conf: Path, part: str) -> None:
    assert failing(tiny_conf, "run", lambda place: (place / part).mkdir(parents=True)) == 2
    assert Path("run", part).exists() and Path("run/error.txt").exists()


def test_a_folder_that_another_run_has_taken_over_stays(tiny_conf: Path) -> None:
    """Two commands that start at once: the one that is refused must not remove the other's."""
    others = []

    def refused(place: Path) -> None:
        others.append(Lock(place))
        raise Refused("run is being written by process 1")

    def failed(place: Path) -> None:
        others.append(Lock(place))

    for work in (refused, failed):
        assert failing(tiny_conf, "run", work) == 2
        assert Path("run").is_dir()
        others.pop().close()
        for path in Path("run").iterdir():
            path.unlink()
        Path("run").rmdir()


def test_a_launcher_that_fails_is_one_line(
    tiny_conf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What Hydra would print in many lines, and end the process with."""
    from hydra._internal.core_plugins.basic_launcher import BasicLauncher

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("no nodes\nare free")

    monkeypatch.setattr(BasicLauncher, "launch", fails)
    assert launch(["seed=1,2"], True, conf=tiny_conf, engine="tiny_settings") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("glass: RuntimeError: no nodes are free (traceback in outputs/")
    (trace,) = Path().glob("outputs/*/*/error.txt")
    assert "Traceback" in trace.read_text()
    assert "HYDRA_FULL_ERROR" not in os.environ


def test_slurm_without_slurm_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.chdir(tmp_path)
    arguments = [*MIXTURE, "seed=1,2", "hydra/launcher=slurm"]
    assert launch(arguments, sweep=True) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "hydra/launcher=slurm needs SLURM's srun" in line
    assert list(tmp_path.iterdir()) == []


def test_a_launcher_of_sweeps_is_not_passed_over_in_a_single_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    monkeypatch.chdir(tmp_path)
    assert launch([*MIXTURE, "hydra/launcher=processes"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "hydra/launcher=processes starts the jobs of a sweep, and this is a single run" in line
    assert "add -m" in line and "launcher=ray" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("choice", "plugin", "extra"),
    [
        ("hydra/launcher=ray_jobs", "hydra/launcher/ray", "sweep-ray"),
        ("hydra/launcher=processes", "hydra/launcher/submitit_local", "sweep"),
        ("hydra/launcher=slurm", "hydra/launcher/submitit_slurm", "sweep"),
        ("hydra/sweeper=search", "hydra/sweeper/optuna", "sweep"),
    ],
)
def test_a_plugin_that_is_not_installed_names_its_extra(
    choice: str,
    plugin: str,
    extra: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """Hydra's plugins bring yaml files, which are missing with them."""
    from hydra._internal.config_repository import ConfigRepository

    inner = ConfigRepository.load_config

    def load_config(self: ConfigRepository, config_path: str) -> Any:
        return None if config_path == plugin else inner(self, config_path)

    monkeypatch.setattr(ConfigRepository, "load_config", load_config)
    monkeypatch.chdir(tmp_path)
    assert launch([*MIXTURE, "seed=1,2", choice], sweep=True) == 2
    assert capsys.readouterr().err == (
        f"glass: {choice} needs a plugin of Hydra's that is not installed; pip install"
        f" 'glass_cli[{extra}]'\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "unbuffered"),
    [
        *product(["sample --info config", "sample --cfg job", "ls"], ["", "1"]),
        (f"sample {' '.join(MIXTURE)}", ""),
        pytest.param(f"sample {' '.join(MIXTURE)}", "1", marks=pytest.mark.slow),
    ],
)
def test_output_that_nobody_reads_is_no_error(
    command: str, unbuffered: str, tmp_path: Path
) -> None:
    """As before `| head -1`, which closes the pipe."""
    process = subprocess.Popen(
        [sys.executable, "-m", "glass_cli", *command.split()],
        env={**ENVIRONMENT, "PYTHONUNBUFFERED": unbuffered},
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    said = process.communicate(timeout=60)[1]
    assert "Error" not in said and "Traceback" not in said and process.returncode in (0, 1)
    assert not list(tmp_path.glob("outputs/*/*/error.txt"))
    assert len(list(tmp_path.glob("outputs/*/*/summary.json"))) == ("calls=5" in command)


def test_lines_of_other_packages_stay_out_of_the_output(
    tiny_conf: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """httpx logs each request at INFO, which Hydra would print as its own; warnings are shown."""
    engine = type(sys)("logging_engine")

    def run(*_: Any) -> None:
        import logging

        logging.getLogger("httpx").info("HTTP Request: POST http://host/score")
        logging.getLogger("glass").warning("glass: out of memory")

    engine.run = run  # type: ignore[attr-defined]
    sys.modules["logging_engine"] = engine
    try:
        assert launch(["seed=1,2"], True, conf=tiny_conf, engine="logging_engine") == 0
    finally:
        del sys.modules["logging_engine"]
    said = capfd.readouterr()
    assert said.out == ""
    assert "HTTP Request" not in said.err and "[HYDRA] Launching 2 jobs" in said.err
