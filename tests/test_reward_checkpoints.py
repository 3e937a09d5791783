"""Wrong files are told in one line each, and nothing that they hold is run."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import reward_files as files
import torch
from huggingface_hub import constants

from glass_cli.common import checkpoint
from glass_cli.common.errors import GlassError
from glass_cli.launch import launch
from glass_cli.rewards.aesthetic import Aesthetic
from glass_cli.rewards.clip import Clip
from glass_cli.rewards.hpsv2 import Hpsv2
from glass_cli.rewards.imagereward import ImageReward
from glass_cli.rewards.pickscore import PickScore

CPU = torch.device("cpu")
FILES = {
    "imagereward": "ImageReward.pt",
    "hpsv2": "HPS_v2.1_compressed.pt",
    "pickscore": "pick/model.safetensors",
    "aesthetic": "sac+logos+ava1-l14-linearMSE.pth",
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a tiny checkpoint of every reward."""
    files.write_all(tmp_path)
    return tmp_path


def settings(name: str, place: Path) -> Any:
    if name == "imagereward":
        return ImageReward(str(place), str(place / "bert"))
    if name == "hpsv2":
        return Hpsv2(str(place), tokenizer=str(place / "processor"))
    if name == "pickscore":
        return PickScore(str(place / "pick"), str(place / "processor"))
    return Aesthetic(str(place / "pick"), str(place))


def complaint(made: Any) -> str:
    with pytest.raises(GlassError) as caught:
        made.load(CPU, torch.float32)
    said = str(caught.value)
    assert "\n" not in said and said.startswith("reward.")
    return said


class Marker:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", FILES)
def test_truncated(place: Path, name: str) -> None:
    file = place / FILES[name]
    whole = file.read_bytes()
    for share in (0.0, 0.1, 0.5, 0.99):
        file.write_bytes(whole[: int(share * len(whole))])
        said = complaint(settings(name, place))
        assert file.name in said and "cannot be read" in said


@pytest.mark.parametrize("name", FILES)
def test_not_a_file_of_weights(place: Path, name: str) -> None:
    """What a browser saves in place of a large file."""
    (place / FILES[name]).write_text("<!DOCTYPE html><html><body>Not found</body></html>")
    assert "cannot be read" in complaint(settings(name, place))


@pytest.mark.parametrize("old", [False, True], ids=["zip", "older format"])
@pytest.mark.parametrize("name", ["imagereward", "hpsv2", "aesthetic"])
def test_pickled_code_is_not_run(place: Path, name: str, old: bool) -> None:
    ran = place / "ran"
    content = {"state_dict": {"a": torch.zeros(1)}, "code": Marker(ran)}
    torch.save(content, place / FILES[name], _use_new_zipfile_serialization=not old)
    said = complaint(settings(name, place))
    assert "pickled code" in said and "never run" in said
    assert not ran.exists()
    # the trap works where code is let in
    torch.load(place / FILES[name], weights_only=False)
    assert ran.exists()


@pytest.mark.parametrize("name", ["imagereward", "hpsv2", "aesthetic"])
def test_a_bare_pickle_is_not_run(place: Path, name: str) -> None:
    ran = place / "ran"
    (place / FILES[name]).write_bytes(pickle.dumps(Marker(ran)))
    complaint(settings(name, place))
    assert not ran.exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", FILES)
def test_numbers_that_are_not_finite(place: Path, name: str, value: float) -> None:
    shapes = {
        "imagereward": files.image_reward(files.SMALL_BLIP, files.SMALL_HEAD),
        "hpsv2": files.open_clip(files.SMALL),
        "pickscore": files.transformers_clip(files.SMALL),
        "aesthetic": files.layers("layers.", files.SMALL.joint, files.SMALL_HEAD),
    }[name]
    state = files.random(shapes)
    key = [key for key, x in state.items() if x.ndim == 2 and x.is_floating_point()][-1]
    state[key][-1, -1] = value
    if name == "pickscore":
        files.write_clip(place / "pick", files.SMALL, state)
    else:
        torch.save(state, place / FILES[name])
    said = complaint(settings(name, place))
    assert "not finite" in said and key in said


