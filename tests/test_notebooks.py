"""The notebooks run from the first cell to the last; what they claim, they assert."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY

from glass_cli.config.command_line import read_arguments
from glass_cli.config.preflight import preflight

NOTEBOOKS = sorted((REPOSITORY / "docs" / "notebooks").glob("*.ipynb"))


def runner() -> Any:
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    path = REPOSITORY / "docs" / "hooks" / "run_notebooks.py"
    spec = importlib.util.spec_from_file_location("run_notebooks", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["mixture", "one_budget", "own_reward"]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path) -> None:
    notebook = runner().executed(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    pictures = [o for cell in code for o in cell.outputs if "image/png" in o.get("data", {})]
    assert pictures and all(cell.execution_count for cell in code)
    assert sum("assert " in cell.source for cell in code) >= 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_saved_with_its_outputs(path: Path) -> None:
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    counts = [cell.execution_count for cell in code]
    assert counts == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert not re.search(r"/(root|home|Users|tmp)/", path.read_text())


def test_commands_in_notebooks_pass_preflight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat

    monkeypatch.chdir(tmp_path)
    Path("my_prompts.txt").write_text("a photo of a cat\n")
    Path("my_rewards.py").write_text("def yellow(images, prompts):\n    return images.sum()\n")
    checked = 0
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
        for line in re.findall(r"^    glass (.*)$", "\n".join(texts), re.MULTILINE):
            kind, *words = shlex.split(line)
            assert not re.search(r"=\[", line) or "'" in line, "zsh takes it for names of files"
            if kind in ("sample", "eval"):
                arguments = read_arguments(words, False, {"sample": "config"}.get(kind, kind))
                assert preflight(arguments, REPOSITORY / "conf").settings is not None
                checked += 1
    assert checked == 3


@pytest.mark.slow
def test_a_notebook_that_fails_is_seen(tmp_path: Path) -> None:
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("assert 1 > 2")])
    path = tmp_path / "wrong.ipynb"
    nbformat.write(notebook, path)
    module = runner()
    with pytest.raises(Exception, match="AssertionError"):
        module.executed(path)
