"""Pages of results: those in docs/results/ are under Results in the navigation by themselves.

A cell of a table that holds a number, with its interval or without, has the class ``number``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_NUMBER = re.compile(
    r"<td((?: style=\"[^\"]*\")?)>(?=[-+]?[\d.]+(?:e-?\d+)?(?: (?:\[|±)[^<]*)?</td>)"
)


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


def on_page_content(html: str, **_: Any) -> str:
    """Marks the numbers, which the style sheet keeps on one line."""
    return _NUMBER.sub(r'<td class="number"\1>', html)
