"""`glass sheet`: several runs' pictures on one contact sheet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from glass_cli.common.errors import GlassError
from glass_cli.common.files import atomic_write, writing_to
from glass_cli.output.recorder import rows_of_run
from glass_cli.output.sheet import Row, contact_sheet


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A finished run's summary and settings."""
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    except OSError as error:
        raise GlassError(
            f"{folder} is not a finished run (no {Path(error.filename).name}); name a folder that"
            " glass sample has written"
        ) from error
    return summary, config


def _kind(node: dict[str, Any] | None) -> str:
    return "-" if not node else str(node["_target_"]).rpartition(".")[2]


def side_by_side(runs: Sequence[Path], out: Path) -> str:
    """Writes ``out``, a row for each run and prompt, labelled with sampler, steering and NFE.

    Returns a line that says where it lies. Raises GlassError for a folder without a finished run.
    """
    rows: list[Row] = []
    for folder in runs:
        summary, config = _read(folder)
        steered = f"{_kind(config['sampler'])} + {_kind(config['steering'])}"
        found = rows_of_run(folder)
        if not found:
            raise GlassError(f"{folder} has no pictures; only runs of an image model have")
        for row, prompt in zip(found, summary["prompts"], strict=True):
            cost = f"{prompt['nfe']} network calls"
            rows.append(row._replace(label=f"{steered}, {cost}: {row.label}"))
    with writing_to(out, "name another file with -o"):
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(out) as part:
            contact_sheet(rows).save(part)
    return f"wrote {out} ({len(rows)} rows)"
