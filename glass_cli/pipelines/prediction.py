"""What a vendor's network predicts, read from its scheduler, and how that becomes a denoiser.

diffusers counts time from data to noise and its flow models predict eps - z: both are turned round
here, for the command line and for :mod:`glass_cli.scheduler` alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from glass_cli.method import path as paths
from glass_cli.method.times import shifted

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Kind = Literal["flow", "epsilon", "v_prediction", "sample"]
# a schedule without signal at its noisiest step (arXiv 2305.08891) has no finite noise-to-signal
# ratio there; diffusers' Euler scheduler puts the same value
_NO_SIGNAL = 2.0**-24


@dataclass(frozen=True)
class Prediction:
    """What a pipeline's network predicts, and at which times it is asked.

    kind: of its output.
    path: alpha_t and sigma_t.
    train_steps: the vendor's number of times: its clock reads ``train_steps`` at t=0.
    shift: of its own schedule, above 0; 1 is none.
    clock_shift: of pipelines that tell their network the time before the shift, as if the schedule
        had none: that shift; else 1.
    """

    kind: Kind
    path: paths.Path
    train_steps: int
    shift: float = 1.0
    clock_shift: float = 1.0

    @classmethod
    def of(cls, scheduler: Any) -> Prediction:
        """Reads a diffusers scheduler, or the one that a GlassScheduler was made for.

        Raises ValueError for a kind that is not known.
        """
        scheduler = getattr(scheduler, "vendor", scheduler)
        config = scheduler.config
        kind, steps = config.get("prediction_type"), int(config.get("num_train_timesteps", 1000))
        if _is_flow(scheduler):
            shift = config.get("flow_shift") or config.get("shift") or 1.0
            return cls("flow", paths.CondOT(), steps, float(shift))
        table = getattr(scheduler, "alphas_cumprod", None)
        if kind not in ("epsilon", "v_prediction", "sample") or table is None:
            raise ValueError(
                f"{type(scheduler).__name__} with prediction_type={kind} is not known; known are"
                " flow matching, and epsilon, v_prediction or sample with a table alphas_cumprod"
            )
        values = [max(a, _NO_SIGNAL) for a in table.double().tolist()]
        return cls(kind, paths.DiscreteVP(tuple(values)), steps)

    def shifted_by(
        self, scheduler: Any, mu: float | None, unshifted_clock: bool = False
    ) -> Prediction:
        """With the shift that a pipeline works out from the picture's size and hands over as mu.

        ``unshifted_clock``: it hands over its times as well, which are those before the shift.
        """
        config = scheduler.config
        if mu is None or self.kind != "flow" or not config.get("use_dynamic_shifting"):
            return self
        linear = config.get("time_shift_type", "exponential") == "linear"
        moved = replace(self, shift=float(mu) if linear else math.exp(mu))
        return moved.with_unshifted_clock() if unshifted_clock else moved

    def with_unshifted_clock(self) -> Prediction:
        """Of a network that is told the time before the shift."""
        return replace(self, clock_shift=self.shift)

    def timestep(self, t: float) -> float:
        """The vendor's clock at t; a whole number for models of discrete time."""
        if isinstance(self.path, paths.DiscreteVP):
            return float(round(self.path.step_of(t)))
        return self.train_steps * (1.0 - shifted(t, 1.0 / self.clock_shift))

    def time_at(self, timestep: float) -> float:
        """The t at which the vendor's clock reads ``timestep``."""
        if isinstance(self.path, paths.DiscreteVP):
            return 1.0 - (timestep + 1.0) / len(self.path.alphas_cumprod)
        return shifted(1.0 - timestep / self.train_steps, self.clock_shift)

    def noised(self, z: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """x_t = alpha_t z + sigma_t eps at the vendor's ``timesteps`` (N,), of z (N, *shape)."""
        at = [self.path.at(self.time_at(value)) for value in timesteps.flatten().tolist()]
        shape = (-1,) + (1,) * (z.dim() - 1)
        alpha = z.new_tensor([a.alpha for a in at]).view(shape)
        sigma = z.new_tensor([a.sigma for a in at]).view(shape)
        return alpha * z + sigma * noise

    def denoised(self, x: Tensor, t: float, out: Tensor) -> Tensor:
        """D_t(x) from the network's output."""
        if self.kind == "flow":
            return paths.denoiser_from_velocity(self.path, t, x, -out)
        if self.kind == "epsilon":
            return paths.denoiser_from_epsilon(self.path, t, x, out)
        if self.kind == "v_prediction":
            return paths.denoiser_from_v(self.path, t, x, out)
        return out


def _is_flow(scheduler: Any) -> bool:
    config = scheduler.config
    return (
        "FlowMatch" in type(scheduler).__name__
        or config.get("prediction_type") == "flow_prediction"
        or bool(config.get("use_flow_sigmas"))
    )


def state_dtype(device: torch.device) -> torch.dtype:
    """The type in which particles are kept: float64, or float32 where the device has no doubles."""
    import torch

    return torch.float32 if device.type == "mps" else torch.float64
