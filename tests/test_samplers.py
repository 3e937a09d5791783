"""ODE and SDE samplers, and what every sampler owes: law and cost.

Data are Gaussian, so a sampler is an affine map of its noise and `worlds.exact_laws` gives the law
of its output without Monte-Carlo error: what is left to tolerate is discretisation.
"""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import pytest
import torch
from worlds import CONDOT, DISCRETE, PATHS, VP, Basis, GaussianFlow, Law, Normals, exact_laws

from glass_cli.method.flow import Sampler
from glass_cli.method.glass import Glass
from glass_cli.method.ode import Ode
from glass_cli.method.path import Path
from glass_cli.method.sde import Sde

each_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)


def ode_error(path: Path, method: str, steps: int) -> float:
    """Error of the slope of x_0.75 in x_0.25, whose exact value is std_0.75 / std_0.25."""
    flow, normal = GaussianFlow(path), Basis(1)
    x = normal()
    sampler = Ode(method=method)
    x = sampler.transition(flow, x, flow.denoise(x, 0.25), 0.25, 0.75, normal, steps)
    return float(Law.of(0.75, x).coefficients[0]) - flow.law(0.75)[1] / flow.law(0.25)[1]


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("heun", 2), ("multistep", 2)])
@pytest.mark.parametrize("path", [CONDOT, VP], ids=["condot", "vp"])
def test_ode_converges_at_its_order(path: Path, method: str, order: int) -> None:
    errors = [abs(ode_error(path, method, steps)) for steps in (32, 64, 128)]
    # halving the step divides the error by 2^order; a quarter of an order is left for the next
    # term of the expansion, which may also meet the first and make the error smaller still
    assert math.log2(errors[0] / errors[-1]) > 2 * (order - 0.25)
    if method != "multistep":
        for coarse, fine in itertools.pairwise(errors):
            assert order - 0.25 < math.log2(coarse / fine) < order + 0.75
    assert errors[-1] < (5e-3 if order == 1 else 1e-4)


def test_ode_step_into_clean_data_gives_the_denoiser() -> None:
    flow, x = GaussianFlow(), torch.tensor([[0.3], [2.0]], dtype=torch.float64)
    z = flow.denoise(x, 0.6)
    for method in ("euler", "heun", "multistep"):
        out = Ode(method=method).transition(flow, x, z, 0.6, 1.0, Basis(9), 1)
        assert torch.equal(out, z)


RHOS: dict[str, dict[str, object]] = {
    "ddpm": {},
    "kappa": {"kappa": 0.5},
    "0.4": {"rho": 0.4},
    "1": {"rho": 1.0},
    "-0.5": {"rho": -0.5},
}
# allowed error of std at inner times and at t=1: several times what was measured with 4 x 48
# calls; each halves (order 1) or quarters (order 2) when the calls double, as tested below
SAMPLERS: list[tuple[str, Sampler, float, float]] = [
    *((f"glass-{k}", Glass(4, 48, **v), 4e-4, 4e-3) for k, v in RHOS.items() if k != "1"),
    *((f"euler-{k}", Glass(4, 48, order=1, **v), 0.008, 0.016) for k, v in RHOS.items()),
    ("glass-1", Glass(4, 48, rho=1.0), 4e-3, 6e-3),
    ("glass-inner-s", Glass(4, 48, inner="s"), 4e-4, 4e-3),
    ("glass-inner-times", Glass(4, 48, inner="times"), 3e-3, 8e-3),
    (
        "glass-rho-over-time",
        Glass(4, 48, rho=((0.0, "ddpm"), (0.3, 0.4), (0.7, -0.5))),
        4e-4,
        4e-3,
    ),
    ("ode-euler", Ode(4, 48, "euler"), 3e-3, 0.012),
    ("ode-heun", Ode(4, 48, "heun"), 1e-4, 0.014),
    ("ode-multistep", Ode(4, 48), 1e-4, 2e-3),
    ("sde-euler_maruyama", Sde(4, 48), 0.012, 2e-3),
    ("sde-ancestral", Sde(4, 48, "ancestral"), 6e-3, 0.025),
]


