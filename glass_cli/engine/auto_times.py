"""``sampler.times=auto``: where transitions end, from a decision window measured once and kept.

The window of this model and reward is looked for in the user's cache
(:mod:`glass_cli.engine.window_cache`); where there is none, a short pilot measures it on the run's
own prompts, with a fixed seed, and saves it there for all later runs. ``glass eval
benchmark=window`` measures it with more care, and saves it too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from glass_cli.common.errors import GlassError
from glass_cli.common.files import json_text
from glass_cli.engine import window_cache as windows
from glass_cli.engine.window_cache import Window
from glass_cli.launch import say
from glass_cli.output.store import writing

if TYPE_CHECKING:
    from glass_cli.config.settings import Settings
    from glass_cli.engine.draw import Work

FILE = "window.json"  # in the folder of an evaluation, which keeps to the window that it began with
# The pilot: chains of transitions of so many calls each, through times over the whole way.
PARTICLES, PROMPTS, TIMES, CALLS = 96, 24, 10, 2
SEED = 1_000_003  # not that of a run, whose particles the window shall not have seen
FIRST, LAST = 0.03, 0.85  # on the straight path; see steering.window.time_grid


def wanted(made: Settings) -> bool:
    return bool(getattr(made.sampler, "times", None) == "auto")


def measure(work: Work, prompts: Sequence[str], negative_prompt: str) -> Window:
    """The pilot: PARTICLES chains over at most PROMPTS prompts, spread over the list.

    A chain runs from noise to data through the times of the grid, by GLASS transitions with DDPM
    correlation and two calls each: x_t has the model's law at every time, and the end of the chain
    is a draw given each x_t on its way. So one final reward a chain tells of all times, at no
    network call beyond the chain's own.
    """
    import numpy as np
    from tqdm import tqdm

    from glass_cli.engine.draw import draw
    from glass_cli.method.glass import Glass
    from glass_cli.method.path import TooFewTimes
    from glass_cli.steering.decision_window import (
        INNER,
        Watched,
        curves,
        even_time,
        moments,
        time_grid,
    )
    from glass_cli.steering.loop import NotFinite

    count = min(PROMPTS, len(prompts))
    size = PARTICLES // count
    say(
        "sampler.times=auto: no window is saved for this model and reward; a pilot of"
        f" {count * size * (TIMES + 1) * CALLS} network calls measures it"
    )
    chosen = [prompts[i * len(prompts) // count] for i in range(count)]
    flow = work.model.prompted(chosen[0], negative_prompt, work.micro_batch)
    path = flow.path
    flow.close()
    grid = time_grid(path, FIRST, LAST, TIMES)
    chain = work._replace(
        sampler=Glass(steps=CALLS, times=(0.0, *grid, 1.0), inner=INNER),
        steering=Watched(),
        metrics={},
    )
    found, nfe = [], 0
    for prompt in tqdm(chosen, desc="pilot", unit="prompt", disable=None, leave=False):
        try:
            steps = [d.step for d in draw(chain, prompt, negative_prompt, size, SEED)]
        except (NotFinite, TooFewTimes) as error:
            raise GlassError(
                f'sampler.times=auto: in the pilot, "{prompt}": {error}; use sampler.times=schedule'
            ) from error
        *seen, ends = [step.rewards.numpy() for step in steps if step.rewards is not None]
        finals = np.broadcast_to(ends[:, None], (len(seen), len(ends), 1))
        found.append(moments(np.stack(seen), finals))
        nfe += steps[-1].nfe
    shares = [float(v) for v in curves(found).foretold]
    even = [even_time(path, t) for t in grid]
    return Window(list(grid), even, shares, nfe, count, "pilot")


def timed(sampler: Any, window: Window | None) -> Any:
    """``sampler`` with the window's times in place of auto.

    Without a window, or where the reward did not vary, the model's own schedule.
    """
    from glass_cli.steering.decision_window import proposed_times

    k = sampler.transitions
    if k == 1:
        return replace(sampler, times=(0.0, 1.0))
    found = None
    if window is not None:
        found = proposed_times(window.t, window.even, window.foretold, k)
    if found is None:
        say(
            "sampler.times=auto: the reward did not vary among the pilot's particles;"
            " transitions end by the model's own schedule"
        )
        return replace(sampler, times="schedule")
    # what is written down is what is used
    return replace(sampler, times=tuple(round(t, 6) for t in found))


class Timed(NamedTuple):
    """Settings with times in place of auto, in both forms, and what the pilot cost this run."""

    made: Settings
    config: dict[str, Any]
    pilot_nfe: int | None  # None: times were not auto

    def counted(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        """``summary`` with the pilot's network calls named, and counted among all."""
        if self.pilot_nfe is None:
            return dict(summary)
        found = {**summary, "nfe": summary["nfe"] + self.pilot_nfe, "pilot_nfe": self.pilot_nfe}
        if "nfe_per_picture" in found:
            found["nfe_per_picture"] = found["nfe"] / found["pictures"]
        return {**found, "times": self.config["sampler"]["times"]}

    def told(self) -> str:
        """The times in one line, and what they cost."""
        times = self.config["sampler"]["times"]
        shown = times if isinstance(times, str) else ", ".join(f"{t:.3g}" for t in times)
        cost = f"pilot of {self.pilot_nfe} network calls" if self.pilot_nfe else "window saved"
        return f"{shown} ({cost})"


