"""What ``benchmark=posterior`` measures of one prompt."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from glass_cli.common.errors import GlassError
from glass_cli.engine.draw import Work
from glass_cli.method.distance import rms, sliced_w2
from glass_cli.method.flow import Flow, Normal, Sampler
from glass_cli.method.glass import Glass, Inner
from glass_cli.method.noise import ParticleNoise
from glass_cli.method.ode import Ode
from glass_cli.method.path import TooFewTimes
from glass_cli.method.sde import Sde
from glass_cli.pipelines.batches import Batches
from glass_cli.steering.state import CountedFlow, NotFinite, finite
from glass_cli.studies.base import Watch

METHODS = ("SDE", "ancestral", "GLASS 1", "GLASS 2")


def samplers(inner: Inner = "s") -> dict[str, Sampler]:
    """Samplers of one transition by name; ``inner`` is where GLASS's steps lie."""
    of_methods: tuple[Sampler, ...] = (
        Sde(1, method="euler_maruyama"),
        Sde(1, method="ancestral"),
        Glass(1, order=1, inner=inner),
        Glass(1, order=2, inner=inner),
    )
    return dict(zip(METHODS, of_methods, strict=True))


def posterior_rows(
    flow: Flow,
    x: Tensor,
    t: float,
    draws: int,
    calls: Sequence[int],
    reference: int,
    normal: Callable[[str], Normal],
    reward: Callable[[Tensor], Tensor],
    inner: Inner = "s",
    progress: Callable[[int], None] = lambda steps: None,
) -> dict[str, Any]:
    """Everything measured of one batch of x_t, as a JSON record.

    flow: the model under its prompt.
    x: x_t (S, *shape), at time ``t`` between 0 and 1.
    draws: J of p(x_1 | x_t) for each x_t, 2 or more.
    calls: network calls M of a draw.
    reference: network calls of a reference's draw.
    normal: gives, by a name, a source of noise (S * J, *shape) that begins anew at each call;
        GLASS and the first reference share theirs.
    reward: scores clean particles.
    inner: where GLASS's steps lie; the references' are spread over effective times.
    progress: told the network calls a draw of what is finished, in all as :func:`row_calls`.

    Lists of rewards and values have one number an x_t.
    """
    size = len(x)
    x_hat = flow.denoise(x, t)
    repeated, repeated_hat = x.repeat_interleave(draws, 0), x_hat.repeat_interleave(draws, 0)

    def posterior_draws(sampler: Sampler, noise: str, m: int) -> Tensor:
        z = sampler.transition(flow, repeated, repeated_hat, t, 1.0, normal(noise), m)
        progress(m)
        return z

    def values(z: Tensor) -> list[float]:
        means: list[float] = reward(z).detach().double().reshape(size, draws).mean(1).tolist()
        return means

    best = samplers("times")["GLASS 2"]
    same_noise = posterior_draws(best, "glass", reference)
    independent = posterior_draws(best, "reference", reference)
    rows = []
    for m in calls:
        for name, sampler in samplers(inner).items():
            glass = name.startswith("GLASS")
            z = posterior_draws(sampler, "glass" if glass else name, m)
            rows.append(
                {
                    "method": name,
                    "calls": m,
                    "endpoint": rms(z, same_noise) if glass else None,
                    "w2": sliced_w2(z, independent, size),
                    "values": values(z),
                }
            )
    return {
        "t": t,
        "floor": sliced_w2(same_noise, independent, size),
        "x_hat_rewards": reward(x_hat).detach().double().tolist(),
        "reference_values": values(independent),
        "second_reference_values": values(same_noise),
        "rows": rows,
    }


def row_calls(calls: Sequence[int], reference: int) -> int:
    """Network calls of one draw by every method and both references, x_hat's included each time."""
    return 2 * reference + len(METHODS) * sum(calls)


@dataclass(frozen=True)
class PosteriorMeasurement:
    """Measures one prompt after the other; called with a prompt.

    work: model, reward and micro-batch size.
    negative_prompt, seed: of the run.
    sample_calls: network calls of the samples that are noised.

    The others are those of :class:`glass_cli.studies.posterior.PosteriorStudy`.
    """

    work: Work
    negative_prompt: str
    seed: int
    samples: int
    draws: int
    times: Sequence[float]
    calls: Sequence[int]
    reference: int
    sample_calls: int
    inner: Inner

    def __call__(self, prompt: str, watch: Watch) -> dict[str, Any]:
        """The prompt's part of the study. Raises GlassError."""
        try:
            return self._measure(prompt, watch)
        except TooFewTimes as error:
            raise GlassError(f"benchmark.calls and benchmark.reference: {error}") from error
        except NotFinite as error:
            raise GlassError(f'benchmark=posterior, "{prompt}": {error}') from error

    def _measure(self, prompt: str, watch: Watch) -> dict[str, Any]:
        began, model = time.monotonic(), self.work.model
        prompted = model.prompted(prompt, self.negative_prompt, self.work.micro_batch)
        flow, scored = CountedFlow(prompted), _Scores(self.work, prompt)
        done, total = 0, len(self.times) * row_calls(self.calls, self.reference)

        def progress(calls: int) -> None:
            nonlocal done
            done += calls
            watch(done / total)

        records = []
        try:
            data = self._data(flow, prompt)
            for even in self.times:
                t = flow.path.snap([flow.path.time_of(((1.0 - even) / even) ** 2)], 0.0, 1.0)[0]
                alpha, sigma, _, _ = flow.path.at(t)
                x_t = alpha * data + sigma * self._noise(prompt, f"noised to {even}", 1)()
                records.append(
                    posterior_rows(
                        flow,
                        x_t,
                        t,
                        self.draws,
                        self.calls,
                        self.reference,
                        lambda name, even=even: self._noise(  # type: ignore[misc]  # its default
                            prompt, f"{name} from {even}", self.draws
                        ),
                        scored,
                        self.inner,
                        progress,
                    )
                )
        finally:
            prompted.close()
        return {
            "prompt": prompt,
            "times": records,
            "nfe": flow.calls,
            "reward_calls": scored.count,
            "seconds": time.monotonic() - began,
        }

    def _data(self, flow: Flow, prompt: str) -> Tensor:
        """The model's own samples (S, *shape), by its ODE."""
        ode = Ode(1)
        start = ode.outer_times(flow)[0]
        x = self._noise(prompt, "samples", 1)()
        x_hat = flow.denoise(x, start)
        return ode.transition(flow, x, x_hat, start, 1.0, lambda: x, self.sample_calls)

    def _noise(self, prompt: str, name: str, each: int) -> ParticleNoise:
        """Noise under a name, for ``each`` draws of every x_t."""
        model = self.work.model
        key = f"{prompt}\x1fposterior {name}"
        return ParticleNoise(self.seed, key, self.samples * each, model.shape, model.state)


class _Scores:
    """Rewards (N,) of clean particles (N, *shape); counts how many were scored."""

    def __init__(self, work: Work, prompt: str) -> None:
        self._work, self._prompt = work, prompt
        self._decoding = Batches(work.micro_batch)
        self.count = 0

    def __call__(self, z: Tensor) -> Tensor:
        """Raises NotFinite for a reward that is NaN or infinite."""
        assert self._work.reward is not None
        with torch.no_grad():
            r = self._work.reward.score(
                self._decoding.map(self._work.model.decode, z), self._prompt
            )
        self.count += len(z)
        return finite(r, "the reward", 1, 1.0)
