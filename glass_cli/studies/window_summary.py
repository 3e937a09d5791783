"""What ``benchmark=window`` says of all prompts together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from glass_cli.common.statistics import Interval, statistic_intervals
from glass_cli.output.tables import Table
from glass_cli.steering.decision_window import (
    Curves,
    Moments,
    curves,
    intervals,
    moments,
    proposed_times,
)
from glass_cli.studies.base import mean_cell, of_prompts


class WindowSummary(NamedTuple):
    """The curves over T times, and what they propose.

    t: of the model, rising.
    even: the times of the straight path with the same noise.
    curves: three arrays (T,), NaN where a number is not known.
    intervals: of each curve by its name, the 95 % bootstrap interval at each time.
    moments: those of each prompt.
    """

    t: list[float]
    even: list[float]
    curves: Curves
    intervals: Mapping[str, Sequence[Interval | None]]
    moments: Sequence[Moments]

    @property
    def prompts(self) -> int:
        return len(self.moments)

    def times(self, transitions: int) -> tuple[float, ...] | None:
        """Proposed ends of so many transitions; None of a reward that does not vary."""
        return proposed_times(self.t, self.even, self.curves.foretold, transitions)

    def half_foretold(self) -> dict[str, Any] | None:
        """The time from which r(x_hat) explains half of the final reward's variance.

        None of a reward that does not vary.
        """

        def at(own: Sequence[Moments]) -> float:
            times = proposed_times(self.t, self.even, curves(own).foretold, 2)
            return float("nan") if times is None else times[1]

        mean = at(self.moments)
        if mean != mean:
            return None
        (interval,) = statistic_intervals(self.moments, lambda own: [at(own)], draws=1000)
        return mean_cell(mean, interval, self.prompts)

    def rows(self) -> list[dict[str, Any]]:
        """The curves for ``summary.json``, a time each."""
        return [
            {
                "t": t,
                **{name: getattr(self.curves, name)[i] for name in Curves._fields},
                **{f"{name}_interval95": self.intervals[name][i] for name in Curves._fields},
            }
            for i, t in enumerate(self.t)
        ]

    def table(self) -> Table:
        """The curves as a table, a row a time."""
        rows = [
            (f"{t:.3f}", *(self._cell(name, i) for name in Curves._fields))
            for i, t in enumerate(self.t)
        ]
        return Table(
            f"Decision window over {of_prompts(self.prompts)}",
            ("t", "still open", "agreement", "foretold"),
            rows,
            "still open: variance of the final reward within one x_t over all of it; agreement:"
            " correlation of\nr(x_hat) with the mean final reward of its x_t; foretold: share of"
            " the final reward's variance that\nr(x_hat) explains. Brackets: 95 % bootstrap over"
            " prompts (of a single one, over its x_t).",
        )

    def _cell(self, name: str, i: int) -> str:
        value, interval = getattr(self.curves, name)[i], self.intervals[name][i]
        shown = "" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]"
        return "-" if value != value else f"{value:.2f}{shown}"


def summarise(parts: Sequence[Mapping[str, Any]]) -> WindowSummary:
    """The parts of all prompts, 1 or more, put together; see ``WindowMeasurement``."""
    arrays = [(np.asarray(p["x_hat"], float), np.asarray(p["finals"], float)) for p in parts]
    own = [moments(*pair) for pair in arrays]
    return WindowSummary(parts[0]["t"], parts[0]["even"], curves(own), intervals(arrays), own)
