"""``benchmark=posterior``: distances and value estimates over network calls, and their plot."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from glass_cli.bench.report import figure
from glass_cli.output.tables import Table
from glass_cli.common.errors import GlassError
from glass_cli.common.files import atomic_write, writing_to
from glass_cli.common.statistics import bootstrap_interval, statistic_intervals
from glass_cli.studies.base import parts, prompts
from glass_cli.studies.posterior_plot import draw_plot

if TYPE_CHECKING:
    from torch import Tensor

    from glass_cli.config.settings import Settings
    from glass_cli.method.flow import Flow, Normal, Sampler
    from glass_cli.output.writer import Store
    from glass_cli.studies.posterior import Posterior

METHODS = ("SDE", "ancestral", "GLASS 1", "GLASS 2")


def samplers(inner: Literal["s", "times"] = "s") -> dict[str, Sampler]:
    """Samplers of one transition, by name."""
    from glass_cli.method.glass import Glass
    from glass_cli.method.sde import Sde

    made: tuple[Sampler, ...] = (
        Sde(1, method="euler_maruyama"),
        Sde(1, method="ancestral"),
        Glass(1, order=1, inner=inner),
        Glass(1, order=2, inner=inner),
    )
    return dict(zip(METHODS, made, strict=True))


def posterior_rows(
    flow: Flow,
    x: Tensor,
    t: float,
    draws: int,
    calls: Sequence[int],
    reference: int,
    normal: Callable[[str], Normal],
    reward: Callable[[Tensor], Tensor],
    inner: Literal["s", "times"] = "s",
) -> dict[str, Any]:
    """Everything measured of ``x`` (S, *shape) at time t, as one JSON record.

    ``normal(name)`` gives a source of noise (S * draws, *shape) that begins anew for each name:
    GLASS and the first reference share theirs. Lists of values are one for each x_t.
    """
    from glass_cli.method.distance import rms, sliced_w2

    size = len(x)
    x_hat = flow.denoise(x, t)
    many, many_hat = x.repeat_interleave(draws, 0), x_hat.repeat_interleave(draws, 0)

    def drawn(sampler: Sampler, noise: str, m: int) -> Tensor:
        return sampler.transition(flow, many, many_hat, t, 1.0, normal(noise), m)

    def values(z: Tensor) -> list[float]:
        found: list[float] = reward(z).detach().double().reshape(size, draws).mean(1).tolist()
        return found

    best = samplers("times")["GLASS 2"]
    paired, other = drawn(best, "glass", reference), drawn(best, "reference", reference)
    rows = []
    for m in calls:
        for name, sampler in samplers(inner).items():
            glass = name.startswith("GLASS")
            z = drawn(sampler, "glass" if glass else name, m)
            rows.append(
                {
                    "method": name,
                    "calls": m,
                    "endpoint": rms(z, paired) if glass else None,
                    "w2": sliced_w2(z, other, size),
                    "values": values(z),
                }
            )
    return {
        "t": t,
        "floor": sliced_w2(paired, other, size),
        "x_hat": reward(x_hat).detach().double().tolist(),
        "again": values(paired),
        "reference": values(other),
        "rows": rows,
    }


def within_correlation(pairs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> float | None:
    """Correlation of two numbers within groups: pooled covariance over pooled variances."""
    return _correlation([_sums(*pair) for pair in pairs])


def correlation_cell(
    pairs: Sequence[tuple[Sequence[float], Sequence[float]]],
) -> dict[str, Any]:
    """The correlation, and its 95 % bootstrap interval over groups where there are several."""
    sums = [_sums(*pair) for pair in pairs]

    def of(some: Sequence[NDArray[np.float64]]) -> list[float]:
        value = _correlation(some)
        return [math.nan if value is None else value]

    (interval,) = statistic_intervals(sums, of)
    return {"mean": _correlation(sums), "interval95": interval}


def _sums(x: Sequence[float], y: Sequence[float]) -> NDArray[np.float64]:
    """A group's sums of products x y, x x, y y, about its means."""
    xs, ys = np.asarray(x) - np.mean(x), np.asarray(y) - np.mean(y)
    return np.array([(xs * ys).sum(), (xs * xs).sum(), (ys * ys).sum()])


def _correlation(sums: Sequence[NDArray[np.float64]]) -> float | None:
    xy, xx, yy = np.sum(sums, 0)
    scale = math.sqrt(float(xx * yy))
    return float(xy) / scale if scale > 0.0 else None


def study(bench: Posterior, made: Settings, store: Store) -> dict[str, Any]:
    """See :class:`glass_cli.studies.posterior.Posterior`. Raises GlassError."""
    words = prompts(bench.path, bench.limit, made)
    found = list(parts(made, store, words, lambda: _measurer(bench, made)))
    at = [_of_time([part["times"][i] for part in found]) for i in range(len(bench.times))]
    plot = store.folder / "posterior.png"
    with writing_to(store.folder), atomic_write(plot) as part:
        draw_plot(at, METHODS, part)
    print("\n\n".join(_table(each, len(found)).text() for each in at))
    print(f"\nplot     {plot}\n")
    nfe = sum(part["nfe"] for part in found)
    count = {"mean": nfe / len(found), "interval95": None, "prompts": len(found)}
    return {
        "benchmark": bench.title,
        "score": None,
        "means": {"network calls a prompt": count},
        "posterior": at,
        "prompts": len(found),
        "nfe": nfe,
        "seconds": sum(part["seconds"] for part in found),
    }


