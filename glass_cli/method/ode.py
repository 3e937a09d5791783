"""The probability-flow ODE: the deterministic sampler that the others are measured against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from glass_cli.method import times as outer
from glass_cli.method.flow import Flow, Normal, Sampler
from glass_cli.method.integrate import Node, solve, step_weights, straight_steps
from glass_cli.method.path import Path
from glass_cli.method.times import Times

if TYPE_CHECKING:
    from torch import Tensor


def _node(path: Path, t: float) -> Node:
    alpha, sigma, _, _ = path.at(t)
    return Node(alpha, sigma, t)


def model_times(
    flow: Flow,
    t: float,
    t_next: float,
    n: int,
    own: bool,
    grid: tuple[float, ...] | None = None,
) -> list[float]:
    """n + 1 times from ``t`` to ``t_next`` at which the model may be queried, all but the last.

    own: along the model's own schedule, else evenly in t.
    grid: the times to take in their place; those between must be n - 1, else raises ValueError.
    """
    if grid is not None:
        between = [time for time in grid if t < time < t_next]
        if len(between) != n - 1:
            raise ValueError(
                f"sampler.grid has {len(between)} times between {t:.3g} and {t_next:.3g}, where"
                f" {n} calls need {n - 1}"
            )
        return [t, *between, t_next]
    inner = outer.spaced_times(t, t_next, n, flow.shift if own else 1.0)
    return [t, *flow.path.snap(inner[1:-1], t, t_next), t_next]


@dataclass(frozen=True)
class Ode(Sampler):
    """The probability-flow ODE dx = u_t(x) dt; no noise after the first.

    transitions: K, 1 or more. Evaluations of one transition are not used in the next.
    steps: M, network calls in each transition, 1 or more; None: given from outside.
    method: how the M calls of a transition are used, never more:
        "euler": M steps (DDIM's, arXiv 2010.02502);
        "multistep": M steps of second order from the last two evaluations (DPM-Solver++ 2M, arXiv
        2211.01095), the first of first order;
        "heun": M/2 steps of two calls (EDM, arXiv 2206.00364). An odd M ends with one Euler step;
        into t=1, where the model cannot be asked, an even M ends with two of them.
    times: where transitions end, see :mod:`glass_cli.method.times`. With "schedule" the steps
        between follow the model's own schedule too, else they are uniform in t.
    grid: the times of all network calls, rising from 0, in place of the schedule, for times that
        are among them; not for "heun".
    """

    transitions: int = 1
    steps: int | None = None
    method: Literal["euler", "heun", "multistep"] = "multistep"
    times: Times = "schedule"
    grid: tuple[float, ...] | None = None

    stochastic = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", outer.check_times(self.times, self.transitions))
        outer.check_steps(self.steps)
        if self.method not in ("euler", "heun", "multistep"):
            raise ValueError(f"sampler.method must be euler, heun or multistep (got {self.method})")

    def outer_times(self, flow: Flow) -> tuple[float, ...]:
        return outer.outer_times(self.times, self.transitions, flow.path, flow.shift)

    def transition(
        self,
        flow: Flow,
        x: Tensor,
        x_hat: Tensor,
        t: float,
        t_next: float,
        normal: Normal,
        calls: int,
        first: int = 0,
    ) -> Tensor:
        own = self.times == "schedule"
        if self.method == "heun":
            if first > 0:
                raise ValueError("a Heun transition cannot be entered half-way")
            euler_steps = calls % 2
            if t_next == 1.0 and not euler_steps:
                euler_steps = 2
            heun_steps = (calls - euler_steps) // 2
            grid = model_times(flow, t, t_next, heun_steps + euler_steps, own)
            return self._heun(flow, x, x_hat, grid, heun_steps)
        grid = model_times(flow, t, t_next, calls, own, self.grid)[first:]
        nodes = [_node(flow.path, time) for time in grid]
        order: Literal[1, 2] = 2 if self.method == "multistep" else 1
        return solve(straight_steps(nodes), x, x_hat, lambda i, y: flow.denoise(y, grid[i]), order)

    @staticmethod
    def _heun(flow: Flow, x: Tensor, x_hat: Tensor, grid: list[float], heun_steps: int) -> Tensor:
        z = x_hat
        for i in range(len(grid) - 1):
            if i > 0:
                z = flow.denoise(x, grid[i])
            w = step_weights(_node(flow.path, grid[i]), _node(flow.path, grid[i + 1]))
            euler = w.y * x + w.now * z
            if i < heun_steps:
                z = 0.5 * (z + flow.denoise(euler, grid[i + 1]))
                euler = w.y * x + w.now * z
            x = euler
        return x
