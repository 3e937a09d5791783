"""GLASS transitions: stochastic Markov transitions of a pre-trained flow by an inner ODE.

GLASS Flows, arXiv 2509.25170. Between x_t and x_t' with correlation rho,

    gamma = rho sigma_t'/sigma_t,  abar = alpha_t' - gamma alpha_t,  sbar = sigma_t' sqrt(1-rho^2),

the inner path is xbar_s = A_s z + gamma x_t + S_s eps with A_s = s abar, S_s = (1-s) + s sbar. Its
denoiser needs only the pre-trained one: x_t and y_s = xbar_s - gamma x_t are independent looks at
z, whose sufficient statistic is the model's own input at an effective time t*.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from glass_cli.method import times as outer
from glass_cli.method.flow import Flow, Normal, Sampler
from glass_cli.method.integrate import Node, solve
from glass_cli.method.path import Path
from glass_cli.method.times import Times

if TYPE_CHECKING:
    from torch import Tensor


def correlation(path: Path, t: float, t_next: float, rho: float | str, kappa: float = 1.0) -> float:
    """rho of a transition: correlation of the noise of x_t and x_t', given z.

    rho: a constant from -1 to 1, or "ddpm" for (alpha sigma' / (sigma alpha')) ** kappa, with which
        kappa = 1 is the memoryless time reversal (arXiv 2509.25170; other kappa beyond the paper).
    kappa: 0 or more; not used beside a constant.
    """
    if not isinstance(rho, str):
        return rho
    alpha, sigma, _, _ = path.at(t)
    alpha_next, sigma_next, _, _ = path.at(t_next)
    return float((alpha * sigma_next / (sigma * alpha_next)) ** kappa)


@dataclass(frozen=True)
class InnerPath:
    """The inner path of one transition (arXiv 2509.25170); everything a float.

    path: of the model.
    alpha, sigma: its coefficients at t, where the transition begins.
    gamma: rho sigma_t'/sigma_t, the share of x_t that x_t' keeps.
    abar: alpha_t' - gamma alpha_t, the weight of z at the end.
    sbar: sigma_t' sqrt(1 - rho^2), the noise at the end.
    """

    path: Path
    alpha: float
    sigma: float
    gamma: float
    abar: float
    sbar: float

    @classmethod
    def between(cls, path: Path, t: float, t_next: float, rho: float) -> InnerPath:
        """From x_t to x_t', 0 <= t < t' <= 1, whose noises have correlation ``rho``."""
        alpha, sigma, _, _ = path.at(t)
        alpha_next, sigma_next, _, _ = path.at(t_next)
        gamma = rho * sigma_next / sigma
        sbar = sigma_next * math.sqrt(1.0 - rho * rho)
        return cls(path, alpha, sigma, gamma, alpha_next - gamma * alpha, sbar)

    @classmethod
    def from_noise(cls, path: Path) -> InnerPath:
        """The whole way from t=0 to t=1 in one transition.

        Noise tells nothing of z (a discrete-time model's first time only nearly so), and x_1 keeps
        nothing of x_0: x_0 is itself the noise that the inner path begins with, and the transition
        is the probability-flow ODE.
        """
        return cls(path, 0.0, 1.0, 0.0, 1.0, 0.0)

    def node(self, s: float) -> Node:
        """A_s and S_s; z_hat is extrapolated in s."""
        return Node(s * self.abar, 1.0 - s + s * self.sbar, s)

    def precision(self, s: float) -> float:
        """p_s of z given x_t and y_s; infinite where S_s is 0."""
        A, S, _ = self.node(s)
        return (self.alpha / self.sigma) ** 2 + ((A / S) ** 2 if S > 0.0 else math.inf)

    def effective_time(self, s: float) -> float:
        """t*_s, the time at which the pre-trained model sees x_t and y_s together."""
        p = self.precision(s)
        return self.path.time_of(1.0 / p if p > 0.0 else math.inf)

    def s_of(self, t_star: float) -> float:
        """The s in [0, 1] whose effective time is ``t_star``."""
        alpha, sigma, _, _ = self.path.at(t_star)
        extra = (alpha / sigma) ** 2 - (self.alpha / self.sigma) ** 2
        q = math.copysign(math.sqrt(max(extra, 0.0)), self.abar)
        return q / (self.abar + q * (1.0 - self.sbar))

    def query(self, x: Tensor, y: Tensor, s: float) -> tuple[Tensor, float]:
        """The model's input alpha* m_s and the time t* at which to ask for z_hat, 0 < s < 1."""
        A, S, _ = self.node(s)
        p = self.precision(s)
        t_star = self.path.time_of(1.0 / p)
        scale = self.path.at(t_star).alpha / p
        return (scale * self.alpha / self.sigma**2) * x + (scale * A / S**2) * y, t_star

    def split(self, x_star: Tensor, s: float, eps: Tensor) -> tuple[Tensor, Tensor]:
        """x_t and y_s drawn given the model's input ``x_star`` = alpha* m_s, with noise ``eps``.

        m_s is all that both tell of z, so x_t given m_s is N(alpha m_s, sigma^2 - alpha^2 / p_s)
        whatever z; and x_t and m_s give y_s.
        """
        A, S, _ = self.node(s)
        p = self.precision(s)
        m = x_star / self.path.at(self.path.time_of(1.0 / p)).alpha
        x = self.alpha * m + math.sqrt(self.sigma**2 - self.alpha**2 / p) * eps
        return x, (p * m - self.alpha / self.sigma**2 * x) * (S * S / A)

    def grid(self, steps: int, inner: str, shift: float) -> list[float]:
        """``steps`` + 1 values of s from 0 to 1.

        On a discrete path every evaluation is moved to a time that the model was trained on,
        exactly.

        steps: network calls, 1 or more.
        inner: "s" for uniform in s, "times" for effective times along the model's schedule.
        shift: of that schedule, above 0.
        """
        start, end = self.effective_time(0.0), self.effective_time(1.0)
        uniform = [i / steps for i in range(steps + 1)]
        if inner == "times":
            wanted = outer.spaced_times(start, end, steps, shift)[1:-1]
        else:
            wanted = [self.effective_time(s) for s in uniform[1:-1]]
        snapped = self.path.snap(wanted, start, end)
        exact = inner == "s" and snapped == wanted  # s_of(effective_time(s)) would round
        within = uniform[1:-1] if exact else [self.s_of(t) for t in snapped]
        # a path from pure noise may begin before the model's first time, which holds some data
        first = self.s_of(start) if self.alpha == 0.0 else 0.0
        return [first, *within, 1.0]


@dataclass(frozen=True)
class Glass(Sampler):
    """GLASS transitions by a deterministic inner ODE (GLASS Flows, arXiv 2509.25170).

    transitions: K, 1 or more.
    steps: M, inner network calls in each transition, 1 or more; None: given from outside.
    rho: correlation of the noise of x_t and x_t', see :func:`correlation`: "ddpm", the memoryless
        time reversal's, or a constant from -1 to 1 (0.4 in the paper's FLUX runs); 1 is not the
        ODE.
    kappa: power of the DDPM correlation, 0 or more.
    order: 1 is the paper's Euler step; 2 extrapolates z_hat from the last two calls, at no extra
        call (beyond the paper; the idea of DPM-Solver++ 2M, arXiv 2211.01095).
    times: where transitions end, see :mod:`glass_cli.method.times`.
    inner: inner steps uniform in "s", or with effective "times" along the model's own schedule.
    """

    transitions: int = 5
    steps: int | None = None
    rho: Literal["ddpm"] | float = "ddpm"
    kappa: float = 1.0
    order: Literal[1, 2] = 2
    times: Times = "schedule"
    inner: Literal["s", "times"] = "s"

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", outer.check_times(self.times, self.transitions))
        outer.check_steps(self.steps)
        if isinstance(self.rho, str) and self.rho != "ddpm":
            raise ValueError(f"sampler.rho must be ddpm or a number from -1 to 1 (got {self.rho})")
        if not isinstance(self.rho, str) and not -1.0 <= self.rho <= 1.0:
            raise ValueError(f"sampler.rho must lie between -1 and 1 (got {self.rho})")
        if not self.kappa >= 0.0:
            raise ValueError(f"sampler.kappa must be 0 or more (got {self.kappa})")
        if self.order not in (1, 2):
            raise ValueError(f"sampler.order must be 1 or 2 (got {self.order})")

    def outer_times(self, flow: Flow) -> tuple[float, ...]:
        return outer.outer_times(self.times, self.transitions, flow.path, flow.shift)

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
        rho = correlation(flow.path, t, t_next, self.rho, self.kappa)
        whole_way = (t, t_next) == (0.0, 1.0)
        inner = (
            InnerPath.from_noise(flow.path)
            if whole_way
            else InnerPath.between(flow.path, t, t_next, rho)
        )
        grid = inner.grid(calls, self.inner, flow.shift)
        nodes = [inner.node(s) for s in grid]

        if whole_way:
            sigma = flow.path.at(inner.effective_time(grid[first])).sigma
            x, y = x.new_zeros(()), x * (nodes[first].S / sigma)
        elif first == 0:
            y = normal()
        else:
            x, y = inner.split(x, grid[first], normal())

        def z_hat(i: int, y: Tensor) -> Tensor:
            return flow.denoise(*inner.query(x, y, grid[first + i]))

        # at s = 0 the denoiser is D_t(x_t), whatever y_0
        return inner.gamma * x + solve(nodes[first:], y, x_hat, z_hat, self.order)
