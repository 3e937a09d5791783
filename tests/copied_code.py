"""A copy of the code to run: in no checkout, whose commit is noted and may change meanwhile."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from conftest import REPOSITORY


def copied(folder: Path) -> dict[str, str]:
    """Copies the code to ``folder``; the environment in which a child finds it and the tests."""
    for name in ("glass_cli", "conf"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored)
    path = os.pathsep.join([str(folder.absolute()), str(REPOSITORY / "tests")])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
