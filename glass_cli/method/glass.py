"""GLASS transitions: stochastic Markov transitions of a pre-trained flow by an inner ODE.

GLASS Flows, arXiv 2509.25170. Between x_t and x_t' with correlation rho,

    gamma = rho sigma_t'/sigma_t,  abar = alpha_t' - gamma alpha_t,  sbar = sigma_t' sqrt(1-rho^2),

the inner path is xbar_s = A_s z + gamma x_t + S_s eps with A_s = s abar, S_s = (1-s) + s sbar. Its
denoiser needs only the pre-trained one: x_t and y_s = xbar_s - gamma x_t are independent looks at
z, whose sufficient statistic is the model's own input at an effective time t*.
"""

from __future__ import annotations

import itertools
import math
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from glass_cli.method import times as outer
from glass_cli.method.flow import Flow, Normal, Sampler
from glass_cli.method.integrate import Node, sine_steps, solve
from glass_cli.method.path import Path
from glass_cli.method.times import Times

if TYPE_CHECKING:
    from torch import Tensor


Value = Literal["ddpm"] | float
Rho = Value | tuple[tuple[float, Value], ...]
Inner = Literal["snr", "s", "times"]


def check_rho(rho: object) -> Rho:
    """A sampler's ``rho`` setting, as tuples where it is a list of times and values.

    Raises ValueError for anything but "ddpm", a number from -1 to 1, or pairs of time and one of
    these whose times rise from 0 and stay below 1.
    """
    if isinstance(rho, (str, float, int)) or not isinstance(rho, Sequence):
        return _check_value(rho)
    pairs = []
    for pair in rho:
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise ValueError(
                f"sampler.rho must be ddpm, a number from -1 to 1, or pairs of a time and one of"
                f" these such as [[0,ddpm],[0.3,0.4]] (got {rho})"
            )
        pairs.append((pair[0], _check_value(pair[1])))
    times = [time for time, _ in pairs]
    if any(isinstance(time, bool) or not isinstance(time, (int, float)) for time in times):
        raise ValueError(f"sampler.rho must have numbers as times (got {times})")
    if not times or times[0] != 0.0 or not all(a < b for a, b in itertools.pairwise([*times, 1.0])):
        raise ValueError(f"sampler.rho must have times that rise from 0, below 1 (got {times})")
    return tuple((float(time), value) for time, value in pairs)


def _check_value(value: object) -> Value:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        if value != "ddpm":
            raise ValueError(f"sampler.rho must be ddpm or a number from -1 to 1 (got {value})")
        return "ddpm"
    if not -1.0 <= value <= 1.0:
        raise ValueError(f"sampler.rho must lie between -1 and 1 (got {value})")
    return float(value)


