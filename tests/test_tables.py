"""Aligned text, whatever is in the cells."""

from __future__ import annotations

import pytest

from glass_cli.output.tables import Table, fit, text_table


def test_numbers_are_right_aligned_and_rules_as_wide_as_all() -> None:
    text = text_table(["run", "NFE"], [["glass", "400"], ["ode", "50"]], [["mean", "225"]])
    assert text.splitlines() == [
        "run    NFE",
        "----------",
        "glass  400",
        "ode     50",
        "----------",
        "mean   225",
    ]


def test_wide_letters_take_two_columns_and_combining_marks_none() -> None:
    lines = text_table(["prompt", "n"], [["苹果", "1"], ["e\u0301te\u0301", "2"]]).splitlines()
    assert lines[2:] == ["苹果    1", "e\u0301te\u0301     2"]


def test_cells_are_text_and_never_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("FORCE_COLOR", "1")
    long = "[bold]x[/bold] :apple: " * 20
    lines = text_table(["a", "b"], [[long, "1"]]).splitlines()
    assert lines[2] == f"{long}  1" and len(lines) == 3


def test_short_rows_and_none() -> None:
    assert text_table(["a", "b"], [["1"]]).splitlines() == ["a  b", "----", "1"]
    assert text_table(["a", "b"], []).splitlines() == ["a  b", "----"]
    with pytest.raises(ValueError, match="3 cells in a table of 2"):
        text_table(["a", "b"], [["1", "2", "3"]])


def test_text_is_cut_to_terminal_columns() -> None:
    assert fit("a\n b\x1b[31m", 20) == "a b[31m"
    assert fit("苹果" * 5, 20) == "苹果" * 5
    assert fit("苹果" * 5, 12) == "苹果苹果..."
    assert fit("x" * 30, 10) == "xxxxxxx..."


def test_a_titled_table_as_text_and_markdown() -> None:
    table = Table("Title", ("name", "value"), [("one", "1")], "A note.")
    assert table.text().splitlines() == [
        "Title",
        "",
        "name  value",
        "-----------",
        "one       1",
        "",
        "A note.",
    ]
    assert table.markdown() == ("## Title\n\n| name | value |\n|---|--:|\n| one | 1 |\n\nA note.")
