"""Draws points against a mixture's density."""

from __future__ import annotations

import io

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from glass_cli.models.mixture import Mixture


def density_plot(points: Tensor, log_w: Tensor, target: Mixture, tilted: bool) -> bytes:
    """A PNG of points (N, d) over the density of their first one or two coordinates.

    A point's area, or its share of a histogram, goes by its weight exp(log_w).
    """
    weights = (log_w.softmax(0) * len(log_w)).tolist()
    d = min(points.shape[-1], 2)
    # an isotropic mixture's marginal keeps its weights and widths
    marginal = Mixture(target.log_w, target.means[:, :d], target.stds)
    name = "tilted density" if tilted else "density"
    figure = Figure(figsize=(5, 5 if d == 2 else 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
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
            bins=40,
            weights=weights,
            density=True,
            color="#9ecae1",
            label="particles",
        )
        axes.plot(grid.tolist(), density.tolist(), color="#d95f02", label=name)
    else:
        x, y = torch.meshgrid(grid, grid, indexing="xy")
        density = marginal.log_density(torch.stack([x, y], -1)).exp()
        axes.contourf(x.numpy(), y.numpy(), density.numpy(), levels=12, cmap="Blues")
        axes.scatter(
            points[:, 0].tolist(),
            points[:, 1].tolist(),
            s=[18.0 * w for w in weights],
            color="#d95f02",
            edgecolors="white",
            linewidths=0.5,
            label="particles",
        )
        axes.set_aspect("equal")
    axes.set_title(f"{len(points)} particles and the true {name}")
    axes.legend(loc="upper right")
    file = io.BytesIO()
    figure.savefig(file, dpi=120, format="png")
    return file.getvalue()
