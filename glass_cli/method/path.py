"""Probability paths x_t = alpha_t z + sigma_t eps, t=0 noise, t=1 data, and what models predict.

All coefficients are Python floats (double precision); tensors appear only in the conversions.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class TooFewTimes(ValueError):
    """A model was trained at fewer times than a sampler wants to ask it at."""


class Coefficients(NamedTuple):
    """A path at one time t.

    alpha, sigma: of x_t = alpha_t z + sigma_t eps, 0 or more.
    d_alpha, d_sigma: their derivatives in t.
    """

    alpha: float
    sigma: float
    d_alpha: float
    d_sigma: float


class Path(Protocol):
    """alpha_t and sigma_t of a model, and the times at which it may be queried."""

    def at(self, t: float) -> Coefficients:
        """Coefficients at t in [0, 1]."""

    def time_of(self, g: float) -> float:
        """The t whose noise-to-signal ratio sigma_t^2 / alpha_t^2 is ``g`` in [0, inf]."""

    def snap(self, times: Sequence[float], after: float, before: float) -> list[float]:
        """Rising ``times`` moved to where a model of this path may be queried.

        They stay distinct and strictly between ``after`` and ``before``. Raises TooFewTimes
        where there are not as many.
        """


@dataclass(frozen=True)
class CondOT:
    """Straight path of flow matching: alpha = t, sigma = 1 - t (arXiv 2210.02747)."""

    def at(self, t: float) -> Coefficients:
        return Coefficients(t, 1.0 - t, 1.0, -1.0)

    def time_of(self, g: float) -> float:
        return 1.0 / (1.0 + math.sqrt(g))

    def snap(self, times: Sequence[float], after: float, before: float) -> list[float]:
        return list(times)


@dataclass(frozen=True)
class VariancePreserving:
    """Continuous VP path (Song et al., arXiv 2011.13456) with a linear beta over 1 - t.

    beta_min, beta_max: beta at t=1 and at t=0, 0 < beta_min < beta_max.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def at(self, t: float) -> Coefficients:
        tau, spread = 1.0 - t, self.beta_max - self.beta_min
        log_alpha = -0.25 * tau * tau * spread - 0.5 * tau * self.beta_min
        alpha, sigma = math.exp(log_alpha), math.sqrt(-math.expm1(2.0 * log_alpha))
        d_alpha = 0.5 * (tau * spread + self.beta_min) * alpha
        return Coefficients(alpha, sigma, d_alpha, -alpha * d_alpha / sigma if sigma else -math.inf)

    def time_of(self, g: float) -> float:
        if math.isinf(g):
            return 0.0
        spread = self.beta_max - self.beta_min
        c = 0.5 * math.log1p(g)  # -log alpha
        root = math.sqrt(0.25 * self.beta_min**2 + spread * c)
        # 2c / (b/2 + root) is the positive root without cancellation
        return max(0.0, 1.0 - 2.0 * c / (0.5 * self.beta_min + root))

    def snap(self, times: Sequence[float], after: float, before: float) -> list[float]:
        return list(times)


