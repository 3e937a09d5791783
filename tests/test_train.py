"""Training of the embedded models: the batches, warm starts, and all parts in small."""

from __future__ import annotations

import itertools
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from test_train_loop import assert_same
from transformers import CLIPModel, CLIPTokenizer

from glass_cli.common.errors import GlassError
from glass_cli.common.hub import EMBEDDED
from glass_cli.detectors.embedded_detector import EmbeddedDetector
from glass_cli.embedded.train import __main__ as command
from glass_cli.embedded.train import (
    card,
    clip,
    codec,
    detector,
    flow,
    imagereward,
    measure,
    text,
)
from glass_cli.embedded.train.codes import CodeTable
from glass_cli.embedded.train.data import pictures, scenes
from glass_cli.embedded.train.loop import averaged, copy_matching
from glass_cli.embedded.train.spoil import spoil
from glass_cli.embedded.world.objects import CLASSES
from glass_cli.embedded.world.render import FONT
from glass_cli.rewards.clip import Clip
from glass_cli.rewards.imagereward import ImageReward
from glass_cli.rewards.pickscore import PickScore

needs_font = pytest.mark.skipif(not FONT.exists(), reason="fonts-noto-color-emoji is missing")
CPU = torch.device("cpu")


@needs_font
def test_batches_are_made_again() -> None:
    assert scenes(3, 5, 10) == scenes(3, 5, 10)
    assert scenes(3, 5, 10) != scenes(3, 6, 10)
    assert scenes(3, 5, 10) != scenes(4, 5, 10)
    x = pictures(scenes(0, 0, 4))
    assert x.shape == (4, 3, 64, 64)
    assert x.dtype == torch.float32
    assert -1.0 <= float(x.min()) < 0 < float(x.max()) <= 1.0