@pytest.mark.parametrize("name", FILES)
def test_other_architecture(place: Path, name: str) -> None:
    """Another reward's file, a layer too few, one too many, a wrong shape, a missing tensor."""
    shapes = {
        "imagereward": files.image_reward(files.SMALL_BLIP, files.SMALL_HEAD),
        "hpsv2": files.open_clip(files.SMALL),
        "pickscore": files.transformers_clip(files.SMALL),
        "aesthetic": files.layers("layers.", files.SMALL.joint, files.SMALL_HEAD),
    }
    own, other = shapes[name], shapes["hpsv2" if name == "imagereward" else "imagereward"]
    biases = [key for key in own if key.endswith(".bias") and "_proj.bias" not in key]
    wrong: list[files.Shapes] = [other, {}, {**own, "classifier.weight": (3, 3)}]
    wrong += [{k: v for k, v in own.items() if k != gone} for gone in (biases[0], biases[-1])]
    wrong += [{**own, biases[-1]: (7,)}]
    for shape in wrong:
        state = files.random(shape)
        if name == "pickscore":
            files.write_clip(place / "pick", files.SMALL, state)
        else:
            torch.save(state, place / FILES[name])
        assert "another architecture" in complaint(settings(name, place))


def test_parts_that_do_not_fit_together(place: Path) -> None:
    shapes = files.image_reward(files.SMALL_BLIP, files.SMALL_HEAD)
    shapes["mlp.layers.0.weight"] = (12, 64)
    torch.save(files.random(shapes), place / "ImageReward.pt")
    assert "do not fit together" in complaint(settings("imagereward", place))
    head = files.layers("layers.", 99, files.SMALL_HEAD)
    torch.save(files.random(head), place / FILES["aesthetic"])
    assert "image vectors of 99 numbers" in complaint(settings("aesthetic", place))
    head = files.layers("layers.", files.SMALL.joint, (12, 2))
    torch.save(files.random(head), place / FILES["aesthetic"])
    assert "do not follow each other" in complaint(settings("aesthetic", place))


def test_a_table_of_something_else(place: Path) -> None:
    torch.save(torch.zeros(3), place / "ImageReward.pt")
    assert "not a table of named weights" in complaint(settings("imagereward", place))
    torch.save({"state_dict": {"a": 3}}, place / "ImageReward.pt")
    assert "not a table of named weights" in complaint(settings("imagereward", place))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"model_type": "bert"}', "is a bert model"),
        ("{", "cannot be read"),
        ("[1]", "not a table"),
        ('{"model_type": "clip", "text_config": {"hidden_size": "many"}}', "does not fit"),
        ('{"model_type": "clip", "text_config": {"hidden_size": 130}}', "does not fit"),
    ],
)
def test_a_wrong_configuration(place: Path, text: str, said: str) -> None:
    (place / "pick" / "config.json").write_text(text)
    assert said in complaint(settings("pickscore", place))


def test_wrong_tokenizers(place: Path) -> None:
    for name, folder in (("imagereward", "bert"), ("hpsv2", "processor")):
        for file in (place / folder).iterdir():
            file.unlink()
        assert "no tokenizer.json" in complaint(settings(name, place))
        (place / folder / "tokenizer.json").write_text("{")
        assert "its tokenizer cannot be read" in complaint(settings(name, place))
        (place / folder / "tokenizer.json").unlink()
    words = "\n".join([*files.WORDS, *(f"word{i}" for i in range(99))])
    (place / "bert" / "vocab.txt").write_text(words)
    said = complaint(settings("imagereward", place))
    assert f"has {len(files.WORDS) + 99} words, the model {len(files.WORDS) + 2}" in said


