"""Steering of an unmodified diffusers pipeline, through ``callback_on_step_end``.

    import glass_cli as glass

    pipe.scheduler = glass.GlassScheduler.from_scheduler(pipe.scheduler, transitions=5)
    steered = glass.SteeringCallback(reward, glass.FeynmanKac())
    images = pipe(prompt, num_images_per_prompt=8, callback_on_step_end=steered).images
    best = images[steered.chosen]

where ``reward`` scores pictures (N, 3, H, W) in [0, 1].
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from glass_cli.method.noise import generator
from glass_cli.method.path import Path
from glass_cli.pipelines.encoding import remembering
from glass_cli.pipelines.fewer_rows import COUNTS_ITSELF, FewerRows
from glass_cli.pipelines.loading import network
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


@runtime_checkable
class Scorer(Protocol):
    """What scores pictures (N, 3, H, W) under a prompt, (N,)."""

    def score(self, samples: Tensor, prompt: str) -> Tensor: ...


class SteeringCallback:
    """Weighs and resamples the particles of one pipeline call with a :class:`GlassScheduler`.

    A call draws the particles of one prompt (``num_images_per_prompt``). Where a transition begins,
    the pipeline decodes x_hat = D_t(x_t), which costs no network call, ``reward`` scores it, and
    the steering decides who is copied, as in :func:`glass_cli.steering.loop.steer`.

    reward: scores pictures (N, 3, H, W) in [0, 1], float32; gives N numbers, (N,). A function of
        the pictures, or what ``glass_cli.load_reward`` gives, which is told the call's prompt.
    steering: any that makes no network calls of its own and has no guidance. Where particles become
        fewer on the way, the pipeline goes on with so many pictures (that of Z-Image cannot); they
        cannot become more. None takes :class:`glass_cli.steering.feynman_kac.FeynmanKac`.
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
        reward: Callable[[Tensor], Tensor] | Scorer,
        steering: Steering | None = None,
        seed: int = 0,
        arguments: dict[str, Any] | None = None,
    ) -> None:
        self.steering: Steering = FeynmanKac() if steering is None else steering
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
        self._rows: FewerRows | None = None
        self._made = 0
        self.steps: list[Step] = []

    @property
    def chosen(self) -> int | None:
        return self.steps[-1].chosen if self.steps else None

    @property
    def rewards(self) -> Tensor | None:
        return self.steps[-1].rewards if self.steps else None

    def __call__(self, pipe: Any, i: int, timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        """What a pipeline calls after each step; replaces its latents where it resamples."""
        try:
            return self._after_step(pipe, i, kwargs)
        except BaseException:
            self._forget_rows()
            raise

    def _after_step(self, pipe: Any, i: int, kwargs: dict[str, Any]) -> dict[str, Any]:
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
            count = len(start.x)
            self._made += count
            flow, steering = _NoCalls(scheduler), self.steering

            def score(particles: Particles, t: float) -> Tensor:
                def reward(x: Tensor) -> Tensor:
                    return self._score(pipe, x)

                return steering.rewards(flow, particles, t, reward, _no_noise)

            step = self._driver.step(start.k, start.x, start.x_hat, score, lambda k: count)
            self.steps.append(step.cpu())
            if step.ancestors is not None:
                kwargs["latents"] = scheduler.resample(step.ancestors)
                if self._rows is not None:
                    self._rows.count = len(step.ancestors)
        else:
            self._made += len(kwargs["latents"])
        if scheduler.finished:
            assert self._driver is not None
            last = self._driver.finish(kwargs["latents"], lambda x: self._score(pipe, x))
            self.steps.append(last.cpu())
            self._forget_rows()
        return kwargs

    def _forget_rows(self) -> None:
        if self._rows is not None:
            self._rows.remove()
        self._rows = None

    def _begin(self, pipe: Any, scheduler: GlassScheduler, particles: int) -> None:
        """Forgets the call before."""
        if self.steering.extra_calls() > 0:
            raise ValueError(
                "a callback cannot ask the network, which this steering's rewards on the way need;"
                " use value=x_hat here, or glass_cli.draw"
            )
        sizes = steering_sizes(self.steering, len(scheduler.ends) - 1, particles)
        if sizes is not None and any(a < b for a, b in itertools.pairwise(sizes)):
            raise ValueError(
                f"a pipeline's call can lose pictures on the way and cannot gain any (got"
                f" sizes={list(sizes)}); use falling sizes here, or glass_cli.draw"
            )
        self._forget_rows()
        self._made = 0
        if self.steering.adapts or changes(sizes):
            if type(pipe).__name__ in COUNTS_ITSELF:
                raise ValueError(
                    f"{type(pipe).__name__} goes on with as many pictures as it began with; use"
                    " sizes=None here, or glass_cli.draw"
                )
            goes_on = scheduler.this_run()
            self._rows = FewerRows(network(pipe), particles, goes_on)
        # for as long as this call runs: afterwards the text encoder may be given other weights
        encode = getattr(pipe, "encode_prompt", None)
        self._encoding = {} if encode is None else {"encode_prompt": remembering(encode)}
        called = _call(pipe)
        self._size, self._prompt = _size(pipe, called), _prompt(called)
        if isinstance(self._reward, Scorer) and self._prompt is None:
            raise ValueError(
                "a reward that is told the prompt needs the pipeline's prompt as text, not as"
                " embeddings; give a function of the pictures"
            )
        self.steps = []
        self._driver = Driver(
            self.steering,
            scheduler.ends,
            generator(self._seed, "choices"),
            lambda: self._made,
        )

    def _score(self, pipe: Any, x: Tensor) -> Tensor:
        """The rewards (N,) of clean latents."""
        with torch.no_grad(), replaced(pipe, **self._encoding):
            pictures = decode(pipe, x, {**self._size, **self._arguments})
            if isinstance(self._reward, Scorer):
                return self._reward.score(pictures, self._prompt or "")
            return self._reward(pictures)


class _NoCalls:
    """The flow of a call that is steered from outside: its network cannot be asked."""

    def __init__(self, scheduler: GlassScheduler) -> None:
        self.path: Path = scheduler.path
        self.shift = scheduler.shift

    def denoise(self, x: Tensor, t: float) -> Tensor:
        raise ValueError("a callback cannot ask the network; this steering needs glass_cli.draw")


def _no_noise() -> Tensor:
    raise ValueError("a callback draws no noise; this steering needs glass_cli.draw")


def _call(pipe: Any) -> Mapping[str, Any]:
    """The local variables of the call of ``pipe`` that is running, of which a pipeline hands few
    to anybody; empty where none is found."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_locals.get("self") is pipe and frame.f_code.co_name == "__call__":
            return frame.f_locals
        frame = frame.f_back
    return {}


def _size(pipe: Any, called: Mapping[str, Any]) -> dict[str, int]:
    """Height and width as the call worked them out: packed latents, as FLUX has, do not tell their
    picture's size."""
    takes = inspect.signature(type(pipe).__call__).parameters
    sizes = {name: called.get(name) for name in ("height", "width") if name in takes}
    return {name: int(size) for name, size in sizes.items() if size is not None}


def _prompt(called: Mapping[str, Any]) -> str | None:
    """The one prompt of the call; None where it came as embeddings.

    Raises ValueError for several, whose pictures would be copied over each other's.
    """
    given = called.get("prompt")
    prompts = [*dict.fromkeys([given] if isinstance(given, str) else given or [])]
    embedded = called.get("batch_size") if given is None else None
    count = embedded if isinstance(embedded, int) else len(prompts)
    if count > 1:
        raise ValueError(
            f"a call steers the pictures of one prompt (got {count}); call the pipeline once a"
            " prompt, with num_images_per_prompt"
        )
    return str(prompts[0]) if prompts else None
