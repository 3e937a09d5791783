"""diffusers' schedulers of each prediction, ours on them, and steps on outputs drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler
from torch import Tensor

BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def ddim(kind: str, **more: Any) -> Any:
    """Stable Diffusion's times as the sampler takes them: from the last one, down to clean data."""
    return DDIMScheduler(
        **BETAS, prediction_type=kind, timestep_spacing="trailing", clip_sample=False, **more
    )


def flow(shift: float = 1.0) -> Any:
    return FlowMatchEulerDiscreteScheduler(shift=shift)


VENDORS: dict[str, Callable[[], Any]] = {
    "flow": flow,
    "shifted flow": lambda: flow(3.0),
    "epsilon": lambda: ddim("epsilon"),
    "v": lambda: ddim("v_prediction"),
    "sample": lambda: EulerDiscreteScheduler(**BETAS, prediction_type="sample"),
}


SAMPLERS: dict[str, dict[str, Any]] = {
    "glass": {},
    "glass first order": {"order": 1},
    "glass rho 0.4": {"rho": 0.4},
    "glass own times": {"inner": "times", "times": "uniform"},
    "ode": {"sampler": "ode"},
    "sde": {"sampler": "sde"},
}


def run(scheduler: Any, outputs: list[Tensor], x: Tensor, **words: Any) -> Tensor:
    for out, t in zip(outputs, scheduler.timesteps, strict=True):
        x = scheduler.step(out, t, x, return_dict=False, **words)[0]
    return x


def random_outputs(n: int) -> tuple[list[Tensor], Tensor]:
    """What a network might say, whatever it is asked: rules of steps are linear in it."""
    made = torch.randn(n + 1, 2, 4, 5, 5, generator=torch.Generator().manual_seed(n))
    return list(made[:n]), made[n]