def correlation(path: Path, t: float, t_next: float, rho: Rho, kappa: float = 1.0) -> float:
    """rho of a transition: correlation of the noise of x_t and x_t', given z.

    rho: a constant from -1 to 1, or "ddpm" for (alpha sigma' / (sigma alpha')) ** kappa, with which
        kappa = 1 is the memoryless time reversal (arXiv 2509.25170; other kappa beyond the paper);
        or pairs (time, one of these), each from its time on: that where the transition's middle
        lies (beyond the paper; the marginals are kept whatever rho is where).
    kappa: 0 or more; not used beside a constant.
    """
    if isinstance(rho, tuple):
        middle = 0.5 * (t + t_next)
        value = next(value for time, value in reversed(rho) if time <= middle)
    else:
        value = rho
    if not isinstance(value, str):
        return value
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
        """A_s and S_s."""
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

    def scale(self, shift: float) -> float:
        """The unit r, of the inner signal-to-noise ratio A/S, by which calls and z_hat are spread.

        1/sqrt(4 p_0 + 2/shift^2): y_s tells as much of z as x_t does at A/S = sqrt(p_0), and half
        of 1/sqrt(p_0) was best of a quarter to all of it, late in the way, and as the optimum is
        broad one unit serves grid and solver (docs/bench.md, figure b). Beyond the paper.

        shift: of the model's schedule, above 0: the coarse scale of its data in units of noise.
        """
        return 1.0 / math.sqrt(4.0 * (self.alpha / self.sigma) ** 2 + 2.0 / shift**2)

    def grid(self, steps: int, inner: Inner, shift: float) -> list[float]:
        """``steps`` + 1 values of s from 0 to 1.

        On a discrete path every evaluation is moved to a time that the model was trained on,
        exactly.

        steps: network calls, 1 or more.
        inner: "snr" for uniform in nu/(1 + nu), nu = r A/S with r of :meth:`scale`; "s" for uniform
            in s; "times" for effective times along the model's schedule.
        shift: of that schedule, above 0.
        """
        start, end = self.effective_time(0.0), self.effective_time(1.0)
        # a path from pure noise may begin before the model's first time, which holds some data
        first = self.s_of(start) if self.alpha == 0.0 else 0.0
        if inner == "times":
            within = None
            wanted = outer.spaced_times(start, end, steps, shift)[1:-1]
        else:
            within = (
                [i / steps for i in range(1, steps)]
                if inner == "s"
                else self._even_in_snr(first, steps, self.scale(shift))
            )
            wanted = [self.effective_time(s) for s in within]
        snapped = self.path.snap(wanted, start, end)
        if within is None or snapped != wanted:  # s_of(effective_time(s)) would round
            within = [self.s_of(t) for t in snapped]
        return [first, *within, 1.0]

    def _even_in_snr(self, first: float, steps: int, r: float) -> list[float]:
        """The s between ``first`` and 1 that cut nu/(1 + nu), nu = r A/S, in equal parts."""
        ends = [r * A / (S + r * A) for A, S, _ in (self.node(first), self.node(1.0))]
        shares = [ends[0] + (ends[1] - ends[0]) * i / steps for i in range(1, steps)]
        return [u / (r * self.abar * (1.0 - u) + u * (1.0 - self.sbar)) for u in shares]


@dataclass(frozen=True)
class Glass(Sampler):
    """GLASS transitions by a deterministic inner ODE (GLASS Flows, arXiv 2509.25170).

    transitions: K, 1 or more.
    steps: M, inner network calls in each transition, 1 or more; None: given from outside.
    rho: correlation of the noise of x_t and x_t', see :func:`correlation`: "ddpm", the memoryless
        time reversal's, or a constant from -1 to 1 (0.4 in the paper's FLUX runs; 1 is not the
        ODE); or pairs of a time and one of these, as ((0, "ddpm"), (0.3, 0.4)): each from its time
        on.
    kappa: power of the DDPM correlation, 0 or more.
    order: 1 is the paper's Euler step; 2 extrapolates z_hat from the last two calls, at no extra
        call (beyond the paper, see :mod:`glass_cli.method.integrate`).
    times: where transitions end, see :mod:`glass_cli.method.times`.
    inner: where the inner calls lie, see :meth:`InnerPath.grid`: by the inner path's
        signal-to-noise ratio beside that of x_t ("snr", beyond the paper), uniform in "s" (the
        paper's), or at effective "times" along the model's own schedule.
    """

    transitions: int = 5
    steps: int | None = None
    rho: Rho = "ddpm"
    kappa: float = 1.0
    order: Literal[1, 2] = 2
    times: Times = "schedule"
    inner: Inner = "snr"

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", outer.check_times(self.times, self.transitions))
        outer.check_steps(self.steps)
        object.__setattr__(self, "rho", check_rho(self.rho))
        if not self.kappa >= 0.0:
            raise ValueError(f"sampler.kappa must be 0 or more (got {self.kappa})")
        if self.order not in (1, 2):
            raise ValueError(f"sampler.order must be 1 or 2 (got {self.order})")
        if self.inner not in typing.get_args(Inner):
            raise ValueError(f"sampler.inner must be snr, s or times (got {self.inner})")

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
        steps = sine_steps(nodes[first:], inner.scale(flow.shift))
        return inner.gamma * x + solve(steps, y, x_hat, z_hat, self.order)
