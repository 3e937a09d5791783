"""`glass sample --open`, and pictures in terminals that can show them."""

from __future__ import annotations

import base64
import io
import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import child_process
import pytest
from conftest import REPOSITORY
from hydra.core.hydra_config import HydraConfig
from PIL import Image

from glass_cli.commands.shown_sample import open_file
from glass_cli.launch import launch

TINY = [
    "calls=2", "particles=2", "sampler.transitions=1", "steering=none", "wandb.mode=disabled",
]  # fmt: skip
SHOWING = "glass_cli.commands.shown_sample"


@pytest.fixture
def opener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which a program in xdg-open's place writes what it was asked to open."""
    if sys.platform != "linux":
        pytest.skip("macOS and Windows have openers of their own")
    program, asked = tmp_path / "bin" / "xdg-open", tmp_path / "asked"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> "{asked}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("DISPLAY", ":7")
    # a sweep in this process, of an earlier test, leaves it behind
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    monkeypatch.chdir(tmp_path)
    return asked


def read(path: Path) -> str:
    """What another process writes, when it has."""
    deadline = time.monotonic() + 20
    while not path.is_file() or not path.read_text().endswith("\n"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return path.read_text()


def test_the_sheet_is_opened(opener: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch([*TINY, "hydra.run.dir=run"], engine=SHOWING) == 0
    asked = Path(read(opener).strip())
    assert asked == (Path("run") / "sheet.png").absolute() or asked == Path("run/sheet.png")
    assert "not opened" not in capsys.readouterr().err


def test_without_a_display_there_is_a_line(
    opener: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    points = ["model=gaussian_mixture", "reward=linear", "hydra.run.dir=run"]
    assert launch([*TINY, *points], engine=SHOWING) == 0
    said = capsys.readouterr().err.splitlines()
    assert "glass: run/density.png is not opened: there is no display" in said
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    monkeypatch.setenv("PATH", "/nowhere")
    assert open_file(Path("run/density.png")) == "there is no xdg-open; install xdg-utils"
    assert not opener.exists()


def test_a_sweep_opens_nothing(opener: Path) -> None:
    words = [*TINY, "seed=0,1", "hydra.sweep.dir=many"]
    assert launch(words, sweep=True, engine=SHOWING) == 0
    assert len(list(Path("many").glob("*/sheet.png"))) == 2
    assert not opener.exists()


def test_the_option_reaches_the_run(tmp_path: Path) -> None:
    bare = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, "-m", "glass_cli", "sample", "--open", *TINY, "hydra.run.dir=run"]
    done = child_process.run(command, {**bare, "PYTHONPATH": str(REPOSITORY)}, tmp_path)
    assert done.returncode == 0
    if sys.platform == "linux":
        assert "glass: run/sheet.png is not opened: there is no display" in done.stderr


PROGRAM = """
import sys
from pathlib import Path
from glass_cli.output.terminal_picture import print_picture
print("ready", flush=True)
print("shown" if print_picture(Path(sys.argv[1])) else "not shown", flush=True)
"""
# what a terminal is asked, and what one says that has it
SIXEL = {r"\x1b\[c": "\x1b[?62;4;22c"}
KITTY = {
    r"\x1b\[c": "\x1b[?62;22c",
    r"\x1b_Gi=(\d+),[^\x1b]*a=q[^\x1b]*\x1b\\": "\x1b_Gi=%s;OK\x1b\\",
}


def in_terminal(picture: Path, answers: dict[str, str], term: str = "xterm-256color") -> str:
    """What the program shows in a terminal that gives these answers."""
    pty = pytest.importorskip("pty")
    fcntl, struct, termios = (pytest.importorskip(n) for n in ("fcntl", "struct", "termios"))
    process, terminal = pty.fork()
    if process == 0:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TERM": term}
        os.execve(sys.executable, [sys.executable, "-c", PROGRAM, str(picture)], environment)
    # 24 lines of 80 columns, of 10 x 20 pixels each
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 800, 480))
    shown, told, deadline = "", 0, time.monotonic() + 60
    while not re.search(r"shown\r\n", shown):
        assert time.monotonic() < deadline, shown
        if select.select([terminal], [], [], 0.5)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace")
        for question, answer in answers.items():
            asked = re.search(question, shown[told:])
            if asked:
                told += asked.end()
                groups = asked.groups()
                os.write(terminal, (answer % groups if groups else answer).encode())
    os.waitpid(process, 0)
    os.close(terminal)
    return shown.partition("ready")[2]


def shown_in(picture: Path, answers: dict[str, str]) -> str:
    """The same where pictures can be shown: the program waits for an answer a tenth of a second,
    which a busy machine may miss."""
    for _ in range(8):
        shown = in_terminal(picture, answers)
        if "not shown" not in shown:
            break
    return shown


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "sheet.png"
    Image.new("RGB", (320, 160), (200, 30, 40)).save(path)
    return path


def test_kitty_gets_the_picture(picture: Path) -> None:
    pytest.importorskip("textual_image")
    shown = shown_in(picture, KITTY)
    assert shown.endswith("\r\nshown\r\n")
    chunks = re.findall(r"\x1b_G[^;]*f=100[^;]*;([A-Za-z0-9+/=]+)\x1b\\", shown)
    sent = Image.open(io.BytesIO(base64.b64decode("".join(chunks)))).convert("RGB")
    assert abs(sent.width / sent.height - 2.0) < 0.1
    assert sent.getpixel((5, 5)) == (200, 30, 40)


def test_sixel_gets_the_picture(picture: Path) -> None:
    pytest.importorskip("textual_image")
    shown = shown_in(picture, SIXEL)
    assert "shown\r\n" in shown and "not shown" not in shown
    (sixels,) = re.findall(r"\x1bP([^\x1b]*)\x1b\\", shown)
    colours = re.findall(r"#\d+;2;(\d+);(\d+);(\d+)", sixels)  # in hundredths
    assert ("78", "12", "16") in colours or ("78", "11", "15") in colours, colours


@pytest.mark.parametrize("answers", [{}, {r"\x1b\[c": "\x1b[?62;22c"}], ids=["silent", "text"])
def test_other_terminals_get_nothing(picture: Path, answers: dict[str, str]) -> None:
    shown = in_terminal(picture, answers)
    assert "not shown" in shown and "\x1bP" not in shown and len(shown) < 300


def test_nothing_is_asked_where_it_would_be_read_as_text(picture: Path) -> None:
    assert in_terminal(picture, SIXEL, term="dumb") == "\r\nnot shown\r\n"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(picture)],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.stdout == "ready\nnot shown\n", done.stderr
