"""One process at a time in a folder, whichever way the last one ended."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import REPOSITORY

from glass_cli.output.lock import HOLDER, LOCK, Lock, Refused

HOLDING = """
import sys, time
from pathlib import Path
from glass_cli.output.lock import Lock
with Lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_one_hears_who_holds_it(tmp_path: Path) -> None:
    with Lock(tmp_path), pytest.raises(Refused, match=f"process {os.getpid()} on .* name=NAME"):
        Lock(tmp_path)
    with Lock(tmp_path):
        pass
    assert not (tmp_path / HOLDER).exists()


def test_a_killed_holders_lock_is_taken_over(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDING, str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(Refused, match=f"process {process.pid} on"):
            Lock(tmp_path)
        process.kill()
    assert (tmp_path / HOLDER).exists()
    with Lock(tmp_path):
        assert f"process {os.getpid()} on" in (tmp_path / HOLDER).read_text("utf-8")


def test_a_file_that_nobody_holds_does_not_count(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("process 1 on another-machine\n")
    with Lock(tmp_path):
        (tmp_path / HOLDER).unlink()
        with pytest.raises(Refused, match="by another process;"):
            Lock(tmp_path)


def test_another_thread_may_let_go(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    thread = threading.Thread(target=lock.close)
    thread.start()
    thread.join()
    lock.close()
    with Lock(tmp_path):
        pass


def test_where_no_folder_can_be(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    with pytest.raises(OSError, match="taken"):
        Lock(taken)
