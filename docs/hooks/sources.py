"""The code itself beside the mathematics: ``<!-- source: glass_cli.module.Class.method -->``.

A page that has such a line shows the source of that name as it stands, without its docstring. A
name that is not there any more fails the build.
"""

from __future__ import annotations

import ast
import logging
import re
import textwrap
from importlib.util import find_spec
from pathlib import Path
from typing import Any

log = logging.getLogger("mkdocs.hooks.sources")
_LINE = re.compile(r"^<!-- source: ([\w.]+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page's text with the sources that it names."""

    def shown(found: re.Match[str]) -> str:
        name = found[1]
        try:
            file, code = source(name)
        except LookupError as error:
            log.warning("%s: no source of %s (%s)", page.file.src_uri, name, error)
            return ""
        return f'```python title="{file}"\n{code}\n```'

    return _LINE.sub(shown, markdown)


def source(name: str) -> tuple[str, str]:
    """The file, from the repository's root, and the code of a function, method or class.

    Raises LookupError where there is none of that full name.
    """
    module, rest = name, list[str]()
    while not (path := _file(module)):
        module, _, last = module.rpartition(".")
        rest.insert(0, last)
        if not module:
            raise LookupError("no such module")
    text = path.read_text(encoding="utf-8")
    node: Any = ast.parse(text)
    for part in rest:
        named = {n.name: n for n in node.body if hasattr(n, "name")}
        if part not in named:
            raise LookupError(f"no {part} in {path.name}")
        node = named[part]
    lines = text.splitlines()
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    kept = lines[first - 1 : node.end_lineno]
    if ast.get_docstring(node):
        docstring = node.body[0]
        del kept[docstring.lineno - first : docstring.end_lineno - first + 1]
    while len(kept) > 1 and not kept[-1].strip():
        kept.pop()
    root = Path(__file__).parents[2]
    return path.relative_to(root).as_posix(), textwrap.dedent("\n".join(kept))


def _file(module: str) -> Path | None:
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin else None
