"""The weights of integration steps are the integrals that they stand for."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.integrate import quad

from glass_cli.method.integrate import Node, sine_steps, solve, step_weights, straight_steps

STEPS = [
    (Node(0.1, 0.9, 0.1), Node(0.6, 0.4, 0.6)),
    (Node(0.1, 0.9, 0.1), Node(0.7, 0.9, 0.4)),  # S stays
    (Node(0.1, 0.9, 0.1), Node(0.7, 0.9 * (1 + 1e-7), 0.4)),
    (Node(0.1, 0.9, 0.1), Node(0.7, 0.9 * (1 - 3e-5), 0.4)),
    (Node(0.1, 0.9, 0.1), Node(0.7, 0.9 * (1 + 1.01e-4), 0.4)),
    (Node(0.1, 0.5, 0.1), Node(0.7, 0.9, 0.4)),  # S grows
    (Node(0.4, 0.6, 0.4), Node(1.0, 0.0, 1.0)),  # S ends at 0
    (Node(0.4, 0.6, 0.4), Node(1.0, 1e-6, 1.0)),
    (Node(0.0, 1.0, 0.0), Node(-0.5, 0.3, 0.5)),  # A falls
]


def integral(here: Node, there: Node, power: int) -> float:
    """S' * integral of (v - v_here)^power d(A/S), with A and S linear in v, by quadrature."""
    h = there.v - here.v

    def integrand(w: float) -> float:
        A = here.A + (there.A - here.A) * w
        S = here.S + (there.S - here.S) * w
        slope = ((there.A - here.A) * S - A * (there.S - here.S)) / S
        return there.S / S * slope * (w * h) ** power

    # S'/S is a spike of width S' at the end where S' is nearly 0
    edge = [w for w in (1 - 1e-3, 1 - 1e-5, 1 - 1e-6) if there.S < 1e-3]
    return quad(integrand, 0.0, 1.0, epsabs=1e-11, epsrel=1e-10, limit=400, points=edge or None)[0]


@pytest.mark.parametrize(("here", "there"), STEPS)
def test_step_weights_are_the_integrals(here: Node, there: Node) -> None:
    w = step_weights(here, there)
    assert w.y == there.S / here.S
    if there.S > 0.0:
        assert w.now == pytest.approx(integral(here, there, 0), rel=1e-7)
        assert w.slope == pytest.approx(integral(here, there, 1), rel=1e-7)
    else:  # all the mass of d(A/S) lies at the end: y' = A' z_hat(v')
        assert w.now == there.A - here.A * 0.0
        assert w.slope == pytest.approx(there.A * (there.v - here.v), rel=1e-15)


@pytest.mark.parametrize("gap", [3e-5, -0.99e-4, 1.01e-4, -1.5e-4, 1e-3])
def test_second_order_weight_where_S_hardly_changes(gap: float) -> None:
    # (r log r + 1 - r)/(r - 1)^2 = 1/2 - e/6 + e^2/12 - e^3/20 + ...
    w = step_weights(Node(0.0, 1.0, 0.0), Node(1.0, 1.0 + gap, 1.0))
    series = 0.5 - gap / 6 + gap**2 / 12 - gap**3 / 20
    assert w.slope == pytest.approx(series, rel=4e-9)


def test_a_z_hat_linear_in_v_is_integrated_exactly_by_second_order() -> None:
    """From the second node on: the corrector mends the first step, which had nothing before it."""
    nodes = [Node(v, 1.0 - 0.8 * v, v) for v in (0.0, 0.3, 0.7, 1.0)]
    z = [torch.tensor([2.0 + 5.0 * node.v], dtype=torch.float64) for node in nodes]
    y = torch.tensor([0.4], dtype=torch.float64)
    asked: list[int] = []

    def z_hat(i: int, y: torch.Tensor) -> torch.Tensor:
        asked.append(i)
        return z[i]

    found = solve(straight_steps(nodes), y, z[0], z_hat, 2)
    whole = Node(0.0, 1.0, 0.0), Node(1.0, 0.2, 1.0)
    exact = 0.2 * 0.4 + 2.0 * integral(*whole, 0) + 5.0 * integral(*whole, 1)
    assert float(found) == pytest.approx(exact, rel=1e-12)
    assert asked == [1, 2]


def test_a_step_to_no_noise_does_not_extrapolate() -> None:
    nodes = [Node(0.0, 1.0, 0.0), Node(0.5, 0.5, 0.5), Node(1.0, 0.0, 1.0)]
    last = torch.tensor([7.0])
    steps = straight_steps(nodes)
    found = solve(steps, torch.tensor([0.3]), torch.tensor([1.0]), lambda i, y: last, 2)
    assert torch.equal(found, last)


@pytest.mark.parametrize(("here", "there"), [s for s in STEPS if s[1].A > s[0].A])
@pytest.mark.parametrize("scale", [0.2, 0.7, 3.0])
def test_sine_weights_are_the_integrals(here: Node, there: Node, scale: float) -> None:
    ((w, dv),) = sine_steps([here, there], scale)
    sines = [scale * n.A / math.hypot(n.S, scale * n.A) for n in (here, there)]
    assert dv == pytest.approx(sines[1] - sines[0], rel=1e-12)
    assert (w.y, w.now) == (there.S / here.S, step_weights(here, there).now)
    if there.S > 0.0:
        start, end = here.A / here.S, there.A / there.S

        def above(lam: float) -> float:
            return scale * lam / math.hypot(1.0, scale * lam) - sines[0]

        decades = [10.0**k for k in range(-1, 6) if start < 10.0**k < end]
        area = quad(above, start, end, epsabs=0.0, points=decades or None)[0]
        assert w.slope == pytest.approx(there.S * area, rel=1e-7)
    else:  # all the mass of d(A/S) lies at the end
        assert w.slope == pytest.approx(there.A * dv, rel=1e-12)


@pytest.mark.parametrize("std", [0.1, 0.7])
@pytest.mark.parametrize("end", [0.2, 0.0])
def test_a_gaussians_z_hat_is_integrated_exactly_by_sine_steps(std: float, end: float) -> None:
    """Three calls, which are given the exact z_hat: y_1 = A m + sqrt(A^2 std^2 + S^2) y_0."""
    nodes = [Node(0.8 * s, 1.0 - s * (1.0 - end), s) for s in (0.0, 0.2, 0.7, 1.0)]
    mean, y = 0.3, torch.tensor([1.7], dtype=torch.float64)

    def exact(node: Node) -> float:
        spread = math.hypot(node.A * std, node.S)
        return mean + node.A * std**2 / spread * float(y)

    z = [torch.tensor([exact(node)], dtype=torch.float64) for node in nodes[:-1]]
    found = solve(sine_steps(nodes, std), y, z[0], lambda i, y: z[i], 2)
    law = nodes[-1].A * mean + math.hypot(nodes[-1].A * std, end) * float(y)
    assert float(found) == pytest.approx(law, rel=1e-12)
