"""The page of the bench: a section a figure, each with when, where and how it was measured."""

from __future__ import annotations

import datetime
import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from glass_cli.common.errors import GlassError
from glass_cli.common.files import atomic_write, why, writing_to
from glass_cli.output.tables import Table

FIGURES = {
    "a": "the whole loop against its bare network calls",
    "b": "error over network calls, of a transition and of the whole sampler",
    "c": "time of glass --help",
    "d": "peak memory over particles",
    "f": "our loops beside a pipeline's own",
    "g": "variables, grids and orders for the inner ODE",
    "e": "seconds a picture and memory of the rewards at full size, a quarter of an hour on a CPU",
}
_TITLE = "# Bench\n"
_HEAD = f"""{_TITLE}
`make bench` measures all of it but figures e and g; `python -m glass_cli.bench --only a,c` measures
some figures and leaves the others as they are."""
_SECTION = re.compile(rf"^## ([{''.join(FIGURES)}]): ", re.MULTILINE)
_ADVICE = "choose another file with --out"


def section(key: str, tables: Sequence[Table], command: str) -> str:
    """A figure as Markdown.

    key: of FIGURES.
    tables: what was measured just now, on this machine.
    command: as typed.
    """
    import torch

    measured = (
        f"Measured {datetime.date.today().isoformat()} on {machine()}, torch {torch.__version__},"
        f" with `{command}`."
    )
    parts = [f"## {key}: {FIGURES[key]}", measured, *(table.markdown(3) for table in tables)]
    return "\n\n".join(parts)


def read_page(path: Path) -> dict[str, str]:
    """The sections of a page by their figures; none where there is no file.

    Raises GlassError for a file that cannot be read or is another one: it would be overwritten.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        text = ""
    except OSError as error:
        raise GlassError(f"cannot read {path}: {why(error)}; {_ADVICE}") from error
    starts = list(_SECTION.finditer(text))
    if not text.startswith(_TITLE) or not starts:
        raise GlassError(f"{path} is there and is no page of the bench; {_ADVICE}")
    ends = [start.start() for start in starts[1:]] + [len(text)]
    return {
        start[1]: text[start.start() : end].strip() for start, end in zip(starts, ends, strict=True)
    }


def write_page(path: Path, sections: Mapping[str, str]) -> None:
    """Writes the page, its figures in the order of FIGURES. Raises GlassError."""
    text = "\n\n".join([_HEAD, *(sections[key] for key in FIGURES if key in sections)])
    with writing_to(path, _ADVICE):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            part.write_text(text + "\n", encoding="utf-8")


def machine() -> str:
    """CPU model, cores and GPU in a few words."""
    import torch

    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{name}, {cores} cores ({torch.get_num_threads()} torch threads){gpu}"
