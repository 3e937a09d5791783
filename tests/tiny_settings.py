"""Settings classes and an experiment as small as they can be, for the tests of the command line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from glass_cli.common.errors import GlassError
from glass_cli.config.settings import Settings
from glass_cli.method import flow
from glass_cli.models import base as models
from glass_cli.rewards import base as rewards
from glass_cli.steering.independent import Independent

if TYPE_CHECKING:
    from numpy import ndarray


class NeverLoaded:
    """Settings that the command line checks, and that no test loads."""

    def load(self, device: Any, dtype: Any) -> Any:
        raise NotImplementedError


@dataclass(frozen=True)
class Model(NeverLoaded, models.Model):
    folder: str | None = None
    guidance: float = 1.0

    def __post_init__(self) -> None:
        if self.folder is not None and not Path(self.folder).is_dir():
            raise ValueError(f"model.folder={self.folder} is not a folder; check its name")


@dataclass(frozen=True)
class Points(NeverLoaded, models.Model):
    output = "points"
    dim: int = 2


@dataclass(frozen=True)
class Grid:
    kind: Literal["uniform", "given"] = "uniform"


@dataclass(frozen=True)
class Sampler(flow.Sampler):
    steps: int = 4
    order: Literal[1, 2] = 2
    rho: Literal["ddpm"] | float = "ddpm"
    times: tuple[float, ...] | None = None
    pair: tuple[int, str] = (1, "a")
    clip: bool = False
    grid: Grid | None = None
    table: ndarray | None = None

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1 (got {self.steps})")

    def outer_times(self, flow: Any) -> Any:
        raise NotImplementedError

    def transition(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


@dataclass(frozen=True)
class Plain(Independent):
    def choose(self, particles: Any, r: Any, u: Any) -> None:
        return None


@dataclass(frozen=True)
class Steered(Plain):
    needs_reward = True
    threshold: float = 0.5


@dataclass(frozen=True)
class ImageReward(NeverLoaded, rewards.Reward):
    pass


@dataclass(frozen=True)
class PointReward(NeverLoaded, rewards.Reward):
    accepts = "points"


@dataclass(frozen=True)
class Nowhere:
    in_process: ClassVar[bool] = True

    def check(self) -> None:
        raise NotImplementedError

    def run(self, task: Any, watch: Any = None) -> Any:
        raise NotImplementedError


def run(settings: Settings, folder: Path) -> None:
    """Writes what arrived into the run's folder; seeds 13 to 16 go wrong in four ways."""
    if settings.root.seed == 13:
        raise GlassError("the reward of particle 3 is NaN at step 7")
    if settings.root.seed == 14:
        raise RuntimeError("out of memory\nby 3 GiB")
    if settings.root.seed == 15:
        (folder / "config.yaml").touch()
        raise KeyboardInterrupt
    if settings.root.seed == 16:
        raise KeyboardInterrupt
    seen: dict[str, Any] = {
        "prompts": settings.root.prompt_list(),
        "negative_prompt": settings.root.negative_prompt,
        "particles": settings.root.particles,
        "sampler": repr(settings.sampler),
        "overrides": list(settings.overrides),
    }
    (folder / "seen.json").write_text(json.dumps(seen), encoding="utf-8")
