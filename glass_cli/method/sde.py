"""The memoryless time-reversal SDE, discretised as in the paper and in its ancestral form."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from glass_cli.method import times as outer
from glass_cli.method.flow import Flow, Normal, Sampler
from glass_cli.method.glass import InnerPath, correlation
from glass_cli.method.ode import model_times
from glass_cli.method.path import (
    score_from_denoiser,
    velocity_from_denoiser,
)
from glass_cli.method.times import Times

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Sde(Sampler):
    """The memoryless time reversal ("DDPM"), in steps of one network call.

    transitions: K, 1 or more.
    steps: M, network calls in each transition, 1 or more; None: given from outside.
    method: "euler_maruyama" steps dx = [u + nu^2/2 score] dt + nu dW with
        nu^2 = 2 (d_alpha/alpha sigma^2 - sigma d_sigma), the last step without noise (what arXiv
        2509.25170 compares with); "ancestral" draws x_t' from p(x_t' | x_t, z = z_hat) (DDPM, arXiv
        2006.11239), finite everywhere.
    times: where transitions end, see :mod:`glass_cli.method.times`.
    start: of Euler-Maruyama, whose nu diverges at t=0: the share of its first step at which it
        takes up the noise, between 0 and 1.
    grid: the times of all network calls, rising from 0, in place of the schedule, for times that
        are among them.
    """

    transitions: int = 5
    steps: int | None = None
    method: Literal["euler_maruyama", "ancestral"] = "euler_maruyama"
    times: Times = "schedule"
    start: float = 0.75
    grid: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", outer.check_times(self.times, self.transitions))
        outer.check_steps(self.steps)
        if self.method not in ("euler_maruyama", "ancestral"):
            raise ValueError(
                f"sampler.method must be euler_maruyama or ancestral (got {self.method})"
            )
        if not 0.0 < self.start < 1.0:
            raise ValueError(f"sampler.start must lie between 0 and 1 (got {self.start})")

    def outer_times(self, flow: Flow) -> tuple[float, ...]:
        return outer.outer_times(self.times, self.transitions, flow.path, flow.shift)

    def first_time(self, flow: Flow, t: float, t_next: float, calls: int) -> float:
        if self.method != "euler_maruyama" or flow.path.at(t).alpha > 0.0:
            return t
        return self.start * model_times(flow, t, t_next, calls, self._own, self.grid)[1]

    @property
    def _own(self) -> bool:
        return self.times == "schedule"

    def transition(
        self,
        flow: Flow,
        x: Tensor,
        x_hat: Tensor,
        t: float,
        t_next: float,
        normal: Normal,
        calls: int,
        first: int = 0,
    ) -> Tensor:
        grid = model_times(flow, t, t_next, calls, self._own, self.grid)[first:]
        step = self._euler_maruyama if self.method == "euler_maruyama" else self._ancestral
        z = x_hat
        for i, (here, there) in enumerate(itertools.pairwise(grid)):
            if i > 0:
                z = flow.denoise(x, here)
            x = step(flow, x, z, here, there, normal)
        return x

    @staticmethod
    def _euler_maruyama(
        flow: Flow, x: Tensor, z: Tensor, t: float, t_next: float, normal: Normal
    ) -> Tensor:
        alpha, sigma, d_alpha, d_sigma = flow.path.at(t)
        nu2 = 2.0 * (d_alpha / alpha * sigma * sigma - sigma * d_sigma)
        u = velocity_from_denoiser(flow.path, t, x, z)
        drift = u + 0.5 * nu2 * score_from_denoiser(flow.path, t, x, z)
        dt = t_next - t
        mean = x + dt * drift
        return mean if t_next == 1.0 else mean + math.sqrt(nu2 * dt) * normal()

    @staticmethod
    def _ancestral(
        flow: Flow, x: Tensor, z: Tensor, t: float, t_next: float, normal: Normal
    ) -> Tensor:
        inner = InnerPath.between(flow.path, t, t_next, correlation(flow.path, t, t_next, "ddpm"))
        mean = inner.gamma * x + inner.abar * z
        return mean if inner.sbar == 0.0 else mean + inner.sbar * normal()
