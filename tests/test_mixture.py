"""Closed forms of a Gaussian mixture against integration on a grid."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import Tensor
from worlds import PATHS, Normals, planar_mixture

from glass_cli.method.path import Path, score_from_denoiser
from glass_cli.models.gaussian_mixture import GaussianMixture
from glass_cli.models.mixture import Mixture

each_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
CELL = 0.02


@pytest.fixture(scope="module")
def grid() -> Tensor:
    """Cells (n, 2) of a square that holds all of the planar mixture; the trapezoid rule on it is
    exact to rounding for functions as smooth as these."""
    axis = torch.arange(-4.0, 4.0, CELL, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis)


def test_density(grid: Tensor) -> None:
    mixture = planar_mixture()
    p = mixture.log_density(grid).exp() * CELL**2
    assert float(p.sum()) == pytest.approx(1.0, abs=1e-9)
    assert (p[:, None] * grid).sum(0) == pytest.approx(mixture.mean(), abs=1e-9)
    x = torch.tensor([0.2, -0.3], dtype=torch.float64)
    by_hand = sum(
        w / (2 * math.pi * c**2) * math.exp(-((0.2 - a) ** 2 + (-0.3 - b) ** 2) / (2 * c**2))
        for w, (a, b), c in zip(
            (0.5, 0.3, 0.2), ((1.5, 0.0), (-1.0, 1.0), (0.0, -1.5)), (0.3, 0.2, 0.4), strict=True
        )
    )
    assert float(mixture.log_density(x)) == pytest.approx(math.log(by_hand), rel=1e-12)


@each_path
def test_posterior_is_prior_times_likelihood(path: Path, grid: Tensor) -> None:
    t = 0.4
    mixture = planar_mixture()
    alpha, sigma, _, _ = path.at(t)
    for x in torch.tensor([[0.1, 0.1], [0.7, -0.6]], dtype=torch.float64):
        square = (x - alpha * grid).square().sum(1)
        log_p = mixture.log_density(grid) - 0.5 * square / sigma**2
        p = (log_p - log_p.logsumexp(0)).exp()
        posterior = mixture.posterior(path, x[None], t)
        assert posterior.log_w.shape == posterior.stds.shape == (1, 3)
        found = posterior.log_density(grid[:, None, :])[:, 0].exp() * CELL**2
        assert float((found - p).abs().sum()) < 1e-6
        mean = (p[:, None] * grid).sum(0)
        assert mixture.denoise(path, x[None], t)[0] == pytest.approx(mean, abs=1e-8)
        assert posterior.mean()[0] == pytest.approx(mean, abs=1e-8)


@each_path
def test_denoiser_agrees_with_the_score_of_the_noisy_density(path: Path) -> None:
    t = 0.35
    mixture = planar_mixture()
    alpha, sigma, _, _ = path.at(t)
    noisy = Mixture(
        mixture.log_w, alpha * mixture.means, (alpha**2 * mixture.stds**2 + sigma**2).sqrt()
    )
    x = Normals(1, (6, 2))().requires_grad_()
    (score,) = torch.autograd.grad(noisy.log_density(x).sum(), x)
    found = score_from_denoiser(path, t, x, mixture.denoise(path, x, t))
    assert torch.allclose(found, score, rtol=1e-10, atol=1e-10)


@each_path
def test_denoiser_at_the_ends(path: Path) -> None:
    mixture = planar_mixture()
    x = Normals(2, (5, 2))()
    assert torch.allclose(mixture.denoise(path, x, 1.0), x, atol=1e-12)
    at_noise = mixture.denoise(path, x, 0.0)
    # alpha_0 is 0.07 at most, and so is what x_0 tells
    assert torch.allclose(at_noise, mixture.mean().expand(5, 2), atol=0.5)
    far = torch.full((1, 2), 1e4, dtype=torch.float64)
    assert bool(mixture.denoise(path, far, 0.5).isfinite().all())


def test_samples_have_the_moments() -> None:
    n = 40_000
    mixture = planar_mixture()
    u = torch.rand(n, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    z = mixture.sample(Normals(4, (n, 2))(), u)
    assert bool(((z.mean(0) - mixture.mean()).abs() < 4 * z.std(0) / n**0.5).all())
    square = z.square().sum(1)
    exact = float(
        (mixture.log_w.exp() * (mixture.means.square().sum(1) + 2 * mixture.stds**2)).sum()
    )
    assert float(square.mean()) == pytest.approx(exact, abs=4 * float(square.std()) / n**0.5)


def test_samples_take_the_component_of_their_uniform() -> None:
    mixture = planar_mixture()
    uniform = torch.tensor([0.0, 0.49, 0.51, 0.79, 0.81, 1.0 - 2.0**-53], dtype=torch.float64)
    z = mixture.sample(torch.zeros(6, 2, dtype=torch.float64), uniform)
    assert torch.equal(z, mixture.means[[0, 0, 1, 1, 2, 2]])


def test_a_batch_of_posteriors_is_sampled_each_from_its_own() -> None:
    path, n = PATHS["condot"], 20_000
    mixture = planar_mixture()
    x = torch.tensor([[0.1, 0.1], [0.7, -0.6]], dtype=torch.float64)
    posterior = mixture.posterior(path, x.repeat_interleave(n, 0), 0.4)
    u = torch.rand(2 * n, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    z = posterior.sample(Normals(6, (2 * n, 2))(), u).reshape(2, n, 2)
    exact = mixture.denoise(path, x, 0.4)
    assert bool(((z.mean(1) - exact).abs() < 4 * z.std(1) / n**0.5).all())
    two = mixture.posterior(path, x, 0.4)
    for j, u_j in enumerate(two.log_w.exp().cumsum(-1).T - 1e-9):  # in the share of component j
        z = two.sample(torch.ones(2, 2, dtype=torch.float64), u_j)
        assert torch.allclose(z, two.means[:, j] + two.stds[:, j, None], rtol=0.0, atol=1e-15)


def test_tilt(grid: Tensor) -> None:
    mixture = planar_mixture()
    a = torch.tensor([1.3, -0.4], dtype=torch.float64)
    tilted, log_z = mixture.tilt(a)
    log_p = mixture.log_density(grid) + grid @ a
    assert float(log_z) == pytest.approx(float(log_p.logsumexp(0)) + 2 * math.log(CELL), abs=1e-9)
    assert torch.allclose(tilted.log_density(grid), log_p - log_z, atol=1e-10)


def test_tilt_of_one_gaussian() -> None:
    one = Mixture(
        torch.zeros(1, dtype=torch.float64),
        torch.tensor([[0.3]], dtype=torch.float64),
        torch.tensor([0.7], dtype=torch.float64),
    )
    tilted, log_z = one.tilt(torch.tensor([2.0], dtype=torch.float64))
    assert float(tilted.mean()) == pytest.approx(0.3 + 2.0 * 0.49, rel=1e-14)
    assert float(log_z) == pytest.approx(2.0 * 0.3 + 4.0 * 0.49 / 2, rel=1e-14)


def test_the_model_puts_its_components_where_it_says() -> None:
    means = GaussianMixture(dim=3, components=4, radius=2.0).mixture().means
    expected = torch.tensor([[2.0, 0, 0], [0, 2, 0], [-2, 0, 0], [0, -2, 0]], dtype=torch.float64)
    assert torch.allclose(means, expected, atol=1e-12)
    line = GaussianMixture(dim=1, components=3, radius=1.5).mixture()
    assert line.means[:, 0].tolist() == [-1.5, 0.0, 1.5]
    assert float(line.log_w.exp().sum()) == pytest.approx(1.0)


@pytest.mark.parametrize(("dim", "tilted"), [(1, False), (2, True), (3, False)])
def test_a_density_plot_says_what_it_shows(dim: int, tilted: bool) -> None:
    from glass_cli.models.density_plot import density_figure

    target = GaussianMixture(dim=dim).mixture()
    seeded = torch.Generator().manual_seed(0)
    points = torch.randn(20, dim, dtype=torch.float64, generator=seeded)
    figure = density_figure(points, torch.zeros(20), target, tilted, 'prompt 0, "a $x of b$"')
    (axes,) = figure.axes
    name = "tilted density" if tilted else "density"
    assert axes.get_xlabel() == "$x_1$"
    assert axes.get_ylabel() == ("density" if dim == 1 else "$x_2$")
    first, second = figure.get_suptitle().split("\n")
    assert first.replace("\\$", "$") == 'prompt 0, "a $x of b$"'
    assert second.startswith(f"20 particles and the true {name}")
    assert second.endswith("the first 2 of 3 coordinates") == (dim == 3)
    (legend,) = figure.legends
    shown = sorted(text.get_text() for text in legend.get_texts())
    particles = "particles, by weight" if dim == 1 else "particles, area by weight"
    assert shown == sorted([name, particles])
    figure.canvas.draw()
    assert legend.get_window_extent().y1 <= axes.get_window_extent().y0  # over no point


def test_points_close_together_leave_the_density_to_be_seen() -> None:
    from glass_cli.models.density_plot import density_figure

    target = GaussianMixture(dim=1, components=1, std=20.0).mixture()
    points = torch.linspace(15.0, 36.0, 16, dtype=torch.float64)[:, None]
    (axes,) = density_figure(points, torch.zeros(16), target, True, "prompt 0").axes
    (curve,) = axes.get_lines()
    assert max(bar.get_height() for bar in axes.patches) < 3 * max(curve.get_ydata())


@pytest.mark.parametrize("letter", ["W", "红", "i", "🍎"])
def test_a_density_plot_shows_wide_prompts_whole(
    letter: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of letters that the font lacks there are boxes, and no word of matplotlib's."""
    from glass_cli.models.density_plot import density_figure, density_plot

    target = GaussianMixture(dim=3).mixture()
    words = (torch.zeros(2, 3, dtype=torch.float64), torch.zeros(2), target, True, 59 * letter)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert density_plot(*words).startswith(b"\x89PNG")
    assert not said and capfd.readouterr().err == ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure = density_figure(*words)
        figure.canvas.draw()
        (title,) = figure.texts
        extent = title.get_window_extent()
    assert extent.x0 >= 0 and extent.x1 <= figure.bbox.width
    assert title.get_text().startswith(59 * letter)


@pytest.mark.parametrize(
    ("key", "value"), [("std", 0.0), ("std", math.inf), ("radius", -math.inf), ("radius", math.nan)]
)
def test_endless_mixtures_are_refused(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"model\.{key} must be .*got {value}"):
        GaussianMixture(**{key: value})
