"""The thread that W&B's calls are made by."""

from __future__ import annotations

import operator
import threading

import pytest

from glass_cli.output.background import DaemonThread


def test_worker_bounds_and_reports() -> None:
    errors: list[Exception] = []
    worker, over = DaemonThread(errors.append), threading.Event()
    assert worker.call(lambda: 3, 5.0) == 3
    with pytest.raises(IndexError):
        worker.call(lambda: operator.getitem([], 3), 5.0)
    worker.post(lambda: 1 / 0)
    worker.call(lambda: None, 5.0)
    assert [type(error) for error in errors] == [ZeroDivisionError]
    with pytest.raises(TimeoutError):
        worker.call(over.wait, 0.05)
    over.set()
    worker.stop()
