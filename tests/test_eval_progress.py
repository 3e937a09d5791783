"""What glass eval says on the way."""

from __future__ import annotations

import io

import pytest

from glass_cli.output import eval_progress as evaluate_progress
from glass_cli.output.eval_progress import EvalProgress, Means, numbers

RESULTS = [
    {"reward": 1.0, "metrics": {"clip": 30.0}, "judged": {"correct": True, "reason": None}},
    {"reward": None, "metrics": {"clip": 40.0}, "judged": {"correct": False, "tag": "a"}},
    {"reward": 2.5, "metrics": {"clip": float("nan")}, "judged": {}},
]


def test_numbers_of_a_result() -> None:
    assert numbers(RESULTS[0]) == {"reward": 1.0, "clip": 30.0, "correct": 1.0}
    assert numbers(RESULTS[1]) == {"clip": 40.0, "correct": 0.0}
    assert numbers(RESULTS[2]) == {"reward": 2.5}


def test_means_are_of_what_is_there() -> None:
    means = Means()
    for result in RESULTS:
        means.add(result)
    assert means.values() == {"reward": 1.75, "clip": 35.0, "correct": 0.5}


def test_lines_in_a_log_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of earlier runs count as done, but neither they nor loading for the time left."""
    clock = iter([0.0, *[100.0] * 3, *[140.0] * 4, *[180.0] * 4])
    monkeypatch.setattr(evaluate_progress.time, "monotonic", lambda: next(clock))
    said = io.StringIO()
    with EvalProgress(6, RESULTS[:1], said) as progress:
        progress.update(RESULTS[1])  # after 100 s of loading and drawing
        progress.update(RESULTS[2])  # 40 s a picture from here on
    lines = said.getvalue().splitlines()
    assert lines[0].startswith("1/6 pictures, so far reward 1, clip 30, correct 1")
    assert lines[-1].startswith("3/6 pictures, 2 min left, so far reward 1.75")


def test_a_bar_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    said = Terminal()
    with EvalProgress(2, [], said) as progress:
        progress.update(RESULTS[0])
    assert "1/2 pictures" in said.getvalue() and "reward 1" in said.getvalue()
