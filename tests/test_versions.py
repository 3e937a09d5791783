"""What a run says it was made with."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from conftest import REPOSITORY

from glass_cli.common.version import __version__
from glass_cli.launch import launch
from glass_cli.output import versions as module
from glass_cli.output.versions import note_versions, read_versions, versions, weights

RUN = ["model=gaussian_mixture", "steering=none", "reward=null", "particles=2", "calls=5"]
RUN += ["wandb.mode=disabled", "hydra.run.dir=run"]


def test_a_run_says_its_code_and_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert launch(RUN) == 0
    (made,) = json.loads(Path("run/summary.json").read_text())["versions"]
    head = subprocess.run(
        ["git", "-C", str(REPOSITORY), "rev-parse", "HEAD"], capture_output=True, text=True
    ).stdout
    assert made["glass"] == __version__ and made["weights"] == {}
    assert made["commit"] is None or head.startswith(made["commit"].removesuffix("+changes"))
    import torch

    assert made["torch"] == torch.__version__
    # said again, nothing is drawn: the same
    monkeypatch.setattr(module, "commit", lambda: "feed")
    assert launch(RUN) == 0
    assert json.loads(Path("run/summary.json").read_text())["versions"] == [made]
    # continued by other code
    assert launch([*RUN, "prompts=[a photo of a red apple and a blue car, a cat]"]) == 0
    first, second = json.loads(Path("run/summary.json").read_text())["versions"]
    assert first == made and second == {**made, "commit": "feed"}
    # and all over again
    assert launch([*RUN, "fresh=true"]) == 0
    assert json.loads(Path("run/summary.json").read_text())["versions"] == [second]


def test_a_study_says_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sizes = {"limit": 1, "samples": 2, "draws": 2, "calls": "[1]", "reference": 2}
    words = [f"benchmark.{key}={value}" for key, value in sizes.items()]
    words += ["benchmark=posterior", "reward=linear", "steering=none", "hydra.run.dir=run"]
    assert launch([RUN[0], *words, "wandb.mode=disabled"], config="eval") == 0
    (made,) = json.loads(Path("run/summary.json").read_text())["versions"]
    assert made["glass"] == __version__ and read_versions(Path("run")) == [made]


def test_no_commit_outside_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "inside" / "glass_cli"
    package.mkdir(parents=True)
    monkeypatch.setattr(module, "_PACKAGE", package)
    assert module.commit.__wrapped__() is None
    # an environment within someone else's checkout
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    assert module.commit.__wrapped__() is None
    monkeypatch.setattr(module, "_PACKAGE", tmp_path / "glass_cli")
    (tmp_path / "glass_cli").mkdir()
    (tmp_path / "glass_cli" / "a.py").write_text("1")
    subprocess.run([*git, "add", "glass_cli"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "y"], check=True)
    clean = module.commit.__wrapped__()
    assert clean is not None and len(clean) == 16
    (tmp_path / "glass_cli" / "a.py").write_text("2")
    assert module.commit.__wrapped__() == f"{clean}+changes"


def test_weights_by_their_content(tmp_path: Path) -> None:
    """A file's bytes, its name and its place in a folder count, its date does not."""
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        (folder / "unet").mkdir(parents=True)
        (folder / "unet" / "a.safetensors").write_bytes(b"12")
    settings = {"model.path": str(one), "reward.path": str(other), "seed": 3, "sampler.path": "x"}
    found = weights(settings)
    assert [*found] == [str(one), str(other)] and len({*found.values()}) == 1
    (other / "unet" / "a.safetensors").write_bytes(b"13")
    assert weights(settings)[str(other)] != found[str(other)]
    (other / "unet" / "a.safetensors").write_bytes(b"12")
    (other / "unet" / "a.safetensors").rename(other / "a.safetensors")
    assert weights(settings)[str(other)] != found[str(other)]
    # a list of prompts is none
    embedded = weights({"metrics.clip.path": "embedded:clip", "benchmark.path": str(one)})
    assert [*embedded] == ["embedded:clip"] and len(str(embedded["embedded:clip"])) == 16


def test_both_ends_of_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WHOLE", 8)
    monkeypatch.setattr(module, "_END", 2)
    path = tmp_path / "large"
    path.write_bytes(b"0123456789")
    wanted = hashlib.sha256(b"10" + b"01" + b"89").hexdigest()
    assert module._file_digest(path, 10, 0) == wanted


def test_weights_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    settings = {"model.path": "owner/name", "reward.path": "owner/other", "model.revision": None}
    note_versions(tmp_path, settings)
    assert read_versions(tmp_path)[0]["weights"] == {"owner/name": None, "owner/other": None}
    refs = tmp_path / "models--owner--name" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("a" * 40)
    (refs / "v2").write_text("b" * 40)
    assert weights({**settings, "model.revision": "v2"})["owner/name"] == "b" * 16
    assert weights({**settings, "model.revision": "c" * 40})["owner/name"] == "c" * 16
    # downloaded in the meantime: one record, the fuller one
    note_versions(tmp_path, settings)
    (only,) = read_versions(tmp_path)
    assert only == versions(settings) and only["weights"]["owner/name"] == "a" * 16
    # other weights: another record
    (refs / "main").write_text("d" * 40)
    note_versions(tmp_path, settings)
    assert [each["weights"]["owner/name"] for each in read_versions(tmp_path)] == [
        "a" * 16,
        "d" * 16,
    ]


def test_a_damaged_record_is_none(tmp_path: Path) -> None:
    (tmp_path / "versions.json").write_text('[{"glass": "0.')
    assert read_versions(tmp_path) == []