@each_path
@pytest.mark.parametrize(
    ("sampler", "inner", "end"), [s[1:] for s in SAMPLERS], ids=[s[0] for s in SAMPLERS]
)
def test_marginals_are_kept(path: Path, sampler: Sampler, inner: float, end: float) -> None:
    flow = GaussianFlow(path)
    maruyama = isinstance(sampler, Sde) and sampler.method == "euler_maruyama"
    # Euler-Maruyama starts a little after t=0 with plain noise, which moves the mean there
    for law in exact_laws(flow, sampler, exact_start=not maruyama)[1:]:
        mean, std = flow.law(law.t)
        assert law.mean == pytest.approx(mean, abs=0.02 if maruyama else 1e-12)
        assert law.std == pytest.approx(std, abs=end if law.t == 1.0 else inner)


@pytest.mark.parametrize("path", [CONDOT, VP], ids=["condot", "vp"])
@pytest.mark.parametrize("method", ["euler_maruyama", "ancestral"])
def test_sde_converges_at_first_order(path: Path, method: str) -> None:
    errors = []
    for steps in (50, 100, 200):
        flow = GaussianFlow(path)
        law = exact_laws(flow, Sde(2, steps, method))[1]
        errors.append(abs(law.std - flow.law(0.5)[1]))
    for coarse, fine in itertools.pairwise(errors):
        assert 0.75 < math.log2(coarse / fine) < 1.5


def test_sde_with_monte_carlo_noise() -> None:
    n, flow = 20_000, GaussianFlow()
    normal = Normals(5, (n, 1))
    for sampler in (Glass(2, 8), Sde(2, 20, "ancestral")):
        predicted = exact_laws(flow, sampler)[-1]
        x = normal()
        times = sampler.outer_times(flow)
        for t, t_next in itertools.pairwise(times):
            x = sampler.transition(flow, x, flow.denoise(x, t), t, t_next, normal, sampler.steps)
        assert float(x.mean()) == pytest.approx(predicted.mean, abs=4 * predicted.std / n**0.5)
        assert float(x.std()) == pytest.approx(
            predicted.std, abs=4 * predicted.std / (2 * n) ** 0.5
        )


def test_euler_maruyama_starts_after_zero_where_its_noise_diverges() -> None:
    flow, first = GaussianFlow(), (0.0, 0.25, 10)
    assert Sde(4).first_time(flow, *first) == pytest.approx(0.75 * 0.025)
    assert Sde(4, start=0.2).first_time(flow, *first) == pytest.approx(0.2 * 0.025)
    assert Sde(4).first_time(GaussianFlow(VP), *first) == 0.0
    assert Sde(4, method="ancestral").first_time(flow, *first) == 0.0


def test_times_begin_at_the_noise_that_particles_begin_as() -> None:
    for sampler in (Sde, Ode, Glass):
        with pytest.raises(ValueError, match="must rise from 0 to 1"):
            sampler(2, 10, times=[0.1, 0.3, 1.0])


COSTS: list[Sampler] = [
    *(Glass(3, m, order=o) for m in (1, 2, 5) for o in (1, 2)),
    *(Ode(3, m, method) for m in (1, 2, 3, 4, 5) for method in ("euler", "heun", "multistep")),
    *(Sde(3, m, method) for m in (1, 4) for method in ("euler_maruyama", "ancestral")),
]


