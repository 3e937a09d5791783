"""The prompts of a report: pictures, facts and trees, within the size of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from glass_cli.common.messages import say
from glass_cli.output.ancestry import is_steered
from glass_cli.output.results import Particle, Result
from glass_cli.report import data_uris, tables
from glass_cli.report.quantities import mean
from glass_cli.report.tree_layout import TreeLayout, layout

SORT_KEYS = ("answer", "best", "mean")
# Trees take what the pictures leave.
_PICTURES_SHARE = 0.6
_AROUND_PICTURE = 400  # characters of a picture's element beside the picture


@dataclass(frozen=True, slots=True)
class Figure:
    """One picture of the page.

    uri: None where the page had no room for it.
    answer: whether it is the answer among others.
    verdict, reason: the judge's.
    """

    uri: str | None
    alt: str
    caption: str
    answer: bool
    verdict: bool | None
    reason: str


@dataclass(slots=True)
class Card:
    """Everything of one prompt.

    results: its pictures, at least one.
    places: decimals of rewards.
    trees: HTML, with a title for each.

    The rest is worked out when it is asked for: of thousands of prompts it would fill the memory.
    """

    number: int
    results: Sequence[Result]
    places: int
    figures: Sequence[Figure] = ()
    trees: Sequence[tuple[str, str]] = ()

    @property
    def prompt(self) -> str:
        return self.results[0].prompt

    @property
    def task(self) -> str | None:
        return self.results[0].task

    @property
    def sort(self) -> dict[str, float | None]:
        """By what cards can be ordered; None where not known."""
        return {
            "answer": _mean(r.reward for r in self.results),
            "best": _mean(r.best_reward for r in self.results),
            "mean": _mean(r.mean_reward for r in self.results),
        }

    @property
    def correct(self) -> str:
        """right, some or wrong, of its pictures judged so; empty where nobody judged."""
        judged = [r.correct for r in self.results if r.correct is not None]
        return "" if not judged else "right" if all(judged) else "some" if any(judged) else "wrong"

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Names and numbers."""
        names = {"answer": "answer", "best": "best", "mean": "mean particle"}
        sort = self.sort.items()
        facts = [(names[k], f"{v:.{self.places}f}") for k, v in sort if v is not None]
        judged = [r.correct for r in self.results if r.correct is not None]
        if judged:
            facts.append(("judged correct", f"{sum(judged)} of {len(judged)}"))
        lineages = _mean(r.lineages for r in self.results if is_steered(r))
        if lineages is not None:
            facts.append(("lineages left", f"{lineages:.3g} of {self.results[0].started}"))
        nfe = _mean(r.nfe for r in self.results)
        if nfe is not None:
            facts.append(("network calls", f"{nfe:.0f}"))
        if len(self.results) == 1:
            facts.append(("seed", str(self.results[0].seed)))
        return facts


def cards(
    results: Sequence[Result], budget: int, trees: int, render: Callable[[TreeLayout], str]
) -> tuple[list[Card], list[str]]:
    """The prompts' cards, and a line for each kind of thing that was left out.

    budget: characters that pictures and trees may take.
    trees: how many results may have one.
    render: a tree as HTML.

    Raises GlassError for a picture that is none.
    """
    places = tables.decimals((r for result in results for r in result.rewards), 4)
    by_prompt: dict[int, list[Result]] = {}
    for result in results:
        by_prompt.setdefault(result.prompt_index, []).append(result)
    all_cards = [Card(i, tuple(group), places) for i, group in enumerate(by_prompt.values())]
    left, notes = _add_pictures(all_cards, budget)
    return all_cards, notes + _add_trees(all_cards, left, trees, render)


def _add_pictures(all_cards: Sequence[Card], budget: int) -> tuple[int, list[str]]:
    """Gives the cards their pictures; returns what is left of the budget, and notes."""
    paths = [path for card in all_cards for result in card.results for _, path in result.shown]
    side = data_uris.fitting_side(paths, int(_PICTURES_SHARE * budget))
    missing = 0
    for card in all_cards:
        figures = []
        for result in card.results:
            for particle, path in result.shown:
                uri = data_uris.picture(path, side) if budget > 0 else None
                missing += uri is None
                budget -= len(uri or "") + _AROUND_PICTURE
                several = len(card.results) > 1
                figures.append(_figure(result, particle, uri, several, card.places))
        card.figures = tuple(figures)
    note = f"{missing} of {len(paths)} pictures are left out: the page would be too large"
    return budget, [note] * (missing > 0)


def _add_trees(
    all_cards: Sequence[Card], budget: int, trees: int, render: Callable[[TreeLayout], str]
) -> list[str]:
    """Gives the cards the trees of their steered results; returns notes.

    Says in one line which thumbnails are not those of their results.
    """
    shown = bare = left_out = 0
    unusable: list[str] = []
    for card in all_cards:
        drawn = []
        for result in filter(is_steered, card.results):
            if shown >= trees or budget <= 0:
                left_out += 1
                continue
            placed = layout(result)
            unusable += placed.unusable
            html = render(placed)
            if len(html) > budget:
                html = render(layout(result, thumbnails=False))
                bare += 1
            budget -= len(html)
            shown += 1
            several = len(card.results) > 1
            which = f", image {result.image_index}, seed {result.seed}" if several else ""
            drawn.append((f"Tree of {result.started} particles{which}", html))
        card.trees = tuple(drawn)
    notes = []
    if unusable:
        more = f" (and {len(unusable) - 1} more like it)" if len(unusable) > 1 else ""
        notes.append(f"{unusable[0]}{more}; the page is without it")
        say(f"warning: {notes[-1]}")
    if bare:
        notes.append(f"{bare} trees are without thumbnails: the page would be too large")
    if left_out:
        all_trees = shown + left_out
        notes.append(
            f"trees are shown for {shown} of {all_trees} steered results (--trees shows more)"
        )
    return notes


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def _figure(
    result: Result, particle: Particle, uri: str | None, several: bool, places: int
) -> Figure:
    reward = "" if particle.reward is None else f"{particle.reward:.{places}f}"
    name = f"image {result.image_index}" if several else f"particle {particle.index}"
    metrics = [f"{key} {value:.4g}" for key, value in particle.metrics.items()]
    alone = len(result.shown) == 1
    answer = result.chosen == particle.index
    verdict = result.correct if answer or alone else None
    reason = result.judged.get("reason")
    judged = {True: ", judged correct", False: ", judged wrong", None: ""}[verdict]
    return Figure(
        uri,
        f"{result.prompt}; {name}{f', reward {reward}' if reward else ''}{judged}",
        " · ".join([reward or name, *metrics]),
        answer and not alone,
        verdict,
        "" if reason is None or verdict else str(reason),
    )
