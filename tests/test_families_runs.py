"""Every family through the command line's way in: guidance, pictures, folders, whole runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from exact_network import exact
from families import FAMILIES
from family_calls import (
    GUIDED,
    PROMPT,
    RENORMALISED,
    SHORT,
    called,
    denoised,
    every_family,
    loaded,
    unguided,
)

from glass_cli.common.errors import GlassError
from glass_cli.launch import launch
from glass_cli.method.glass import Glass
from glass_cli.method.noise import ParticleNoise, generator
from glass_cli.models.diffusers_pipeline import DiffusersPipeline
from glass_cli.pipelines.encoding import remembering
from glass_cli.pipelines.session import replaced
from glass_cli.pipelines.vendors import quiet
from glass_cli.steering.independent import NoSteering
from glass_cli.steering.loop import steer


@pytest.fixture(autouse=True, scope="module")
def _quiet_vendors() -> None:
    quiet()


@every_family
def test_guidance_between_equal_branches_changes_nothing(name: str) -> None:
    x = torch.randn(2, *loaded(name).shape, dtype=torch.float64, generator=generator(5))
    out = []
    for arguments in (unguided(name), GUIDED[name](3.0)):
        model = loaded(name, **arguments)
        with exact(model.pipe, 0.7, 0.6):
            flow = model.prompted(PROMPT, "", 2)
            t = flow.path.snap([0.3], -1.0, 1.0)[0]
            out.append(flow.denoise(x, t))
            flow.close()
    assert (out[0] - out[1]).abs().max() < 1e-5 * out[0].abs().max()


@every_family
def test_guidance_acts_at_every_call(name: str) -> None:
    """The guided output is affine in the guidance scale, at the first call and at later ones."""
    at = [denoised(loaded(name, **GUIDED[name](scale))) for scale in (2.0, 3.0, 5.0)]
    for two, three, five in zip(*at, strict=True):
        assert (three - two).abs().max() > 1e-3
        if name not in RENORMALISED:
            assert (five - three - 2 * (three - two)).abs().max() < 1e-5


@every_family
def test_the_negative_prompt_acts(name: str) -> None:
    model = loaded(name, **GUIDED[name](3.0))
    if name == "flux2_klein":
        with pytest.raises(GlassError, match="negative_prompt"):
            denoised(model, "a cat")
        return
    for one, other in zip(denoised(model), denoised(model, "a cat"), strict=True):
        assert (one - other).abs().max() > 1e-6


def test_embedded_guidance_of_flux_dev_acts() -> None:
    low, high = (denoised(loaded("flux_dev", guidance_scale=scale)) for scale in (1.0, 8.0))
    assert all((a - b).abs().max() > 1e-6 for a, b in zip(low, high, strict=True))


@every_family
def test_pictures_are_decoded_as_by_the_pipeline(name: str) -> None:
    latents, pictures = called(name, 2, 3)
    model = loaded(name)
    decoded = model.decode(latents.double())
    assert decoded.shape == (3, 3, 64, 64) and decoded.dtype == torch.float32
    assert 0.0 <= decoded.min() < decoded.max() <= 1.0
    assert (decoded - pictures).abs().max() < 1e-5
    # and the pipeline is left as it was
    again, _ = called(name, 2, 3)
    assert torch.equal(latents, again)


@every_family
def test_decoding_has_a_gradient(name: str) -> None:
    """Its length is the slope along it, by a central difference."""
    model = loaded(name)
    x = torch.randn(1, *model.shape, dtype=torch.float64, generator=generator(7))
    x = (0.1 * x).requires_grad_()
    weights = torch.randn(1, 3, 64, 64, generator=generator(8))
    (slope,) = torch.autograd.grad((model.decode(x) * weights).sum(), x)
    length, h = float(slope.norm()), 1e-3
    with torch.no_grad():
        ahead, behind = (
            (model.decode(x + step * slope / length) * weights).sum() for step in (h, -h)
        )
    # float32 sums of 12288 pixels, and the decoder's curvature
    assert abs(float(ahead - behind) / (2 * h) / length - 1.0) < 0.03


@every_family
def test_a_prompt_is_encoded_once(name: str) -> None:
    """For micro-batches of two sizes and for decoding; the loader makes pipelines remember."""
    # SANA's own instruction is a list, which its shorter calls above leave out
    words = {"complex_human_instruction": ["Say more.", "Prompt: "]} if name == "sana" else {}
    model, calls = loaded(name, **words), list[str]()
    parts = model.pipe.components.items()
    encoders = {part: m for part, m in parts if "text_encoder" in part and m is not None}
    hooks = [
        m.register_forward_pre_hook(lambda *_, part=part: calls.append(part))
        for part, m in encoders.items()
    ]
    with replaced(model.pipe, encode_prompt=remembering(model.pipe.encode_prompt)):
        flow = model.prompted("a bear", "", 2)
        x = torch.randn(3, *model.shape, dtype=torch.float64, generator=generator(9))
        flow.denoise(x, flow.path.snap([0.3], -1.0, 1.0)[0])
        first = len(calls)
        model.decode(x)
        flow.close()
    for hook in hooks:
        hook.remove()
    # once for the prompt, and once for the negative one where the family guides by default
    assert first == len(calls) <= 2 * len(hooks)


@every_family
def test_flows_of_one_pipeline_do_not_disturb_each_other(name: str) -> None:
    """Other words, another guidance scale and decoding between two calls of a flow."""
    one, other = (loaded(name, **GUIDED[name](scale)) for scale in (3.0, 5.0))
    alone = denoised(one)
    x = torch.randn(2, *one.shape, dtype=torch.float64, generator=generator(6))
    flow, second = one.prompted(PROMPT, "", 2), other.prompted("a car", "", 2)
    first, later = flow.path.snap([0.3, 0.6], -1.0, 1.0)
    between = [flow.denoise(x, first)]
    second.denoise(x, later)
    one.decode(x)
    between.append(flow.denoise(x, later))
    flow.close()
    second.close()
    for a, b in zip(alone, between, strict=True):
        assert torch.equal(a, b)


@every_family
def test_micro_batches_do_not_matter(name: str) -> None:
    model = loaded(name)
    results = []
    for micro_batch in (1, 3, 4):
        flow = model.prompted(PROMPT, "", micro_batch)
        normal = ParticleNoise(0, PROMPT, 4, model.shape, model.state)
        *_, last = steer(flow, Glass(2, 3), NoSteering(), None, normal, generator(0))
        flow.close()
        results.append(last.particles.x)
    scale = results[0].abs().max()
    for other in results[1:]:
        # float32 sums in another order
        assert (results[0] - other).abs().max() < 1e-4 * scale


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Saves a family's pipeline once and gives its folder."""
    saved: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in saved:
            saved[name] = tmp_path_factory.mktemp(name)
            FAMILIES[name]().save_pretrained(saved[name])
        return saved[name]

    return folder