def _of_time(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One time's records of all prompts, put together."""

    def correlation(key: str) -> dict[str, Any]:
        return correlation_cell([(r[key], r["reference"]) for r in records])

    rows = []
    for i, first in enumerate(records[0]["rows"]):
        own = [record["rows"][i] for record in records]
        freed = [math.sqrt(max(r["w2"] ** 2 - p["floor"] ** 2, 0.0)) for r, p in _zip(own, records)]
        rows.append(
            {
                "method": first["method"],
                "calls": first["calls"],
                "endpoint": None
                if first["endpoint"] is None
                else _cell([r["endpoint"] for r in own]),
                "w2": _cell([r["w2"] for r in own]),
                "w2_freed": _cell(freed),
                "value_correlation": correlation_cell(
                    [(r["values"], p["reference"]) for r, p in _zip(own, records)]
                ),
            }
        )
    return {
        "t": records[0]["t"],
        "floor": _cell([r["floor"] for r in records]),
        "second_reference_correlation": correlation("again"),
        "x_hat_correlation": correlation("x_hat"),
        "rows": rows,
    }


def _zip(a: Sequence[Any], b: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(a, b, strict=True))


def _cell(values: Sequence[float]) -> dict[str, Any]:
    return {"mean": sum(values) / len(values), "interval95": bootstrap_interval(values)}


def _measurer(bench: Posterior, made: Settings) -> Callable[[str], dict[str, Any]]:
    """Loads model and reward; gives the function that measures one prompt."""
    import torch

    from glass_cli.common.stages import Stages
    from glass_cli.engine.sample import load
    from glass_cli.method.noise import ParticleNoise
    from glass_cli.method.ode import Ode
    from glass_cli.method.path import TooFewTimes
    from glass_cli.pipelines.batches import Batches
    from glass_cli.steering.loop import CountedFlow

    work, _ = load(made, Stages())
    model, reward = work.model, work.reward
    assert reward is not None
    decoding = Batches(work.micro_batch)

    def measured(prompt: str) -> dict[str, Any]:
        began, seed = time.monotonic(), made.root.seed
        flow = CountedFlow(model.prompted(prompt, made.root.negative_prompt, work.micro_batch))

        def noise(name: str, count: int) -> ParticleNoise:
            key = f"{prompt}\x1fposterior {name}"
            return ParticleNoise(seed, key, count, model.shape, model.state)

        def score(z: Tensor) -> Tensor:
            with torch.no_grad():
                return reward.score(decoding.map(model.decode, z), prompt)

        own = Ode(1)
        start, own_calls = own.outer_times(flow)[0], bench.sample_calls or model.calls
        x = noise("samples", bench.samples)()
        data = own.transition(flow, x, flow.denoise(x, start), start, 1.0, lambda: x, own_calls)
        told, count = [], bench.samples * bench.draws
        for even in bench.times:
            t = flow.path.snap([flow.path.time_of(((1.0 - even) / even) ** 2)], 0.0, 1.0)[0]
            alpha, sigma, _, _ = flow.path.at(t)
            x_t = alpha * data + sigma * noise(f"noised to {even}", bench.samples)()
            told.append(
                posterior_rows(
                    flow,
                    x_t,
                    t,
                    bench.draws,
                    bench.calls,
                    bench.reference,
                    lambda name, even=even: noise(f"{name} from {even}", count),  # type: ignore[misc]  # its default
                    score,
                    bench.inner,
                )
            )
        return {
            "prompt": prompt,
            "times": told,
            "nfe": flow.calls,
            "seconds": time.monotonic() - began,
        }

    def explained(prompt: str) -> dict[str, Any]:
        try:
            return measured(prompt)
        except TooFewTimes as error:
            raise GlassError(f"benchmark.calls and benchmark.reference: {error}") from error

    return explained


def _shown(cell: Mapping[str, Any] | None, digits: Callable[[float], str]) -> str:
    if cell is None or cell["mean"] is None:
        return "-"
    around = cell["interval95"]
    spread = "" if around is None else f" [{digits(around[0])}, {digits(around[1])}]"
    return digits(cell["mean"]) + spread


def _table(at: Mapping[str, Any], count: int) -> Table:
    two = "{:.2f}".format
    rows = [
        (
            row["method"],
            str(row["calls"]),
            _shown(row["endpoint"], figure),
            _shown(row["w2_freed"], figure),
            _shown(row["value_correlation"], two),
        )
        for method in METHODS
        for row in at["rows"]
        if row["method"] == method
    ]
    again, hat = at["second_reference_correlation"], at["x_hat_correlation"]
    rows += [
        ("reference again", "", "", f"floor {figure(at['floor']['mean'])}", _shown(again, two)),
        ("r(x_hat)", "1", "", "", _shown(hat, two)),
    ]
    return Table(
        f"p(x_1 | x_t) at t={at['t']:.3g}, {count} prompts",
        ("sampler", "calls", "endpoint", "sliced W2", "value correlation"),
        rows,
        "endpoint: rms against the reference of the same noise; sliced W2: to an independent"
        " reference, freed\nof the floor in quadrature; value: mean reward of an x_t's draws,"
        " correlated within prompts with the\nreference's. 95 % bootstrap intervals over prompts.",
    )
