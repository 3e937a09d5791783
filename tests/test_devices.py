"""Peak memory is a process's own."""

from __future__ import annotations

import subprocess
import sys

import child_process
import pytest
import torch
from conftest import REPOSITORY

from glass_cli.common.devices import _peak_of_getrusage, peak_memory

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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no getrusage")
def test_getrusage_is_the_standard_librarys() -> None:
    from resource import RUSAGE_SELF, getrusage

    unit = 1 if sys.platform == "darwin" else 1024
    assert _peak_of_getrusage() == getrusage(RUSAGE_SELF).ru_maxrss * unit


PLATFORM_MODULES = ("fcntl", "resource")
IMPORT_ALL = f"""
import importlib, pkgutil, sys

def import_all():
    import glass_cli
    for module in pkgutil.walk_packages(glass_cli.__path__, "glass_cli."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

import_all()  # what others need of the two on this system is theirs
for name in [n for n in sys.modules if n.partition(".")[0] == "glass_cli"]:
    del sys.modules[name]
sys.modules.update(dict.fromkeys({PLATFORM_MODULES}))
import_all()
"""


@pytest.mark.slow
def test_every_module_is_imported_without_fcntl_and_resource() -> None:
    """Windows has neither."""
    done = child_process.run([sys.executable, "-c", IMPORT_ALL], cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr[-2000:]