@dataclass(frozen=True)
class DiscreteVP:
    """VP path of a model of discrete time, as Stable Diffusion is.

    alphas_cumprod: alpha^2 of T trained steps, falling from the least noise (step 0), between 0
        and 1.

    Step i stands at t = 1 - (i + 1)/T, so the last step is t = 0 and clean data is t = 1. Between
    steps log g is linear in t; between step 0 and data g itself is.
    """

    alphas_cumprod: tuple[float, ...]

    def __post_init__(self) -> None:
        table = self.alphas_cumprod
        if len(table) < 2 or any(not 0.0 < a < 1.0 for a in table):
            raise ValueError("alphas_cumprod needs two or more values, all between 0 and 1")
        if any(a <= b for a, b in itertools.pairwise(table)):
            raise ValueError("alphas_cumprod must decrease from step to step")

    def step_of(self, t: float) -> float:
        """Step on the table's scale, 0 to T-1; a whole number at trained times."""
        return (1.0 - t) * len(self.alphas_cumprod) - 1.0

    def _g(self, step: int) -> float:
        a = self.alphas_cumprod[step]
        return (1.0 - a) / a

    def at(self, t: float) -> Coefficients:
        size = len(self.alphas_cumprod)
        step = self.step_of(t)
        if step < 0.0:
            g, dg = self._g(0) * (step + 1.0), -self._g(0) * size
        else:
            low = min(int(step), size - 2)
            slope = math.log(self._g(low + 1) / self._g(low))
            g = self._g(low) * math.exp(slope * (step - low))
            dg = -g * slope * size
        alpha = 1.0 / math.sqrt(1.0 + g)
        d_alpha = -0.5 * alpha**3 * dg
        sigma = math.sqrt(g) * alpha
        return Coefficients(alpha, sigma, d_alpha, -alpha * d_alpha / sigma if sigma else -math.inf)

    def time_of(self, g: float) -> float:
        size = len(self.alphas_cumprod)
        if g <= self._g(0):
            return 1.0 - g / self._g(0) / size
        above = bisect.bisect_left(range(size), g, key=self._g)
        low = min(above, size - 1) - 1
        slope = math.log(self._g(low + 1) / self._g(low))
        step = low + math.log(g / self._g(low)) / slope if math.isfinite(g) else size - 1
        return max(0.0, 1.0 - (step + 1.0) / size)

    def snap(self, times: Sequence[float], after: float, before: float) -> list[float]:
        highest = min(math.ceil(self.step_of(after) - 1e-6) - 1, len(self.alphas_cumprod) - 1)
        lowest = max(math.floor(self.step_of(before) + 1e-6) + 1, 0)
        if highest - lowest + 1 < len(times):
            raise TooFewTimes(
                f"{len(times)} network calls are asked for between t={after:.3g} and"
                f" t={before:.3g}, where the model was trained at {highest - lowest + 1} times;"
                " use fewer steps or transitions that lie further apart"
            )
        steps = [round(self.step_of(t)) for t in times]
        for i in range(len(steps)):
            steps[i] = min(steps[i], steps[i - 1] - 1 if i else highest)
        for i in reversed(range(len(steps))):
            steps[i] = max(steps[i], steps[i + 1] + 1 if i + 1 < len(steps) else lowest)
        return [1.0 - (step + 1.0) / len(self.alphas_cumprod) for step in steps]


def denoiser_from_velocity(path: Path, t: float, x: Tensor, u: Tensor) -> Tensor:
    """D_t(x) = E[z | x_t = x] from the velocity u = E[d_alpha z + d_sigma eps | x_t = x]."""
    alpha, sigma, d_alpha, d_sigma = path.at(t)
    return (sigma * u - d_sigma * x) / (d_alpha * sigma - alpha * d_sigma)


def velocity_from_denoiser(path: Path, t: float, x: Tensor, z: Tensor) -> Tensor:
    """The velocity from D_t(x); sigma_t must not be 0."""
    alpha, sigma, d_alpha, d_sigma = path.at(t)
    return d_alpha * z + d_sigma * (x - alpha * z) / sigma


def denoiser_from_epsilon(path: Path, t: float, x: Tensor, eps: Tensor) -> Tensor:
    """D_t(x) from the predicted noise; alpha_t must not be 0."""
    alpha, sigma, _, _ = path.at(t)
    return (x - sigma * eps) / alpha


def epsilon_from_denoiser(path: Path, t: float, x: Tensor, z: Tensor) -> Tensor:
    """E[eps | x_t = x] from D_t(x); sigma_t must not be 0."""
    alpha, sigma, _, _ = path.at(t)
    return (x - alpha * z) / sigma


def denoiser_from_v(path: Path, t: float, x: Tensor, v: Tensor) -> Tensor:
    """D_t(x) from v = alpha eps - sigma z (Salimans & Ho, arXiv 2202.00512), on a VP path."""
    alpha, sigma, _, _ = path.at(t)
    return alpha * x - sigma * v


def v_from_denoiser(path: Path, t: float, x: Tensor, z: Tensor) -> Tensor:
    """v from D_t(x) on a VP path; sigma_t must not be 0."""
    alpha, sigma, _, _ = path.at(t)
    return (alpha * x - z) / sigma


def score_from_denoiser(path: Path, t: float, x: Tensor, z: Tensor) -> Tensor:
    """grad_x log p_t(x) from D_t(x); sigma_t must not be 0."""
    alpha, sigma, _, _ = path.at(t)
    return (alpha * z - x) / (sigma * sigma)
