"""Keeps diffusers' and transformers' loaders from talking over our progress bar."""

from __future__ import annotations


def quiet() -> None:
    """Only errors are said, and loading draws no bars of its own."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
