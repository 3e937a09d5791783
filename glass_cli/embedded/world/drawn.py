"""Pictograms for the GenEval object classes that have no emoji, drawn with Pillow shapes alone.

They follow the flat style of Noto Color Emoji and are meant to be read at 24 to 32 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from PIL import Image, ImageDraw

SIZE = 128
_SCALE = 4

_INK, _WHITE = "#3b4650", "#ffffff"
_STEEL, _STEEL_LIGHT, _STEEL_DARK = "#b9c6cf", "#e4ecf0", "#7f909b"
_WOOD, _WOOD_LIGHT, _WOOD_DARK = "#c98a4b", "#e5b072", "#8a5527"
_RED, _GREEN, _BLUE, _YELLOW = "#f0483e", "#4fc36b", "#6cc4f5", "#ffcf3f"


class _Pen:
    """Draws in units of the final picture onto the supersampled canvas."""

    def __init__(self) -> None:
        self.image = Image.new("RGBA", (SIZE * _SCALE, SIZE * _SCALE), (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self.image)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: str, radius: float = 0) -> None:
        # Pillow counts the far edge as inside, so it is drawn back by one canvas pixel.
        corners = (x0 * _SCALE, y0 * _SCALE, x1 * _SCALE - 1, y1 * _SCALE - 1)
        self._draw.rounded_rectangle(corners, radius * _SCALE, fill)

    def disc(self, x: float, y: float, radius: float, fill: str) -> None:
        self.oval(x - radius, y - radius, x + radius, y + radius, fill)

    def oval(self, x0: float, y0: float, x1: float, y1: float, fill: str) -> None:
        self._draw.ellipse((x0 * _SCALE, y0 * _SCALE, x1 * _SCALE - 1, y1 * _SCALE - 1), fill)

    def shape(self, points: list[tuple[float, float]], fill: str) -> None:
        self._draw.polygon([(x * _SCALE, y * _SCALE) for x, y in points], fill)

    def line(self, points: list[tuple[float, float]], width: float, fill: str) -> None:
        """A polyline with round joints and ends."""
        path = [(x * _SCALE, y * _SCALE) for x, y in points]
        self._draw.line(path, fill, round(width * _SCALE))
        for x, y in points:
            self.disc(x, y, width / 2, fill)

    def legs(self, x: float, y0: float, width: float, y1: float, fill: str) -> None:
        """Two upright bars, the right one the mirror image of the left one, which starts at x."""
        self.box(x, y0, x + width, y1, fill, 3)
        self.box(SIZE - x - width, y0, SIZE - x, y1, fill, 3)


def _arc(x: float, y: float, radius: float, start: int, stop: int) -> list[tuple[float, float]]:
    """Points on a circle, in degrees clockwise from three o'clock."""
    angles = [math.radians(a) for a in range(start, stop + 1, 6)]
    return [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]


def _bench(p: _Pen) -> None:
    p.legs(18, 20, 12, 122, _STEEL_DARK)
    p.box(4, 20, 124, 38, _WOOD, 5)
    p.box(4, 44, 124, 62, _WOOD, 5)
    p.shape([(14, 72), (114, 72), (126, 88), (2, 88)], _WOOD_LIGHT)
    p.box(2, 88, 126, 98, _WOOD_DARK, 3)
    p.legs(8, 98, 14, 122, _INK)


def _parking_meter(p: _Pen) -> None:
    p.box(55, 70, 73, 122, _STEEL_DARK)
    p.box(38, 114, 90, 126, _INK, 5)
    p.oval(27, 2, 101, 76, "#4a90d9")
    p.shape([(27, 38), (101, 38), (92, 84), (36, 84)], "#4a90d9")
    p.box(34, 78, 94, 90, "#2f5f96", 5)
    p.shape([*_arc(64, 41, 29, 180, 360), (93, 44), (35, 44)], _WHITE)
    p.line([(64, 42), (78, 24)], 6, _RED)
    p.box(57, 52, 71, 72, _YELLOW, 3)


def _baseball_bat(p: _Pen) -> None:
    p.shape([(15, 101), (64, 38), (90, 64), (27, 113)], _WOOD_LIGHT)
    p.line([(77, 51), (107, 21)], 38, _WOOD_LIGHT)
    p.line([(88, 62), (119, 31)], 9, _WOOD)
    p.line([(20, 108), (46, 82)], 18, _INK)
    p.line([(8, 104), (24, 120)], 14, _WOOD)


def _dining_table(p: _Pen) -> None:
    p.legs(8, 60, 17, 122, _WOOD_DARK)
    p.legs(32, 60, 12, 104, _WOOD_DARK)
    p.shape([(22, 26), (106, 26), (127, 60), (1, 60)], _WOOD_LIGHT)
    p.box(1, 60, 127, 74, _WOOD, 3)
    p.oval(38, 31, 90, 55, _WHITE)
    p.oval(49, 36, 79, 50, _STEEL)


