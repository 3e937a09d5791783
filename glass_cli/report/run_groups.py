"""Runs by the folders that the user names: sweeps are their jobs, and seeds are one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glass_cli.common.errors import GlassError
from glass_cli.common.files import json_text
from glass_cli.output.reader import Unfinished, is_run, read_run
from glass_cli.output.results import Result, Run
from glass_cli.output.run_file import is_run_file, read_run_file, refuse_run_file
from glass_cli.report.labels import deciding_settings, labels

# Levels of folders in a sweep: its name, and job names with slashes in their values.
_DEEPEST = 4
SWEEP_FILE = "multirun.yaml"  # Hydra's, which SWEEP/* names among the jobs


Key = tuple[str, int, int]
"""Prompt, seed or image, and which of the results with both: benchmarks may list a prompt twice."""


def by_key(results: Iterable[Result], number: Callable[[Result], int]) -> dict[Key, Result]:
    """The results by prompt and ``number``, which is a result's seed or image."""
    keyed: dict[Key, Result] = {}
    for result in results:
        copy = 0
        while (key := (result.prompt, number(result), copy)) in keyed:
            copy += 1
        keyed[key] = result
    return keyed


class Unreadable(GlassError):
    """Folders that hold no whole run; ``lines`` has one line for each."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = tuple(lines)


@dataclass(frozen=True)
class RunGroup:
    """Runs of the same settings and other seeds, at least one, which are compared as one."""

    label: str
    runs: tuple[Run, ...]

    @property
    def results(self) -> list[Result]:
        return [result for run in self.runs for result in run.results]

    @property
    def folders(self) -> tuple[Path, ...]:
        return tuple(run.folder for run in self.runs)


def read_runs(paths: Sequence[Path], pictures: bool = True) -> tuple[list[Run], list[str]]:
    """The finished runs in ``paths``, and a line for each unfinished one, which is passed over.

    paths: runs' folders, and folders of sweeps, which stand for their jobs.
    pictures: whether they are needed; without, run files of `glass reproduce` may be among the
        paths.

    Raises Unreadable, with a line for each folder that holds no run or a damaged one, or where no
    run is finished; GlassError where a run is named twice.
    """
    runs, passed_over, wrong = [], [], []
    for folder in _jobs(paths, not pictures):
        try:
            if pictures:
                refuse_run_file(folder)
            runs.append(_read(folder))
        except Unfinished as error:
            passed_over.append(str(error))
        except GlassError as error:
            wrong.append(str(error))
    if wrong or not runs:
        raise Unreadable(wrong or passed_over or ["no run is named"])
    if len({run.folder.resolve() for run in runs}) < len(runs):
        raise GlassError("a run is named twice; name each once")
    return runs, passed_over


def readable_runs(paths: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """The finished runs in ``paths`` and a line for each folder that is none, such as a study.

    paths: runs' folders, and folders of sweeps, which stand for their jobs; a run that is named
        twice counts once.
    """
    runs: dict[Path, Run] = {}
    passed_over = []
    for folder in _jobs(paths, True):
        try:
            runs.setdefault(folder.resolve(), _read(folder))
        except GlassError as error:
            passed_over.append(str(error))
    return list(runs.values()), passed_over


def _read(path: Path) -> Run:
    return read_run_file(path) if is_run_file(path) else read_run(path)


def _jobs(paths: Sequence[Path], files: bool) -> Iterator[Path]:
    for path in paths:
        if path.name == SWEEP_FILE and path.is_file():
            continue
        jobs = [] if is_run(path) else list(_runs_below(path, _DEEPEST, files))
        yield from jobs or [path]


def _runs_below(folder: Path, levels: int, files: bool) -> Iterator[Path]:
    if not levels or not folder.is_dir():
        return
    for path in sorted(folder.iterdir(), key=_in_number_order):
        if path.is_dir() and not path.name.startswith("."):
            if is_run(path):
                yield path
            else:
                yield from _runs_below(path, levels - 1, files)
        elif files and is_run_file(path):
            yield path


def _in_number_order(path: Path) -> list[str | int]:
    """Sorts 2 before 10; text and numbers take turns."""
    return [int(p) if i % 2 else p for i, p in enumerate(re.split(r"(\d+)", path.name))]


def group_seeds(runs: Sequence[Run], names: Sequence[str] = ()) -> list[RunGroup]:
    """Runs of the same settings and different seeds as one, in the order of the first of each.

    names: a label for each group; by default what differs between them.

    Runs of the same settings and the same seed stay apart. Raises GlassError for another number
    of names.
    """
    same: dict[str, list[Run]] = {}
    for run in runs:
        prompts = [run.config.get(key) for key in ("prompt", "prompts")]
        same.setdefault(json_text([deciding_settings(run), run.command, prompts]), []).append(run)
    members: list[tuple[Run, ...]] = []
    for alike in same.values():
        seeds: set[Any] = {run.config.get("seed") for run in alike}
        members += [tuple(alike)] if len(seeds) == len(alike) else [(run,) for run in alike]
    if names and len(names) != len(members):
        raise GlassError(f"{len(names)} labels for {len(members)} runs; give one --label a run")
    texts = [
        f"{label} ({len(group)} seeds)" if len(group) > 1 else label
        for label, group in zip(labels([group[0] for group in members]), members, strict=True)
    ]
    return [RunGroup(*pair) for pair in zip(names or texts, members, strict=True)]
