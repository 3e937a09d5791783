"""Verdicts on the paper's claims, of invented results that say yes, no or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from invented_results import CALLS, LAW, PAPER, group, of

from glass_cli.report.run_groups import RunGroup
from glass_cli.reproduce.claims import Claim, claims
from glass_cli.reproduce.measured import Measured
from glass_cli.reproduce.plan import Evaluation, Scope, other_budgets
from glass_cli.reproduce.verdicts import Kind, together, verdict


@pytest.mark.parametrize(
    ("kind", "interval", "margin", "said"),
    [
        ("above", (0.1, 2.0), 0.0, "holds"),
        ("above", (-2.0, -0.1), 0.0, "does not hold"),
        ("above", (-0.1, 2.0), 0.0, "undecided"),
        ("above", None, 0.0, "undecided"),
        ("below", (-2.0, -0.1), 0.0, "holds"),
        ("below", (0.1, 2.0), 0.0, "does not hold"),
        ("below", (-0.1, 2.0), 0.0, "undecided"),
        ("not below", (-1.9, 3.0), 2.0, "holds"),
        ("not below", (-1.9, -0.5), 2.0, "holds"),
        ("not below", (-2.1, -0.5), 2.0, "does not hold"),
        ("not below", (-2.1, 0.5), 2.0, "undecided"),
        ("equal", (-0.05, 0.1), 0.1, "holds"),
        ("equal", (0.05, 0.2), 0.1, "does not hold"),
        ("equal", (-0.2, -0.05), 0.1, "does not hold"),
        ("equal", (-0.2, 0.05), 0.1, "undecided"),
    ],
)
def test_verdicts(
    kind: Kind, interval: tuple[float, float] | None, margin: float, said: str
) -> None:
    assert verdict(kind, interval, margin) == said


def test_verdicts_together() -> None:
    assert together([]) == "undecided"
    assert together(["holds", "holds"]) == "holds"
    assert together(["holds", "undecided"]) == "undecided"
    assert together(["holds", "undecided", "does not hold"]) == "does not hold"


def test_results_as_in_the_paper() -> None:
    found = claims(of(PAPER, posterior_mixture={**LAW, **CALLS}, posterior=CALLS))
    assert [claim.verdict for claim in found] == ["holds"] * 6
    versus = found[2].findings[0]
    # the best split of each, by each benchmark; 20 points between shares of common luck
    assert versus.what == "fk_glass_auto_20x20 less best_of_n_20x20, 400 calls, each at its best"
    assert versus.estimate is not None and 15 < versus.estimate.mean < 25
    assert versus.estimate.prompts == 150


def test_results_that_speak_against_it() -> None:
    turned = {name: (1 - right, calls, -reward) for name, (right, calls, reward) in PAPER.items()}
    turned["glass1_50"] = turned["glass2_50"] = (0.3, 50, 0.0)
    law = {("ancestral", 200): 1.5, ("SDE", 200): 1.0}
    calls = {**CALLS, ("GLASS 1", 10): 3.0}
    found = claims(of(turned, posterior_mixture={**law, **calls}, posterior=calls))
    assert [claim.verdict for claim in found] == ["does not hold"] * 6


def test_results_that_say_nothing() -> None:
    """Luck of their own with the same probability; and nothing measured at all."""
    rows = {name: (0.5, calls, 0.0) for name, (_, calls, _) in PAPER.items()}
    luck = of(rows)
    for number, (key, alone) in enumerate(luck.rows.items()):
        rng = np.random.default_rng(number)
        found = [
            replace(
                each,
                reward=float(rng.standard_normal()),
                judged={"correct": bool(rng.random() < 0.5)},
            )
            for each in alone.runs[0].results[:60]
        ]
        run = replace(alone.runs[0], results=tuple(found))
        luck.rows[key] = RunGroup(key[0], (run,))  # type: ignore[index]  # a dictionary
    verdicts = [claim.verdict for claim in claims(luck)]
    assert verdicts == ["not measured"] * 2 + ["undecided"] * 4  # without the studies of two
    nothing = claims(Measured({}, {}, {}))
    assert [claim.verdict for claim in nothing] == ["not measured"] * 6


SPLITS = {"best_of_n_8x50": 0.8, "best_of_n_20x20": 0.4}


def by_seed(**shares: Sequence[float]) -> Measured:
    """Rows of 400 calls, of which seed i is right on the share i."""
    rows, asked = {}, {}
    for name, of_seeds in shares.items():
        runs = [
            run
            for seed, share in enumerate(of_seeds)
            for run in group(name, "compose", (share, 400, 0.0), (seed,)).runs
        ]
        rows[name, "compose"] = RunGroup(name, tuple(runs))
        asked[name, "compose"] = Evaluation(name, name, (), "compose")
    return Measured(rows, asked, {})


def test_the_best_split_is_not_chosen_by_its_own_luck() -> None:
    """Two splits, each lucky with one seed: for each seed the results of the other one choose."""
    found = by_seed(fk_glass_a_20x20=(0.9, 0.5), fk_glass_b_20x20=(0.5, 0.9))
    best = found.at_best("fk_glass", "compose")
    assert best is not None and best.label == "fk_glass_b_20x20 / fk_glass_a_20x20"
    right = sum(bool(result.correct) for result in best.results) / len(best.results)
    assert len(best.results) == 300 and 0.42 < right < 0.58
    # with a single seed there is nothing else to choose by
    alone = {key: RunGroup(key[0], each.runs[:1]) for key, each in found.rows.items()}
    best = replace(found, rows=alone).at_best("fk_glass", "compose")
    assert best is not None and best.label == "fk_glass_a_20x20" and len(best.results) == 150


def test_a_split_of_one_seed_is_compared_on_that_seed() -> None:
    """Its luck with it is not set against another's mean of two, and it does not choose itself."""
    found = by_seed(fk_glass_a_20x20=(0.9, 0.5), fk_glass_b_20x20=(0.8,))
    assert found.best("fk_glass", "compose") == "fk_glass_a_20x20"
    assert found.best_splits()["fk_glass"].name == "fk_glass_a_20x20"
    best = found.at_best("fk_glass", "compose")
    assert best is not None and best.label == "fk_glass_a_20x20" and len(best.results) == 300
    # two splits of which each has a seed of its own are compared by what they have
    apart = {key: RunGroup(key[0], each.runs[-1:]) for key, each in found.rows.items()}
    assert replace(found, rows=apart).best("fk_glass", "compose") == "fk_glass_b_20x20"


