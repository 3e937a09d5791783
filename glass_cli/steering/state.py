"""What a steered run yields and counts."""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from glass_cli.method.flow import Flow, FlowAround
from glass_cli.steering.particles import Particles


class NotFinite(ArithmeticError):
    """A reward or a particle became NaN or infinite."""


@dataclass(frozen=True)
class Step:
    """The state after everything that happens at time ``t``, before the next transition.

    k: the number of the transition that begins here, K at the end.
    t: from 0 (noise) to 1 (data).
    particles: as they go on, resampled where they were.
    rewards: those scored here (N,), in the order before resampling; None where none were.
    log_w: normalised log-weights (N,) before resampling.
    ess: their effective sample size, from 1 to N.
    ancestors: whom each particle became a copy of (N,); None where nobody was resampled.
    nfe: network calls of all particles so far.
    chosen: the answer's index, at the end; None where the steering chooses none.
    """

    k: int
    t: float
    particles: Particles
    rewards: Tensor | None
    log_w: Tensor
    ess: float
    ancestors: Tensor | None
    nfe: int
    chosen: int | None = None

    def cpu(self) -> Step:
        """The same with its particles on the CPU."""
        now = self.particles
        return replace(self, particles=replace(now, x=now.x.cpu(), x_hat=now.x_hat.cpu()))


class CountedFlow(FlowAround):
    """A flow that counts its network calls, one for each particle."""

    def __init__(self, flow: Flow) -> None:
        super().__init__(flow)
        self.calls = 0

    def denoise(self, x: Tensor, t: float) -> Tensor:
        self.calls += len(x)
        return self._flow.denoise(x, t)


def finite(values: Tensor, what: str, k: int, t: float) -> Tensor:
    """``values`` (N,) on the CPU in float64. Raises NotFinite that says ``what`` they are."""
    values = values.detach().to("cpu", torch.float64)
    bad = (~values.isfinite()).nonzero()
    if len(bad):
        n = int(bad[0])
        raise NotFinite(f"{what} of particle {n} is {float(values[n])} at step {k} (t={t:.3g})")
    return values


def particle_number(chosen: object, n: int, steering: object) -> int | None:
    """What a steering chose of ``n`` particles: a number from 0 on, or None. Raises ValueError."""
    if chosen is None:
        return None
    try:
        number = operator.index(chosen)  # type: ignore[arg-type]  # which is what is asked
    except TypeError:
        number = -1
    if not 0 <= number < n:
        kind = type(steering)
        raise ValueError(
            f"{kind.__module__}.{kind.__qualname__}.choose() gave {chosen!r}; it must give a"
            f" particle's number, from 0 to {n - 1}, or None"
        )
    return number


def scores(r: Tensor, n: int, k: int, t: float) -> Tensor:
    """A reward's result as (N,) on the CPU in float64."""
    try:
        r = torch.as_tensor(r)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"the reward gave a {type(r).__name__}; it must give a tensor of {n} scores"
        ) from None
    if r.shape != (n,):
        raise ValueError(
            f"the reward gave scores of shape {tuple(r.shape)} for {n} particles; it must give one"
            f" each: ({n},)"
        )
    return finite(r, "the reward", k, t)
