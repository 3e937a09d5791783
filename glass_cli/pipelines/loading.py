"""From the settings of a diffusers pipeline to the pipeline in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors import SafetensorError

# diffusers takes a component from outside its own modules only where that is imported
import glass_cli.pipelines.codec  # noqa: F401 - imported to be known
from glass_cli.common import hub
from glass_cli.common.errors import GlassError, one_line
from glass_cli.common.messages import describe
from glass_cli.pipelines.device import find_device_once
from glass_cli.pipelines.encoding import encode_once
from glass_cli.pipelines.lora import load_lora
from glass_cli.pipelines.options import PipelineOptions
from glass_cli.pipelines.pipeline_class import call_arguments, find_class, without_watermark
from glass_cli.pipelines.vendors import quiet

# how the names of quantisation classes and backends begin, in lower case -> the package behind them
_QUANTISERS = {
    "bitsandbytes": "bitsandbytes",
    "gguf": "gguf",
    "quanto": "optimum-quanto",
    "torchao": "torchao",
}


def load(settings: PipelineOptions, device: torch.device, dtype: torch.dtype) -> Any:
    """The pipeline on ``device``, ready to be driven. Raises GlassError, one line, where it cannot.

    The decoder stays in float32, where float16 overflows and bfloat16 shows; a safety checker is
    left out, since it would blacken the blurred pictures that are scored on the way.
    """
    quiet()
    with _explained(settings):
        pipeline_class, left_out = find_class(settings)
        call_arguments(settings, pipeline_class)
        pipe = diffusers.DiffusionPipeline.from_pretrained(
            _place(settings),
            dtype={"default": dtype, "vae": torch.float32},
            use_safetensors=True,
            quantization_config=_quantization(settings),
            **_source(settings),
            **left_out,
            **without_watermark(pipeline_class),
        )
        for name, part in pipe.components.items():
            if isinstance(part, torch.nn.Module):
                _check_weights(name, part)
        pipe.set_progress_bar_config(disable=True)
        load_lora(pipe, settings)
        for part in pipe.components.values():
            if isinstance(part, torch.nn.Module):
                part.requires_grad_(False)  # else guidance would keep what only training needs
        _memory(pipe, settings)
        _place_on(pipe, settings, device)
        if settings.compile:
            network(pipe).compile()
    _float32_decoder(pipe)
    encode_once(pipe)
    find_device_once(pipe)
    return pipe


@contextmanager
def _explained(settings: PipelineOptions) -> Iterator[None]:
    """Every error of loading as one line."""
    try:
        with hub.explained(settings.path, "model.path"):
            try:
                yield
            except OSError as error:
                if type(error) is OSError and "no file named" in str(error):
                    kept = _variants(settings)
                    if kept and settings.variant is None:
                        raise GlassError(
                            f"model.path={settings.path} holds its weights as a variant; give"
                            f" model.variant={' or '.join(kept)}"
                        ) from error
                    raise GlassError(
                        f"model.path={settings.path} has no safetensors weights"
                        f" ({one_line(error)}); pickled ones are not read, save them anew with"
                        " save_pretrained"
                    ) from error
                raise
    except ImportError as error:
        raise GlassError(
            f"model.path={settings.path} needs a package that is not installed: {one_line(error)}"
        ) from error
    except (ValueError, RuntimeError, SafetensorError) as error:
        raise GlassError(
            f"model.path={settings.path} cannot be loaded: {one_line(error)}"
        ) from error
    except (LookupError, TypeError, AttributeError) as error:  # of an index that is another table
        raise GlassError(
            f"model.path={settings.path} cannot be loaded ({describe(error)}); a file of it may be"
            " damaged: download it again"
        ) from error


def _check_weights(name: str, part: torch.nn.Module) -> None:
    """Raises ValueError for weights that are not finite, and for those that no file had.

    The latter stay on the device meta in diffusers' parts; transformers draws them at random and
    marks all others. Where one of these is quantised, or nothing is marked, it cannot be told.
    """
    marked = {key: hasattr(p, "_is_hf_initialized") for key, p in part.named_parameters()}
    ours = isinstance(part, transformers.PreTrainedModel) and any(marked.values())
    missing = [key for key, p in part.named_parameters() if p.is_meta]
    if ours and getattr(part, "hf_quantizer", None) is None:
        missing += [key for key, is_marked in marked.items() if not is_marked]
    if missing:
        raise ValueError(
            f"{name} has no {missing[0]} in its files ({len(missing)} missing); download it again"
        )
    for key, weight in part.named_parameters():
        # types of a byte have no infinities, or no such function
        if not weight.is_floating_point() or weight.element_size() < 2 or not weight.numel():
            continue
        if not all(bool(end.isfinite()) for end in torch.aminmax(weight.detach())):
            raise ValueError(
                f"{name}: {key} has numbers that are not finite; the file is damaged, download it"
                " again"
            )


def _variants(settings: PipelineOptions) -> list[str]:
    """The variants of the weights in a folder: NAME.fp16.safetensors is one called fp16."""
    place = hub.local(settings.path)
    files = [] if place is None else place.glob("*/*.*.safetensors")
    variants = {name.rsplit(".", 2)[1] for name in (file.name for file in files)}
    return sorted(name for name in variants if "-of-" not in name)


def _place(settings: PipelineOptions) -> str | Path:
    """The folder, or the hub repository's name."""
    return hub.local(settings.path) or settings.path


