"""Keeps diffusers' and transformers' loaders from talking over our progress bar."""

from __future__ import annotations

import logging


def quiet() -> None:
    """Errors come as exceptions alone, and loading draws no bars of its own."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity(logging.CRITICAL)
        library.utils.logging.disable_progress_bar()
