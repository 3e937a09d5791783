"""`glass report`: one run as one HTML page that needs nothing else."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glass_cli.common.files import atomic_write, writing_to
from glass_cli.common.version import __version__
from glass_cli.output.results import Particle, Result, Run
from glass_cli.report import album, tables
from glass_cli.report.charts import charts
from glass_cli.report.drawn_tree import DrawnTree, drawn
from glass_cli.report.quantities import estimate_of, mean, quantities
from glass_cli.report.tree import steered

if TYPE_CHECKING:
    from jinja2 import Environment

MEGABYTES = 24.0
TREES = 24
_SORTS = ("chosen", "best", "mean")
_GROUPS = ("model", "sampler", "steering", "reward")
# Trees take what the pictures leave.
_PICTURES_SHARE = 0.6


@dataclass(frozen=True)
class Figure:
    """One picture of the page; ``uri`` is None where the page had no room for it."""

    uri: str | None
    alt: str
    caption: str
    answer: bool
    verdict: bool | None
    reason: str


@dataclass
class Card:
    """Everything of one prompt. ``trees`` are HTML, with the words above each."""

    number: int
    prompt: str
    task: str | None
    facts: list[tuple[str, str]]
    sort: dict[str, float | None]
    correct: str
    figures: list[Figure] = field(default_factory=list)
    trees: list[tuple[str, str]] = field(default_factory=list)


def write_report(run: Run, out: Path, megabytes: float = MEGABYTES, trees: int = TREES) -> str:
    """Writes the page of ``run`` to ``out``; returns a line that says so.

    The page stays under ``megabytes`` as long as its text alone does: pictures are made smaller,
    then left out. At most ``trees`` steered runs get a tree. Raises GlassError for a picture that
    is none, or a file that cannot be written.
    """
    html = page(run, megabytes, trees)
    with writing_to(out, "name another file with -o"):
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(out) as part:
            part.write_text(html, encoding="utf-8")
    return f"wrote {out} ({len(html.encode()) / 1e6:.1f} MB)"


def page(run: Run, megabytes: float = MEGABYTES, trees: int = TREES) -> str:
    """The page of ``run`` as HTML."""
    budget = int(megabytes * 1e6)
    cards, notes = _cards(run, budget, trees)
    environment = _environment()
    return environment.get_template("report.html.j2").render(
        name=run.folder.resolve().name,
        version=__version__,
        kind=run.kind,
        command=shlex.join(["glass", run.kind, *map(_typed, run.overrides)]),
        headline=_headline(run),
        numbers=_numbers(run),
        costs=_costs(run),
        charts=charts(run),
        density=_density(run),
        groups=[(f"{g}: {run.choice(g)}", _set(run.config[g])) for g in _GROUPS if run.choice(g)],
        settings=_flat(run.config),
        cards=cards,
        judged=any(r.correct is not None for r in run.results),
        sorts=[key for key in _SORTS if any(card.sort[key] is not None for card in cards)],
        notes=notes,
    )


def _typed(word: str) -> str:
    """An override as the user may type it: glass itself quotes free text for Hydra."""
    match = re.fullmatch(r"((?:negative_)?prompts?)='(.*)'", word, re.DOTALL)
    return word if match is None else f"{match[1]}={match[2]}".replace("\\'", "'")


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
    names = [run.choice(group) for group in _GROUPS]
    path = run.config.get("model", {})
    model = path.get("path") if isinstance(path, Mapping) else None
    what = [run.summary.get("benchmark"), model or names[0], *names[1:]]
    return " · ".join(str(name) for name in what if name)


def _numbers(run: Run) -> list[tuple[str, str, int]]:
    """Label, mean with interval, and over how many prompts."""
    found = []
    for quantity in quantities([run]):
        estimate = estimate_of(run.results, quantity)
        if estimate is not None:
            text = tables.spelled(estimate, tables.digits([estimate]))
            found.append((quantity.label, text, estimate.prompts))
    return found


def _costs(run: Run) -> list[tuple[str, str]]:
    results = run.results
    found = [("prompts", str(len({r.prompt for r in results}))), ("results", str(len(results)))]
    for label, values, places in (
        ("network calls a result", [r.nfe for r in results], 0),
        ("reward calls a result", [r.reward_calls for r in results], 0),
        ("seconds a result", [r.seconds for r in results], 1),
    ):
        known = [value for value in values if value is not None]
        if known:
            found.append((label, tables.number(sum(known) / len(known), places)))
    for label, key, unit, places in (
        ("seconds in all", "seconds", 1.0, 1),
        ("peak memory, MiB", "peak_memory_bytes", 2.0**20, 0),
    ):
        value = run.summary.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found.append((label, tables.number(value / unit, places)))
    devices = run.summary.get("devices", run.summary.get("device"))
    if devices:
        found.append(("device", _shown(devices)))
    return found


def _density(run: Run) -> str | None:
    path = run.folder / "density.png"
    return album.picture(path, 900) if path.is_file() else None


def _flat(node: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Dotted key and value of every leaf of the settings."""
    if not isinstance(node, Mapping):
        return [(prefix, _shown(node))]
    found = []
    for key, value in node.items():
        found += _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return found


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


