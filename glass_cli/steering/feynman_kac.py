"""Feynman-Kac steering (arXiv 2501.06848): a particle filter with the reward as potential."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from glass_cli.method.flow import Flow, Normal
from glass_cli.method.glass import Glass
from glass_cli.steering.base import Reward, Steering
from glass_cli.steering.guidance import check_guidance, check_window
from glass_cli.steering.sizes import AdaptiveSizes, changes, check_sizes, numbers, of_ess

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from glass_cli.steering.particles import Particles

Potential = Literal["difference", "max", "sum", "immediate"]
Tempering = Literal["constant", "linear", "ess"]
Resampling = Literal["systematic", "multinomial", "stratified", "residual", "ssp"]
Value = Literal["x_hat", "posterior"]
Select = Literal["reward", "draw"]
_WORDS = {
    "potential": get_args(Potential),
    "tempering": get_args(Tempering),
    "resampling": get_args(Resampling),
    "value": get_args(Value),
    "select": get_args(Select),
}


def log_potential(kind: Potential, past: Tensor, log_g: Tensor, r: Tensor, lam: float) -> Tensor:
    """log G_k (N,) before the end (arXiv 2501.06848).

    kind: "difference" lam_k r_k - lam_{k-1} r_{k-1} with r_0 = 0, "max" lam_k max_j r_j, "sum"
        lam_k sum_j r_j, "immediate" lam_k r_k.
    past: earlier rewards (k, N).
    log_g: the sum of log G so far (N,), which is lam_{k-1} r_{k-1} for "difference".
    r: the present rewards (N,).
    lam: inverse temperature lam_k, in units of 1/reward.
    """
    if kind == "difference":
        return lam * r - log_g
    if kind == "max":
        return lam * (r.maximum(past.amax(0)) if len(past) else r)
    if kind == "sum":
        return lam * (r + past.sum(0))
    return lam * r


def terminal_log_potential(log_g: Tensor, r: Tensor, lam: float) -> Tensor:
    """log G_K (N,), which makes the product of all potentials exp(lam r_K) for every kind.

    log_g: the sum of log G_k so far (N,).
    """
    return lam * r - log_g


def lam_of_ess(log_w: Tensor, exponent: Callable[[float], Tensor], lam: float, ess: float) -> float:
    """The largest lam_k of at most ``lam`` with an effective sample size of ``ess`` or more.

    log_w: normalised log-weights (N,) before.
    exponent: lam_k -> log-potential (N,).
    ess: from 1 to N. Where the weights before have less already, 0 is given.

    By bisection (adaptive tempering, Jasra et al., 10.1111/j.1467-9469.2010.00723.x).
    """

    def size(value: float) -> float:
        w = log_w + exponent(value)
        w = w - w.logsumexp(0)
        return float((-(2.0 * w).logsumexp(0)).exp())

    if size(lam) >= ess:
        return lam
    low, high = 0.0, lam
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if size(middle) >= ess else (low, middle)
    return low


def lam_of_spread(r: Tensor, strength: float) -> float | None:
    """lam = strength / (standard deviation of rewards ``r`` (N,) among the particles).

    None where they are equal up to rounding (float32 has 7 digits), as with a single particle.
    """
    spread = float(r.std(correction=0))
    return None if spread <= 1e-6 * float(r.abs().max()) else strength / spread


def lam_of_survivors(r: Tensor, share: float) -> float | None:
    """The lam whose weights exp(lam r) leave an effective sample size of ``share`` * N.

    Unlike :func:`lam_of_spread` it does not rest on a few rewards that lie far off: a single bad
    particle widens the spread, and does not change who survives. No lam leaves fewer than are
    equally best; then 5 % more than these are left. None where all rewards (N,) are equal.
    """
    unit = lam_of_spread(r, 1.0)
    if unit is None:
        return None
    equal = r.new_full((len(r),), -math.log(len(r)))
    best = int((r == r.max()).sum())
    wanted = max(share * len(r), 1.05 * best)
    return lam_of_ess(equal, lambda lam: lam * r, 1e6 * unit, wanted)


@dataclass(frozen=True)
class FeynmanKac(Steering):
    """Targets p(x_1) proportional to p_model(x_1) exp(lam r(x_1)) (arXiv 2501.06848).

    potential: what weighs the particles on the way, see :func:`log_potential`; for every kind the
        product of all potentials is exp(lam r(x_1)).
    lam: inverse temperature, 0 or more, in units of 1/reward; "auto" is ``lam_strength``
        over the standard deviation among the particles when rewards are first scored (beyond the
        papers). As long as all rewards are equal, those steps pass as if unscored.
    lam_strength: 0 or more, without unit.
    lam_survivors: in place of ``lam_strength``, the share of the particles that "auto" leaves
        effective when rewards are first scored, above 0, at most 1; see :func:`lam_of_survivors`.
    tempering: lam on the way: "constant"; "linear", lam t, which trusts x_hat the more the later it
        is; "ess", at each step the largest up to lam that leaves an effective sample size of
        ``tempering_ess`` * N. The end has lam in full, so that the law aimed at is the same.
    tempering_ess: above 0, at most 1.
    sizes: how many particles make each transition, see :mod:`glass_cli.steering.sizes`; fewer or
        more are drawn by their weights. "ess" decides by these; the calls that it saves make later
        transitions longer.
    resampling: see :mod:`glass_cli.steering.resampling`; the papers take "multinomial".
    ess_threshold: resample where ESS <= ess_threshold * N, from 0 (never) to 1 (always).
    window: the first and the last time at which rewards are scored, from 0 to 1.
    every: of the transitions that begin within the window, score before every so-many-th, 1 or
        more.
    value: rewards on the way are those of "x_hat" (no extra network call), or the log-mean-exp over
        draws of the "posterior" p(x_1 | x_t) by a GLASS transition.
    value_samples: draws a particle, 1 or more.
    value_steps: network calls of each, 1 or more; the first is that of x_hat.
    select: the answer is the particle of highest final "reward" (as the papers report), or a "draw"
        by weight, which is unbiased.
    guidance: strength of reward guidance, 0 or more, in units of 1/reward; 0 is off. The
        weights then tilt the guided law (see :mod:`glass_cli.steering.guidance`).
    guidance_window: the first and the last time at which it is applied, from 0 to 1.
    """

    needs_reward = True

    potential: Potential = "difference"
    lam: Literal["auto"] | float = "auto"
    lam_strength: float = 2.5
    lam_survivors: float | None = None
    tempering: Tempering = "constant"
    tempering_ess: float = 0.5
    sizes: AdaptiveSizes = None
    resampling: Resampling = "systematic"
    ess_threshold: float = 0.5
    window: tuple[float, float] = (0.0, 1.0)
    every: int = 1
    value: Value = "x_hat"
    value_samples: int = 4
    value_steps: int = 4
    select: Select = "reward"
    guidance: float = 0.0
    guidance_window: tuple[float, float] = (0.2, 0.7)

    def __post_init__(self) -> None:
        object.__setattr__(self, "window", check_window(self.window, "steering.window"))
        check_guidance(self)
        for name, words in _WORDS.items():
            if (word := getattr(self, name)) not in words:
                raise ValueError(f"steering.{name} must be one of {', '.join(words)} (got {word})")
        if isinstance(self.lam, str):
            if self.lam != "auto":
                raise ValueError(f"steering.lam must be auto or a number (got {self.lam})")
        elif not math.isfinite(self.lam) or self.lam < 0.0:
            raise ValueError(f"steering.lam must be a number of 0 or more (got {self.lam})")
        if not (math.isfinite(self.lam_strength) and self.lam_strength >= 0.0):
            raise ValueError(
                f"steering.lam_strength must be a number of 0 or more (got {self.lam_strength})"
            )
        if self.lam_survivors is not None:
            if not 0.0 < self.lam_survivors <= 1.0:
                raise ValueError(
                    "steering.lam_survivors must be above 0 and at most 1, or null (got"
                    f" {self.lam_survivors})"
                )
            if not isinstance(self.lam, str):
                raise ValueError(
                    f"steering.lam_survivors={self.lam_survivors} needs steering.lam=auto (lam is"
                    f" {self.lam})"
                )
        check_sizes(self.sizes, ("halving", "ess"))
        if not 0.0 < self.tempering_ess <= 1.0:
            raise ValueError(
                f"steering.tempering_ess must be above 0 and at most 1 (got {self.tempering_ess})"
            )
        if not 0.0 <= self.ess_threshold <= 1.0:
            raise ValueError(
                f"steering.ess_threshold must lie between 0 and 1 (got {self.ess_threshold})"
            )
        for name in ("every", "value_samples", "value_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"steering.{name} must be at least 1 (got {getattr(self, name)})")

    def scored(self, times: Sequence[float]) -> list[int]:
        """The transitions (from 0) before which x_hat is scored, of those between ``times``:
        within the window, and wherever the number of particles may change."""
        first, last = self.window[0] - 1e-9, self.window[1] + 1e-9  # times are rounded
        inside = [k for k, t in enumerate(times[:-1]) if k > 0 and first <= t <= last]
        changed = changes(numbers(self.sizes, len(times) - 1, 2 ** len(times)))
        return sorted({*inside[:: self.every], *changed})

    def sizes_of(self, transitions: int, particles: int) -> Sequence[int] | None:
        return numbers(self.sizes, transitions, particles)

    @property
    def adapts(self) -> bool:  # type: ignore[override]  # here the settings decide
        return self.sizes == "ess"

    def size_now(self, particles: Particles, start: int) -> int | None:
        return of_ess(particles.ess, start) if self.adapts else None

    def extra_calls(self) -> int:
        """Those of posterior values; each draw's first call is x_hat's."""
        return 0 if self.value == "x_hat" else self.value_samples * (self.value_steps - 1)

    def rewards(
        self, flow: Flow, particles: Particles, t: float, reward: Reward, normal: Normal
    ) -> Tensor:
        """The reward on the way (N,): r(x_hat), or (1/lam) log mean exp(lam r(z)), z ~ p(.|x_t).

        Before lam=auto has found its lam the latter is mean r(z), its limit at lam = 0.
        """
        import torch

        lam = particles.lam if isinstance(self.lam, str) else self.lam
        if self.value == "x_hat" or lam == 0.0:
            return reward(particles.x_hat)
        # with few calls from t to 1, steps even in s leave too little spread
        posterior, x, x_hat = Glass(transitions=1, inner="times"), particles.x, particles.x_hat
        draws = torch.stack(
            [
                reward(posterior.transition(flow, x, x_hat, t, 1.0, normal, self.value_steps))
                for _ in range(self.value_samples)
            ]
        )
        if lam is None:
            return draws.mean(0)
        return ((lam * draws).logsumexp(0) - math.log(len(draws))) / lam

    def _found(self, r: Tensor) -> float | None:
        """What "auto" becomes by the first rewards (N,)."""
        if self.lam_survivors is None:
            return lam_of_spread(r, self.lam_strength)
        return lam_of_survivors(r, self.lam_survivors)

    def _with_lam(self, particles: Particles, r: Tensor) -> tuple[Particles, float | None]:
        """The particles with their lam, which rewards ``r`` (N,) decide where none is known."""
        lam = particles.lam
        if lam is None:
            lam = self._found(r) if isinstance(self.lam, str) else self.lam
        return replace(particles, lam=lam), lam

    def weigh(self, particles: Particles, r: Tensor) -> Particles:
        """Multiplies in the potential of rewards ``r`` (N,) scored on the way."""
        particles, lam = self._with_lam(particles, r)
        if lam is None:
            return particles

        def potential(value: float) -> Tensor:
            return log_potential(self.potential, particles.past, particles.log_g, r, value)

        if self.tempering == "linear":
            lam *= particles.t
        elif self.tempering == "ess":
            wanted = max(1.0, self.tempering_ess * len(r))
            lam = lam_of_ess(particles.log_w, potential, lam, wanted)
        return particles.weighted(r, potential(lam))

    def ancestors(self, particles: Particles, u: Tensor, size: int) -> Tensor | None:
        """Ancestors (``size``,) drawn with uniforms ``u``, or None where the weights carry over."""
        from glass_cli.steering.resampling import SCHEMES

        n = len(particles.log_w)
        # tempering by ESS stops where ESS is the threshold, up to rounding
        most = self.ess_threshold * n * (1.0 + 1e-9)
        kept = self.ess_threshold < 1.0 and particles.ess > most
        if size == n and kept:
            return None
        return SCHEMES[self.resampling](particles.log_w.exp(), u, size)

    def finish(self, particles: Particles, r: Tensor) -> Particles:
        """Multiplies in the terminal potential of the final rewards ``r`` (N,)."""
        particles, lam = self._with_lam(particles, r)
        if lam is None:
            particles, lam = replace(particles, lam=0.0), 0.0
        return particles.weighted(r, terminal_log_potential(particles.log_g, r, lam))

    def choose(self, particles: Particles, r: Tensor | None, u: Tensor) -> int | None:
        """The answer's index: highest final reward, or a draw by weight with ``u`` (1,)."""
        from glass_cli.steering.resampling import multinomial

        if self.select == "reward" and r is not None:
            return int(r.argmax())
        return int(multinomial(particles.log_w.exp(), u, 1)[0])
