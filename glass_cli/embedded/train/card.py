"""The embedded model's card: what it was trained on, how far, and what it can and cannot draw."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import CLIPModel, CLIPTokenizer

from glass_cli.benchmarks.embedded_detector import EmbeddedDetector
from glass_cli.embedded.train import clip, codec, detector, flow, judging
from glass_cli.embedded.world.scenes import World
from glass_cli.pipelines.codec import PatchAutoencoder

_CARD = """# The embedded emoji model

A text-to-image flow model of 64x64 scenes, and the small CLIP that is its reward. Both ship with
glass so that every command works offline; they are made to be steered, not to be beautiful.

## Data

Scenes rendered by `glass_cli/embedded/world`: objects of GenEval's classes (Noto Color Emoji, SIL
Open Font License 1.1; eleven without an emoji drawn by `world/drawn.py`), its ten colours,
counts to four, and the four relations, on six plain grounds. Objects are 32 or 24 pixels large and
stand on a grid of 8 pixels. Prompts are GenEval's six forms with four openings ("a photo of ...").
Nothing was downloaded, and no photograph is in the data.

The renderer knows all 80 classes. The model was trained on {classes} of them (the flow's first
{warm:,} samples and the codec on all 80): {names}.

## What it can and cannot draw

Those classes, one to four objects, in their own or one of ten colours, left of, right of, above or
below each other. It often gets the count, a colour or a side wrong; that is what steering is for.
Other classes come out as coloured blobs, and words outside the prompts' forms do nothing.

## Parts

| part | what | samples seen | last figures |
|---|---|---|---|
{rows}

All parts: AdamW, seed {seed}, weights averaged over steps, stored in half precision. Trained on two
CPU cores by `python -m glass_cli.embedded.train`, stopped and resumed on the way; the same command
makes such a model again, not the same bits.

The flow is `StableDiffusionPipeline` with a U-Net on 8x8 codes that predicts the flow-matching
velocity; its CLIP text encoder was trained along with it. The codes come from a patch autoencoder
(`glass_cli.pipelines.codec.PatchAutoencoder`). diffusers' AutoencoderKL, tried first on the same
scenes, had a mean absolute error of 0.142 (of a range of 2) after 5,200 scenes in 200 seconds; a
16-channel draft of the patch autoencoder had 0.042 after 10,000 scenes in 80 seconds.

## The CLIP reward on held-out scenes

The share of {count} scenes for which the right prompt scores above that of a twin that differs in
one respect, and the share whose prompt scores highest among 100:

| respect | accuracy |
|---|---|
{clip}

It does not tell left from right or above from below (chance is 0.5): steering by it mends objects,
colours and counts, not sides.
"""

_DETECTOR = "## The detector of `glass eval`\n"
_DETECTOR_CARD = """
A convolutional network of {parameters:.1f} M parameters (`glass_cli/benchmarks/grid_network.py`)
that says of every cell of 8x8 pixels whether an object's centre is there, its class, its colour and
its box. It was trained on {samples:,} scenes of its own (`embedded/train/untidy.py`: any number of
objects, on the grid and off it, some faded, cut off, overlapping or turning into another class),
most of them through the codec, some blurred and noised, one in twenty noise without any object; it
shares nothing with the CLIP reward. An object in its own colours has no colour to it: a natural
apple is not "a red apple". Last figures in training: {last}.

Measured on {count:,} held-out scenes, each with a twin that is wrong in one respect, both judged by
GenEval's rules against the scene's own prompt: the share of verdicts that are right (of a scene
that it is, of a twin that it is not). A code's standard deviation is 1.2.

{table}

    python -m glass_cli.embedded.train detector

trains it, exports it and measures it again.
"""


def _last(folder: Path, name: str) -> str:
    line = json.loads((folder / f"{name}.jsonl").read_text().splitlines()[-1])
    return ", ".join(f"{k} {v:g}" for k, v in line.items() if k not in ("step", "steps_per_s"))


def write(
    world: World,
    out: Path,
    folder: Path,
    steps: dict[str, int],
    warm_steps: int,
    seed: int,
    count: int = 2000,
) -> None:
    """Measures the exported CLIP on ``world``'s held-out scenes and writes ``out``/README.md."""
    what = {
        "codec": ("patch autoencoder, 2.1 M parameters", codec.BATCH),
        "flow": ("U-Net and text encoder, 10.8 M parameters", flow.BATCH),
        "clip": ("CLIP, picture and text towers", 2 * clip.PAIRS),
    }
    rows = [
        f"| {name} | {text} | {steps[name] * batch:,} | {_last(folder, name)} |"
        for name, (text, batch) in what.items()
    ]
    model = CLIPModel.from_pretrained(out / "clip")
    tokenizer = CLIPTokenizer.from_pretrained(out / "clip")
    found = clip.evaluate(model.float().eval(), tokenizer, world, count)
    accuracy = [f"| {respect} | {share:.3f} |" for respect, share in found.items()]
    text = _CARD.format(
        rows="\n".join(rows),
        seed=seed,
        count=f"{count:,}",
        clip="\n".join(accuracy),
        classes=len(world.classes),
        names=", ".join(world.classes),
        warm=warm_steps * flow.BATCH,
    )
    kept = _detector_part(out / "README.md")
    (out / "README.md").write_text(f"{text}\n{kept}" if kept else text)


def _detector_part(card: Path) -> str:
    """What the card says of the detector, which is trained by itself."""
    text = card.read_text() if card.exists() else ""
    return _DETECTOR + text.split(_DETECTOR, 1)[1] if _DETECTOR in text else ""


def write_detector(
    world: World, out: Path, folder: Path, steps: int, count: int = 2000, noise: float = 0.6
) -> None:
    """Measures the exported detector and writes its part of ``out``/README.md."""
    settings = EmbeddedDetector(str(out / "detector"))
    found = settings.load(torch.device("cpu"), torch.float32)
    vae = PatchAutoencoder.from_pretrained(out / "emoji" / "vae", dtype=torch.float32).eval()
    shares = {
        name: judging.evaluate(found, world, count, change)
        for name, change in judging.changes(vae, noise).items()
    }
    rows = [f"| verdict | {' | '.join(shares)} |", "|---|" + "---|" * len(shares)]
    for part in next(iter(shares.values())):
        rows.append(
            f"| {part} | " + " | ".join(f"{one[part]:.4f}" for one in shares.values()) + " |"
        )
    parameters = sum(p.numel() for p in detector.build(world).parameters())
    part = _DETECTOR + _DETECTOR_CARD.format(
        parameters=parameters / 1e6,
        samples=steps * detector.BATCH,
        last=_last(folder, "detector"),
        count=count,
        table="\n".join(rows),
    )
    card = out / "README.md"
    before = card.read_text().split(_DETECTOR, 1)[0].rstrip() if card.exists() else ""
    card.write_text(f"{before}\n\n{part}".lstrip())
