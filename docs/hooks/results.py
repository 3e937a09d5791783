"""Pages of results: those in docs/results/ are under Results in the navigation by themselves, and
those in its folders by the folder's name too.

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
    docs = Path(config.docs_dir)
    folder = docs / "results"
    pages = [_entry(docs, path) for path in sorted(folder.glob("*.md"))]
    pages += [_entry(docs, path) for path in sorted(folder.glob("*/*.md"))]
    for section in config.nav:
        if "Results" in section:
            section["Results"].extend(page for page in pages if page not in section["Results"])
    return config


def _entry(docs: Path, path: Path) -> str | dict[str, str]:
    """A page of the navigation, by its own title where that says enough."""
    page = path.relative_to(docs).as_posix()
    if path.parent.name == "results":
        return page
    title = path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
    return {f"{path.parent.name.replace('_', ' ').capitalize()}: {title}": page}


def on_page_content(html: str, **_: Any) -> str:
    """Marks the numbers, which the style sheet keeps on one line."""
    return _NUMBER.sub(r'<td class="number"\1>', html)
