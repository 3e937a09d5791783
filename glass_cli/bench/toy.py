"""The distribution that accuracy is measured on: everything about it is known in closed form."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from glass_cli.method.glass import InnerPath, correlation
from glass_cli.method.noise import generator
from glass_cli.models.gaussian_mixture import LoadedMixture
from glass_cli.models.mixture import Mixture

TRANSITIONS = ((0.1, 0.5), (0.3, 0.6), (0.3, 1.0), (0.1, 1.0))
WEIGHTS = (0.30, 0.25, 0.20, 0.12, 0.08, 0.05)
WIDTHS = (0.60, 0.20, 0.40, 0.10, 0.30, 0.15)


def toy(spread: float = 1.0, width: float = 1.0, dim: int = 8) -> LoadedMixture:
    """Six components of different weights and widths, their means drawn from N(0, spread^2 I).

    ``width`` scales the components' standard deviations.
    """
    means = spread * torch.randn(len(WEIGHTS), dim, generator=generator("toy", dim)).double()
    stds = width * torch.tensor(WIDTHS, dtype=torch.float64)
    return LoadedMixture(Mixture(torch.tensor(WEIGHTS, dtype=torch.float64).log(), means, stds))


class Case(NamedTuple):
    """One transition from several x_t, each repeated for many draws: rows are (x_t, draw)."""

    t: float
    t_next: float
    starts: int
    x: Tensor
    x_hat: Tensor
    inner: InnerPath

    @property
    def name(self) -> str:
        return f"{self.t:g} to {self.t_next:g}"


def make_case(flow: LoadedMixture, t: float, t_next: float, starts: int, draws: int) -> Case:
    """x_t for ``starts`` exact samples of the data, the same for every ``t``."""
    g = generator("starts")
    z = flow.mixture.sample(_normal(g, starts, *flow.shape), torch.rand(starts, generator=g))
    alpha, sigma, _, _ = flow.path.at(t)
    x = alpha * z + sigma * _normal(g, starts, *flow.shape)
    x = x.repeat_interleave(draws, 0)
    rho = correlation(flow.path, t, t_next, "ddpm")
    inner = InnerPath.between(flow.path, t, t_next, rho)
    return Case(t, t_next, starts, x, flow.denoise(x, t), inner)


def exact(flow: LoadedMixture, case: Case, seed: str) -> Tensor:
    """Draws of x_t' given x_t: gamma x_t + abar z + sbar eps with z from the exact posterior."""
    g = generator("exact", seed)
    posterior = flow.mixture.posterior(flow.path, case.x, case.t)
    z = posterior.sample(_normal(g, *case.x.shape), torch.rand(len(case.x), generator=g))
    inner = case.inner
    return inner.gamma * case.x + inner.abar * z + inner.sbar * _normal(g, *case.x.shape)


def _normal(g: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=g, dtype=torch.float64)
