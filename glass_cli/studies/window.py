"""The decision window of a model and a reward, measured over times (beyond the papers)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glass_cli.config.settings import Study
from glass_cli.studies.base import check

if TYPE_CHECKING:
    from glass_cli.config.settings import Settings
    from glass_cli.output.writer import RunFolder


@dataclass(frozen=True)
class Window(Study):
    """How much of the final reward is open at each time, and how well r(x_hat) foretells it.

    For the first ``limit`` prompts of ``path`` (null: twelve of GenEval's forms), ``samples``
    chains of GLASS transitions run from noise through ``times`` times, evenly spaced in the
    logarithm of the noise-to-signal ratio between those that the straight path has at ``first``
    and ``last``; ``chain_calls`` network calls between two times. From every x_t on the way,
    ``draws`` posterior samples are drawn by one second-order transition of ``calls`` calls, and
    scored. See :mod:`glass_cli.steering.decision_window` for what is estimated.

    x_t is run to by transitions, not made by noising finished samples, because that is the law
    that steering meets: the two differ where a guided velocity is not that of any density.
    """

    title = "decision window"

    path: str | None = None
    limit: int = 12
    samples: int = 6
    draws: int = 4
    calls: int = 6
    chain_calls: int = 2
    times: int = 10
    first: float = 0.03
    last: float = 0.85

    def __post_init__(self) -> None:
        counts = {"limit": (self.limit, 1), "samples": (self.samples, 2), "draws": (self.draws, 2)}
        counts |= {"calls": (self.calls, 1), "times": (self.times, 2)}
        check(self.path, {**counts, "chain_calls": (self.chain_calls, 1)})
        if not 0.0 < self.first < self.last < 1.0:
            raise ValueError(
                "benchmark.first and benchmark.last must be times, 0 < first < last < 1 (got"
                f" {self.first}, {self.last})"
            )

    def study(self, settings: Settings, folder: RunFolder) -> dict[str, Any]:
        """Measures, plots and keeps the window; see :mod:`glass_cli.studies.window_measurement`."""
        from glass_cli.studies.window_measurement import study

        return study(self, settings, folder)
