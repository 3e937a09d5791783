"""Worlds whose flows are known in closed form, and a way to run samplers without randomness."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from glass_cli.method.flow import Sampler
from glass_cli.method.glass import Glass
from glass_cli.method.noise import ParticleNoise, generator
from glass_cli.method.path import CondOT, DiscreteVP, Path, VariancePreserving
from glass_cli.models.mixture import Mixture
from glass_cli.steering.base import Steering
from glass_cli.steering.feynman_kac import FeynmanKac
from glass_cli.steering.loop import steer
from glass_cli.steering.state import Step


def stable_diffusion_table(size: int = 1000) -> tuple[float, ...]:
    """alphas_cumprod of Stable Diffusion's "scaled_linear" schedule, in ``size`` steps."""
    low, high = math.sqrt(0.00085), math.sqrt(0.012)
    product, table = 1.0, []
    for i in range(size):
        beta = (low + (high - low) * i / (size - 1)) ** 2
        product *= (1.0 - beta) ** (1000 / size)
        table.append(product)
    return tuple(table)


CONDOT = CondOT()
VP = VariancePreserving()
DISCRETE = DiscreteVP(stable_diffusion_table())
PATHS: dict[str, Path] = {"condot": CONDOT, "vp": VP, "discrete": DISCRETE}


@dataclass
class GaussianFlow:
    """N(mean, std^2) data in one dimension; keeps the time and batch size of every query."""

    path: Path = CONDOT
    mean: float = 0.7
    std: float = 0.5
    shift: float = 1.0
    queries: list[tuple[float, int]] = field(default_factory=list)

    def denoise(self, x: Tensor, t: float) -> Tensor:
        self.queries.append((t, len(x)))
        alpha, sigma, _, _ = self.path.at(t)
        gain = alpha * self.std**2 / (alpha**2 * self.std**2 + sigma**2)
        return self.mean + gain * (x - alpha * self.mean)

    def law(self, t: float) -> tuple[float, float]:
        """Mean and standard deviation of x_t."""
        alpha, sigma, _, _ = self.path.at(t)
        return alpha * self.mean, math.hypot(alpha * self.std, sigma)

    def transition_law(self, t: float, t_next: float, rho: float) -> tuple[float, float]:
        """Slope and spread of x_t' given x_t by conditioning (x_t, x_t') as a 2-D Gaussian."""
        alpha, sigma, _, _ = self.path.at(t)
        alpha_next, sigma_next, _, _ = self.path.at(t_next)
        covariance = alpha * alpha_next * self.std**2 + rho * sigma * sigma_next
        var, var_next = self.law(t)[1] ** 2, self.law(t_next)[1] ** 2
        return covariance / var, math.sqrt(var_next - covariance**2 / var)


@dataclass
class MixtureFlow:
    """A mixture of Gaussians as data."""

    mixture: Mixture
    path: Path = CONDOT
    shift: float = 1.0

    def denoise(self, x: Tensor, t: float) -> Tensor:
        return self.mixture.denoise(self.path, x, t)


def planar_mixture() -> Mixture:
    """Three unlike Gaussians in the plane."""
    return Mixture(
        torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log(),
        torch.tensor([[1.5, 0.0], [-1.0, 1.0], [0.0, -1.5]], dtype=torch.float64),
        torch.tensor([0.3, 0.2, 0.4], dtype=torch.float64),
    )


class Basis:
    """Stands in for noise: row 0 gets none, row i + 1 is 1 in the i-th draw and 0 in the others.

    Everything is affine in the noise where the data are Gaussian, so the rows of a run hold the
    exact mean (row 0) and the coefficient of every draw (the others, less row 0).
    """

    def __init__(self, draws: int) -> None:
        self.rows, self.used = draws + 1, 0

    def __call__(self) -> Tensor:
        self.used += 1
        out = torch.zeros(self.rows, 1, dtype=torch.float64)
        out[self.used] = 1.0
        return out


@dataclass(frozen=True)
class Law:
    """x = mean + coefficients . xi with independent standard normal xi."""

    t: float
    mean: float
    coefficients: Tensor

    @classmethod
    def of(cls, t: float, rows: Tensor) -> Law:
        return cls(t, float(rows[0, 0]), rows[1:, 0] - rows[0, 0])

    @property
    def std(self) -> float:
        return float(self.coefficients.norm())

    def covariance(self, other: Law) -> float:
        return float(self.coefficients @ other.coefficients)


def exact_laws(flow: GaussianFlow, sampler: Sampler, exact_start: bool = True) -> list[Law]:
    """The law of x at every outer time of a run; from x ~ p_t0, or from N(0, 1)."""
    times, steps = sampler.outer_times(flow), sampler.steps
    assert steps is not None
    times = (sampler.first_time(flow, times[0], times[1], steps), *times[1:])
    normal = Basis(1 + (len(times) - 1) * (steps + 1))
    mean, std = flow.law(times[0]) if exact_start else (0.0, 1.0)
    x = mean + std * normal()
    laws = [Law.of(times[0], x)]
    for t, t_next in itertools.pairwise(times):
        x = sampler.transition(flow, x, flow.denoise(x, t), t, t_next, normal, steps)
        laws.append(Law.of(t_next, x))
    return laws


def transition_law(
    flow: GaussianFlow, sampler: Sampler, t: float, t_next: float
) -> tuple[float, float, float]:
    """Offset, slope in x_t and spread of one transition of ``sampler``."""
    assert sampler.steps is not None
    normal = Basis(sampler.steps + 2)
    x = normal()
    moved = sampler.transition(flow, x, flow.denoise(x, t), t, t_next, normal, sampler.steps)
    law = Law.of(t_next, moved)
    return law.mean, float(law.coefficients[0]), float(law.coefficients[1:].norm())


class Normals:
    """Standard normal draws of one shape from one seed."""

    def __init__(self, seed: int, shape: tuple[int, ...]) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._shape = shape

    def __call__(self) -> Tensor:
        return torch.randn(self._shape, generator=self._generator, dtype=torch.float64)


GLASS = Glass(4, 2)


def linear(x: Tensor) -> Tensor:
    return x[:, 0]


def steered(
    steering: Steering,
    reward: Callable[[Tensor], Tensor] | None = linear,
    particles: int = 6,
    sampler: Sampler = GLASS,
    seed: int = 0,
    flow: GaussianFlow | None = None,
    calls: Sequence[int] | None = None,
    budget: int | None = None,
) -> list[Step]:
    """The steps of a run with a particle's noise as `glass sample` draws it."""
    like = torch.empty(0, dtype=torch.float64)
    return list(
        steer(
            flow or GaussianFlow(),
            sampler,
            steering,
            reward,
            ParticleNoise(seed, "p", particles, (1,), like),
            generator(seed, "choices"),
            ParticleNoise(seed, "values", particles, (1,), like),
            calls,
            budget,
        )
    )


def fk(**settings: object) -> FeynmanKac:
    return FeynmanKac(**settings)
