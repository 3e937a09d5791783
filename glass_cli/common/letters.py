"""Letters that a plot's font lacks, such as those of a prompt in Chinese or an emoji."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def boxes_for_missing_letters() -> Iterator[None]:
    """Has matplotlib draw boxes for them without its warning, a line for every such letter."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        yield
