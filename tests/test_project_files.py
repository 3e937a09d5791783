"""Files that GitHub and other programs read: they agree with the code, and call make alone."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY

from glass_cli.common.version import __version__

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))


def steps(workflow: Any) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_make_targets_that_exist(path: Any) -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    workflow = yaml.safe_load(path.read_text())
    for command in [step["run"] for step in steps(workflow) if "run" in step]:
        program, target, *_ = command.split()
        assert program == "make" and target in targets, command
    assert workflow["permissions"] == {"contents": "read"}


def test_all_supported_pythons_are_tested_on_all_systems() -> None:
    project = (REPOSITORY / "pyproject.toml").read_text()
    supported = re.findall(r"Programming Language :: Python :: (3\.\d+)", project)
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "tests.yml").read_text())
    matrix = workflow["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix["python"] == supported
    assert [name.partition("-")[0] for name in matrix["os"]] == ["ubuntu", "macos", "windows"]


def test_the_citation_has_this_version() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["version"] == __version__
    papers = {paper["identifiers"][0]["value"] for paper in citation["references"]}
    assert papers == {"arXiv:2509.25170", "arXiv:2501.06848"}


def test_every_package_is_on_the_map() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    packages = [path.parent.name for path in (REPOSITORY / "glass_cli").glob("*/__init__.py")]
    missing = [name for name in packages if f"`{name}" not in text and f"`{name}/" not in text]
    assert missing in ([], ["embedded"]) and len(packages) > 10
