"""The particles of one prompt on their way from noise to data."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Particles:
    """N particles and everything that must move with them when they are resampled.

    x: x_t, (N, *shape), on the model's device.
    x_hat: D_t(x), (N, *shape).
    log_w: log-weights (N,), normalised: their exponentials sum to 1.
    past: the rewards scored so far, (k, N).
    log_g: accumulated log-potentials (N,).
    lineage: each particle's ancestor at t=0, (N,).
    log_normaliser: estimate of log E[exp(lam r)] so far, sum of log mean w.
    lam: what rewards are multiplied by; None until one has weighed.
    t: the time at which they are, from 0 (noise) to 1 (data).

    All but ``x`` and ``x_hat`` live on the CPU, in float64.
    """

    x: Tensor
    x_hat: Tensor
    log_w: Tensor
    past: Tensor
    log_g: Tensor
    lineage: Tensor
    log_normaliser: float = 0.0
    lam: float | None = None
    t: float = 0.0

    @classmethod
    def at_start(cls, x: Tensor, x_hat: Tensor) -> Particles:
        """Equal weights, nothing scored; everyone is its own ancestor."""
        n = len(x)
        flat = -torch.log(torch.full((n,), float(n), dtype=torch.float64))
        zeros = torch.zeros(n, dtype=torch.float64)
        past = torch.zeros((0, n), dtype=torch.float64)
        return cls(x, x_hat, flat, past, zeros, torch.arange(n))

    @property
    def ess(self) -> float:
        """Effective sample size 1 / sum W^2, from 1 to N."""
        return float(torch.exp(-(2.0 * self.log_w).logsumexp(0)))

    @property
    def lineages(self) -> int:
        """How many of the particles at t=0 still have descendants."""
        return len(self.lineage.unique())

    def weighted(self, rewards: Tensor, log_potential: Tensor) -> Particles:
        """After a potential (N,): weights multiplied, the log-normaliser moved along."""
        log_w = self.log_w + log_potential
        total = log_w.logsumexp(0)
        return replace(
            self,
            log_w=log_w - total,
            past=self.scored(rewards).past,
            log_g=self.log_g + log_potential,
            log_normaliser=self.log_normaliser + float(total),
        )

    def scored(self, rewards: Tensor) -> Particles:
        """After rewards (N,) that weigh nothing."""
        return replace(self, past=torch.cat([self.past, rewards[None]]))

    def resampled(self, ancestors: Tensor) -> Particles:
        """Copies of the ``ancestors`` (M,), with equal weights; M may differ from N."""
        there = ancestors.to(self.x.device)
        return replace(
            self,
            x=self.x[there],
            x_hat=self.x_hat[there],
            log_w=self.log_w.new_full((len(ancestors),), -math.log(len(ancestors))),
            past=self.past[:, ancestors],
            log_g=self.log_g[ancestors],
            lineage=self.lineage[ancestors],
        )
