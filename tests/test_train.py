"""Training of the embedded model: the batches, the targets, and all parts in small."""

from __future__ import annotations

import itertools
import math
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file
from test_train_loop import assert_same
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from glass_cli.benchmarks.embedded_detector import EmbeddedDetector
from glass_cli.embedded.train import __main__ as command
from glass_cli.embedded.train import clip, detector, export, flow, text
from glass_cli.embedded.train.data import pictures, scenes
from glass_cli.embedded.train.loop import averaged
from glass_cli.embedded.world.drawn import DRAWN
from glass_cli.embedded.world.objects import CLASSES, COLORS
from glass_cli.embedded.world.scenes import Item, Scene, World
from glass_cli.rewards.clip import Clip

FONT_FREE = World(classes=tuple(DRAWN))


def test_batches_are_made_again() -> None:
    assert scenes(World(), 3, 5, 10) == scenes(World(), 3, 5, 10)
    assert scenes(World(), 3, 5, 10) != scenes(World(), 3, 6, 10)
    assert scenes(World(), 3, 5, 10) != scenes(World(), 4, 5, 10)
    x = pictures(FONT_FREE, scenes(FONT_FREE, 0, 0, 4))
    assert x.shape == (4, 3, 64, 64)
    assert x.dtype == torch.float32
    assert -1.0 <= float(x.min()) < 0 < float(x.max()) <= 1.0


