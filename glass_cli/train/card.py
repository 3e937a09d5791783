"""The embedded model's card: what it was trained on, how far, and what it can and cannot draw."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import CLIPModel, CLIPTokenizer

from glass_cli.train import clip, codec, flow
from glass_cli.world.scenes import World

_CARD = """# The embedded emoji model

A text-to-image flow model of 64x64 scenes, and the small CLIP that is its reward. Both ship with
glass so that every command works offline; they are made to be steered, not to be beautiful.

## Data

Scenes rendered by `glass_cli/world`: objects of GenEval's classes (Noto Color Emoji, SIL Open Font
License 1.1; eleven classes without an emoji drawn by `glass_cli/world/drawn.py`), its ten colours,
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
CPU cores by `python -m glass_cli.train`, stopped and resumed on the way; the same command makes
such a model again, not the same bits.

The flow is `StableDiffusionPipeline` with a U-Net on 8x8 codes that predicts the flow-matching
velocity; its CLIP text encoder was trained along with it. The codes come from a patch autoencoder
(`glass_cli.models.codec.PatchAutoencoder`). diffusers' AutoencoderKL, tried first on the same
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
    (out / "README.md").write_text(text)
