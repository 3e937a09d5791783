"""What every launcher settings class gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from glass_cli.config.settings import Settings
    from glass_cli.engine.draw import Work
    from glass_cli.output.finished import Finished, Unit
    from glass_cli.steering.state import Step

Keep = Literal["particles", "answer"]
"""Whose pictures are kept: those of all particles, or the answer's in GenEval's layout."""


class Watch(Protocol):
    """Hears how the units fare that are being drawn."""

    def step(self, unit: Unit, step: Step) -> None:
        """A step of the unit is done."""

    def calls(self, unit: Unit, share: float) -> None:
        """So much of the unit's network calls is made, from 0 to 1."""


class Task(NamedTuple):
    """Units to draw, as data that can be sent to another process.

    settings: of the run, with times in place of ``sampler.times=auto``.
    keep: whose pictures are kept.
    text: what every picture says of its settings.
    units, records: what to draw, and the records of their prompts by number.
    loaded: model and rewards, where this process has them already; not sent.
    """

    settings: Settings
    keep: Keep
    text: str
    units: Sequence[Unit]
    records: Mapping[int, Mapping[str, Any]]
    loaded: Work | None = None


class Launcher(Protocol):
    """Draws units, each once and in any order; what they show does not depend on where.

    in_process: whether the units are drawn in this process, with what it has loaded.
    """

    in_process: ClassVar[bool]

    def check(self) -> None:
        """Raises GlassError where something that it needs is missing, before anything is loaded."""

    def run(self, task: Task, watch: Watch | None = None) -> Iterator[Finished]:
        """Yields the units of ``task`` as they are finished. Raises GlassError.

        ``watch`` hears of units where the drawing process can tell.
        """
