"""``model.offload=model``: which weights are moved when, and that nothing else changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from accelerate.hooks import CpuOffload
from tiny_pipeline import pipeline

from glass_cli.models.diffusers_pipeline import LoadedPipeline

PROMPT = "a dog"
CPU = torch.device("cpu")


class Moves:
    """Weights on a device of their own, as accelerate's hooks would move them to and from a GPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[tuple[str, str]] = []
        self.there: set[Any] = set()

        def fetched(hook: Any, module: Any, *words: Any, **more: Any) -> Any:
            if hook.prev_module_hook is not None:
                hook.prev_module_hook.offload()
            self.move(module, "gpu")
            return words, more

        monkeypatch.setattr(CpuOffload, "pre_forward", fetched)
        monkeypatch.setattr(CpuOffload, "init_hook", lambda _, module: self.move(module, "cpu"))

    def move(self, module: Any, place: str) -> Any:
        if (module in self.there) != (place == "gpu"):
            self.made.append((type(module).__name__, place))
            (self.there.add if place == "gpu" else self.there.discard)(module)
        return module


def test_decoding_does_not_move_an_offloaded_network(monkeypatch: pytest.MonkeyPatch) -> None:
    moves = Moves(monkeypatch)
    plain, offloaded = pipeline("epsilon"), pipeline("epsilon")
    offloaded.enable_model_cpu_offload(device=CPU)
    model = LoadedPipeline(offloaded)
    x = torch.randn(3, *model.shape, generator=torch.Generator().manual_seed(1))
    expected = LoadedPipeline(plain).decode(x)
    for prompt in (PROMPT, "a cat"):
        moves.made.clear()
        flow = model.prompted(prompt, "", 2)
        for t in (0.2, 0.5, 0.8):
            flow.denoise(x, t)
            assert torch.equal(model.decode(x), expected)
        flow.close()
        assert moves.made.count(("UNet2DConditionModel", "gpu")) == 1
        assert moves.made.count(("AutoencoderKL", "gpu")) == 1
        assert not moves.there  # nothing is left of one prompt when the next is encoded


def test_a_network_that_leaves_no_room_is_put_away(monkeypatch: pytest.MonkeyPatch) -> None:
    moves = Moves(monkeypatch)
    pipe = pipeline("epsilon")
    pipe.enable_model_cpu_offload(device=CPU)
    model, plain = LoadedPipeline(pipe), LoadedPipeline(pipeline("epsilon"))
    x = torch.randn(2, *model.shape, generator=torch.Generator().manual_seed(1))
    tried: list[bool] = []

    def crowded(*_: Any) -> None:
        tried.append(pipe.unet in moves.there)
        if tried[-1]:
            raise torch.OutOfMemoryError("CUDA out of memory")

    pipe.vae.decoder.register_forward_pre_hook(crowded)
    flow = model.prompted(PROMPT, "", 2)
    for t in (0.2, 0.8):
        flow.denoise(x, t)
        assert torch.equal(model.decode(x), plain.decode(x))
    flow.close()
    assert tried == [True, False, False]  # tried once


def test_an_offloaded_pipeline_says_the_same() -> None:
    """The hooks that move weights, which go round a pipeline's every call, with nothing to move."""
    plain, offloaded = pipeline("epsilon"), pipeline("epsilon")
    offloaded.enable_model_cpu_offload(device=CPU)
    models = [LoadedPipeline(pipe) for pipe in (plain, offloaded)]
    x = torch.randn(2, *models[0].shape, generator=torch.Generator().manual_seed(1))
    plain_flow, flow = (model.prompted(PROMPT, "", 2) for model in models)
    before = flow.denoise(x, 0.5)
    assert torch.equal(before, plain_flow.denoise(x, 0.5))
    assert torch.equal(models[1].decode(x), models[0].decode(x))
    assert torch.equal(flow.denoise(x, 0.5), before)
    flow.close()
    plain_flow.close()
