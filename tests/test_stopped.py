"""glass sample stopped by signals at random moments: the signal's exit code, then the same bits."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from eval_runs import ENVIRONMENT, POINTS, files

WORDS = [word for word in POINTS if not word.startswith("benchmark")]
WORDS += [f"prompts=[{','.join(f'p{i}' for i in range(300))}]", "hydra.run.dir=outputs/mine"]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
# in a job of a shell's background SIGINT is ignored, which a child would inherit
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from glass_cli.cli import main
print("begun", flush=True)
main()
"""


def begin() -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, "sample", *WORDS]
    return subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ten_random_moments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with begin() as process:
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        began = time.monotonic()
        process.communicate()
    seconds = time.monotonic() - began
    assert process.returncode == 0
    Path("outputs").rename("undisturbed")
    rng, stopped = random.Random(0), 0
    for number in range(10):
        sent = SIGNALS[number % len(SIGNALS)]
        with begin() as process:
            assert process.stdout is not None and process.stdout.readline() == "begun\n"
            time.sleep(rng.uniform(0.0, 0.6 * seconds))
            process.send_signal(sent)
            _, said = process.communicate()
        if process.returncode == 0:
            continue
        stopped += 1
        assert "Traceback" not in said, said
        if sent == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL
        elif process.returncode > 0:
            assert process.returncode == 128 + sent
            line = said.splitlines()[-1]
            assert line.startswith("glass: stopped"), said
            assert "goes on from there" in line or "before the run began" in line
        else:  # while Python itself was still importing
            assert process.returncode == -sent and not said
    assert stopped >= 5
    with begin() as process:
        process.communicate()
    assert process.returncode == 0
    assert files(Path("outputs")) == files(Path("undisturbed"))