def test_one_benchmark_against_it_is_enough() -> None:
    rows = {name: PAPER[name] for name in ("best_of_n_8x50", "fk_glass_schedule_8x50")}
    found = of(rows)
    assert claims(found)[2].verdict == "holds"
    other = group("best_of_n_8x50", "compose", (0.95, 400, 0.0))
    mixed = replace(found, rows={**found.rows, ("best_of_n_8x50", "compose"): other})
    assert claims(mixed)[2].verdict == "does not hold"


def test_the_best_split_is_that_of_each_benchmark() -> None:
    """Best-of-N has two splits on one benchmark and one on the other."""
    both = of({name: (right, 400, 0.0) for name, right in SPLITS.items()})
    rows = {key: each for key, each in both.rows.items() if key != ("best_of_n_8x50", "geneval")}
    found = replace(both, rows=rows)
    assert found.best("best_of_n", "compose") == "best_of_n_8x50"
    assert found.best("best_of_n", "geneval") == "best_of_n_20x20"
    # smaller budgets take a split that both benchmarks have seen
    assert found.best_splits()["best_of_n"].name == "best_of_n_20x20"
    # and a benchmark on which it has none of the whole budget has no say
    few = {key: each for key, each in rows.items() if key[1] == "compose"}
    few["best_of_n_32x5", "geneval"] = group("best_of_n_32x5", "geneval", (0.9, 160, 0.0))
    assert replace(found, rows=few).best_splits()["best_of_n"].name == "best_of_n_8x50"
    # where no split was tried on all of them, the first decides
    apart = {key: each for key, each in rows.items() if key != ("best_of_n_20x20", "compose")}
    first = found.best("best_of_n", next(iter(apart))[1])
    assert replace(found, rows=apart).best_splits()["best_of_n"].name == first
    assert found.best("fk_sde", "geneval") is None and "fk_sde" not in found.best_splits()


def test_a_method_has_its_split_from_the_largest_budget_that_it_was_tried_at() -> None:
    shares = {"bfs_16x10": (0.5, 160, 0.0), "bfs_32x5": (0.7, 160, 0.0), "bfs_16x5": (0.9, 80, 0.0)}
    of_one_budget = {"bfs_falling_400": (0.9, 400, 0.0), "bfs_falling_160": (0.9, 160, 0.0)}
    found = of({**shares, **of_one_budget})
    assert found.best("bfs", "compose", 160) == "bfs_falling_160"
    best = found.best_splits()
    assert best["bfs"].name == "bfs_32x5"
    others = [*other_budgets(best, Scope(benchmarks=("compose",)))]
    assert [(each.name, each.settings) for each in others] == [
        ("bfs_400", ("particles=80", "calls=5")),
        ("bfs_80", ("particles=16", "calls=5")),
    ]


def test_one_split_against_the_best_of_several_decides_nothing() -> None:
    rows = {name: PAPER[name] for name in ("best_of_n_8x50", "best_of_n_20x20")}
    for right in (0.2, 0.9):
        few = of({**rows, "fk_glass_schedule_20x20": (right, 400, 0.0)})
        claim = claims(few)[2]
        assert claim.verdict == "undecided"
        assert claim.findings[0].verdict == ("holds" if right > 0.5 else "does not hold")
    kept = ("best_of_n", "fk_glass_schedule", "fk_glass_auto")
    as_many = of({name: row for name, row in PAPER.items() if name.startswith(kept)})
    assert claims(as_many)[2].verdict == "holds"


