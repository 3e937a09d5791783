"""A W&B server that fails in the middle of a run, and no room for W&B's own files."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from eval_runs import ENVIRONMENT, files
from loopback import forget_wandb
from wandb_service import wandb_service

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed"),
]
REWARD = """
import os
from urllib.request import urlopen

def first(points, prompts):
    if prompts[0] == "c" and os.environ.get("FAIL"):
        urlopen(os.environ["WANDB_BASE_URL"] + "/fail", timeout=5).read()
    return points[:, 0]
"""
WORDS = ["model=gaussian_mixture", "reward=python", "reward.accepts=points", "particles=3"]
WORDS += ["reward.target=failing.first", "sampler.steps=2", "sampler.transitions=3"]
WORDS += ["prompts=[a,b,c,d,e,f]", "hydra.run.dir=run"]
# seconds that a W&B out of order may cost
MOST = 5.0


@pytest.fixture(autouse=True)
def _nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_wandb(monkeypatch, tmp_path / "home")
    monkeypatch.chdir(tmp_path)
    Path("failing.py").write_text(REWARD, encoding="utf-8")


def sample(folder: str, *words: str, **environment: str) -> tuple[list[str], float]:
    """What a run says on standard error, and its seconds."""
    known = {k: v for k, v in ENVIRONMENT.items() if not k.startswith("WANDB_")}
    known |= {key: os.environ[key] for key in ("HOME", "NETRC")}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "glass_cli", "sample", *WORDS, *words],
        env={**known, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    Path("run").rename(folder)
    return done.stderr.splitlines(), time.monotonic() - began


def results(folder: str) -> dict[str, str]:
    """All files but those that tell of W&B."""
    there = files(Path(folder))
    return {name: there[name] for name in there if not name.endswith((".yaml", "wandb_id.txt"))}


@pytest.mark.parametrize("how", ["closed", "silent", "errors", "nonsense"])
def test_a_server_that_fails_in_the_middle(how: str) -> None:
    with wandb_service("fine") as service:
        account = {"WANDB_BASE_URL": service.url, "WANDB_API_KEY": "a" * 40}
        said, whole = sample("whole", **account)
        assert any("/file_stream" in path for path in service.paths)
    assert not any("W&B" in line for line in said), said
    with wandb_service(how) as service:
        account["WANDB_BASE_URL"] = service.url
        said, seconds = sample("cut", FAIL="1", **account)
    lines = [line for line in said if "W&B" in line]
    print(how, seconds - whole, lines)
    assert results("cut") == results("whole")
    assert seconds - whole < MOST
    assert sum("W&B stopped recording" in line for line in lines) == 1 and len(lines) == 1, said


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root may mount")
@pytest.mark.parametrize("kib", [4, 40])
@pytest.mark.parametrize("mode", ["offline", "online"])
def test_a_full_disk_for_its_files(mode: str, kib: int) -> None:
    said, whole = sample("whole", "wandb.mode=offline")
    place = Path("run/wandb").absolute()
    place.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk can be mounted")
    try:
        with wandb_service("fine") as service:
            account = {"WANDB_BASE_URL": service.url, "WANDB_API_KEY": "a" * 40}
            said, seconds = sample("full", f"wandb.mode={mode}", **account)
    finally:
        for left in (place, Path("full/wandb").absolute()):
            subprocess.run(["umount", "-l", str(left)], capture_output=True)
    lines = [line for line in said if "W&B" in line]
    print(mode, kib, seconds - whole, len(said), lines)
    assert results("full") == results("whole") and seconds - whole < MOST
    # the other line of the two is how far the run was
    assert len(lines) == 1 and "no space left" in lines[0].lower() and len(said) == 2
