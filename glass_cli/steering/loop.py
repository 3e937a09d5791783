"""One steered run, as a generator of its steps: progress, logs and pictures are its consumers.

:class:`Driver` weighs, resamples and chooses; who moves the particles from one time to the next is
:func:`steer`, or a diffusers pipeline with :class:`glass_cli.callback.SteeringCallback`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from glass_cli.method.budget import transition_calls
from glass_cli.method.flow import Flow, Normal, Sampler
from glass_cli.method.noise import ParticleNoise, of_slots
from glass_cli.steering.base import Reward, Steering
from glass_cli.steering.budget import planned_calls
from glass_cli.steering.controller import Controller
from glass_cli.steering.particles import Particles
from glass_cli.steering.search import Search
from glass_cli.steering.searching import Searching
from glass_cli.steering.sizes import steering_sizes
from glass_cli.steering.state import CountedFlow, Step, finite, particle_number, scores


class Driver:
    """Weighs, resamples and chooses the particles of one run, wherever they are moved.

    steering: decides all that.
    times: the K + 1 times between which transitions run.
    choice: gives the uniforms of resampling and of the final draw.
    nfe: the network calls of all particles so far, asked at every step.
    """

    def __init__(
        self,
        steering: Steering,
        times: Sequence[float],
        choice: torch.Generator,
        nfe: Callable[[], int],
    ) -> None:
        self.times = tuple(times)
        self._steering, self._choice, self._nfe = steering, choice, nfe
        self._scored = frozenset(steering.scored(self.times))
        self._sizes: Sequence[int] | None = None
        self._start = 0
        self._particles: Particles | None = None

    def step(
        self,
        k: int,
        x: Tensor,
        x_hat: Tensor,
        score: Callable[[Particles, float], Tensor] | None,
        most: Callable[[int], int | None] = lambda k: None,
    ) -> Step:
        """The particles where transition ``k`` begins, scored and resampled as steering wants.

        Their number may change, so that the next step has others.

        x, x_hat: x_t and D_t(x_t), (N, *shape).
        score: gives the rewards (N,) of particles at time t; None where there is no reward.
        most: how many can go on from transition k, where steering decides their number now.

        Raises NotFinite for a reward that is NaN or infinite, ValueError for one of another shape
        and for numbers of particles that cannot be.
        """
        t, r, ancestors = self.times[k], None, None
        if self._particles is None:
            particles = Particles.at_start(x, x_hat)
            self._sizes = steering_sizes(self._steering, len(self.times) - 1, len(x))
            self._start = len(x)
        else:
            particles = replace(self._particles, x=x, x_hat=x_hat)
        particles = replace(particles, t=t)
        size = len(x) if self._sizes is None else self._sizes[k]
        if score is not None and k in self._scored:
            r = scores(score(particles, t), len(x), k, t)
            particles = self._steering.weigh(particles, r)
        log_w, ess = particles.log_w, particles.ess
        if r is not None:
            now = self._steering.size_now(particles, self._start)
            if now is not None:
                if now < 1:
                    raise ValueError(
                        f"{type(self._steering).__name__}.size_now gave {now}, not 1 or more"
                    )
                size = min(int(now), most(k) or int(now))
            count = max(len(x), size)
            u = torch.rand(count, generator=self._choice, dtype=torch.float64)
            ancestors = self._steering.ancestors(particles, u, size)
            if ancestors is not None:
                particles = particles.resampled(ancestors)
        self._particles = particles
        return Step(k, t, particles, r, log_w, ess, ancestors, self._nfe())

    def finish(self, x: Tensor, reward: Reward | None) -> Step:
        """The step at t=1: final rewards of ``x`` (N, *shape), weights and the answer.

        Raises NotFinite for a particle or a reward that is NaN or infinite, ValueError for rewards
        of another shape than (N,) and for a choice that is none of the particles.
        """
        assert self._particles is not None
        k, particles = len(self.times) - 1, replace(self._particles, x=x, x_hat=x, t=1.0)
        finite(x.flatten(1).sum(1), "the sum of the values", k, 1.0)
        r = None if reward is None else scores(reward(x), len(x), k, 1.0)
        if r is not None:
            particles = self._steering.finish(particles, r)
        u = torch.rand(1, generator=self._choice, dtype=torch.float64)
        chosen = particle_number(self._steering.choose(particles, r, u), len(x), self._steering)
        log_w, ess = particles.log_w, particles.ess
        return Step(k, 1.0, particles, r, log_w, ess, None, self._nfe(), chosen)


def steer(
    flow: Flow,
    sampler: Sampler,
    steering: Steering,
    reward: Reward | None,
    normal: Normal,
    choice: torch.Generator,
    value_normal: Normal | None = None,
    calls: Sequence[int] | None = None,
    budget: int | None = None,
) -> Iterator[Step]:
    """Draws N particles from noise to data in K transitions and yields K + 1 steps.

    Where the steering changes their number, slot n of the particles goes on with its own noise.

    flow: the model under its prompt.
    sampler, steering: how transitions are made, and what happens between them.
    reward: scores clean particles; None for none.
    normal: each particle's noise, (N, *shape), or with a number that of the first so many slots.
    choice: gives the uniforms of resampling and of the final draw.
    value_normal: the noise of posterior values; None takes ``normal``.
    calls: network calls a particle of each of the K transitions, see
        :mod:`glass_cli.method.budget`; None takes the sampler's ``steps``.
    budget: network calls of all together, of a steering that searches or decides on the way how
        many go on; None is what ``calls`` of all that begin, and their posterior values, make.

    A run of N particles makes N * sum(calls) network calls, and those of posterior values: x_hat
    at the start of a transition is its first call, so scoring it costs none.

    Raises NotFinite for a NaN or infinite reward or particle, and ValueError for rewards that are
    not one a particle, for calls that are not one or more a transition, and for a steering that
    searches without a reward or a :class:`glass_cli.method.noise.ParticleNoise`.
    """
    counted = CountedFlow(flow)
    times = sampler.outer_times(counted)
    if calls is None:
        calls = transition_calls(sampler, len(times) - 1)
    if len(calls) != len(times) - 1 or min(calls) < 1:
        raise ValueError(
            f"calls={list(calls)} must be one or more for each of {len(times) - 1} transitions"
        )
    times = (sampler.first_time(counted, times[0], times[1], calls[0]), *times[1:])
    if isinstance(steering, Searching):
        if reward is None or not isinstance(normal, ParticleNoise):
            raise ValueError("a steering that searches needs a reward and ParticleNoise")
        total = normal.particles * sum(calls) if budget is None else budget
        search = Search(
            counted, sampler, reward, normal, times, calls, total, normal.particles, choice
        )
        yield from steering.search(search)
        return
    driver = Driver(steering, times, choice, lambda: counted.calls)

    def score(particles: Particles, t: float) -> Tensor:
        assert reward is not None
        values = of_slots(value_normal or normal, start, len(particles.x))
        return steering.rewards(counted, particles, t, reward, values)

    x = normal()
    start = len(x)
    total = planned_calls(steering, times, start, calls) if budget is None else budget
    fixed = sampler.steps is not None
    controller = Controller(
        steering, times, calls, total, lambda: counted.calls, fixed, counted.path
    )
    scoring = None if reward is None else score
    for k, (t, t_next) in enumerate(itertools.pairwise(times)):
        step = driver.step(k, x, counted.denoise(x, t), scoring, controller.most)
        yield step
        now = step.particles
        noise, made = of_slots(normal, start, len(now.x)), controller.calls(k, len(now.x))
        x = sampler.transition(counted, now.x, now.x_hat, t, t_next, noise, made)
    yield driver.finish(x, reward)
