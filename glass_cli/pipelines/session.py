"""Drives any diffusers text-to-image pipeline from outside, through its scheduler.

A pipeline asks its scheduler for timesteps and hands it every network output, so a scheduler whose
timesteps never end and whose ``step`` hands control back turns ``pipe(...)`` into a function
velocity(x, t). Prompt encoding, packing, guidance, decoding and offloading stay the pipeline's own.
The pipeline runs in a greenlet: it is suspended inside ``step`` between two network calls, on the
same thread, with its encoded prompt in its local variables.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import torch
from greenlet import GreenletExit, getcurrent, greenlet
from torch import Tensor

# Pipelines compare the number of the step with the number of steps (guidance for a part of them):
# whoever drives one from outside decides when it ends, and until then it is at its beginning.
MANY = 10_000
# Arguments that switch off what would look into the whole list of timesteps.
_NEUTRAL = {"cfg_truncation": None}


class SeamScheduler:
    """Stands in for the pipeline's scheduler while it is driven from outside.

    ``query`` holds the latents and the vendor's timestep of the next network call; with None the
    pipeline keeps the latents that it made. ``made_shape`` is those latents' shape.
    """

    order = 1
    init_noise_sigma = 1.0

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self.config = pipe.scheduler.config
        self.mu: float | None = None
        self.given_times = False
        self.query: tuple[Tensor | None, float] = (None, 0.0)
        self.made_shape: tuple[int, ...] | None = None
        # a bar over steps that never end tells nobody anything
        self.notes: dict[str, Any] = {"_progress_bar_config": {"disable": True}}

    @cached_property
    def device(self) -> torch.device:
        """Where the pipeline computes, which it finds by a walk over all of its modules."""
        device: torch.device = self._pipe._execution_device
        return device

    # The names are looked for by pipelines' retrieve_timesteps; times come from outside.
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        timesteps: Any = None,
        sigmas: Any = None,
        mu: float | None = None,
        **_: Any,
    ) -> None:
        """Keeps mu, the time shift that a pipeline derives from the picture's size, and whether the
        pipeline hands over times of its own beside sigmas: those are times before the shift."""
        self.mu, self.given_times = mu, timesteps is not None and sigmas is not None

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Keeps nothing: steps are not counted."""

    @property
    def timesteps(self) -> Any:
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
        # the pipeline's no_grad block is suspended here, and grad mode belongs to the thread
        inside = torch.is_grad_enabled()
        _parent().switch(model_output)
        torch.set_grad_enabled(inside)
        latents = self.query[0]
        assert latents is not None
        return (latents.to(sample.dtype),)


class EndlessTimesteps:
    """A sequence of timesteps, each decided only when the loop comes to it."""

    def __init__(self, scheduler: SeamScheduler) -> None:
        self._scheduler = scheduler

    def __len__(self) -> int:
        return MANY

    def __iter__(self) -> Iterator[Tensor]:
        while True:
            # filled on the device: a copy from here would wait for all that it has left to do
            yield torch.full((), self._scheduler.query[1], device=self._scheduler.device)


class _Probe(SeamScheduler):
    """Stops the pipeline where its loop begins: everything is prepared, nothing is called yet."""

    @property
    def timesteps(self) -> Any:
        return _NoTimesteps(self)


class _NoTimesteps(EndlessTimesteps):
    def __iter__(self) -> Iterator[Tensor]:
        raise GreenletExit


class _Decoder(SeamScheduler):
    """Has no timesteps at all, so that the pipeline decodes the latents that it was given."""

    @property
    def timesteps(self) -> Any:
        return torch.empty(0)


def _parent() -> greenlet:
    parent = getcurrent().parent
    assert parent is not None
    return parent


@contextmanager
def _driven(pipe: Any, scheduler: SeamScheduler) -> Iterator[None]:
    """The pipeline with another scheduler, that one's latents and its own notes for a while.

    Several calls of a pipeline may be suspended at once, and a pipeline notes a call's arguments on
    itself: each finds its own again.
    """
    grad, notes = torch.is_grad_enabled(), {"_progress_bar_config": {}, **_notes(pipe)}
    vars(pipe).update(scheduler.notes)
    vendor, prepare = pipe.scheduler, pipe.prepare_latents

    def prepare_latents(*args: Any, **kwargs: Any) -> Any:
        """The vendor's latents, in their place those of the query: not every pipeline takes back
        the packed latents that it hands to its scheduler."""
        bound = inspect.signature(prepare).bind(*args, **kwargs)
        bound.arguments["latents"] = None
        prepared = prepare(*bound.args, **bound.kwargs)
        latents = prepared[0] if isinstance(prepared, tuple) else prepared
        scheduler.made_shape = tuple(latents.shape)
        if scheduler.query[0] is not None:
            latents = scheduler.query[0].to(latents)
        return (latents, *prepared[1:]) if isinstance(prepared, tuple) else latents

    # not by setattr, at which a pipeline writes its whole configuration anew
    vars(pipe).update(scheduler=scheduler, prepare_latents=prepare_latents)
    try:
        yield
    finally:
        torch.set_grad_enabled(grad)
        scheduler.notes = _notes(pipe)
        vars(pipe).update(notes, scheduler=vendor, prepare_latents=prepare)


