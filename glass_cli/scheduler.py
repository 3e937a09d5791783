"""GLASS, ODE and SDE samplers as a drop-in scheduler for diffusers pipelines.

    import glass_cli as glass

    pipe.scheduler = glass.GlassScheduler.from_scheduler(pipe.scheduler, transitions=5)
    image = pipe("a photo of a dog", num_inference_steps=50).images[0]

The samplers are those of :mod:`glass_cli.method`, suspended wherever they ask the network:
:meth:`GlassScheduler.step` hands them the answer and returns the next question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import diffusers
import torch
from diffusers import ConfigMixin, SchedulerMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

import glass_cli.pipelines.codec  # noqa: F401 - diffusers finds the embedded decoder only then
from glass_cli.method.flow import Normal
from glass_cli.method.noise import ParticleNoise
from glass_cli.method.path import Path
from glass_cli.pipelines.chosen_sampler import chosen_sampler
from glass_cli.pipelines.given_times import given_times
from glass_cli.pipelines.plan import CallPlan, plan
from glass_cli.pipelines.prediction import Prediction, state_dtype
from glass_cli.pipelines.stepper import Start, Stepper


@dataclass
class GlassSchedulerOutput(BaseOutput):
    """What :meth:`GlassScheduler.step` gives.

    prev_sample: the next network call's input, (N, *shape).
    pred_original_sample: the posterior mean E[z | what the network saw], (N, *shape): the picture
        as far as it is decided, to be shown or scored.
    """

    prev_sample: Tensor
    pred_original_sample: Tensor


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
        rho: str | float | Sequence[Any] = "ddpm",
        kappa: float = 1.0,
        order: int = 2,
        times: str | Sequence[float] = "schedule",
        inner: str = "snr",
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
        self._plan = CallPlan(chosen_sampler(self.config), (), (), [])
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

        The parameters are those of diffusers' FlowMatchEulerDiscreteScheduler, in its order.

        num_inference_steps: how many, 1 or more; not needed beside sigmas or timesteps.
        device: where ``timesteps`` are wanted.
        sigmas: times of the calls as noise levels, falling from 1, before the vendor's shift. An
            ODE and an SDE call there; a GLASS transition begins at the first of its own and places
            the others by its inner path. Even ones, which pipelines pass by themselves, stand for
            their number.
        mu: the time shift that a pipeline works out from the picture's size.
        timesteps: the same by the vendor's clock, as ``timesteps`` will show them. Beside sigmas
            they say which clock the network is told, that before or after the shift.

        Raises ValueError for fewer calls than transitions, for times that do not fall from noise,
        and where sigmas and timesteps disagree.
        """
        given = timesteps if sigmas is None else sigmas
        calls = num_inference_steps if given is None else len(given)
        if calls is None or calls < 1 or num_inference_steps not in (None, calls):
            raise ValueError(
                f"num_inference_steps must be at least 1, and the number of sigmas or timesteps"
                f" where those are given (got {num_inference_steps} and {calls})"
            )
        self._shifted, times = given_times(self._prediction, self._vendor, sigmas, timesteps, mu)
        self.num_inference_steps = calls
        self._plan = plan(self._shifted, chosen_sampler(self.config, times), calls)
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
        self._run = Stepper(self._plan, self._shifted, index)
        self._own: Normal | None = None
        self._began = 0  # with so many particles
        self._like: Tensor | None = None

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
        run = self._run
        if run.finished:
            raise ValueError("all planned calls are done; call set_timesteps for another run")
        kind = state_dtype(sample.device)
        x, goes_on = run.question(sample, kind)
        t = self._plan.calls[run.index].t
        x_hat = self._shifted.denoised(x, t, model_output.to(kind))
        self._like, self._generator = model_output, generator
        normal = self._normal(model_output)
        latents, mean = run.answer(x, x_hat, goes_on, normal, sample.dtype), x_hat.to(sample.dtype)
        return GlassSchedulerOutput(latents, mean) if return_dict else (latents, mean)

    def _normal(self, like: Tensor) -> Normal:
        """Where the noise of a batch like ``like`` comes from, of which a part may have gone."""
        if self._began == 0:
            self._began = len(like)
        if self.noise is not None:
            return self._first(self.noise, len(like))
        kind = state_dtype(like.device)
        if self.config.seed is None:
            # shorter types than float32 would round the noise
            drawn = torch.promote_types(like.dtype, torch.float32)
            given = self._generator
            own = given[: len(like)] if isinstance(given, list) else given
            options = {"generator": own, "device": like.device, "dtype": drawn}
            return lambda: randn_tensor(like.shape, **options).to(kind)
        if self._own is None:
            state = torch.empty(0, device=like.device, dtype=kind)
            shape = tuple(like.shape[1:])
            self._own = ParticleNoise(self.config.seed, "", len(like), shape, state)
        return self._first(self._own, len(like))

    def _first(self, normal: Normal, count: int) -> Normal:
        """The noise of the first ``count`` of all that began."""
        return normal if count == self._began else lambda: normal()[:count]

    # What steering calls

    @property
    def ends(self) -> tuple[float, ...]:
        """The K + 1 times between which the transitions run."""
        return self._plan.ends

    @property
    def start(self) -> Start | None:
        """The transition that the last step began; None where it was another call."""
        return self._run.start

    @property
    def path(self) -> Path:
        """alpha_t and sigma_t that the network was trained with."""
        return self._shifted.path

    @property
    def shift(self) -> float:
        """Time shift of the network's own schedule, for this picture's size."""
        return self._shifted.shift

    def this_run(self) -> Callable[[], bool]:
        """Whether the run that goes on now still does, when that is asked later."""
        run = self._run
        return lambda: self._run is run

    @property
    def finished(self) -> bool:
        """Whether all planned calls are done."""
        return self._run.finished

    def resample(self, ancestors: Tensor) -> Tensor:
        """The next call's latents after the particles were replaced by copies of ``ancestors``, as
        many or fewer.

        Only right after a step that began a transition: it is begun anew from the copies, with the
        noise that was drawn, so that copies part. No network call. ValueError elsewhere.
        """
        if self._like is None:
            raise ValueError("particles can only be resampled where a transition begins")
        return self._run.resampled(ancestors, self._normal(self._like[: len(ancestors)]))

    # What img2img calls

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """x_t = alpha_t z + sigma_t eps at the vendor's ``timesteps`` (N,)."""
        return self._shifted.noised(original_samples, noise, timesteps)

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
