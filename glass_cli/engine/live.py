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


# The means in the line, which has room for few; the summary has all.
_SHOWN = ("correct", "reward", "mean reward")


class Live(Closing):
    """A progress bar over units, with the running means of what they are judged by, and beside
    them how the prompt fares that is being drawn.

    prompts: of each prompt's index.
    total: units, of which the results ``before`` were finished by earlier runs and do not count
        for the time left.
    particles: of each unit.
    """

    def __init__(
        self,
        prompts: Mapping[int, str],
        total: int,
        before: Iterable[Mapping[str, Any]],
        particles: int,
    ) -> None:
        self._prompts = prompts
        self._sums: dict[str, tuple[float, int]] = {}
        self._done = 0
        for result in before:
            self._add(result)
        unit = "prompt" if total == len(prompts) else "picture"
        self._progress = Progress(total, unit, before=self._done)
        self._particles = particles
        self._fares: tuple[Unit | None, dict[str, float]] = None, {}

    def close(self) -> None:
        self._progress.close()

    def step(self, unit: Unit, step: Step) -> None:
        """A step of a unit that is being drawn: how its particles fare from here on."""
        if step.t >= 1.0:
            return  # its result follows
        number = len(step.log_w)
        fares = {}
        if step.ess < number * (1.0 - 1e-6):  # equal weights say nothing
            fares = {"particles": float(number)} if number != self._particles else {}
            fares["ESS"] = step.ess
        if step.rewards is not None:
            fares["best reward"] = float(step.rewards.max())
        self._fares = unit, fares
        self._show(unit, 0.0)

    def calls(self, unit: Unit, share: float) -> None:
        """Network calls of a unit that is being drawn: their share counts as done."""
        self._show(unit, share)

    def _show(self, unit: Unit, share: float) -> None:
        of, fares = self._fares
        prompt = self._prompts[unit.prompt_index]
        current = fares if of == unit else {}
        # the whole of it is done when its result is there
        self._progress.update(self._done + min(share, 0.999), label=prompt, current=current)

    def finished(self, result: Mapping[str, Any]) -> dict[str, float]:
        """A finished unit; returns the running means of all."""
        self._add(result)
        means = {name: total / count for name, (total, count) in self._sums.items()}
        shown = {name: means[name] for name in _SHOWN if name in means}
        self._progress.update(self._done, shown, str(result["prompt"]))
        return means

    def _add(self, result: Mapping[str, Any]) -> None:
        self._done += 1
        for name, value in numbers(result).items():
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = (total + value, count + 1)