@each_path
@pytest.mark.parametrize("sampler", COSTS, ids=str)
def test_each_transition_costs_its_calls_at_times_the_model_knows(
    path: Path, sampler: Sampler
) -> None:
    flow, normal = GaussianFlow(path), Normals(1, (4, 1))
    x = normal()
    times = sampler.outer_times(flow)
    assert len(times) == 4 and times[-1] == 1.0
    times = (sampler.first_time(flow, times[0], times[1], sampler.steps), *times[1:])
    for t, t_next in itertools.pairwise(times):
        flow.queries.clear()
        x = sampler.transition(flow, x, flow.denoise(x, t), t, t_next, normal, sampler.steps)
        assert [n for _, n in flow.queries] == [4] * sampler.steps
        asked = [t_query for t_query, _ in flow.queries]
        # Heun corrects at a time and asks there again
        assert asked == sorted(asked) and all(t <= a <= t_next and a < 1.0 for a in asked)
        if path is DISCRETE:
            for a in asked:
                assert DISCRETE.step_of(a) == pytest.approx(round(DISCRETE.step_of(a)), abs=1e-6)
    assert x.shape == (4, 1) and bool(x.isfinite().all())


def test_too_many_calls_for_a_discrete_model_is_said() -> None:
    flow, x = GaussianFlow(DISCRETE), torch.zeros(1, 1, dtype=torch.float64)
    for sampler in (Glass(), Ode()):
        with pytest.raises(ValueError, match="7 network calls are asked for"):
            sampler.transition(flow, x, x, 0.5, 0.504, Normals(1, (1, 1)), 8)


@pytest.mark.parametrize(
    ("cls", "settings", "message"),
    [
        (Glass, {"steps": 0}, r"sampler\.steps must be at least 1 \(got 0\)"),
        (Glass, {"rho": 1.5}, r"sampler\.rho must lie between -1 and 1 \(got 1.5\)"),
        (Glass, {"rho": math.nan}, r"sampler\.rho must lie"),
        (Glass, {"rho": "sde"}, r"sampler\.rho must be ddpm or a number"),
        (Glass, {"rho": [[0, 0.5], [0.3, "sde"]]}, r"sampler\.rho must be ddpm or a number"),
        (Glass, {"rho": [[0, 0.5], [0.3, 2]]}, r"sampler\.rho must lie between .* \(got 2\)"),
        (Glass, {"rho": [[0, 0.5], 0.3]}, r"sampler\.rho must be ddpm, a number .*, or pairs"),
        (Glass, {"rho": [["ddpm", 0.5]]}, r"sampler\.rho must have numbers as times"),
        (Glass, {"rho": [[0.1, 0.5]]}, r"sampler\.rho must have times that rise from 0, below 1"),
        (Glass, {"rho": [[0, 1], [0.5, 0], [0.5, 1]]}, r"sampler\.rho must have times that rise"),
        (Glass, {"rho": [[0, 1], [1, 0]]}, r"sampler\.rho must have times that rise"),
        (Glass, {"rho": []}, r"sampler\.rho must have times that rise"),
        (Glass, {"inner": "log"}, r"sampler\.inner must be snr, s or times \(got log\)"),
        (Glass, {"kappa": -1.0}, r"sampler\.kappa must be 0 or more"),
        (Glass, {"order": 3}, r"sampler\.order must be 1 or 2 \(got 3\)"),
        (Ode, {"steps": 0}, r"sampler\.steps must"),
        (Ode, {"method": "rk4"}, r"sampler\.method must be euler, heun or multistep \(got rk4\)"),
        (Sde, {"method": "rk4"}, r"sampler\.method must be euler_maruyama or ancestral"),
        (Sde, {"start": 1.0}, r"sampler\.start must lie between 0 and 1"),
        (Sde, {"transitions": 0}, r"sampler\.transitions must"),
    ],
)
def test_settings_are_checked(
    cls: type[Glass | Ode | Sde], settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        cls(**settings)


def test_nothing_heavy_is_imported_for_settings() -> None:
    code = """
import sys
import glass_cli.method.glass, glass_cli.method.ode, glass_cli.method.sde
import glass_cli.steering.feynman_kac, glass_cli.steering.independent
glass_cli.method.glass.Glass(), glass_cli.steering.feynman_kac.FeynmanKac()
heavy = {"torch", "numpy", "hydra", "omegaconf", "diffusers", "transformers", "wandb"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
import glass_cli.steering.loop
heavy -= {"torch", "numpy"}
assert "torch" in sys.modules
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
