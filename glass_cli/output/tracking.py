"""Where a run's numbers and pictures are shown besides its folder: W&B, or nowhere."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from glass_cli.common.errors import shown
from glass_cli.output.background import DaemonThread
from glass_cli.output.wandb_server import account, server_problem
from glass_cli.output.wandb_tracker import (
    IMPORT_SECONDS,
    WandbTracker,
    import_ahead,
    reason_of,
)

log = logging.getLogger("glass")

MODES = ("online", "offline", "disabled")
# Starting wandb without a network is slow but does end.
_OFFLINE_SECONDS = 30.0
# What it usually takes; kept back from the time that the server is given.
_USUAL_OFFLINE = 1.0
_WIDEST = 128  # characters of a name that W&B takes
_logged: set[str] = set()


class Tracker(Protocol):
    """Where a run's numbers and pictures are shown besides its folder. No call raises."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Logs scalars at ``step``, or, where it was logged before, at the next that is free."""

    def images(self, name: str, paths: Sequence[Path], captions: Sequence[str]) -> None:
        """Shows picture files, which must stay where they are until ``finish``."""

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Shows a table; a path in it is a picture, which must stay where it is."""

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


def make_tracker(
    settings: Mapping[str, Any], folder: Path, config: Mapping[str, Any], name: str
) -> Tracker:
    """The tracker that the settings ask for.

    settings: mode, project, entity, group, name and init_timeout, see
        :class:`glass_cli.config.settings.Wandb`.
    folder, config: see :class:`glass_cli.output.wandb_tracker.WandbTracker`.
    name: the run's where the settings have none.

    ``disabled`` never imports wandb. ``online`` becomes ``offline`` without an API key, or if
    the server refuses the key or has not answered in time: ``init_timeout`` seconds (default 5)
    are for all of it, the start offline too. Where a disk is slow to give wandb itself, the server
    still has half of them. W&B missing or broken gives a NullTracker. WANDB_MODE and WANDB_DISABLED
    in the environment make a run quieter, never louder. ValueError on an unknown mode.
    """
    mode = str(settings.get("mode", "online"))
    if mode not in MODES:
        raise ValueError(f"wandb.mode must be one of {', '.join(MODES)} (got {mode})")
    mode = MODES[max(MODES.index(mode), MODES.index(_environment_mode()))]
    if mode == "disabled":
        return NullTracker()
    seconds = float(settings.get("init_timeout") or 5.0)
    began = time.monotonic()

    group = settings.get("group")

    def start(mode: str, timeout: float) -> WandbTracker:
        return WandbTracker(
            folder,
            config,
            shown(settings.get("name") or name, _WIDEST),
            mode=mode,
            project=settings.get("project"),
            entity=settings.get("entity"),
            group=None if group is None else shown(group, _WIDEST),
            init_timeout=timeout,
            server_problem=_problem if mode == "online" else lambda _: None,
        )

    if mode == "online":
        imported = import_ahead()
        reason = _why_offline(seconds)
        if reason is None:
            half = seconds / 2 - (time.monotonic() - began)
            imported.wait(IMPORT_SECONDS)
            left = seconds - _USUAL_OFFLINE - (time.monotonic() - began)
            try:
                tracker = start("online", max(left, half, 0.5))
                _log_once(logging.INFO, f"W&B: {tracker.url}")
                return tracker
            except ImportError as error:
                return _without(error)
            except Exception as error:  # noqa: BLE001 - no trouble of W&B's stops a run
                reason = reason_of(error)
                if os.strerror(errno.ENOSPC).lower() in reason.lower():
                    return _without(error)  # nor is there room for what it keeps offline
        if reason:
            _log_once(logging.WARNING, f"W&B records offline: {reason}")
        else:
            _log_once(logging.INFO, "W&B records offline: no API key (`wandb login` sets one)")
    try:
        return start("offline", _OFFLINE_SECONDS)
    except Exception as error:  # noqa: BLE001 - no trouble of W&B's stops a run
        return _without(error)


def _without(error: Exception) -> NullTracker:
    reason = reason_of(error)
    if isinstance(error, ImportError):
        reason = f"{error}; `pip install wandb`, or wandb.mode=disabled"
    _log_once(logging.WARNING, f"W&B does not record this run: {reason}")
    return NullTracker()


def _why_offline(seconds: float) -> str | None:
    """Why not online: "" where no key is set, None where nothing speaks against it."""
    # Asked before wandb is: its own start takes a hanging server's silence for 20 seconds.
    return _problem(seconds / 2) if account()[2] else ""


def _problem(seconds: float) -> str | None:
    """Why the account's server is of no use, found out in ``seconds``; None where it seems fine."""
    url, key, _ = account()
    worker = DaemonThread(lambda error: None)
    try:
        problem: str | None = worker.call(lambda: server_problem(url, key, seconds), seconds)
        return problem
    except TimeoutError:
        return f"{url} does not answer"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is given as the reason
        return reason_of(error)
    finally:
        worker.stop()


def _environment_mode() -> str:
    if os.environ.get("WANDB_DISABLED", "").lower() in ("true", "1", "yes", "t", "y"):
        return "disabled"
    mode = os.environ.get("WANDB_MODE", "")
    return {"dryrun": "offline", "offline": "offline", "disabled": "disabled"}.get(mode, "online")


def _log_once(level: int, line: str) -> None:
    if line not in _logged:
        _logged.add(line)
        log.log(level, "%s", line)