def _tv_remote(p: _Pen) -> None:
    p.box(32, 1, 96, 127, _INK, 15)
    p.box(38, 7, 90, 121, "#8b9aa6", 10)
    p.disc(64, 22, 11, _RED)
    p.disc(64, 57, 20, _WHITE)
    p.disc(64, 57, 8, _INK)
    for y, left, right in ((83, _GREEN, _YELLOW), (102, _BLUE, _WHITE)):
        p.box(44, y, 61, y + 14, left, 4)
        p.box(67, y, 84, y + 14, right, 4)


def _microwave(p: _Pen) -> None:
    p.legs(12, 102, 18, 114, _INK)
    p.box(1, 18, 127, 108, _STEEL_DARK, 10)
    p.box(5, 22, 123, 104, _STEEL_LIGHT, 7)
    p.box(11, 30, 84, 96, _INK, 7)
    p.box(19, 38, 76, 88, "#ffd98a", 3)
    p.oval(26, 66, 68, 80, "#d98a3a")
    p.box(92, 30, 119, 96, _STEEL_DARK, 4)
    p.box(96, 36, 115, 49, "#8df0a5", 2)
    for y in (55, 68, 81):
        for x in (96, 107):
            p.box(x, y, x + 8, y + 8, _WHITE, 2)


def _oven(p: _Pen) -> None:
    p.legs(18, 116, 16, 126, _INK)
    p.legs(20, 1, 36, 12, _INK)
    p.box(8, 8, 120, 120, _STEEL, 8)
    p.box(8, 8, 120, 38, _STEEL_LIGHT, 8)
    for x in (27, 52, 76, 101):
        p.disc(x, 23, 9, _RED)
    p.box(20, 44, 108, 54, _WHITE, 5)
    p.box(20, 60, 108, 110, _INK, 7)
    p.box(28, 68, 100, 102, "#ff9d3c", 3)
    p.box(28, 82, 100, 88, _INK)


def _toaster(p: _Pen) -> None:
    for x in (20, 64):
        p.box(x, 6, x + 38, 70, "#a8642c", 13)
        p.box(x + 5, 11, x + 33, 70, "#f6cf8e", 9)
    p.legs(22, 112, 20, 125, _INK)
    p.box(104, 66, 126, 78, _INK, 4)
    p.box(4, 48, 116, 118, "#fb7a63", 20)
    p.box(14, 48, 108, 58, "#8f2f2a", 4)
    p.box(16, 70, 94, 80, "#ffc4b3", 5)
    p.disc(88, 98, 9, _WHITE)


def _sink(p: _Pen) -> None:
    p.line([(40, 66), *_arc(61, 30, 21, 180, 360), (82, 42)], 17, _STEEL_DARK)
    p.box(16, 38, 50, 52, _STEEL_DARK, 5)
    p.box(76, 52, 88, 72, _BLUE, 5)
    p.box(48, 106, 80, 127, _STEEL_DARK, 3)
    p.shape([(8, 76), (120, 76), (100, 114), (28, 114)], _STEEL)
    p.box(1, 64, 127, 86, _STEEL_DARK, 9)
    p.box(4, 67, 124, 83, _WHITE, 7)


def _refrigerator(p: _Pen) -> None:
    p.legs(30, 116, 16, 127, _INK)
    p.box(22, 1, 106, 121, "#5d9fb5", 10)
    p.box(26, 5, 102, 43, "#b5e3ee", 7)
    p.box(26, 50, 102, 117, "#b5e3ee", 7)
    p.box(34, 17, 43, 38, _INK, 4)
    p.box(34, 57, 43, 88, _INK, 4)


def _hair_drier(p: _Pen) -> None:
    p.line([(68, 78), (80, 112)], 30, "#d65a98")
    p.box(64, 92, 78, 106, _WHITE, 4)
    p.shape([(70, 6), (20, 24), (20, 64), (70, 82)], "#ff93c2")
    p.box(1, 18, 24, 70, _INK, 5)
    p.disc(84, 43, 42, "#ff93c2")
    p.disc(86, 43, 26, "#b8417f")
    p.disc(86, 43, 13, _WHITE)


DRAWN: dict[str, Callable[[_Pen], None]] = {
    "bench": _bench,
    "parking meter": _parking_meter,
    "baseball bat": _baseball_bat,
    "dining table": _dining_table,
    "tv remote": _tv_remote,
    "microwave": _microwave,
    "oven": _oven,
    "toaster": _toaster,
    "sink": _sink,
    "refrigerator": _refrigerator,
    "hair drier": _hair_drier,
}


def draw(name: str) -> Image.Image:
    """The pictogram of one class, RGBA on a transparent ground; KeyError for an unknown name."""
    pen = _Pen()
    DRAWN[name](pen)
    return pen.image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
