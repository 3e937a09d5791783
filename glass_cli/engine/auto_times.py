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
from glass_cli.common.files import json_text, writing_to
from glass_cli.common.messages import say
from glass_cli.engine import window_cache
from glass_cli.engine.window_cache import Window
from glass_cli.output.progress import counted

if TYPE_CHECKING:
    from glass_cli.config.settings import Settings
    from glass_cli.engine.draw import Work

FILE = "window.json"  # in the folder of an evaluation, which keeps to the window that it began with
# The pilot: chains of transitions of so many calls each, through times over the whole way.
PARTICLES, PROMPTS, TIMES, CALLS = 96, 24, 10, 2
SEED = 1_000_003  # not that of a run, whose particles the window shall not have seen
FIRST, LAST = 0.03, 0.85  # on the straight path; see steering.window.time_grid


def wanted(settings: Settings) -> bool:
    return settings.sampler.times == "auto"


def measure(work: Work, prompts: Sequence[str], negative_prompt: str) -> Window:
    """The pilot: PARTICLES chains over at most PROMPTS prompts, spread over the list.

    A chain runs from noise to data through the times of the grid, by GLASS transitions with DDPM
    correlation and two calls each: x_t has the model's law at every time, and the end of the chain
    is a draw given each x_t on its way. So one final reward a chain tells of all times, at no
    network call beyond the chain's own.
    """
    import numpy as np

    from glass_cli.engine.draw import draw
    from glass_cli.method.glass import Glass
    from glass_cli.method.path import TooFewTimes
    from glass_cli.steering.decision_window import (
        INNER,
        RewardProbe,
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
        steering=RewardProbe(),
        metrics={},
        calls=None,
    )
    found, nfe = [], 0
    for prompt in counted(chosen, "pilot prompt"):
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


class Decided(NamedTuple):
    """Settings with times in place of auto, and where they are from.

    settings: its ``sampler.times`` and ``config`` say what is used.
    pilot_nfe: network calls that the pilot of this folder cost; None where times were not auto.
    window: what :func:`keep` is to write, with the settings of ``given``.
    work: what the pilot loaded, where this process goes on with it.
    """

    settings: Settings
    given: Settings
    pilot_nfe: int | None = None
    window: Window | None = None
    work: Work | None = None

    def counted(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        """``summary`` with the pilot's network calls named, and counted among all."""
        if self.pilot_nfe is None:
            return dict(summary)
        nfe = summary["nfe"] + self.pilot_nfe
        return {
            **summary,
            "nfe": nfe,
            "pilot_nfe": self.pilot_nfe,
            "nfe_per_picture": nfe / summary["pictures"],
            "nfe_per_particle": nfe / (summary["pictures"] * summary["particles"]),
            "times": self.settings.config["sampler"]["times"],
        }

    def note(self) -> str | None:
        """The times in one line, and what they cost; None where times were not auto."""
        if self.pilot_nfe is None:
            return None
        times = self.settings.config["sampler"]["times"]
        shown = times if isinstance(times, str) else ", ".join(f"{t:.3g}" for t in times)
        cost = f"pilot of {self.pilot_nfe} network calls" if self.pilot_nfe else "window saved"
        return f"{shown} ({cost})"


def decide(settings: Settings, folder: Path, prompts: Sequence[str]) -> Decided:
    """Settings with times in place of ``sampler.times=auto``; others as they are.

    The folder's own window comes first, so that a run goes on as it began whatever has become of
    the cache; then the cache's; else a pilot measures one.
    """
    if not wanted(settings):
        return Decided(settings, settings)
    if settings.sampler.transitions == 1:
        return _in_place(settings, None, 0)
    of = json.loads(json_text(window_cache.belongs_to(settings)))
    own = window_cache.read(folder / FILE)
    if own is not None and own[1].get("of") == of:
        return _in_place(settings, own[0], int(own[1]["pilot_nfe"]))
    known = window_cache.read(window_cache.place(settings))
    if known is not None:
        return _in_place(settings, known[0], 0)
    from glass_cli.common.stages import Stages
    from glass_cli.engine.load import load

    work, _ = load(settings, Stages())
    window = measure(work, prompts, settings.root.negative_prompt)
    decided = _in_place(settings, window, window.nfe)
    # where others draw, its memory is let go of
    return decided._replace(work=work) if settings.launcher.in_process else decided


def _in_place(settings: Settings, window: Window | None, nfe: int) -> Decided:
    """The settings with the window's times."""
    sampler = timed(settings.sampler, window)
    times = sampler.times if isinstance(sampler.times, str) else list(sampler.times)
    config = {**settings.config, "sampler": {**settings.config["sampler"], "times": times}}
    return Decided(settings._replace(sampler=sampler, config=config), settings, nfe, window)


def keep(decided: Decided, folder: Path) -> None:
    """Writes the window to the folder, then to the cache unless it is there.

    In this order a run that is killed in between still knows that the pilot was its own.
    """
    if decided.window is None:
        return
    of = json.loads(json_text(window_cache.belongs_to(decided.given)))
    with writing_to(folder):
        more = {"of": of, "pilot_nfe": decided.pilot_nfe}
        window_cache.write(folder / FILE, decided.window, more)
    if not window_cache.place(decided.given).exists():
        window_cache.save(decided.given, decided.window)
