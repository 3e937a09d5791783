"""GLASS, ODE and SDE samplers as a drop-in scheduler for diffusers pipelines.

    import glass_cli as glass

    pipe.scheduler = glass.GlassScheduler.from_scheduler(pipe.scheduler, transitions=5)
    image = pipe("a photo of a dog", num_inference_steps=50).images[0]

The samplers are those of :mod:`glass_cli.method`, run in a greenlet that is suspended wherever they
ask the network: :meth:`GlassScheduler.step` hands them the answer and returns the next question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import diffusers
import torch
from diffusers import ConfigMixin, SchedulerMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor
from greenlet import greenlet
from torch import Tensor

import glass_cli.pipelines.codec  # noqa: F401 - diffusers finds the embedded decoder only then
from glass_cli.method.flow import Normal, Sampler
from glass_cli.method.glass import Glass
from glass_cli.method.noise import ParticleNoise
from glass_cli.method.ode import Ode
from glass_cli.method.path import Path
from glass_cli.method.sde import Sde
from glass_cli.method.times import Times
from glass_cli.pipelines.plan import Asking, Call, Draws, Plan, ends_among, given_times, plan
from glass_cli.pipelines.prediction import Prediction, state_dtype


@dataclass
class GlassSchedulerOutput(BaseOutput):
    """What :meth:`GlassScheduler.step` gives.

    prev_sample: the next network call's input, (N, *shape).
    pred_original_sample: the posterior mean E[z | what the network saw], (N, *shape): the picture
        as far as it is decided, to be shown or scored.
    """

    prev_sample: Tensor
    pred_original_sample: Tensor


class Start(NamedTuple):
    """A transition that has just begun: its number, time, particles and their x_hat = D_t(x)."""

    k: int
    t: float
    x: Tensor
    x_hat: Tensor


class GlassScheduler(SchedulerMixin, ConfigMixin):
    """Scheduler of diffusers that samples by GLASS transitions, an ODE or an ancestral SDE.

    Made by :meth:`from_scheduler` from the one that the pipeline has, which tells what the network
    predicts. ``num_inference_steps`` of the pipeline call is the number of network calls; they are
    shared among the transitions by :func:`glass_cli.method.budget.share_calls`.

    sampler: "glass", "ode" or "sde" (ancestral).
    transitions: K, 1 or more; an ODE has one.
    rho, kappa, times, inner: as in :class:`glass_cli.method.glass.Glass`.
    order: 2, or 1 for Euler steps.
    seed: gives each picture noise of its own. Without it, noise comes from the pipeline's
        ``generator`` where that is handed on to the scheduler, and from torch's global one
        elsewhere.

    ``noise`` may be set to any source ``() -> (N, *shape)`` of standard normal draws. A pipeline
    saved with the scheduler is loaded where it has been imported.

    A pipeline that begins half-way (img2img), or that changes the latents between two steps, is
    taken up where it stands: what it hands over is read as a draw of x_t at the present time.
    """

    order = 1
    init_noise_sigma = 1.0

    @register_to_config
    def __init__(
        self,
        vendor_class: str = "",
        vendor: dict[str, Any] | None = None,
        sampler: Literal["glass", "ode", "sde"] = "glass",
        transitions: int = 5,
        rho: str | float = "ddpm",
        kappa: float = 1.0,
        order: int = 2,
        times: str | Sequence[float] = "schedule",
        inner: str = "s",
        seed: int | None = None,
    ) -> None:
        if not vendor_class or vendor is None:
            raise ValueError(
                "a GlassScheduler needs to know what the network predicts; make it with"
                " GlassScheduler.from_scheduler(pipe.scheduler)"
            )
        # some pipelines read the vendor's settings from their scheduler's configuration
        own = set(self.config)
        self.register_to_config(**{k: v for k, v in vendor.items() if k not in own})
        vendor_type = getattr(diffusers, vendor_class, None)
        if vendor_type is None:
            raise ValueError(f"{vendor_class} is none of diffusers' schedulers; give one of those")
        self._vendor = vendor_type(**vendor)
        self._prediction = self._shifted = Prediction.of(self._vendor)
        self.noise: Normal | None = None
        self.num_inference_steps: int | None = None
        self.timesteps = torch.empty(0)
        self._plan = Plan(self._sampler(), (), (), [])
        self._reset(0)

    @classmethod
    def from_scheduler(cls, scheduler: Any, **settings: Any) -> GlassScheduler:
        """For a network that was trained with ``scheduler``, any of diffusers' own.

        settings: those of the class, by keyword.

        Raises ValueError where its prediction type is not known or a setting is wrong.
        """
        if isinstance(scheduler, cls):
            scheduler = scheduler.vendor
        vendor = {k: v for k, v in scheduler.config.items() if not k.startswith("_")}
        ours: GlassScheduler = cls(vendor_class=type(scheduler).__name__, vendor=vendor, **settings)
        return ours

    @classmethod
    def extract_init_dict(cls, config_dict: Any, **kwargs: Any) -> Any:
        """The vendor's settings stand in a saved configuration twice; once they are read."""
        vendor = (config_dict.get("vendor") or {}).keys() - cls._get_init_keys(cls)
        own = {k: v for k, v in config_dict.items() if k not in vendor}
        return super().extract_init_dict(own, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        """A copy begins anew: a call that is half done stays with the original."""
        rested = object.__new__(type(self))
        rested.__dict__.update(self.__dict__)
        rested._reset(0)
        return rested.__dict__

    @property
    def vendor(self) -> Any:
        """The scheduler of diffusers that the network was trained with."""
        return self._vendor

    def _sampler(self, grid: tuple[float, ...] | None = None) -> Sampler:
        """The sampler of the settings, with network calls at the times of ``grid`` where given."""
        c = self.config
        times: Times = tuple(c.times) if isinstance(c.times, (list, tuple)) else c.times
        # an ODE's steps fall where its schedule has them, not where transitions would end
        transitions = 1 if c.sampler == "ode" else c.transitions
        if grid is not None:
            times = ends_among(grid, times, transitions)
        if not isinstance(times, str) and times and times[0] != 0.0:
            raise ValueError(f"times must begin at 0, where a pipeline's noise is (got {times[0]})")
        if c.sampler == "glass":
            return Glass(transitions, None, c.rho, c.kappa, c.order, times, c.inner)
        if c.sampler == "ode":
            return Ode(transitions, None, "euler" if c.order == 1 else "multistep", times, grid)
        if c.sampler == "sde":
            return Sde(transitions, None, "ancestral", times, grid=grid)
        raise ValueError(f"sampler must be glass, ode or sde (got {c.sampler})")

    # What a pipeline calls

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        sigmas: Sequence[float] | None = None,
        mu: float | None = None,
        timesteps: Sequence[float] | None = None,
    ) -> None:
        """Plans the network calls; afterwards ``timesteps`` holds the vendor's clock at each.

        num_inference_steps: how many, 1 or more; not needed beside sigmas or timesteps.
        device: where ``timesteps`` are wanted.
        sigmas: times of the calls as FlowMatchEulerDiscreteScheduler takes them: falling from 1,
            before the shift. An ODE and an SDE call there; a GLASS transition begins at the first
            of its own and places the others by its inner path. Even ones, which pipelines pass by
            themselves, stand for their number.
        mu: the time shift that a pipeline works out from the picture's size.
        timesteps: the same by the vendor's clock, as ``timesteps`` will show them. Together with
            sigmas they are a pipeline's own, and stand for their number.

        Raises ValueError for fewer calls than transitions and for times that do not fall from
        noise.
        """
        given = timesteps if sigmas is None else sigmas
        calls = num_inference_steps if given is None else len(given)
        if calls is None or calls < 1 or num_inference_steps not in (None, calls):
            raise ValueError(
                f"num_inference_steps must be at least 1, and the number of sigmas or timesteps"
                f" where those are given (got {num_inference_steps} and {calls})"
            )
        self.num_inference_steps = calls
        both = timesteps is not None and sigmas is not None
        self._shifted = self._prediction.shifted_by(self._vendor, mu, both)
        times = None if both else given_times(self._shifted, sigmas, timesteps)
        self._plan = plan(self._shifted, self._sampler(times), calls)
        clock = [self._shifted.timestep(call.t) for call in self._plan.calls]
        whole = self._shifted.kind != "flow"
        self.timesteps = torch.tensor(
            clock, dtype=torch.int64 if whole else torch.float32, device=device
        )
        self._reset(0)

    def set_begin_index(self, begin_index: int = 0) -> None:
        """The number of the first call, for pipelines that begin half-way."""
        self._reset(begin_index)

    def _reset(self, index: int) -> None:
        self._index = index
        self._running: greenlet | None = None
        self._question: Tensor | None = None  # in full precision
        self._handed: Tensor | None = None  # the same, as the pipeline has it
        self._start: Start | None = None
        self._draws: Draws | None = None
        self._own: Normal | None = None

    def scale_model_input(self, sample: Tensor, timestep: Any = None) -> Tensor:
        """The sample itself: models are asked on the path that they were trained on."""
        return sample

    def step(
        self,
        model_output: Tensor,
        timestep: Any,
        sample: Tensor,
        generator: torch.Generator | list[torch.Generator] | None = None,
        return_dict: bool = True,
        **_: Any,
    ) -> GlassSchedulerOutput | tuple[Tensor, Tensor]:
        """The next network call's input, or after the last call the clean sample; and the mean.

        model_output: what the network (with its guidance) gave for ``sample``, (N, *shape).
        timestep: not used, calls are counted.
        sample: the latents that the network saw.
        generator: where noise comes from, unless the scheduler has a seed or ``noise``.
        return_dict: False gives a tuple.

        Raises ValueError after the last of the planned calls.
        """
        if self._index >= len(self._plan.calls):
            raise ValueError("all planned calls are done; call set_timesteps for another run")
        call = self._plan.calls[self._index]
        kind = state_dtype(sample.device)
        ours = sample is self._handed
        x = self._question if ours and self._question is not None else sample.to(kind)
        x_hat = self._shifted.denoised(x, call.t, model_output.to(kind))
        self._start = None
        if self._running is None or not ours:
            if call.j == 0:
                self._start = Start(call.k, call.t, x, x_hat)
            self._draws = Draws(self._normal(model_output, generator))
            answer = self._begin(call, x, x_hat, self._draws)
        else:
            answer = self._running.switch(x_hat)
        self._index += 1
        latents, mean = self._hand(answer, sample.dtype), x_hat.to(sample.dtype)
        return GlassSchedulerOutput(latents, mean) if return_dict else (latents, mean)

    def _begin(self, call: Call, x: Tensor, x_hat: Tensor, normal: Normal) -> Any:
        """Runs the transition of ``call``, entered at it, until it asks or is done."""
        sampler, flow = self._plan.sampler, Asking(self._shifted)
        t, t_next = self.ends[call.k], self.ends[call.k + 1]
        calls = self._plan.shares[call.k]
        self._running = greenlet(
            lambda: sampler.transition(flow, x, x_hat, t, t_next, normal, calls, first=call.j)
        )
        return self._running.switch()

    def _hand(self, answer: Any, dtype: torch.dtype) -> Tensor:
        """Keeps the next question, and gives it as the pipeline wants it."""
        assert self._running is not None
        if self._running.dead:
            self._running, self._question = None, answer
        else:
            self._question = answer[0]
        self._handed = self._question.to(dtype)
        return self._handed

    def _normal(self, like: Tensor, generator: Any) -> Normal:
        """Where the noise of a batch like ``like`` comes from."""
        if self.noise is not None:
            return self.noise
        kind = state_dtype(like.device)
        if self.config.seed is None:
            # shorter types than float32 would round the noise
            drawn = torch.promote_types(like.dtype, torch.float32)
            options = {"generator": generator, "device": like.device, "dtype": drawn}
            return lambda: randn_tensor(like.shape, **options).to(kind)
        if self._own is None:
            state = torch.empty(0, device=like.device, dtype=kind)
            shape = tuple(like.shape[1:])
            self._own = ParticleNoise(self.config.seed, "", len(like), shape, state)
        return self._own

    # What steering calls

    @property
    def ends(self) -> tuple[float, ...]:
        """The K + 1 times between which the transitions run."""
        return self._plan.ends

    @property
    def start(self) -> Start | None:
        """The transition that the last step began; None where it was another call."""
        return self._start

    @property
    def path(self) -> Path:
        """alpha_t and sigma_t that the network was trained with."""
        return self._shifted.path

    @property
    def shift(self) -> float:
        """Time shift of the network's own schedule, for this picture's size."""
        return self._shifted.shift

    @property
    def calls_done(self) -> int:
        """Network calls since the run began."""
        return self._index

    @property
    def finished(self) -> bool:
        return self._index >= len(self._plan.calls)

    def resample(self, ancestors: Tensor) -> Tensor:
        """The next call's latents after the particles were replaced by copies of ``ancestors``.

        Only right after a step that began a transition: it is begun anew from the copies, with the
        noise that was drawn, so that copies part. No network call is made.
        """
        if self._start is None or self._handed is None or self._draws is None:
            raise ValueError("particles can only be resampled where a transition begins")
        there = ancestors.to(self._start.x.device)
        x, x_hat = self._start.x[there], self._start.x_hat[there]
        self._start = self._start._replace(x=x, x_hat=x_hat)
        self._draws = self._draws.again()
        answer = self._begin(Call(self._start.k, 0, self._start.t), x, x_hat, self._draws)
        return self._hand(answer, self._handed.dtype)

    # What img2img calls

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """x_t = alpha_t z + sigma_t eps at the vendor's ``timesteps`` (N,)."""
        clock = timesteps.flatten().tolist()
        at = [self._shifted.path.at(self._shifted.time_at(value)) for value in clock]
        shape = (-1,) + (1,) * (original_samples.dim() - 1)
        alpha = original_samples.new_tensor([a.alpha for a in at]).view(shape)
        sigma = original_samples.new_tensor([a.sigma for a in at]).view(shape)
        return alpha * original_samples + sigma * noise

    def scale_noise(self, sample: Tensor, timestep: Tensor, noise: Tensor) -> Tensor:
        """The same by the name and order of arguments that flow matching pipelines use."""
        return self.add_noise(sample, noise, timestep)

    @property
    def sigmas(self) -> Tensor:
        """sigma_t at every call and at the end."""
        values = [self._shifted.path.at(call.t).sigma for call in self._plan.calls]
        return torch.tensor([*values, 0.0], device=self.timesteps.device)

    def __len__(self) -> int:
        return self._prediction.train_steps
