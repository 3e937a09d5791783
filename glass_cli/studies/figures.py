"""An empty matplotlib figure, without a window or a global state."""

from __future__ import annotations

import logging
from typing import Any


def new_figure(width: float, height: float) -> Any:
    """A figure of so many inches, which draws PNGs."""
    # matplotlib, when imported, names every font that it cannot read
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def moved(axes: Any, points: float) -> Any:
    """The transformation of data that ends so many points of the page to the right.

    What is drawn by it keeps its numbers, and stands beside what would hide it.
    """
    from matplotlib.transforms import ScaledTranslation

    return axes.transData + ScaledTranslation(points / 72, 0, axes.figure.dpi_scale_trans)
