"""How often the embedded detector is right: held-out scenes, and their twins that are wrong."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from glass_cli.benchmarks.detections import LoadedDetector
from glass_cli.benchmarks.geneval import LoadedGenEval
from glass_cli.embedded.train.data import pictures, scenes
from glass_cli.embedded.world.scenes import Scene, World
from glass_cli.embedded.world.twins import twin
from glass_cli.pipelines.codec import PatchAutoencoder

HELD_OUT = 987_654_321  # the scenes' seed; training has small ones


def record_of(scene: Scene) -> dict[str, Any]:
    """GenEval's record of what a scene's prompt says."""
    record: dict[str, Any] = {"tag": scene.task, "prompt": scene.prompt}
    items = scene.items[:1] if scene.task == "counting" else scene.items
    include: list[dict[str, Any]] = [{"class": item.name, "count": 1} for item in items]
    for clause, item in zip(include, items, strict=True):
        if item.color is not None:
            clause["color"] = item.color
    if scene.task == "counting":
        count = len(scene.items)
        include[0]["count"] = count
        record["exclude"] = [{"class": items[0].name, "count": count + 1}]
    if scene.relation is not None:
        include[1]["position"] = [scene.relation, 0]
    return {**record, "include": include}


@torch.no_grad()
def evaluate(
    detector: LoadedDetector, world: World, count: int, change: Callable[[Tensor], Tensor]
) -> dict[str, float]:
    """The share of verdicts that are right, over ``count`` scenes and as many twins.

    A scene is to be judged right by its own record; its twin, which differs in one respect, wrong
    by the same one. ``change`` is what is done to the pictures (N, 3, H, W) in [0, 1] before.
    ``right: <task>`` and ``wrong: <respect>`` are the parts, ``all verdicts`` the whole.
    """
    judge = LoadedGenEval(detector)
    rng = random.Random("held out")
    hits: dict[str, list[bool]] = defaultdict(list)
    for step in range(max(1, count // 50)):
        batch = scenes(world, HELD_OUT, step, 50)
        pairs = [twin(world, scene, rng) for scene in batch]
        x = change(pictures(world, batch + [scene for _, scene in pairs]) / 2 + 0.5)
        for i, scene in enumerate(batch):
            record = record_of(scene)
            hits[f"right: {scene.task}"].append(judge.judge(x[i], record)["correct"])
            wrong = judge.judge(x[len(batch) + i], record)
            hits[f"wrong: {pairs[i][0]}"].append(not wrong["correct"])
    shares = {key: sum(values) / len(values) for key, values in sorted(hits.items())}
    every = [hit for values in hits.values() for hit in values]
    return {**shares, "all verdicts": sum(every) / len(every)}


def changes(vae: PatchAutoencoder, noise: float) -> dict[str, Callable[[Tensor], Tensor]]:
    """The pictures as rendered, through the model's codec, and with noise on its codes."""

    def through(x: Tensor, level: float) -> Tensor:
        codes = vae.codes(2 * x - 1)
        generator = torch.Generator().manual_seed(HELD_OUT)
        codes = codes + level * torch.randn(codes.shape, generator=generator)
        return (vae.decode(codes, return_dict=False)[0] / 2 + 0.5).clamp(0.0, 1.0)

    return {
        "as rendered": lambda x: x,
        "through the codec": lambda x: through(x, 0.0),
        f"codes noised by {noise}": lambda x: through(x, noise),
    }