def test_a_benchmark_of_small_budgets_alone_is_shown_beside() -> None:
    """Nor do smaller budgets' splits count for those of the whole."""
    both = of(PAPER)
    rows = {key: each for key, each in both.rows.items() if key[1] == "compose"}
    small = {"best_of_n_32x5": 0.5, "best_of_n_160": 0.4, "fk_glass_160": 0.7}
    beside = {
        (name, "geneval"): group(name, "geneval", (right, 160, 0.0))
        for name, right in small.items()
    }
    alone, mixed = (claims(replace(both, rows=r)) for r in (rows, {**rows, **beside}))
    assert [claim.verdict for claim in mixed] == [claim.verdict for claim in alone]
    assert [c.verdict for c in alone][2:] == ["holds"] * 4
    known = [f for claim in mixed for f in claim.findings if f.estimate is not None]
    shown = [f.what for f in known if f.where == "geneval"]
    assert shown == ["fk_glass_160 less best_of_n_32x5, 160 calls, each at its best"]
    more = {(n, "compose"): group(n, "compose", (0.2, 80, 0.0)) for n in ("best_of_n_80",)}
    assert claims(replace(both, rows={**rows, **more}))[2].verdict == "holds"


def test_a_benchmark_without_room_above_decides_nothing_unless_it_speaks_against() -> None:
    """On GenEval best-of-N is right on nearly all: there no method can be told to be better."""
    rows = {name: PAPER[name] for name in ("best_of_n_8x50", "fk_glass_schedule_8x50")}
    both = of(rows)

    def with_geneval(base: float, run: float) -> Claim:
        beside = {
            ("best_of_n_8x50", "geneval"): group("best_of_n_8x50", "geneval", (base, 400, 0.0)),
            ("fk_glass_schedule_8x50", "geneval"): group(
                "fk_glass_schedule_8x50", "geneval", (run, 400, 0.0)
            ),
        }
        return claims(replace(both, rows={**both.rows, **beside}))[2]

    for base, run, verdict_there, expected in (
        (1.0, 1.0, "undecided", "holds"),
        (0.5, 0.5, "undecided", "undecided"),  # there is room, and nothing of it is taken
        (1.0, 0.6, "does not hold", "does not hold"),
    ):
        claim = with_geneval(base, run)
        there = next(f for f in claim.findings if f.where == "geneval")
        assert (there.verdict, claim.verdict) == (verdict_there, expected)
        assert there.decides == (expected != "holds")


def test_a_falling_number_of_particles_is_shown_beside() -> None:
    """Whatever it reached, at the budgets at which it was drawn."""
    both = of({"fk_glass_schedule_40x10": (0.5, 400, 0.0), "best_of_n_40x10": (0.5, 400, 0.0),
               "best_of_n_160": (0.4, 160, 0.0)})  # fmt: skip
    falling = of({f"fk_glass_falling_{b}": (0.9, b, 0.0) for b in (400, 160, 80)})
    found = claims(replace(both, rows={**both.rows, **falling.rows}))[2]
    whats = {each.what: each for each in found.findings if each.what.startswith("fk_glass_falling")}
    assert [*whats] == [
        "fk_glass_falling_400 less best_of_n_40x10, 400 calls, the latter at its best",
        "fk_glass_falling_160 less best_of_n_160, 160 calls, the latter at its best",
    ]
    assert all(each.verdict == "holds" and not each.decides for each in whats.values())
    assert found.verdict == claims(both)[2].verdict == "undecided"


def test_a_planned_budget_is_a_claim_of_its_own() -> None:
    found = claims(of({"best_of_n_8x50": (0.5, 400, 0.0), "auto_400": (0.7, 400, 0.0)}))
    assert len(found) == 7 and found[-1].verdict == "holds"


def test_a_search_is_a_claim_of_its_own() -> None:
    """Against best-of-N at its best split, here the second."""
    rows = {"best_of_n_8x50": (0.3, 400, 0.0), "best_of_n_20x20": (0.5, 400, 0.0)}
    found = claims(of({**rows, "evolution_80x5": (0.7, 400, 0.0)}))
    assert found[-1].sentence.startswith("Evolutionary search") and found[-1].verdict == "holds"
    assert {f.rows for f in found[-1].findings} == {("evolution_80x5", "best_of_n_20x20")}
    level = claims(of({**rows, "evolution_80x5": (0.5, 400, 0.0)}))
    assert level[-1].verdict != "holds" and len(claims(of(rows))) == len(found) - 1
