"""Peak memory is a process's own."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from conftest import REPOSITORY

from glass_cli.common.devices import peak_memory

CPU = torch.device("cpu")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_peak_memory_is_not_that_of_the_process_before() -> None:
    ballast = torch.ones(400 * 2**18)  # 400 MiB
    own = peak_memory(CPU)
    assert own > ballast.numel() * 4
    program = (
        "import torch; from glass_cli.common.devices import peak_memory;"
        " print(peak_memory(torch.device('cpu')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    # torch alone takes under 400 MiB, and this process holds torch and 400 MiB more
    assert int(done.stdout) < own - 100 * 2**20


def test_peak_memory_grows_with_what_is_held() -> None:
    before = peak_memory(CPU)
    ballast = torch.ones(before // 4 + 2**24)  # more than all that there was
    assert peak_memory(CPU) >= max(before, ballast.numel() * 4)
