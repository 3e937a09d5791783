"""The bar, the lines of a log file and the closing table, as the terminal gets them."""

from __future__ import annotations

import io
import re
import sys

import pytest

from glass_cli.output import progress as module
from glass_cli.output.progress import Progress, closing_table, counted


class Terminal(io.StringIO):
    """Shows what is left on the lines when all is done."""

    def isatty(self) -> bool:
        return True

    def last(self) -> str:
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.getvalue())
        return text.rstrip("\n").split("\n")[-1].split("\r")[-1]


class Clock:
    """Stands for time; ``now`` is in seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


def test_bar_shows_units_values_and_label() -> None:
    out = Terminal()
    with Progress(40, "network call", stream=out) as progress:
        progress.update(10, {"reward": 6.25, "best reward": 0.5}, "a red apple")
        progress.update(30, {"best reward": 0.75})
    words = "75 % 30/40 network calls", "reward 6.25, best reward 0.75 | a red apple"
    assert all(word in out.last() for word in words), out.last()
    assert out.getvalue().endswith("\n\x1b[?25h")  # the cursor is shown


def test_numbers_of_what_is_worked_on_stand_beside_it_and_go_with_it() -> None:
    out = Terminal()
    with Progress(4, "prompt", stream=out) as progress:
        progress.update(1, {"reward": 2.0}, "a red apple")
        progress.update(1.5, label="a blue car", current={"ESS": 6.25, "best reward": 1.5})
        progress.close()
        assert "1/4 prompts" in out.last()
        assert "reward 2 | ESS 6.25, best reward 1.5: a blue car" in out.last()
    out = Terminal()
    with Progress(4, "prompt", stream=out) as progress:
        progress.update(1.5, {"reward": 2.0}, "a blue car", {"ESS": 6.25})
        progress.update(2, {"reward": 2.5})
    assert "reward 2.5 | a blue car" in out.last() and "ESS" not in out.last()


def test_a_part_of_a_unit_counts_and_nothing_is_taken_back() -> None:
    out = Terminal()
    with Progress(1, "prompt", stream=out) as progress:
        progress.update(0.6)
        progress.update(0.2, {"ESS": float("nan")})
    assert "60 % 0/1 prompt" in out.last() and "ESS -" in out.last()


def test_no_cell_of_the_bar_is_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    out = Terminal()
    with Progress(7, "picture", stream=out) as progress:
        progress.update(3, {f"metric {i}": i for i in range(9)}, "红苹果" * 30)
    assert "3/7 pictures" in out.last() and "..." in out.last()
    assert out.getvalue().count("\n") == 1 and len(out.last()) <= 50


def test_the_bar_is_drawn_a_few_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, out = Clock(monkeypatch), Terminal()
    with Progress(10_000, "picture", stream=out) as progress:
        for i in range(10_000):
            clock.now += 1e-4
            progress.update(i)
        drawn = out.getvalue().count("\r")
        assert drawn <= 7  # in one second
    assert out.getvalue().count("\r") <= drawn + 3


def test_lines_in_a_log_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """What earlier runs did counts as done, but neither that nor loading for the time left."""
    clock, out = Clock(monkeypatch), io.StringIO()
    with Progress(6, "picture", before=1, stream=out) as progress:
        clock.now = 100.0  # loading, and the first picture
        progress.update(2, {"reward": 1.0}, "line\nbreak " + "x" * 100)
        clock.now = 140.0
        progress.update(2.5)
        clock.now = 145.0
        progress.update(3, {"reward": 1.75})
        clock.now = 180.0
        progress.update(4, label="b")
    progress.close()
    lines = out.getvalue().splitlines()
    assert lines[0] == "1/6 pictures"
    assert lines[1].startswith("2/6 pictures, reward 1 | line break x") and lines[1][-3:] == "..."
    # 2.5 - 2 in 40 s: 80 s each
    assert lines[2].startswith("2/6 pictures, 5 min left, reward 1 | line break x")
    assert lines[3] == "4/6 pictures, 80 s left, reward 1.75 | b"
    assert len(lines) == 4


def test_nothing_done_is_nothing_said() -> None:
    out = io.StringIO()
    with Progress(6, "picture", stream=out):
        pass
    with Progress(0, "picture", stream=out):
        pass
    assert out.getvalue() == ""


def test_an_error_leaves_the_bar_where_it_was() -> None:
    out = Terminal()
    with pytest.raises(KeyError), Progress(4, "picture", stream=out) as progress:
        progress.update(1)
        raise KeyError
    assert "1/4 pictures" in out.last()


def test_standard_output_is_not_touched(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    with Progress(4, "picture") as progress:
        progress.update(1)
        print("kept")
        print("a warning", file=sys.stderr)
    assert capsys.readouterr().out == "kept\n"
    assert "a warning" in out.getvalue() and sys.stderr is out


def test_items_are_counted() -> None:
    out = io.StringIO()
    sys_stderr, sys.stderr = sys.stderr, out
    try:
        assert list(counted("abc", "prompt")) == ["a", "b", "c"]
    finally:
        sys.stderr = sys_stderr
    assert out.getvalue() == "3/3 prompts\n"


def row(prompt: str, best: float | None, seconds: float = 2.0) -> dict[str, object]:
    return {
        "prompt": prompt,
        "best_reward": best,
        "mean_reward": 0.25,
        "nfe": 640,
        "seconds": seconds,
    }


def test_table_is_aligned_and_names_the_paths() -> None:
    rows = [row("a", 0.5), row("红苹果", float("nan"), 12.0), row("é" * 100, None)]
    text = closing_table(rows, {"folder": "outputs/x", "contact sheet": "outputs/x/sheet.png"})
    table, paths = text.split("\n\n")
    lines = table.splitlines()
    assert lines[0].split() == ["prompt", "best", "reward", "mean", "reward", "NFE", "seconds"]
    assert lines[2].split() == ["a", "0.500", "0.250", "640", "2.0"]
    assert lines[3].split() == ["红苹果", "-", "0.250", "640", "12.0"]
    assert lines[4].split()[0] == "é" * 45 + "..."
    assert lines[6].split() == ["mean", "of", "3", "0.500", "0.250", "640", "5.3"]
    assert len(lines[2]) == len(lines[0]) == len(lines[1])
    assert len(lines[3]) == len(lines[0]) - 3  # three letters of two columns each
    assert paths == "folder         outputs/x\ncontact sheet  outputs/x/sheet.png"


def test_table_of_one_or_many_prompts() -> None:
    assert "mean of" not in closing_table([row("a", 0.5)], {})
    text = closing_table([row(f"prompt {i}", i / 100) for i in range(553)], {})
    assert "... and 533 more" in text
    assert len(text.splitlines()) == 2 + 20 + 1 + 2
    assert text.splitlines()[-1].split()[:4] == ["mean", "of", "553", "2.760"]


def test_table_survives_missing_values() -> None:
    last = closing_table([{"prompt": "a"}], {}).splitlines()[-1]
    assert last.split() == ["a", *"----"]
    assert closing_table([], {}).splitlines()[0].startswith("prompt")
