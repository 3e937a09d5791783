"""diffusers pipelines driven through their scheduler: the network's output, exactly and once."""

from __future__ import annotations

import math
from pathlib import Path as FilePath
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from tiny_pipeline import pipeline, scheduler
from torch import Tensor

from glass_cli.common import hub
from glass_cli.common.errors import GlassError
from glass_cli.method.glass import Glass
from glass_cli.method.noise import ParticleNoise, generator
from glass_cli.method.ode import Ode
from glass_cli.method.path import CondOT, DiscreteVP
from glass_cli.models.diffusers_pipeline import DiffusersPipeline, LoadedPipeline
from glass_cli.pipelines.session import Session
from glass_cli.steering.independent import NoSteering
from glass_cli.steering.loop import steer

PROMPT = "a dog"


def test_the_session_gives_the_guided_network_output_bit_for_bit() -> None:
    pipe = pipeline()
    session = Session(pipe, {"prompt": PROMPT, "guidance_scale": 3.0}, 2)
    x = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        first, second, again = session(x, 900.0), session(0.5 * x, 100.0), session(x, 900.0)
        text, empty = pipe.encode_prompt(PROMPT, "cpu", 1, True)
        states = torch.cat([empty, empty, text, text])
        out = pipe.unet(torch.cat([x, x]), torch.tensor(900.0), states).sample
    without, within = out.chunk(2)
    assert torch.equal(first, without + 3.0 * (within - without))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_the_session_leaves_the_pipeline_as_it_was() -> None:
    pipe = pipeline()
    vendor = pipe.scheduler
    session = Session(pipe, {"prompt": PROMPT}, 1)
    out = session(torch.zeros(1, 4, 4, 4), 500.0)
    # the pipeline's own no_grad holds inside, and is not left behind outside
    assert not out.requires_grad
    assert torch.is_grad_enabled()
    session(torch.zeros(1, 4, 4, 4), 400.0)
    assert torch.is_grad_enabled()
    session.close()
    assert torch.is_grad_enabled()
    assert pipe.scheduler is vendor
    assert pipe(PROMPT, num_inference_steps=2, output_type="np").images.shape == (1, 8, 8, 3)


def test_errors_of_the_pipeline_reach_the_caller() -> None:
    pipe = pipeline()
    with pytest.raises(ValueError, match="callback_steps"):
        Session(pipe, {"prompt": PROMPT, "callback_steps": -1}, 1)(torch.zeros(1, 4, 4, 4), 0.0)
    assert torch.is_grad_enabled()