def _notes(pipe: Any) -> dict[str, Any]:
    """What a pipeline keeps of a call on itself, such as _guidance_scale."""
    own = (item for item in vars(pipe).items() if item[0].startswith("_"))
    return {name: value for name, value in own if name != "_internal_dict"}


def _call(pipe: Any, pictures: int, steps: int, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a pipeline call for one prompt."""
    takes = inspect.signature(type(pipe).__call__).parameters
    return {
        "num_images_per_prompt": pictures,
        "num_inference_steps": steps,
        # the vendor's own noise, which nobody sees, must not use up the global generator's
        "generator": torch.Generator().manual_seed(0),
        **{key: value for key, value in _NEUTRAL.items() if key in takes},
        **arguments,
    }


class Probed(NamedTuple):
    """Shape of one particle's latents, and what the pipeline hands to its scheduler."""

    shape: tuple[int, ...]
    mu: float | None
    given_times: bool


def probe(pipe: Any, arguments: dict[str, Any], steps: int) -> Probed:
    """What a pipeline prepares for ``steps`` calls, without one.

    Raises ValueError for a pipeline that makes no latents before its loop.
    """
    scheduler = _Probe(pipe)
    run = greenlet(lambda: pipe(**_call(pipe, 1, steps, arguments)))
    with _driven(pipe, scheduler):
        run.switch()
    if scheduler.made_shape is None:
        raise ValueError(f"{type(pipe).__name__} cannot be driven through its scheduler")
    return Probed(scheduler.made_shape[1:], scheduler.mu, scheduler.given_times)


def decode(pipe: Any, latents: Tensor, arguments: dict[str, Any]) -> Tensor:
    """Pictures (N, 3, H, W), float32 in [0, 1], decoded by the pipeline as at its own end.

    Differentiable where grad mode is on. Other calls of the pipeline may be suspended meanwhile. A
    safety checker is not asked: it would blacken the blurred pictures that are scored on the way.
    Raises ValueError where ``arguments`` are not those of the size that the latents have.
    """
    call = type(pipe).__call__
    call = getattr(call, "__wrapped__", call)  # without its torch.no_grad
    scheduler = _Decoder(pipe)
    scheduler.query = (latents, 0.0)
    kwargs = {**_call(pipe, len(latents), MANY, arguments), "output_type": "pt"}
    try:
        with _driven(pipe, scheduler), replaced(pipe, run_safety_checker=_unchecked):
            out = call(pipe, return_dict=False, **kwargs)
    except RuntimeError as error:
        if scheduler.made_shape in (None, tuple(latents.shape)):
            raise
        raise ValueError(
            f"latents of shape {tuple(latents.shape)} cannot be decoded by a call that makes"
            f" {scheduler.made_shape}; give arguments={{'height': ..., 'width': ...}}"
        ) from error
    pixels: Tensor = out[0].float().clamp(0.0, 1.0)
    return pixels


def _unchecked(image: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
    return image, None


@contextmanager
def replaced(owner: Any, **by: Any) -> Iterator[None]:
    """``owner`` with other attributes for a while."""
    before = {name: vars(owner)[name] for name in by if name in vars(owner)}
    vars(owner).update(by)
    try:
        yield
    finally:
        for name in by:
            vars(owner).pop(name, None)
        vars(owner).update(before)


class Session:
    """One pipeline call, suspended between network calls.

    pipe: a diffusers pipeline.
    arguments: of its call, the prompt among them.
    batch: particles of every network call.
    """

    def __init__(self, pipe: Any, arguments: dict[str, Any], batch: int) -> None:
        self._pipe, self._arguments, self._batch = pipe, arguments, batch
        self._scheduler = SeamScheduler(pipe)
        self._greenlet: greenlet | None = None

    def __call__(self, latents: Tensor, timestep: float) -> Tensor:
        """The network's (guided) output for ``latents`` at the vendor's ``timestep``."""
        self._scheduler.query = (latents, timestep)
        with _driven(self._pipe, self._scheduler):
            if self._greenlet is None or self._greenlet.dead:  # an error ends the pipeline's call
                self._greenlet = greenlet(self._run)
            out: Tensor = self._greenlet.switch()
        return out

    def _run(self) -> None:
        arguments = _call(self._pipe, self._batch, MANY, self._arguments)
        self._pipe(**{**arguments, "output_type": "latent"})

    def close(self) -> None:
        """Ends the suspended pipeline call."""
        if self._greenlet is not None and not self._greenlet.dead:
            grad = torch.is_grad_enabled()
            self._greenlet.throw(GreenletExit)
            torch.set_grad_enabled(grad)
        self._greenlet = None
