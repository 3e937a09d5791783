"""The settings of a run, checked: the top-level ones, and those of each group."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

from glass_cli.benchmarks import lists
from glass_cli.common.errors import GlassError, near
from glass_cli.common.files import expanded, regular

if TYPE_CHECKING:
    from glass_cli.benchmarks.base import Benchmark
    from glass_cli.method.flow import Sampler
    from glass_cli.models.base import Model
    from glass_cli.output.writer import RunFolder
    from glass_cli.rewards.base import Reward
    from glass_cli.steering.base import Steering

GROUPS = ("model", "sampler", "steering", "reward")
MORE_GROUPS = ("launcher", "benchmark")  # the benchmark is glass eval's
PARTICLES = 8  # where neither the run nor its budget says how many
DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class Wandb:
    """Weights & Biases.

    mode: as wandb's own.
    project, entity: where the run is shown.
    group, name: under which it is shown; None for the sweep and what varies in it, and for the
        folder's name.
    init_timeout: seconds, above 0, after which the run goes on offline.
    """

    mode: Literal["online", "offline", "disabled"] = "online"
    project: str = "glass"
    entity: str | None = None
    group: str | None = None
    name: str | None = None
    init_timeout: float = 5.0

    def __post_init__(self) -> None:
        if self.init_timeout <= 0:
            raise ValueError(f"wandb.init_timeout must be above 0 (got {self.init_timeout})")


@dataclass(frozen=True)
class Published:
    """What a paper reports of the settings of an experiment.

    source: the paper and its table.
    values: key of a quantity, as in the CSV file of `glass compare`, -> its value, with the
        experiment's own reward.
    with_reward: the same with other rewards, by their names in `glass ls reward`.
    """

    source: str
    values: dict[str, float] = field(default_factory=dict)
    with_reward: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Root:
    """What conf/config.yaml sets beside the groups. Raises ValueError for a wrong value.

    prompt: the text; not used where there are prompts.
    prompts: a text file with a prompt a line, or the prompts themselves.
    negative_prompt: what the picture shall not show; empty for nothing.
    particles: drawn together and steered against each other, 1 or more; of a steering that
        searches, how many finished ones are kept.
    seed: 0 to 2^63 - 1; with the prompt and the particle's number it decides all random numbers.
    micro_batch: particles per network call, 1 or more.
    calls: network calls a particle, 1 or more; null for the model's own number, or what the budget
        leaves each.
    budget: network calls a picture, all particles together, 1 or more; null for particles times
        calls.
    device: auto, cpu, mps, cuda or cuda:N.
    dtype: of the network.
    name: ends the name of the run's folder, at most 100 characters; null for sampler-steering.
    limit: of glass sample: at most so many prompts, 1 or more; null for all.
    fresh: move earlier results away and start again.
    thumbnails: keep small pictures of what was scored; null: in glass sample only.
    published: what a paper reports of these settings; null for nothing. It decides nothing.
    """

    prompt: str = ""
    prompts: str | list[str] | None = None
    negative_prompt: str = ""
    particles: int = PARTICLES
    seed: int = 0
    micro_batch: int = 8
    calls: int | None = None
    budget: int | None = None
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    name: str | None = None
    wandb: Wandb = field(default_factory=Wandb)
    limit: int | None = None
    fresh: bool = False
    thumbnails: bool | None = None
    published: Published | None = None

    def __post_init__(self) -> None:
        for key, least in (("particles", 1), ("micro_batch", 1), ("seed", 0)):
            if getattr(self, key) < least:
                raise ValueError(f"{key} must be at least {least} (got {getattr(self, key)})")
        for key in ("calls", "budget", "limit"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ValueError(f"{key} must be at least 1 (got {value})")
        if self.seed >= 2**63:
            raise ValueError(f"seed must be below 2^63 (got {self.seed})")
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device):
            hint = near(self.device, DEVICES)
            raise ValueError(
                f"device must be auto, cpu, mps, cuda or cuda:N (got {self.device}){hint}"
            )
        if self.name is not None and not re.fullmatch(r"[^/\\\s\0][^/\\\0]{0,99}", self.name):
            raise ValueError(
                f"name must be at most 100 characters without slashes (got {self.name!r}); it ends "
                "the name of the run's folder"
            )
        self.prompt_list()

    def prompt_list(self) -> list[str]:
        """The prompts of this run, at least one; reads the file if `prompts` names one.

        Raises ValueError when there is none, or when the file cannot be read.
        """
        if self.prompts is None:
            if not self.prompt.strip():
                raise ValueError('the prompt is empty; write prompt="a photo of a dog"')
            return [self.prompt]
        if isinstance(self.prompts, str):
            return _read_prompts(Path(self.prompts))
        if not self.prompts or not all(line.strip() for line in self.prompts):
            what = "has an empty prompt in it" if self.prompts else "is an empty list"
            raise ValueError(f"prompts {what}; write prompts='[a photo of a dog, two cats]'")
        return list(self.prompts)


class Launcher(Protocol):
    """Who draws the pictures of a run.

    :class:`glass_cli.engine.launchers.base.Launcher` has the types of ``run``, which hold a run's
    settings and so cannot stand below them.
    """

    @property
    def in_process(self) -> bool:
        """Whether pictures are drawn in this process, with what it has loaded."""

    def check(self) -> None:
        """Raises GlassError where something that it needs is missing."""

    def run(self, task: Any, watch: Any = None) -> Iterator[Any]:
        """Yields the pictures of ``task`` as they are finished."""


class Study(ABC):
    """The settings of an experiment on the model itself; ``benchmark=`` chooses it.

    A class and not a Protocol, since :class:`Settings` asks whether it was given one.

    needs_budget: whether the run must say what a picture may cost, as a plan does.
    """

    needs_budget: ClassVar[bool] = False

    @property
    @abstractmethod
    def title(self) -> str:
        """How the results are named."""

    @abstractmethod
    def study(self, settings: Settings, folder: RunFolder) -> dict[str, Any]:
        """Draws what it likes, keeps in the folder what it needs to be continued, and returns the
        summary, whose ``score`` is what a sweeper may maximise. Raises GlassError."""


class Settings(NamedTuple):
    """The checked settings of one run.

    launcher: who draws the pictures.
    reward: None where there is none.
    metrics: name -> settings of further rewards, which score final samples only.
    benchmark: of glass eval only.
    study: in place of a benchmark, where that is what was chosen as one.
    config: as resolved, in plain values.
    overrides: as typed.
    """

    root: Root
    model: Model
    sampler: Sampler
    steering: Steering
    reward: Reward | None
    metrics: Mapping[str, Reward]
    launcher: Launcher
    benchmark: Benchmark | None = None
    study: Study | None = None
    config: Mapping[str, Any] = {}
    overrides: Sequence[str] = ()


def _read_prompts(path: Path) -> list[str]:
    try:
        # it is read anew by each part of a run, which a pipe gives once
        text = regular(expanded(path)).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"prompts={path} is not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ValueError(
            f"prompts={path} cannot be read ({why}); name a text file with one prompt a line"
        ) from None
    if path.suffix.lower() in lists.TABLES:
        try:
            rows = lists.records(text, f"prompts={path}", path.suffix)
        except GlassError as error:
            raise ValueError(str(error)) from error
        return [str(row["prompt"]) for row in rows]
    # at line ends alone, not at the other characters at which Python splits lines
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not lines:
        raise ValueError(f"prompts={path} has no prompt in it; write one prompt a line")
    return lines
