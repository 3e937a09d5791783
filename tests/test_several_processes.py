"""Runs on several processes: Ray actors, submitit's jobs, optuna's search."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY
from eval_runs import EMOJI, POINTS, files, write_benchmarks

from glass_cli.common.errors import GlassError
from glass_cli.engine.launchers.ray_actors import RayActors

SWEEPS = Path("outputs/eval")
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")]),
}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_benchmarks(tmp_path / "mine")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def evaluate(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "glass_cli", "eval", "-cd", "../mine", *words]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=400)


def results(folder: Path) -> dict[str, str]:
    """All files but those that tell what was typed."""
    return {k: v for k, v in files(folder).items() if not k.endswith(".yaml")}


@pytest.mark.slow
def test_ray_workers_one_of_which_is_killed() -> None:
    """Two workers, one killed by SIGKILL at its first judgement: the files of one process."""
    pytest.importorskip("ray")
    deadly = Path("deadly").absolute()
    words = [*EMOJI, f"benchmark.deadly={deadly}"]
    assert evaluate(*words, "hydra.run.dir=alone").returncode == 0
    deadly.touch()
    words = [word for word in words if not word.startswith("launcher")]
    ray = ["launcher=ray", "launcher.workers=2"]
    done = evaluate(*words, *ray, "hydra.run.dir=many")
    assert done.returncode == 0, done.stderr
    assert not deadly.exists(), "a worker was killed"
    assert results(Path("many")) == results(Path("alone"))


@pytest.mark.slow
def test_sampling_by_two_ray_workers() -> None:
    """Pictures of all particles, thumbnails and tables: the files of one process."""
    pytest.importorskip("ray")
    words = [word for word in EMOJI if not word.startswith(("benchmark", "launcher"))]
    words += ["prompts=[a red apple,two dogs,a blue car]", "metrics=[clip]"]
    for folder, launcher in (
        ("alone", ["launcher.threads=1"]),
        ("many", ["launcher=ray", "launcher.workers=2"]),
    ):
        command = [sys.executable, "-m", "glass_cli", "sample", *words, *launcher]
        command.append(f"hydra.run.dir={folder}")
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr
    assert results(Path("many")) == results(Path("alone"))
    assert len(list(Path("many/images").rglob("*.png"))) == 6


@pytest.mark.slow
def test_an_error_in_a_ray_worker_is_one_line() -> None:
    pytest.importorskip("ray")
    done = evaluate(*POINTS, "launcher=ray", "launcher.workers=1", "benchmark.missing=true")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "glass: the judge's weights are not there; fetch them"


def test_no_cluster_is_told_without_options_of_rays_commands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = pytest.importorskip("ray")

    def refuse(**_: object) -> None:
        raise ConnectionError(
            "Could not find any running Ray instance. Please specify the one to connect to by"
            " setting `--address` flag or `RAY_ADDRESS` environment variable."
        )

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(GlassError, match="no Ray cluster runs on this machine") as refused:
        RayActors(address="auto")._connect()
    assert "--address" not in str(refused.value) and "ray start --head" in str(refused.value)


@pytest.mark.slow
def test_jobs_of_submitit() -> None:
    """One of two jobs fails: it is reported with its words, the other is done."""
    pytest.importorskip("submitit")
    done = evaluate("-m", *POINTS, "hydra/launcher=processes", "benchmark.missing=true,false")
    assert done.returncode == 1
    assert "1 job of the sweep failed" in done.stderr
    # they run elsewhere: here is said that they do, where, and which have ended
    assert "the jobs run in processes of their own" in done.stderr
    assert "glass: failed, " in done.stderr and "glass: finished, " in done.stderr
    assert "2 ended so far: " in done.stderr and ".submitit" in done.stderr.splitlines()[-3]
    assert "benchmark.missing=True" in done.stderr and "weights are not there" in done.stderr
    (summary,) = SWEEPS.glob("*/*/summary.json")
    assert summary.parent.name.lower() == "benchmark.missing=false"


@pytest.mark.slow
def test_jobs_of_ray() -> None:
    """They say what those of submitit say; Ray itself, and the jobs, say nothing."""
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    done = evaluate("-m", *POINTS, "hydra/launcher=ray_jobs", "benchmark.missing=true,false")
    assert done.returncode == 1
    assert "glass: failed, " in done.stderr and "weights are not there" in done.stderr
    assert "glass: finished, " in done.stderr and "1 job of the sweep failed" in done.stderr
    for noise in ("_run_job", "WARNING", "Started a local Ray", "Traceback"):
        assert noise not in done.stderr + done.stdout


@pytest.mark.slow
def test_a_search_by_optuna() -> None:
    """Four trials of the search, the best of which is what its results say."""
    pytest.importorskip("optuna")
    search = ["hydra/sweeper=search", "hydra.sweeper.n_trials=4", "sampler.rho=interval(0,0.9)"]
    done = evaluate("-m", *POINTS, *search)
    assert done.returncode == 0, done.stderr
    scores = [json.loads(p.read_text())["score"] for p in SWEEPS.glob("*/*/summary.json")]
    (found,) = SWEEPS.glob("*/optimization_results.yaml")
    assert len(scores) == 4 and f"best_value: {max(scores)}" in found.read_text()
