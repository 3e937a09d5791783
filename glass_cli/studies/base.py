"""What the benchmarks share that study the model itself instead of judging pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glass_cli.benchmarks import lists
from glass_cli.common.errors import GlassError, one_line
from glass_cli.common.files import json_text
from glass_cli.output.identity import identity
from glass_cli.output.progress import counted

if TYPE_CHECKING:
    from glass_cli.config.settings import Settings
    from glass_cli.output.writer import Store

# Objects, pairs, numbers, colours and sides, as GenEval asks for them. A model of points ignores
# them, but draws other noise for each.
PROMPTS = (
    "a photo of a clock",
    "a photo of a banana",
    "a photo of a dog and a chair",
    "a photo of a cup and an umbrella",
    "a photo of three apples",
    "a photo of two elephants",
    "a photo of a green bus",
    "a photo of a purple bear",
    "a photo of a horse right of a boat",
    "a photo of a car below a cat",
    "a photo of a red apple and a blue car",
    "a photo of a yellow bird and a black laptop",
)


def check(path: str | None, counts: dict[str, tuple[int, int]]) -> None:
    """Raises ValueError for a list that is not there, or a count (name: value, least) too small."""
    lists.check(path)
    for name, (value, least) in counts.items():
        if value < least:
            raise ValueError(f"benchmark.{name} must be at least {least} (got {value})")


def prompts(path: str | None, limit: int, made: Settings) -> list[str]:
    """The first ``limit`` prompts of the list, or of PROMPTS; they must suit the reward.

    Raises GlassError, also where there is no reward.
    """
    if made.reward is None:
        assert made.study is not None
        raise GlassError(
            f"{made.study.title} needs a reward; choose one (glass ls reward) that scores"
            f" {made.model.output}"
        )
    found = list(PROMPTS)
    if path is not None:
        file = Path(path).expanduser()
        rows = lists.records(lists.read(file), f"{lists.KEY}={path}", file.suffix)
        found = [str(row["prompt"]) for row in rows]
    found = found[:limit]
    try:
        made.reward.check_prompts(found)
    except ValueError as error:
        raise GlassError(one_line(error)) from error
    return found


def digest(made: Settings, number: int, prompt: str) -> str:
    """Names all that decides what part ``number`` of a study holds."""
    named = {"model": made.model, "reward": made.reward, "benchmark": made.study}
    found = identity({}, free=[".benchmark.limit", ".benchmark.path"], named={"": named})
    root = (made.root.seed, made.root.negative_prompt, str(made.root.dtype), prompt, number)
    return hashlib.sha256(json_text([found, root]).encode()).hexdigest()


def parts(
    made: Settings, store: Store, prompts: Sequence[str], measure: Any
) -> Iterator[dict[str, Any]]:
    """A part of the study for each prompt, from the store where it is done, else measured.

    ``measure()`` loads what is needed, once, and gives a function of a prompt.
    """
    of_prompt = None
    for number, prompt in enumerate(counted(prompts, "prompt")):
        settings = digest(made, number, prompt)
        part = store.study_part(number, settings)
        if part is None:
            of_prompt = of_prompt or measure()
            part = store.write_study_part(number, settings, of_prompt(prompt))
        yield part
