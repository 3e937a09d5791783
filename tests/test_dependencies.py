"""What the package imports is what it asks to be installed with it, not what its tests bring."""

from __future__ import annotations

import ast
import sys
from importlib.metadata import packages_distributions

from conftest import REPOSITORY
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import pytest

    tomllib = pytest.importorskip("tomli")


def names(requirements: list[str]) -> set[str]:
    return {Requirement(line).name.lower().replace("_", "-") for line in requirements}


def test_every_import_is_declared_outside_of_dev() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = names(project["dependencies"])
    for extra, requirements in extras.items():
        if extra != "dev":
            declared |= names(requirements)
    brought = packages_distributions()
    missing: dict[str, str] = {}
    for path in sorted((REPOSITORY / "glass_cli").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                modules = [node.module]
            else:
                continue
            for module in modules:
                top = module.partition(".")[0]
                if top in sys.stdlib_module_names or top in ("glass_cli", "__future__"):
                    continue
                owners = {d.lower().replace("_", "-") for d in brought.get(top, [top])}
                if not owners & declared:
                    missing[top] = str(path.relative_to(REPOSITORY))
    assert not missing


def test_nothing_imports_what_windows_lacks() -> None:
    """Within functions too; ``test_devices`` imports every module without the two."""
    for path in sorted((REPOSITORY / "glass_cli").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not {alias.name for alias in node.names} & {"fcntl", "resource"}, path
            elif isinstance(node, ast.ImportFrom):
                assert node.module not in ("fcntl", "resource"), path
