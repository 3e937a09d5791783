"""A Weights & Biases run that cannot stop or hold up what it records.

All of W&B's calls are made by one daemon thread. The run waits for it twice, at the start and at
the end, each time for a bounded while; in between it only puts work into a queue. The first
failure is logged in one line, and from then on the tracker does nothing.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from glass_cli.common.errors import one_line
from glass_cli.common.files import atomic_write, plain, regular
from glass_cli.output.background import DaemonThread

log = logging.getLogger("glass")

WANDB_ID = "wandb_id.txt"  # which W&B run a folder is shown as
IMPORT_SECONDS = 60.0  # reading wandb from a cold disk is slow but does end
# Seconds after which a run that ends asks whether there is still a server to wait for, and those
# that it has to answer.
_USUAL_END, _ASKED = 3.0, 1.0
# Set before wandb is imported, unless the user has: nothing on the console, no crash reports.
_ENVIRONMENT = {
    "WANDB_SILENT": "true",
    "WANDB_QUIET": "true",
    "WANDB_CONSOLE": "off",
    "WANDB_ERROR_REPORTING": "false",
}
_DATA_DIR = "WANDB_DATA_DIR"
_staged_in: set[str] = set()  # what this process has set it to


class WandbTracker:
    """One W&B run, which is continued where ``folder`` knows of one.

    folder: its files are in ``folder``/wandb, its id in ``folder``/wandb_id.txt.
    config: the settings that W&B shows.
    name: the run's.
    mode: "online" or "offline".
    project, entity: where it is shown; None for the account's own.
    group: with which others it is shown; None for none.
    init_timeout: seconds, above 0, until it must have started.
    finish_timeout: seconds that W&B has at the end to send what is left.
    server_problem: why the server is of no use, found out in the seconds that it is given; None
        where it seems fine. One that fails in the middle of a run has less time at the end.

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
        group: str | None = None,
        init_timeout: float,
        finish_timeout: float = 10.0,
        server_problem: Callable[[float], str | None] = lambda _: None,
    ) -> None:
        self._folder = folder
        self._finish_timeout, self._server_problem = finish_timeout, server_problem
        self._failed = False
        self._finished = False
        self._worker = DaemonThread(self._fail)
        times = {"init_timeout": init_timeout, "finish_timeout": finish_timeout}
        options = {**times, "console": "off", "silent": True, "disable_code": True}
        kept = folder / WANDB_ID
        run_id = _kept_id(kept) or secrets.token_hex(4)

        def init() -> Any:
            _stage_in(folder / "wandb")
            settings = self._wandb.Settings
            known = getattr(settings, "model_fields", options)  # older ones lack finish_timeout
            return self._wandb.init(
                project=project,
                entity=entity,
                group=group,
                name=name,
                id=run_id,
                resume="allow",
                config=plain(config),
                dir=str(folder),
                mode=mode,
                settings=settings(**{k: v for k, v in options.items() if k in known}),
            )

        try:
            self._wandb = self._worker.call(_import_wandb, IMPORT_SECONDS)
            self._run = self._worker.call(init, init_timeout)
        except BaseException:
            _abandon()
            self._worker.stop()
            raise
        # A run that goes on has steps already; W&B drops what is logged at one of them.
        self._step = self._free = int(getattr(self._run, "starting_step", 0))
        # where it cannot be kept, another start is another run
        with suppress(OSError), atomic_write(kept) as part:
            part.write_text(f"{run_id}\n", encoding="utf-8")

    @property
    def url(self) -> str | None:
        """Where the run is shown; None offline."""
        return getattr(self._run, "url", None)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        values = dict(metrics)
        self._step = step = max(step, self._free)
        self._free = step + 1
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
        heads, step = list(columns), self._step
        cells = [[c if isinstance(c, Path) else plain(c) for c in row] for row in rows]

        def show() -> None:
            data = [[self._cell(c) for c in row] for row in cells]
            self._run.log({name: self._wandb.Table(columns=heads, data=data)}, step=step)

        self._post(show)

    def _cell(self, value: Any) -> Any:
        return self._wandb.Image(str(value)) if isinstance(value, Path) else value

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
            self._worker.call(close, _USUAL_END, self._longer)
        except Exception as error:  # noqa: BLE001 - no trouble of W&B's stops a run
            self._fail(error)
            _abandon()
        except BaseException:  # a second Ctrl-C must not wait at exit either
            _abandon()
            raise
        finally:
            self._worker.stop()

    def _longer(self) -> float:
        """Seconds above the usual for a server that still answers. Raises TimeoutError."""
        problem = self._server_problem(_ASKED)
        if problem is not None:
            raise TimeoutError(problem)
        # W&B gives up after finish_timeout by itself; the rest is for a W&B that hangs
        return self._finish_timeout + 3.0 - _USUAL_END

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
                reason_of(error),
                self._folder / "wandb",
            )


