"""Renders scenes to pixels. Needs Debian's package fonts-noto-color-emoji; sampling does not."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glass_cli.embedded.world.drawn import draw
from glass_cli.embedded.world.layout import SIDE
from glass_cli.embedded.world.objects import BACKGROUNDS, COLORS, EMOJI
from glass_cli.embedded.world.scene import Scene

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
_STRIKE = 109  # the one bitmap size that the font contains


class FontMissing(RuntimeError):
    """The emoji font is not installed."""


@cache
def glyph(name: str) -> Image.Image:
    """The object as square RGBA, cropped to its outline, 128 pixels a side."""
    char = EMOJI[name]
    if char is None:
        image = draw(name)
    else:
        if not FONT.exists():
            raise FontMissing(f"{FONT} is missing: apt-get install fonts-noto-color-emoji")
        font = ImageFont.truetype(str(FONT), _STRIKE)
        image = Image.new("RGBA", (160, 160), (0, 0, 0, 0))
        ImageDraw.Draw(image).text((10, 10), char, font=font, embedded_color=True)
    image = image.crop(image.getbbox())
    side = max(image.size)
    square = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square.resize((128, 128), Image.Resampling.LANCZOS)


@cache
def sprite(name: str, color: str | None, size: int) -> np.ndarray:
    """The object at ``size`` pixels with a one-pixel margin: (size, size, 4) float32, alpha last.

    A colour tints by luminance, stretched over the glyph's own range so that details stay visible.
    """
    image = glyph(name).resize((size - 2, size - 2), Image.Resampling.LANCZOS)
    inner = np.asarray(image, dtype=np.float32) / 255
    if color is not None:
        grey = inner[..., :3] @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
        low, high = np.quantile(grey[inner[..., 3] > 0.5], [0.05, 0.95])
        light = np.clip((grey - low) / max(high - low, 0.1), 0, 1)[..., None]
        dark_end, light_end = (np.array(c, dtype=np.float32) for c in COLORS[color])
        # the square root keeps most of the object near the light end, where hue is clearest
        inner = np.concatenate(
            [dark_end + (light_end - dark_end) * np.sqrt(light), inner[..., 3:]], axis=-1
        )
    out = np.zeros((size, size, 4), dtype=np.float32)
    out[1:-1, 1:-1] = inner
    return out


def render(scene: Scene) -> np.ndarray:
    """The scene as (SIDE, SIDE, 3) uint8."""
    picture = np.empty((SIDE, SIDE, 3), dtype=np.float32)
    picture[:] = BACKGROUNDS[scene.background]
    for item in scene.items:
        patch = sprite(item.name, item.color, item.size)
        window = picture[item.y : item.y + item.size, item.x : item.x + item.size]
        window += patch[..., 3:] * (patch[..., :3] - window)
    return (picture * 255 + 0.5).clip(0, 255).astype(np.uint8)
