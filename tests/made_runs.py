"""Folders of finished runs as `glass sample` and `glass eval` write them, with numbers given."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from glass_cli.output import thumbnails
from glass_cli.output.recorder import Recorder
from glass_cli.output.tracking import NullTracker

CONFIG = {
    "model": {
        "_target_": "glass_cli.models.diffusers_pipeline.DiffusersPipeline",
        "path": "embedded:emoji",
    },
    "sampler": {"_target_": "glass_cli.method.glass.Glass", "transitions": 2, "rho": "ddpm"},
    "steering": {"_target_": "glass_cli.steering.feynman_kac.FeynmanKac", "lam": 0.5},
    "reward": {"_target_": "glass_cli.rewards.clip.Clip", "batch": 32},
    "particles": 4,
}
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


def picture(value: int, size: int = 16) -> np.ndarray:
    return np.random.default_rng(value).integers(0, 256, (size, size, 3), dtype=np.uint8)


def sample_run(
    folder: Path,
    rewards: Mapping[str, Sequence[float | None]],
    *,
    config: Mapping[str, Any] | None = None,
    seed: int = 0,
    nfe: float = 16,
    steps: Sequence[Mapping[str, Any]] = ({"step": 0, "t": 1.0, "rewards": None},),
    metrics: Mapping[str, Sequence[float]] | None = None,
    thumbs: bool = False,
    size: int = 16,
) -> Path:
    """A run of ``glass sample``: prompt -> its particles' final rewards, the best the answer."""
    n = len(next(iter(rewards.values())))
    rows = []
    with Recorder(folder, config or CONFIG, ["particles=4"], NullTracker()) as recorder:
        for index, (prompt, r) in enumerate(rewards.items()):
            known = [-np.inf if value is None else value for value in r]
            chosen = None if all(value is None for value in r) else int(np.argmax(known))
            for step in steps:
                recorder.step({"prompt_index": index, **step})
                if thumbs and step["rewards"] is not None and step["t"] < 1:
                    shown = np.stack([picture(100 * step["step"] + i, size) for i in range(n)])
                    recorder.thumbnails(index, step["step"], shown)
            particles = [
                {
                    "particle": i,
                    "seed": seed,
                    "reward": r[i],
                    "best": i == chosen,
                    "metrics": {name: values[i] for name, values in (metrics or {}).items()},
                }
                for i in range(n)
            ]
            shown = np.stack([picture(i, size) for i in range(n)])
            recorder.images(index, prompt, shown, particles, {})
            rows.append({"prompt": prompt, "chosen": chosen, "nfe": nfe, "seconds": 2.0})
        recorder.finish({"prompts": rows, "particles": n, "seconds": 9.0})
    return folder


def eval_run(
    folder: Path,
    results: Sequence[Mapping[str, Any]],
    *,
    thumbs: bool = False,
) -> Path:
    """A run of ``glass eval``; each result has prompt, image and rewards, and may have more."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    (folder / "overrides.yaml").write_text(yaml.safe_dump(["benchmark=geneval"]))
    (folder / "identity.json").write_text("{}")
    (folder / "summary.json").write_text(json.dumps({"benchmark": "made up", "prompts": 1}))
    records: list[str] = []
    for result in results:
        prompt, image = result["prompt"], result.get("image", 0)
        if prompt not in records:
            records.append(prompt)
        index, rewards = records.index(prompt), result["rewards"]
        chosen = int(np.argmax(rewards))
        record = {
            "prompt_index": index,
            "image_index": image,
            "prompt": prompt,
            "seed": result.get("seed", image),
            "chosen": chosen,
            "reward": rewards[chosen],
            "rewards": rewards,
            "metrics": result.get("metrics", {}),
            "judged": result.get("judged", {}),
            "nfe": result.get("nfe", 16),
            "reward_calls": 8,
            "steps": result.get("steps", []),
            "image_sha256": "0",
        }
        inside = Path(f"{index:05d}", f"{image:04d}")
        _write(folder / "results" / inside.with_suffix(".json"), json.dumps(record))
        _write(folder / "times" / inside.with_suffix(".json"), json.dumps({"seconds": 3.0}))
        metadata = {"prompt": prompt, **({"tag": result["tag"]} if "tag" in result else {})}
        if image == 0:
            _write(folder / "images" / inside.parent / "metadata.jsonl", json.dumps(metadata))
        file = folder / "images" / inside.parent / "samples" / f"{image:04d}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(picture(index)).save(file)
        for step in record["steps"] if thumbs else ():
            if step["rewards"] is not None:
                path = folder / "thumbs" / inside / thumbnails.name(step["step"])
                path.parent.mkdir(parents=True, exist_ok=True)
                shown = np.stack([picture(i) for i in range(len(rewards))])
                path.write_bytes(thumbnails.strip(shown))
    return folder


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
