"""Runs a checked command line, and turns errors into one line each."""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glass_cli.common.errors import GlassError, Unfinished, one_line
from glass_cli.common.files import FULL, atomic_write, cannot_write, why
from glass_cli.common.messages import describe, output_is_closed, say
from glass_cli.common.paths import ERROR_FILE, EVAL_CONFIG, MAIN_CONFIG
from glass_cli.common.signals import code_of, interruptions_kept, signals_raise
from glass_cli.output.sweep_errors import errors_in, new_name, place_of, say_errors

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from glass_cli.config.preflight import CheckedLine
    from glass_cli.config.settings import Settings

USER_ERROR, FAILED = 2, 1
# The module whose ``run(settings, folder)`` does the work of what a configuration describes.
ENGINES = {MAIN_CONFIG: "glass_cli.engine.sample", EVAL_CONFIG: "glass_cli.engine.evaluate"}
# In which finished work is kept: a folder that has one of them is never removed.
_WORK = ("results", "study")
_TRACEBACKS = "HYDRA_FULL_ERROR"
_FREE_IT = "free it, or choose another with hydra.sweep.dir=FOLDER; the same command goes on"


@dataclass(frozen=True)
class Job:
    """The function that Hydra calls for each job of a sweep; a launcher's processes get it pickled.

    engine: the module whose ``run(settings, folder)`` does the work; it is imported here, after
        the checks, and is the first to import torch.
    raises: whether an unexpected error is raised with its traceback, and ends the sweep.
    swept: the keys that vary between jobs, by whose values W&B calls each.
    sweep: a name of this sweep's own, for what its jobs leave in folders that others may use.
    """

    engine: str
    raises: bool = False
    swept: tuple[str, ...] = ()
    sweep: str = ""

    def __call__(self, cfg: DictConfig) -> Any:
        """Runs the job. An error is left in its folder, where `launch` collects it from whatever
        process the job ran in, and the other jobs go on."""
        from hydra.core.hydra_config import HydraConfig

        from glass_cli.config.preflight import build_settings
        from glass_cli.config.sweep_names import in_sweep

        hydra = HydraConfig.get()
        folder = Path(hydra.runtime.output_dir)
        (folder / ERROR_FILE).unlink(missing_ok=True)
        typed = list(hydra.overrides.task)
        try:
            with interruptions_kept():
                settings = build_settings(cfg, typed)
                settings = in_sweep(settings, Path(hydra.sweep.dir).name, self.swept)
                return _run(self.engine, settings, folder)
        except Exception as error:
            known = isinstance(error, GlassError)
            if self.raises and not known:
                raise
            line = f"{' '.join(typed)}: {one_line(error) if known else describe(error)}"
            _write(place_of(error, folder, self.sweep), line, error)
            say(f"job {hydra.job.num} failed: {line}")
            return None


def _run(engine: str, settings: Settings, folder: Path) -> Any:
    return importlib.import_module(engine).run(settings, folder)


def _write(path: Path, line: str, error: Exception) -> str:
    """Keeps an error in a file; returns what says so, or why it could not be kept."""
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        with atomic_write(path) as part:  # a sweep watches for it
            part.write_text(f"{line}\n\n{trace}", encoding="utf-8", errors="backslashreplace")
    except OSError as problem:
        return f" ({path} cannot be written: {problem.strerror}; {_TRACEBACKS}=1 shows where)"
    return f" (traceback in {path})"


def launch(
    arguments: Sequence[str],
    sweep: bool = False,
    config: str = MAIN_CONFIG,
    conf: Path | None = None,
    engine: str | None = None,
) -> int:
    """Checks the arguments of a command line, runs them, and returns the exit code.

    sweep: one job for each combination of values, also without -m; of evaluations,
        where a benchmark is named, or an experiment that has one.
    config: the file that is composed, which decides the engine.
    conf, engine: a folder of yaml files and a module in place of glass's own (tests use them).

    The exit code is 0, 2 for a mistake of the user's, 1 for any other error, and 128 + N where
    signal N ended the run. Raises BrokenPipeError where nobody reads the output any more.
    """
    from glass_cli.common.paths import conf_dir
    from glass_cli.config.command_line import read_arguments
    from glass_cli.config.experiments import names_evaluation

    try:
        with signals_raise():
            line = read_arguments(arguments, sweep, config)
            folder = conf or conf_dir()
            if sweep and names_evaluation(line, folder):
                config = EVAL_CONFIG
                line = read_arguments(arguments, sweep, config)
            from glass_cli.config.preflight import preflight

            checked = preflight(line, folder)
            engine = engine or ENGINES[config]
            if checked.settings is not None:
                return _single(engine, checked, checked.settings)
            return _hydra(engine, checked, folder, line.config_name)
    except GlassError as error:
        say(one_line(error))
        return USER_ERROR
    except KeyboardInterrupt as stopped:
        say("stopped before the run began")
        return code_of(stopped)
    except BrokenPipeError:
        raise
    except Exception as error:
        if os.environ.get(_TRACEBACKS) == "1":
            raise
        say(f"{describe(error)} ({_TRACEBACKS}=1 shows where)")
        return FAILED


