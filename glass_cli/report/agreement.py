"""Whether a run says what is published of it: in a file of results, in a paper, or by another run.

A file of results has means and intervals. The interval of a difference between two of them is
pieced together from both (the method of variance estimates recovery, Zou & Donner,
10.1002/sim.3095). It takes them for independent; where both are of the same prompts, whose
difficulty they share, it is wider than need be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from glass_cli.common.errors import GlassError, shown
from glass_cli.common.files import json_text
from glass_cli.output.identity import decides
from glass_cli.output.tables import text_table
from glass_cli.report.comparison import Comparison
from glass_cli.report.labels import choice_name, deciding_settings
from glass_cli.report.quantities import Estimate, quantities
from glass_cli.report.results_file import Row, read_rows, row_of
from glass_cli.report.run_groups import RunGroup, group_seeds, read_runs
from glass_cli.report.tables import digits, estimate_text, number

AGREES, DIFFERS, UNKNOWN = "agrees", "differs", "-"
# Where a list of prompts lies says nothing of what is in it; its results' title does.
_PLACES = ("benchmark.path",)
_SHOWN_SETTINGS = 4


class Agreement(NamedTuple):
    """One quantity of a file of results and of a run.

    difference: of the run less the file; None where one of them has no interval.
    """

    key: str
    label: str
    file: Estimate
    run: Estimate
    difference: Estimate | None

    @property
    def verdict(self) -> str:
        if self.difference is None or self.difference.interval is None:
            return UNKNOWN
        low, high = self.difference.interval
        return AGREES if low <= 0.0 <= high else DIFFERS


def difference(a: Estimate, b: Estimate) -> Estimate | None:
    """a - b of two that are independent, with its interval; None where one of them has none."""
    if a.interval is None or b.interval is None:
        return None
    mean = a.mean - b.mean
    below = math.hypot(a.mean - a.interval[0], b.interval[1] - b.mean)
    above = math.hypot(a.interval[1] - a.mean, b.mean - b.interval[0])
    return Estimate(mean, (mean - below, mean + above), min(a.prompts, b.prompts))


def agreements(row: Row, group: RunGroup) -> list[Agreement]:
    """What both have, in the order of the tables."""
    labels = {q.key: q.label.strip() for q in quantities(group.runs)}
    own = row_of("", group, "").estimates
    return [
        Agreement(
            key, label, row.estimates[key], own[key], difference(own[key], row.estimates[key])
        )
        for key, label in labels.items()
        if key in row.estimates and key in own
    ]


def row_for(rows: Sequence[Row], group: RunGroup, file: Path) -> Row:
    """The row with the settings of a run. Raises GlassError where there is none."""
    title = str(group.runs[0].summary.get("benchmark") or "")
    wanted = _compared(deciding_settings(group.runs[0]))
    differing = {
        index: _differing(_compared(row.settings), wanted)
        for index, row in enumerate(rows)
        if row.benchmark == title
    }
    if not differing:
        known = ", ".join(dict.fromkeys(row.benchmark for row in rows)) or "nothing"
        raise GlassError(f"{file} has no row of {title or 'glass sample'} (it has {shown(known)})")
    nearest = min(differing, key=lambda index: len(differing[index]))
    if differing[nearest]:
        keys = differing[nearest]
        parts = [
            f"{key}={_said(rows[nearest].settings, key)} (the run: {_said(wanted, key)})"
            for key in keys[:_SHOWN_SETTINGS]
        ]
        more = len(keys) - len(parts)
        raise GlassError(
            f"no row of {file} has the settings of {group.folders[0]}; the nearest is"
            f" {rows[nearest].run}, with {', '.join(parts)}{f' and {more} more' if more else ''}"
        )
    return rows[nearest]


def _compared(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in _PLACES}


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    absent = object()
    return [key for key in sorted({*a, *b}) if a.get(key, absent) != b.get(key, absent)]


def _said(settings: Mapping[str, Any], key: str) -> str:
    return shown(json_text(settings[key]), 60) if key in settings else "absent"


def against_files(
    files: Sequence[Path], folders: Sequence[Path], show: Sequence[str]
) -> tuple[str, list[str]]:
    """Runs beside what files of results say of the same settings, and warnings.

    show: keys of the quantities; all by default.

    Raises GlassError for a run that no file has.
    """
    if not folders:
        raise GlassError(f"{files[0]} is a file of results; name a run to compare with it")
    runs, passed_over = read_runs(folders, pictures=False)
    blocks, warnings = [], [f"passing over {line}" for line in passed_over]
    for file in files:
        rows = read_rows(file)
        for group in group_seeds(runs):
            row = row_for(rows, group, file)
            agreed = [a for a in agreements(row, group) if not show or a.key in show]
            if not agreed:
                raise GlassError(f"{file} and {group.folders[0]} have no such quantity in common")
            blocks.append(_block(file, row, group, agreed))
            warnings += [f"{row.run}: {line}" for line in _unlike(row, row_of(row.run, group, ""))]
    return "\n\n".join(blocks), warnings


def _block(file: Path, row: Row, group: RunGroup, agreed: Sequence[Agreement]) -> str:
    lines = []
    for one in agreed:
        places = digits([one.file, one.run, one.difference])
        shift = "-" if one.difference is None else estimate_text(one.difference, places, True)
        sides = [estimate_text(side, places) for side in (one.file, one.run)]
        lines.append([one.label, *sides, shift, one.verdict])
    table = text_table(("", "file", "run", "run less file", ""), lines)
    folders = ", ".join(map(str, group.folders))
    own = row_of("", group, "").prompts
    verdict = _verdict(agreed)
    if own != row.prompts:  # a list may begin with the easy ones
        verdict += (
            f" (of {row.prompts} and {own} prompts, which may differ in how hard they are: what"
            " differs need not be wrong)"
        )
    return f"{row.run} of {file} ({row.benchmark}), and {folders}\n\n{table}\n\n{verdict}"


def _verdict(agreed: Sequence[Agreement]) -> str:
    judged = [one for one in agreed if one.verdict != UNKNOWN]
    wrong = [one.key for one in judged if one.verdict == DIFFERS]
    if not judged:
        return "nothing can be said: an interval is lacking on one side"
    if not wrong:
        return f"they agree within their 95 % intervals, in {_count(len(judged))}"
    return f"they differ in {', '.join(wrong)}, of {_count(len(judged))}; by chance one in 20 does"


def _count(number_: int) -> str:
    return f"{number_} quantit{'y' if number_ == 1 else 'ies'}"


def _unlike(row: Row, own: Row) -> list[str]:
    """What the two were not made alike in, beside their settings."""
    lines = []
    if row.prompts != own.prompts:
        lines.append(f"the file is of {row.prompts} prompts, the run of {own.prompts} of them")
    if row.seeds != own.seeds:
        of = [", ".join(map(str, seeds)) for seeds in (row.seeds, own.seeds)]
        lines.append(f"the file is of seed {of[0]}, the run of seed {of[1]}")
    for name in ("glass", "commit", "torch", "diffusers", "transformers"):
        sides = [_version(side.versions, name) for side in (row, own)]
        if sides[0] != sides[1]:
            lines.append(f"{name} was {sides[0]} in the file, and is {sides[1]} in the run")
    weights = [_weights(side.versions) for side in (row, own)]
    for name in sorted({*weights[0], *weights[1]}):
        a, b = (side.get(name) for side in weights)
        if a and b and a != b:
            lines.append(f"the weights of {name} are others: {a} in the file, {b} in the run")
    return lines


def _version(versions: Sequence[Mapping[str, Any]], name: str) -> str:
    distinct = dict.fromkeys(str(each.get(name) or "not known") for each in versions)
    return ", ".join(distinct) or "not known"


def _weights(versions: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    digests: dict[str, str] = {}
    for each in versions:
        digests |= each.get("weights") or {}
    return digests


def remarks(comparison: Comparison) -> list[str]:
    """Below the table of a comparison: which of its runs should say the same, and do, and what
    papers report of them."""
    lines = []
    base = comparison.runs[comparison.against]
    for index, group in enumerate(comparison.runs):
        alike = deciding_settings(group.runs[0]) == deciding_settings(base.runs[0])
        if index == comparison.against or not alike:
            continue
        apart = []
        for key, cells in comparison.cells.items():
            shift = cells[index].difference
            if shift is not None and shift.interval is not None:
                low, high = shift.interval
                apart += [] if low <= 0.0 <= high else [key]
        how = f"differ in {', '.join(apart)}" if apart else "agree within their intervals"
        lines.append(f"{group.label} and {base.label} have the same settings, and {how}")
    for group in comparison.runs:
        lines += published(group)
    return lines


def published(group: RunGroup) -> list[str]:
    """A table of what a paper reports of a run's settings, beside what was measured.

    Empty where nothing is published, or not with the reward that the run has.
    """
    run = group.runs[0]
    said = run.config.get("published")
    if not isinstance(said, Mapping):
        return []
    typed = any(word.lstrip("+").startswith("reward=") for word in run.overrides)
    values = said.get("values") or {}
    if typed:
        values = (said.get("with_reward") or {}).get(choice_name(run, "reward")) or {}
    own = row_of("", group, "").estimates
    labels = {q.key: q.label.strip() for q in quantities(group.runs)}
    rows = []
    for key, value in values.items():
        if key in own:
            places = digits([own[key], Estimate(value, None, 1)])
            side = _side(value, own[key])
            rows.append([labels[key], estimate_text(own[key], places), number(value, places), side])
    if not rows:
        return []
    head = f"{group.label}: {said.get('source')}"
    other = [word for word in run.overrides if _changes(word)]
    note = [f"with other settings than the published: {', '.join(other)}"] if other else []
    return ["", head, "", text_table(("", "measured", "published", ""), rows), *note]


def _side(value: float, measured: Estimate) -> str:
    if measured.interval is None:
        return UNKNOWN
    low, high = measured.interval
    return "measured above" if value < low else "measured below" if value > high else "within"


def _changes(word: str) -> bool:
    """Whether a typed setting makes the run another than its experiment."""
    key = word.lstrip("+~").partition("=")[0]
    apart = key.partition(".")[0] in ("experiment", "reward") or key in ("seed", *_PLACES)
    return not apart and decides(key)
