"""A picture in the terminal, where the terminal shows pictures."""

from __future__ import annotations

import logging
import os
import sys
from importlib.util import find_spec
from pathlib import Path


def print_picture(path: Path) -> bool:
    """Prints a picture file at most as wide as the terminal; False, and nothing, where it cannot.

    By the extra ``terminal``: kitty's protocol, or sixel, which iTerm2, WezTerm, foot, Windows
    Terminal and others have. The terminal is asked, which takes a tenth of a second where it does
    not answer.
    """
    if not _may_ask() or find_spec("textual_image") is None:
        return False
    logging.getLogger("textual_image").setLevel(logging.ERROR)
    try:
        # when it is imported it asks the terminal
        from rich.console import Console
        from textual_image.renderable import Image, SixelImage, TGPImage

        if Image not in (SixelImage, TGPImage):
            return False
        Console().print(Image(path))
    except (OSError, ValueError, RuntimeError):  # a terminal that answers and then does not
        return False
    return True


def _may_ask() -> bool:
    """Whether a person's terminal is at both ends; a question to it would stand in a log else."""
    streams = (sys.__stdin__, sys.__stdout__)
    if any(stream is None or stream.closed or not stream.isatty() for stream in streams):
        return False
    return os.environ.get("TERM", "dumb") != "dumb" or sys.platform == "win32"
