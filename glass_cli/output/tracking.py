"""Weights & Biases behind an interface that cannot stop or hold up a run.

All of W&B's calls are made by one daemon thread. The run waits for it twice, at the start and at
the end, each time for a bounded while; in between it only puts work into a queue. The first
failure is logged in one line, and from then on the tracker does nothing.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from glass_cli.common.errors import one_line
from glass_cli.common.files import plain
from glass_cli.output.background import DaemonThread
from glass_cli.output.wandb_server import account, server_problem

log = logging.getLogger("glass")

MODES = ("online", "offline", "disabled")
# Reading wandb from a cold disk, and starting it without a network, are slow but do end.
_IMPORT_SECONDS, _OFFLINE_SECONDS = 60.0, 30.0
# Set before wandb is imported, unless the user has: nothing on the console, no crash reports.
_ENVIRONMENT = {
    "WANDB_SILENT": "true",
    "WANDB_QUIET": "true",
    "WANDB_CONSOLE": "off",
    "WANDB_ERROR_REPORTING": "false",
}
_logged: set[str] = set()


class Tracker(Protocol):
    """Where a run's numbers and pictures are shown besides its folder. No call raises."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Logs scalars at ``step``, which must not fall from call to call."""

    def images(self, name: str, paths: Sequence[Path], captions: Sequence[str]) -> None:
        """Shows picture files, which must stay where they are until ``finish``."""

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Shows a table."""

    def summary(self, values: Mapping[str, Any]) -> None:
        """Sets the run's closing values."""

    def finish(self, ok: bool = True) -> None:
        """Closes the tracker; ``ok`` False marks the run as failed. May be called twice."""


class NullTracker:
    """A tracker that does nothing."""

    def log(self, metrics: Mapping[str, float], step: int) -> None: ...

    def images(self, name: str, paths: Sequence[Path], captions: Sequence[str]) -> None: ...

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None: ...

    def summary(self, values: Mapping[str, Any]) -> None: ...

    def finish(self, ok: bool = True) -> None: ...


