"""Where everything of a particle tree stands in its drawing, in SVG's units (pixels)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from glass_cli.common.errors import GlassError, one_line
from glass_cli.output import thumbnails as strips
from glass_cli.report.album import embedded
from glass_cli.output.results import Result
from glass_cli.report.tables import decimals
from glass_cli.report.tree import Node, Tree, percent, tree_of

HEAD = 44
MARGIN = 12
_CAPTIONED = 40
"""Tiles below this have no room for words beneath them."""


@dataclass(frozen=True)
class Spot:
    """A node in the drawing: its tile's corner, its picture, what stands below it."""

    node: Node
    x: float
    y: float
    uri: str | None
    caption: str
    bar: float
    hue: int


@dataclass(frozen=True)
class Line:
    """From a parent to its child, as an SVG path."""

    path: str
    hue: int
    lives: bool
    answer: bool


@dataclass(frozen=True)
class Head:
    """Above a column: two lines of text."""

    x: float
    first: str
    second: str


@dataclass(frozen=True)
class DrawnTree:
    """Everything for the template. ``rows`` are the table that tells the same in words."""

    key: str
    width: float
    height: float
    tile: float
    pictures: bool
    spots: tuple[Spot, ...]
    lines: tuple[Line, ...]
    heads: tuple[Head, ...]
    rows: tuple[tuple[str, ...], ...]
    summary: str


def drawn(result: Result, key: str, thumbnails: bool = True) -> DrawnTree:
    """Places the tree of ``result``; ``key`` makes its ids unique in the page.

    Raises GlassError where a kept picture is damaged.
    """
    tree = tree_of(result)
    n = tree.size
    places = decimals((r for step in tree.steps for r in step.rewards or ()), 3)
    pictures = _pictures(result, tree, 96) if thumbnails else {}
    tile = (64 if n <= 12 else 48 if n <= 24 else 24) if pictures else 22 if n <= 24 else 14
    captioned = tile >= _CAPTIONED or (not pictures and n <= 24)
    across = max(tile, 72 if captioned else 40) + 60
    down = tile + (30 if captioned else 8)
    left = MARGIN + max(0, (72 - tile) / 2 if captioned else 16)
    spots, lines = [], []
    for k, column in enumerate(tree.columns):
        heaviest = max((node.weight or 0.0 for node in column), default=0.0)
        for node in column:
            x, y = left + k * across, HEAD + node.row * down
            hue = round(360 * node.lineage / n)
            bar = (node.weight or 0.0) / heaviest if heaviest else 0.0
            caption = _caption(node, places) if captioned else ""
            spots.append(Spot(node, x, y, pictures.get((k, node.particle)), caption, bar, hue))
            if node.parent is not None:
                bare = pictures and (k - 1, 0) not in pictures
                x0 = x - across + (tile / 2 if bare else tile)
                y0, y1 = HEAD + node.parent * down + tile / 2, y + tile / 2
                bend = (x - x0) / 2
                path = f"M{x0:g} {y0:g}C{x0 + bend:g} {y0:g} {x - bend:g} {y1:g} {x:g} {y1:g}"
                lines.append(Line(path, hue, node.lives, node.answer))
    heads = [
        Head(
            left + k * across + tile / 2,
            f"t = {step.t:.2g}",
            "" if step.ess is None or step.rewards is None else f"ESS {step.ess:.1f}",
        )
        for k, step in enumerate(tree.steps)
    ]
    return DrawnTree(
        key=key,
        width=left + (len(tree.columns) - 1) * across + max(tile, 72) + MARGIN,
        height=HEAD + n * down + MARGIN,
        tile=tile,
        pictures=bool(pictures),
        spots=tuple(spots),
        # the answer's line over the others, those that end under them
        lines=tuple(sorted(lines, key=lambda line: (line.answer, line.lives))),
        heads=tuple(heads),
        rows=_rows(tree),
        summary=_summary(result, tree),
    )


def _caption(node: Node, places: int) -> str:
    reward = "" if node.reward is None else f"{node.reward:.{places}f}"
    weight = "" if node.weight is None else percent(node.weight)
    return " · ".join(text for text in (reward, weight) if text)


def _pictures(result: Result, tree: Tree, side: int) -> dict[tuple[int, int], str]:
    """Data URIs by column and particle: the kept strips, and at the end the finished pictures."""
    found = {}
    for k, step in enumerate(tree.steps):
        if step.thumbnails is None:
            continue
        for i, image in enumerate(_tiles(step.thumbnails, tree.size)):
            found[k, i] = embedded(image, side)
    if not found:
        return {}
    last = len(tree.steps) - 1
    for particle in result.particles:
        if particle.picture is not None:
            with Image.open(particle.picture) as image:
                found[last, particle.index] = embedded(image, side)
    return found


def _tiles(path: Path, count: int) -> list[Image.Image]:
    try:
        return strips.tiles(path, count)
    except (OSError, SyntaxError, ValueError) as error:
        raise GlassError(f"{path} is not a whole strip ({one_line(error)[:80]})") from error


def _rows(tree: Tree) -> tuple[tuple[str, ...], ...]:
    rows = []
    places = decimals((r for step in tree.steps for r in step.rewards or ()), 4)
    for step, told in zip(tree.steps, tree.told, strict=True):
        known = [r for r in step.rewards or () if r is not None]
        rows.append(
            (
                f"{step.t:.3g}",
                "-" if step.nfe is None else f"{step.nfe:.0f}",
                f"{max(known):.{places}f}" if known else "-",
                f"{sum(known) / len(known):.{places}f}" if known else "-",
                "-" if step.ess is None else f"{step.ess:.1f}",
                "-" if step.lineages is None else str(step.lineages),
                told,
            )
        )
    return tuple(rows)


def _summary(result: Result, tree: Tree) -> str:
    resampled = sum(step.ancestors is not None for step in tree.steps)
    killed = sum(node.killed for column in tree.columns for node in column)
    times = "once" if resampled == 1 else f"{resampled} times"
    return (
        f"{tree.size} particles over {len(tree.steps)} times, resampled {times}, {killed} killed;"
        f" {result.lineages} of {tree.size} lineages are left at the end."
    )
