"""Runs glass in child processes that are sent signals, until one is let through to the end.

    python signalled_runs.py SEED COUNT FOLDER WORD...

WORD... is a command line of glass that writes to FOLDER. First a child is left alone, and FOLDER
renamed to undisturbed/. Then COUNT children are sent SIGINT, SIGTERM, SIGHUP and SIGKILL in turn,
at moments within the time that the first took. After every fifth, and at last, one is let through,
and FOLDER compared and removed. Prints a line of JSON for each.
Children are forked: torch is imported once.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from eval_runs import files

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)


def child(words: Sequence[str]) -> int:
    """Forks a process that runs the command; returns its number."""
    process = os.fork()
    if process:
        return process
    # a group of its own, as a shell's job is
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    from glass_cli.cli import main

    sys.argv[:] = ["glass", *words]
    try:
        main()
    except SystemExit as end:
        sys.stdout.flush()
        os._exit(int(end.code or 0))
    os._exit(99)


def ended(process: int) -> int:
    """The exit code, -N where signal N ended the process."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def same(folder: Path) -> bool:
    ours, theirs = files(folder), files(Path("undisturbed"))
    for name in set(ours) ^ set(theirs) | {n for n in ours if ours[n] != theirs.get(n)}:
        print("differs:", name, file=sys.stderr)
    return ours == theirs


def main() -> None:
    import glass_cli.engine.worker  # noqa: F401 - torch and diffusers, once

    seed, count, place, *words = sys.argv[1:]
    rng, folder = random.Random(int(seed)), Path(place)
    began = time.monotonic()
    code = ended(child(words))
    seconds = time.monotonic() - began
    print(json.dumps({"code": code, "seconds": seconds}), flush=True)
    folder.rename("undisturbed")
    for number in range(int(count)):
        sent = SIGNALS[number % len(SIGNALS)]
        process = child(words)
        time.sleep(rng.uniform(0.05, 0.9) * seconds)
        os.kill(process, sent)
        code = ended(process)
        found = {"sent": sent, "code": code, "said": Path("said.txt").read_text(errors="replace")}
        found["results"] = len(list(folder.rglob("results/*/*.json")))
        print(json.dumps(found), flush=True)
        if number % 5 == 4 or number == int(count) - 1:
            code = ended(child(words))
            print(json.dumps({"code": code, "same": same(folder)}), flush=True)
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
