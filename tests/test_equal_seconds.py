"""Methods beside best-of-N of the same seconds: hand-made runs, whose interpolation is known."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from invented_results import group, of

from glass_cli.report.run_groups import RunGroup
from glass_cli.reproduce.equal_seconds import at_equal_seconds, best_of_n, seconds
from glass_cli.reproduce.pages import write_pages
from glass_cli.reproduce.plan import Scope, command


def taking(one: RunGroup, time: float) -> RunGroup:
    """The same with so many seconds a picture."""
    runs = [
        replace(run, results=tuple(replace(result, seconds=time) for result in run.results))
        for run in one.runs
    ]
    return RunGroup(one.label, tuple(runs))


def _right(one: RunGroup) -> float:
    return 100 * sum(bool(result.correct) for result in one.results) / len(one.results)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_between_two_budgets_it_rises_with_the_logarithm(share: float) -> None:
    low, high = group("a", "compose", (0.4, 80, 0.0)), group("b", "compose", (0.8, 400, 0.0))
    own = taking(group("c", "compose", (0.7, 160, 0.0)), 2.0 ** (1 + 2 * share))
    bases = [(2.0, taking(low, 2.0)), (8.0, taking(high, 8.0))]
    found = at_equal_seconds(own, bases)
    assert found is not None and found.prompts == 150
    expected = _right(own) - (1 - share) * _right(low) - share * _right(high)
    assert found.mean == pytest.approx(expected)
    assert found.interval is not None and found.interval[0] < found.mean < found.interval[1]


def test_where_best_of_n_took_no_such_time_there_is_none() -> None:
    own = group("c", "compose", (0.7, 160, 0.0))
    bases = [(2.0, taking(own, 2.0)), (8.0, taking(own, 8.0))]
    for time in (1.9, 8.1):
        assert at_equal_seconds(taking(own, time), bases) is None
    assert at_equal_seconds(taking(own, 4.0), bases[:1]) is None
    runs = tuple(
        replace(run, results=tuple(replace(r, seconds=None) for r in run.results))
        for run in own.runs
    )
    assert seconds(RunGroup("c", runs)) is None
    assert at_equal_seconds(RunGroup("c", runs), bases) is None
    assert at_equal_seconds(taking(own, 4.0), bases, "no such quantity") is None


def test_a_row_that_took_longer_than_a_better_one_does_not_count() -> None:
    """A slow machine, or a method that asks the reward often."""
    shares = {"best_of_n_dropping_160": 0.7, "best_of_n_32x5": 0.6, "best_of_n_40x10": 0.8}
    found = of({name: (right, 400, 0.0) for name, right in shares.items()})
    times = {"best_of_n_dropping_160": 3.0, "best_of_n_32x5": 1.0, "best_of_n_40x10": 2.0}
    rows = {key: taking(each, times[key[0]]) for key, each in found.rows.items()}
    kept = best_of_n(replace(found, rows=rows), "compose")
    assert [(time, each.label) for time, each in kept] == [
        (1.0, "best_of_n_32x5"), (2.0, "best_of_n_40x10")
    ]  # fmt: skip


def test_the_page_has_it_beside_that_of_equal_calls(tmp_path: Path) -> None:
    """Steering of 160 calls takes as long as best-of-N of 400: it is ahead of the one of as many
    calls, and level with the one of as many seconds."""
    found = of(
        {
            "best_of_n_80x5": (0.8, 400, 0.0),
            "best_of_n_160": (0.6, 160, 0.0),
            "fk_glass_160": (0.8, 160, 0.0),
        }
    )
    times = {"best_of_n_80x5": 4.0, "best_of_n_160": 2.0, "fk_glass_160": 4.0}
    rows = {key: taking(each, times[key[0]]) for key, each in found.rows.items()}
    found = replace(found, rows=rows)
    assert [time for time, _ in best_of_n(found, "compose")] == [2.0, 4.0]
    write_pages(tmp_path, "embedded", found, lambda each: command(each, Scope(), (0, 1)))
    page = (tmp_path / "embedded.md").read_text()
    line = next(line for line in page.splitlines() if line.startswith("| `fk_glass_160`"))
    calls, time = (cell.strip() for cell in line.split("|")[-3:-1])
    own = next(line for line in page.splitlines() if line.startswith("| `best_of_n_160`"))
    assert own.split("|")[-2].strip() == "-"
    assert float(calls.split()[0]) > 10 and math.isclose(float(time.split()[0]), 0.0)
    assert "less that of the same seconds" in page and "evenly with the logarithm" in page
