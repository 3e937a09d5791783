"""The code in README.md and docs/: indented in the one, fenced in the others."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path

from conftest import REPOSITORY

README = REPOSITORY / "README.md"
PAGES = sorted(path for path in (REPOSITORY / "docs").rglob("*.md") if path.parent.name != "hooks")
_INDENTED = re.compile(r"(?:^    .*\n|^\n(?=    ))+", re.MULTILINE)
_FENCED = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str = "") -> list[str]:
    """The code blocks of a page, of one language where the page says it."""
    text = page.read_text(encoding="utf-8")
    if page == README:
        return [textwrap.dedent(found) for found in _INDENTED.findall(text)]
    found = _FENCED.findall(text)
    return [textwrap.dedent(code) for _, kind, code in found if language in ("", kind)]


def block(page: Path, containing: str) -> str:
    """The one block of a page that has some text in it."""
    (found,) = [text for text in blocks(page) if containing in text]
    return found


def commands(page: Path) -> list[list[str]]:
    """The words of every command line of glass on a page, as a shell would split them."""
    lines = [
        line.replace("python -m glass_cli ", "glass ", 1)
        for text in blocks(page, "sh")
        for line in text.replace("\\\n", " ").splitlines()
    ]
    return [shlex.split(line)[1:] for line in lines if line.startswith("glass ")]
