"""Pictures shared out among Ray actors, on this machine or a cluster's."""

from __future__ import annotations

import logging
import os
import signal
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from glass_cli.common.errors import GlassError, Unfinished, one_line
from glass_cli.common.signals import Stopped

if TYPE_CHECKING:
    from glass_cli.config.settings import Settings
    from glass_cli.engine.launchers.base import Keep, Task, Watch
    from glass_cli.engine.worker import Worker
    from glass_cli.output.finished import Finished, Unit

log = logging.getLogger("glass")

# Handed out before the one in hand is done, so that no worker waits for the driver's disk.
_AHEAD = 2
# Seconds without a picture after which Ray is asked whether it still lives.
_PATIENCE = 20.0
_ITS_END = "Ray ended (its raylet, which holds the object store, was killed or failed)"


@dataclass(frozen=True)
class RayActors:
    """Draws in actors of Ray, each of which loads the model once and takes a picture at a time.

    A worker that dies leaves its pictures to the others.

    workers: how many, 1 or more; None: one a GPU, or for every ``cpus_per_worker`` CPUs where there
        is no GPU.
    cpus_per_worker: 1 or more.
    gpus_per_worker: 0 or more, a fraction where several share a GPU; None: 1 where there is one.
    address: of a running cluster; None starts one on this machine.

    Raises ValueError for a value out of range.
    """

    in_process: ClassVar[bool] = False

    workers: int | None = None
    cpus_per_worker: int = 1
    gpus_per_worker: float | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        for name in ("workers", "cpus_per_worker"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"launcher.{name} must be at least 1 (got {value})")
        if self.gpus_per_worker is not None and self.gpus_per_worker < 0:
            raise ValueError(
                f"launcher.gpus_per_worker must be 0 or more (got {self.gpus_per_worker})"
            )

    def check(self) -> None:
        """Raises GlassError where Ray is not installed."""
        if find_spec("ray") is None:
            raise GlassError(
                "launcher=ray needs Ray: pip install 'glass_cli[ray]', or use launcher=local"
            )

    def run(self, task: Task, watch: Watch | None = None) -> Iterator[Finished]:
        """See :class:`glass_cli.engine.launchers.base.Launcher`."""
        import ray

        started = self._connect()
        try:
            yield from _Crew(task, *self._places(task)).work()
        finally:
            if started:
                ray.shutdown()

    def _connect(self) -> bool:
        """Joins or starts Ray; whether it is ours to stop."""
        import ray

        if ray.is_initialized():
            return False
        # an actor without a GPU of its own must not have the others' hidden
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        # Ray gives way to every other process otherwise
        os.environ.setdefault("RAY_worker_niceness", "0")
        # Ray's usage reports would go over the network
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self.address is None:
            # a worker may be given a share of a CPU that the machine does not have
            cpus = max(os.cpu_count() or 1, (self.workers or 1) * self.cpus_per_worker)
            options |= {"address": "local", "include_dashboard": False, "num_cpus": cpus}
        else:
            options |= {"address": self.address}
        try:
            with _own_sigterm():
                ray.init(**options)
        except Exception as error:  # Ray raises bare ones where its processes die
            why = one_line(error)[:200]
            if self.address is None:
                raise Unfinished(f"Ray did not start on this machine ({why})") from error
            if "Could not find any running Ray" in why:  # goes on to options of Ray's own commands
                raise GlassError(
                    f"launcher.address={self.address}: no Ray cluster runs on this machine; start"
                    " one with ray start --head, give launcher.address=HOST:PORT, or leave"
                    " launcher.address out"
                ) from error
            raise GlassError(
                f"launcher.address={self.address}: Ray cannot be reached ({why}); start it there"
                " with ray start --head, or use launcher.address=null"
            ) from error
        _keep_its_words()
        return True

    def _places(self, task: Task) -> tuple[int, dict[str, Any]]:
        """How many workers, and what each is given of the cluster."""
        import ray

        there: Mapping[str, float] = ray.cluster_resources()
        cpus, gpus = int(there.get("CPU", 1)), there.get("GPU", 0.0)
        wants_gpu = gpus > 0 and task.settings.root.device in ("auto", "cuda")
        share = (
            (1.0 if wants_gpu else 0.0) if self.gpus_per_worker is None else self.gpus_per_worker
        )
        most = cpus // self.cpus_per_worker
        if share > 0:
            most = min(most, int(gpus / share))
        if most < 1 or (self.workers or 1) > most:
            raise GlassError(
                f"launcher.workers={self.workers} of {self.cpus_per_worker} CPUs and {share:g} GPUs"
                f" do not fit into {cpus} CPUs and {gpus:g} GPUs; ask for fewer"
            )
        count = min(self.workers or most, max(1, len(task.units)))
        return count, {"num_cpus": self.cpus_per_worker, "num_gpus": share}


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Puts the handler of SIGTERM back that Ray replaces by one that exits with 15, in silence."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit as end:  # it came while Ray's was there
        if end.code != signal.SIGTERM:
            raise
        raise Stopped(signal.SIGTERM) from end
    finally:
        with suppress(ValueError):  # not the main thread, where Ray leaves it alone
            signal.signal(signal.SIGTERM, before)


