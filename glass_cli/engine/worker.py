"""One picture of an evaluation: drawn, scored, judged and encoded, in whatever process does it."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from glass_cli.common.devices import choose_dtype, peak_memory
from glass_cli.common.errors import GlassError
from glass_cli.common.files import json_text, plain
from glass_cli.common.stages import Stages
from glass_cli.config.settings import Settings
from glass_cli.engine.draw import Work, draw
from glass_cli.engine.records import step_record
from glass_cli.engine.sample import load
from glass_cli.method.path import TooFewTimes
from glass_cli.output.store import Finished, Unit
from glass_cli.output.thumbnails import name, strip
from glass_cli.rewards.pixels import saved
from glass_cli.steering.loop import NotFinite


def seed_of(seed: int, image: int) -> int:
    """The seed of a prompt's picture ``image``, with which ``glass sample`` draws the same one.

    Picture 0 has the run's own; the others' are hashes, so that runs with neighbouring seeds have
    no picture in common. Below 2^53, which every reader of JSON takes.
    """
    if image == 0:
        return seed
    digest = hashlib.sha256(f"{seed}\x1f{image}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 11


class _Counted:
    """A reward that counts how many samples it has scored."""

    def __init__(self, reward: Any) -> None:
        self._reward, self.calls = reward, 0

    def score(self, samples: torch.Tensor, prompt: str) -> torch.Tensor:
        self.calls += len(samples)
        out: torch.Tensor = self._reward.score(samples, prompt)
        return out

    def __getattr__(self, name: str) -> Any:
        if name != "parts":
            return getattr(self._reward, name)
        parts = self._reward.parts  # of a reward made of several

        def counted(samples: torch.Tensor, prompt: str) -> Any:
            self.calls += len(samples)
            return parts(samples, prompt)

        return counted


class Painter:
    """Everything that a process loads once, and the pictures that it draws with it.

    ``text`` is written into every picture beside its prompt and seed.
    """

    def __init__(self, made: Settings, text: str) -> None:
        self._made, self._text = made, text
        self._stages = Stages()
        work, self._device = load(made, self._stages)
        self._reward = None if work.reward is None else _Counted(work.reward)
        # a metric that is the reward itself keeps on being so
        metrics: dict[str, Any] = {
            key: self._reward if metric is work.reward else metric
            for key, metric in work.metrics.items()
        }
        self._work: Work = work._replace(reward=self._reward, metrics=metrics)
        with self._stages.stage("load"):
            dtype = choose_dtype(made.root.dtype, self._device)
            self._judge = made.benchmark.load(self._device, dtype)

    def draw(self, unit: Unit, record: Mapping[str, Any]) -> Finished:
        """Draws picture ``unit`` of the benchmark's ``record``. Raises GlassError."""
        prompt, seed = str(record["prompt"]), seed_of(self._made.root.seed, unit.image)
        began = time.monotonic()
        self._stages.seconds.clear()
        calls = 0 if self._reward is None else self._reward.calls
        steps, thumbnails, drawn = [], {}, None
        try:
            for drawn in draw(
                self._work,
                prompt,
                self._made.root.negative_prompt,
                self._made.root.particles,
                seed,
            ):
                row = step_record(drawn.step, unit.record, 0.0)
                steps.append({k: v for k, v in row.items() if k not in ("seconds", "prompt_index")})
                if self._made.root.thumbnails and self._images and drawn.samples is not None:
                    thumbnails[name(drawn.step.k)] = strip(saved(drawn.samples))
        except (NotFinite, TooFewTimes) as error:
            raise GlassError(
                f'record {unit.record}, image {unit.image} ("{prompt}"): {error}; what was finished'
                " before is kept"
            ) from error
        assert drawn is not None and drawn.samples is not None
        step = drawn.step
        answer = 0 if step.chosen is None else step.chosen
        r = step.rewards
        result: dict[str, Any] = {
            "record_index": unit.record,
            "image_index": unit.image,
            "prompt": prompt,
            "seed": seed,
            "chosen": step.chosen,
            "reward": None if r is None else float(r[answer]),
            "rewards": None if r is None else r.tolist(),
            "metrics": {key: float(scores[answer]) for key, scores in drawn.metrics.items()},
        }
        sample, picture = drawn.samples[answer], None
        with self._stages.stage("judge"):
            result["judged"] = self._judged(sample, record)
        if self._images:
            with self._stages.stage("record"):
                picture = self._png(saved(sample[None])[0], result)
        else:
            result["point"] = sample.tolist()
        result["nfe"] = step.nfe
        result["reward_calls"] = 0 if self._reward is None else self._reward.calls - calls
        result["lineages"] = step.cloud.lineages
        result["log_normaliser"] = step.cloud.log_normaliser
        result["steps"] = steps
        times = {
            "seconds": time.monotonic() - began,
            "seconds_by_stage": dict(self._stages.seconds),
            "peak_memory_bytes": peak_memory(self._device),
            "device": str(self._device),
        }
        return Finished(unit, result, times, picture, thumbnails)

    @property
    def _images(self) -> bool:
        return bool(self._made.model.output == "images")

    def _judged(self, sample: torch.Tensor, record: Mapping[str, Any]) -> dict[str, Any]:
        """What the benchmark says of the answer, which it sees as it is saved: in 256 levels."""
        if self._images:
            sample = torch.from_numpy(saved(sample[None])[0]).permute(2, 0, 1).float() / 255.0
        with torch.no_grad():
            return dict(self._judge.judge(sample, record))

    def _png(self, picture: np.ndarray, result: Mapping[str, Any]) -> bytes:
        info = PngInfo()
        info.add_itxt("prompt", plain(result["prompt"]))
        for key in ("seed", "reward"):
            info.add_itxt(key, json_text(result[key]))
        info.add_itxt("settings", self._text)
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG", pnginfo=info, compress_level=1)
        return file.getvalue()
