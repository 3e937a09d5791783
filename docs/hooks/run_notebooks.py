"""Runs the notebooks in docs/notebooks and saves them with what they print: make notebooks.

Each runs in an empty folder, as it would for a reader who has the package and nothing else.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def executed(path: Path, seconds: int = 600) -> Any:
    """The notebook with its outputs. Raises nbclient's CellExecutionError where a cell fails.

    seconds: for each cell.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(
            notebook, timeout=seconds, resources=resources, coalesce_streams=True
        ).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            # warnings of the machine's, such as that Jupyter has no widgets
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    output.data.pop("text/plain", None)
    return notebook


def main() -> None:
    """Runs and saves all of them."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        print(path.name, flush=True)
        nbformat.write(executed(path), path)


if __name__ == "__main__":
    main()
