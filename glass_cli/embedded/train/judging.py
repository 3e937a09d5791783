"""How often the embedded detector is right: on held-out scenes, and on hard negatives of them."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from glass_cli.benchmarks.geneval import LoadedGenEval
from glass_cli.detectors.detections import LoadedDetector
from glass_cli.embedded.train.data import pictures, unseen_pairs, unseen_scene
from glass_cli.embedded.world.content import WEIGHTS, Content
from glass_cli.embedded.world.grammar import describe
from glass_cli.embedded.world.negatives import RESPECTS
from glass_cli.embedded.world.objects import CLASSES
from glass_cli.embedded.world.scene import Scene
from glass_cli.pipelines.codec import PatchAutoencoder

SEED = 987_654_321  # of the held-out scenes; training has small ones
BATCH = 50


def record_of(content: Content, tag: str, only: Sequence[str] | None = None) -> dict[str, Any]:
    """GenEval's record of what a content's prompt says.

    A group's colour and number are one clause, each relation another one with the same group.
    ``only``: the classes of which no object may be there that the content does not have, so that
    one object too many is a mistake; None for GenEval's own rule, by which only objects of a
    counted class can be too many.
    """
    include: list[dict[str, Any]] = []
    for group in content.groups:
        clause: dict[str, Any] = {"class": group.name, "count": group.count}
        include.append(clause if group.color is None else {**clause, "color": group.color})
    for relation in content.relations:
        place = [relation.word, relation.object]
        include.append({**include[relation.subject], "position": place})
    counts = {group.name: group.count for group in content.groups}
    limited = [name for name, n in counts.items() if n > 1] if only is None else only
    exclude = [{"class": name, "count": counts.get(name, 0) + 1} for name in limited]
    return {"tag": tag, "prompt": describe(content), "include": include, "exclude": exclude}


@torch.no_grad()
def evaluate(
    detector: LoadedDetector, count: int, change: Callable[[Tensor], Tensor]
) -> dict[str, float]:
    """The share of verdicts that are right, over ``count`` held-out scenes and as many negatives.

    ``right: <kind>`` are scenes that are to be found right by their own record, ``wrong:
    <respect>`` hard negatives that are to be found wrong by the record of the scene that they
    differ from, ``all verdicts`` the whole. An object more than the record names is wrong here.
    ``change`` is what is done to the pictures (N, 3, H, W) in [0, 1] before.
    """
    judge = LoadedGenEval(detector)
    rng = random.Random(SEED)
    hits: dict[str, list[bool]] = defaultdict(list)

    def correct(batch: Sequence[Scene], wanted: Sequence[Content], tag: str) -> list[bool]:
        verdicts: list[bool] = []
        for start in range(0, len(batch), BATCH):
            x = change(pictures(batch[start : start + BATCH]) / 2 + 0.5)
            records = [record_of(c, tag, CLASSES) for c in wanted[start : start + BATCH]]
            verdicts += [judge.judge(*pair)["correct"] for pair in zip(x, records, strict=True)]
        return verdicts

    for kind in WEIGHTS:
        batch = [unseen_scene(rng, kind) for _ in range(-(-count // len(WEIGHTS)))]
        hits[f"right: {kind}"] = correct(batch, [scene.content for scene in batch], kind)
    for respect in RESPECTS:
        pairs = unseen_pairs(rng, respect, -(-count // len(RESPECTS)))
        found = correct([other for _, other in pairs], [s.content for s, _ in pairs], "negative")
        hits[f"wrong: {respect}"] = [not verdict for verdict in found]
    shares = {key: sum(values) / len(values) for key, values in hits.items()}
    every = [hit for values in hits.values() for hit in values]
    return {**shares, "all verdicts": sum(every) / len(every)}


def changes(vae: PatchAutoencoder, noise: float) -> dict[str, Callable[[Tensor], Tensor]]:
    """The pictures as rendered, through the model's codec, and with noise on its codes."""

    def through(x: Tensor, level: float) -> Tensor:
        codes = vae.codes(2 * x - 1)
        generator = torch.Generator().manual_seed(SEED)
        codes = codes + level * torch.randn(codes.shape, generator=generator)
        return (vae.decode(codes, return_dict=False)[0] / 2 + 0.5).clamp(0.0, 1.0)

    return {
        "as rendered": lambda x: x,
        "through the codec": lambda x: through(x, 0.0),
        f"codes noised by {noise}": lambda x: through(x, noise),
    }
