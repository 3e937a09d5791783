"""The contact sheet: every particle of a prompt or sampler in one row, the best one framed."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glass_cli.output.pictures import load_picture

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

SMALLEST, LARGEST = 128, 256  # pixels of a tile's longer side
MARGIN, GAP, ROW_GAP = 28, 12, 26
FRAME, FRAME_GAP = 3, 2
TITLE, LABEL, CAPTION = 21, 17, 13  # type sizes in pixels
CAPTION_LINE = 17
NARROWEST = 440  # room for a label above a single picture
LABEL_LINES = 3
WHITE, INK, GREY, RULE, BEST = "#ffffff", "#1c1e21", "#6a6f76", "#e3e5e8", "#c8371e"


class Row(NamedTuple):
    """One row of a contact sheet.

    label: above the pictures.
    pictures: or the files that hold them; arrays are uint8, (H, W), (H, W, 3) or (H, W, 4).
    captions: one below each picture; a line end in it begins a new line.
    best: index of the picture that is framed; None for none.
    """

    label: str
    pictures: Sequence[Image.Image | np.ndarray | Path]
    captions: Sequence[str]
    best: int | None = None


def contact_sheet(rows: Sequence[Row], columns: int = 8, title: str | None = None) -> Image.Image:
    """Draws rows of pictures below each other; an RGB picture.

    rows: one or more.
    columns: pictures side by side, 1 or more, before a row is wrapped.
    title: above all rows.

    Pictures below 128 pixels are enlarged by a whole factor without smoothing, those above 256
    reduced to it. Captions of several lines spread pictures as far as they need, up to 256 pixels,
    beyond which they are word-wrapped as labels are; any text is drawn without failing, as boxes
    where no font has the letters.

    Raises ValueError on no rows, columns < 1, or a row whose captions or best do not fit its
    pictures; GlassError for a file that is not a whole picture.
    """
    rows = [Row(*row) for row in rows]
    if not rows:
        raise ValueError("a contact sheet needs at least one row")
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    for row in rows:
        if len(row.captions) != len(row.pictures):
            raise ValueError(f"{len(row.captions)} captions for {len(row.pictures)} pictures")
        if row.best is not None and not 0 <= row.best < len(row.pictures):
            raise ValueError(f"best is {row.best}, but the row has {len(row.pictures)} pictures")

    tiles = [[_tile(picture) for picture in row.pictures] for row in rows]
    cell = max((max(tile.size) for line in tiles for tile in line), default=SMALLEST)
    cell = max(cell, min(LARGEST, _widest_line(rows)))
    rows = [row._replace(captions=[_broken(c, cell) for c in row.captions]) for row in rows]
    used = min(columns, max(1, *(len(line) for line in tiles)))
    inner = max(NARROWEST, used * cell + (used - 1) * GAP)
    fonts = [_font_for(row.label, LABEL) for row in rows]
    labels = [_wrap(row.label, font, inner) for row, font in zip(rows, fonts, strict=True)]
    heads = [24 * len(lines) + 8 if lines else 0 for lines in labels]
    title_font = _font_for(title or "", TITLE)
    title_lines = _wrap(title or "", title_font, inner)
    title_height = 28 * len(title_lines) + 12 if title_lines else 0

    # A line of pictures is as high as its highest one, so wide pictures leave no empty bands.
    lines = [
        [
            (start, max(map(_height, line[start : start + used], row.captions[start:])))
            for start in range(0, len(line), used)
        ]
        for line, row in zip(tiles, rows, strict=True)
    ]
    bodies = [sum(height for _, height in line) for line in lines]
    rule = ROW_GAP if len(rows) > 1 else 0
    height = 2 * MARGIN + title_height + sum(heads) + sum(bodies) + rule * (len(rows) - 1) - 8
    sheet = Image.new("RGB", (inner + 2 * MARGIN, height), WHITE)
    draw = ImageDraw.Draw(sheet)

    y = MARGIN
    for text in title_lines:
        _text(draw, (MARGIN, y + TITLE), text, title_font, INK)
        y += 28
    y += 12 if title_lines else 0
    for i, row in enumerate(rows):
        if i:
            draw.line([(MARGIN, y + 4), (MARGIN + inner, y + 4)], fill=RULE)
            y += ROW_GAP
        for text in labels[i]:
            _text(draw, (MARGIN, y + LABEL), text, fonts[i], INK)
            y += 24
        y += 8 if labels[i] else 0
        for start, line_height in lines[i]:
            for j, tile in enumerate(tiles[i][start : start + used]):
                x = MARGIN + j * (cell + GAP)
                index = start + j
                _picture(sheet, draw, tile, (x, y), cell, row.captions[index], index == row.best)
            y += line_height
    return sheet


def _height(tile: Image.Image, caption: str) -> int:
    """Pixels from the top of a picture to that of the one below it."""
    return tile.height + 34 + CAPTION_LINE * caption.count("\n")


def _widest_line(rows: Sequence[Row]) -> int:
    """Pixels that the captions of several lines need; 0 where there are none."""
    captions = [caption for row in rows for caption in row.captions if "\n" in caption]
    lines = [_clean(line) for caption in captions for line in caption.split("\n")]
    widths = (_font_for(line, CAPTION).getlength(line[:200]) for line in lines)
    return 17 + math.ceil(max(widths)) if lines else 0


def _broken(caption: str, cell: int) -> str:
    """A caption of several lines with each as long as the cell is wide, less the star's room."""
    if "\n" not in caption:
        return caption
    lines = caption.split("\n")
    broken = [_wrap(line, _font_for(line, CAPTION), cell - 17) or [""] for line in lines]
    return "\n".join(part for parts in broken for part in parts)


