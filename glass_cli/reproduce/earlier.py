"""Runs of a comparison that were drawn before, on this machine or another, as files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from glass_cli.common.errors import GlassError, one_line
from glass_cli.common.files import atomic_write, json_text, writing_to
from glass_cli.common.messages import say
from glass_cli.common.paths import EVAL_CONFIG, conf_dir
from glass_cli.config.command_line import read_arguments
from glass_cli.config.preflight import settings_of
from glass_cli.output.identity import identity
from glass_cli.output.run_file import SUFFIX, asked_for, is_run_file, read_run_file, write_run_file
from glass_cli.output.versions import weights
from glass_cli.reproduce.measured import Drawn, run_folder
from glass_cli.reproduce.plan import Evaluation

_FREE = ("benchmark.path",)  # where a list of prompts lies
_RUNS = "runs"  # the folder of run files, beside the pages


def asked(words: Sequence[str]) -> dict[str, Any]:
    """Dotted key -> value of all that decides the results of a `glass eval` with these arguments.

    Raises GlassError.
    """
    settings = settings_of(read_arguments(words, False, EVAL_CONFIG), conf_dir())
    flat = identity(settings.config, _FREE)
    del flat["glass_version"]  # that of the reader: the run has its own
    read_back: dict[str, Any] = json.loads(json_text(flat))
    return read_back


def file_of(folder: Path, evaluation: Evaluation, seed: int) -> Path:
    """Where in a folder of run files one of a comparison lies."""
    place = run_folder(folder, evaluation, seed)
    return place.with_name(f"{place.name}{SUFFIX}")


def usable(file: Path, words: Sequence[str]) -> bool:
    """Whether a run file is there, and what these arguments ask for, of the weights that are here.

    Says in a line why one is not.
    """
    if not is_run_file(file):
        return False
    try:
        now, before = asked(words), asked_for(file)
        run = read_run_file(file)
    except GlassError as error:
        say(f"warning: {one_line(error)}")
        return False
    absent = object()
    apart = [k for k in sorted({*now, *before}) if now.get(k, absent) != before.get(k, absent)]
    if apart:
        say(f"warning: {file} is not used: it was drawn with another {', '.join(apart[:3])}")
        return False
    return _of_these_weights(file, run.summary.get("versions") or [], now)


def _of_these_weights(
    file: Path, versions: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]
) -> bool:
    here = weights(settings)
    for each in versions:
        for name, digest in (each.get("weights") or {}).items():
            if digest and here.get(name) and here[name] != digest:
                say(f"warning: {file} is not used: the weights of {name} have changed since")
                return False
    return True


def keep(out: Path, drawn: Iterable[tuple[Drawn, Sequence[str]]]) -> list[Path]:
    """Writes a file for each finished run into the folder ``runs`` of ``out``; says where.

    drawn: runs, and the arguments that asked for each.

    Raises GlassError where one cannot be written.
    """
    written = []
    for one, words in drawn:
        file = file_of(out / _RUNS, one.evaluation, one.seed)
        if not is_run_file(one.run.folder):
            write_run_file(file, one.run, asked(words))
        elif one.run.folder.resolve() != file.resolve():
            with writing_to(file, "name another folder with --out"):
                file.parent.mkdir(parents=True, exist_ok=True)
                with atomic_write(file) as part:
                    shutil.copyfile(one.run.folder, part)
        written.append(file)
    return written
