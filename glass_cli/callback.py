"""Steering of an unmodified diffusers pipeline, through ``callback_on_step_end``.

    import glass_cli as glass

    pipe.scheduler = glass.GlassScheduler.from_scheduler(pipe.scheduler, transitions=5)
    steered = glass.SteeringCallback(reward, glass.FeynmanKac(lam=10.0))
    images = pipe(prompt, num_images_per_prompt=8, callback_on_step_end=steered).images
    best = images[steered.chosen]

where ``reward`` scores pictures (N, 3, H, W) in [0, 1].
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from glass_cli.method.noise import generator
from glass_cli.method.path import Path
from glass_cli.pipelines.encoding import remembering
from glass_cli.pipelines.session import decode, replaced
from glass_cli.scheduler import GlassScheduler
from glass_cli.steering.auto import Auto
from glass_cli.steering.base import Steering
from glass_cli.steering.feynman_kac import FeynmanKac
from glass_cli.steering.loop import Driver
from glass_cli.steering.particles import Particles
from glass_cli.steering.searching import Searching
from glass_cli.steering.sizes import changes, steering_sizes
from glass_cli.steering.state import Step


class SteeringCallback:
    """Weighs and resamples the particles of one pipeline call with a :class:`GlassScheduler`.

    A call draws the particles of one prompt (``num_images_per_prompt``). Where a transition begins,
    the pipeline decodes x_hat = D_t(x_t), which costs no network call, ``reward`` scores it, and
    the steering decides who is copied, as in :func:`glass_cli.steering.loop.steer`.

    reward: scores pictures (N, 3, H, W) in [0, 1], float32; gives N numbers, (N,).
    steering: any that makes no network calls of its own, keeps the number of particles and has no
        guidance; None takes
        :class:`glass_cli.steering.feynman_kac.FeynmanKac` with lam="auto".
    seed: decides what resampling draws.
    arguments: of the calls that decode, beside the prompt and the picture's size, which are those
        of the call that is steered.

    After the call, which begins anew by itself:

    chosen: the answer's index; None where the steering chooses none.
    rewards: the final rewards (N,).
    steps: a :class:`glass_cli.steering.state.Step` for each transition and the end, on the CPU.

    Raises ValueError, one line, for a pipeline, a steering or a reward that will not do.
    """

    def __init__(
        self,
        reward: Callable[[Tensor], Tensor],
        steering: Steering | None = None,
        seed: int = 0,
        arguments: dict[str, Any] | None = None,
    ) -> None:
        self.steering: Steering = FeynmanKac(lam="auto") if steering is None else steering
        if self.steering.guidance > 0.0:
            raise ValueError(
                "a callback cannot guide the pipeline's network; use steering with guidance=0 here,"
                " or glass_cli.draw"
            )
        if isinstance(self.steering, Auto):
            raise ValueError("steering=auto is for glass sample and glass eval; give a steering")
        if isinstance(self.steering, Searching):
            raise ValueError(
                f"{type(self.steering).__name__} searches in an order of its own, for which a"
                " pipeline has no place; use glass_cli.draw, or FeynmanKac here"
            )
        self._reward, self._seed = reward, seed
        self._arguments = {"prompt": "", **(arguments or {})}
        self._driver: Driver | None = None
        self.steps: list[Step] = []

    @property
    def chosen(self) -> int | None:
        return self.steps[-1].chosen if self.steps else None

    @property
    def rewards(self) -> Tensor | None:
        return self.steps[-1].rewards if self.steps else None

    def __call__(self, pipe: Any, i: int, timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        """What a pipeline calls after each step; replaces its latents where it resamples."""
        if "latents" not in kwargs:
            raise ValueError("callback_on_step_end_tensor_inputs must hold latents, for steering")
        scheduler = pipe.scheduler
        if not isinstance(scheduler, GlassScheduler):
            raise ValueError("pipe.scheduler is not a GlassScheduler; it must be for steering")
        start = scheduler.start
        if i == 0 and "strength" in inspect.signature(type(pipe).__call__).parameters:
            raise ValueError(
                f"{type(pipe).__name__} begins at a picture; steering needs a text-to-image"
                " pipeline, whose calls begin at noise"
            )
        if start is not None:
            if start.k == 0:
                self._begin(pipe, scheduler, len(start.x))
            assert self._driver is not None
            flow, steering = _NoCalls(scheduler), self.steering

            def score(particles: Particles, t: float) -> Tensor:
                def reward(x: Tensor) -> Tensor:
                    return self._score(pipe, x)

                return steering.rewards(flow, particles, t, reward, _no_noise)

            step = self._driver.step(start.k, start.x, start.x_hat, score)
            self.steps.append(step.cpu())
            if step.ancestors is not None:
                kwargs["latents"] = scheduler.resample(step.ancestors)
        if scheduler.finished:
            assert self._driver is not None
            last = self._driver.finish(kwargs["latents"], lambda x: self._score(pipe, x))
            self.steps.append(last.cpu())
        return kwargs

    def _begin(self, pipe: Any, scheduler: GlassScheduler, particles: int) -> None:
        """Forgets the call before."""
        if self.steering.extra_calls(scheduler.ends) > 0:
            raise ValueError(
                "a callback cannot ask the network, which this steering's rewards on the way need;"
                " use value=x_hat here, or glass_cli.draw"
            )
        if changes(steering_sizes(self.steering, len(scheduler.ends) - 1, particles)):
            raise ValueError(
                "a pipeline's call keeps its number of pictures, which the steering's sizes would"
                " change; use sizes=None here, or glass_cli.draw"
            )
        # for as long as this call runs: afterwards the text encoder may be given other weights
        encode = getattr(pipe, "encode_prompt", None)
        self._encoding = {} if encode is None else {"encode_prompt": remembering(encode)}
        self._size = _size(pipe)
        self.steps = []
        self._driver = Driver(
            self.steering,
            scheduler.ends,
            generator(self._seed, "choices"),
            lambda: particles * scheduler.calls_done,
        )

    def _score(self, pipe: Any, x: Tensor) -> Tensor:
        """The rewards (N,) of clean latents."""
        with torch.no_grad(), replaced(pipe, **self._encoding):
            return self._reward(decode(pipe, x, {**self._size, **self._arguments}))


class _NoCalls:
    """The flow of a call that is steered from outside: its network cannot be asked."""

    def __init__(self, scheduler: GlassScheduler) -> None:
        self.path: Path = scheduler.path
        self.shift = scheduler.shift

    def denoise(self, x: Tensor, t: float) -> Tensor:
        raise ValueError("a callback cannot ask the network; this steering needs glass_cli.draw")


def _no_noise() -> Tensor:
    raise ValueError("a callback draws no noise; this steering needs glass_cli.draw")


def _size(pipe: Any) -> dict[str, int]:
    """Height and width of the call of ``pipe`` that is running, as it worked them out.

    Packed latents, as FLUX has, do not tell their picture's size, and a pipeline hands it to
    nobody: it stands in the local variables of its call alone.
    """
    frame = inspect.currentframe()
    while frame is not None:
        here = frame.f_locals
        if here.get("self") is pipe and frame.f_code.co_name == "__call__":
            takes = inspect.signature(type(pipe).__call__).parameters
            sizes = {name: here.get(name) for name in ("height", "width") if name in takes}
            return {name: int(size) for name, size in sizes.items() if size is not None}
        frame = frame.f_back
    return {}