def _cards(run: Run, budget: int, trees: int) -> tuple[list[Card], list[str]]:
    """The prompts' cards, within ``budget`` characters, and what was left out."""
    places = tables.decimals((r for result in run.results for r in result.rewards), 4)
    groups: dict[tuple[str, int], list[Result]] = {}
    for result in run.results:
        groups.setdefault((result.prompt, result.prompt_index), []).append(result)
    paths = [p.picture for r in run.results for p in r.particles if p.picture is not None]
    side = album.fitting_side(paths, int(_PICTURES_SHARE * budget))
    left = budget
    cards, missing, bare, treeless = [], 0, 0, 0
    many = sum(map(steered, run.results))
    for number, ((prompt, _), results) in enumerate(groups.items()):
        card = _card(number, prompt, results, places)
        for result, particle in ((r, p) for r in results for p in r.particles):
            if particle.picture is None:
                continue
            uri = album.picture(particle.picture, side) if left > 0 else None
            missing += uri is None
            left -= len(uri or "") + 400
            card.figures.append(_figure(result, particle, uri, len(results) > 1, places))
        cards.append(card)
    made = 0
    for card, results in zip(cards, groups.values(), strict=True):
        for result in filter(steered, results):
            if made >= trees or left <= 0:
                treeless += 1
                continue
            tree = drawn(result, f"t{made}")
            html = _tree_html(tree)
            if len(html) > left:
                tree = drawn(result, f"t{made}", thumbnails=False)
                html = _tree_html(tree)
                bare += 1
            left -= len(html)
            made += 1
            card.trees.append((_above(result, len(results) > 1), html))
    notes = []
    if missing:
        notes.append(
            f"{missing} of {len(paths)} pictures are left out: the page would be too large"
        )
    if bare:
        notes.append(f"{bare} trees are without thumbnails: the page would be too large")
    if treeless:
        notes.append(f"trees are shown for {made} of {many} steered results (--trees shows more)")
    return cards, notes


def _card(number: int, prompt: str, results: Sequence[Result], places: int) -> Card:
    def mean_of(values: Iterator[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return mean(known) if known else None

    sort = {
        "chosen": mean_of(r.chosen_reward for r in results),
        "best": mean_of(r.best_reward for r in results),
        "mean": mean_of(r.mean_reward for r in results),
    }
    labels = {"chosen": "answer", "best": "best", "mean": "mean particle"}
    facts = [(labels[k], f"{v:.{places}f}") for k, v in sort.items() if v is not None]
    judged = [r.correct for r in results if r.correct is not None]
    if judged:
        facts.append(("judged correct", f"{sum(judged)} of {len(judged)}"))
    lineages = mean_of(r.lineages for r in results if steered(r))
    if lineages is not None:
        facts.append(("lineages left", f"{lineages:.3g} of {len(results[0].rewards)}"))
    nfe = mean_of(r.nfe for r in results)
    if nfe is not None:
        facts.append(("network calls", f"{nfe:.0f}"))
    if len(results) == 1:
        facts.append(("seed", str(results[0].seed)))
    correct = "" if not judged else "right" if all(judged) else "some" if any(judged) else "wrong"
    return Card(number, prompt, results[0].task, facts, sort, correct)


def _figure(
    result: Result, particle: Particle, uri: str | None, several: bool, places: int
) -> Figure:
    reward = "" if particle.reward is None else f"{particle.reward:.{places}f}"
    name = f"image {result.image_index}" if several else f"particle {particle.index}"
    extra = [f"{key} {value:.4g}" for key, value in particle.metrics.items()]
    answer = result.chosen == particle.index
    alone = len(result.particles) == 1
    verdict = result.correct if answer or alone else None
    reason = result.judged.get("reason")
    told = {True: ", judged correct", False: ", judged wrong", None: ""}[verdict]
    alt = f"{result.prompt}; {name}{f', reward {reward}' if reward else ''}{told}"
    return Figure(
        uri,
        alt,
        " · ".join([reward or name, *extra]),
        answer and not alone,
        verdict,
        "" if reason is None or verdict else str(reason),
    )


def _above(result: Result, several: bool) -> str:
    which = f", image {result.image_index}, seed {result.seed}" if several else ""
    return f"Tree of {len(result.rewards)} particles{which}"


def _tree_html(tree: DrawnTree) -> str:
    return _environment().get_template("tree.html.j2").render(tree=tree)