def in_place(made: Settings, config: Mapping[str, Any], window: Window | None, nfe: int) -> Timed:
    """``made`` and ``config`` with the window's times."""
    sampler = timed(made.sampler, window)
    told = sampler.times if isinstance(sampler.times, str) else list(sampler.times)
    changed = {**config, "sampler": {**config["sampler"], "times": told}}
    return Timed(made._replace(sampler=sampler), changed, nfe)


def for_sample(made: Settings, config: Mapping[str, Any], work: Work) -> tuple[Timed, Work]:
    """The same of ``glass sample``, whose model is loaded: a pilot where no window is saved."""
    if not wanted(made):
        return Timed(made, dict(config), None), work
    nfe, window = 0, None
    if made.sampler.transitions > 1:
        known = windows.read(windows.place(made))
        if known is None:
            window = measure(work, made.root.prompt_list(), made.root.negative_prompt)
            nfe = window.nfe
            windows.save(made, window)
        else:
            window = known[0]
    found = in_place(made, config, window, nfe)
    sampler: Any = work.sampler  # a dataclass that has times
    return found, work._replace(sampler=replace(sampler, times=found.made.sampler.times))


def for_eval(
    made: Settings, config: Mapping[str, Any], folder: Path, prompts: Sequence[str]
) -> tuple[Timed, Window | None]:
    """The same of ``glass eval``, and the window that :func:`keep` is to write.

    The folder's own window comes first, so that a run goes on as it began whatever has become of
    the cache. A pilot loads the model in this process, and lets go of it.
    """
    if not wanted(made):
        return Timed(made, dict(config), None), None
    if made.sampler.transitions == 1:
        return in_place(made, config, None, 0), None
    of = json.loads(json_text(windows.belongs_to(made)))
    own = windows.read(folder / FILE)
    if own is not None and own[1].get("of") == of:
        return in_place(made, config, own[0], int(own[1]["pilot_nfe"])), own[0]
    known = windows.read(windows.place(made))
    if known is not None:
        return in_place(made, config, known[0], 0), known[0]
    window = _pilot(made, prompts)
    return in_place(made, config, window, window.nfe), window


def keep(timed: Timed, made: Settings, folder: Path, window: Window | None) -> None:
    """Writes the window to the folder, then to the cache unless it is there.

    ``made`` are the settings as they were given. In this order a run that is killed in between
    still knows that the pilot was its own.
    """
    if window is None:
        return
    of = json.loads(json_text(windows.belongs_to(made)))
    with writing(folder):
        windows.write(folder / FILE, window, {"of": of, "pilot_nfe": timed.pilot_nfe})
    if not windows.place(made).exists():
        windows.save(made, window)


def _pilot(made: Settings, prompts: Sequence[str]) -> Window:
    import gc

    import torch

    from glass_cli.common.stages import Stages
    from glass_cli.engine.sample import load

    work, _ = load(made, Stages())
    window = measure(work, prompts, made.root.negative_prompt)
    del work
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return window
