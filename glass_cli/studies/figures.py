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
