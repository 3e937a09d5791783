"""Drives any diffusers text-to-image pipeline from outside, through its scheduler.

A pipeline asks its scheduler for timesteps and hands it every network output, so a scheduler whose
timesteps never end and whose ``step`` hands control back turns ``pipe(...)`` into a function
velocity(x, t). Prompt encoding, packing, guidance and offloading stay the pipeline's own. The
pipeline runs in a greenlet: it is suspended inside ``step`` between two network calls, on the same
thread, with its encoded prompt in its local variables.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from greenlet import GreenletExit, getcurrent, greenlet
from torch import Tensor


class SeamScheduler:
    """Stands in for the pipeline's scheduler while a :class:`Session` runs it."""

    order = 1
    init_noise_sigma = 1.0

    def __init__(self, config: Any, device: torch.device) -> None:
        self.config = config
        self.device = device
        self.query: tuple[Tensor | None, float] = (None, 0.0)
        self.sample_shape: tuple[int, ...] = ()

    def set_timesteps(self, *_: Any, **__: Any) -> None:
        """Keeps nothing: times come from outside."""

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Keeps nothing: steps are not counted."""

    @property
    def timesteps(self) -> EndlessTimesteps:
        return EndlessTimesteps(self)

    @property
    def sigmas(self) -> Tensor:
        return torch.tensor([1.0, 0.0], device=self.device)

    def scale_model_input(self, sample: Tensor, timestep: Any = None) -> Tensor:
        return sample

    def step(
        self, model_output: Tensor, timestep: Any, sample: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor]:
        """Hands the network's output to whoever asked, and returns the next query's latents."""
        self.sample_shape = tuple(sample.shape)
        parent = getcurrent().parent
        assert parent is not None
        # the pipeline's no_grad block is suspended here, and grad mode belongs to the thread
        inside = torch.is_grad_enabled()
        parent.switch(model_output)
        torch.set_grad_enabled(inside)
        latents = self.query[0]
        assert latents is not None
        return (latents.to(sample.dtype),)


class EndlessTimesteps:
    """A sequence of timesteps, each decided only when the loop comes to it."""

    def __init__(self, scheduler: SeamScheduler) -> None:
        self._scheduler = scheduler

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Tensor]:
        while True:
            yield torch.tensor(self._scheduler.query[1], device=self._scheduler.device)


class Session:
    """One pipeline call, suspended between network calls, for one prompt and one batch size."""

    def __init__(self, pipe: Any, arguments: dict[str, Any], batch: int) -> None:
        self._pipe, self._arguments, self._batch = pipe, arguments, batch
        self._scheduler = SeamScheduler(pipe.scheduler.config, pipe._execution_device)
        self._greenlet: greenlet | None = None

    def __call__(self, latents: Tensor | None, timestep: float) -> Tensor:
        """The network's (guided) output for ``latents`` at the vendor's ``timestep``.

        With None, the pipeline draws latents of its own, as it does for a plain call.
        """
        self._scheduler.query = (latents, timestep)
        grad = torch.is_grad_enabled()
        vendor, self._pipe.scheduler = self._pipe.scheduler, self._scheduler
        try:
            if self._greenlet is None:
                self._greenlet = greenlet(self._run)
            out: Tensor = self._greenlet.switch()
        finally:
            torch.set_grad_enabled(grad)
            self._pipe.scheduler = vendor
        return out

    def _run(self) -> None:
        self._pipe(
            latents=self._scheduler.query[0],
            num_images_per_prompt=self._batch,
            num_inference_steps=1,
            output_type="latent",
            **self._arguments,
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one particle's latents, known after the first call."""
        return self._scheduler.sample_shape[1:]

    def close(self) -> None:
        """Ends the suspended pipeline call."""
        if self._greenlet is not None and not self._greenlet.dead:
            grad = torch.is_grad_enabled()
            self._greenlet.throw(GreenletExit)
            torch.set_grad_enabled(grad)
        self._greenlet = None
