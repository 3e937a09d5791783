"""What every launcher settings class gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from glass_cli.config.settings import Settings
    from glass_cli.output.store import Finished, Unit


class Task(NamedTuple):
    """Pictures to draw, as data that can be sent to another process.

    ``text`` is written into every picture; ``records`` are those of the ``units``, by number.
    """

    made: Settings
    text: str
    units: Sequence[Unit]
    records: Mapping[int, Mapping[str, Any]]


class Launcher(Protocol):
    """Draws pictures, each once and in any order; what they show does not depend on where."""

    def check(self) -> None:
        """Raises GlassError where something that it needs is missing, before anything is loaded."""

    def run(self, task: Task) -> Iterator[Finished]:
        """Yields the pictures of ``task`` as they are finished. Raises GlassError."""