def _source(settings: PipelineOptions) -> dict[str, Any]:
    here = hub.local(settings.path) is not None
    return {
        "revision": settings.revision,
        "variant": settings.variant,
        "local_files_only": here or settings.local_files_only,
    }


def _quantization(settings: PipelineOptions) -> Any:
    given = settings.quantization
    if not given:
        return None
    try:
        if "quant_backend" in given or "quant_mapping" in given:
            _check_installed(str(given.get("quant_backend")))
            return diffusers.PipelineQuantizationConfig(**given)
        mapping = {part: _config_of(part, dict(config)) for part, config in given.items()}
        return diffusers.PipelineQuantizationConfig(quant_mapping=mapping)
    except (TypeError, ValueError) as error:
        raise GlassError(f"model.quantization: {one_line(error)}") from error


def _config_of(part: str, settings: dict[str, Any]) -> Any:
    """The vendor's configuration class that ``words`` name, with the other words as arguments."""
    name = str(settings.pop("config", ""))
    library = transformers if part.startswith("text_encoder") else diffusers
    config_class = getattr(library, name, None)
    if not name.endswith("Config") or config_class is None:
        raise ValueError(
            f"{part} needs config=NAME, a quantisation class of {library.__name__} such as"
            f" BitsAndBytesConfig (got {name!r})"
        )
    _check_installed(name)
    return config_class(**settings)


def _check_installed(quantiser: str) -> None:
    """Raises GlassError where the package behind a quantisation class or backend is missing."""
    for beginning, package in _QUANTISERS.items():
        if not quantiser.lower().startswith(beginning):
            continue
        try:
            version(package)
        except PackageNotFoundError as error:
            raise GlassError(
                f"model.quantization: {quantiser} needs {package}, which is not installed; pip"
                f" install {package}, or leave model.quantization out"
            ) from error


def network(pipe: Any) -> Any:
    """The module that is called at every step. Raises ValueError where there is none."""
    for name in ("transformer", "unet"):
        part = getattr(pipe, name, None)
        if part is not None:
            return part
    raise ValueError(f"{type(pipe).__name__} has neither a transformer nor a unet")


def _memory(pipe: Any, settings: PipelineOptions) -> None:
    vae = getattr(pipe, "vae", None)
    for key in ("slicing", "tiling"):
        if not getattr(settings, f"vae_{key}"):
            continue
        enable = getattr(vae, f"enable_{key}", None)
        if enable is None:
            raise GlassError(f"model.vae_{key}: {type(vae).__name__} has no {key}")
        try:
            enable()
        except NotImplementedError:  # how diffusers says that a decoder has no such thing
            raise GlassError(f"model.vae_{key}: {type(vae).__name__} has no {key}") from None


def _place_on(pipe: Any, settings: PipelineOptions, device: torch.device) -> None:
    if settings.offload == "none":
        pipe.to(device)
        return
    if device.type == "cpu":
        raise GlassError(
            f"model.offload={settings.offload} moves weights between a GPU and the CPU, and the"
            " device is cpu; use model.offload=none"
        )
    if settings.offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.enable_sequential_cpu_offload(device=device)


def _float32_decoder(pipe: Any) -> None:
    """Lets the decoder take latents of the network's type, whichever the pipeline hands it."""
    vae = getattr(pipe, "vae", None)
    if vae is None or vae.dtype == network(pipe).dtype:
        return
    decode = vae.decode

    def cast(z: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return decode(z.to(vae.dtype), *args, **kwargs)

    vae.decode = cast
