"""Codes of every glyph, which take seconds to make: once for all tests of a process."""

from __future__ import annotations

from functools import cache

from glass_cli.common.hub import EMBEDDED
from glass_cli.embedded.train import codec
from glass_cli.embedded.train.codes import CodeTable


@cache
def shipped() -> CodeTable:
    """By the codec that is part of the package."""
    return CodeTable(codec.shipped(EMBEDDED))
