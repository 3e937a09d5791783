"""Any family's network replaced by the exact one for Gaussian data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from tiny_parts import CHANNELS
from torch import Tensor

# How a network is told the time, from diffusers' clock (1000 at noise), where it is not the clock
# itself; and which networks predict data - noise where diffusers' schedulers want noise - data.
CLOCKS: dict[str, Callable[[Tensor], Tensor]] = {
    "FluxTransformer2DModel": lambda t: 1000.0 * t,
    "Flux2Transformer2DModel": lambda t: 1000.0 * t,
    "QwenImageTransformer2DModel": lambda t: 1000.0 * t,
    "AuraFlowTransformer2DModel": lambda t: 1000.0 * t,
    "ZImageTransformer2DModel": lambda t: 1000.0 * (1.0 - t),
    "Lumina2Transformer2DModel": lambda t: 1000.0 * (1.0 - t),
    # shifted by the pipeline's mu = 0.75 sqrt(tokens / 256) + 0.25 for 16 tokens
    "CogView4Transformer2DModel": lambda t: 1000.0 * 0.4375 * t / (1000.0 - 0.5625 * t),
}
TOWARDS_DATA = ("ZImageTransformer2DModel", "Lumina2Transformer2DModel")


def network(pipe: Any) -> Any:
    return pipe.unet if hasattr(pipe, "unet") else pipe.transformer


def is_discrete(pipe: Any) -> bool:
    """Whether the model was trained at whole steps of a table alphas_cumprod."""
    return pipe.scheduler.config.get("prediction_type") in ("epsilon", "v_prediction")


@contextmanager
def exact(pipe: Any, mean: float, std: float) -> Iterator[list[float]]:
    """The network answers exactly for data N(mean, std^2) in every element of the latents.

    In its own convention of time, sign and type: epsilon, v or velocity at x_t = alpha z + sigma
    eps. Gives the list of times asked for, by diffusers' clock of 0 to 1000. A discrete model asked
    between its steps is an error, as the table has no entry there.
    """
    net, seen = network(pipe), list[float]()
    name, kind = type(net).__name__, pipe.scheduler.config.get("prediction_type")
    table = pipe.scheduler.alphas_cumprod.double() if is_discrete(pipe) else None

    def velocity(x: Tensor, clock: Tensor) -> Tensor:
        time = float(clock.double().flatten()[0])
        assert bool((clock == clock.flatten()[0]).all())
        seen.append(time)
        if table is None:
            sigma = time / 1000.0
            alpha = 1.0 - sigma
        else:
            if time != round(time):
                raise ValueError(f"a model of whole steps was asked at step {time}")
            alpha = math.sqrt(float(table[round(time)]))
            sigma = math.sqrt(1.0 - alpha**2)
        # E[z | x] and E[eps | x] of a Gaussian, finite for sigma = 0 and alpha = 0 alike
        y, spread = x.double() - alpha * mean, alpha**2 * std**2 + sigma**2
        z, eps = mean + alpha * std**2 / spread * y, sigma / spread * y
        if kind == "epsilon":
            out = eps
        elif kind == "v_prediction":
            out = alpha * eps - sigma * z
        else:
            out = z - eps if name in TOWARDS_DATA else eps - z
        return out.to(x.dtype)

    def forward(*args: Any, **kwargs: Any) -> tuple[Any]:
        x = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
        clock = CLOCKS.get(name, lambda t: t)(
            (kwargs["timestep"] if "timestep" in kwargs else args[1]).double()
        )
        if isinstance(x, list):
            return (list(velocity(torch.stack(x), clock).unbind()),)
        out = velocity(x, clock)
        learned_variance = net.config.get("out_channels") == 2 * CHANNELS
        return (torch.cat([out, torch.zeros_like(out)], 1) if learned_variance else out,)

    net.forward = forward
    try:
        yield seen
    finally:
        del net.forward
