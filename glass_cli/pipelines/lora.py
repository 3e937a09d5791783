"""LoRA weights: their file, and the pipeline that takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusers.loaders.lora_base import LORA_WEIGHT_NAME_SAFE
from huggingface_hub.constants import HF_HUB_OFFLINE

from glass_cli.common import hub
from glass_cli.common.errors import GlassError, one_line
from glass_cli.pipelines.options import PipelineOptions


def load_lora(pipe: Any, settings: PipelineOptions) -> None:
    """Adds the weights that ``settings.lora`` names, if any, to ``pipe``. Raises GlassError."""
    if settings.lora is None:
        return
    if not hasattr(pipe, "load_lora_weights"):
        raise GlassError(f"model.lora: {type(pipe).__name__} takes no LoRA weights")
    offline = settings.local_files_only or HF_HUB_OFFLINE
    place = hub.local(settings.lora)
    if place is None and offline:  # diffusers looks for a file's name on the hub alone
        place = hub.folder(settings.lora, "model.lora", ["*.safetensors"], offline=True)
    name, source = settings.lora_file, place or settings.lora
    if place is not None and place.is_file():
        name, source = place.name, place.parent
    elif place is not None and name is None:
        name = _lora_file(place, settings)
    with hub.explained(settings.lora, "model.lora"):
        try:
            pipe.load_lora_weights(
                source, adapter_name="lora", use_safetensors=True, weight_name=name
            )
        except ValueError as error:
            if "PEFT" in str(error):
                raise GlassError(
                    "model.lora needs the package peft; pip install 'glass_cli[lora]'"
                ) from error
            raise GlassError(f"model.lora={settings.lora}: {one_line(error)}") from error
    pipe.set_adapters(["lora"], [settings.lora_scale])


def _lora_file(folder: Path, settings: PipelineOptions) -> str | None:
    """The only file of a folder of LoRA weights, or the one with diffusers' own name."""
    names = sorted(file.name for file in folder.glob("*.safetensors"))
    if len(names) < 2:
        return names[0] if names else None
    if LORA_WEIGHT_NAME_SAFE not in names:
        raise GlassError(
            f"model.lora={settings.lora} has several files; choose one by model.lora_file"
            f" ({', '.join(names)})"
        )
    return str(LORA_WEIGHT_NAME_SAFE)
