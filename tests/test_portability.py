"""What Windows and macOS lack is not used: by mypy's knowledge of them, and by running without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

WITHOUT = """
import builtins, os, select, signal, sys

lacking = {
    "fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "posix", "syslog", "readline",
}
imported = builtins.__import__

def as_on_windows(name, globals=None, *more, **words):
    asks = (globals or {}).get("__name__", "")
    if asks.startswith("glass_cli") and name.partition(".")[0] in lacking:
        raise ModuleNotFoundError(f"No module named {name!r}, asked for by {asks}")
    return imported(name, globals, *more, **words)

builtins.__import__ = as_on_windows
try:
    exec("import termios", {"__name__": "glass_cli.any", "__builtins__": builtins})
except ModuleNotFoundError:
    pass
else:
    sys.exit("the modules are not hidden")
for module, names in {
    signal: ["SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "alarm", "setitimer"],
    select: ["poll", "epoll"],
    os: ["getuid", "geteuid", "getgid", "getpgid", "killpg", "mkfifo", "nice", "sched_getaffinity"],
}.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
sys.argv = ["glass", *sys.argv[1:]]
from glass_cli.cli import main
main()
"""


@pytest.mark.parametrize("words", [
    ["sample", "model=gaussian_mixture", "reward=linear", "calls=5", "particles=3", "--open"],
    ["doctor"],
    ["complete", "zsh", "--", "sample", "sampler="],
])  # fmt: skip
def test_glass_runs_without_what_windows_lacks(tmp_path: Path, words: list[str]) -> None:
    bare = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**bare, "PYTHONPATH": str(REPOSITORY), "WANDB_MODE": "disabled"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_every_name_is_there_on_other_systems(platform: str) -> None:
    """mypy knows which modules' names each system has."""
    options = ["--no-warn-unreachable", "--cache-dir", f".mypy_cache/{platform}"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--platform", platform, *options],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stdout
