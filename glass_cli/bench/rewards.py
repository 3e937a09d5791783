"""Seconds a picture and peak memory of the published rewards at full size, on random weights.

Each reward is measured in a process of its own:
``python -m glass_cli.bench.rewards NAME SIZE DTYPE BATCH...`` prints one line of JSON.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

from glass_cli.output.tables import Table

BATCHES = (1, 8, 32)
REWARDS = ("clip", "aesthetic", "imagereward", "pickscore", "hpsv2")
SIDE = 512  # pictures to be scored
MIB = 2**20


def _clip(huge: bool, small: bool) -> Any:
    """CLIP ViT-L/14 or ViT-H/14, or one of two layers, unfilled."""
    from transformers import CLIPConfig, CLIPModel

    depths, widths, hidden, wide = (24, 12), (1024, 768), (4096, 3072), 768
    if huge:
        depths, widths, hidden, wide = (32, 24), (1280, 1024), (5120, 4096), 1024
    towers = []
    for i, head in enumerate((widths[0] // 16, 64)):
        towers.append(
            {
                "num_hidden_layers": 2 if small else depths[i],
                "hidden_size": 2 * head if small else widths[i],
                "num_attention_heads": 2 if small else widths[i] // head,
                "intermediate_size": 32 if small else hidden[i],
                "hidden_act": "gelu" if huge else "quick_gelu",
            }
        )
    picture, text = {**towers[0], "patch_size": 14, "image_size": 224}, towers[1]
    return CLIPModel(CLIPConfig(vision_config=picture, text_config=text, projection_dim=wide))


def _blip(small: bool) -> tuple[Any, Any]:
    from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

    eye = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
    text: dict[str, Any] = {"num_hidden_layers": 12, "num_attention_heads": 12}
    if small:
        eye = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
        text = {"num_hidden_layers": 2, "num_attention_heads": 12}
    picture = BlipVisionConfig(
        **eye, intermediate_size=4 * eye["hidden_size"], patch_size=16, image_size=224
    )
    reader = BlipTextConfig(**text, hidden_size=768, encoder_hidden_size=eye["hidden_size"])
    return BlipVisionModel(picture), BlipTextModel(reader, add_pooling_layer=False)


def _head(into: int) -> Any:
    from torch import nn

    sizes = (into, 1024, 128, 64, 16, 1)
    return nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(sizes)))


def _filled(model: Any, seed: int = 1) -> Any:
    """Random weights under which every layer matters; norms as if untrained.

    With this seed the cosines of CLIP ViT-L/14 are above 0, where CLIPScore cuts them off.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim > 1:
                p.normal_(std=p[0].numel() ** -0.5, generator=generator)
            elif name == "logit_scale":
                p.fill_(math.log(100.0))
            else:
                p.fill_(0.0 if name.endswith("bias") else 1.0)
    return model.requires_grad_(False).eval()


class _Words:
    """Stands for a tokenizer whose vocabulary is not at hand: as many tokens as are read."""

    def __call__(self, prompt: str, max_length: int, **options: Any) -> Any:
        import torch

        ids = torch.arange(1000, 1000 + max_length)[None]
        return SimpleNamespace(input_ids=ids, attention_mask=torch.ones_like(ids))


def build(name: str, small: bool, dtype: str, batch: int) -> tuple[Any, int]:
    """A loaded reward with random weights, and how many numbers its networks hold."""
    import torch

    from glass_cli.common.devices import choose_device
    from glass_cli.rewards.aesthetic import LoadedAesthetic
    from glass_cli.rewards.base import LoadedReward, number_type
    from glass_cli.rewards.clip import LoadedClip
    from glass_cli.rewards.hpsv2 import LoadedHpsv2
    from glass_cli.rewards.imagereward import LoadedImageReward, Networks
    from glass_cli.rewards.pickscore import LoadedPickScore
    from glass_cli.rewards.pixels import LongestSide, ShortestSide
    from glass_cli.rewards.two_towers import TwoTowers

    device, kind = choose_device("auto"), number_type(dtype)

    def ready(model: Any, kind: torch.dtype = kind) -> Any:
        return _filled(model).to(device, kind)

    if name == "imagereward":
        eye, text = _blip(small)
        parts = Networks(ready(eye), ready(text), ready(_head(768), torch.float32))
        count = sum(p.numel() for part in parts for p in part.parameters())
        return LoadedImageReward(parts, _Words(), batch), count
    clip = ready(_clip(name in ("pickscore", "hpsv2"), small))
    count = sum(p.numel() for p in clip.parameters())
    if name == "aesthetic":
        head = ready(_head(clip.config.projection_dim), torch.float32)
        return LoadedAesthetic(clip, head, batch), count + sum(p.numel() for p in head.parameters())
    pixels = LongestSide(224) if name == "hpsv2" else ShortestSide(224)
    towers = TwoTowers(clip, _Words(), pixels, batch)
    kinds: dict[str, Callable[[TwoTowers], LoadedReward]] = {
        "clip": LoadedClip,
        "pickscore": LoadedPickScore,
        "hpsv2": LoadedHpsv2,
    }
    return kinds[name](towers), count


