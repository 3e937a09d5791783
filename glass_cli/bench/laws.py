"""Laws in eight dimensions, of several scales, whose denoiser is known in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from glass_cli.bench.toy import WEIGHTS, WIDTHS, toy
from glass_cli.method.noise import generator
from glass_cli.method.path import CondOT, Path

STRAIGHT = CondOT()


@dataclass(frozen=True)
class Axes:
    """sum_j w_j N(m_j, diag(c_j^2)) as a model's data; ``means``, ``stds`` (J, d), float64.

    log_w: (J,), normalised.
    path, shift: of the model.
    """

    log_w: Tensor
    means: Tensor
    stds: Tensor
    path: Path = STRAIGHT
    shift: float = 1.0

    def denoise(self, x: Tensor, t: float) -> Tensor:
        """D_t(x) = E[z | x_t = x] for x (N, d)."""
        alpha, sigma, _, _ = self.path.at(t)
        total = (alpha * self.stds) ** 2 + sigma**2
        gap = x.unsqueeze(-2) - alpha * self.means
        log_joint = self.log_w - 0.5 * (gap.square() / total + total.log()).sum(-1)
        of_each = self.means + alpha * self.stds**2 / total * gap
        return (log_joint.softmax(-1).unsqueeze(-1) * of_each).sum(-2)

    def scaled(self, factor: float) -> Axes:
        """The law of ``factor`` z."""
        return replace(self, means=factor * self.means, stds=factor * self.stds)


def mixture() -> Axes:
    """The bench's, of six round components of standard deviations 0.1 to 0.6."""
    log_w = torch.tensor(WEIGHTS, dtype=torch.float64).log()
    stds = torch.tensor(WIDTHS, dtype=torch.float64)[:, None].expand(-1, 8)
    return Axes(log_w, toy().mixture.means, stds)


def small_clusters() -> Axes:
    """Eight components, of which three small (0.05 to 0.1), the others of 0.05 to 0.6 by axis."""
    g = generator("small clusters")
    means = torch.randn(8, 8, generator=g, dtype=torch.float64)
    stds = 0.05 * 12.0 ** torch.rand(8, 8, generator=g, dtype=torch.float64)
    stds[0], stds[1] = 0.05, 0.1
    stds[2] = 0.05 * 2.0 ** torch.rand(8, generator=g, dtype=torch.float64)
    return Axes(torch.full((8,), -math.log(8), dtype=torch.float64), means, stds)


def gaussian() -> Axes:
    """One Gaussian of standard deviations 0.05 to 2 by axis."""
    stds = torch.tensor([[0.05, 0.1, 0.2, 0.35, 0.6, 1.0, 1.5, 2.0]], dtype=torch.float64)
    return Axes(torch.zeros(1, dtype=torch.float64), torch.zeros_like(stds), stds)


LAWS = {"mixture": mixture, "small clusters": small_clusters, "Gaussian": gaussian}
