"""A plan done one network call at a time, by whoever owns the network.

diffusers' pipelines call their scheduler, where the samplers of :mod:`glass_cli.method` call the
network: a transition runs in a greenlet, which is suspended wherever it asks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from greenlet import greenlet
from torch import Tensor

from glass_cli.method.flow import Normal
from glass_cli.pipelines.plan import Asking, Call, CallPlan, Draws
from glass_cli.pipelines.prediction import Prediction


class Start(NamedTuple):
    """A transition that has just begun: its number, time, particles and their x_hat = D_t(x)."""

    k: int
    t: float
    x: Tensor
    x_hat: Tensor


class Stepper:
    """A run of ``plan``, entered at its call number ``index``.

    plan: the sampler and its network calls.
    prediction: the network's path and clock.

    index: of the call that comes next.
    start: the transition that the last call began; None where it was another call.
    """

    def __init__(self, plan: CallPlan, prediction: Prediction, index: int = 0) -> None:
        self.plan = plan
        self.prediction = prediction
        self.index = index
        self.start: Start | None = None
        self._running: greenlet | None = None
        self._question: Tensor | None = None  # in full precision
        self._handed: Tensor | None = None  # the same, as the pipeline has it
        self._draws: Draws | None = None

    @property
    def finished(self) -> bool:
        """Whether all planned calls are done."""
        return self.index >= len(self.plan.calls)

    def question(self, sample: Tensor, dtype: torch.dtype) -> tuple[Tensor, bool]:
        """What the network was asked, in full precision where ``sample`` is what was handed out.

        Otherwise ``sample`` itself in ``dtype``, and False: the pipeline changed it, and the
        transition is entered anew.
        """
        if sample is self._handed and self._question is not None:
            return self._question, True
        return sample.to(dtype), False

    def answer(
        self, x: Tensor, x_hat: Tensor, goes_on: bool, normal: Normal, dtype: torch.dtype
    ) -> Tensor:
        """The next question, or after the last call the clean sample.

        x, x_hat: what the network was asked and its denoised answer, (N, *shape).
        goes_on: whether ``x`` is what was handed out last.
        normal: draws noise for a transition that begins here.
        dtype: what the pipeline wants.
        """
        call = self.plan.calls[self.index]
        self.start = None
        if self._running is not None and goes_on:
            answer = self._running.switch(x_hat)
        else:
            if call.j == 0:
                self.start = Start(call.k, call.t, x, x_hat)
            self._draws = Draws(normal)
            answer = self._begin(call, x, x_hat, self._draws)
        self.index += 1
        return self._hand(answer, dtype)

    def resampled(self, ancestors: Tensor, normal: Normal) -> Tensor:
        """The next question after the particles were replaced by copies of ``ancestors``, as many
        or fewer.

        The transition is begun anew from the copies, with the noise that was drawn and then that of
        ``normal``. Raises ValueError where no transition has just begun, and for more particles.
        """
        if self.start is None or self._draws is None or self._handed is None:
            raise ValueError("particles can only be resampled where a transition begins")
        if len(ancestors) > len(self.start.x):
            raise ValueError(
                f"a pipeline's call cannot go on with {len(ancestors)} pictures after"
                f" {len(self.start.x)}; only fewer or as many can"
            )
        there = ancestors.to(self.start.x.device)
        x, x_hat = self.start.x[there], self.start.x_hat[there]
        self.start = self.start._replace(x=x, x_hat=x_hat)
        self._draws = self._draws.again(normal, len(x))
        call = Call(self.start.k, 0, self.start.t)
        return self._hand(self._begin(call, x, x_hat, self._draws), self._handed.dtype)

    def _begin(self, call: Call, x: Tensor, x_hat: Tensor, normal: Normal) -> Any:
        """Runs the transition of ``call``, entered at it, until it asks or is done."""
        sampler, flow = self.plan.sampler, Asking(self.prediction)
        t, t_next = self.plan.ends[call.k], self.plan.ends[call.k + 1]
        calls = self.plan.shares[call.k]
        self._running = greenlet(
            lambda: sampler.transition(flow, x, x_hat, t, t_next, normal, calls, first=call.j)
        )
        return self._running.switch()

    def _hand(self, answer: Any, dtype: torch.dtype) -> Tensor:
        """Keeps what the greenlet said, its question (x, t) or where the particles arrived, and
        gives the particles in ``dtype``."""
        assert self._running is not None
        if self._running.dead:
            self._running, self._question = None, answer
        else:
            self._question = answer[0]
        self._handed = self._question.to(dtype)
        return self._handed
