"""W&B for real where it is offline or hangs, in processes of its own; no network is needed."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from loopback import VIEWER, forget_wandb, serving

from glass_cli.output import tracking, wandb_tracker
from glass_cli.output.tracking import NullTracker, make_tracker

KEY = "a" * 40
SETTINGS = {"mode": "online", "project": "glass-test", "entity": None, "init_timeout": 4}

# Makes a run with 3 logs and 2 pictures; {before} and {between} are a test's own lines.
PROGRAM = """
import json, logging, os, sys, time
from pathlib import Path
logging.basicConfig(level=logging.INFO, format="%(name)s|%(levelname)s|%(message)s")
from PIL import Image
from glass_cli.output.tracking import make_tracker
{before}
settings = json.loads(sys.argv[1])
for folder in map(Path, sys.argv[2:]):
    folder.mkdir()
    started = time.monotonic()
    tracker = make_tracker(settings, folder, {{"prompt": "a ${{x}} marker-config"}}, folder.name)
    made = time.monotonic() - started
    pictures = [folder / "0.png", folder / "1.png"]
    for i, path in enumerate(pictures):
        Image.new("RGB", (8, 8), (90 * i, 0, 0)).save(path)
    {between}
    started = time.monotonic()
    for step in range(3):
        tracker.log({{"ess": 0.123456789 + step}}, step)
    tracker.images("images/00000", pictures, ["é", "2"])
    tracker.images("images/00001", pictures[:1], ["3"])
    tracker.log({{"ess": 7.987654321}}, 3)
    tracker.summary({{"done": "marker-summary", "bad": float("nan")}})
    logged = time.monotonic() - started
    started = time.monotonic()
    tracker.finish()
    tracker.finish()
    took = dict(made=made, logged=logged, finished=time.monotonic() - started)
    print(json.dumps(dict(kind=type(tracker).__name__, **took)))
