"""``sampler.times=auto``: where transitions end, from a decision window that is measured once.

The window of this model and reward is looked for in the user's cache
(:mod:`glass_cli.engine.window_cache`); where there is none, a short pilot measures it on the run's
own prompts, with a fixed seed, and caches it for all later runs; where they are few, for runs of
the same prompts. ``glass eval benchmark=window`` measures it with more care, and caches it for all.
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
from glass_cli.engine.window_cache import MeasuredWindow
from glass_cli.output.progress import counted

if TYPE_CHECKING:
    from glass_cli.config.settings import Settings
    from glass_cli.engine.draw import Work

FILE = "window.json"  # in the folder of a run, which keeps to the window that it began with
# The pilot: chains of transitions of so many calls each, through times over the whole way.
PARTICLES, PROMPTS, TIMES, CALLS = 96, 24, 10, 2
SEED = 1_000_003  # not that of a run, whose particles the window shall not have seen
FIRST, LAST = 0.03, 0.85  # on the straight path; see steering.decision_window.time_grid


def measure(work: Work, prompts: Sequence[str], negative_prompt: str) -> MeasuredWindow:
    """The pilot: PARTICLES chains over at most PROMPTS prompts, spread over the list.

    A chain runs from noise to data through the times of the grid, by GLASS transitions with DDPM
    correlation and two calls each: x_t has the model's law at every time, and the end of the chain
    is a draw given each x_t on its way. So one final reward a chain tells of all times, at no
    network call beyond the chain's own.

    Raises GlassError for a model or reward that gives NaN or infinity, and for a model that was
    trained at fewer times than the grid has.
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
    from glass_cli.steering.state import NotFinite

    count = min(PROMPTS, len(prompts))
    size = PARTICLES // count
    few = window_cache.of_few(prompts)
    alone = (
        f" on {len(few)} prompt{'s' * (len(few) > 1)}, and for {'these' if few[1:] else 'it'} alone"
        " (glass eval benchmark=window measures one for all)"
    )
    say(
        "sampler.times=auto: no window is cached for this model and reward; a pilot of"
        f" {count * size * (TIMES + 1) * CALLS} network calls measures it{alone if few else ''}"
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
        budget=None,
    )
    of_prompts, nfe = [], 0
    for prompt in counted(chosen, "pilot prompt"):
        try:
            steps = [d.step for d in draw(chain, prompt, negative_prompt, size, SEED)]
        except (NotFinite, TooFewTimes) as error:
            raise GlassError(
                f'sampler.times=auto: in the pilot, "{prompt}": {error}; use sampler.times=schedule'
            ) from error
        *seen, ends = [step.rewards.numpy() for step in steps if step.rewards is not None]
        finals = np.broadcast_to(ends[:, None], (len(seen), len(ends), 1))
        of_prompts.append(moments(np.stack(seen), finals))
        nfe += steps[-1].nfe
    shares = [float(v) for v in curves(of_prompts).foretold]
    even = [even_time(path, t) for t in grid]
    return MeasuredWindow(list(grid), even, shares, nfe, count, "pilot")


def with_times_of(sampler: Any, window: MeasuredWindow | None) -> Any:
    """``sampler`` with the window's times in place of auto.

    Without a window, or where the reward did not vary, the model's own schedule.
    """
    from glass_cli.steering.decision_window import proposed_times

    k = sampler.transitions
    if k == 1:
        return replace(sampler, times=(0.0, 1.0))
    times = None
    if window is not None:
        times = proposed_times(window.t, window.even, window.foretold, k)
    if times is None:
        say(
            "sampler.times=auto: the reward did not vary among the pilot's particles;"
            " transitions end by the model's own schedule"
        )
        return replace(sampler, times="schedule")
    # what is written down is what is used
    return replace(sampler, times=tuple(round(t, 6) for t in times))


class Decided(NamedTuple):
    """Settings with times in place of auto, and where they are from.

    settings: its ``sampler.times`` and ``config`` say what is used.
    given: the settings as they came, of which :func:`keep` caches the window.
    pilot_nfe: network calls that the pilot of this folder cost; None where times were not auto.
    window: what :func:`keep` is to write.
    few: the prompts that the window is of alone, see :func:`window_cache.of_few`.
    work: what the pilot loaded, where this process goes on with it.
    """

    settings: Settings
    given: Settings
    pilot_nfe: int | None = None
    window: MeasuredWindow | None = None
    few: tuple[str, ...] = ()
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
        cost = f"pilot of {self.pilot_nfe} network calls" if self.pilot_nfe else "no pilot needed"
        return f"{shown} ({cost})"


def decide(settings: Settings, folder: Path, prompts: Sequence[str]) -> Decided:
    """Settings with times in place of ``sampler.times=auto``; others as they are.

    The folder's own window comes first, so that a run goes on as it began whatever has become of
    the cache; then the cache's; else a pilot measures one. Raises GlassError for a sampler without
    a number of transitions, and as :func:`measure`.
    """
    if settings.sampler.times != "auto":
        return Decided(settings, settings)
    if settings.sampler.transitions is None:
        raise GlassError(
            "sampler.times=auto needs sampler.transitions, the number of times to find; this"
            " sampler has none, so give the times themselves as sampler.times=[...]"
        )
    if settings.sampler.transitions == 1:
        return _decided(settings, None, 0, ())
    few = window_cache.of_few(prompts)
    own = window_cache.read_own(folder / FILE, settings, few)
    if own is not None:
        nfe = own[1].get("pilot_nfe")
        nfe = nfe if isinstance(nfe, int) else 0
        return _decided(settings, own[0], nfe, window_cache.few_of(own[0], prompts))
    for of in dict.fromkeys([(), few]):
        cached = window_cache.read_own(window_cache.path_of(settings, of), settings, of)
        if cached is not None:
            return _decided(settings, cached[0], 0, of)
    from glass_cli.common.stages import Stages
    from glass_cli.engine.load import load

    work, _ = load(settings, Stages())
    window = measure(work, prompts, settings.root.negative_prompt)
    decided = _decided(settings, window, window.nfe, few)
    if not settings.launcher.in_process:
        return decided  # others draw: what was loaded here is let go of
    return decided._replace(work=work._replace(sampler=decided.settings.sampler))


def _belongs_to(settings: Settings) -> Any:
    """What the window depends on, as a file gives it back."""
    return json.loads(json_text(window_cache.belongs_to(settings)))


def _decided(
    settings: Settings, window: MeasuredWindow | None, nfe: int, few: tuple[str, ...]
) -> Decided:
    """The settings with the window's times."""
    sampler = with_times_of(settings.sampler, window)
    times = sampler.times if isinstance(sampler.times, str) else list(sampler.times)
    config = {**settings.config, "sampler": {**settings.config["sampler"], "times": times}}
    return Decided(settings._replace(sampler=sampler, config=config), settings, nfe, window, few)


def keep(decided: Decided, folder: Path) -> None:
    """Writes the window to the folder, then to the cache unless a whole one is there.

    In this order a run that is killed in between still knows that the pilot was its own. Raises
    GlassError where the folder cannot be written.
    """
    if decided.window is None:
        return
    with writing_to(folder):
        more = {"of": _belongs_to(decided.given), "pilot_nfe": decided.pilot_nfe}
        window_cache.write(folder / FILE, decided.window, more)
    given, few = decided.given, decided.few
    if window_cache.read_own(window_cache.path_of(given, few), given, few, quiet=True) is None:
        window_cache.save(given, decided.window, few)
