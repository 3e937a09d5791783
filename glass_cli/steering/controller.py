"""What a transition is given, decided where it begins: network calls, and particles at most."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from glass_cli.method.path import Path, TooFewTimes
from glass_cli.steering.base import Steering


class Controller:
    """Calls of each transition, beside the sampler that makes them.

    Where the steering decides on the way how many particles go on, calls that fewer of them leave
    unspent make the transitions that follow longer; nothing is spent beyond ``total``. Else they
    are as planned.

    steering: decides how many go on.
    times: the K + 1 times between which transitions run.
    calls: planned, of a particle in each transition.
    total: network calls of all particles together.
    made: the network calls so far.
    fixed: each transition has the calls that are planned; what is unspent is saved.
    path: the model's, which may know only so many times between two.
    """

    def __init__(
        self,
        steering: Steering,
        times: Sequence[float],
        calls: Sequence[int],
        total: int,
        made: Callable[[], int],
        fixed: bool,
        path: Path,
    ) -> None:
        self._calls, self._total, self._made = calls, total, made
        self._times, self._path = times, path
        self._adapts, self._extra = steering.adapts and not fixed, steering.extra_calls()
        self._scored = steering.scored(times) if self._extra else []

    def most(self, k: int) -> int | None:
        """How many particles can go on from where transition ``k`` begins with a call in each that
        is left; None where their number is planned, or none is left to pay for."""
        each = len(self._calls) - 1 - k + self._rewards_after(k)
        if not self._adapts or each == 0:
            return None
        return max(1, (self._total - self._made()) // each)

    def calls(self, k: int, particles: int) -> int:
        """Of a particle in transition ``k``, with so many; x_hat is the first, and made by now."""
        if not self._adapts or k == 0:  # nothing is saved yet, and the sampler's start is known
            return self._calls[k]
        left = self._total - self._made() - particles * self._rewards_after(k)
        share = max(1, (left + particles) // ((len(self._calls) - k) * particles))
        while share > self._calls[k] and not self._has_times(k, share):
            share -= 1
        return share

    def _has_times(self, k: int, calls: int) -> bool:
        """Whether the model knows so many times within transition ``k``."""
        t, t_next = self._times[k], self._times[k + 1]
        even = [t + (t_next - t) * (i + 1) / (calls + 1) for i in range(calls)]
        try:
            self._path.snap(even, t, t_next)
        except TooFewTimes:
            return False
        return True

    def _rewards_after(self, k: int) -> int:
        """Network calls a particle of the rewards that are asked for after transition ``k``."""
        return self._extra * sum(after > k for after in self._scored)
