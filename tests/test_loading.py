"""What people expect of a loader: types, LoRA, quantisation, compilation, one-line errors."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import family_calls
import pytest
import torch
from conftest import REPOSITORY
from diffusers import DiffusionPipeline
from huggingface_hub import snapshot_download
from loaded_pipelines import denoised, load
from loopback import serving
from peft import LoraConfig, get_peft_model_state_dict
from tiny_pipeline import pipeline
from torch import Tensor

from glass_cli.common import hub
from glass_cli.common.errors import GlassError
from glass_cli.config.command_line import read_arguments
from glass_cli.config.composition import composing
from glass_cli.config.preflight import build_settings, compose_or_explain
from glass_cli.models.diffusers_pipeline import DiffusersPipeline, LoadedPipeline
from glass_cli.pipelines import loading


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tiny") / "epsilon"
    pipeline("epsilon").save_pretrained(made)
    return made


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_types_are_for_the_network_and_not_for_the_decoder(
    folder: Path, dtype: torch.dtype
) -> None:
    model, whole = load(folder, dtype), load(folder)
    assert model.pipe.unet.dtype == dtype
    assert model.pipe.vae.dtype == torch.float32
    assert model.state.dtype == torch.float64
    seen: list[torch.dtype] = []
    model.pipe.vae.decoder.register_forward_pre_hook(lambda _, words: seen.append(words[0].dtype))
    x = torch.randn(2, *model.shape, generator=torch.Generator().manual_seed(1))
    # a latent is rounded to 8 bits or more on its way through the pipeline; nothing else is
    assert torch.allclose(model.decode(x), whole.decode(x), atol=2e-2)
    assert seen == [torch.float32]
    # 8 bits and a guidance of 7.5 leave about two digits
    assert (denoised(model) - denoised(whole)).abs().mean() < 0.1 * denoised(whole).abs().mean()


def _from_the_cache(
    file: Path, folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Tensor:
    """What LoRA weights make of the model that lie as a repository in the hub's cache alone."""
    repository = cache / "models--owner--lora"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots" / ("0" * 40)).mkdir(parents=True)
    shutil.copy(file, repository / "snapshots" / ("0" * 40))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    return denoised(load(folder, lora="owner/lora", local_files_only=True))


def test_lora_weights_at_a_scale(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = pipeline("epsilon")
    pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], lora_alpha=2))
    with torch.no_grad():
        for name, parameter in pipe.unet.named_parameters():
            if "lora" in name:
                noise = torch.Generator().manual_seed(len(name))
                parameter.copy_(torch.randn(parameter.shape, generator=noise))
    pipe.save_lora_weights(tmp_path, unet_lora_layers=get_peft_model_state_dict(pipe.unet))
    adapted, plain = denoised(LoadedPipeline(pipe)), denoised(load(folder))
    found = denoised(load(folder, lora=str(tmp_path)))
    assert torch.allclose(found, adapted, atol=1e-5)
    assert not torch.allclose(found, plain, atol=1e-2)
    (file,) = tmp_path.glob("*.safetensors")
    assert torch.allclose(_from_the_cache(file, folder, tmp_path / "hub", monkeypatch), found)
    one, other = (file.rename(tmp_path / "one.safetensors"), tmp_path / "other.safetensors")
    shutil.copy(folder / "unet" / "diffusion_pytorch_model.safetensors", other)
    with pytest.raises(GlassError, match=r"by model\.lora_file \(one.*, other\.safetensors\)"):
        load(folder, lora=str(tmp_path))
    chosen = denoised(load(folder, lora=str(tmp_path), lora_file="one.safetensors"))
    assert torch.allclose(chosen, adapted, atol=1e-5)
    other.unlink()
    file = one
    assert torch.allclose(denoised(load(folder, lora=str(file), lora_scale=0.0)), plain, atol=1e-5)
    file.unlink()
    with pytest.raises(GlassError, match=r"^model\.lora="):
        load(folder, lora=str(tmp_path))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_quantisation_by_the_vendors_classes(folder: Path) -> None:
    words = {"unet": {"config": "QuantoConfig", "weights_dtype": "int8"}}
    model = load(folder, quantization=words)
    kinds = {type(module).__name__ for module in model.pipe.unet.modules()}
    assert "QLinear" in kinds
    whole = denoised(load(folder))
    assert 0 < (denoised(model) - whole).abs().mean() < 0.1 * whole.abs().mean()
    for wrong, message in (
        ({"unet": {"config": "Quanto"}}, "unet needs config=NAME"),
        ({"unet": {"config": "QuantoConfig", "weights_dtype": "int3"}}, "int3"),
        ({"quant_backend": "none"}, "quant_kwargs"),
    ):
        with pytest.raises(GlassError, match=f"model.quantization: .*{message}"):
            load(folder, quantization=wrong)