def _keep_its_words() -> None:
    """Ray prints the last lines of its raylet's log among our output when that dies, whatever
    ``log_to_driver`` says; it has no public setting for this."""
    import ray

    module: Any = ray._private.worker
    if hasattr(module, "print_to_stdstream"):
        module.print_to_stdstream = lambda *_, **__: None


@contextmanager
def _its_end_is_a_line() -> Iterator[None]:
    """Turns what Ray raises where its own processes have died into one line.

    Its raylet holds the object store, whose socket breaks; tasks that failed and actors that died
    are another matter.
    """
    from ray.exceptions import ObjectLostError, RayActorError, RayError, RayTaskError

    try:
        yield
    except (RayTaskError, RayActorError, ObjectLostError):
        raise
    except (OSError, RayError) as error:
        raise Unfinished(f"Ray's object store does not answer ({one_line(error)[:200]})") from error


def _lives() -> bool:
    """Whether any machine of the cluster still runs Ray."""
    import ray

    with suppress(Exception):
        return any(node["Alive"] for node in ray.nodes())
    return False


class _Actor:
    """What an actor does. It loads at its first unit, whose error is then reported as any other."""

    def __init__(self, settings: Settings, keep: Keep, text: str, threads: int) -> None:
        self._arguments, self._threads = (settings, keep, text), threads
        self._worker: Worker | None = None

    def draw(self, unit: Unit, record: Mapping[str, Any]) -> Finished:
        if self._worker is None:
            import torch

            from glass_cli.engine.worker import Worker

            torch.set_num_threads(self._threads)
            self._worker = Worker(*self._arguments)
        return self._worker.draw(unit, record)


class _Crew:
    """The actors, and who has which pictures in hand."""

    def __init__(self, task: Task, count: int, place: Mapping[str, Any]) -> None:
        import ray

        self._task = task
        self._todo = deque(task.units)
        actor = ray.remote(_Actor).options(max_restarts=0, **place)
        with _its_end_is_a_line():
            arguments = (ray.put(task.settings), task.keep, task.text, int(place["num_cpus"]))
            self._actors = [actor.remote(*arguments) for _ in range(count)]
        self._in_hand: dict[Any, tuple[Any, Unit]] = {}

    def work(self) -> Iterator[Finished]:
        """Yields pictures as they are finished; raises GlassError when the last actor has died."""
        import ray
        from ray.exceptions import ObjectLostError, RayActorError, RayTaskError

        for _ in range(_AHEAD):
            for actor in self._actors:
                self._hand_out(actor)
        while self._in_hand:
            with _its_end_is_a_line():
                done, _ = ray.wait(list(self._in_hand), num_returns=1, timeout=_PATIENCE)
            if not done and not _lives():
                raise Unfinished(_ITS_END)
            ready = next(iter(done), None)
            if ready not in self._in_hand:
                continue
            actor, _ = self._in_hand[ready]
            try:
                with _its_end_is_a_line():
                    finished = ray.get(ready)
            except RayTaskError as error:
                raise _cause(error) from error
            except (RayActorError, ObjectLostError) as error:  # lost with the actor's machine
                self._bury(actor, error)
                continue
            del self._in_hand[ready]
            self._hand_out(actor)
            yield finished

    def _hand_out(self, actor: Any) -> None:
        if self._todo:
            unit = self._todo.popleft()
            with _its_end_is_a_line():
                reference = actor.draw.remote(unit, self._task.records[unit.prompt_index])
            self._in_hand[reference] = (actor, unit)

    def _bury(self, dead: Any, error: Exception) -> None:
        """Gives a dead actor's pictures to the others."""
        from ray.exceptions import ActorUnavailableError

        left = [(ref, unit) for ref, (actor, unit) in self._in_hand.items() if actor is dead]
        for reference, unit in reversed(left):
            del self._in_hand[reference]
            self._todo.appendleft(unit)
        self._actors.remove(dead)
        if not self._actors:
            text = one_line(error)
            why = text.partition("is dead because ")[2] or text
            if isinstance(error, ActorUnavailableError):  # whose words are numbers of its own
                why = "its connection broke"
            raise Unfinished(
                f"the last Ray worker died ({why[:200]})" if _lives() else _ITS_END
            ) from error
        log.warning("a Ray worker died; the %d left do its pictures", len(self._actors))
        for actor in self._actors:
            self._hand_out(actor)


def _cause(error: Any) -> Exception:
    """The error that the worker raised."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, Exception) else error
