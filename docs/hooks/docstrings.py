"""For mkdocstrings: docstrings as Markdown, and a warning for each public name without one.

A warning fails the build (``make docs`` is strict).
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).parent))
from docstring_text import as_markdown

log = logging.getLogger("mkdocs.hooks.docstrings")


class ReadableDocstrings(griffe.Extension):
    """Rewrites every docstring of the package once it is read.

    shown: modules and packages whose public names the pages show; links lead to these alone.
    """

    def __init__(self, shown: list[str]) -> None:
        self._shown = shown

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Checks what is shown, then rewrites."""
        known: dict[str, griffe.Object] = {}
        for name in self._shown:
            for module in _modules(pkg[name.partition(".")[2]]):
                known |= _public(module)
        promised = _promised(pkg)
        for name, shown in known.items():
            if not _documented(shown, promised):
                log.warning("%s has no docstring (%s:%s)", name, shown.filepath, shown.lineno)
        for module in _modules(pkg):
            for _, each in [(module.path, module), *_public(module).items()]:
                self._rewrite(each, known)

    def _rewrite(self, each: griffe.Object, known: dict[str, griffe.Object]) -> None:
        if each.docstring is None:
            return

        def link(name: str) -> str | None:
            own = name.removeprefix("glass_cli.")
            ends = [n for n in known if n == f"glass_cli.{own}" or n.endswith(f".{own}")]
            near = [n for n in ends if n.startswith(each.module.path)]
            return min(near or ends, key=len, default=None)

        each.docstring.value = as_markdown(each.docstring.value, link)


def _modules(module: griffe.Module) -> list[griffe.Module]:
    below = [m for m in module.modules.values() if not m.is_alias]
    return [module, *(one for m in below for one in _modules(m))]


def _public(module: griffe.Module) -> dict[str, griffe.Object]:
    """Full name -> each public class, function and method of the module."""
    found: dict[str, griffe.Object] = {}
    for owner in (module, *module.classes.values()):
        if owner.is_alias or (owner is not module and owner.name.startswith("_")):
            continue
        for name, member in owner.members.items():
            if (
                name.startswith("_")
                or member.is_alias
                or not (member.is_class or member.is_function)
            ):
                continue
            found[member.path] = member
    return found


def _promised(package: griffe.Module) -> set[str]:
    """Names of methods that a Protocol of the package documents for all classes that have them."""
    return {
        member.name
        for module in _modules(package)
        for cls in module.classes.values()
        if not cls.is_alias and any("Protocol" in str(base) for base in cls.bases)
        for member in cls.functions.values()
        if member.docstring is not None
    }


def _documented(one: griffe.Object, promised: set[str]) -> bool:
    """Whether it has a docstring, or is a method that a base class or a Protocol documents."""
    if one.docstring is not None:
        return True
    owner = one.parent
    if owner is None or not owner.is_class:
        return False
    inherited = [base.members[one.name] for base in owner.mro() if one.name in base.members]
    return one.name in promised or any(member.docstring is not None for member in inherited)
