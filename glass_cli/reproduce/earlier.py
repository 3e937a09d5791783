"""Runs of a comparison that were drawn before, on this machine or another, as files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from glass_cli.common.errors import GlassError, one_line
from glass_cli.common.files import atomic_write, json_text, writing_to
from glass_cli.common.messages import say
from glass_cli.common.paths import EVAL_CONFIG
from glass_cli.config.asked import asked_config, is_default
from glass_cli.output.identity import IDENTITY, SIZES, identity
from glass_cli.output.results import Run
from glass_cli.output.run_file import SUFFIX, asked_for, read_run_file, write_run_file
from glass_cli.output.study_file import SUFFIX as STUDY_SUFFIX
from glass_cli.output.study_file import FinishedStudy, read_study_file, write_study_file
from glass_cli.output.versions import weights
from glass_cli.reproduce.measured import DrawnRun, run_folder
from glass_cli.reproduce.plan import Evaluation

_FREE = ("benchmark.path",)  # where a list of prompts lies
_RUNS = "runs"  # the folder of run files, beside the pages


def asked(words: Sequence[str]) -> dict[str, Any]:
    """Dotted key -> value of all that decides the results of a `glass eval` with these arguments.

    Raises GlassError.
    """
    flat = identity(asked_config(words, EVAL_CONFIG), _FREE)
    del flat["glass_version"]  # that of the reader: the run has its own
    read_back: dict[str, Any] = json.loads(json_text(flat))
    return read_back


def other_settings(folder: Path, words: Sequence[str]) -> list[str]:
    """The settings in which the run in ``folder`` is not what these arguments ask for; none where
    the folder does not say. What steering=auto and sampler.times=auto choose is not asked for."""
    try:
        drawn = json.loads((folder / IDENTITY).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    now, absent = asked(words), object()
    chosen: tuple[str, ...] = ("glass_version", "metrics", *SIZES, *_FREE)
    if str(now.get("steering._target_")).endswith(".Auto"):
        chosen += ("sampler.", "steering.", "particles", "calls", "budget")
    if now.get("sampler.times") == "auto":
        chosen += ("sampler.times",)
    keys = [key for key in sorted({*now, *drawn}) if not key.startswith(chosen)]
    return [key for key in keys if now.get(key, absent) != drawn.get(key, absent)]


def file_of(folder: Path, evaluation: Evaluation, seed: int) -> Path:
    """Where in a folder of run files one of a comparison lies."""
    place = run_folder(folder, evaluation, seed)
    suffix = STUDY_SUFFIX if evaluation.benchmark is None else SUFFIX
    return place.with_name(f"{place.name}{suffix}")


def usable(file: Path, words: Sequence[str]) -> bool:
    """Whether a run file is there, and what these arguments ask for, of the weights that are here.

    Says in a line why one is not.
    """
    if not file.is_file():
        return False
    try:
        now, before = asked(words), asked_for(file)
        read = read_study_file if file.name.endswith(STUDY_SUFFIX) else read_run_file
        summary = read(file).summary
    except GlassError as error:
        say(f"warning: {one_line(error)}")
        return False
    absent = object()
    apart = [
        key
        for key in sorted({*now, *before})
        if now.get(key, absent) != before.get(key, absent)
        and (key in before or not is_default(now, key))
    ]
    if apart:
        say(f"warning: {file} is not used: it was drawn with another {', '.join(apart[:3])}")
        return False
    return _of_these_weights(file, summary.get("versions") or [], now)


def _of_these_weights(
    file: Path, versions: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]
) -> bool:
    here = weights(settings)
    unknown = set[str]() if versions else set(here)
    for each in versions:
        for name, digest in (each.get("weights") or {}).items():
            if not digest:  # a run that ended without them has not loaded them
                continue
            if not here.get(name):
                unknown.add(name)
            elif here[name] != digest:
                say(f"warning: {file} is not used: the weights of {name} have changed since")
                return False
    if unknown:
        names = ", ".join(sorted(unknown))
        say(
            f"warning: {file} is used, but whether the weights of {names} are the same is not known"
        )
    return True


def keep(out: Path, drawn: Iterable[tuple[DrawnRun, Sequence[str]]]) -> list[Path]:
    """Writes a file for each finished run into the folder ``runs`` of ``out``; says where.

    drawn: runs, and the arguments that asked for each.

    Raises GlassError where one cannot be written.
    """
    written = []
    for one, words in drawn:
        file, found = file_of(out / _RUNS, one.evaluation, one.seed), one.run
        source = found.source if isinstance(found, FinishedStudy) else found.folder
        if source.is_file():
            _copy(source, file)
        elif isinstance(found, FinishedStudy):
            write_study_file(file, found, asked(words))
        else:
            run = _portable(found)
            # how many prompts there are may have been asked for otherwise since
            sizes = {k: v for k, v in identity(run.config, _FREE).items() if k in SIZES}
            write_run_file(file, run, {**asked(words), **sizes})
        written.append(file)
    return written


def _copy(source: Path, file: Path) -> None:
    if source.resolve() == file.resolve():
        return
    with writing_to(file, "name another folder with --out"):
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as part:
            shutil.copyfile(source, part)


def _portable(run: Run) -> Run:
    """Without what is of this machine alone: where a list of prompts lies, and W&B."""
    config = {key: value for key, value in run.config.items() if key != "wandb"}
    benchmark = config.get("benchmark")
    if isinstance(benchmark, Mapping) and isinstance(benchmark.get("path"), str):
        config["benchmark"] = {**benchmark, "path": Path(benchmark["path"]).name}
    typed = [w for w in run.overrides if not w.startswith(("wandb.", "benchmark.path="))]
    return replace(run, config=config, overrides=tuple(typed))
