"""Draws of the posterior p(x_1 | x_t), by SDE and GLASS, over numbers of network calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from glass_cli.config.settings import Study
from glass_cli.studies.base import check

if TYPE_CHECKING:
    from glass_cli.config.settings import Settings
    from glass_cli.output.writer import RunFolder


@dataclass(frozen=True)
class Posterior(Study):
    """The first experiment of the GLASS paper (arXiv 2509.25170), on any model.

    For the first ``limit`` prompts of ``path`` (null: twelve of GenEval's forms), ``samples`` of
    the model's own samples (ODE, ``sample_calls`` network calls, null the model's number) are
    noised to each of ``times``, which are those of the straight path: another path takes the time
    of the same noise-to-signal ratio. Of each x_t come ``draws`` draws of p(x_1 | x_t), by the SDE
    (Euler-Maruyama and ancestral) and GLASS (first and second order), at each number of ``calls``,
    against draws by second-order GLASS at ``reference`` calls. ``inner`` is GLASS's, of which the
    reference has "times". Reported are

    * the endpoint error: root mean square against the reference of the same noise (GLASS only);
    * sliced 2-Wasserstein distance to an independent reference, given x_t, freed of its floor (the
      distance between two references) in quadrature;
    * the correlation, within prompts, of value estimates (the mean reward of an x_t's draws) with
      the reference's, beside what a second reference has.
    """

    title = "posterior"

    path: str | None = None
    limit: int = 4
    samples: int = 6
    draws: int = 6
    times: tuple[float, ...] = (0.3,)
    calls: tuple[int, ...] = (2, 4, 6, 10, 20)
    reference: int = 50
    sample_calls: int | None = None
    inner: Literal["s", "times"] = "s"

    def __post_init__(self) -> None:
        counts = {"limit": (self.limit, 1), "samples": (self.samples, 2), "draws": (self.draws, 2)}
        calls = {"calls": (min(self.calls, default=0), 1)}
        most = {"reference": (self.reference, 1 + max(self.calls, default=0))}
        whole = {"sample_calls": (1 if self.sample_calls is None else self.sample_calls, 1)}
        check(self.path, {**counts, **calls, **most, **whole})
        if not self.times or not all(0.0 < t < 1.0 for t in self.times):
            raise ValueError(
                f"benchmark.times must be times between 0 and 1 (got {list(self.times)})"
            )

    def study(self, settings: Settings, folder: RunFolder) -> dict[str, Any]:
        """Measures and plots; see :mod:`glass_cli.studies.posterior_measurement`."""
        from glass_cli.studies.posterior_measurement import study

        return study(self, settings, folder)
