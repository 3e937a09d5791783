"""How runs and sweeps end by a signal, and go on afterwards."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from child_process import Child, run
from eval_runs import ENVIRONMENT

from glass_cli.common.errors import GlassError
from glass_cli.engine.launchers.local import Local
from glass_cli.launch import launch

PROGRAM = """
import sys
from pathlib import Path
from glass_cli.launch import launch
sweep = sys.argv[2] == "sweep"
sys.exit(launch(sys.argv[3:], sweep, conf=Path(sys.argv[1]), engine="slow_engine"))
"""
# glass, which waits before its second result
HELD = """
import time
from glass_cli.cli import main
from glass_cli.engine.launchers.local import Local

inner = Local.run

def run(*given):
    for number, finished in enumerate(inner(*given)):
        time.sleep(60 if number == 1 else 0)
        yield finished

Local.run = run
main()
"""
MIXTURE = ["model=gaussian_mixture", "wandb.mode=disabled", "calls=5"]


def wait_for(pattern: str, process: Child) -> Path:
    """The first file of that name below the working directory."""
    end, ended = time.monotonic() + 240, False
    while time.monotonic() < end and not ended:
        ended = process.poll() is not None  # asked first: its last file counts too
        found = next(Path().glob(pattern), None)
        if found is not None:
            return found
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"no {pattern}: {process.communicate()[1]}")


def start(conf: Path, kind: str, *arguments: str, ignored: int | None = None) -> Child:
    """A run of the slow engine in a process of its own, which ignores one signal."""

    command = [sys.executable, "-c", PROGRAM, str(conf), kind, *arguments]
    return Child(command, ENVIRONMENT, ignored=ignored)


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


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_stopped_run_of_the_engine_goes_on(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole of `glass sample`, as the line that it ends with says."""
    monkeypatch.chdir(tmp_path)
    Path("prompts.txt").write_text("".join(f"prompt {n}\n" for n in range(12)))
    words = ["sample", *MIXTURE[:2], "prompts=prompts.txt"]
    process = Child([sys.executable, "-c", HELD, *words], ENVIRONMENT)
    result = wait_for("outputs/*/*/results/*/0000.json", process)
    process.send_signal(number)
    line = process.communicate(timeout=60)[1].splitlines()[-1]
    assert process.returncode == 128 + number
    folder = result.parents[2]
    before = sorted(folder.glob("results/*/*.json"))
    assert 1 <= len(before) < 12 and not (folder / "summary.json").exists()
    times = {path: path.stat().st_mtime_ns for path in before}
    (word,) = [word for word in line.split() if word.startswith("hydra.run.dir=")]
    done = run([sys.executable, "-m", "glass_cli", *words, word], ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert (folder / "summary.json").exists() and len(list(folder.glob("results/*/*.json"))) == 12
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


class _Cleanup:
    """A library's object whose closing stumbles over what the signal left half done."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        raise AttributeError("'NoneType' object has no attribute 'x'")


@pytest.mark.parametrize("where", ["preflight", "engine"])
def test_an_error_in_the_clean_up_of_a_stopped_run(
    where: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is still the signal that ended the run, whatever was raised over it."""
    monkeypatch.chdir(tmp_path)

    def stopped(*_: Any, **__: Any) -> Any:
        try:
            with _Cleanup():
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)
        except AttributeError as error:
            raise GlassError("cannot be composed") from error

    place = {"preflight": "config.preflight.build_settings", "engine": "engine.sample.completed"}
    monkeypatch.setattr(f"glass_cli.{place[where]}", stopped)
    assert launch([*MIXTURE, "hydra.run.dir=run"]) == 128 + signal.SIGTERM
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("glass: stopped") and not Path("run").exists()


@pytest.mark.parametrize("where", ["preflight", "engine"])
def test_a_library_that_forgets_the_signal(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray, waiting for a result, raises a KeyboardInterrupt of its own."""
    monkeypatch.chdir(tmp_path)

    def stopped(*_: Any, **__: Any) -> Any:
        try:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(5)
        except KeyboardInterrupt:
            pass
        raise KeyboardInterrupt

    place = {"preflight": "config.preflight.build_settings", "engine": "engine.sample.completed"}
    monkeypatch.setattr(f"glass_cli.{place[where]}", stopped)
    assert launch([*MIXTURE, "hydra.run.dir=run"]) == 128 + signal.SIGHUP
