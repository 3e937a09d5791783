"""What ``benchmark=window`` measures of one prompt."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from glass_cli.common.errors import GlassError
from glass_cli.engine.draw import Work, draw
from glass_cli.method.glass import Glass
from glass_cli.method.path import TooFewTimes
from glass_cli.steering.decision_window import INNER, RewardProbe, even_time, time_grid
from glass_cli.steering.state import NotFinite
from glass_cli.studies.base import Watch


@dataclass(frozen=True)
class WindowMeasurement:
    """Measures one prompt after the other; called with a prompt.

    work: model, reward and micro-batch size.
    negative_prompt, seed: of the run.

    The others are those of :class:`glass_cli.studies.window.WindowStudy`.
    """

    work: Work
    negative_prompt: str
    seed: int
    samples: int
    draws: int
    calls: int
    chain_calls: int
    times: int
    first: float
    last: float

    def __call__(self, prompt: str, watch: Watch) -> dict[str, Any]:
        """The prompt's part of the study. Raises GlassError."""
        try:
            return self._measure(prompt, watch)
        except (NotFinite, TooFewTimes) as error:
            raise GlassError(f'benchmark=window, "{prompt}": {error}') from error

    def _measure(self, prompt: str, watch: Watch) -> dict[str, Any]:
        began = time.monotonic()
        flow = self.work.model.prompted(prompt, self.negative_prompt, self.work.micro_batch)
        path = flow.path
        flow.close()
        grid = time_grid(path, self.first, self.last, self.times)
        probe = RewardProbe(self.draws, self.calls)
        chain = self.work._replace(
            sampler=Glass(steps=self.chain_calls, times=(0.0, *grid, 1.0), inner=INNER),
            steering=probe,
            metrics={},
            calls=None,
            budget=None,
        )
        steps = []
        for drawn in draw(chain, prompt, self.negative_prompt, self.samples, self.seed):
            steps.append(drawn.step)
            watch(drawn.step.k / (len(grid) + 1))
        return {
            "prompt": prompt,
            "t": list(grid),
            "even": [even_time(path, t) for t in grid],
            "x_hat": [s.rewards.tolist() for s in steps[:-1] if s.rewards is not None],
            "finals": [rewards.tolist() for rewards in probe.finals],
            "nfe": steps[-1].nfe,
            "reward_calls": self.samples * (self.times * (1 + self.draws) + 1),
            "seconds": time.monotonic() - began,
        }