print(json.dumps("wandb" in sys.modules))
"""


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_wandb(monkeypatch, tmp_path / "home")
    monkeypatch.setattr(tracking, "_logged", set())


class Done:
    """What a run of PROGRAM left: its results, log lines, exit code and duration in seconds."""

    def __init__(self, done: subprocess.CompletedProcess[str], seconds: float) -> None:
        assert done.returncode == 0, done.stderr
        *runs, imported = [json.loads(line) for line in done.stdout.splitlines()]
        self.runs: list[dict[str, Any]] = runs
        self.imported: bool = imported
        self.said = done.stderr.splitlines()
        self.seconds = seconds


def run(
    tmp_path: Path,
    settings: Mapping[str, Any] = SETTINGS,
    *,
    folders: int = 1,
    before: str = "",
    between: str = "",
    **environment: str,
) -> Done:
    program = PROGRAM.format(before=before, between=between)
    (tmp_path / "here").mkdir()
    started = time.monotonic()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            program,
            json.dumps(settings),
            *(str(tmp_path / f"run{i}") for i in range(folders)),
        ],
        cwd=tmp_path / "here",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert list((tmp_path / "here").iterdir()) == []  # everything lies in the run's folder
    return Done(done, time.monotonic() - started)


def assert_recorded(folder: Path) -> None:
    """The offline run in ``folder`` holds config, numbers, summary and both pictures."""
    (log,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    kept = log.read_bytes()
    for words in (b"marker-config", b"glass-test", b"0.123456789", b"2.123456789", b"7.987654321"):
        assert words in kept, words
    assert b"marker-summary" in kept
    media = sorted(folder.glob("wandb/offline-run-*/files/media/images/**/*.png"))
    originals = {(folder / f"{i}.png").read_bytes() for i in range(2)}
    assert {path.read_bytes() for path in media} == originals


wandb_needed = pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed")


@wandb_needed
def test_without_a_key_two_runs_are_recorded_offline(tmp_path: Path) -> None:
    done = run(tmp_path, folders=2)
    assert [r["kind"] for r in done.runs] == ["WandbTracker"] * 2
    for i in range(2):
        assert_recorded(tmp_path / f"run{i}")
    # Once, though two runs: and nothing else on the console, W&B's own words neither.
    assert done.said == ["glass|INFO|W&B records offline: no API key (`wandb login` sets one)"]
    assert all(r["logged"] < 0.5 for r in done.runs)


@wandb_needed
def test_a_continued_run_is_the_same_run_with_pictures_in_its_tables(tmp_path: Path) -> None:
    again = (
        "tracker.finish(); time.sleep(1.1);"  # its folders are named by the second
        "tracker = make_tracker(settings, folder, {'more': 'marker-config'}, 'again');"
        "tracker.table('shown', ['n', 'picture'], [[1, pictures[1]], [2, None]])"
    )
    done = run(tmp_path, {**SETTINGS, "mode": "offline", "group": "many"}, between=again)
    assert not done.said
    folder = tmp_path / "run0"
    run_id = (folder / "wandb_id.txt").read_text().strip()
    starts = sorted(path.name.rpartition("-")[2] for path in folder.glob("wandb/offline-run-*"))
    assert starts == [run_id, run_id]
    # the table and its picture wait in the run's folder for `wandb sync`
    staged = [path.read_bytes() for path in folder.glob("wandb/artifacts/staging/*")]
    assert (folder / "1.png").read_bytes() in staged
    table = next(json.loads(data) for data in staged if data.startswith(b'{"_type": "table"'))
    (n, shown), (m, empty) = table["data"]
    assert (n, shown["_type"], m, empty) == (1, "image-file", 2, None)
    assert not (tmp_path / "home" / ".local").exists()
    logs = list(folder.glob("wandb/offline-run-*/run-*.wandb"))
    assert all(b"many" in log.read_bytes() for log in logs)


@wandb_needed
def test_a_dying_service_is_one_line(tmp_path: Path) -> None:
    """Nor does it end what is imported after it, of which W&B has itself told."""
    (tmp_path / "xgboost.py").touch()
    kill = (
        "import wandb; wandb.sdk.wandb_setup._singleton._connection._proc._process.kill();"
        "time.sleep(0.5); sys.path.insert(0, os.path.dirname(sys.argv[2])); import xgboost"
    )
    done = run(tmp_path, {**SETTINGS, "mode": "offline"}, between=kill)
    (line,) = done.said
    assert line.startswith("glass|WARNING|W&B stopped recording (")
    assert done.runs[0]["finished"] < 14


@wandb_needed
@pytest.mark.slow
def test_a_finish_that_hangs_is_bounded(tmp_path: Path) -> None:
    hang = "import wandb; wandb.Run.finish = lambda self, **_: time.sleep(1000)"
    done = run(tmp_path, {**SETTINGS, "mode": "offline"}, between=hang)
    (line,) = done.said
    assert "W&B stopped recording (no answer" in line
    assert 12 < done.runs[0]["finished"] < 15
    assert done.seconds - done.runs[0]["finished"] < 15  # nor is it made up for at exit


@wandb_needed
def test_refused_connection_is_recorded_offline(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"  # it stays nobody else's
        done = run(tmp_path, WANDB_BASE_URL=url, WANDB_API_KEY="garbage")
    (line,) = done.said
    assert line.startswith(f"glass|WARNING|W&B records offline: {url} does not answer")
    assert_recorded(tmp_path / "run0")


@wandb_needed
@pytest.mark.slow
@pytest.mark.parametrize("replies", [[], [VIEWER]], ids=["silent", "silent later"])
def test_a_hanging_server_costs_a_few_seconds(tmp_path: Path, replies: list[bytes]) -> None:
    """Of the 5 that a start has by default, a second is kept for the start offline."""
    (tmp_path / "offline").mkdir()
    usual = {**SETTINGS, "init_timeout": None}
    offline = run(tmp_path / "offline", {**usual, "mode": "offline"}).runs[0]["made"]
    with serving(replies) as url:
        done = run(tmp_path, usual, WANDB_BASE_URL=url, WANDB_API_KEY=KEY)
    (line,) = done.said
    assert line.startswith("glass|WARNING|W&B records offline: ")
    assert_recorded(tmp_path / "run0")
    made = done.runs[0]["made"]
    print(f"{made:.1f} s, offline {offline:.1f} s")
    assert made - offline < 4.5 and made < 5 + max(0, offline - 1)
    assert done.runs[0]["finished"] < 4
    assert done.seconds < 15


@pytest.mark.parametrize("importing", [0.0, 1.4])
@pytest.mark.parametrize("asking", [0.0, 0.6, 2.4])
def test_the_parts_of_a_start_share_its_seconds(
    asking: float, importing: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that answers at first and then hangs, by a clock of the test's own."""
    clock = [100.0]
    given: list[float] = []

    class Imported:
        def wait(self, most: float) -> None:
            clock[0] = max(clock[0], 100.0 + importing)

    def problem(seconds: float) -> None:
        assert seconds == 2.5
        clock[0] += asking

    class Hanging:
        def __init__(self, *_: Any, mode: str, init_timeout: float, **__: Any) -> None:
            given.append(init_timeout)
            clock[0] += init_timeout if mode == "online" else 1.0
            if mode == "online":
                raise TimeoutError("no answer")

    monkeypatch.setattr(tracking, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(tracking, "import_ahead", Imported)
    monkeypatch.setattr(tracking, "_problem", problem)
    monkeypatch.setattr(tracking, "WandbTracker", Hanging)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    make_tracker({**SETTINGS, "init_timeout": 5}, tmp_path, {}, "a")
    assert clock[0] - 100.0 == pytest.approx(5.0)
    # what the server had: all that is left
    assert given[0] == pytest.approx(4.0 - max(asking, importing)) and len(given) == 2


def test_disabled_never_imports_wandb(tmp_path: Path) -> None:
    done = run(tmp_path, {**SETTINGS, "mode": "disabled"}, WANDB_API_KEY=KEY)
    assert [r["kind"] for r in done.runs] == ["NullTracker"]
    assert not done.imported
    assert not done.said
    assert not (tmp_path / "run0" / "wandb").exists()


def test_missing_wandb_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, folders=2, before="sys.modules['wandb'] = None")
    assert [r["kind"] for r in done.runs] == ["NullTracker"] * 2
    assert done.said[1:] == [
        "glass|WARNING|W&B does not record this run: "
        "import of wandb halted; None in sys.modules; "
        "`pip install wandb`, or wandb.mode=disabled"
    ]


@pytest.mark.parametrize(
    ("name", "value"), [("WANDB_MODE", "disabled"), ("WANDB_DISABLED", "true")]
)
def test_the_environment_can_disable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert isinstance(make_tracker(SETTINGS, tmp_path, {}, "a"), NullTracker)


def test_the_environment_cannot_enable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    settings = {**SETTINGS, "mode": "disabled"}
    assert isinstance(make_tracker(settings, tmp_path, {}, "a"), NullTracker)


def test_unknown_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="online, offline, disabled"):
        make_tracker({"mode": "onlin"}, tmp_path, {}, "a")


def test_any_failure_of_wandb_gives_a_null_tracker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("of its\nown")

    monkeypatch.setattr(wandb_tracker, "_import_wandb", broken)
    with caplog.at_level(logging.WARNING, "glass"):
        assert isinstance(make_tracker(SETTINGS, tmp_path, {}, "a"), NullTracker)
    assert [r.getMessage() for r in caplog.records] == [
        "W&B does not record this run: RuntimeError: of its own"
    ]
