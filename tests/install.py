"""The wheel and the source distribution as a user meets them: `make test-install`.

Builds both from this tree, and for each Python makes an environment outside of it, installs what
`constraints.txt` pins, and runs `glass` from an empty folder, out of reach of the repository.

    python tests/install.py [--dist FOLDER] PYTHON ...

A Python is given by path, name (python3.13) or version (3.13), which uv finds where it has it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
MOST_MB = 60
_TINY = ("particles=2", "calls=5", "wandb.mode=disabled")


class Failed(Exception):
    """A command that did not end well, with what it said."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Checks every Python that is named; this one where none is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("pythons", nargs="*", default=[sys.executable], metavar="PYTHON")
    parser.add_argument("--dist", type=Path, help="the folder of a wheel and an sdist; else built")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="glass-install-") as folder:
        dist = args.dist or build(Path(folder) / "dist")
        wheel, source = packages(dist)
        for number, python in enumerate(args.pythons):
            check(found(python), wheel, source, Path(folder) / str(number))


def build(dist: Path) -> Path:
    """The folder with the wheel and the source distribution of this tree."""
    run([sys.executable, "-m", "build", "--outdir", str(dist), str(REPOSITORY)], REPOSITORY)
    return dist


def packages(dist: Path) -> tuple[Path, Path]:
    """The wheel and the source distribution in a folder. Raises Failed where one is too large."""
    (wheel,), (source,) = dist.glob("glass_cli-*.whl"), dist.glob("glass_cli-*.tar.gz")
    for path in (wheel, source):
        size = path.stat().st_size / 1e6
        print(f"{path.name}  {size:.1f} MB")
        if size > MOST_MB:
            raise Failed(f"{path.name} has {size:.1f} MB, above {MOST_MB}")
    return wheel, source


def found(python: str) -> str:
    """The program of a Python. Raises Failed where there is none."""
    here = shutil.which(python) or shutil.which(f"python{python}")
    if here is None and shutil.which("uv"):
        here = run(["uv", "python", "find", python], REPOSITORY).strip()
    if here is None:
        raise Failed(f"no {python} here; install it, or uv: uv python install {python}")
    return here


def check(python: str, wheel: Path, source: Path, folder: Path) -> None:
    """Installs both in turn, and uses them from folders that are empty. Raises Failed."""
    started = time.monotonic()
    run([python, "-m", "venv", str(folder / "venv")], folder.parent)
    scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    glass, pip = str(scripts / "glass"), [str(scripts / "python"), "-m", "pip", "install", "-q"]
    pins = REPOSITORY / "constraints.txt"
    pip += ["-c", str(pins)]
    text = pins.read_text(encoding="utf-8").splitlines()
    (torch,) = (line for line in text if line.startswith("torch=="))
    run([*pip, torch], folder)
    run([*pip, str(wheel)], folder)
    installed = time.monotonic() - started
    try_out(glass, folder / "wheel")
    run([*pip, "--no-deps", "--force-reinstall", str(source)], folder)
    try_out(glass, folder / "source")
    version = run([str(scripts / "python"), "--version"], folder).strip()
    total = time.monotonic() - started
    print(f"{version}: installed in {installed:.0f} s, all done in {total:.0f} s")


def try_out(glass: str, folder: Path) -> None:
    """`glass sample` from an empty folder, a project of one's own, doctor. Raises Failed."""
    folder.mkdir()
    python = Path(glass).with_name("python")
    place = run([str(python), "-c", "import glass_cli; print(glass_cli.__file__)"], folder)
    if Path(glass).parents[1] not in Path(place.strip()).parents:
        raise Failed(f"glass_cli comes from {place.strip()}, not from the environment")
    run([glass, "sample", *_TINY], folder)
    if len(list(folder.glob("outputs/*/*/images/**/*.png"))) != 2:
        raise Failed(f"glass sample left no two pictures in {folder}")
    run([glass, "doctor"], folder)
    command = shlex.split(run([glass, "init", "mine"], folder).splitlines()[-1])
    run([glass, *command[1:], *_TINY, "limit=1"], folder / "mine")


def run(command: Sequence[str], folder: Path) -> str:
    """What a command prints. Raises Failed."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        command, cwd=folder, env=clean, capture_output=True, text=True, encoding="utf-8"
    )
    if done.returncode:
        raise Failed(f"{shlex.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(str(failure))
