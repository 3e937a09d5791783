"""How runs and sweeps end: signals, failed starts, errors of plugins, pipes that are closed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY

from glass_cli.common.errors import GlassError
from glass_cli.engine.launchers.local import Local
from glass_cli.launch import launch
from glass_cli.output.lock import Lock, Refused

PROGRAM = """
import sys
from pathlib import Path
from glass_cli.launch import launch
sweep = sys.argv[2] == "sweep"
sys.exit(launch(sys.argv[3:], sweep, conf=Path(sys.argv[1]), engine="slow_engine"))
"""
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")]),
}
MIXTURE = ["model=gaussian_mixture", "wandb.mode=disabled", "calls=5"]


def wait_for(pattern: str, process: subprocess.Popen[str]) -> Path:
    """The first file of that name below the working directory."""
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        found = next(Path().glob(pattern), None)
        if found is not None:
            return found
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"no {pattern}: {process.communicate()[1]}")


def start(conf: Path, kind: str, *arguments: str, ignored: int | None = None) -> Any:
    """A run of the slow engine in a process of its own, which ignores one signal."""

    def ignore() -> None:
        if ignored is not None:
            signal.signal(ignored, signal.SIG_IGN)

    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(conf), kind, *arguments],
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=ignore,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("kind", ["run", "sweep"])
def test_a_signal_ends_a_run_with_its_files_closed(
    tiny_conf: Path, kind: str, number: signal.Signals
) -> None:
    process = start(tiny_conf, kind, *(["seed=1,2"] if kind == "sweep" else ["seed=1"]))
    begun = wait_for("outputs/*/*/begun" if kind == "run" else "outputs/*/*/0/begun", process)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1].splitlines()
    assert process.returncode == 128 + number
    folder = begun.parent if kind == "run" else begun.parent.parent
    assert said[-1] == (
        f"glass: stopped; what was finished is in {folder}, and the same command with"
        f" hydra.{kind}.dir={folder} goes on from there"
    )
    assert "Traceback" not in "".join(said)
    assert begun.with_name("closed").exists(), "the engine's own clean-up was not cut short"
    assert not list(Path().glob("outputs/*/*/1")), "the sweep ended with its first job"


def test_a_second_signal_does_not_cut_the_closing_short(tiny_conf: Path) -> None:
    process = start(tiny_conf, "run")
    wait_for("outputs/*/*/begun", process)
    process.send_signal(signal.SIGTERM)
    closing = wait_for("outputs/*/*/closing", process)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert closing.with_name("closed").exists()


def test_under_nohup_the_terminal_may_go(tiny_conf: Path) -> None:
    process = start(tiny_conf, "run", "seed=7", ignored=signal.SIGHUP)
    begun = wait_for("outputs/*/*/begun", process)
    process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=60)[1] == "" and process.returncode == 0
    assert begun.with_name("closed").exists()


def test_a_closed_terminal_is_no_error(tiny_conf: Path) -> None:
    """The line has no reader any more when SIGHUP comes."""
    process = start(tiny_conf, "run")
    wait_for("outputs/*/*/begun", process)
    process.stderr.close()
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 128 + signal.SIGHUP


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_of_the_engine_goes_on(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole of `glass sample`, as the line that it ends with says."""
    monkeypatch.chdir(tmp_path)
    Path("prompts.txt").write_text("".join(f"prompt {n}\n" for n in range(400)))
    command = [sys.executable, "-m", "glass_cli", "sample", *MIXTURE[:2], "prompts=prompts.txt"]
    process = subprocess.Popen(command, env=ENVIRONMENT, text=True, stderr=subprocess.PIPE)
    result = wait_for("outputs/*/*/results/*/0000.json", process)
    process.send_signal(number)
    line = process.communicate(timeout=60)[1].splitlines()[-1]
    assert process.returncode == 128 + number
    folder = result.parents[2]
    before = sorted(folder.glob("results/*/*.json"))
    assert 1 <= len(before) < 400 and not (folder / "summary.json").exists()
    times = {path: path.stat().st_mtime_ns for path in before}
    (word,) = [word for word in line.split() if word.startswith("hydra.run.dir=")]
    done = subprocess.run([*command, word], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (folder / "summary.json").exists() and len(list(folder.glob("results/*/*.json"))) == 400
    assert {path: path.stat().st_mtime_ns for path in before} == times


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int | None], list[int]]]:
    """Notes the particles of each run that draws; the N-th is stopped as if by Ctrl-C."""
    inner = Local.run

    def watch(stop_at: int | None) -> list[int]:
        particles: list[int] = []

        def run(self: Local, task: Any, watch: Any = None) -> Iterator[Any]:
            if len(particles) == stop_at:
                raise KeyboardInterrupt
            particles.append(task.settings.root.particles)
            yield from inner(self, task, watch)

        monkeypatch.setattr(Local, "run", run)
        return particles

    yield watch


def test_a_stopped_sweep_goes_on_with_what_is_missing(
    drawn: Callable[[int | None], list[int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = [*MIXTURE, "particles=2,3,4"]
    first = drawn(1)
    assert launch(sweep, sweep=True) == 130
    line = capsys.readouterr().err.splitlines()[-1]
    (word,) = [word for word in line.split() if word.startswith("hydra.sweep.dir=")]
    folder = Path(word.partition("=")[2])
    assert first == [2]
    assert [p.parent.name for p in sorted(folder.glob("*/summary.json"))] == ["0"]
    second = drawn(None)
    assert launch([*sweep, word], sweep=True) == 0
    assert second == [3, 4], "the finished job is skipped"
    found = [json.loads(p.read_text())["particles"] for p in sorted(folder.glob("*/summary.json"))]
    assert found == [2, 3, 4]
    third = drawn(None)
    assert launch([*sweep, word, "fresh=true"], sweep=True) == 0
    assert third == [2, 3, 4]


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
        others.pop().release()
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
    "command",
    ["sample --info config", "sample --cfg job", "ls", f"sample {' '.join(MIXTURE)}"],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
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
