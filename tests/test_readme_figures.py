"""Every measured figure of the README is in a file of results."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import REPOSITORY
from readme_figures import figures, in_row, missing, shows

RESULTS = sorted((REPOSITORY / "docs" / "results").rglob("*.[cm][sd]*"))  # CSV, and pages of it
# Figures from before there were files of results stand in these pages, with their commands.
PAGES = [REPOSITORY / "docs" / name for name in ("results.md", "bench.md")]


def test_figures_of_the_readme() -> None:
    page = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    files = RESULTS or [path for path in PAGES if path.is_file()]
    assert missing(page, files) == [], f"not in {', '.join(path.name for path in files)}"


PAGE = """
# Title

| run | right, % | reward | lineages left |
|---|--:|--:|--:|
| SDE | 85.4 [77.1, 93.8] | 77.1 [76.2, 78.0] | 4.4 |

GLASS less best of 8, paired: +2.7 [1.9,
3.8] (correct −2.1 [−6.2, 10.4] points).

    a command 1.0 [0.9, 1.1]
"""
TABLE = """\
run,nfe,correct,correct.low,correct.high,answer,answer.low,answer.high,lineages
sde,400,85.4166,77.0833,93.7666,77.12,76.18,77.99,4.375
other,400,85.4166,77.0833,93.7666,70.0,69.0,71.0,4.375
"""
CLAIMS = """\
difference,mean,low,high
a,2.7123,1.9004,3.8100
b,-2.0833,-6.2333,10.4166
"""


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    (tmp_path / "a.csv").write_text(TABLE)
    (tmp_path / "claims.csv").write_text(CLAIMS)
    return sorted(tmp_path.iterdir())


def test_what_is_a_figure() -> None:
    row, one, two = figures(PAGE)
    assert row.triples == (("85.4", "77.1", "93.8"), ("77.1", "76.2", "78.0"))
    assert row.numbers == ("4.4",)
    assert one.triples == (("+2.7", "1.9", "3.8"),) and two.triples[0][0] == "−2.1"


def test_rounded_figures_are_found(files: list[Path]) -> None:
    assert missing(PAGE, files) == []


@pytest.mark.parametrize(
    ("shown", "other"),
    [("85.4 [", "85.5 ["), ("93.8]", "93.7]"), ("| 4.4 |", "| 4.3 |"), ("+2.7", "-2.7"),
     ("−6.2", "−6.3"), ("77.1 [76.2, 78.0]", "70.0 [69.0, 71.1]")],
)  # fmt: skip
def test_any_other_digit_is_missed(files: list[Path], shown: str, other: str) -> None:
    assert PAGE.count(shown) == 1
    assert len(missing(PAGE.replace(shown, other), files)) == 1


def test_a_difference_in_a_table_stands_alone(files: list[Path]) -> None:
    """It is of two runs, so no row of results has it beside the run's own figures."""
    page = """
| run | right, % | less best of N, points |
|---|--:|--:|
| SDE | 85.4 [77.1, 93.8] | +2.7 [1.9, 3.8] |
"""
    assert [each.triples for each in figures(page)] == [
        (("85.4", "77.1", "93.8"),),
        (("+2.7", "1.9", "3.8"),),
    ]
    assert missing(page, files) == []
    assert len(missing(page.replace("2.7", "2.8"), files)) == 1
    assert len(missing(page.replace(" less ", " "), files)) == 1


def test_figures_of_a_row_are_of_one_run(files: list[Path]) -> None:
    mixed = "| x | 85.4 [77.1, 93.8] | 70.0 [69.0, 71.0] |"
    assert missing(mixed, files) == []
    assert len(missing(mixed.replace("85.4", "85.3"), files)) == 1
    (wanted,) = figures("| x | 77.1 [76.2, 78.0] | 70.0 [69.0, 71.0] |")
    assert not in_row(wanted, {"a": "77.1", "a.low": "76.2", "a.high": "78.0"})


def test_another_page_has_them_as_they_are_written(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    page.write_text("| SDE | 85.4 [77.1, 93.8] | more | 77.1 [76.2, 78.0] | 4.4 |\n")
    assert [each.triples[0][0] for each in missing(PAGE, [page])] == ["+2.7", "−2.1"]


def test_rounding() -> None:
    assert shows("0.4", 0.35) and shows("0.4", 0.4499) and not shows("0.4", 0.46)
    assert shows("12", 12.5) and not shows("12", 12.51) and shows("-0.0", -0.04)
