"""Writes the trained parts as a diffusers pipeline folder and a CLIP folder, in half precision."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from glass_cli.embedded.train import clip, detector, flow
from glass_cli.embedded.train.loop import averaged
from glass_cli.embedded.train.text import train_tokenizer
from glass_cli.embedded.train.untidy import COLOURS
from glass_cli.embedded.world.scenes import World
from glass_cli.pipelines.codec import PatchAutoencoder


@contextmanager
def _replaced(out: Path) -> Iterator[Path]:
    """A folder to write to, which takes the place of ``out`` when the block has ended well."""
    aside = out.with_name(f".{out.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    yield aside
    shutil.rmtree(out, ignore_errors=True)
    aside.rename(out)


def export_pipeline(world: World, folder: Path, out: Path, seed: int) -> dict[str, int]:
    """Averaged weights of codec and flow to ``out``; returns the steps each has been trained."""
    vae, tokenizer = PatchAutoencoder(), train_tokenizer(World(), seed)
    unet, text = flow.build(world, tokenizer)
    steps = {
        "codec": averaged("codec", {"vae": vae}, folder),
        "flow": averaged("flow", {"unet": unet, "text": text}, folder),
    }
    codes = [load_file(path)["codes"] for path in sorted((folder / "codes").glob("*.safetensors"))]
    vae.register_to_config(scaling_factor=flow.code_scale(torch.cat(codes[:2])))
    scheduler = DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=1.0, steps_offset=1
    )
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        image_encoder=None,
        requires_safety_checker=False,
    )
    with _replaced(out) as aside:
        pipe.to(torch.float16).save_pretrained(aside)
        # transformers loads in the type that the configuration names, diffusers in float32: a plain
        # from_pretrained must not mix them
        config = aside / "text_encoder" / "config.json"
        words = {**json.loads(config.read_text(encoding="utf-8")), "dtype": "float32"}
        config.write_text(json.dumps(words, indent=2) + "\n", encoding="utf-8")
    return steps


def export_clip(world: World, folder: Path, out: Path, seed: int) -> int:
    """Averaged weights of the CLIP reward to ``out``; returns the steps it has been trained."""
    tokenizer = train_tokenizer(World(), seed)
    model = clip.build(world, tokenizer)
    steps = averaged("clip", {"clip": model, "head": clip.ContentHead(flow.WIDTH)}, folder)
    size = {"shortest_edge": world.image_size}
    settings = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": size,
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": world.image_size, "width": world.image_size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_convert_rgb": True,
    }
    with _replaced(out) as aside:
        model.half().save_pretrained(aside)
        tokenizer.save_pretrained(aside)
        (aside / "preprocessor_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    return steps


def export_detector(world: World, folder: Path, out: Path) -> int:
    """Averaged weights of the detector to ``out``; returns the steps it has been trained."""
    network = detector.build(world)
    steps = averaged("detector", {"network": network}, folder)
    settings = {
        "classes": list(world.classes),
        "colours": [colour or "" for colour in COLOURS],
        "image_size": world.image_size,
        "width": network.width,
        "blocks": network.blocks,
    }
    with _replaced(out) as aside:
        state = {key: value.half().contiguous() for key, value in network.state_dict().items()}
        save_file(state, aside / "model.safetensors")
        (aside / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
    return steps
