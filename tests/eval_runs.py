"""Small runs of `glass eval`: words, folder, and the files that say how the run went or do not."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY

from glass_cli.engine.launchers.local import Local
from glass_cli.launch import launch

# Of a child process: one thread, the code and the tests' own modules
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")]),
}
DIFFERING = ("seconds", "seconds_per_picture", "seconds_by_stage", "peak_memory_bytes", "devices")
POINTS = [
    "benchmark=tiny_points",
    "model=gaussian_mixture",
    "wandb.mode=disabled",
    "particles=4",
    "sampler.transitions=2",
    "sampler.steps=2",
]
EMOJI = ["benchmark=tiny", *POINTS[2:], "sampler.steps=1", "particles=2", "launcher.threads=1"]
NAME = "tiny_points-gaussian_mixture-glass-fk-linear-particles_4-steps_2-transitions_2"
FOLDER = Path("outputs/eval") / NAME
CHOICES = {
    "tiny": "Tiny\nimages: 2\nlimit: null\nstrict: 0.75\ndeadly: null\nmissing: false",
    "tiny_points": "TinyPoints\nimages: 2\nlimit: null\nstrict: 0.0\nmissing: false",
    "study": "Study\nscale: 2.0",
}


def write_benchmarks(folder: Path) -> None:
    """A folder of the user's own yaml files, with the tests' benchmarks in it."""
    (folder / "benchmark").mkdir(parents=True)
    for name, body in CHOICES.items():
        text = f"# for tests\n_target_: eval_bench.{body}\n"
        (folder / "benchmark" / f"{name}.yaml").write_text(text)


def evaluate(*words: str, sweep: bool = False) -> int:
    return launch(["-cd", "../mine", *words], sweep, config="eval")


def files(folder: Path) -> dict[str, str]:
    """Digests of all files that must not depend on how the run went."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or re.search(r"(^|/)((times|wandb|replaced)/|\.lock$)", name):
            continue
        data = path.read_bytes()
        if path.name == "summary.json":
            told = json.loads(data)
            data = json.dumps([v for k, v in told.items() if k not in DIFFERING]).encode()
        found[name] = hashlib.sha256(data).hexdigest()
    return found


def same_but_for_the_words(one: Path, other: Path) -> bool:
    """Equal files, apart from those that tell what was typed."""
    first, second = files(one), files(other)
    for name in ("config.yaml", "overrides.yaml"):
        assert first.pop(name) and second.pop(name)
    return first == second


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def drawn(monkeypatch: pytest.MonkeyPatch, stop_after: int | None = None) -> list[Any]:
    """The units drawn from now on; after so many the run is stopped as if by Ctrl-C."""
    units: list[Any] = []
    inner = Local.run

    def run(self: Local, task: Any, watch: Any = None) -> Iterator[Any]:
        for finished in inner(self, task, watch):
            if stop_after is not None and len(units) == stop_after:
                raise KeyboardInterrupt
            units.append(tuple(finished.unit))
            yield finished

    monkeypatch.setattr(Local, "run", run)
    return units
