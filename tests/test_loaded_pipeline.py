"""A pipeline in memory: its prompts, its memory, its suspended calls."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import family_calls
import pytest
import torch
from loaded_pipelines import CPU, PROMPT, denoised, load
from tiny_pipeline import pipeline
from torch import Tensor

from glass_cli.common.errors import GlassError
from glass_cli.models.diffusers_pipeline import LoadedPipeline
from glass_cli.pipelines.batches import Batches
from glass_cli.pipelines.encoding import encode_once
from glass_cli.pipelines.session import Session


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tiny") / "epsilon"
    pipeline("epsilon").save_pretrained(made)
    return made


def test_a_prompt_is_encoded_once_for_any_number_of_pictures() -> None:
    plain, remembering = pipeline("epsilon"), pipeline("epsilon")
    calls: list[int] = []
    remembering.text_encoder.register_forward_pre_hook(lambda *_: calls.append(1))
    encode_once(remembering)
    for pictures in (3, 1, 2):
        given = (PROMPT, CPU, pictures, True)
        for found, expected in zip(
            remembering.encode_prompt(*given, negative_prompt="a cat"),
            plain.encode_prompt(*given, negative_prompt="a cat"),
            strict=True,
        ):
            assert torch.equal(found, expected)
    assert len(calls) == 2  # the prompt and the negative one
    remembering.encode_prompt("another", CPU, 1, True)
    assert len(calls) == 4


def test_the_device_is_looked_for_once_whatever_is_called(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(folder)
    kind = type(model.pipe).__mro__[1]
    walks: list[int] = []
    monkeypatch.setattr(kind, "_execution_device", property(lambda pipe: walks.append(1) or CPU))
    flow = model.prompted(PROMPT, "", 4)
    for particles in (3, 2, 1):
        flow.denoise(torch.zeros(particles, *model.shape), 0.5)
        model.decode(torch.zeros(particles, *model.shape))
    assert not walks
    assert type(model.pipe).__name__ == kind.__name__ == "StableDiffusionPipeline"
    assert pipeline("epsilon")._execution_device == CPU and walks  # others look for themselves


def test_the_network_is_not_called_to_learn_a_models_shape(folder: Path) -> None:
    pipe = pipeline("epsilon")
    pipe.unet.register_forward_pre_hook(lambda *_: pytest.fail("a call"))
    state = torch.random.get_rng_state()
    assert LoadedPipeline(pipe).shape == (4, 4, 4)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_size_and_guidance_reach_the_pipeline(folder: Path) -> None:
    model = load(folder, height=16, width=24, guidance=3.0, calls=7)
    assert model.shape == (4, 8, 12)
    assert model.decode(torch.zeros(1, 4, 8, 12)).shape == (1, 3, 16, 24)
    assert model.calls == 7 and load(folder).calls == 50
    bare = load(folder, height=16, width=24, arguments={"guidance_scale": 3.0})
    assert torch.equal(denoised(model), denoised(bare))


def test_memory_that_runs_out_halves_the_micro_batch(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = load(folder, guidance=1.0)
    x = torch.randn(5, *model.shape, generator=torch.Generator().manual_seed(1)).double()
    expected = model.prompted(PROMPT, "", 1).denoise(x, 0.5)
    sizes: list[int] = []

    def small(_: Any, words: tuple[Any, ...]) -> None:
        sizes.append(len(words[0]))
        if len(words[0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    model.pipe.unet.register_forward_pre_hook(small)
    flow = model.prompted(PROMPT, "", 5)
    with caplog.at_level(logging.WARNING, "glass"):
        found = flow.denoise(x, 0.5)
        flow.denoise(x, 0.4)
    assert torch.allclose(found, expected, atol=1e-6)
    assert sizes == [5, 2, 2, 1, 2, 2, 1]  # halved once, and for good
    assert [record.getMessage() for record in caplog.records] == [
        "glass: out of memory with 5 particles a network call; going on with 2"
        " (micro_batch=2 avoids the attempt)"
    ]


def test_memory_that_runs_out_with_one_particle_is_an_error() -> None:
    def never(_: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        Batches(4).map(never, torch.zeros(4, 1))


def test_a_flow_goes_on_after_an_interrupted_call(folder: Path) -> None:
    model = load(folder)
    x = torch.randn(2, *model.shape, generator=torch.Generator().manual_seed(1)).double()
    flow = model.prompted(PROMPT, "", 2)
    expected = flow.denoise(x, 0.5)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    hook = model.pipe.unet.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        flow.denoise(x, 0.5)
    hook.remove()
    assert torch.equal(flow.denoise(x, 0.5), expected)
    flow.close()


def test_a_suspended_call_survives_decoding(folder: Path) -> None:
    """Pipelines keep their arguments on themselves, and a decoding call has its own."""
    model = load(folder)
    x = torch.randn(2, *model.shape, generator=torch.Generator().manual_seed(1))
    sessions = [Session(model.pipe, {"prompt": PROMPT, "guidance_scale": 3.0}, 2) for _ in "ab"]
    with torch.no_grad():
        expected = [session(x, 500.0) for session in sessions]
        model.prompted(PROMPT, "", 2)
        model.arguments["guidance_scale"] = 1.0
        model.decode(x)
        found = [session(x, 500.0) for session in sessions]
    for a, b in zip(expected, found, strict=True):
        assert torch.equal(a, b)


def test_a_negative_prompt_that_would_be_ignored_is_refused() -> None:
    words = {**family_calls.SIZE, **family_calls.SHORT.get("flux_dev", {})}
    model = LoadedPipeline(family_calls.FAMILIES["flux_dev"](), words)
    with pytest.raises(GlassError, match=r"true_cfg_scale is above 1"):
        model.prompted(PROMPT, "a cat", 2)
    LoadedPipeline(model.pipe, {**words, "true_cfg_scale": 2.0}).prompted(PROMPT, "a cat", 2)


@pytest.mark.parametrize(("name", "least"), [("sd_v", 1.0), ("sd3", 1.0), ("z_image", 0.0)])
def test_a_negative_prompt_needs_guidance(name: str, least: float) -> None:
    """Z-Image counts guidance from 0, the others from 1."""
    words = {**family_calls.SIZE, **family_calls.SHORT.get(name, {})}
    pipe = family_calls.FAMILIES[name]()
    with pytest.raises(GlassError, match=r"set model.guidance above 1, or leave"):
        LoadedPipeline(pipe, {**words, "guidance_scale": least}).prompted(PROMPT, "a cat", 2)
    LoadedPipeline(pipe, {**words, "guidance_scale": least + 0.5}).prompted(PROMPT, "a cat", 2)