def _single(engine: str, checked: CheckedLine, settings: Settings) -> int:
    """One run, whose settings are built."""
    folder = checked.folder
    assert folder is not None
    error_file = folder / ERROR_FILE
    error_file.unlink(missing_ok=True)
    try:
        with interruptions_kept():
            _run(engine, settings, folder)
    except KeyboardInterrupt as stopped:
        return _stopped(checked, stopped)
    except Unfinished as error:
        if _remove(checked):
            say(f"{one_line(error)}; nothing was finished, and the same command begins anew")
        else:
            say(f"{one_line(error)}; {_to_go_on(checked)}")
            _write(error_file, one_line(error), error)
        return FAILED
    except GlassError as error:
        say(one_line(error))
        leaves_no_file = getattr(error, "leaves_no_file", False)
        if not leaves_no_file and not _remove(checked):
            _write(error_file, one_line(error), error)
        return USER_ERROR
    except Exception as error:
        if os.environ.get(_TRACEBACKS) == "1" or output_is_closed(error):
            raise
        say(f"{describe(error)}{_write(error_file, describe(error), error)}")
        return FAILED
    return 0


def _hydra(engine: str, checked: CheckedLine, conf: Path, config_name: str) -> int:
    """A sweep, or a configuration to be shown: Hydra's own main."""
    import hydra

    sweep, before_it = new_name(), {} if checked.folder is None else errors_in(checked.folder)
    task = hydra.main(config_path=str(conf), config_name=config_name, version_base="1.3")
    raises = os.environ.get(_TRACEBACKS) == "1"
    before, sys.argv = sys.argv, ["glass", *checked.arguments]
    try:
        # without it Hydra prints what its plugins raise, in many lines, and ends the process
        with (
            interruptions_kept(),
            _environment({_TRACEBACKS: "1"}),
            _quiet_logging(checked.folder is None),
            _job_progress(checked),
        ):
            task(Job(engine, raises, checked.swept, sweep))()
    except KeyboardInterrupt as stopped:
        return _stopped(checked, stopped)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED if end.code else 0
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL and checked.folder is not None:
            say(str(cannot_write(checked.folder, why(error), _FREE_IT)))  # what Hydra writes there
            return USER_ERROR
        shown = checked.folder is None and isinstance(error, BrokenPipeError)
        if raises or shown or output_is_closed(error):
            raise
        where = ""
        if checked.folder is not None:
            where = _write(checked.folder / ERROR_FILE, describe(error), error)
        say(f"{describe(error)}{where}")
        return FAILED
    finally:
        sys.argv = before
    return 0 if checked.folder is None else _end_of_sweep(checked.folder, sweep, before_it)


@contextmanager
def _job_progress(checked: CheckedLine) -> Iterator[None]:
    """While the jobs of a sweep run apart from here, says which have ended."""
    if not checked.apart or checked.folder is None:
        yield
        return
    from glass_cli.output.sweep_progress import sweep_progress

    with sweep_progress(checked.folder):
        yield


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _quiet_logging(quiet: bool) -> Iterator[None]:
    """Where `quiet`, lines that nobody reads (`--info | head`) end without a traceback each."""
    before = logging.raiseExceptions
    logging.raiseExceptions = before and not quiet
    try:
        yield
    finally:
        logging.raiseExceptions = before


def _stopped(checked: CheckedLine, stopped: KeyboardInterrupt) -> int:
    """Says how to go on; returns the exit code."""
    folder = checked.folder
    if folder is None or (folder in checked.created and not any(folder.iterdir())):
        _remove(checked)
        say("stopped before the run began")
        return code_of(stopped)
    inside = getattr(stopped, "inside", None)
    where = "" if inside is None else f" {inside}"
    say(f"stopped{where}; {_to_go_on(checked)}")
    return code_of(stopped)


def _to_go_on(checked: CheckedLine) -> str:
    """Where the finished part of a run is, and by which words it goes on."""
    how = "" if checked.resumed_by is None else f" with {checked.resumed_by}"
    return f"what was finished is in {checked.folder}, and the same command{how} goes on from there"


def _remove(checked: CheckedLine) -> bool:
    """Removes the folder of a run that has done nothing, and those around it that were made for it
    and are empty; False where it was there before, or has work in it."""
    from glass_cli.output.lock import Lock, Refused

    folder = checked.folder
    if folder is None or folder not in checked.created:
        return False
    try:
        # another run may have taken a folder of `glass eval` over
        with Lock(folder):
            if any((folder / name).exists() for name in _WORK):
                return False
            shutil.rmtree(folder, ignore_errors=True)
    except (Refused, OSError):
        return False
    for above in checked.created:
        with suppress(OSError):
            above.rmdir()
    return True


def _end_of_sweep(folder: Path, sweep: str, before: Mapping[Path, int]) -> int:
    """Prints the table of the finished jobs, says which failed; returns the exit code."""
    from glass_cli.report.sweep_table import sweep_table

    table = sweep_table(folder)
    if table is not None:
        print(table)
    return FAILED if say_errors(folder, sweep, before) else 0
