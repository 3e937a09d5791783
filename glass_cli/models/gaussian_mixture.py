"""A Gaussian mixture in any dimension, whose flow is known in closed form."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glass_cli.method.path import CondOT
from glass_cli.models.base import LoadedModel, Model, PromptedFlow

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from glass_cli.models.mixture import Mixture


@dataclass(frozen=True)
class GaussianMixture(Model):
    """Equal isotropic Gaussians on a circle, on the straight path. Prompts are ignored.

    dim: coordinates of a point, 1 or more. In one dimension the Gaussians stand evenly on
        [-radius, radius]; beyond two the circle lies in the first two coordinates.
    components: how many Gaussians, 1 or more.
    radius: of the circle.
    std: standard deviation of each, above 0.
    """

    output = "points"

    dim: int = 2
    components: int = 6
    radius: float = 2.0
    std: float = 0.3

    def __post_init__(self) -> None:
        for name in ("dim", "components"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name} must be at least 1 (got {getattr(self, name)})")
        if not 0.0 < self.std < math.inf:
            raise ValueError(f"model.std must be above 0 and finite (got {self.std})")
        if not math.isfinite(self.radius):
            raise ValueError(f"model.radius must be finite (got {self.radius})")

    def mixture(self) -> Mixture:
        """The data distribution."""
        import torch

        from glass_cli.models.mixture import Mixture

        n = self.components
        means = torch.zeros(n, self.dim, dtype=torch.float64)
        if self.dim == 1:
            means[:, 0] = torch.linspace(-1, 1, n, dtype=torch.float64) * self.radius
        else:
            angles = torch.arange(n, dtype=torch.float64) * (2 * math.pi / n)
            means[:, 0], means[:, 1] = angles.cos() * self.radius, angles.sin() * self.radius
        flat = torch.full((n,), -math.log(n), dtype=torch.float64)
        return Mixture(flat, means, torch.full((n,), self.std, dtype=torch.float64))

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedMixture:
        """Always on the CPU in float64: there is no network to speed up."""
        return LoadedMixture(self.mixture())


class LoadedMixture(LoadedModel, PromptedFlow):
    """The model, and its flow under whatever prompt."""

    path = CondOT()
    shift = 1.0
    calls = 50

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture
        self.shape = (mixture.means.shape[-1],)
        self.state = mixture.means.new_empty(0)

    def prompted(self, prompt: str, negative_prompt: str, micro_batch: int) -> LoadedMixture:
        return self

    def denoise(self, x: Tensor, t: float) -> Tensor:
        """D_t(x) in closed form."""
        return self.mixture.denoise(self.path, x, t)

    def decode(self, x: Tensor) -> Tensor:
        return x

    def plot_density(self, points: Tensor, log_w: Tensor, tilt: Tensor | None, title: str) -> bytes:
        # matplotlib, when imported, tells of every font that it cannot read
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
        from glass_cli.models.density_plot import density_plot

        target = self.mixture if tilt is None else self.mixture.tilt(tilt.to(points))[0]
        return density_plot(points, log_w, target, tilt is not None, title)