def test_spoiled_pictures() -> None:
    x = torch.rand(400, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    before = x.clone()
    y = spoil(x, torch.Generator().manual_seed(1))
    assert torch.equal(x, before)
    assert torch.equal(spoil(x, torch.Generator().manual_seed(1)), y)
    assert not torch.equal(spoil(x, torch.Generator().manual_seed(2)), y)
    # 0.6 * 0.6 of the pictures are left alone; four standard errors of that share
    same = (x == y).flatten(1).all(1)
    assert float(same.float().mean()) == pytest.approx(0.36, abs=4 * math.sqrt(0.36 * 0.64 / 400))
    # a picture of one value is its own blur: what is added to it is the noise alone
    level = (spoil(torch.ones_like(x), torch.Generator().manual_seed(1)) - 1).flatten(1).std(1)
    noised = level > 1e-4
    assert float(noised.float().mean()) == pytest.approx(0.4, abs=4 * math.sqrt(0.24 / 400))
    assert float(level.max()) < 0.25 * 1.1
    blurred = y[~noised & ~same]
    assert len(blurred) > 50
    assert float(blurred.abs().max()) <= 1.0
    assert bool((blurred.flatten(1).std(1) < x[~noised & ~same].flatten(1).std(1)).all())


@pytest.mark.slow
@needs_font
def test_codes_from_the_table_are_the_encoders() -> None:
    vae = codec.shipped(EMBEDDED)
    batch = scenes(0, 0, 40)
    with torch.no_grad():
        wanted = vae.codes(pictures(batch))
    found = CodeTable(vae)(batch)
    # the table is in half precision
    assert float((found - wanted).abs().max()) < 2**-10 * float(wanted.abs().max())


def test_what_fits_is_copied() -> None:
    old, new = torch.nn.Linear(3, 4), torch.nn.Linear(3, 4)
    state = {f"part.{key}": value for key, value in old.state_dict().items()}
    state["part.bias"] = torch.zeros(5)
    bias = new.bias.detach().clone()
    assert copy_matching(new, state, prefix="part.") == ["bias"]
    assert torch.equal(new.weight, old.weight) and torch.equal(new.bias, bias)


def test_a_detector_starts_from_one_of_other_classes() -> None:
    """Outputs are matched by their names, so the same picture gets the same answers."""
    torch.manual_seed(0)
    network = detector.build()
    detector.start_from(network, EMBEDDED / "detector")
    shipped = EmbeddedDetector().load(CPU, torch.float32).network
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    names = EmbeddedDetector().classes
    with torch.no_grad():
        ours, theirs = network(x), shipped(x)
    for i, name in enumerate(names):
        torch.testing.assert_close(
            ours.classes[:, CLASSES.index(name)], theirs.classes[:, i], atol=1e-4, rtol=1e-4
        )
    torch.testing.assert_close(ours.presence, theirs.presence, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.sides, theirs.sides, atol=1e-4, rtol=1e-4)


def test_no_codec_is_told(tmp_path: Path) -> None:
    with pytest.raises(GlassError, match="has no codec with an encoder; train the part codec"):
        codec.load(tmp_path, None)
    assert codec.load(tmp_path, EMBEDDED).config.latent_channels == 32


@pytest.fixture
def tokenizer(monkeypatch: pytest.MonkeyPatch) -> CLIPTokenizer:
    """Learned from few prompts, which is quicker."""
    few = itertools.cycle(scenes(0, 0, 2000))
    with monkeypatch.context() as patch:
        patch.setattr(text, "training_scenes", lambda *_: [next(few)])
        return text.train_tokenizer(0)


def small_unet(**settings: Any) -> UNet2DConditionModel:
    sizes = {"block_out_channels": (16, 32), "attention_head_dim": [1, 2]}
    return UNet2DConditionModel(**{**settings, **sizes})


def halved(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.half().float() for key, value in module.state_dict().items()}


@needs_font
@pytest.mark.slow
def test_everything_in_small(
    tokenizer: CLIPTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps of every part, exported, reloaded and used."""
    monkeypatch.setattr(flow, "UNet2DConditionModel", small_unet)
    monkeypatch.setattr(command, "train_tokenizer", lambda *_: tokenizer)
    for module in (imagereward, clip):
        monkeypatch.setattr(module, "PROMPTS", 2)
    monkeypatch.setattr(measure, "CALLS", (2,))
    monkeypatch.setattr(measure, "ATOMS", (4,))
    folder, out = tmp_path / "runs", tmp_path / "weights"
    out.mkdir()
    steps = [f"--{part}-steps=2" for part in command.STEPS]
    threads = f"--threads={torch.get_num_threads()}"
    arguments = ["train", f"--folder={folder}", f"--out={out}", threads, "--count=8", *steps]
    monkeypatch.setattr(sys, "argv", arguments)
    command.main()

    # everything is done: a second call trains nothing
    files = sorted(folder.glob("*.pt"))
    parts = sorted(set(command.STEPS) - set(command.ON_DEMAND))
    assert [path.stem for path in files] == parts
    before = {path: path.read_bytes() for path in files}
    monkeypatch.setattr(sys, "argv", [*arguments, *parts])
    command.main()
    assert all(path.read_bytes() == data for path, data in before.items())

    # the flow, in half precision
    pipe = StableDiffusionPipeline.from_pretrained(out / "emoji")
    modules = flow.modules_of(tokenizer)
    unet, encoder, _ = modules
    assert averaged("flow", modules._asdict(), folder) == 2
    for ours, theirs in ((unet, pipe.unet), (encoder, pipe.text_encoder)):
        assert_same({k: v.float() for k, v in theirs.state_dict().items()}, halved(ours))
    vae = codec.load(folder, None)
    assert pipe.vae.config.scaling_factor == pytest.approx(flow.code_scale(CodeTable(vae)))
    assert pipe.tokenizer.get_vocab() == tokenizer.get_vocab()
    drawn = pipe.to(dtype=torch.float32)("a red oven", num_inference_steps=2, output_type="pt")
    assert drawn.images.shape == (1, 3, 64, 64)

    # CLIP and PickScore, whose preprocessing of the world's pictures is the training's
    batch = scenes(0, 0, 5)
    x = pictures(batch)
    ids = text.encode(tokenizer, [batch[0].prompt])
    model = CLIPModel.from_pretrained(out / "clip", dtype=torch.float32).eval()
    trained = clip.build(tokenizer)
    assert averaged("clip", {"clip": trained, **clip.helpers()}, folder) == 2
    assert_same(dict(model.state_dict()), halved(trained))
    with torch.no_grad():
        logits = model(ids, x).logits_per_image[:, 0]
    cosine = (logits / model.logit_scale.exp()).detach()
    found = Clip(str(out / "clip")).load(CPU, torch.float32).score(x / 2 + 0.5, batch[0].prompt)
    assert found.numpy() == pytest.approx(100 * cosine.clamp(min=0).numpy(), abs=1e-3)
    model = CLIPModel.from_pretrained(out / "pickscore", dtype=torch.float32).eval()
    with torch.no_grad():
        logits = model(ids, x).logits_per_image[:, 0]
    picks = PickScore(str(out / "pickscore")).load(CPU, torch.float32)
    scores = picks.score(x / 2 + 0.5, batch[0].prompt)
    assert scores.numpy() == pytest.approx(logits.numpy(), abs=1e-3)

    # ImageReward, through the published one's code
    networks = imagereward.Networks(len(tokenizer))
    modules = {"networks": networks, "helpers": imagereward.Helpers()}
    assert averaged("imagereward", modules, folder) == 2
    networks.load_state_dict(halved(networks))
    reward = ImageReward(str(out / "imagereward")).load(CPU, torch.float32)
    pixels = reward.pixels(x / 2 + 0.5)
    with torch.no_grad():
        mask = imagereward.mask_of(ids, tokenizer)
        wanted = networks.eval()(pixels, ids.expand(5, -1), mask.expand(5, -1)).score
    scores = reward.score(x / 2 + 0.5, batch[0].prompt)
    assert scores.numpy() == pytest.approx(wanted.numpy(), abs=1e-4)

    # the detector, in half precision
    network = detector.build()
    assert averaged("detector", {"network": network}, folder) == 2
    seen = EmbeddedDetector(str(out / "detector")).load(CPU, torch.float32)
    assert_same(dict(seen.network.state_dict()), halved(network))

    # the card says what was done
    text_of_card = (out / "README.md").read_text()
    figures = json.loads((out / card.FIGURES).read_text())
    assert sorted(figures) == parts
    assert all(f"| {part} | " in text_of_card for part in parts)
    for part in ("clip", "detector", "flow"):
        for name, share in next(iter(figures[part]["shares"].values())).items():
            assert f"| {name} | {share:.3f} |" in text_of_card
    assert card.render(figures) == text_of_card

    # begun with these weights, the decoder alone is trained
    again = tmp_path / "again"
    monkeypatch.setattr(
        sys, "argv", ["train", f"--folder={again}", f"--from={out}", threads, *steps, "codec"]
    )
    command.main()
    assert_same(dict(codec.load(again, out).encoder.state_dict()), halved(vae.encoder))
    changed = codec.load(again, out).decoder.state_dict()
    assert any(not torch.equal(v, changed[k]) for k, v in halved(vae.decoder).items())
    with pytest.raises(GlassError, match="give --from WEIGHTS"):
        codec.load(again, None)


def test_unknown_part_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train", "codex"])
    with pytest.raises(SystemExit) as caught:
        command.main()
    assert caught.value.code == 2
    assert "no part is called codex; parts are codec, reader, flow" in capsys.readouterr().err


def test_a_start_without_weights_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["train", f"--from={tmp_path}"])
    with pytest.raises(SystemExit):
        command.main()
    assert f"--from={tmp_path} has no emoji/vae" in capsys.readouterr().err
