"""Runs a checked command line, and turns errors into one line each."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from glass_cli.common.errors import GlassError, one_line
from glass_cli.common.messages import describe, say
from glass_cli.common.paths import EVAL_CONFIG, MAIN_CONFIG

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from glass_cli.config.preflight import Plan
    from glass_cli.config.settings import Settings

ERROR_FILE = "error.txt"
USER_ERROR, FAILED = 2, 1
# The module whose ``run(settings, folder)`` does the work of what a configuration describes.
ENGINES = {MAIN_CONFIG: "glass_cli.engine.sample", EVAL_CONFIG: "glass_cli.engine.evaluate"}


class Stopped(KeyboardInterrupt):
    """A signal that asks the process to end; the exit code of a process ended by it."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(number)
        self.code = 128 + number


@contextmanager
def _signals_raise() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind the run as Ctrl-C does, so that all files are closed."""

    def stop(number: int, _: FrameType | None) -> None:
        raise Stopped(number)

    before: dict[int, Any] = {}
    for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        number = getattr(signal, name, None)
        with suppress(ValueError):  # not the main thread, whose process is someone else's
            if number is not None:
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class Job:
    """The function that Hydra calls for each job of a sweep; a launcher's processes get it pickled.

    engine: the module whose ``run(settings, folder)`` does the work; it is imported here, after
        the checks, and is the first thing to import torch.
    """

    engine: str

    def __call__(self, cfg: DictConfig) -> Any:
        """Runs the job. An error is left in its folder, where `launch` collects it from whatever
        process the job ran in, and the other jobs go on."""
        from hydra.core.hydra_config import HydraConfig

        from glass_cli.config.preflight import build_settings

        hydra = HydraConfig.get()
        folder = Path(hydra.runtime.output_dir)
        (folder / ERROR_FILE).unlink(missing_ok=True)
        typed = list(hydra.overrides.task)
        try:
            return _run(self.engine, build_settings(cfg, typed), folder)
        except Exception as error:
            if os.environ.get("HYDRA_FULL_ERROR") == "1":
                raise
            known = isinstance(error, GlassError)
            line = f"{' '.join(typed)}: {one_line(error) if known else describe(error)}"
            _write(folder / ERROR_FILE, line, error)
            say(f"job {hydra.job.num} failed: {line}")
            return None


def _run(engine: str, settings: Settings, folder: Path) -> Any:
    return importlib.import_module(engine).run(settings, folder)


def _write(path: Path, line: str, error: Exception) -> None:
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        path.write_text(f"{line}\n\n{trace}", encoding="utf-8")
    except OSError as why:
        say(f"cannot write {path}: {why.strerror}")


def launch(
    words: Sequence[str],
    sweep: bool = False,
    config: str = MAIN_CONFIG,
    conf: Path | None = None,
    engine: str | None = None,
) -> int:
    """Checks the words of a command line, runs them, and returns the exit code.

    sweep: one job for each combination of values, also without -m.
    config: the file that is composed, which decides the engine.
    conf, engine: a folder of yaml files and a module in place of glass's own (tests use them).
    """
    from glass_cli.common.paths import conf_dir
    from glass_cli.config.command_line import read_words

    try:
        with _signals_raise():
            read = read_words(words, sweep, config)
            folder = conf or conf_dir()
            from glass_cli.config.preflight import preflight

            plan = preflight(read, folder)
            engine = engine or ENGINES[config]
            if plan.settings is not None:
                return _single(engine, plan, plan.settings)
            return _hydra(engine, plan, folder, read.config_name)
    except GlassError as error:
        say(one_line(error))
        return USER_ERROR
    except KeyboardInterrupt as stopped:
        say("stopped before the run began")
        return _code(stopped)


def _single(engine: str, plan: Plan, settings: Settings) -> int:
    """One run, whose settings the plan has."""
    folder = plan.folder
    assert folder is not None
    error_file = folder / ERROR_FILE
    error_file.unlink(missing_ok=True)
    try:
        _run(engine, settings, folder)
    except KeyboardInterrupt as stopped:
        say(f"stopped; what was finished is in {folder}, and {_how_to_go_on(plan)}")
        return _code(stopped)
    except GlassError as error:
        say(one_line(error))
        if plan.created and not (folder / "results").exists():
            _remove(folder)  # nothing was done in it
        elif not getattr(error, "leaves_no_file", False):
            _write(error_file, one_line(error), error)
        return USER_ERROR
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        _write(error_file, describe(error), error)
        say(f"{describe(error)} (traceback in {error_file})")
        return FAILED
    return 0


def _hydra(engine: str, plan: Plan, conf: Path, config_name: str) -> int:
    """A sweep, or a configuration to be shown: Hydra's own main."""
    import hydra

    started = time.time()
    task = hydra.main(config_path=str(conf), config_name=config_name, version_base="1.3")
    before, sys.argv = sys.argv, ["glass", *plan.arguments]
    try:
        task(Job(engine))()
    except KeyboardInterrupt as stopped:
        say(f"stopped; what was finished is in {plan.folder}, and {_how_to_go_on(plan)}")
        return _code(stopped)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED if end.code else 0
    finally:
        sys.argv = before
    return 0 if plan.folder is None else _report_failures(plan.folder, started)


def _how_to_go_on(plan: Plan) -> str:
    if plan.resumed_by is None:
        return "the same command goes on from there"
    return f"the same command with {plan.resumed_by} goes on from there"


def _code(stopped: KeyboardInterrupt) -> int:
    return getattr(stopped, "code", 128 + signal.SIGINT)


def _remove(folder: Path) -> None:
    """Removes a folder of this run, and the day's folder around it where that is empty now."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()


def _report_failures(folder: Path, started: float) -> int:
    """Says which jobs of a sweep failed; 1 if any did."""
    # A folder the user reuses may hold errors of an earlier sweep; a second covers coarse clocks.
    errors = [p for p in sorted(folder.rglob(ERROR_FILE)) if p.stat().st_mtime >= started - 1]
    if not errors:
        return 0
    say(f"{len(errors)} job{'s' * (len(errors) > 1)} of the sweep failed:")
    for path in errors:
        say(f"  {path.parent}: {path.read_text(encoding='utf-8').splitlines()[0]}")
    return FAILED
