"""All pictures in this process, one after another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glass_cli.engine.launchers.base import Task
    from glass_cli.output.store import Finished


@dataclass(frozen=True)
class Local:
    """``threads`` of the CPU for each operation; None: as many as torch finds.

    On a CPU the number of threads decides the order of sums, and with it the last digits.
    """

    threads: int | None = None

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"launcher.threads must be at least 1 (got {self.threads})")

    def check(self) -> None:
        """Needs nothing."""

    def run(self, task: Task) -> Iterator[Finished]:
        """See :class:`glass_cli.engine.launchers.base.Launcher`."""
        import torch

        from glass_cli.engine.worker import Painter

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        painter = Painter(task.made, task.text)
        for unit in task.units:
            yield painter.draw(unit, task.records[unit.record])
