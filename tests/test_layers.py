"""The rule of layers in pyproject.toml, and that no two files import each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grimp
import pytest
from conftest import REPOSITORY


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Every import statement, those within functions and for type checking too."""
    return grimp.build_graph("glass_cli", cache_dir=None)


def test_arrows_point_down() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    command = [str(program), "--no-cache", "--no-logo"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout


def test_no_circle_ties_files(graph: grimp.ImportGraph) -> None:
    circles = [
        (one, other)
        for one in sorted(graph.modules)
        for other in graph.find_modules_directly_imported_by(one)
        if graph.chain_exists(other, one)
    ]
    assert circles == []


def test_the_engine_gets_settings_that_are_built(graph: grimp.ImportGraph) -> None:
    """Hydra and what builds settings are reached by launch, and by the library's two functions."""
    builders = {"glass_cli.config.preflight", "glass_cli.config.build"}
    above = {"glass_cli.launch", "glass_cli.bench", "glass_cli.config", "glass_cli.engine.library"}
    for builder in builders:
        users = graph.find_modules_that_directly_import(builder)
        assert {u for u in users if not u.startswith(tuple(above))} == set()