@every_family
def test_a_folder_gives_the_same_network(name: str, folders: Callable[[str], Path]) -> None:
    words = SHORT.get(name, {})
    settings = DiffusersPipeline(str(folders(name)), height=64, width=64, arguments=words)
    model = settings.load(torch.device("cpu"), torch.float32)
    here = loaded(name)
    assert model.shape == here.shape and model.shift == here.shift
    for one, other in zip(denoised(model), denoised(here), strict=True):
        # the same sums from memory laid out otherwise
        assert (one - other).abs().max() < 1e-4 * other.abs().max()


RED = """
from dataclasses import dataclass

from glass_cli.rewards.base import LoadedReward, Reward

@dataclass(frozen=True)
class Red(Reward, LoadedReward):
    differentiable = True

    def load(self, device, dtype):
        return self

    def score(self, samples, prompt):
        assert samples.shape[1:] == (3, 64, 64)
        assert 0.0 <= samples.min() <= samples.max() <= 1.0
        return samples[:, 0].mean((1, 2))
"""


@pytest.fixture
def _red(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("red_pixels.py").write_text(RED)
    Path("my_conf/reward").mkdir(parents=True)
    Path("my_conf/reward/red.yaml").write_text("# red\n_target_: red_pixels.Red\n")


def sampled(folder: Path, *more: str) -> None:
    """``glass sample`` into ./run: three particles of four network calls."""
    words = [
        *more,
        "model=diffusers",
        f"model.path={folder}",
        "model.height=64",
        "model.width=64",
        "particles=3",
        "micro_batch=2",
        "sampler.transitions=2",
        "sampler.steps=2",
        "prompt=a dog",
        "device=cpu",
        "wandb.mode=disabled",
        "hydra.run.dir=run",
    ]
    assert launch(words) == 0
    summary = json.loads(Path("run/summary.json").read_text())
    assert summary["nfe"] == 3 * 2 * 2
    assert len(list(Path("run/images").rglob("*.png"))) == 3


@every_family
def test_glass_sample(
    name: str, folders: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sampled(folders(name), "reward=null", "steering=none", "dtype=float32")


def steered(folder: Path) -> None:
    sampled(folder, "-cd", "my_conf", "reward=red", "steering=fk", "dtype=bfloat16")
    rows = [json.loads(line) for line in Path("run/particles.jsonl").read_text().splitlines()]
    assert all(0.0 < row["reward"] < 1.0 for row in rows)


@pytest.mark.parametrize("name", ["flux_dev", "sd3", "sdxl"])
@pytest.mark.usefixtures("_red")
def test_glass_sample_steered_in_bfloat16(name: str, folders: Callable[[str], Path]) -> None:
    steered(folders(name))


@pytest.mark.slow
@every_family
@pytest.mark.usefixtures("_red")
def test_glass_sample_steered_in_bfloat16_every_family(
    name: str, folders: Callable[[str], Path]
) -> None:
    steered(folders(name))
