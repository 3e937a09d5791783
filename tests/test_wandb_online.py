"""W&B online: the real client, in processes of its own, and a server on the loopback device."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from fake_wandb import WandbServer, wandb_server
from loopback import forget_wandb

from glass_cli.output.reader import read_run

pytestmark = pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed")
EVAL = [
    *("eval", "benchmark=prompts", "benchmark.path=list.txt", "particles=2", "calls=4"),
    *("sampler.transitions=2", "steering.lam=1", "reward=python", "reward.target=scores.red"),
    *("hydra.run.dir=run", "wandb.group=mine"),
]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    forget_wandb(monkeypatch, tmp_path / "home")
    Path("list.txt").write_text("a photo of a dog\na photo of a cat\n")
    Path("scores.py").write_text(
        "def red(x, prompts): return x[:, 0].mean((1, 2))\n"
        "def green(x, prompts): return x[:, 1].mean((1, 2))\n"
    )


def glass(server: WandbServer, *words: str) -> str:
    """Standard error of a command whose W&B is the server."""
    paths = os.pathsep.join([str(Path.cwd()), *sys.path])
    account = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": "a" * 40}
    done = subprocess.run(
        [sys.executable, "-m", "glass_cli", *words],
        env={**os.environ, **account, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.slow
def test_an_evaluation_goes_on_and_is_scored_as_the_same_run() -> None:
    with wandb_server() as server:
        for limit in (1, 2):
            assert "W&B" not in glass(server, *EVAL, f"benchmark.limit={limit}")
        (name,) = server.history
        assert name == Path("run/wandb_id.txt").read_text().strip()
        before = dict(server.history[name])
        glass(server, "score", "run", "metrics=[{python: {target: scores.green}}]")
    # each start asks whether the run is there, and writes to the one that is
    assert [asked["name"] for asked in server.variables("RunResumeStatus")] == [name] * 3
    starts = [v for v in server.variables("UpsertBucket") if v["displayName"] is not None]
    assert [start["id"] for start in starts] == [None, f"run:{name}", f"run:{name}"]
    assert {(start["groupName"], start["displayName"]) for start in starts} == {("mine", "run")}
    # 3 steps a prompt, whichever start drew it, and one more of the scoring
    rows = server.history[name]
    assert [*rows] == list(range(7)) and [*before] == list(range(6))
    assert [row["prompt"] for row in before.values()] == [0, 0, 0, 1, 1, 1]
    first, second = read_run(Path("run")).results
    drawn = [r.rewards[0 if r.chosen is None else r.chosen] for r in (first, second)]
    assert before[5]["mean/reward"] == pytest.approx(sum(filter(None, drawn)) / 2)
    green = (first.metrics["python"] + second.metrics["python"]) / 2
    assert rows[6]["mean/python"] == pytest.approx(green)
    assert server.summary[name]["means"]["python"]["mean"] == pytest.approx(green)
    tables = {file.split("/")[-1].split("_")[0] for file in server.files if "/table/" in file}
    assert tables == {"results", "scores", "tree"}
    pictures = [file for file in server.files if file.startswith("media/images/images/")]
    assert {file.split("/")[3].split("_")[0] for file in pictures} == {"00000", "00001"}
