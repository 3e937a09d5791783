"""Every page in docs/results/ is in the navigation, under Results, without being listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """Adds the pages that are there to the section."""
    folder = Path(config.docs_dir) / "results"
    pages = sorted(
        f"results/{path.relative_to(folder).as_posix()}" for path in folder.rglob("*.md")
    )
    for section in config.nav:
        if "Results" in section:
            section["Results"].extend(page for page in pages if page not in section["Results"])
    return config