def pictures(count: int) -> Any:
    """Smooth random pictures (N, 3, SIDE, SIDE)."""
    import torch
    from torch.nn.functional import interpolate

    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return interpolate(coarse, (SIDE, SIDE), mode="bilinear")


def measure(name: str, small: bool, dtype: str, batches: Sequence[int]) -> dict[str, Any]:
    """One reward, in this process: of each batch seconds a picture and peak bytes so far.

    Also the scores of as many pictures as the first two batches have.
    """
    import torch

    from glass_cli.common.devices import choose_device, peak_memory

    device = choose_device("auto")
    reward, count = build(name, small, dtype, max(batches))
    rows, scores = [], None
    with torch.no_grad():
        reward.score(pictures(1), "a prompt")  # the text, and what the first call sets up
        for batch in sorted(batches):
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            x = pictures(batch).to(device)
            began = time.perf_counter()
            result = reward.score(x, "a prompt").tolist()
            seconds = (time.perf_counter() - began) / batch
            rows.append((batch, seconds, peak_memory(device)))
            if scores is None or len(scores) < 8:
                scores = result[:8]
    return {"parameters": count, "rows": rows, "scores": scores, "device": str(device)}


def in_own_process(name: str, small: bool, dtype: str, batches: Sequence[int]) -> dict[str, Any]:
    """:func:`measure` in a fresh process. Raises RuntimeError with the end of its error message."""
    size = "small" if small else "full"
    command = [sys.executable, "-m", "glass_cli.bench.rewards", name, size, dtype]
    # one arena: how glibc spreads allocations over threads would be measured otherwise
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        [*command, *map(str, batches)], capture_output=True, encoding="utf-8", env=environment
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def rewards(
    batches: Sequence[int] = BATCHES,
    small: bool = False,
    names: Sequence[str] = REWARDS,
    run: Callable[..., dict[str, Any]] = in_own_process,
) -> list[Table]:
    """Time and memory of every reward, and how far bfloat16 moves its scores."""
    lines, moved, device = [], [], "cpu"
    for name in names:
        result = run(name, small, "float32", batches)
        device = result["device"]
        size = f"{result['parameters'] / 1e6:.0f}"
        for batch, seconds, peak in result["rows"]:
            lines.append((name, size, str(batch), f"{seconds:.3g}", f"{peak / MIB:.0f}"))
        half = run(name, small, "bfloat16", batches[:2])
        pairs = list(zip(result["scores"], half["scores"], strict=True))
        off = max(abs(a - b) for a, b in pairs)
        middle = sum(a for a, _ in pairs) / len(pairs)
        spread = (sum((a - middle) ** 2 for a, _ in pairs) / max(len(pairs) - 1, 1)) ** 0.5
        seconds = half["rows"][-1][1]
        moved.append((name, f"{middle:.3g}", f"{spread:.2g}", f"{off:.2g}", f"{seconds:.3g}"))
    peak = "peak resident size" if device == "cpu" else f"peak allocation on {device}"
    return [
        Table(
            "Rewards at full size",
            ("reward", "million weights", "batch", "s a picture", "peak (MiB)"),
            lines,
            f"Random weights in float32, pictures of {SIDE}x{SIDE}, preprocessing included, the"
            f" text read before; each reward in a fresh process, whose {peak} includes weights and"
            " (on a CPU) libraries.",
        ),
        Table(
            "Rewards in bfloat16",
            ("reward", "mean score", "spread", "moved by at most", "s a picture"),
            moved,
            f"Random weights, {len(pairs)} pictures: mean and standard deviation of the float32"
            " scores, the largest difference that bfloat16 makes, and its time at batch"
            f" {sorted(batches[:2])[-1]}.",
        ),
    ]


if __name__ == "__main__":
    name, size, dtype, *rest = sys.argv[1:]
    if name not in REWARDS:
        sys.exit(f"there is no reward {name} to measure; take one of {', '.join(REWARDS)}")
    print(json.dumps(measure(name, size == "small", dtype, [int(word) for word in rest])))
