"""The repository's own results can be compared with picture by picture, and drawn on."""

from __future__ import annotations

import csv

import pytest
from conftest import REPOSITORY

from glass_cli.output.run_file import SUFFIX, read_run_file

RESULTS = REPOSITORY / "docs" / "results"


def _rows() -> list[tuple[str, str, str]]:
    """Row, benchmark and seed of every run on the page."""
    with (RESULTS / "embedded.csv").open(encoding="utf-8", newline="") as lines:
        return [
            (row["run"], row["benchmark"].split()[0].lower(), seed)
            for row in csv.DictReader(lines)
            for seed in row["seeds"].split()
        ]


@pytest.mark.parametrize("row", _rows(), ids=" ".join)
def test_each_run_of_the_page_has_its_file(row: tuple[str, str, str]) -> None:
    name, benchmark, seed = row
    run = read_run_file(RESULTS / "runs" / name / benchmark / f"seed_{seed}{SUFFIX}")
    assert len(run.results) == 200
    assert {result.seed for result in run.results} == {int(seed)}


def test_there_is_such_a_page() -> None:
    assert _rows()