@pytest.mark.parametrize(
    "words",
    [
        {"unet": {"config": "BitsAndBytesConfig", "load_in_4bit": True}},
        {"text_encoder": {"config": "BitsAndBytesConfig", "load_in_8bit": True}},
        {"quant_backend": "bitsandbytes_4bit", "quant_kwargs": {"load_in_4bit": True}},
    ],
)
def test_a_quantiser_that_is_not_installed(
    folder: Path, words: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(loading, "version", missing)
    monkeypatch.setattr(DiffusionPipeline, "from_pretrained", None)  # nothing is loaded before
    line = r"^model\.quantization: \S+ needs bitsandbytes, which is not installed; pip install"
    with pytest.raises(GlassError, match=line):
        load(folder, quantization=words)


@pytest.mark.slow
def test_a_compiled_network_says_the_same(folder: Path) -> None:
    compiled, plain = denoised(load(folder, compile=True)), denoised(load(folder))
    assert torch.allclose(compiled, plain, atol=1e-4)


def test_slices_and_tiles_of_the_decoder(folder: Path) -> None:
    model = load(folder, vae_slicing=True, vae_tiling=True)
    assert model.pipe.vae.use_slicing and model.pipe.vae.use_tiling
    with pytest.raises(GlassError, match=r"model\.vae_tiling: PatchAutoencoder has no tiling"):
        load("embedded:emoji", vae_tiling=True)


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offload_is_for_gpus(folder: Path, offload: Any) -> None:
    with pytest.raises(GlassError, match=f"model.offload={offload} moves weights between a GPU"):
        load(folder, offload=offload)


REFUSALS = {
    "RepoNotFound": ("404 Not Found", "is not on the hub, or is private"),
    "GatedRepo": ("403 Forbidden", "is gated: accept its licence"),
    "RevisionNotFound": ("404 Not Found", "has no such revision"),
    "": ("500 Internal Server Error", "cannot be reached|cannot be downloaded"),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_what_the_hub_refuses_is_one_line(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    status, message = REFUSALS[code]
    head = f"HTTP/1.1 {status}\r\nX-Error-Code: {code}\r\nContent-Length: 2\r\n"
    reply = (head + "Connection: close\r\n\r\n{}").encode()
    with (
        serving([reply] * 9) as address,
        pytest.raises(GlassError, match=message) as caught,
        hub.explained("owner/name", "model.path"),
    ):
        snapshot_download("owner/name", endpoint=address, cache_dir=tmp_path, revision="main")
    assert "\n" not in str(caught.value) and str(caught.value).startswith("model.path=owner/name")


def test_without_a_network_the_cache_is_named(tmp_path: Path) -> None:
    with pytest.raises(GlassError, match="is not in the cache and the hub cannot be reached"):
        load("nobody/nothing", local_files_only=True)


def test_folders_that_are_no_pipelines(folder: Path, tmp_path: Path) -> None:
    def broken(**changes: Any) -> Path:
        made = tmp_path / str(len(list(tmp_path.iterdir())))
        shutil.copytree(folder, made)
        index = json.loads((made / "model_index.json").read_text())
        (made / "model_index.json").write_text(json.dumps({**index, **changes}))
        return made

    with pytest.raises(GlassError, match=r"is a NewPipeline, which diffusers .* does not have"):
        load(broken(_class_name="NewPipeline"))
    with pytest.raises(GlassError, match=r"\['my_code', 'Mine'\], which diffusers"):
        load(broken(_class_name=["my_code", "Mine"]))
    with pytest.raises(GlassError, match="takes no latents; give a text-to-image pipeline"):
        load(broken(_class_name="StableDiffusionImg2ImgPipeline"))
    damaged = broken()
    (damaged / "model_index.json").write_text("{")
    with pytest.raises(GlassError, match="is damaged"):
        load(damaged)
    truncated = broken()
    file = truncated / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(GlassError, match="cannot be loaded"):
        load(truncated)
    foreign = broken(unet=["evil", "Evil"])
    with pytest.raises(GlassError, match="names evil for its unet, which is of neither"):
        load(foreign)


def test_arguments_that_the_pipeline_does_not_take(folder: Path) -> None:
    with pytest.raises(GlassError, match="takes no guidence_scale; did you mean guidance_scale"):
        load(folder, arguments={"guidence_scale": 3.0})
    for key in ("num_inference_steps", "num_images_per_prompt", "prompt", "latents", "generator"):
        with pytest.raises(GlassError, match=f"model.arguments.{key} is given by glass itself"):
            load(folder, arguments={key: 2})
    with pytest.raises(ValueError, match="go together; give both"):
        DiffusersPipeline(str(folder), height=64)
    with pytest.raises(GlassError, match="divisible by 8"):
        load(folder, height=20, width=20)


def test_weights_in_a_variant(folder: Path, tmp_path: Path) -> None:
    pipeline("epsilon").save_pretrained(tmp_path, variant="fp16")
    with pytest.raises(GlassError, match=r"as a variant; give model\.variant=fp16$"):
        load(tmp_path)
    assert torch.equal(denoised(load(tmp_path, variant="fp16")), denoised(load(folder)))
    with pytest.raises(GlassError, match="variant=fp16"):
        load(folder, variant="fp16")
    pickled = tmp_path / "pickled"
    pipeline("epsilon").save_pretrained(pickled, safe_serialization=False)
    with pytest.raises(GlassError, match="has no safetensors weights"):
        load(pickled)


def test_a_safety_checker_is_left_out(folder: Path) -> None:
    assert load(folder).pipe.safety_checker is None


def test_pictures_are_not_watermarked(tmp_path: Path) -> None:
    family_calls.FAMILIES["sdxl"]().save_pretrained(tmp_path)
    assert load(tmp_path).pipe.watermark is None


def test_quantisation_from_the_command_line(folder: Path) -> None:
    words = [
        "model=diffusers",
        f"model.path={folder}",
        "model.quantization.unet.config=QuantoConfig",
        "model.quantization.unet.weights_dtype=int8",
    ]
    with composing(REPOSITORY / "conf") as composer:
        made = build_settings(compose_or_explain(composer, read_arguments(words).overrides))
    assert made.model.quantization == {"unet": {"config": "QuantoConfig", "weights_dtype": "int8"}}
