"""Folders of finished runs as `glass sample` and `glass eval` write them, with given numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glass_cli.output import thumbnails
from glass_cli.output.finished import Finished, Unit
from glass_cli.output.png import png_bytes
from glass_cli.output.units import units_summary
from glass_cli.output.writer import RunFolder

CONFIG: dict[str, Any] = {
    "model": {
        "_target_": "glass_cli.models.diffusers_pipeline.DiffusersPipeline",
        "path": "embedded:emoji",
        "guidance": 1.0,
    },
    "sampler": {"_target_": "glass_cli.method.glass.Glass", "transitions": 2, "rho": "ddpm"},
    "steering": {
        "_target_": "glass_cli.steering.feynman_kac.FeynmanKac",
        "lam": 0.5,
        "potential": "difference",  # by which it is fk and not bfs
    },
    "reward": {"_target_": "glass_cli.rewards.clip.Clip", "batch": 32},
    "particles": 4,
}
GENEVAL = {"_target_": "glass_cli.benchmarks.geneval.GenEval", "limit": None, "images": 1}
# Four particles: 0 and 3 are killed at t = 0.5, 1 has three children; then 0, 1, 2 are 1's.
LOG_W = [float(w) for w in np.log([0.05, 0.7, 0.2, 0.05])]
STEPS: list[dict[str, Any]] = [
    {"step": 0, "t": 0.0, "nfe": 4, "rewards": None, "log_w": [float(-np.log(4))] * 4, "ess": 4.0,
     "resampled": False, "ancestors": None, "lineages": 4},
    {"step": 1, "t": 0.5, "nfe": 12, "rewards": [1.0, 4.0, 3.0, 1.5], "log_w": LOG_W, "ess": 1.9,
     "resampled": True, "ancestors": [1, 1, 1, 2], "lineages": 2},
    {"step": 2, "t": 1.0, "nfe": 16, "rewards": [4.0, 6.0, 5.0, 3.0],
     "log_w": [0.0, 1.0, 0.5, -9.0], "ess": 2.4,
     "resampled": False, "ancestors": None, "lineages": 2},
]  # fmt: skip


Rewards = Mapping[str, Sequence[float | None]]
"""Prompt -> the final rewards of its particles."""


def picture(value: int, size: int = 16) -> np.ndarray:
    return np.random.default_rng(value).integers(0, 256, (size, size, 3), dtype=np.uint8)


def with_setting(key: str, value: Any, config: Mapping[str, Any] = CONFIG) -> dict[str, Any]:
    """``config`` with another value of a dotted key."""
    group, _, inner = key.partition(".")
    return {**config, group: {**config[group], inner: value} if inner else value}


def sample_run(
    folder: Path,
    rewards: Rewards,
    *,
    config: Mapping[str, Any] = CONFIG,
    overrides: Sequence[str] = ("particles=4",),
    seed: int = 0,
    nfe: float = 16,
    steps: Sequence[Mapping[str, Any]] = ({"step": 0, "t": 1.0, "rewards": None},),
    metrics: Mapping[str, Sequence[float]] | None = None,
    thumbs: bool = False,
    size: int | None = 16,
) -> Path:
    """A run of ``glass sample``: prompt -> its particles' final rewards, the best the answer.

    size: of the pictures; None for points.
    """
    out = RunFolder(folder)
    out.settings({**config, "seed": seed}, overrides)
    for index, (prompt, r) in enumerate(rewards.items()):
        unit = Unit(index, 0)
        result = _result(unit, prompt, seed, r, nfe, steps, metrics or {})
        files = {}
        for i, particle in enumerate(result["particles"]):
            if size is None:
                particle["point"] = [float(i), 0.0]
                continue
            particle["file"] = f"images/{index:05d}/{i:04d}.png"
            files[particle["file"]] = png_bytes(picture(i, size), {})
        if thumbs and size is not None:
            files |= _thumbnails(unit, [s for s in steps if s["t"] < 1], size)
        out.write(Finished(unit, result, {"seconds": 2.0}, files))
    _finish(out, "sample", None, range(len(rewards)), 1, {})
    return folder


def eval_run(
    folder: Path,
    results: Sequence[Mapping[str, Any]],
    *,
    config: Mapping[str, Any] = CONFIG,
    benchmark: str = "GenEval",
    thumbs: bool = False,
    scores: Mapping[str, Any] | None = None,
) -> Path:
    """A run of ``glass eval``; each result has prompt, image and rewards, and may have more."""
    out = RunFolder(folder)
    overrides = ["benchmark=geneval"]
    out.settings({"seed": 0, **config, "benchmark": GENEVAL}, overrides)
    prompts = list(dict.fromkeys(str(result["prompt"]) for result in results))
    for given in results:
        unit = Unit(prompts.index(given["prompt"]), given.get("image", 0))
        steps, rewards = given.get("steps", []), given["rewards"]
        result = _result(
            unit, given["prompt"], given.get("seed", unit.image_index), rewards,
            given.get("nfe", 16), steps, given.get("metrics", {}),
        )  # fmt: skip
        result["judged"] = given.get("judged", {})
        name = f"images/{unit.prompt_index:05d}/samples/{unit.image_index:04d}.png"
        result["particles"][result["chosen"] or 0]["file"] = name
        files = {name: png_bytes(picture(unit.prompt_index), {})}
        if thumbs:
            files |= _thumbnails(unit, steps, 16)
        out.write(Finished(unit, result, {"seconds": 3.0}, files))
        if unit.image_index == 0:
            tag = {"tag": given["tag"]} if "tag" in given else {}
            metadata = json.dumps({"prompt": given["prompt"], **tag})
            (folder / name).parents[1].joinpath("metadata.jsonl").write_text(metadata)
    images = 1 + max(result.get("image", 0) for result in results)
    assert len(results) == images * len(prompts), "every prompt has as many images"
    _finish(out, "eval", benchmark, range(len(prompts)), images, scores or {})
    return folder


def _result(
    unit: Unit,
    prompt: str,
    seed: int,
    rewards: Sequence[float | None],
    nfe: float,
    steps: Sequence[Mapping[str, Any]],
    metrics: Mapping[str, Sequence[float]],
) -> dict[str, Any]:
    known = [-np.inf if value is None else value for value in rewards]
    chosen = None if all(value is None for value in rewards) else int(np.argmax(known))
    return {
        **unit._asdict(),
        "prompt": prompt,
        "seed": seed,
        "chosen": chosen,
        "reward": None if chosen is None else rewards[chosen],
        "rewards": list(rewards),
        "metrics": {} if chosen is None else {k: v[chosen] for k, v in metrics.items()},
        "mean_metrics": {k: float(np.mean(v)) for k, v in metrics.items()},
        "judged": {},
        "nfe": nfe,
        "reward_calls": 8,
        "particles": [
            {"particle": i, "reward": r, "metrics": {k: v[i] for k, v in metrics.items()}}
            for i, r in enumerate(rewards)
        ],
        "steps": list(steps),
    }


def _thumbnails(unit: Unit, steps: Sequence[Mapping[str, Any]], size: int) -> dict[str, bytes]:
    files = {}
    for step in steps:
        if step["rewards"] is not None:
            n = len(step["rewards"])
            shown = np.stack([picture(100 * step["step"] + i, size) for i in range(n)])
            name = Path("thumbs") / unit.inside / thumbnails.name(step["step"])
            files[name.as_posix()] = thumbnails.strip(shown)
    return files


def _finish(
    out: RunFolder,
    command: str,
    benchmark: str | None,
    prompts: Sequence[int],
    images: int,
    scores: Mapping[str, Any],
) -> None:
    units = units_summary(prompts, images)
    summary = {"command": command, "benchmark": benchmark, "scores": scores, "units": units}
    out.finish({**summary, "seconds": 9.0, "devices": ["cpu"]})
