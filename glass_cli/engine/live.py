"""What a run says while it works: prompts done and left, and how the particles fare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from glass_cli.common.closing import Closing
from glass_cli.engine.summary import numbers
from glass_cli.output.progress import Progress

if TYPE_CHECKING:
    from glass_cli.output.finished import Unit
    from glass_cli.steering.state import Step


class Live(Closing):
    """A progress bar over units, with the running means of what they are judged by.

    total: units, of which the results ``before`` were finished by earlier runs and do not count
        for the time left.
    particles: of each unit.
    """

    def __init__(self, total: int, before: Iterable[Mapping[str, Any]], particles: int) -> None:
        self._sums: dict[str, tuple[float, int]] = {}
        self._done = 0
        for result in before:
            self._add(result)
        self._progress = Progress(total, "prompt" if total == 1 else "picture", before=self._done)
        self._particles = particles

    def close(self) -> None:
        self._progress.close()

    def step(self, unit: Unit, step: Step) -> None:
        """A step of a unit that is being drawn: its share of the way counts as done."""
        values = {"ESS": step.ess} if self._particles > 1 else {}
        if step.rewards is not None:
            values["best"] = float(step.rewards.max())
        if step.t < 1.0:
            self._progress.update(self._done + step.t, values)

    def finished(self, result: Mapping[str, Any]) -> dict[str, float]:
        """A finished unit; returns the running means of all."""
        self._add(result)
        means = {name: total / count for name, (total, count) in self._sums.items()}
        self._progress.update(self._done, means, str(result["prompt"]))
        return means

    def _add(self, result: Mapping[str, Any]) -> None:
        self._done += 1
        for name, value in numbers(result).items():
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = (total + value, count + 1)
