"""The top-level settings of a run, checked; the four groups stand under their own keys."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from glass_cli.common.errors import near

GROUPS = ("model", "sampler", "steering", "reward")
EVAL_GROUPS = ("benchmark", "launcher")  # of glass eval only
DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class Wandb:
    """Weights & Biases: `init_timeout` in seconds, after which the run goes on offline."""

    mode: Literal["online", "offline", "disabled"] = "online"
    project: str = "glass"
    entity: str | None = None
    init_timeout: float = 8.0

    def __post_init__(self) -> None:
        if self.init_timeout <= 0:
            raise ValueError(f"wandb.init_timeout must be above 0 (got {self.init_timeout})")


@dataclass(frozen=True)
class Root:
    """What conf/config.yaml sets beside the groups. Raises ValueError on a value that cannot be."""

    prompt: str = ""
    prompts: str | list[str] | None = None  # a text file, one prompt a line, or the prompts
    negative_prompt: str = ""
    particles: int = 8
    seed: int = 0
    micro_batch: int = 8  # particles per network call
    calls: int | None = None  # network calls a particle, of samplers whose steps are null
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    name: str | None = None
    wandb: Wandb = field(default_factory=Wandb)
    model: Any = None
    sampler: Any = None
    steering: Any = None
    reward: Any = None
    metrics: Any = None  # rewards by name, which score final samples only
    benchmark: Any = None
    launcher: Any = None
    fresh: bool = False  # glass eval: set earlier results aside and start anew
    thumbnails: bool | None = None  # small pictures of what was scored; null: glass sample only

    def __post_init__(self) -> None:
        for key, least in (("particles", 1), ("micro_batch", 1), ("seed", 0)):
            if getattr(self, key) < least:
                raise ValueError(f"{key} must be at least {least} (got {getattr(self, key)})")
        if self.calls is not None and self.calls < 1:
            raise ValueError(f"calls must be at least 1 (got {self.calls})")
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


class Settings(NamedTuple):
    """The checked settings of one run; `reward` is None when there is none.

    `metrics` maps names to the settings of further rewards, which score final samples only.
    """

    root: Root
    model: Any
    sampler: Any
    steering: Any
    reward: Any
    metrics: dict[str, Any]
    benchmark: Any = None  # of glass eval only, as is the launcher
    launcher: Any = None


def _read_prompts(path: Path) -> list[str]:
    try:
        text = path.expanduser().read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"prompts={path} is not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ValueError(
            f"prompts={path} cannot be read ({why}); name a text file with one prompt a line"
        ) from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"prompts={path} has no prompt in it; write one prompt a line")
    return lines