def _picture(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    tile: Image.Image,
    corner: tuple[int, int],
    cell: int,
    caption: str,
    best: bool,
) -> None:
    several = "\n" in caption  # as wide as the cell, so that the picture stands at its left
    x, y = corner[0] + (0 if several else (cell - tile.width) // 2), corner[1]
    sheet.paste(tile, (x, y))
    below = y + tile.height + 7
    if best:
        out = FRAME_GAP + FRAME
        box = (x - out, y - out, x + tile.width + out - 1, y + tile.height + out - 1)
        draw.rectangle(box, outline=BEST, width=FRAME)
        sheet.paste(BEST, (x, below + 1), _star(14))
    else:
        draw.rectangle((x - 1, y - 1, x + tile.width, y + tile.height), outline=RULE)
    for i, line in enumerate(caption.split("\n")):
        indent = 17 if best and i == 0 else 0
        font = _font_for(line, CAPTION)
        text = _shorten(_clean(line), font, corner[0] + cell - x - indent)
        start = (x + indent, below + CAPTION + i * CAPTION_LINE)
        _text(draw, start, text, font, BEST if best else GREY)


@lru_cache(maxsize=1)
def _star(size: int) -> Image.Image:
    """A star's mask; drawn, since Pillow's own font has none, and four times as large, smooth."""
    points = []
    for k in range(10):
        radius, angle = (2 if k % 2 == 0 else 0.84) * size, math.pi * (k / 5 - 0.5)
        points.append((2 * size + radius * math.cos(angle), 2 * size + radius * math.sin(angle)))
    mask = Image.new("L", (4 * size, 4 * size))
    ImageDraw.Draw(mask).polygon(points, fill=255)
    return mask.resize((size, size), Image.Resampling.LANCZOS)


def _tile(picture: Image.Image | np.ndarray | Path) -> Image.Image:
    image: Image.Image
    if isinstance(picture, Path):
        image = load_picture(picture)
    elif isinstance(picture, np.ndarray):
        image = Image.fromarray(picture)
    else:
        image = picture
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, WHITE), image)
    image = image.convert("RGB")
    longest = max(image.size)
    if longest < SMALLEST:
        factor = math.ceil(SMALLEST / longest)
        size = (image.width * factor, image.height * factor)
        return image.resize(size, Image.Resampling.NEAREST)
    if longest > LARGEST:
        scale = LARGEST / longest
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        return image.resize(size, Image.Resampling.LANCZOS)
    return image


@lru_cache(maxsize=32)
def _font(size: int, latin: bool) -> Font:
    """Pillow's own font, or for other letters DejaVu, which comes with matplotlib."""
    if not latin:
        spec = find_spec("matplotlib")
        if spec is not None and spec.origin is not None:
            path = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
            if path.exists():
                return ImageFont.truetype(str(path), size)
    return ImageFont.load_default(size)


def _font_for(text: str, size: int) -> Font:
    return _font(size, all(ord(letter) < 0x180 for letter in text))


def _text(
    draw: ImageDraw.ImageDraw, start: tuple[int, int], text: str, font: Font, fill: str
) -> None:
    """Draws a line whose baseline starts at ``start``; fonts of any height agree on that."""
    if text:
        draw.text(start, text, fill, font, anchor="ls")


def _clean(text: str) -> str:
    """One line: blanks joined; control and format characters and lone surrogates dropped."""
    kept = "".join(c for c in " ".join(text.split()) if unicodedata.category(c)[0] != "C")
    return kept.strip()


def _shorten(text: str, font: Font, width: float) -> str:
    if font.getlength(text) <= width:
        return text
    return text[: _fitting(text, font, width - font.getlength("..."))].rstrip() + "..."


def _wrap(text: str, font: Font, width: float) -> list[str]:
    """``text`` in at most LABEL_LINES lines of ``width`` pixels; longer words are broken."""
    # Nothing beyond this fits, and measuring a text of megabytes takes minutes.
    rest = _clean(text[:4000])
    lines: list[str] = []
    while rest:
        if len(lines) == LABEL_LINES - 1 or font.getlength(rest) <= width:
            lines.append(_shorten(rest, font, width))
            break
        length = _fitting(rest, font, width)
        blank = rest.rfind(" ", 0, length + 1)
        cut = blank if blank > 0 else length
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return lines


def _fitting(text: str, font: Font, width: float) -> int:
    """How many of the first letters of ``text`` fit into ``width``; at least 1."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle]) <= width:
            low = middle
        else:
            high = middle - 1
    return low
