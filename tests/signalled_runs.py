"""Runs glass in child processes that are sent signals, until one is let through to the end.

    python signalled_runs.py TARGET SEED COUNT FOLDER WORD...

WORD... is a command line of glass that writes to FOLDER, TARGET the process that is signalled:
glass, or of one that draws by Ray the worker or the raylet, which hosts the object store. First a
child is left alone, and FOLDER renamed to undisturbed/. Then children are sent SIGINT, SIGTERM,
SIGHUP and SIGKILL in turn, until COUNT were there to be met: a quarter before the first result of
an undisturbed run, the others between that and its end. After every fifth, at last, and where all
results are there, one is let through, and FOLDER compared and removed. Prints a line of JSON for
each.

Children are forked, what glass imports on its way is imported before, and densities are not
plotted, which would be most of the time: signals then meet what a run does for its results.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from child_process import PRELOADED
from conftest import plain_plot
from eval_runs import files

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
# As the kernel shows them: of an actor the start of its command line, of the raylet its name
NAMES = {"worker": "ray::_Actor", "raylet": "raylet"}


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


def target_of(driver: int, target: str) -> int | None:
    """The number of the process to be signalled; None where it is not there yet, or no more."""
    if target == "glass":
        return driver
    parents, named = {}, []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            comm, _, rest = stat.read_text().partition("(")[2].rpartition(")")
            words = stat.with_name("cmdline").read_bytes().split(b"\0")[0].decode()
        except OSError:  # it has ended meanwhile
            continue
        number = int(stat.parent.name)
        parents[number] = int(rest.split()[1])
        if words.startswith(NAMES[target]) or comm == NAMES[target]:
            named.append(number)
    for number in named:
        above: int | None = number
        while above is not None and above != driver:
            above = parents.get(above)
        if above == driver:
            return number
    return None


def signalled(driver: int, target: str, sent: int) -> bool:
    """Sends it; whether the process was there."""
    number = target_of(driver, target)
    if number is None:
        return False
    try:
        os.kill(number, sent)
    except ProcessLookupError:
        return False
    return True


def same(folder: Path) -> bool:
    ours, theirs = files(folder), files(Path("undisturbed"))
    for name in set(ours) ^ set(theirs) | {n for n in ours if ours[n] != theirs.get(n)}:
        print("differs:", name, file=sys.stderr)
    return ours == theirs


def undisturbed(words: Sequence[str], folder: Path) -> tuple[int, float, float]:
    """The exit code of a run that is left alone, and when its first result and its end came, in
    seconds; the second of two runs, once all is warm."""
    for _ in range(2):
        shutil.rmtree(folder, ignore_errors=True)
        began, first = time.monotonic(), None
        process = child(words)
        while (status := os.waitpid(process, os.WNOHANG))[0] == 0:
            if first is None and results(folder):
                first = time.monotonic() - began
            time.sleep(0.01)
        seconds = time.monotonic() - began
    return os.waitstatus_to_exitcode(status[1]), first or 0.0, seconds


def results(folder: Path) -> int:
    return len(list(folder.rglob("results/*/*.json")))


def main() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    importlib.import_module("glass_cli.models.density_plot").density_plot = plain_plot

    target, seed, count, place, *words = sys.argv[1:]
    rng, folder, most = random.Random(int(seed)), Path(place), int(count)
    code, first, seconds = undisturbed(words, folder)
    print(json.dumps({"code": code, "first": first, "seconds": seconds}), flush=True)
    folder.rename("undisturbed")
    met, every = 0, results(Path("undisturbed"))
    for number in range(3 * most):
        sent = SIGNALS[met % len(SIGNALS)]
        process = child(words)
        early = rng.random() < 0.25
        time.sleep(rng.uniform(0.05, first) if early else rng.uniform(first, 0.95 * seconds))
        there = signalled(process, target, sent)
        code = ended(process)
        if there and (target != "glass" or code != 0):
            met += 1
            found = {"sent": sent, "code": code, "results": results(folder)}
            said = Path("said.txt").read_text(errors="replace")
            print(json.dumps({**found, "said": said}), flush=True)
        if number % 5 == 4 or met == most or results(folder) == every:
            code = ended(child(words))
            print(json.dumps({"code": code, "same": same(folder)}), flush=True)
            shutil.rmtree(folder)
        if met == most:
            return


if __name__ == "__main__":
    main()
