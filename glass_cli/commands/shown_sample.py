"""`glass sample --open`: the engine of `glass sample`, which opens the contact sheet at the end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from glass_cli.common.messages import say
from glass_cli.common.paths import from_here
from glass_cli.config.settings import Settings
from glass_cli.engine import sample


def run(settings: Settings, folder: Path) -> float | None:
    """As :func:`glass_cli.engine.sample.run`; then shows the pictures, or says why it does not.

    The jobs of a sweep show none: there may be hundreds.
    """
    from hydra.core.hydra_config import HydraConfig

    score = sample.run(settings, folder)
    if HydraConfig.initialized():  # a single run is composed without it
        return score
    shown = [folder / "sheet.png", folder / "density.png"]  # of points the second alone
    for path in shown:
        if path.is_file():
            problem = open_file(path)
            if problem is not None:
                say(f"{from_here(path)} is not opened: {problem}")
            break
    return score


def open_file(path: Path) -> str | None:
    """Opens a file in the program that the system has for it; why not, where that cannot be.

    Does not wait for that program.
    """
    if sys.platform == "win32":
        os.startfile(path)
        return None
    program = "open" if sys.platform == "darwin" else "xdg-open"
    if sys.platform != "darwin" and not _has_display():
        return "there is no display"
    if shutil.which(program) is None:
        return f"there is no {program}; install xdg-utils"
    quiet = subprocess.DEVNULL
    subprocess.Popen(
        [program, str(path)], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    )
    return None


def _has_display() -> bool:
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
