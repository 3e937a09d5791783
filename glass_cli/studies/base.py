"""What the studies share: prompts, and parts that are kept as they are finished."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from glass_cli.benchmarks import lists
from glass_cli.common.errors import GlassError, one_line
from glass_cli.common.files import expanded, json_text
from glass_cli.common.messages import say
from glass_cli.output.identity import identity
from glass_cli.output.progress import Progress

if TYPE_CHECKING:
    from glass_cli.config.settings import Settings
    from glass_cli.output.writer import RunFolder

Part = Mapping[str, Any]
"""What was measured of one prompt; JSON-able."""

Watch = Callable[[float], None]
"""Told the share of a prompt that is done, from 0 to 1."""

MeasurePrompt = Callable[[str, Watch], dict[str, Any]]

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


def check_settings(path: str | None, counts: Mapping[str, tuple[int, int]]) -> None:
    """Raises ValueError for a list of prompts that is not there, and for a count that is too small.

    path: ``benchmark.path``.
    counts: name -> its value and the least that it may be.
    """
    lists.check(path)
    for name, (value, least) in counts.items():
        if value < least:
            raise ValueError(f"benchmark.{name} must be at least {least} (got {value})")


def study_prompts(path: str | None, limit: int, settings: Settings) -> list[str]:
    """The first ``limit`` prompts of the list ``path``, or of PROMPTS where that is None.

    Raises GlassError where there is no reward, or one that cannot score one of the prompts.
    """
    if settings.reward is None:
        assert settings.study is not None
        raise GlassError(
            f"{settings.study.title} needs a reward; choose one (glass ls reward) that scores"
            f" {settings.model.output}"
        )
    prompts = list(PROMPTS)
    if path is not None:
        file = expanded(path)
        records = lists.records(lists.read(file), f"{lists.KEY}={path}", file.suffix)
        prompts = [str(record["prompt"]) for record in records]
    prompts = prompts[:limit]
    try:
        settings.reward.check_prompts(prompts)
    except ValueError as error:
        raise GlassError(one_line(error)) from error
    return prompts


def measured_parts(
    settings: Settings,
    folder: RunFolder,
    prompts: Sequence[str],
    load: Callable[[], MeasurePrompt],
) -> list[Part]:
    """What was measured of each prompt: read from the folder where it is finished, else measured.

    load: called once, and only where something is missing; gives the function that measures.
    """
    digests = [_digest(settings, number, prompt) for number, prompt in enumerate(prompts)]
    parts = [folder.study_part(number, digest) for number, digest in enumerate(digests)]
    finished = sum(part is not None for part in parts)
    measure: MeasurePrompt | None = None
    with Progress(len(prompts), "prompt", before=finished) as progress:
        for number, (prompt, part) in enumerate(zip(prompts, parts, strict=True)):
            if part is not None:
                continue
            if measure is None:
                from glass_cli.engine.run import say_unknown_words

                assert settings.study is not None
                # a prompt takes long, and a log would show nothing until then
                say(f"{settings.study.title}: measuring {of_prompts(len(prompts) - finished)}")
                say_unknown_words(settings.model, prompts)
                measure = load()

            def watch(share: float, before: int = finished) -> None:
                progress.update(before + min(share, 1.0))

            watch(0.0)
            measured = measure(prompt, watch)
            parts[number] = folder.write_study_part(number, digests[number], measured)
            finished += 1
            progress.update(finished)
    return [part for part in parts if part is not None]


def _digest(settings: Settings, number: int, prompt: str) -> str:
    """Names everything that decides what part ``number`` of a study holds."""
    named = {"model": settings.model, "reward": settings.reward, "benchmark": settings.study}
    decides = identity({}, free=[".benchmark.limit", ".benchmark.path"], named={"": named})
    root = settings.root
    more = (root.seed, root.negative_prompt, str(root.dtype), prompt, number)
    return hashlib.sha256(json_text([decides, more]).encode()).hexdigest()


def of_prompts(count: int) -> str:
    """``count`` prompts in words: "1 prompt", "2 prompts"."""
    return f"{count} prompt{'' if count == 1 else 's'}"


def mean_cell(mean: float, interval: tuple[float, float] | None, prompts: int) -> dict[str, Any]:
    """A number of ``summary.json`` with its 95 % interval over prompts."""
    return {"mean": mean, "interval95": interval, "prompts": prompts}


def costs(parts: Sequence[Part]) -> dict[str, Any]:
    """Network calls, reward calls and seconds of all parts."""
    return {key: sum(part[key] for part in parts) for key in ("nfe", "reward_calls", "seconds")}
