"""What Windows and macOS lack is not used: by mypy's knowledge of them, and by running without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

WITHOUT = """
import builtins, os, select, signal, sys, warnings

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
# Windows would take its own encoding for a file that is opened without one
warnings.filterwarnings("error", category=EncodingWarning, module="glass_cli")
sys.argv = ["glass", *sys.argv[1:]]
from glass_cli.cli import main
main()
"""


def as_on_windows(folder: Path, words: list[str]) -> None:
    """Runs glass without what Windows lacks, printing in the encoding of its consoles."""
    bare = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    bare |= {"PYTHONPATH": str(REPOSITORY), "WANDB_MODE": "disabled", "PYTHONIOENCODING": "cp1252"}
    command = [sys.executable, "-X", "warn_default_encoding", "-c", WITHOUT, *words]
    done = subprocess.run(command, capture_output=True, cwd=folder, env=bare)
    assert done.returncode == 0, done.stderr.decode("cp1252")
    assert done.stdout


@pytest.mark.parametrize("words", [
    ["doctor"],
    ["init", "mine"],
    ["ls"],
    ["complete", "zsh", "--", "sample", "sampler="],
])  # fmt: skip
def test_glass_runs_without_what_windows_lacks(tmp_path: Path, words: list[str]) -> None:
    as_on_windows(tmp_path, words)


@pytest.mark.slow
def test_a_run_and_its_tables_without_what_windows_lacks(tmp_path: Path) -> None:
    points = ["model=gaussian_mixture", "reward=linear", "calls=5", "particles=3", "--open"]
    prompts = 'prompts=["naïve ☃ in Łódź: 20 %?", "two words"]'
    for seed in (0, 1):
        run = ["sample", *points, prompts, f"seed={seed}", f"hydra.run.dir=run{seed}"]
        as_on_windows(tmp_path, run)
    as_on_windows(tmp_path, ["compare", "run0", "run1", "--csv", "table.csv"])
    as_on_windows(tmp_path, ["report", "run0"])
    names = [path.name for path in tmp_path.rglob("*")]
    assert len(names) > 20 and not [name for name in names if set(name) & set('<>:"|?*\\')]


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