def test_spoiled_pictures() -> None:
    x = torch.rand(400, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    before = x.clone()
    y = clip.spoil(x, torch.Generator().manual_seed(1))
    assert torch.equal(x, before)
    assert torch.equal(clip.spoil(x, torch.Generator().manual_seed(1)), y)
    assert not torch.equal(clip.spoil(x, torch.Generator().manual_seed(2)), y)
    # 0.6 * 0.6 of the pictures are left alone; four standard errors of that share
    same = (x == y).flatten(1).all(1)
    assert float(same.float().mean()) == pytest.approx(0.36, abs=4 * math.sqrt(0.36 * 0.64 / 400))
    # a picture of one value is its own blur: what is added to it is the noise alone
    level = (clip.spoil(torch.ones_like(x), torch.Generator().manual_seed(1)) - 1).flatten(1).std(1)
    noised = level > 1e-4
    assert float(noised.float().mean()) == pytest.approx(0.4, abs=4 * math.sqrt(0.24 / 400))
    assert float(level.max()) < 0.25 * 1.1
    blurred = y[~noised & ~same]
    assert len(blurred) > 50
    assert float(blurred.abs().max()) <= 1.0
    assert bool((blurred.flatten(1).std(1) < x[~noised & ~same].flatten(1).std(1)).all())


def test_content_targets() -> None:
    batch = scenes(World(), 0, 0, 200)
    things, count = clip.content(batch)
    assert things.shape == (200, len(CLASSES) * (len(COLORS) + 1))
    assert things.sum(1).numpy() == pytest.approx(1.0, abs=1e-6)
    assert (count + 1).tolist() == [len(scene.items) for scene in batch]
    items = (Item("cat", None, 0, 0, 24), Item("dog", "red", 32, 0, 24))
    things, count = clip.content([Scene("two_object", items, 0, "")])
    cat, dog = CLASSES.index("cat") * 11, CLASSES.index("dog") * 11 + 1 + list(COLORS).index("red")
    assert things[0].nonzero()[:, 0].tolist() == sorted([cat, dog])
    assert things[0, [cat, dog]].tolist() == [0.5, 0.5]
    assert count.tolist() == [1]


def test_content_head_loss_is_the_cross_entropy() -> None:
    torch.manual_seed(0)
    head = clip.ContentHead(6)
    embedding = torch.randn(5, 6)
    things, count = clip.content(scenes(World(), 0, 1, 5))
    with torch.no_grad():
        of_things = head.things(embedding).log_softmax(1)
        of_count = head.count(embedding).log_softmax(1)
        expected = -(things * of_things).sum(1).mean() - of_count[range(5), count].mean()
        assert float(head(embedding, things, count)) == pytest.approx(float(expected), rel=1e-5)


@pytest.fixture
def tokenizer(monkeypatch: pytest.MonkeyPatch) -> CLIPTokenizer:
    """Learned from few prompts, which is quicker."""
    few = itertools.cycle(scenes(World(), 0, 0, 2000))
    with monkeypatch.context() as patch:
        patch.setattr(text, "random_scene", lambda *_: next(few))
        return text.train_tokenizer(World(), 0)


class Oracle:
    """Scores a picture by whether its own prompt is asked; pictures are their prompts' tokens."""

    def __init__(self, sign: float) -> None:
        self._sign = sign

    def __call__(self, input_ids: Tensor, pixel_values: Tensor) -> SimpleNamespace:
        same = (pixel_values[:, None] == input_ids[None]).all(-1)
        return SimpleNamespace(logits_per_image=self._sign * same.float())


def test_evaluation_of_an_oracle(tokenizer: CLIPTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    def as_tokens(_: World, batch: list[Scene]) -> Tensor:
        return flow.encode(tokenizer, [scene.prompt for scene in batch])

    monkeypatch.setattr(clip, "pictures", as_tokens)
    world = World(classes=CLASSES[:6])
    right: Any = Oracle(1.0)
    wrong: Any = Oracle(-1.0)
    respects = {"class", "color", "colors swapped", "count", "side", "retrieval of 100"}
    assert clip.evaluate(right, tokenizer, world, 200) == dict.fromkeys(sorted(respects), 1.0)
    assert clip.evaluate(wrong, tokenizer, world, 200) == dict.fromkeys(sorted(respects), 0.0)


def small_unet(**settings: Any) -> UNet2DConditionModel:
    sizes = {"block_out_channels": (16, 32), "attention_head_dim": [1, 2]}
    return UNet2DConditionModel(**{**settings, **sizes})


@pytest.mark.slow
def test_everything_in_small(
    tokenizer: CLIPTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps of every part on classes that need no font, exported, reloaded and used."""
    monkeypatch.setattr(flow, "SHARD", 64)
    monkeypatch.setattr(flow, "UNet2DConditionModel", small_unet)
    monkeypatch.setattr(command, "World", lambda **_: FONT_FREE)
    for name in ("write", "write_detector"):
        monkeypatch.setattr(command.card, name, partial(getattr(command.card, name), count=100))
    for module in (command, export):
        monkeypatch.setattr(module, "train_tokenizer", lambda *_: tokenizer)
    folder, out = tmp_path / "runs", tmp_path / "weights"
    numbers = {"codec-steps": 2, "clip-steps": 2, "flow-steps": 2, "warm-steps": 1, "shards": 1}
    numbers["detector-steps"] = 2
    options = [f"--{name}={number}" for name, number in numbers.items()]
    threads = f"--threads={torch.get_num_threads()}"
    arguments = ["train", f"--folder={folder}", f"--out={out}", threads, *options]
    monkeypatch.setattr(sys, "argv", arguments)
    command.main()

    # everything is done: a second call trains and encodes nothing
    files = [*folder.glob("*.pt"), *folder.glob("codes*/*")]
    assert len(files) == 4 + 5 + 1
    before = {path: path.read_bytes() for path in files}
    monkeypatch.setattr(sys, "argv", [*arguments, "codec", "codes", "flow", "clip", "detector"])
    command.main()
    assert all(path.read_bytes() == data for path, data in before.items())

    # the flow, in half precision
    pipe = StableDiffusionPipeline.from_pretrained(out / "emoji")
    unet, encoder = flow.build(FONT_FREE, tokenizer)
    assert averaged("flow", {"unet": unet, "text": encoder}, folder) == 2
    for ours, theirs in ((unet, pipe.unet), (encoder, pipe.text_encoder)):
        halved = {key: value.half().float() for key, value in ours.state_dict().items()}
        assert_same({k: v.float() for k, v in theirs.state_dict().items()}, halved)
    codes = load_file(folder / "codes" / "0000.safetensors")["codes"]
    assert pipe.vae.config.scaling_factor == pytest.approx(1 / float(codes.float().std()), rel=1e-6)
    assert pipe.tokenizer.get_vocab() == tokenizer.get_vocab()
    pipe.set_progress_bar_config(disable=True)
    drawn = pipe.to(dtype=torch.float32)("a red oven", num_inference_steps=2, output_type="pt")
    assert drawn.images.shape == (1, 3, 64, 64)

    # the reward, whose preprocessing of the world's pictures is the training's
    model = CLIPModel.from_pretrained(out / "clip", dtype=torch.float32).eval()
    trained = {"clip": clip.build(FONT_FREE, tokenizer), "head": clip.ContentHead(flow.WIDTH)}
    assert averaged("clip", trained, folder) == 2
    halved = {key: value.half().float() for key, value in trained["clip"].state_dict().items()}
    assert_same(dict(model.state_dict()), halved)
    batch = scenes(FONT_FREE, 0, 0, 5)
    x = pictures(FONT_FREE, batch)
    with torch.no_grad():
        logits = model(flow.encode(tokenizer, [batch[0].prompt]), x).logits_per_image[:, 0]
    cosine = (logits / model.logit_scale.exp()).detach()
    scores = Clip(str(out / "clip")).load(torch.device("cpu"), torch.float32)
    found = scores.score(x / 2 + 0.5, batch[0].prompt)
    assert found.numpy() == pytest.approx(100 * cosine.clamp(min=0).numpy(), abs=1e-3)
    shares = clip.evaluate(model, tokenizer, FONT_FREE, 100)
    assert all(0.0 <= share <= 1.0 for share in shares.values())

    # the detector, in half precision
    network = detector.build(FONT_FREE)
    assert averaged("detector", {"network": network}, folder) == 2
    settings = EmbeddedDetector(str(out / "detector"))
    assert settings.classes == FONT_FREE.classes
    seen = settings.load(torch.device("cpu"), torch.float32)
    assert_same(
        dict(seen.network.state_dict()),
        {key: value.half().float() for key, value in network.state_dict().items()},
    )

    # the card says what was done
    text_of_card = (out / "README.md").read_text()
    for name, share in shares.items():
        assert f"| {name} | {share:.3f} |" in text_of_card
    assert all(f"| {name} |" in text_of_card for name in ("codec", "flow", "clip"))
    # exported again, the detector's part stays
    assert text_of_card.count("## The detector") == 1 and "| all verdicts |" in text_of_card
    monkeypatch.setattr(sys, "argv", [*arguments, "export"])
    command.main()
    assert (out / "README.md").read_text() == text_of_card


def test_unknown_part_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train", "codex"])
    with pytest.raises(SystemExit) as caught:
        command.main()
    assert caught.value.code == 2
    assert "no part is called codex; parts are codec, codes" in capsys.readouterr().err
