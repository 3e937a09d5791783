"""The claims of the paper (GLASS Flows, arXiv 2509.25170), each tested on what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from glass_cli.report.quantities import Estimate
from glass_cli.report.run_groups import RunGroup
from glass_cli.reproduce.measured import CORRECT, REWARD, Measured
from glass_cli.reproduce.plan import BUDGET, SMALLER
from glass_cli.reproduce.verdicts import (
    HOLDS,
    NOT_MEASURED,
    UNDECIDED,
    Kind,
    Verdict,
    together,
    verdict,
)

# Differences that are of no consequence: points of the share that is right, and a share of the
# squared distance between two samples of the same law.
POINTS, SHARE = 2.0, 0.1


class Finding(NamedTuple):
    """One test of a claim.

    what: the difference that is estimated, in words.
    where: the benchmark or study.
    unit: of the estimate.
    estimate: None where it was not measured.
    decides: whether the claim's verdict rests on it; others are shown beside.
    rows: the names of the rows of the results that it compares.
    """

    what: str
    where: str
    unit: str
    kind: Kind
    margin: float
    estimate: Estimate | None
    decides: bool
    rows: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        interval = None if self.estimate is None else self.estimate.interval
        return verdict(self.kind, interval, self.margin)


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper and what was found here; ``note`` says how it is tested."""

    sentence: str
    note: str
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        if all(finding.estimate is None for finding in self.findings):
            return NOT_MEASURED
        return together(finding.verdict for finding in self.findings if finding.decides)


def claims(measured: Measured) -> list[Claim]:
    """Every claim of the paper, in its order, and this program's own where it was measured."""
    note = (
        "Not the paper's, but this program's: the share of right answers, less that of best-of-N at"
        " its best split."
    )
    own = [
        Claim(f"{what} beats best-of-N at the same number of calls.", note, tuple(findings))
        for what, findings in (
            ("A planned budget (steering=auto)", _planned(measured)),
            ("Evolutionary search (steering=evolution)", _searched(measured)),
        )
    ]
    return [*_of_the_paper(measured), *(claim for claim in own if claim.findings)]


def _of_the_paper(measured: Measured) -> list[Claim]:
    return [
        Claim(
            "GLASS's transitions have the law of the SDE's.",
            "Draws of p(x_1 | x_t) by the SDE (ancestral, 200 calls) against such by GLASS (400"
            " calls), in a mixture of Gaussians whose denoiser is exact: the squared sliced"
            " Wasserstein distance, less that between two samples of GLASS, as a share of it.",
            tuple(_law(measured)),
        ),
        Claim(
            "GLASS needs fewer network calls than the SDE for the same error.",
            "The same draws and distances at few calls: GLASS less the Euler-Maruyama SDE. What"
            " decides is the paper's first order at equal calls.",
            tuple(_calls(measured)),
        ),
        Claim(
            "Feynman-Kac steering with GLASS beats best-of-N at the same number of calls.",
            "The share of right answers by FK steering with GLASS, less that of the best of N ODE"
            " runs, of which the worst may be dropped on the way, paired by prompt and seed. What"
            " decides is each at its best split and times, chosen for each seed by the results of"
            " the other seeds, where no fewer splits of GLASS were run than of the other; the"
            " paper's split, the reward, smaller budgets and a falling number of particles"
            " (fk_glass_falling) are shown beside.",
            (*_steering(measured, "best_of_n", "best_of_n_8x50"), *_falling(measured)),
        ),
        Claim(
            "Feynman-Kac steering with GLASS beats Feynman-Kac steering with the SDE.",
            "As above, against FK steering with Euler-Maruyama transitions.",
            tuple(_steering(measured, "fk_sde", "fk_sde_schedule_8x50")),
        ),
        Claim(
            "With GLASS there is no trade-off between stochasticity and efficiency.",
            f"One particle of 50 calls: the share of right pictures by GLASS, less that by the ODE,"
            f" is not below -{POINTS:g} points. The SDE's is shown beside.",
            tuple(_alone(measured)),
        ),
        Claim(
            "Reward guidance on top of Feynman-Kac steering with GLASS helps.",
            "The same run with guidance less that without: the reward rises, and more answers are"
            " right. What decides is 8 particles of 50 calls, as in the paper.",
            tuple(_guidance(measured)),
        ),
    ]


_UNITS = {CORRECT: "points right", REWARD: "reward"}


def _paired(
    run: RunGroup | str,
    base: RunGroup | str,
    benchmark: str,
    quantity: str = CORRECT,
    *,
    more: str = "",
    kind: Kind = "above",
    margin: float = 0.0,
    decides: bool = False,
) -> Finding:
    """run - base; of one that was not measured its name.

    Undecided, it does not decide where the base is right so often that even a run that is always
    right could not be told to be better.
    """
    groups = [None if isinstance(side, str) else side for side in (run, base)]
    names = [side if isinstance(side, str) else side.label for side in (run, base)]
    estimate = Measured.difference(groups[0], groups[1], quantity)
    rows = tuple(row for name in names for row in name.split(" / "))
    what = f"{names[0]} less {names[1]}{more}"
    finding = Finding(what, benchmark, _UNITS[quantity], kind, margin, estimate, decides, rows)
    if decides and kind == "above" and quantity == CORRECT and finding.verdict == UNDECIDED:
        room = None if groups[1] is None else Measured.room(groups[1])
        if room is not None and verdict(kind, room.interval) != HOLDS:
            return finding._replace(decides=False)
    return finding


