"""A finished study as one small file: what it was asked for, its summary and its parts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glass_cli.common.files import atomic_write, json_text, writing_to
from glass_cli.output import record_fields as fields
from glass_cli.output.reader import damage_named
from glass_cli.output.record_fields import Damaged
from glass_cli.output.writer import SUMMARY

SUFFIX = ".study.json"


@dataclass(frozen=True)
class FinishedStudy:
    """What a study wrote.

    source: its folder, or its file.
    summary: of all parts, with the versions that drew them.
    parts: what was measured, one a prompt.
    """

    source: Path
    summary: Mapping[str, Any]
    parts: Sequence[Mapping[str, Any]]


def read_study(folder: Path) -> FinishedStudy:
    """The study in a run's folder. Raises GlassError where there is none that is whole."""
    with damage_named(folder):
        summary = fields.load(folder, SUMMARY)
        paths = sorted((folder / "study").glob("*.json"))
        parts = [fields.load(folder, f"study/{path.name}") for path in paths]
        return _checked(folder, summary, parts)


def write_study_file(path: Path, study: FinishedStudy, asked: Mapping[str, Any]) -> None:
    """Writes ``study`` to ``path``, whose name ends with SUFFIX.

    asked: dotted key -> value of the settings that were asked for.

    Raises GlassError where it cannot be written.
    """
    lines = ",\n".join(json_text(part) for part in study.parts)
    head = {"asked": asked, "summary": study.summary}
    texts = [f"{json.dumps(key)}: {json_text(value)}" for key, value in head.items()]
    with writing_to(path, "name another folder"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            text = ",\n".join([*texts, f'"parts": [\n{lines}\n]'])
            part.write_text(f"{{\n{text}\n}}\n", encoding="utf-8")


def read_study_file(path: Path) -> FinishedStudy:
    """The study in a file of :func:`write_study_file`. Raises GlassError for any other file."""
    with damage_named(path):
        content = fields.mapping(fields.load(path.parent, path.name), path.name)
        return _checked(path, content.get("summary"), content.get("parts"))


def _checked(source: Path, summary: Any, parts: Any) -> FinishedStudy:
    summary, parts = fields.mapping(summary, "summary"), fields.rows(parts, "parts")
    if not parts:
        raise Damaged("it is of no parts")
    for version in fields.rows(summary.get("versions") or [], "versions"):
        fields.mapping(version.get("weights") or {}, "versions: weights")
    for number, part in enumerate(parts):
        for at in fields.rows(part.get("times"), f"part {number}"):
            where = f"part {number} at t={at.get('t')}"
            known = [fields.number(at, "floor", where)]
            for row in fields.rows(at.get("rows"), where):
                fields.text(row, "method", where)
                fields.count(row, "calls", where)
                known.append(fields.number(row, "w2", where))
            if None in known:
                raise Damaged(f"{where} lacks a distance")
    return FinishedStudy(source, summary, parts)
