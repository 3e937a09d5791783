"""Error over network calls of one transition, on a mixture whose exact law is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from glass_cli.bench.toy import TRANSITIONS, Case, exact, make_case, toy
from glass_cli.method.distance import rms, sliced_w2
from glass_cli.method.flow import Normal, Sampler
from glass_cli.method.glass import Glass
from glass_cli.method.noise import generator
from glass_cli.method.sde import Sde
from glass_cli.models.gaussian_mixture import LoadedMixture
from glass_cli.output.tables import Table, two_digits

CALLS = (2, 3, 4, 6, 8, 10, 15, 20, 30, 50)
AIM = 20  # second order is to reach first order's error of this many calls
CONVERGED = 500


SAMPLERS: dict[str, Sampler] = {
    "SDE": Sde(1, method="euler_maruyama"),
    "ancestral": Sde(1, method="ancestral"),
    "GLASS 1": Glass(1, order=1),
    "GLASS 2": Glass(1, order=2),
}


def _normal(case: Case) -> Normal:
    """The same noise for every sampler."""
    g = generator("bench", case.t, case.t_next)
    return lambda: torch.randn(case.x.shape, generator=g, dtype=torch.float64)


def _run(flow: LoadedMixture, case: Case, sampler: Sampler, calls: int) -> Tensor:
    return sampler.transition(flow, case.x, case.x_hat, case.t, case.t_next, _normal(case), calls)


def law(starts: int, draws: int, calls: Sequence[int]) -> Table:
    """Sliced W2 to exact samples of the transition given the same x_t, for every sampler."""
    flow, lines = toy(), []
    for t, t_next in TRANSITIONS:
        case = make_case(flow, t, t_next, starts, draws)
        reference = exact(flow, case, "reference")
        pairs = [sliced_w2(exact(flow, case, f"pair {i}"), reference, starts) for i in range(4)]
        floor2 = sum(w * w for w in pairs) / len(pairs)
        # what the subtraction leaves of exact samples: smaller errors cannot be told from none
        least = max(abs(w * w - floor2) ** 0.5 for w in pairs)
        for name, sampler in SAMPLERS.items():
            cells = []
            for m in calls:
                w = sliced_w2(_run(flow, case, sampler, m), reference, starts)
                error = max(w * w - floor2, 0.0) ** 0.5
                cells.append(two_digits(error) if error > least else f"< {two_digits(least)}")
            lines.append((case.name, name, two_digits(floor2**0.5), *cells))
    return Table(
        "Transition error over network calls: sliced W2 to exact samples",
        ("transition", "sampler", "floor", *(f"M={m}" for m in calls)),
        lines,
        f"Mixture of six Gaussians in 8 dimensions, {starts} x_t, {draws} draws of each, 32"
        " directions. The floor is the distance between two sets of exact samples; it is subtracted"
        " in quadrature.",
    )


class Convergence(NamedTuple):
    """GLASS at M calls against the converged endpoints of the same noise, which are exact draws.

    Neither figure has Monte-Carlo noise to speak of: both sides share their y_0.
    """

    flow: LoadedMixture
    case: Case
    end: Tensor

    def rms(self, order: Literal[1, 2], calls: int) -> float:
        out = _run(self.flow, self.case, Glass(1, order=order), calls)
        return rms(out, self.end)

    def law(self, order: Literal[1, 2], calls: int) -> float:
        out = _run(self.flow, self.case, Glass(1, order=order), calls)
        return sliced_w2(out, self.end, self.case.starts)


def reaches(error: Callable[[Literal[1, 2], int], float]) -> str:
    """The smallest M at which second order has first order's error at ``AIM`` calls."""
    aim = error(1, AIM)
    return next((str(m) for m in range(1, AIM + 1) if error(2, m) <= aim), f"> {AIM}")


def convergence(starts: int, draws: int, calls: Sequence[int], converged: int) -> list[Table]:
    """Second order's M for first order's error, and the endpoint errors it is read from."""
    flow, reached, lines = toy(), [], []
    orders: tuple[Literal[1, 2], ...] = (1, 2)
    for t, t_next in TRANSITIONS:
        case = make_case(flow, t, t_next, starts, draws)
        compared = Convergence(flow, case, _run(flow, case, Glass(1), converged))
        reached.append((case.name, reaches(compared.rms), reaches(compared.law)))
        for order in orders:
            errors = [two_digits(compared.rms(order, m)) for m in calls]
            lines.append((case.name, f"GLASS {order}", *errors))
    return [
        Table(
            f"Calls at which GLASS 2 has the error of GLASS 1 at M={AIM}",
            ("transition", "by endpoint", "by sliced W2"),
            reached,
            "Both against converged endpoints of the same noise. Goal: at most 6.",
        ),
        Table(
            "Transition error over network calls: endpoint",
            ("transition", "sampler", *(f"M={m}" for m in calls)),
            lines,
            f"Root mean square over {starts} x_t, {draws} draws of each and coordinates, from the"
            f" endpoint of the same noise at M={converged}: no Monte-Carlo noise in it.",
        ),
    ]


def accuracy(
    starts: int = 8, draws: int = 2048, calls: Sequence[int] = CALLS, converged: int = CONVERGED
) -> list[Table]:
    """The tables of the figure; ``starts`` x_t and ``draws`` of each for the law."""
    # trajectories part at some x_t and not at others: endpoints want many of these, few draws
    many, few = max(2, draws // 64), max(2, draws // 32)
    return [*convergence(many, few, calls, converged), law(starts, draws, calls)]
