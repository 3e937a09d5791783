"""A daemon thread for work that must not hold up the run, nor Python's exit."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any


class DaemonThread:
    """A daemon thread that does one job after another.

    failed: called with the error of a posted job.

    Not a ThreadPoolExecutor: Python waits for those at exit.
    """

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._failed = failed
        threading.Thread(target=self._work, name="glass-wandb", daemon=True).start()

    def post(self, job: Callable[[], object]) -> None:
        """Puts ``job`` into the queue."""
        self._jobs.put(job)

    def call(
        self, job: Callable[[], Any], seconds: float, more: Callable[[], float] = lambda: 0.0
    ) -> Any:
        """The result of ``job``, or its error; TimeoutError after ``seconds``.

        more: asked then for how many seconds longer to wait; what it raises is raised.
        """
        answer: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

        def answered() -> None:
            try:
                answer.put((job(), None))
            except BaseException as error:  # noqa: BLE001 - raised again by the caller
                answer.put((None, error))

        self._jobs.put(answered)
        try:
            result, error = answer.get(timeout=seconds)
        except queue.Empty:
            further = more()
            try:
                result, error = answer.get(timeout=further)
            except queue.Empty:
                raise TimeoutError(f"no answer within {seconds + further:.0f} s") from None
        if error is not None:
            raise error if isinstance(error, Exception) else RuntimeError(repr(error))
        return result

    def stop(self) -> None:
        """Ends the thread once its jobs are done; does not wait for it."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as error:  # noqa: BLE001 - given to `failed`, the thread lives
                self._failed(error)
