"""An engine that waits to be stopped, for the tests of signals."""

from __future__ import annotations

import time
from pathlib import Path

from glass_cli.config.settings import Settings


def run(settings: Settings, folder: Path) -> None:
    """Waits a minute, and takes half a second to close its file; with seed 7 it waits a second."""
    try:
        (folder / "begun").touch()  # from here on a signal may come
        time.sleep(1 if settings.root.seed == 7 else 60)
    finally:
        (folder / "closing").touch()
        time.sleep(0.5)
        (folder / "closed").touch()
