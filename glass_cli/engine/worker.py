"""One prompt and image, drawn, scored, judged and encoded, in whatever process does it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glass_cli.common.devices import choose_dtype, peak_memory
from glass_cli.common.errors import GlassError
from glass_cli.common.files import json_text
from glass_cli.common.stages import Stages
from glass_cli.config.settings import Settings
from glass_cli.engine.counted_reward import CountedReward
from glass_cli.engine.draw import Drawn, Heard, Work, draw
from glass_cli.engine.launchers.base import Keep, Watch
from glass_cli.engine.load import load
from glass_cli.engine.records import particle_records, result_record, step_record
from glass_cli.method.path import TooFewTimes
from glass_cli.output import thumbnails
from glass_cli.output.density_sheet import DENSITY_PROMPTS, density_name
from glass_cli.output.finished import Finished, Unit
from glass_cli.output.png import png_bytes
from glass_cli.rewards.pixels import to_uint8
from glass_cli.steering.state import NotFinite, Step

_PNG_TEXTS = ("particle", "reward", "metrics", "terms")


def seed_of(seed: int, image: int) -> int:
    """The seed of a prompt's image ``image``, with which ``glass sample`` draws the same one.

    Image 0 has the run's own; the others' are hashes, so that runs with neighbouring seeds have
    no picture in common. Below 2^53, which every reader of JSON takes.
    """
    if image == 0:
        return seed
    digest = hashlib.sha256(f"{seed}\x1f{image}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 11


class Worker:
    """Everything that a process loads once, and the units that it draws with it.

    settings: of the run, with times in place of ``sampler.times=auto``.
    keep: whose pictures are kept.
    text: what every picture says of its settings.
    loaded: model and rewards, where the process has them already.
    """

    def __init__(
        self, settings: Settings, keep: Keep, text: str, loaded: Work | None = None
    ) -> None:
        self._settings, self._keep, self._text = settings, keep, text
        self._stages = Stages()
        if loaded is None:
            work, self._device = load(settings, self._stages)
        else:
            work, self._device = loaded._replace(stages=self._stages), loaded.model.state.device
        self._reward = None if work.reward is None else CountedReward(work.reward)
        # a metric that is the reward itself keeps on being so
        metrics: dict[str, Any] = {
            key: self._reward if metric is work.reward else metric
            for key, metric in work.metrics.items()
        }
        self._work = work._replace(reward=self._reward, metrics=metrics)
        self._dtype = choose_dtype(settings.root.dtype, self._device)
        self._judge = None
        if settings.benchmark is not None:
            with self._stages.stage("load"):
                self._judge = settings.benchmark.load(self._device, self._dtype)
        self._loading = self._stages.seconds.get("load", 0.0)

    def draw(self, unit: Unit, record: Mapping[str, Any], watch: Watch | None = None) -> Finished:
        """Draws ``unit`` of the prompt's ``record``. Raises GlassError."""
        prompt, seed = str(record["prompt"]), seed_of(self._settings.root.seed, unit.image_index)
        began = time.monotonic()
        self._stages.seconds.clear()
        if self._loading:  # counts for the first unit of a process
            self._stages.seconds["load"], self._loading = self._loading, 0.0
        scored = 0 if self._reward is None else self._reward.calls
        steps: list[dict[str, Any]] = []
        files: dict[str, bytes] = {}
        seconds: list[float] = []
        drawn = None
        heard = None if watch is None else partial(watch.calls, unit)
        try:
            for drawn in self._steps(prompt, seed, heard):
                with self._stages.stage("record"):
                    steps.append(step_record(drawn.step))
                    seconds.append(time.monotonic() - began)
                    files |= self._thumbnails(unit, drawn)
                    if watch is not None:
                        watch.step(unit, drawn.step)
        except (NotFinite, TooFewTimes) as error:
            raise GlassError(
                f'prompt {unit.prompt_index}, image {unit.image_index} ("{prompt}"): {error};'
                " what was finished before is kept"
            ) from error
        assert drawn is not None and drawn.samples is not None
        particles = particle_records(drawn)
        with self._stages.stage("judge"):
            judged = self._judged(drawn, record)
        with self._stages.stage("record"):
            files |= self._pictures(unit, prompt, seed, drawn, particles)
            files |= self._plot(unit, prompt, drawn)
        result = result_record(unit, prompt, seed, drawn, self._answer(drawn), judged)
        result["reward_calls"] = 0 if self._reward is None else self._reward.calls - scored
        times = {
            "seconds": time.monotonic() - began,
            "seconds_by_stage": dict(self._stages.seconds),
            "seconds_by_step": seconds,
            "peak_memory_bytes": peak_memory(self._device),
            "device": str(self._device),
            "dtype": str(self._dtype).removeprefix("torch."),
        }
        return Finished(unit, {**result, "particles": particles, "steps": steps}, times, files)

    def _steps(self, prompt: str, seed: int, heard: Heard | None) -> Iterator[Drawn]:
        root = self._settings.root
        return draw(self._work, prompt, root.negative_prompt, root.particles, seed, heard)

    @property
    def _images(self) -> bool:
        return bool(self._settings.model.output == "images")

    def _thumbnails(self, unit: Unit, drawn: Drawn) -> dict[str, bytes]:
        """What was scored, small; without the end where its pictures are kept whole."""
        wanted = self._settings.root.thumbnails
        if wanted is None:
            wanted = self._keep == "particles"
        last = drawn.step.t >= 1.0 and self._keep == "particles"
        if not wanted or not self._images or drawn.samples is None or last:
            return {}
        name = Path("thumbs") / unit.inside / thumbnails.name(drawn.step.k)
        return {name.as_posix(): thumbnails.strip(to_uint8(drawn.samples))}

    def _answer(self, drawn: Drawn) -> int | None:
        """The particle that answers the prompt; a benchmark gets the first where none is chosen."""
        if drawn.step.chosen is None and self._keep == "answer":
            return 0
        return drawn.step.chosen

    def _judged(self, drawn: Drawn, record: Mapping[str, Any]) -> dict[str, Any]:
        """What the benchmark says of the answer, which it sees as it is saved: in 256 levels."""
        answer = self._answer(drawn)
        if self._judge is None or answer is None:
            return {}
        assert drawn.samples is not None
        sample = drawn.samples[answer]
        if self._images:
            sample = torch.from_numpy(to_uint8(sample[None])[0]).permute(2, 0, 1).float() / 255.0
        with torch.no_grad():
            return dict(self._judge.judge(sample, record))

    def _pictures(
        self, unit: Unit, prompt: str, seed: int, drawn: Drawn, particles: list[dict[str, Any]]
    ) -> dict[str, bytes]:
        """The PNG files that are kept, named in their ``particles``; or these get their points."""
        assert drawn.samples is not None
        answer = self._answer(drawn)
        kept = range(len(particles)) if self._keep == "particles" else [answer]
        files = {}
        for i in kept:
            assert i is not None
            particle = particles[i]
            if not self._images:
                particle["point"] = drawn.samples[i].tolist()
                continue
            folder = Path("images", f"{unit.prompt_index:05d}")
            if self._keep == "particles":
                name = (folder / f"{i:04d}.png").as_posix()
            else:
                name = (folder / "samples" / f"{unit.image_index:04d}.png").as_posix()
            picture: np.ndarray = to_uint8(drawn.samples[i : i + 1])[0]
            texts = {key: json_text(particle[key]) for key in _PNG_TEXTS}
            more = {"prompt": prompt, "seed": str(seed), "settings": self._text}
            files[name] = png_bytes(picture, {**more, **texts})
            particle["file"] = name
        return files

    def _plot(self, unit: Unit, prompt: str, drawn: Drawn) -> dict[str, bytes]:
        """A prompt's points against the model's density, where that is known."""
        if self._images or self._keep != "particles" or unit.prompt_index >= DENSITY_PROMPTS:
            return {}
        assert drawn.samples is not None
        tilt = self._tilt(drawn.step, drawn.samples.shape[-1])
        title = f'prompt {unit.prompt_index}, "{prompt}"'
        png = self._work.model.plot_density(drawn.samples, drawn.step.log_w, tilt, title)
        return {} if png is None else {density_name(unit.prompt_index): png}

    def _tilt(self, step: Step, dim: int) -> Tensor | None:
        """The exponent of the law that steering by a linear reward aims at; None otherwise."""
        if step.particles.lam is None or self._reward is None or self._work.steering.guidance > 0.0:
            return None
        coefficients = self._reward.linear_coefficients(dim)
        return None if coefficients is None else step.particles.lam * coefficients
