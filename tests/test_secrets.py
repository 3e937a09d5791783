"""Secrets reach the server that they are for, and nothing that a run keeps, sends or says."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from eval_runs import ENVIRONMENT
from http_scorer import Server, repeats
from loopback import forget_wandb

from glass_cli.common.masks import masked

TOKEN = "s3cretTokenOfTheScorer"
KEY = "0123456789abcdef0123456789abcdef01234567"
NAME = "a run with a marker"
BLOCK, HEADER = 2**15, 7  # of a .wandb file, which is a log of LevelDB's kind


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
    yield made
    made.over.set()
    made.shutdown()
    made.server_close()


def glass(*words: str) -> subprocess.CompletedProcess[bytes]:
    environment = {k: v for k, v in ENVIRONMENT.items() if not k.startswith("WANDB_")}
    environment |= {
        "SCORER_TOKEN": TOKEN,
        "WANDB_API_KEY": KEY,
        "HOME": str(Path("home").absolute()),
    }
    command = [sys.executable, "-m", "glass_cli", *words]
    return subprocess.run(command, env=environment, capture_output=True, timeout=240)


def payload(log: bytes) -> bytes:
    """What the records of a .wandb file hold, together: long ones are cut at each block's end."""
    found, place = b"", HEADER  # of the file: its kind and version
    while place + HEADER <= len(log):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        size = int.from_bytes(log[place + 4 : place + 6], "little")
        found += log[place + HEADER : place + HEADER + size]
        place += HEADER + size
    return found


@pytest.mark.slow
@pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed")
@pytest.mark.parametrize("command", ["sample", "eval"])
def test_a_token_is_in_no_file_and_no_word(
    command: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_wandb(monkeypatch, tmp_path / "home")
    monkeypatch.chdir(tmp_path)
    Path("prompts.txt").write_text("a red apple\n")
    words = ["reward=http", f"reward.url={server.url}", "reward.token_env=SCORER_TOKEN"]
    words += ["particles=2", "sampler.transitions=2", "sampler.steps=1", "steering.lam=auto"]
    words += ["reward.retries=0", "wandb.mode=offline", f"name='{NAME}'"]
    if command == "eval":
        words += ["benchmark=prompts", "benchmark.path=prompts.txt"]
    runs = [glass(command, *words, "hydra.run.dir=run")]
    runs += [glass("report", "run"), glass("sheet", "run")]
    assert [run.returncode for run in runs] == [0] * 3, [run.stderr for run in runs]
    assert server.seen[0][0]["Authorization"] == f"Bearer {TOKEN}"

    # a server that says what it was sent, from the start of another run
    server.plans = [repeats]
    refused = glass(command, *words, "hydra.run.dir=other")
    assert refused.returncode == 2 and b"status 403 (not allowed" in refused.stderr
    runs.append(refused)

    kept = [path for path in Path.cwd().rglob("*") if path.is_file()]
    logs = [path for path in kept if path.suffix == ".wandb"]
    assert logs and all(NAME.encode() in payload(path.read_bytes()) for path in logs)
    assert b"SCORER_TOKEN" in payload(logs[0].read_bytes())  # the variable's name is a setting
    assert Path("run/config.yaml").absolute() in kept and Path("run/report.html").absolute() in kept
    texts = {str(path): path.read_bytes() for path in kept}
    texts |= {f"{path}, joined": payload(path.read_bytes()) for path in logs}
    for number, run in enumerate(runs):
        texts |= {f"stdout {number}": run.stdout, f"stderr {number}": run.stderr}
    for secret in (TOKEN, KEY):
        assert [name for name, text in texts.items() if secret.encode() in text] == []
    print(command, len(kept), "files", sum(map(len, texts.values())), "bytes", len(logs), "logs")


@pytest.mark.parametrize(
    "word",
    [
        f"reward.url=http://host/x?token={TOKEN}",
        f"""reward.url="'http://host/x?token={TOKEN}'\"""",
        f"""reward.url="'https://host/x#access_token={TOKEN}'\"""",
        f"reward.url=http://me:{TOKEN}@host/x",
        f"reward.url=http://me:{TOKEN}@[host/x",
        f"reward.url=ftp://me:{TOKEN}@host/x",
        f"reward.headers={{Authorization: {TOKEN}}}",
        f"+reward.headers.Authorization={TOKEN}",
        f"reward.token={TOKEN}",
    ],
)
def test_one_on_the_command_line_is_refused_and_not_repeated(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from glass_cli.launch import launch

    monkeypatch.chdir(tmp_path)
    words = ["reward=http", "wandb.mode=disabled", "hydra.run.dir=run"]
    if not word.startswith("reward.url"):
        words.append("reward.url=http://host/x")
    assert launch([*words, word]) == 2
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == 1 and not said.out
    assert TOKEN not in said.err and said.err.startswith("glass: ")
    assert list(tmp_path.iterdir()) == []


def test_what_is_masked() -> None:
    assert masked("http://me:pass@h/x?a=1&api_key=k&b=2#sig=s") == (
        "http://***@h/x?a=1&api_key=***&b=2#sig=***"
    )
    for text in ("http://h:80/x?a=1&monkey=k", "a@b.c", "glass sample seed=1"):
        assert masked(text) == text