def import_ahead() -> threading.Event:
    """Begins to import wandb, while something else waits for the network; set when that has ended.

    What is wrong with it is raised by :class:`WandbTracker`.
    """
    ended = threading.Event()

    def ahead() -> None:
        try:
            _import_wandb()
        finally:
            ended.set()

    thread = DaemonThread(lambda error: None)
    thread.post(ahead)
    thread.stop()
    return ended


def _import_wandb() -> Any:
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    import wandb

    _log_quietly()
    _tell_no_imports()
    return wandb


def _tell_no_imports() -> None:
    """By itself W&B is told, in the importing thread, of every torch and the like that is imported
    once a run has begun; where its service has died, that import raises and ends the run."""
    telemetry: Any = sys.modules.get("wandb.sdk.lib.telemetry")
    listed = getattr(telemetry, "list_telemetry_imports", None)
    if listed is not None:
        telemetry.list_telemetry_imports = lambda only_imported=False: (
            listed(True) if only_imported else set()
        )


def _log_quietly() -> None:
    """Where W&B cannot write its own log, a full disk say, Python prints a traceback for every line
    of it: not of the handlers that W&B adds from now on."""
    own: Any = logging.getLogger("wandb")  # whose methods are replaced
    if "addHandler" in vars(own):
        return
    add = own.addHandler

    def add_quiet(handler: Any) -> None:
        handler.handleError = lambda record: None
        add(handler)

    own.addHandler = add_quiet


def _stage_in(folder: Path) -> None:
    """Has W&B keep there what it has yet to send of tables and their pictures.

    By itself it keeps that in the user's home, where `wandb sync` of a run's folder that has gone
    elsewhere would miss it. A folder that the user has named stays.
    """
    place = str(folder.absolute())
    if os.environ.get(_DATA_DIR) in (None, *_staged_in):
        os.environ[_DATA_DIR] = place
        _staged_in.add(place)


def _kept_id(path: Path) -> str | None:
    """The id of the run that an earlier start began; None where there is none."""
    try:
        run_id = regular(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    return run_id if re.fullmatch(r"[\w-]{1,64}", run_id, re.ASCII) else None


def _abandon() -> None:
    """Ends W&B's service process and forgets it, so that nothing waits for it at exit.

    W&B has no public call for this that returns while the server hangs; its private
    names have no types.
    """
    module: Any = sys.modules.get("wandb.sdk.wandb_setup")
    connection: Any = getattr(getattr(module, "_singleton", None), "_connection", None)
    with suppress(Exception):
        connection._cleanup()
    with suppress(Exception):
        connection._proc._process.kill()
    if module is not None:
        module._singleton = None
    os.environ.pop("WANDB_SERVICE", None)


def reason_of(error: Exception) -> str:
    """Why W&B failed, in a few words."""
    text = one_line(error)
    if isinstance(error, TimeoutError):
        return text
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
