"""Each docs/notebooks/*.ipynb as a page, with the outputs that it was saved with."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Puts a page in the place of each notebook."""
    for file in list(files):
        if file.src_uri.startswith("notebooks/") and file.src_uri.endswith(".ipynb"):
            assert file.abs_src_path is not None
            text, pictures = page(Path(file.abs_src_path))
            stem = file.src_uri.removesuffix(".ipynb")
            files.append(File.generated(config, f"{stem}.md", content=text))
            for name, data in pictures.items():
                files.append(File.generated(config, f"notebooks/{name}", content=data))
    return files


def page(path: Path) -> tuple[str, dict[str, bytes]]:
    """The Markdown of a notebook, and the pictures that it shows by their file names."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    blocks: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in cells:
        text = "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown":
            blocks.append(text)
            continue
        if text:
            blocks.append(f"```python\n{text}\n```")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{path.stem}-{len(pictures)}.png"
                pictures[name] = base64.b64decode("".join(data["image/png"]))
                blocks.append(f"![output]({name})")
            else:
                said = "".join(output.get("text", data.get("text/plain", ""))).rstrip()
                if said:
                    blocks.append(f"```text\n{said}\n```")
    blocks.insert(1, f"[This page as a notebook]({path.name})")
    return "\n\n".join(blocks) + "\n", pictures
