"""Packages built from this tree, and what they hold."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import install
import pytest
from conftest import REPOSITORY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(REPOSITORY)]
    done = subprocess.run(command, capture_output=True, text=True)
    if "No matching distribution found for hatchling" in done.stdout + done.stderr:
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_wheel_holds_what_the_package_reads(dist: Path) -> None:
    wheel, source = install.packages(dist)
    held = set(zipfile.ZipFile(wheel).namelist())
    there = {
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / "glass_cli").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert there - held == set()
    settings = {p.relative_to(REPOSITORY).as_posix() for p in (REPOSITORY / "conf").rglob("*.yaml")}
    assert {f"glass_cli/{name}" for name in settings} - held == set()
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert (there | settings | {"pyproject.toml", "LICENSE", "README.md"}) - names == set()


def test_they_work_in_an_environment_of_their_own(dist: Path) -> None:
    """As `make test-install` does for any Python."""
    try:
        install.main(["--dist", str(dist)])
    except install.Failed as failure:
        if "Could not find a version" in str(failure) or "No matching distribution" in str(failure):
            pytest.skip("the package index cannot be reached")
        raise