class WandbTracker:
    """One W&B run.

    folder: its files are in ``folder``/wandb.
    config: the settings that W&B shows.
    name: the run's.
    mode: "online" or "offline".
    project, entity: where it is shown; None for the account's own.
    init_timeout: seconds, above 0, until it must have started.
    finish_timeout: seconds that W&B has at the end to send what is left.

    Starting it raises whatever W&B raises (ImportError where it is not installed), or a
    TimeoutError after ``init_timeout`` seconds; after that no call raises.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        name: str,
        *,
        mode: str,
        project: str | None,
        entity: str | None,
        init_timeout: float,
        finish_timeout: float = 10.0,
    ) -> None:
        self._folder = folder
        self._finish_timeout = finish_timeout
        self._failed = False
        self._finished = False
        self._step = 0
        self._worker = DaemonThread(self._fail)
        times = {"init_timeout": init_timeout, "finish_timeout": finish_timeout}
        options = {**times, "console": "off", "silent": True, "disable_code": True}

        def init() -> Any:
            settings = self._wandb.Settings
            known = getattr(settings, "model_fields", options)  # older ones lack finish_timeout
            return self._wandb.init(
                project=project,
                entity=entity,
                name=name,
                config=plain(config),
                dir=str(folder),
                mode=mode,
                settings=settings(**{k: v for k, v in options.items() if k in known}),
            )

        try:
            self._wandb = self._worker.call(_import_wandb, _IMPORT_SECONDS)
            self._run = self._worker.call(init, init_timeout)
        except BaseException:
            _abandon()
            self._worker.stop()
            raise

    @property
    def url(self) -> str | None:
        """Where the run is shown; None offline."""
        return getattr(self._run, "url", None)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        values = dict(metrics)
        self._step = step
        self._post(lambda: self._run.log(values, step=step))

    def images(self, name: str, paths: Sequence[Path], captions: Sequence[str]) -> None:
        # At the step of the last numbers: a step of its own would make W&B drop the next ones.
        files, texts, step = list(paths), [plain(c) for c in captions], self._step

        def show() -> None:
            pairs = zip(files, texts, strict=True)
            pictures = [self._wandb.Image(str(file), caption=text) for file, text in pairs]
            self._run.log({name: pictures}, step=step)

        self._post(show)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        heads, cells, step = list(columns), [[plain(c) for c in row] for row in rows], self._step
        self._post(
            lambda: self._run.log({name: self._wandb.Table(columns=heads, data=cells)}, step=step)
        )

    def summary(self, values: Mapping[str, Any]) -> None:
        clean = plain(values)
        self._post(lambda: self._run.summary.update(clean))

    def finish(self, ok: bool = True) -> None:
        if self._finished:
            return
        self._finished = True

        def close() -> None:
            if not self._failed:
                self._run.finish(exit_code=0 if ok else 1)
            # Now and not at exit, where nothing would bound it.
            self._wandb.teardown()

        try:
            # W&B gives up after finish_timeout by itself; the rest is for a W&B that hangs.
            self._worker.call(close, self._finish_timeout + 3.0)
        except Exception as error:  # noqa: BLE001 - no trouble of W&B's stops a run
            self._fail(error)
            _abandon()
        except BaseException:  # a second Ctrl-C must not wait at exit either
            _abandon()
            raise
        finally:
            self._worker.stop()

    def _post(self, job: Callable[[], object]) -> None:
        def guarded() -> None:
            if not self._failed:
                job()

        if not (self._failed or self._finished):
            self._worker.post(guarded)

    def _fail(self, error: Exception) -> None:
        if not self._failed:
            self._failed = True
            log.warning(
                "W&B stopped recording (%s); the run goes on, and what W&B has is in %s",
                _reason(error),
                self._folder / "wandb",
            )


def make_tracker(
    settings: Mapping[str, Any], folder: Path, config: Mapping[str, Any], name: str
) -> Tracker:
    """The tracker that the settings ask for.

    settings: mode, project, entity and init_timeout, see
        :class:`glass_cli.config.settings.Wandb`.
    folder, config, name: see :class:`WandbTracker`.

    ``disabled`` never imports wandb. ``online`` becomes ``offline`` without an API key, or if
    the server refuses the key or has not answered within ``init_timeout`` seconds (default 8);
    W&B missing or broken gives a NullTracker. WANDB_MODE and WANDB_DISABLED in the environment
    make a run quieter, never louder. ValueError on an unknown mode.
    """
    mode = str(settings.get("mode", "online"))
    if mode not in MODES:
        raise ValueError(f"wandb.mode must be one of {', '.join(MODES)} (got {mode})")
    mode = MODES[max(MODES.index(mode), MODES.index(_environment_mode()))]
    if mode == "disabled":
        return NullTracker()
    seconds = float(settings.get("init_timeout") or 8.0)
    deadline = time.monotonic() + seconds

    def start(mode: str, timeout: float) -> WandbTracker:
        return WandbTracker(
            folder,
            config,
            name,
            mode=mode,
            project=settings.get("project"),
            entity=settings.get("entity"),
            init_timeout=timeout,
        )

    if mode == "online":
        reason = _why_offline(seconds)
        if reason is None:
            try:
                tracker = start("online", max(1.0, deadline - time.monotonic()))
                _log_once(logging.INFO, f"W&B: {tracker.url}")
                return tracker
            except ImportError as error:
                return _without(error)
            except Exception as error:  # noqa: BLE001 - no trouble of W&B's stops a run
                reason = _reason(error)
        if reason:
            _log_once(logging.WARNING, f"W&B records offline: {reason}")
        else:
            _log_once(logging.INFO, "W&B records offline: no API key (`wandb login` sets one)")
    try:
        return start("offline", _OFFLINE_SECONDS)
    except Exception as error:  # noqa: BLE001 - no trouble of W&B's stops a run
        return _without(error)


def _without(error: Exception) -> NullTracker:
    reason = _reason(error)
    if isinstance(error, ImportError):
        reason = f"{error}; `pip install wandb`, or wandb.mode=disabled"
    _log_once(logging.WARNING, f"W&B does not record this run: {reason}")
    return NullTracker()


def _why_offline(seconds: float) -> str | None:
    """Why not online: "" where no key is set, None where nothing speaks against it."""
    url, key, known = account()
    if not known:
        return ""
    # Asked before wandb is: its own start takes a hanging server's silence for 20 seconds.
    worker = DaemonThread(lambda error: None)
    try:
        problem: str | None = worker.call(
            lambda: server_problem(url, key, seconds / 2), seconds / 2
        )
        return problem
    except TimeoutError:
        return f"{url} does not answer"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is given as the reason
        return _reason(error)
    finally:
        worker.stop()


def _environment_mode() -> str:
    if os.environ.get("WANDB_DISABLED", "").lower() in ("true", "1", "yes", "t", "y"):
        return "disabled"
    mode = os.environ.get("WANDB_MODE", "")
    return {"dryrun": "offline", "offline": "offline", "disabled": "disabled"}.get(mode, "online")


def _import_wandb() -> Any:
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    import wandb

    return wandb


def _abandon() -> None:
    """Ends W&B's service process and forgets it, so that nothing waits for it at exit.

    W&B has no public call for this that returns while the server hangs; mypy knows none of these
    private names.
    """
    module = sys.modules.get("wandb.sdk.wandb_setup")
    connection = getattr(getattr(module, "_singleton", None), "_connection", None)
    with suppress(Exception):
        connection._cleanup()  # type: ignore[union-attr]
    with suppress(Exception):
        connection._proc._process.kill()  # type: ignore[union-attr]
    if module is not None:
        module._singleton = None  # type: ignore[attr-defined]
    os.environ.pop("WANDB_SERVICE", None)


def _reason(error: Exception) -> str:
    text = one_line(error)
    if isinstance(error, TimeoutError):
        return f"no answer, {text}"
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _log_once(level: int, line: str) -> None:
    if line not in _logged:
        _logged.add(line)
        log.log(level, "%s", line)