def test_a_processor_without_colours(place: Path) -> None:
    (place / "processor" / "preprocessor_config.json").write_text(json.dumps({"image_mean": [1]}))
    assert "image_mean and image_std" in complaint(settings("pickscore", place))
    (place / "processor" / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match=r"reward\.processor=.* has no preprocessor_config"):
        settings("pickscore", place)


def test_folders_without_their_files_are_refused_before_loading(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    empty = str(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"has no ImageReward\.pt"):
        ImageReward(empty)
    with pytest.raises(ValueError, match=r"has no HPS_v2_compressed\.pt"):
        Hpsv2(empty, version="v2")
    with pytest.raises(ValueError, match=r"reward\.path=.* has no config\.json"):
        PickScore(empty)
    with pytest.raises(ValueError, match=r"reward\.head=.* has no sac\+logos"):
        Aesthetic(head=empty)
    for kind in (ImageReward, Hpsv2, PickScore, Aesthetic):
        with pytest.raises(ValueError, match="neither there"):
            kind(str(tmp_path / "nowhere"))
        with pytest.raises(ValueError, match=r"reward\.batch must be at least 1"):
            kind(batch=0)


def test_a_folder_without_weights(place: Path) -> None:
    (place / "pick" / "model.safetensors").unlink()
    assert "has no pytorch_model.bin" in complaint(settings("pickscore", place))


def cached(cache: Path, name: str, source: Path) -> None:
    """Puts a folder's files where the hub's cache keeps those of the repository ``name``."""
    folder = cache / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    for file in source.iterdir():
        if file.is_file():
            (folder / "snapshots" / "abc" / file.name).write_bytes(file.read_bytes())


def test_from_the_hubs_cache(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under their published names, without a network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(place / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    x = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    found = {name: settings(name, place).load(CPU, torch.float32).score(x, "dog") for name in FILES}
    for kind in (ImageReward, Hpsv2, PickScore, Aesthetic):
        assert "not in the cache" in complaint(kind())
    cached(place / "hub", "zai-org/ImageReward", place)
    cached(place / "hub", "google-bert/bert-base-uncased", place / "bert")
    cached(place / "hub", "xswu/HPSv2", place)
    cached(place / "hub", "laion/CLIP-ViT-H-14-laion2B-s32B-b79K", place / "processor")
    cached(place / "hub", "yuvalkirstain/PickScore_v1", place / "pick")
    cached(place / "hub", "camenduru/improved-aesthetic-predictor", place)
    cached(place / "hub", "openai/clip-vit-large-patch14", place / "pick")
    by = {
        "imagereward": ImageReward(),
        "hpsv2": Hpsv2(),
        "pickscore": PickScore(),
        "aesthetic": Aesthetic(),
    }
    for name, made in by.items():
        torch.testing.assert_close(made.load(CPU, torch.float32).score(x, "dog"), found[name])
    both = place / "both"
    files.write_processor(both)
    for file in (place / "pick").iterdir():
        (both / file.name).write_bytes(file.read_bytes())
    cached(place / "hub", "some/clip", both)
    again = Clip("some/clip").load(CPU, torch.float32).score(x, "dog")
    torch.testing.assert_close(again, Clip(str(both)).load(CPU, torch.float32).score(x, "dog"))


def test_a_wrong_file_is_one_line_on_the_command_line(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    (place / "ImageReward.pt").write_bytes(b"no weights")
    words = ["reward=imagereward", f"reward.path={place}", f"reward.tokenizer={place / 'bert'}"]
    run = [*words, "wandb.mode=disabled", "hydra.run.dir=run"]
    assert launch(run) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(said) == 1 and "ImageReward.pt cannot be read" in said[0]


def test_read_takes_half_precision_and_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = {"a": torch.tensor([1.5, 2.0]), "b": torch.arange(3)}
    save_file({k: v.clone() for k, v in state.items()}, tmp_path / "x.safetensors")
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "x.pt")
    for file in ("x.safetensors", "x.pt"):
        found = checkpoint.read(tmp_path / file, "x")
        assert found.keys() == state.keys()
        assert all(torch.equal(found[key], state[key]) for key in state)
