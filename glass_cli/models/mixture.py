"""Closed forms for a mixture of isotropic Gaussians: density, denoiser, posterior, tilt."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from glass_cli.method.path import Path


@dataclass(frozen=True)
class Mixture:
    """sum_j w_j N(m_j, c_j^2 I), float64; leading dimensions are a batch of mixtures.

    log_w: logarithms of the weights w_j, which sum to 1, (..., J).
    means: m_j, (..., J, d).
    stds: c_j, above 0, (..., J).
    """

    log_w: Tensor
    means: Tensor
    stds: Tensor

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x) in nats for x (..., d)."""
        return self._log_joint(x, 1.0, 0.0).logsumexp(-1)

    def _log_joint(self, x: Tensor, alpha: float, sigma: float) -> Tensor:
        """log w_j N(x; alpha m_j, (alpha^2 c_j^2 + sigma^2) I): (..., J)."""
        d = self.means.shape[-1]
        var = alpha**2 * self.stds**2 + sigma**2
        square = (x.unsqueeze(-2) - alpha * self.means).square().sum(-1)
        return self.log_w - 0.5 * (square / var + d * torch.log(2 * math.pi * var))

    def posterior(self, path: Path, x: Tensor, t: float) -> Mixture:
        """p(z | x_t = x) for x (N, d): a batch of N mixtures."""
        alpha, sigma, _, _ = path.at(t)
        var = self.stds**2
        total = alpha**2 * var + sigma**2
        log_w = self._log_joint(x, alpha, sigma).log_softmax(-1)
        shift = (alpha * var / total)[..., None] * (x.unsqueeze(-2) - alpha * self.means)
        return Mixture(
            log_w, self.means + shift, (sigma * self.stds / total.sqrt()).expand_as(log_w)
        )

    def mean(self) -> Tensor:
        """E[z]: (..., d)."""
        return (self.log_w.softmax(-1)[..., None] * self.means).sum(-2)

    def denoise(self, path: Path, x: Tensor, t: float) -> Tensor:
        """D_t(x) = E[z | x_t = x] for x (N, d)."""
        return self.posterior(path, x, t).mean()

    def sample(self, noise: Tensor, uniform: Tensor) -> Tensor:
        """Exact draws from standard normal ``noise`` (..., d) and ``uniform`` (...) in [0, 1)."""
        cumulative = self.log_w.softmax(-1).cumsum(-1)
        j = (uniform.unsqueeze(-1) >= cumulative).sum(-1).clamp(max=cumulative.shape[-1] - 1)
        if self.means.dim() == 2:
            return self.means[j] + self.stds[j][..., None] * noise
        pick = j[..., None, None].expand(*j.shape, 1, self.means.shape[-1])
        means = self.means.gather(-2, pick).squeeze(-2)
        return means + self.stds.gather(-1, j[..., None]) * noise

    def tilt(self, direction: Tensor) -> tuple[Mixture, Tensor]:
        """The mixture proportional to p(z) exp(a . z), and log E[exp(a . z)], for a (d,)."""
        var = self.stds**2
        log_z = self.means @ direction + 0.5 * var * direction.square().sum()
        log_w = self.log_w.log_softmax(-1) + log_z
        means = self.means + var[..., None] * direction
        return Mixture(log_w.log_softmax(-1), means, self.stds), log_w.logsumexp(-1)
