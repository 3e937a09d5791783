"""Where everything of a particle tree stands in its drawing, in SVG's units (pixels)."""

from __future__ import annotations

from dataclasses import dataclass

from glass_cli.common.errors import GlassError
from glass_cli.output.results import Result
from glass_cli.output.thumbnails import tiles
from glass_cli.report.data_uris import embedded, picture
from glass_cli.report.tables import decimals
from glass_cli.report.tree import Node, Tree, percent, tree_of

HEAD = 44
MARGIN = 12
_CAPTIONED = 40  # smaller tiles have no room for text beneath them
_SIDE = 96


@dataclass(frozen=True)
class PlacedNode:
    """A node in the drawing.

    x, y: its tile's upper left corner.
    uri: its picture; None where none was kept.
    caption: what stands below it.
    bar: its weight as a share of the heaviest in its column, from 0 to 1.
    hue: the colour of its lineage, in degrees.
    """

    node: Node
    x: float
    y: float
    uri: str | None
    caption: str
    bar: float
    hue: int


@dataclass(frozen=True)
class Line:
    """From a parent to its child, as an SVG path; ``lives`` and ``answer`` are the child's."""

    path: str
    hue: int
    lives: bool
    answer: bool


@dataclass(frozen=True)
class ColumnHead:
    """Above a column: two lines of text."""

    x: float
    first: str
    second: str


@dataclass(frozen=True)
class TreeLayout:
    """Everything for the template.

    width, height, tile: of the drawing, and of a node's tile.
    pictures: whether any node has one.
    rows: the same as a table.
    summary: the same in a sentence.
    unusable: a line for each kept strip that is damaged, or another result's.
    """

    width: float
    height: float
    tile: float
    pictures: bool
    nodes: tuple[PlacedNode, ...]
    lines: tuple[Line, ...]
    heads: tuple[ColumnHead, ...]
    rows: tuple[tuple[str, ...], ...]
    summary: str
    unusable: tuple[str, ...]


def layout(result: Result, thumbnails: bool = True) -> TreeLayout:
    """Places the tree of ``result``.

    thumbnails: whether nodes have pictures, where there are any.

    Raises GlassError where a finished picture is damaged.
    """
    tree = tree_of(result)
    n = tree.size
    places = decimals((r for step in tree.steps for r in step.rewards or ()), 3)
    pictures, unusable = _pictures(result, tree) if thumbnails else ({}, [])
    tile = (64 if n <= 12 else 48 if n <= 24 else 24) if pictures else 22 if n <= 24 else 14
    captioned = tile >= _CAPTIONED or (not pictures and n <= 24)
    across = max(tile, 72 if captioned else 40) + 60
    down = tile + (30 if captioned else 8)
    left = MARGIN + max(0, (72 - tile) / 2 if captioned else 16)
    placed, lines = [], []
    for k, column in enumerate(tree.columns):
        heaviest = max((node.weight or 0.0 for node in column), default=0.0)
        for node in column:
            x, y = left + k * across, HEAD + node.row * down
            hue = round(360 * node.lineage / n)
            bar = (node.weight or 0.0) / heaviest if heaviest else 0.0
            caption = _caption(node, places) if captioned else ""
            uri = pictures.get((k, node.particle))
            placed.append(PlacedNode(node, x, y, uri, caption, bar, hue))
            if node.parent is not None:
                bare = pictures and (k - 1, 0) not in pictures
                x0 = x - across + (tile / 2 if bare else tile)
                y0, y1 = HEAD + node.parent * down + tile / 2, y + tile / 2
                bend = (x - x0) / 2
                path = f"M{x0:g} {y0:g}C{x0 + bend:g} {y0:g} {x - bend:g} {y1:g} {x:g} {y1:g}"
                lines.append(Line(path, hue, node.lives, node.answer))
    heads = [
        ColumnHead(
            left + k * across + tile / 2,
            f"t = {step.t:.2g}",
            "" if step.ess is None or step.rewards is None else f"ESS {step.ess:.1f}",
        )
        for k, step in enumerate(tree.steps)
    ]
    return TreeLayout(
        width=left + (len(tree.columns) - 1) * across + max(tile, 72) + MARGIN,
        height=HEAD + n * down + MARGIN,
        tile=tile,
        pictures=bool(pictures),
        nodes=tuple(placed),
        # the answer's line over the others, those that end under them
        lines=tuple(sorted(lines, key=lambda line: (line.answer, line.lives))),
        heads=tuple(heads),
        rows=_rows(tree),
        summary=_summary(result, tree),
        unusable=tuple(unusable),
    )


def _caption(node: Node, places: int) -> str:
    reward = "" if node.reward is None else f"{node.reward:.{places}f}"
    weight = "" if node.weight is None else percent(node.weight)
    return " · ".join(text for text in (reward, weight) if text)


def _pictures(result: Result, tree: Tree) -> tuple[dict[tuple[int, int], str], list[str]]:
    """Data URIs by column and particle: the kept strips, and at the end the finished pictures.

    And a line for each strip that is not what was kept.
    """
    uris: dict[tuple[int, int], str] = {}
    unusable = []
    for k, step in enumerate(tree.steps):
        if step.thumbnails is None:
            continue
        try:
            shown = tiles(step.thumbnails, step.number)
        except GlassError as error:
            unusable.append(str(error))
            continue
        uris |= {(k, i): embedded(tile, _SIDE) for i, tile in enumerate(shown)}
    if uris:
        last = len(tree.steps) - 1
        uris |= {(last, p.index): picture(path, _SIDE) for p, path in result.shown}
    return uris, unusable


def _rows(tree: Tree) -> tuple[tuple[str, ...], ...]:
    rows = []
    places = decimals((r for step in tree.steps for r in step.rewards or ()), 4)
    for step, happened in zip(tree.steps, tree.descriptions, strict=True):
        known = [r for r in step.rewards or () if r is not None]
        rows.append(
            (
                f"{step.t:.3g}",
                "-" if step.nfe is None else f"{step.nfe:.0f}",
                f"{max(known):.{places}f}" if known else "-",
                f"{sum(known) / len(known):.{places}f}" if known else "-",
                "-" if step.ess is None else f"{step.ess:.1f}",
                "-" if step.lineages is None else str(step.lineages),
                happened,
            )
        )
    return tuple(rows)


def _summary(result: Result, tree: Tree) -> str:
    resampled = sum(step.ancestors is not None for step in tree.steps)
    killed = sum(node.killed for column in tree.columns for node in column)
    times = "once" if resampled == 1 else f"{resampled} times"
    return (
        f"{_numbers(tree)} particles over {len(tree.steps)} times, resampled {times}, {killed}"
        f" killed; {result.lineages} of {result.started} lineages are left at the end."
    )


def _numbers(tree: Tree) -> str:
    """How many particles there are, "8" or "16 to 3"."""
    first, last = tree.steps[0].number, tree.steps[-1].number
    return str(first) if {step.number for step in tree.steps} == {first} else f"{first} to {last}"
