"""All pictures in this process, one after another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from glass_cli.engine.launchers.base import Task, Watch
    from glass_cli.output.finished import Finished


@dataclass(frozen=True)
class Local:
    """Draws in this process, one picture after the other.

    threads: of the CPU for each operation, 1 or more; None: as many as torch finds. On a CPU it
        decides the order of sums, and with it the last digits.

    Raises ValueError for a number below 1.
    """

    in_process: ClassVar[bool] = True

    threads: int | None = None

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"launcher.threads must be at least 1 (got {self.threads})")

    def check(self) -> None:
        """Needs nothing."""

    def run(self, task: Task, watch: Watch | None = None) -> Iterator[Finished]:
        """See :class:`glass_cli.engine.launchers.base.Launcher`."""
        import torch

        from glass_cli.engine.worker import Worker

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        worker = Worker(task.settings, task.keep, task.text, task.loaded)
        for unit in task.units:
            yield worker.draw(unit, task.records[unit.prompt_index], watch)
