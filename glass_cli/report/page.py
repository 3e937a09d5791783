"""`glass report`: one run as one HTML page that needs nothing else."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glass_cli.common.files import atomic_write, writing_to
from glass_cli.common.version import __version__
from glass_cli.output.results import Run
from glass_cli.report import data_uris, tables
from glass_cli.report.cards import SORT_KEYS, cards
from glass_cli.report.charts import charts
from glass_cli.report.labels import choice_name
from glass_cli.report.quantities import Estimate, estimate_of, quantities
from glass_cli.report.run_groups import SWEEP_FILE
from glass_cli.report.tree_layout import TreeLayout

if TYPE_CHECKING:
    from jinja2 import Environment

MEGABYTES = 24.0
TREES = 24
_GROUPS = ("model", "sampler", "steering", "reward")


def write_report(run: Run, out: Path, megabytes: float = MEGABYTES, trees: int = TREES) -> str:
    """Writes the page of ``run`` to ``out``; returns a line that says so.

    megabytes: the page stays below as long as its text alone does: pictures are made smaller, then
        left out.
    trees: how many steered results get a tree.

    Raises GlassError for a picture that is none, or a file that cannot be written.
    """
    pieces = _pieces(run, megabytes, trees)
    with writing_to(out, "name another file with -o"):
        out.parent.mkdir(parents=True, exist_ok=True)
        # piece by piece: the text of thousands of prompts would be in memory several times
        with atomic_write(out) as part, part.open("w", encoding="utf-8", newline="") as file:
            file.writelines(pieces)
        size = out.stat().st_size
    return f"wrote {out} ({size / 1e6:.1f} MB)"


def page(run: Run, megabytes: float = MEGABYTES, trees: int = TREES) -> str:
    """The page of ``run`` as HTML, in the limits of :func:`write_report`."""
    return "".join(_pieces(run, megabytes, trees))


def _pieces(run: Run, megabytes: float, trees: int) -> Iterator[str]:
    by_prompt, notes = cards(run.results, int(megabytes * 1e6), trees, _tree_html)
    choices = {group: choice_name(run, group) for group in _GROUPS}
    numbers, drawn = _numbers(run), charts(run)
    several = len({r.prompt_index for r in run.results}) > 1
    pieces = (
        _environment()
        .get_template("report.html.j2")
        .generate(
            name=_name(run.folder.resolve()),
            version=__version__,
            kind=run.command,
            command=shlex.join(["glass", run.command, *map(_typed, run.overrides)]),
            headline=_headline(run),
            numbers=numbers,
            averaged=_averaged(numbers, several),
            costs=_costs(run),
            charts=drawn,
            over_time=any(chart.over_time for chart in drawn),
            several=several,
            density=_density(run),
            groups=[
                (f"{group}: {name}", _set(run.config[group]))
                for group, name in choices.items()
                if name
            ],
            settings=_flat(run.config),
            cards=by_prompt,
            judged=any(r.correct is not None for r in run.results),
            sorts=[k for k in SORT_KEYS if any(card.sort[k] is not None for card in by_prompt)],
            notes=notes,
        )
    )
    # HTML has no zero byte: some browsers leave it out, some put this in its place
    return (piece.replace("\x00", "\ufffd") for piece in pieces)


def _name(folder: Path) -> str:
    """The folder's name, of a sweep's job with the sweep's, whose jobs are called 0, 1, 2."""
    sweep = folder.parent
    return f"{sweep.name}/{folder.name}" if (sweep / SWEEP_FILE).is_file() else folder.name