def _law(measured: Measured) -> Iterator[Finding]:
    distance = partial(measured.squared_distance, "posterior_mixture")
    for name, method, decides in (
        ("SDE (ancestral)", "ancestral", True),
        ("SDE (Euler-Maruyama)", "SDE", False),
    ):
        yield Finding(
            f"{name} at 200 calls less GLASS", "posterior_mixture", "of the squared floor",
            "equal", SHARE, distance(method, 200, None), decides, ("posterior_mixture",),
        )  # fmt: skip


def _calls(measured: Measured) -> Iterator[Finding]:
    for study in ("posterior", "posterior_mixture"):
        for method, calls, sde in (("GLASS 1", 10, 10), ("GLASS 1", 10, 20), ("GLASS 2", 10, 20)):
            yield Finding(
                f"{method} at {calls} calls less SDE at {sde}", study, "squared distance", "below",
                0.0, measured.squared_distance(study, method, calls, ("SDE", sde)),
                method == "GLASS 1" and calls == sde, (study,),
            )  # fmt: skip


def _steering(measured: Measured, other: str, same_split: str) -> Iterator[Finding]:
    at_whole = [b for b in measured.benchmarks if measured.best("fk_glass", b)]
    at_whole = [b for b in at_whole if measured.best(other, b)] or measured.benchmarks
    paper = _where(measured, "fk_glass_schedule_8x50", same_split)
    for benchmark in measured.benchmarks:
        for budget in (BUDGET, *SMALLER):
            run = measured.at_best("fk_glass", benchmark, budget)
            base = measured.at_best(other, benchmark, budget)
            whole = budget == BUDGET
            known = run is not None and base is not None
            if not (benchmark in at_whole if whole else known):
                continue
            sides, more = (run or "fk_glass", base or other), f", {budget} calls, each at its best"
            # the best of many splits against that of a few says nothing of the methods
            tried = [measured.splits(method, benchmark, budget) for method in ("fk_glass", other)]
            yield _paired(*sides, benchmark, more=more, decides=whole and tried[0] >= tried[1])
            if whole:
                yield _paired(*sides, benchmark, REWARD, more=more)
        if benchmark in paper:
            sides = _rows(measured, "fk_glass_schedule_8x50", same_split, benchmark)
            yield _paired(*sides, benchmark)
            yield _paired(*sides, benchmark, REWARD)


def _falling(measured: Measured) -> Iterator[Finding]:
    """Where the number of GLASS particles falls on the way, as that of best-of-N may."""
    for budget in (BUDGET, *SMALLER):
        for benchmark in measured.benchmarks:
            run = measured.row(f"fk_glass_falling_{budget}", benchmark)
            base = measured.at_best("best_of_n", benchmark, budget)
            if run is not None and base is not None:
                more = f", {budget} calls, the latter at its best"
                yield _paired(run, base, benchmark, more=more)


def _alone(measured: Measured) -> Iterator[Finding]:
    for run, base in (("glass1_50", "ode1_50"), ("glass2_50", "ode2_50"), ("sde_50", "ode1_50")):
        for benchmark in _where(measured, run, base):
            yield _paired(
                *_rows(measured, run, base, benchmark), benchmark,
                kind="not below", margin=POINTS, decides=run.startswith("glass"),
            )  # fmt: skip


def _guidance(measured: Measured) -> Iterator[Finding]:
    for split in ("8x50", "20x20"):
        run, base = f"fk_glass_guidance_{split}", f"learned_fk_glass_schedule_{split}"
        for benchmark in _where(measured, run, base):
            sides = _rows(measured, run, base, benchmark)
            for quantity in (REWARD, CORRECT):
                yield _paired(*sides, benchmark, quantity, decides=split == "8x50")


def _planned(measured: Measured) -> Iterator[Finding]:
    for budget in (BUDGET, *SMALLER):
        for benchmark in measured.benchmarks:
            run = measured.row(f"auto_{budget}", benchmark)
            if run is not None:
                base = measured.at_best("best_of_n", benchmark, budget) or "best_of_n"
                more, whole = f", {budget} calls", budget == BUDGET
                yield _paired(run, base, benchmark, more=more, decides=whole)


def _searched(measured: Measured) -> Iterator[Finding]:
    for budget in (BUDGET, *SMALLER):
        for benchmark in measured.benchmarks:
            run = measured.at_best("evolution", benchmark, budget)
            if run is not None:
                base = measured.at_best("best_of_n", benchmark, budget) or "best_of_n"
                more, whole = f", {budget} calls, each at its best", budget == BUDGET
                yield _paired(run, base, benchmark, more=more, decides=whole)


def _where(measured: Measured, run: str, base: str) -> list[str]:
    """The benchmarks on which both rows were measured; all where there is none."""
    both = [b for b in measured.benchmarks if measured.row(run, b) and measured.row(base, b)]
    return both or measured.benchmarks


def _rows(
    measured: Measured, run: str, base: str, benchmark: str
) -> tuple[RunGroup | str, RunGroup | str]:
    return measured.row(run, benchmark) or run, measured.row(base, benchmark) or base
