"""Writes the trained parts as folders that diffusers, transformers and glass load, in half
precision."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from safetensors.torch import save_file
from transformers import CLIPModel, CLIPTokenizer

from glass_cli.embedded.train import clip, detector, flow, imagereward
from glass_cli.embedded.train.codes import CodeTable
from glass_cli.embedded.train.imperfect import COLOURS
from glass_cli.embedded.train.loop import averaged
from glass_cli.embedded.world.layout import SIDE
from glass_cli.embedded.world.objects import CLASSES
from glass_cli.pipelines.codec import PatchAutoencoder
from glass_cli.rewards.imagereward import FILE


@contextmanager
def _replaced(out: Path) -> Iterator[Path]:
    """A folder to write to, which takes the place of ``out`` when the block has ended well."""
    aside = out.with_name(f".{out.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    yield aside
    shutil.rmtree(out, ignore_errors=True)
    aside.rename(out)


def export_pipeline(
    folder: Path, out: Path, vae: PatchAutoencoder, tokenizer: CLIPTokenizer
) -> None:
    """Averaged weights of the flow, the one with guidance built in where there is one, with the
    codec on whose codes it was trained."""
    modules = flow.modules_of(tokenizer)
    unet, text, _ = modules
    if (folder / "distil.pt").exists():
        averaged("distil", {"unet": unet, "text": text}, folder)
    else:
        averaged("flow", modules._asdict(), folder)
    vae.register_to_config(scaling_factor=flow.code_scale(CodeTable(vae)))
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
    vae.float()


def export_clip(folder: Path, out: Path, vae: PatchAutoencoder, tokenizer: CLIPTokenizer) -> None:
    """Averaged weights of the CLIP reward."""
    model = clip.build(tokenizer)
    averaged("clip", {"clip": model, **clip.helpers()}, folder)
    _write_clip(model, out, tokenizer)


def export_pickscore(
    folder: Path, out: Path, vae: PatchAutoencoder, tokenizer: CLIPTokenizer
) -> None:
    """Averaged weights of the PickScore reward."""
    model = clip.build(tokenizer)
    averaged("pickscore", {"clip": model}, folder)
    _write_clip(model, out, tokenizer)


def _write_clip(model: CLIPModel, out: Path, tokenizer: CLIPTokenizer) -> None:
    settings = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": SIDE},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": SIDE, "width": SIDE},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(clip.COLOUR_MEAN),
        "image_std": list(clip.COLOUR_STD),
        "do_convert_rgb": True,
    }
    with _replaced(out) as aside:
        model.half().save_pretrained(aside)
        tokenizer.save_pretrained(aside)
        (aside / "preprocessor_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def export_imagereward(
    folder: Path, out: Path, vae: PatchAutoencoder, tokenizer: CLIPTokenizer
) -> None:
    """Averaged weights of the ImageReward reward, under the published file's names."""
    networks = imagereward.Networks(len(tokenizer))
    modules = {"networks": networks, "helpers": imagereward.Helpers()}
    averaged("imagereward", modules, folder)
    state = imagereward.published_names(networks.half())
    with _replaced(out) as aside:
        torch.save({key: value.contiguous() for key, value in state.items()}, aside / FILE)
        tokenizer.save_pretrained(aside)


def export_detector(
    folder: Path, out: Path, vae: PatchAutoencoder, tokenizer: CLIPTokenizer
) -> None:
    """Averaged weights of the detector."""
    network = detector.build()
    averaged("detector", {"network": network}, folder)
    settings = {
        "classes": list(CLASSES),
        "colours": [colour or "" for colour in COLOURS],
        "image_size": SIDE,
        "width": network.width,
        "blocks": network.blocks,
    }
    with _replaced(out) as aside:
        state = {key: value.half().contiguous() for key, value in network.state_dict().items()}
        save_file(state, aside / "model.safetensors")
        (aside / "config.json").write_text(json.dumps(settings, indent=2) + "\n")


Export = Callable[[Path, Path, PatchAutoencoder, CLIPTokenizer], None]
# each part's folder among the weights, and what writes it
FOLDERS: dict[str, tuple[str, Export]] = {
    "flow": ("emoji", export_pipeline),
    "distil": ("emoji", export_pipeline),
    "detector": ("detector", export_detector),
    "imagereward": ("imagereward", export_imagereward),
    "clip": ("clip", export_clip),
    "pickscore": ("pickscore", export_pickscore),
}