def _typed(word: str) -> str:
    """An override as the user may type it: glass itself quotes free text for Hydra."""
    prompt = re.fullmatch(r"((?:negative_)?prompts?)=(.*)", word, re.DOTALL)
    if prompt is None:
        return word
    key, text = prompt.groups()
    if quoted := re.fullmatch(r"'(.*)'", text, re.DOTALL):
        text = quoted[1].replace("\\'", "'")
    else:  # in a list, as a job of a sweep gets it
        text = text.replace("\\ ", " ")
    return f"{key}={text}"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader

    # Prompts are anybody's text: everything is escaped but what this package marks as safe.
    return Environment(
        loader=PackageLoader("glass_cli.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _headline(run: Run) -> str:
    names = [choice_name(run, group) for group in _GROUPS]
    path = run.config.get("model", {})
    model = path.get("path") if isinstance(path, Mapping) else None
    parts = [run.summary.get("benchmark"), model or names[0], *names[1:]]
    return " · ".join(str(part) for part in parts if part)


def _numbers(run: Run) -> list[tuple[str, str, int]]:
    """Label, mean with interval, and over how many prompts, 0 where that is not known.

    A benchmark's own scores are those of the summary; what else results have is averaged here.
    """
    scores = {
        name.replace("_", " "): Estimate(score.mean, score.interval, score.prompts or 0)
        for name, score in run.scores.items()
    }
    places = min(tables.digits(scores.values()), 3)
    rows = [
        (name, tables.estimate_text(score, places), score.prompts) for name, score in scores.items()
    ]
    for quantity in quantities([run]):
        estimate = estimate_of(run.results, quantity)
        verdict = quantity.key.partition(".")[0] in ("correct", "one_correct")
        scored = verdict or quantity.key.removeprefix("judged.") in run.scores
        if estimate is not None and not (run.scores and scored):
            text = tables.estimate_text(estimate, tables.digits([estimate]))
            rows.append((quantity.label, text, estimate.prompts))
    return rows


def _averaged(numbers: Sequence[tuple[str, str, int]], several: bool) -> str:
    """What the numbers are means of; of their intervals where there are any."""
    intervals = any(text.endswith("]") for _, text, _ in numbers)
    if several:
        return "Mean over prompts [95 % bootstrap]" if intervals else "Mean over prompts"
    return "Of one prompt [95 % bootstrap over its results]" if intervals else "Of one prompt"


def _costs(run: Run) -> list[tuple[str, str]]:
    results = run.results
    prompts = len({r.prompt_index for r in results})
    rows = [("prompts", str(prompts)), ("results", str(len(results)))]
    for label, values, places in (
        ("network calls a result", [r.nfe for r in results], 0),
        ("reward calls a result", [r.reward_calls for r in results], 0),
        ("seconds a result", [r.seconds for r in results], 1),
    ):
        known = [value for value in values if value is not None]
        if known:
            rows.append((label, tables.number(sum(known) / len(known), places)))
    for label, key, unit, places in (
        ("network calls of the pilot", "pilot_nfe", 1.0, 0),
        ("seconds in all", "seconds", 1.0, 1),
        ("peak memory, MiB", "peak_memory_bytes", 2.0**20, 0),
    ):
        value = run.summary.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            rows.append((label, tables.number(value / unit, places)))
    if devices := run.summary.get("devices"):
        rows.append(("device", _shown(devices)))
    if dtypes := run.summary.get("dtypes"):
        rows.append(("number type of the network", _shown(dtypes)))
    return rows


def _density(run: Run) -> str | None:
    path = run.folder / "density.png"
    return data_uris.picture(path, 900) if path.is_file() else None


def _flat(node: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Dotted key and value of every leaf of the settings."""
    if not isinstance(node, Mapping):
        return [(prefix, _shown(node))]
    leaves = []
    for key, value in node.items():
        leaves += _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return leaves


def _set(node: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a group sets: its keys that are not null, its class left to the heading."""
    return [(k, v) for k, v in _flat(node) if k != "_target_" and v != "null"]


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        shown = [_shown(item) for item in value[:12]]
        more = [f"... {len(value) - 12} more"] * (len(value) > 12)
        return ", ".join([*shown, *more])
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _tree_html(tree: TreeLayout) -> str:
    return _environment().get_template("tree.html.j2").render(tree=tree)
