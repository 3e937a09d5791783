"""Feynman-Kac steering of an unmodified diffusers pipeline, through ``callback_on_step_end``.

    from glass_cli.callback import SteeringCallback
    from glass_cli.scheduler import GlassScheduler

    pipe.scheduler = GlassScheduler.from_scheduler(pipe.scheduler, transitions=5)
    steered = SteeringCallback(reward, lam=10.0)
    images = pipe(prompt, num_images_per_prompt=8, callback_on_step_end=steered).images
    best = images[steered.chosen]

where ``reward`` scores pictures (N, 3, H, W) in [0, 1].
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from glass_cli.method.noise import generator
from glass_cli.pipelines.encoding import remembering
from glass_cli.pipelines.session import decode, replaced
from glass_cli.scheduler import GlassScheduler, Start
from glass_cli.steering.feynman_kac import FeynmanKac
from glass_cli.steering.loop import finite
from glass_cli.steering.particles import Cloud


class SteeringCallback:
    """Weighs and resamples the particles of one pipeline call with a :class:`GlassScheduler`.

    A call draws the particles of one prompt (``num_images_per_prompt``). Where a transition begins,
    the pipeline decodes x_hat = D_t(x_t), which costs no network call, ``reward`` scores it, and
    the particles are resampled by :class:`glass_cli.steering.feynman_kac.FeynmanKac`, whose
    settings are taken by keyword. ``arguments`` are those of the pipeline call that decide the
    picture's size, such as {"height": 768}. ``seed`` decides what resampling draws.

    After the call: ``chosen`` is the answer's index, ``rewards`` (N,) the final rewards, ``cloud``
    the particles with their weights and lineages; ``ess`` and ``lineages`` hold a value for each
    scored step. A call begins anew by itself.
    """

    def __init__(
        self,
        reward: Callable[[Tensor], Tensor],
        seed: int = 0,
        arguments: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.steering = FeynmanKac(**settings)
        if self.steering.value != "x_hat" or self.steering.guidance:
            raise ValueError(
                "a callback only sees x_hat: value=posterior and guidance are for glass sample"
            )
        self._reward, self._seed = reward, seed
        self._arguments = {"prompt": "", **(arguments or {})}
        self.chosen: int | None = None
        self.rewards: Tensor | None = None
        self.cloud: Cloud | None = None
        self.ess: list[float] = []
        self.lineages: list[int] = []

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
        if start is not None and start.k == 0:
            # for as long as this call runs: afterwards the text encoder may be given other weights
            encode = getattr(pipe, "encode_prompt", None)
            self._encoding = {} if encode is None else {"encode_prompt": remembering(encode)}
            self.ess, self.lineages = [], []
            self._choice = generator(self._seed, "choices")
            self.cloud = Cloud.at_start(start.x, start.x_hat)
        elif start is not None and start.k in self.steering.scored(scheduler.ends):
            ancestors = self._weigh(pipe, start)
            if ancestors is not None:
                kwargs["latents"] = scheduler.resample(ancestors)
        if scheduler.finished:
            self._finish(pipe, kwargs["latents"], len(scheduler.ends) - 1)
        return kwargs

    def _score(self, pipe: Any, x: Tensor, k: int, t: float) -> Tensor:
        with torch.no_grad(), replaced(pipe, **self._encoding):
            pictures = decode(pipe, x, self._arguments)
            return finite(torch.as_tensor(self._reward(pictures)), "the reward", k, t)

    def _weigh(self, pipe: Any, start: Start) -> Tensor | None:
        """The cloud weighed by the rewards of x_hat; ancestors (N,) where it is resampled."""
        assert self.cloud is not None
        cloud = replace(self.cloud, x=start.x, x_hat=start.x_hat)
        cloud = self.steering.weigh(cloud, self._score(pipe, start.x_hat, start.k, start.t))
        u = torch.rand(len(cloud.log_w), generator=self._choice, dtype=torch.float64)
        ancestors = self.steering.ancestors(cloud, u)
        self.ess.append(cloud.ess)
        self.cloud = cloud if ancestors is None else cloud.resampled(ancestors)
        self.lineages.append(self.cloud.lineages)
        return ancestors

    def _finish(self, pipe: Any, x: Tensor, k: int) -> None:
        assert self.cloud is not None
        self.rewards = self._score(pipe, x, k, 1.0)
        self.cloud = self.steering.finish(replace(self.cloud, x=x, x_hat=x), self.rewards)
        u = torch.rand(1, generator=self._choice, dtype=torch.float64)
        self.chosen = self.steering.choose(self.cloud, self.rewards, u)
