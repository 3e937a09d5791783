"""Runs a checked command line through `hydra.main`, and turns errors into one line each."""

from __future__ import annotations

import importlib
import os
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glass_cli.common.errors import GlassError, one_line
from glass_cli.common.paths import MAIN_CONFIG

if TYPE_CHECKING:
    from omegaconf import DictConfig

ERROR_FILE = "error.txt"
USER_ERROR, FAILED, STOPPED = 2, 1, 130


def say(line: str) -> None:
    """One line on standard error, under the program's name."""
    print(f"glass: {line}", file=sys.stderr, flush=True)


def describe(error: BaseException) -> str:
    """An unexpected error in one line."""
    return f"{type(error).__name__}: {one_line(error)}".rstrip(": ")


@dataclass(frozen=True)
class Job:
    """The function Hydra calls for each job; it can be pickled by a launcher that needs that.

    `experiment` is the module whose `run(cfg)` does the work; it is imported here, after the
    checks, and is the first thing to import torch.
    """

    experiment: str

    def __call__(self, cfg: DictConfig) -> Any:
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        from glass_cli.config.preflight import settings

        hydra = HydraConfig.get()
        folder = Path(hydra.runtime.output_dir)
        several = hydra.mode == RunMode.MULTIRUN
        error_file = folder / ERROR_FILE
        error_file.unlink(missing_ok=True)
        try:
            settings(cfg)
            return importlib.import_module(self.experiment).run(cfg)
        except Exception as error:
            if os.environ.get("HYDRA_FULL_ERROR") == "1":
                raise
            known = isinstance(error, GlassError)
            line = one_line(error) if known else describe(error)
            if several:
                # The other jobs of a sweep go on: the error is left in this job's folder, where
                # `launch` collects it, whatever process the job ran in.
                line = f"{' '.join(hydra.overrides.task)}: {line}"
            if several or not getattr(error, "leaves_no_file", False):
                _write(error_file, line, error)
            if several:
                say(f"job {hydra.job.num} failed: {line}")
                return None
            say(line if known else f"{line} (traceback in {error_file})")
            raise SystemExit(USER_ERROR if known else FAILED) from error


def _write(path: Path, line: str, error: Exception) -> None:
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        path.write_text(f"{line}\n\n{trace}", encoding="utf-8")
    except OSError as why:
        say(f"cannot write {path}: {why.strerror}")


def launch(
    words: Sequence[str],
    sweep: bool,
    experiment: str,
    conf: Path | None = None,
    config: str = MAIN_CONFIG,
) -> int:
    """Check the words of a command line, run them, and return the exit code.

    `conf` replaces the folder of yaml files (tests use it), `config` the file that is composed.
    """
    try:
        return _launch(words, sweep, experiment, conf, config)
    except GlassError as error:
        say(one_line(error))
        return USER_ERROR
    except KeyboardInterrupt:
        say("stopped before the run began")
        return STOPPED


def _launch(
    words: Sequence[str], sweep: bool, experiment: str, conf: Path | None, config: str
) -> int:
    from glass_cli.common.paths import conf_dir
    from glass_cli.config.command_line import read_words

    read = read_words(words, sweep, config)
    folder = conf or conf_dir()
    import hydra

    from glass_cli.config.preflight import preflight

    plan = preflight(read, folder)
    started = time.time()
    task = hydra.main(config_path=str(folder), config_name=read.config_name, version_base="1.3")
    before, sys.argv = sys.argv, ["glass", *plan.arguments]
    try:
        task(Job(experiment))()
    except KeyboardInterrupt:
        say(f"stopped; what was finished is in {plan.folder}")
        return STOPPED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED if end.code else 0
    finally:
        sys.argv = before
    if plan.sweep and plan.folder is not None:
        return _report_failures(plan.folder, started)
    return 0


def _report_failures(folder: Path, started: float) -> int:
    """Say which jobs of a sweep failed; 1 if any did."""
    # A folder the user reuses may hold errors of an earlier sweep; a second covers coarse clocks.
    errors = [p for p in sorted(folder.rglob(ERROR_FILE)) if p.stat().st_mtime >= started - 1]
    if not errors:
        return 0
    say(f"{len(errors)} job{'s' * (len(errors) > 1)} of the sweep failed:")
    for path in errors:
        say(f"  {path.parent}: {path.read_text(encoding='utf-8').splitlines()[0]}")
    return FAILED