def test_a_prompt_is_encoded_once_and_micro_batches_do_not_matter() -> None:
    model = LoadedPipeline(pipeline(), {"guidance_scale": 2.0})
    encoded: list[int] = []
    encode = model.pipe.encode_prompt

    def counted(*args: Any, **kwargs: Any) -> Any:
        encoded.append(1)
        return encode(*args, **kwargs)

    model.pipe.encode_prompt = counted
    assert model.shape == (4, 4, 4)
    results = []
    for micro_batch in (1, 3, 4):
        encoded.clear()
        flow = model.prompted(PROMPT, "", micro_batch)
        normal = ParticleNoise(0, PROMPT, 4, model.shape, model.state)
        *_, last = steer(flow, Glass(2, 3), NoSteering(), None, normal, generator(0))
        flow.close()
        # one suspended call for each batch size: 4 = 3 + 1 needs two
        assert len(encoded) == (2 if micro_batch == 3 else 1)
        results.append(model.decode(last.particles.x))
    assert results[0].shape == (4, 3, 8, 8)
    assert results[0].min() >= 0.0 and results[0].max() <= 1.0
    for other in results[1:]:
        # float32 sums in another order; far below one of 255 levels
        assert (results[0] - other).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("kind", "path", "shift"),
    [
        ("flow", CondOT, 3.0),
        ("flow_dpm", CondOT, 2.0),
        ("epsilon", DiscreteVP, 1.0),
        ("v_prediction", DiscreteVP, 1.0),
    ],
)
def test_gaussian_data_through_the_pipeline(kind: str, path: type, shift: float) -> None:
    """With the exact prediction in the network's place, samples have the data's mean and width.

    The data is N(0.7, 0.6^2) in every coordinate; 64 particles of 64 coordinates.
    """
    mean, std = 0.7, 0.6
    pipe = pipeline("flow")
    pipe.scheduler = scheduler(kind)
    model = LoadedPipeline(pipe, {"guidance_scale": 1.0})
    assert isinstance(model.path, path)
    assert model.shift == shift
    seen: list[float] = []
    table = None if kind.startswith("flow") else pipe.scheduler.alphas_cumprod.double()

    def exact(x: Tensor, t: Tensor, **_: Any) -> tuple[Tensor]:
        seen.append(float(t))
        if table is None:
            sigma = float(t) / 1000.0
            alpha = 1.0 - sigma
        else:
            alpha = math.sqrt(float(table[int(t)]))
            sigma = math.sqrt(1.0 - alpha**2)
        z = mean + alpha * std**2 / (alpha**2 * std**2 + sigma**2) * (x - alpha * mean)
        eps = (x - alpha * z) / sigma
        if kind == "v_prediction":
            return (alpha * eps - sigma * z,)
        return (eps if kind == "epsilon" else eps - z,)

    pipe.unet.forward = exact
    for sampler in (Ode(steps=60), Glass(4, 15), Glass(4, 15, rho=0.4, times="schedule")):
        normal = ParticleNoise(3, PROMPT, 64, model.shape, model.state)
        flow = model.prompted(PROMPT, "", 64)
        *_, last = steer(flow, sampler, NoSteering(), None, normal, generator(0))
        flow.close()
        n = last.particles.x.numel()
        # 4 standard errors, and 3 % of the width for the steps' discretisation; Stable Diffusion's
        # noisiest step still holds 6.8 % of the data, which starting from N(0, 1) takes away
        lost = mean * 0.068 if path is DiscreteVP and isinstance(sampler, Ode) else 0.0
        assert abs(last.particles.x.mean() - mean) < 4 * std / math.sqrt(n) + 0.03 * std + lost
        assert abs(last.particles.x.std() - std) < 4 * std / math.sqrt(2 * n) + 0.06 * std
    if path is DiscreteVP:
        assert all(t == int(t) and 0 <= t <= 999 for t in seen)


def test_a_folder_is_loaded_from_safetensors(tmp_path: FilePath) -> None:
    pipe = pipeline()
    pipe.save_pretrained(tmp_path)
    settings = DiffusersPipeline(str(tmp_path), guidance=2.0)
    model = settings.load(torch.device("cpu"), torch.float32)
    flow = model.prompted(PROMPT, "", 2)
    again = LoadedPipeline(pipe, {"guidance_scale": 2.0}).prompted(PROMPT, "", 2)
    x = torch.randn(2, 4, 4, 4, dtype=torch.float64)
    assert torch.equal(flow.denoise(x, 0.3), again.denoise(x, 0.3))
    for file in tmp_path.rglob("*.safetensors"):
        file.rename(file.with_suffix(".bin"))
    with pytest.raises(GlassError, match="no safetensors weights"):
        settings.load(torch.device("cpu"), torch.float32)


def test_the_embedded_pipeline_loads_plainly_in_one_type() -> None:
    import glass_cli.pipelines.codec  # noqa: F401

    pipe = DiffusionPipeline.from_pretrained(FilePath(hub.EMBEDDED) / "emoji")
    parts = (pipe.unet, pipe.text_encoder, pipe.vae)
    assert {part.dtype for part in parts} == {torch.float32}


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(ValueError, match=r"model\.path=/nowhere is neither there"):
        DiffusersPipeline("/nowhere")
    with pytest.raises(ValueError, match=r"has no model_index\.json"):
        DiffusersPipeline(str(FilePath(__file__).parent))


def test_an_unknown_prediction_is_named() -> None:
    pipe = pipeline("epsilon")
    pipe.scheduler.register_to_config(prediction_type="trigflow")
    with pytest.raises(GlassError, match="prediction_type=trigflow is not known"):
        LoadedPipeline(pipe)
