"""Draws points against a mixture's density."""

from __future__ import annotations

import io

import torch
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from glass_cli.common.errors import shown
from glass_cli.common.letters import boxes_for_missing_letters
from glass_cli.models.mixture import Mixture

_BINS = 50
_TITLE_WIDTH = 60  # letters
_TITLE_SIZE, _TITLE_SHARE = 10.0, 0.97


def density_figure(
    points: Tensor, log_w: Tensor, target: Mixture, tilted: bool, title: str
) -> Figure:
    """Points (N, d) over the density of their first one or two coordinates.

    title: whose points they are.

    A point's area, or its share of a histogram, goes by its weight exp(log_w).
    """
    weights = (log_w.softmax(0) * len(log_w)).tolist()
    d = min(points.shape[-1], 2)
    # an isotropic mixture's marginal keeps its weights and widths
    marginal = Mixture(target.log_w, target.means[:, :d], target.stds)
    name = "tilted density" if tilted else "density"
    figure = Figure(figsize=(5, 5.4 if d == 2 else 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    handles: list[Artist] = []
    reach = float(
        (marginal.means.abs().amax() + 4 * marginal.stds.max()).maximum(
            points[:, :d].abs().max() * 1.05
        )
    )
    grid = torch.linspace(-reach, reach, 200, dtype=torch.float64)
    if d == 1:
        density = marginal.log_density(grid[:, None]).exp()
        axes.hist(
            points[:, 0].tolist(),
            bins=_BINS,
            # of the axis, not of the points: hairlines of points close together hid the density
            range=(-reach, reach),
            weights=weights,
            density=True,
            color="#9ecae1",
            label="particles, by weight",
        )
        axes.plot(grid.tolist(), density.tolist(), color="#d95f02", label=name)
        axes.set_ylabel("density")
    else:
        x, y = torch.meshgrid(grid, grid, indexing="xy")
        density = marginal.log_density(torch.stack([x, y], -1)).exp()
        axes.contourf(x.numpy(), y.numpy(), density.numpy(), levels=12, cmap="Blues")
        shade = Patch(color="#4292c6", label=name)  # of the colour map's middle
        axes.scatter(
            points[:, 0].tolist(),
            points[:, 1].tolist(),
            s=[18.0 * w for w in weights],
            color="#d95f02",
            edgecolors="white",
            linewidths=0.5,
            label="particles, area by weight",
        )
        axes.set_aspect("equal")
        axes.set_ylabel("$x_2$")
        handles.append(shade)
    axes.set_xlabel("$x_1$")
    several = f", the first 2 of {points.shape[-1]} coordinates" if points.shape[-1] > 2 else ""
    title = shown(title, _TITLE_WIDTH).replace("$", r"\$")  # not mathematics
    text = figure.suptitle(f"{title}\n{len(points)} particles and the true {name}{several}")
    # smaller where a wide prompt would be cut at the edges
    text.set_fontsize(_TITLE_SIZE)
    across = text.get_window_extent().width
    text.set_fontsize(_TITLE_SIZE * min(1.0, _TITLE_SHARE * figure.bbox.width / across))
    # below the axes, where it hides no point
    handles = [*axes.get_legend_handles_labels()[0], *handles]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def density_plot(points: Tensor, log_w: Tensor, target: Mixture, tilted: bool, title: str) -> bytes:
    """The PNG of :func:`density_figure`."""
    file = io.BytesIO()
    with boxes_for_missing_letters():
        density_figure(points, log_w, target, tilted, title).savefig(file, dpi=120, format="png")
    return file.getvalue()
