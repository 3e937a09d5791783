"""Docstrings of this project as Markdown, and what they say of each parameter.

A docstring names its parameters in paragraphs of lines such as ``lam: inverse temperature``, whose
continuations are indented. Python's objects are named as in Sphinx: :class:`name`, ``code``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_ENTRY = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*): (\S.*)$")
_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`~?([\w.]+)`")


def parameters(docstring: str) -> dict[str, str]:
    """Name -> what the docstring says of it, as one line."""
    found: dict[str, str] = {}
    for kind, names, text in _pieces(docstring):
        if kind == "entry":
            found.update({name.lstrip("*"): text for name in names.split(", ")})
    return found


def as_markdown(docstring: str, link: Callable[[str], str | None]) -> str:
    """The docstring with lists in place of lines of parameters, and links in place of roles.

    link: the full name of what a role names, or None where the pages do not show it.
    """
    lines: list[str] = []
    before = ""
    for kind, names, text in _pieces(docstring):
        if kind == "entry":
            if before != "entry":
                lines.append("")
            shown = ", ".join(f"`{name}`" for name in names.split(", "))
            lines.append(f"- {shown}: {text}")
        else:
            if before == "entry":
                lines.append("")
            lines.append(text)
        before = kind
    return inline("\n".join(lines), link)


def inline(text: str, link: Callable[[str], str | None]) -> str:
    """Roles as links, and double backticks as code."""

    def replace(role: re.Match[str]) -> str:
        name = role[1]
        full = link(name)
        shown = name.rpartition(".")[2] if full else name
        return f"[`{shown}`][{full}]" if full else f"`{shown}`"

    return _ROLE.sub(replace, text).replace("``", "`")


def _pieces(docstring: str) -> Iterator[tuple[str, str, str]]:
    """("entry", names, text) for a parameter, ("text", "", line) for a line of anything else."""
    entry: list[str] = []
    for line in docstring.splitlines():
        match = _ENTRY.match(line)
        if entry and not match and line.startswith((" ", "\t")):
            entry[1] += " " + line.strip()
            continue
        if entry:
            yield "entry", entry[0], entry[1]
            entry = []
        if match:
            entry = [match[1], match[2]]
        else:
            yield "text", "", line
    if entry:
        yield "entry", entry[0], entry[1]
