"""Noise belongs to (seed, prompt, particle) and to nothing else."""

from __future__ import annotations

import pytest
import torch

from glass_cli.method.noise import ParticleNoise, generator

LIKE = torch.empty(0, dtype=torch.float64)


def noise(
    seed: int = 0, prompt: str = "a cat", particles: int = 4, like: torch.Tensor = LIKE
) -> ParticleNoise:
    return ParticleNoise(seed, prompt, particles, (2, 3), like)


def test_a_particles_numbers_do_not_depend_on_the_others() -> None:
    few, many = noise(particles=2), noise(particles=7)
    for _ in range(3):
        assert torch.equal(few(), many()[:2])


def test_the_same_key_gives_the_same_numbers_and_successive_draws_differ() -> None:
    a, b = noise(), noise()
    first, second = a(), a()
    assert torch.equal(first, b()) and torch.equal(second, b())
    assert not bool((first == second).any())


def test_particles_prompts_and_seeds_differ() -> None:
    draws = torch.cat(
        [noise()(), noise(seed=1)(), noise(prompt="a dog")(), noise(prompt="a cat ")()]
    ).reshape(16, -1)
    for i in range(16):
        assert not bool((draws[i] == draws[:i]).any())


def test_keys_do_not_run_together() -> None:
    def first(*key: object) -> float:
        return float(torch.rand(1, generator=generator(*key), dtype=torch.float64))

    keys = [(1, "2", 3), (1, "23"), (12, "3"), (1, 23), ("1", 23), (1, "2\x1f3"), (1, "2", "3")]
    assert len({first(*key) for key in keys}) == len(keys)


def test_the_numbers_are_standard_normal() -> None:
    x = ParticleNoise(0, "", 4, (5000,), LIKE)()
    n = x.numel()
    assert abs(float(x.mean())) < 4 / n**0.5
    assert float(x.var()) == pytest.approx(1.0, abs=4 * (2 / n) ** 0.5)
    correlation = torch.corrcoef(x) - torch.eye(4, dtype=torch.float64)
    assert float(correlation.abs().max()) < 4 / 5000**0.5


def test_the_numbers_of_a_release_stay_those_of_the_next() -> None:
    """A changed value here means that every user's seeds give other pictures."""
    assert float(noise()()[0, 0, 0]) == pytest.approx(0.202989960091789, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_type_and_device_are_those_of_the_tensor(dtype: torch.dtype) -> None:
    out = noise(like=torch.empty(0, dtype=dtype))()
    assert out.shape == (4, 2, 3) and out.dtype == dtype and out.device.type == "cpu"
    assert torch.equal(out, noise()().to(dtype))
    assert noise(like=torch.empty(0, device="meta"))().device.type == "meta"
