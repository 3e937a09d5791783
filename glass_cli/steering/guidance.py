"""Reward guidance (GLASS Flows, arXiv 2509.25170): a flow whose denoiser leans towards the reward.

Where ``window`` holds t,

    D^r_t(x) = D_t(x) + beta sigma^2/alpha grad_x r(D_t(x)).

The gradient goes through the reward and the decoder, not through the network: its velocity u
counts as constant, so that D = (sigma u - d_sigma x) / (d_alpha sigma - alpha d_sigma) leaves

    grad_x r(D_t(x)) = -d_sigma / (d_alpha sigma - alpha d_sigma) * grad_z r(z) at z = D_t(x),

a factor of 1 on the straight path and of alpha on a variance-preserving one. A GLASS transition
asks the guided denoiser at (x*, t*), like any other, and so do the posterior draws of Feynman-Kac
values. Feynman-Kac weights do not take the guidance back: the law they tilt is the guided one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from glass_cli.method.flow import Flow, FlowAround
from glass_cli.method.path import Path

if TYPE_CHECKING:
    from torch import Tensor

Gradient = Callable[["Tensor"], "Tensor"]
"""grad_z r(z): clean particles (N, *shape) -> (N, *shape), each from its own reward alone."""

TimeWindow = tuple[float, float]


def check_window(window: object, key: str) -> TimeWindow:
    """``window`` as two times. Raises ValueError that names ``key``."""
    try:
        first, last = (float(t) for t in window)  # type: ignore[attr-defined]  # else below
    except (TypeError, ValueError):
        first, last = math.nan, math.nan
    if not 0.0 <= first <= last <= 1.0:
        shown = list(window) if isinstance(window, (list, tuple)) else window
        raise ValueError(f"{key} must be two times, 0 <= from <= to <= 1 (got {shown})")
    return first, last


def check_guidance(settings: Any) -> None:
    """Checks ``guidance`` and ``guidance_window`` of a frozen steering settings object."""
    if not (math.isfinite(settings.guidance) and settings.guidance >= 0.0):
        raise ValueError(
            f"steering.guidance must be a number of 0 or more (got {settings.guidance})"
        )
    window = check_window(settings.guidance_window, "steering.guidance_window")
    object.__setattr__(settings, "guidance_window", window)


def guidance_factor(path: Path, t: float) -> float:
    """sigma^2/alpha times dD/dx with the velocity held constant; 0 at t=0 where alpha is 0."""
    alpha, sigma, d_alpha, d_sigma = path.at(t)
    if alpha == 0.0 or sigma == 0.0:
        return 0.0
    slope = -d_sigma / (d_alpha * sigma - alpha * d_sigma)
    return sigma * sigma / alpha * slope


class Guided(FlowAround):
    """A flow with reward guidance at times within a window; outside of it nothing is computed.

    flow: whose network calls are made, no others.
    strength: beta, 0 or more, in units of 1/reward, since beta times the gradient has the
        unit of x.
    window: the first and the last time, from 0 to 1.
    gradient: of the reward of clean particles.
    """

    def __init__(self, flow: Flow, strength: float, window: TimeWindow, gradient: Gradient) -> None:
        super().__init__(flow)
        self._strength, self._gradient = strength, gradient
        self._first, self._last = window[0] - 1e-9, window[1] + 1e-9  # times are rounded

    def denoise(self, x: Tensor, t: float) -> Tensor:
        z = self._flow.denoise(x, t)
        if self._strength == 0.0 or not self._first <= t <= self._last:
            return z
        factor = self._strength * guidance_factor(self.path, t)
        return z + factor * self._gradient(z) if factor else z
