"""Paths, conversions between what models predict, and the times at which models are asked."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from worlds import CONDOT, DISCRETE, PATHS, VP, GaussianFlow, stable_diffusion_table

from glass_cli.method import path as paths
from glass_cli.method.path import DiscreteVP, Path, VariancePreserving
from glass_cli.method.times import check_times, outer_times, shifted, spaced_times

each_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
TRAINED = [1.0 - (i + 1) / 1000 for i in range(1000)]


def ratio(path: Path, t: float) -> float:
    alpha, sigma, _, _ = path.at(t)
    return (sigma / alpha) ** 2 if alpha else math.inf


@each_path
@pytest.mark.parametrize("t", [0.1234, 0.5003, 0.8777, 0.9871])
def test_derivatives_are_those_of_the_coefficients(path: Path, t: float) -> None:
    h = 1e-5
    up, down, here = path.at(t + h), path.at(t - h), path.at(t)
    assert here.d_alpha == pytest.approx((up.alpha - down.alpha) / (2 * h), rel=1e-6)
    assert here.d_sigma == pytest.approx((up.sigma - down.sigma) / (2 * h), rel=1e-6)


@each_path
def test_ends(path: Path) -> None:
    noise, data = path.at(0.0), path.at(1.0)
    assert (data.alpha, data.sigma) == (1.0, 0.0)
    assert noise.alpha < 0.07 and noise.sigma > 0.997
    assert path.time_of(0.0) == 1.0
    assert path.time_of(math.inf) == 0.0
    assert path.time_of(1e300) == pytest.approx(0.0, abs=1e-12) and path.time_of(1e300) >= 0.0


@each_path
def test_time_of_inverts_the_noise_to_signal_ratio(path: Path) -> None:
    for t in (0.0, 1e-4, 0.001, 0.01, 0.1, 0.25, 0.5, 0.77, 0.9, 0.99, 0.9985, 0.999, 0.9995, 1.0):
        assert path.time_of(ratio(path, t)) == pytest.approx(t, abs=1e-12)


@pytest.mark.parametrize("path", [VP, DISCRETE], ids=["vp", "discrete"])
def test_variance_is_preserved(path: Path) -> None:
    for t in (0.0, 0.2, 0.6, 0.9993, 1.0):
        alpha, sigma, _, _ = path.at(t)
        assert alpha**2 + sigma**2 == pytest.approx(1.0, abs=1e-15)


def test_vp_is_the_integral_of_its_beta() -> None:
    # alpha = exp(-1/2 int_0^tau beta), beta = 0.5 + 3 tau', at tau = 0.4: int = 0.2 + 0.24
    assert VariancePreserving(0.5, 3.5).at(0.6).alpha == pytest.approx(math.exp(-0.22), abs=1e-15)


def test_discrete_path_stands_on_the_table_at_trained_times() -> None:
    for step, t in enumerate(TRAINED):
        alpha, sigma, _, _ = DISCRETE.at(t)
        a = DISCRETE.alphas_cumprod[step]
        assert alpha == pytest.approx(math.sqrt(a), rel=1e-12)
        assert sigma == pytest.approx(math.sqrt(1.0 - a), rel=1e-12)
        assert DISCRETE.step_of(t) == pytest.approx(step, abs=1e-9)
        assert DISCRETE.time_of((1.0 - a) / a) == pytest.approx(t, abs=1e-12)


def test_discrete_ratio_falls_all_the_way() -> None:
    ratios = [ratio(DISCRETE, i / 3777) for i in range(3778)]
    assert all(a > b for a, b in itertools.pairwise(ratios))


@pytest.mark.parametrize("table", [(0.9,), (0.9, 0.9), (0.5, 0.6), (1.0, 0.5), (0.5, 0.0)])
def test_discrete_path_refuses_a_bad_table(table: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="alphas_cumprod"):
        DiscreteVP(table)


def test_continuous_paths_take_any_time() -> None:
    assert CONDOT.snap([0.1, 0.2], 0.0, 1.0) == VP.snap([0.1, 0.2], 0.0, 1.0) == [0.1, 0.2]


@pytest.mark.parametrize(
    ("wanted", "after", "before"),
    [
        ([0.3004, 0.50049, 0.8], 0.0, 1.0),
        ([0.5, 0.5001, 0.5002, 0.5003], 0.25, 0.75),  # all on one step
        ([0.0001, 0.0002], 0.0, 1.0),  # pressed against the start
        ([0.99991, 0.99992, 0.99993], 0.5, 1.0),  # pressed against clean data
        ([0.7499, 0.74995, 0.74999], 0.25, 0.75),
        ([0.101, 0.102, 0.103], 0.1, 0.104),  # only just room
        ([0.1031, 0.1035, 0.1039], 0.1, 0.104),
    ],
)
def test_snap_gives_distinct_trained_times_between(
    wanted: list[float], after: float, before: float
) -> None:
    found = DISCRETE.snap(wanted, after, before)
    assert len(found) == len(wanted)
    assert all(a < b for a, b in itertools.pairwise(found))
    assert after + 1e-9 < found[0] and found[-1] < before - 1e-9
    for t in found:
        assert DISCRETE.step_of(t) == pytest.approx(round(DISCRETE.step_of(t)), abs=1e-9)


def test_snap_moves_to_the_nearest_step() -> None:
    found = DISCRETE.snap([0.3004, 0.50049, 0.8], 0.0, 1.0)
    assert found == pytest.approx([0.3, 0.5, 0.8], abs=1e-12)
    assert DISCRETE.snap(TRAINED[::-1], -1.0, 1.0) == pytest.approx(TRAINED[::-1], abs=1e-12)


def test_snap_says_when_there_are_too_few_trained_times() -> None:
    with pytest.raises(ValueError, match=r"4 network calls .* trained at 3 times; use fewer"):
        DISCRETE.snap([0.101, 0.102, 0.103, 0.1035], 0.1, 0.104)


@each_path
@pytest.mark.parametrize("t", [0.03, 0.4, 0.97])
def test_conversions_come_back_and_agree_with_the_posterior(path: Path, t: float) -> None:
    flow = GaussianFlow(path)
    alpha, sigma, d_alpha, d_sigma = path.at(t)
    mean, std = flow.law(t)
    x = torch.linspace(mean - 3 * std, mean + 3 * std, 7, dtype=torch.float64)
    # by regression of z, eps and the velocity on x_t, all jointly Gaussian
    z = flow.mean + alpha * flow.std**2 / std**2 * (x - mean)
    eps = sigma / std**2 * (x - mean)
    u = d_alpha * z + d_sigma * eps
    score = -(x - mean) / std**2

    def close(a: torch.Tensor, b: torch.Tensor, scale: float = 1.0) -> bool:
        return bool(((a - b).abs() <= 1e-12 * scale * (1.0 + b.abs())).all())

    lift = 1.0 / alpha + 1.0 / sigma  # by how much a division magnifies rounding
    assert close(flow.denoise(x, t), z)
    assert close(paths.epsilon_from_denoiser(path, t, x, z), eps, lift)
    assert close(paths.denoiser_from_epsilon(path, t, x, eps), z, lift)
    assert close(paths.velocity_from_denoiser(path, t, x, z), u, lift)
    assert close(paths.denoiser_from_velocity(path, t, x, u), z, lift)
    assert close(paths.score_from_denoiser(path, t, x, z), score, lift**2)
    if path is not CONDOT:
        v = alpha * eps - sigma * z
        assert close(paths.v_from_denoiser(path, t, x, z), v, lift)
        assert close(paths.denoiser_from_v(path, t, x, v), z)


def test_denoiser_from_velocity_and_v_are_finite_at_the_ends() -> None:
    x, out = torch.tensor([0.3, -2.0]), torch.tensor([1.0, 0.5])
    assert torch.equal(paths.denoiser_from_velocity(CONDOT, 0.0, x, out), out + x)
    assert torch.equal(paths.denoiser_from_velocity(CONDOT, 1.0, x, out), x)
    assert torch.equal(paths.denoiser_from_v(VP, 1.0, x, out), x)


@pytest.mark.parametrize("shift", [1.0, 1.15, 3.0, 0.5])
def test_shift_is_sigma_over_one_plus(shift: float) -> None:
    for u in (0.0, 0.2, 0.7, 1.0):
        sigma = 1.0 - u
        assert shifted(u, shift) == pytest.approx(1 - shift * sigma / (1 + (shift - 1) * sigma))
        assert shifted(shifted(u, shift), 1.0 / shift) == pytest.approx(u, abs=1e-14)


def test_spread_is_even_in_the_progress_of_the_schedule() -> None:
    assert spaced_times(0.2, 1.0, 4) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    times = spaced_times(0.1, 0.9, 5, 3.0)
    assert (times[0], times[-1]) == (0.1, 0.9)
    progress = [shifted(t, 1.0 / 3.0) for t in times]
    gaps = [b - a for a, b in itertools.pairwise(progress)]
    assert gaps == pytest.approx([gaps[0]] * 5)
    assert shifted(0.5, 3.0) < 0.5  # more steps near noise


def test_outer_times() -> None:
    assert outer_times("uniform", 4, CONDOT, 3.0) == pytest.approx((0, 0.25, 0.5, 0.75, 1))
    assert outer_times("schedule", 2, CONDOT, 3.0) == pytest.approx((0, 0.25, 1))
    assert outer_times((0.0, 0.1, 1.0), 9, CONDOT, 1.0) == (0.0, 0.1, 1.0)
    third = DiscreteVP(stable_diffusion_table(10)).snap([1 / 3], -1.0, 1.0)
    assert outer_times("uniform", 3, DiscreteVP(stable_diffusion_table(10)), 1.0) == pytest.approx(
        (0.0, third[0], 0.7, 1.0), abs=1e-12
    )


@pytest.mark.parametrize(
    "times",
    ["even", [0.0, 0.5], [0.0, 0.5, 0.5, 1.0], [-0.1, 1.0], [1.0], [0.0, math.nan, 1.0], 3, ["a"]],
)
def test_bad_times_are_refused(times: object) -> None:
    with pytest.raises(ValueError, match=r"^sampler\.times must"):
        check_times(times, 3)


def test_good_times_become_a_tuple_that_ends_at_one() -> None:
    assert check_times([0, 0.5, 1.0 + 1e-12], 3) == (0.0, 0.5, 1.0)
    with pytest.raises(ValueError, match=r"sampler\.transitions must be at least 1 \(got 0\)"):
        check_times("uniform", 0)
