"""Python programs in processes of their own that need not import torch and diffusers anew.

A server imports them once and forks each child (multiprocessing's fork server), which then runs the
program as the interpreter would: its own arguments, environment, folder, streams and signals. A
child begins in a tenth of a second where an interpreter takes three. For programs whose imports are
the point, or that end the interpreter in a way of their own, there is ``subprocess``.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

import pytest

PRELOADED = [
    "glass_cli.cli",
    "glass_cli.launch",
    "glass_cli.config.preflight",
    "glass_cli.engine.sample",
    "glass_cli.engine.launchers.local",
    "glass_cli.models.gaussian_mixture",
    "glass_cli.models.density_plot",
    "glass_cli.output.run_sheet",
    "glass_cli.pipelines.loading",
    "glass_cli.pipelines.session",
    "glass_cli.report.page",
    "glass_cli.rewards.imagereward",
    "glass_cli.rewards.composite",
    "glass_cli.scheduler",
    "glass_cli.steering.feynman_kac",
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion",
    "hydra.main",
    "hydra._internal.hydra",
    "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher",
    "matplotlib.backends.backend_agg",
    "rich.table",
    "scipy.stats",
    "wandb",
]


class Child:
    """A program that has begun; ``subprocess.Popen``'s members that tests need.

    command: the interpreter and its arguments: -m MODULE, -c PROGRAM or FILE, and more.
    env: replaces this process's environment; its PYTHONPATH is heeded.
    cwd: the folder that it runs in.
    ignored: a signal that it ignores, as under nohup.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        ignored: int | None = None,
    ) -> None:
        assert command[0] == sys.executable
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        readers, writers = zip(*(context.Pipe(duplex=False) for _ in range(2)), strict=True)
        given = [*command[1:]], dict(os.environ if env is None else env), str(cwd or Path.cwd())
        self._process = context.Process(target=_begin, args=(*given, ignored, *writers))
        with pytest.MonkeyPatch.context() as patch:
            # of the server's imports, which are not the program's
            patch.setenv("TRANSFORMERS_VERBOSITY", "error")
            self._process.start()
        for end in writers:
            end.close()
        self.stdout, self.stderr = (_text(end) for end in readers)
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("child", timeout or 0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """To a process that has ended, nothing."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it writes on both streams until it ends."""
        said = ["", ""]

        def read(number: int, stream: IO[str]) -> None:
            with suppress(ValueError):  # closed by the test
                said[number] = stream.read()

        streams = enumerate((self.stdout, self.stderr))
        readers = [threading.Thread(target=read, args=pair, daemon=True) for pair in streams]
        for thread in readers:
            thread.start()
        self.wait(timeout)
        for thread in readers:
            thread.join(timeout)
        return said[0], said[1]

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self.stdout, self.stderr):
            stream.close()
        if self.returncode is None:
            self.kill()
        self._process.join()


def run(
    command: Sequence[str],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 300.0,
) -> subprocess.CompletedProcess[str]:
    """Runs the program to its end, as ``subprocess.run`` with both streams captured as text."""
    if "forkserver" not in multiprocessing.get_all_start_methods():  # Windows
        environment = None if env is None else {**env}
        return subprocess.run(
            command, env=environment, cwd=cwd, timeout=timeout, capture_output=True, text=True
        )
    with Child(command, env, cwd) as child:
        said = child.communicate(timeout)
        return subprocess.CompletedProcess(list(command), child.wait(), *said)


def _text(end: Connection) -> IO[str]:
    """The connection's bytes as they are, without the framing of its messages."""
    stream = open(os.dup(end.fileno()), encoding="utf-8", errors="replace")  # noqa: SIM115
    end.close()
    return stream


def _begin(
    words: list[str],
    env: dict[str, str],
    cwd: str,
    ignored: int | None,
    out: Connection,
    err: Connection,
) -> None:
    """The child: what the interpreter does with ``words``, and nothing of this process after it."""
    for number, end in ((1, out), (2, err)):
        os.dup2(end.fileno(), number)
        end.close()
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    if ignored is not None:
        signal.signal(ignored, signal.SIG_IGN)
    first = str(Path(words[0]).parent.absolute()) if words[0] not in ("-m", "-c") else cwd
    sys.path[:0] = [first, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    code = 1
    try:
        _interpret(words)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException as error:  # noqa: BLE001 - shown as the interpreter would
        traceback.print_exception(error)
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as at the end
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _interpret(words: list[str]) -> Any:
    if words[0] == "-m":
        sys.argv = words[1:]
        return runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    if words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        module = type(sys)("__main__")
        sys.modules["__main__"] = module
        return exec(compile(words[1], "<string>", "exec"), module.__dict__)
    sys.argv = words
    return runpy.run_path(words[0], run_name="__main__")
