"""Picture files read back, which may be damaged."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from glass_cli.common.errors import GlassError, one_line
from glass_cli.common.files import regular


def load_picture(path: Path) -> Image.Image:
    """The whole picture in a file. Raises GlassError, one line that names it, where it is none."""
    try:
        image: Image.Image
        with Image.open(regular(path)) as image:
            image.load()
    # Pillow raises one of these for a damaged file, depending on where it notices
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        line = one_line(error).replace(f" '{path}'", "")[:80]
        raise GlassError(f"{path} is not a whole picture ({line}); run it again") from error
    return image
