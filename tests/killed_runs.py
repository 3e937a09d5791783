"""Runs glass in child processes that are killed, until one is let through to the end.

    python killed_runs.py CONFIG SEED KILLS SECONDS WORD...

CONFIG is that of the command, config for glass sample and eval for glass eval.

First a child is left alone, and what it wrote renamed to undisturbed/. Of those after it, half are
killed from outside within the first SECONDS (or third of the time that it took, or eighth of its
results), half kill themselves right before or after they rename a file. Says after each how many
results there are.
Children are forked: torch is imported once.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glass_cli.launch import launch


def child(words: list[str], config: str) -> None:
    os._exit(launch(words, config=config))


def dies_renaming(count: int, before: bool) -> None:
    """From now on the ``count``-th renaming is this process's last act, done or just not done."""
    real: Callable[..., Any] = os.replace
    left = [count]

    def replace(source: Any, target: Any) -> None:
        left[0] -= 1
        if left[0] == 0 and before:
            os.kill(os.getpid(), signal.SIGKILL)
        real(source, target)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = replace


def results(folder: str) -> int:
    return len(list(Path(folder).rglob("results/*/*.json")))


def main() -> None:
    import glass_cli.engine.worker  # noqa: F401 - torch and diffusers, once

    config, seed, kills, seconds, *words = sys.argv[1:]
    rng, latest = random.Random(int(seed)), float(seconds)
    for number in range(-1, int(kills)):
        began = time.monotonic()
        process = os.fork()
        if process == 0:
            if number % 2 and number > 0:
                dies_renaming(rng.randint(1, 16), rng.random() < 0.5)
            child(words, config)
        if number < 0:
            os.waitpid(process, 0)
            # three kills from outside leave work for the others, however fast the machine is
            latest = min(latest, (time.monotonic() - began) / 3)
            Path("outputs").rename("undisturbed")
            share = max(1, results("undisturbed") // 8)
            continue
        if number % 2 == 0:
            # nor however much slower it was at first
            until, most = time.monotonic() + rng.uniform(0.02, latest), results("outputs") + share
            while time.monotonic() < until and results("outputs") < most:
                time.sleep(0.005)
            os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print(f"killed={killed} results={results('outputs')}", flush=True)
    child(words, config)


if __name__ == "__main__":
    main()
