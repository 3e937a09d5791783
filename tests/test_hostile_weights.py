"""Folders of a pipeline that are damaged or lie: one line, no code run, nothing drawn of them."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_pipeline import pipeline

from glass_cli.common.errors import GlassError
from glass_cli.models.diffusers_pipeline import DiffusersPipeline

CPU = torch.device("cpu")
NAME = "diffusion_pytorch_model.safetensors"
TEXT = "model.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("whole") / "pipeline"
    pipeline("epsilon").save_pretrained(made)
    return made


class Marker:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.write_text, (self.path, "code was run"))


def change(file: str, how: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        state = load_file(folder / file)
        how(state)
        save_file(state, folder / file, metadata={"format": "pt"})

    return changed


def _first(state: dict[str, torch.Tensor]) -> str:
    return min(state)


def _nan(state: dict[str, torch.Tensor]) -> None:
    state[_first(state)].view(-1)[0] = float("nan")


def _infinite(state: dict[str, torch.Tensor]) -> None:
    state[max(state)].view(-1)[-1] = float("inf")


def _missing(state: dict[str, torch.Tensor]) -> None:
    del state[_first(state)]


def _wider(state: dict[str, torch.Tensor]) -> None:
    state[_first(state)] = torch.zeros(3, 5, 7)


def _cut(file: str, at: int) -> Callable[[Path], None]:
    def cut(folder: Path) -> None:
        (folder / file).write_bytes((folder / file).read_bytes()[:at])

    return cut


def _random(folder: Path) -> None:
    (folder / "unet" / NAME).write_bytes(bytes(range(256)) * 100)


def _huge_header(folder: Path) -> None:
    """Says that its header has 2^60 bytes."""
    file = folder / "unet" / NAME
    file.write_bytes((2**60).to_bytes(8, "little") + file.read_bytes()[8:])


def _lying_index(shards: dict[str, str]) -> Callable[[Path], None]:
    """Weights in shards, of which the index names others; a key may be missing in them."""

    def lie(folder: Path) -> None:
        unet = folder / "unet"
        state = load_file(unet / NAME)
        (unet / NAME).rename(unet / "diffusion_pytorch_model-00001-of-00001.safetensors")
        file = shards.get("file", "diffusion_pytorch_model-00001-of-00001.safetensors")
        table = dict.fromkeys(state, file)
        if "less" in shards:
            shard = unet / file
            del state[_first(state)]
            save_file(state, shard, metadata={"format": "pt"})
        if "elsewhere" in shards:
            shutil.copy(unet / "diffusion_pytorch_model-00001-of-00001.safetensors",
                        folder.parent / "elsewhere.safetensors")  # fmt: skip
        index = {"metadata": {"total_size": 1}, "weight_map": table}
        if "text" in shards:
            index = json.loads(shards["text"])
        (unet / f"{NAME}.index.json").write_text(json.dumps(index))

    return lie


def _pickled(folder: Path) -> None:
    """Code in place of the weights, in the older format."""
    (folder / "unet" / NAME).unlink()
    with (folder / "unet" / "diffusion_pytorch_model.bin").open("wb") as file:
        pickle.dump(Marker(folder.parent / "marker"), file)


def _pickled_as_safetensors(folder: Path) -> None:
    torch.save(Marker(folder.parent / "marker"), folder / "unet" / NAME)


def _module(part: str) -> Callable[[Path], None]:
    """A module in the folder, named by the index as the class of a part."""

    def write(folder: Path) -> None:
        index = json.loads((folder / "model_index.json").read_text())
        index[part] = ["evil_module", "Evil"]
        (folder / "model_index.json").write_text(json.dumps(index))
        code = f"open({str(folder.parent / 'marker')!r}, 'w').write('code was run')\nEvil = dict\n"
        (folder / part).mkdir(exist_ok=True)
        for place in (folder, folder / part):
            (place / "evil_module.py").write_text(code)

    return write


# fmt: off
HARM = {
    "cut in the header": _cut(f"unet/{NAME}", 100),
    "cut in the weights": _cut(f"unet/{NAME}", -20),
    "empty": _cut(f"unet/{NAME}", 0),
    "text encoder cut": _cut(f"text_encoder/{TEXT}", -20),
    "decoder cut": _cut(f"vae/{NAME}", -20),
    "random bytes": _random,
    "a huge header": _huge_header,
    "nan": change(f"unet/{NAME}", _nan),
    "infinite": change(f"unet/{NAME}", _infinite),
    "nan in the text encoder": change(f"text_encoder/{TEXT}", _nan),
    "nan in the decoder": change(f"vae/{NAME}", _nan),
    "a key missing": change(f"unet/{NAME}", _missing),
    "a key of the text encoder missing": change(f"text_encoder/{TEXT}", _missing),
    "a key of the decoder missing": change(f"vae/{NAME}", _missing),
    "other shape": change(f"unet/{NAME}", _wider),
    "other shape in the text encoder": change(f"text_encoder/{TEXT}", _wider),
    "a shard that is not there": _lying_index({"file": "diffusion_pytorch_model-9.safetensors"}),
    "a shard outside": _lying_index({"file": "../../elsewhere.safetensors", "elsewhere": "1"}),
    "a shard without its key": _lying_index({"less": "1"}),
    "an index of another kind": _lying_index({"text": "[1, 2]"}),
    "an index without its table": _lying_index({"text": "{}"}),
    "pickled code": _pickled,
    "pickled code called safetensors": _pickled_as_safetensors,
    "a module as the network": _module("unet"),
    "a module as the scheduler": _module("scheduler"),
}
# fmt: on


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM.keys())
def test_refused_in_one_line(whole: Path, tmp_path: Path, harm: Callable[[Path], None]) -> None:
    folder = tmp_path / "pipeline"
    shutil.copytree(whole, folder)
    harm(folder)
    with pytest.raises(GlassError) as caught:
        DiffusersPipeline(str(folder)).load(CPU, torch.float32)
    assert not (tmp_path / "marker").exists(), "code was run"
    said = str(caught.value)
    assert "\n" not in said and len(said) < 1000 and str(folder) in said


@pytest.mark.parametrize("file", [f"unet/{NAME}", f"text_encoder/{TEXT}", f"vae/{NAME}"])
def test_a_missing_key_is_named(whole: Path, tmp_path: Path, file: str) -> None:
    folder = tmp_path / "pipeline"
    shutil.copytree(whole, folder)
    key = _first(load_file(folder / file))
    change(file, _missing)(folder)
    with pytest.raises(GlassError) as caught:
        DiffusersPipeline(str(folder)).load(CPU, torch.float32)
    said = str(caught.value)
    assert f"{Path(file).parent} has no " in said and "download it again" in said
    assert key.split(".", 1)[1] in said, "transformers counts from inside the model"


@pytest.mark.parametrize("part", ["unet", "scheduler", "text_encoder", "feature_extractor"])
def test_no_module_of_the_folder_is_imported(
    part: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where the folder is the working directory, from which Python imports."""
    folder = tmp_path / "pipeline"
    shutil.copytree(whole, folder)
    _module(part)(folder)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend("")
    with pytest.raises(GlassError, match=rf"names evil_module for its {part}, which is of neither"):
        DiffusersPipeline(".").load(CPU, torch.float32)
    assert not (tmp_path / "marker").exists(), "code was run"


def test_a_link_out_of_the_folder_is_only_data(whole: Path, tmp_path: Path) -> None:
    """A link, as the hub's cache has them, is read; one to something else is refused."""
    folder = tmp_path / "pipeline"
    shutil.copytree(whole, folder)
    (folder / "unet" / NAME).rename(tmp_path / "blob")
    os.symlink("../../blob", folder / "unet" / NAME)
    DiffusersPipeline(str(folder)).load(CPU, torch.float32)
    for target in ("/etc/passwd", "/dev/null", "nowhere", f"{NAME}"):
        (folder / "unet" / NAME).unlink()
        os.symlink(target, folder / "unet" / NAME)
        with pytest.raises(GlassError) as caught:
            DiffusersPipeline(str(folder)).load(CPU, torch.float32)
        assert "\n" not in str(caught.value) and "root:" not in str(caught.value)
