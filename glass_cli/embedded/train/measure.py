"""``python -m glass_cli.embedded.train.measure``: how often the flow's pictures are right.

Plain ODE, one picture a prompt, judged by the embedded detector and GenEval's rules; the prompts
are of contents that were never trained on, single objects aside.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from glass_cli.benchmarks.geneval import LoadedGenEval
from glass_cli.common.hub import EMBEDDED
from glass_cli.detectors.embedded_detector import EmbeddedDetector
from glass_cli.embedded.train import codec, export
from glass_cli.embedded.train.data import unseen_content
from glass_cli.embedded.train.judging import record_of
from glass_cli.embedded.train.text import train_tokenizer
from glass_cli.embedded.world.content import Content
from glass_cli.embedded.world.grammar import describe
from glass_cli.method.ode import Ode
from glass_cli.method.path import Path as NoisePath
from glass_cli.pipelines.prediction import Prediction

TASKS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
ATOMS = (4, 5, 6, 7, 8)  # of the prompts of two to four groups
CALLS = (3, 5, 10, 20, 50)
GUIDANCE = 1.0  # conf/model/emoji.yaml's: the strength that serves is built into the weights
SEED = 765_432_109
BATCH = 25


def contents(count: int) -> dict[str, list[Content]]:
    """``count`` contents of each of TASKS, and of "compose" of each number of ATOMS."""
    rng = random.Random(SEED)
    found = {task: [unseen_content(rng, task) for _ in range(count)] for task in TASKS}
    for atoms in ATOMS:
        there: list[Content] = []
        while len(there) < count:
            content = unseen_content(rng, "compose")
            if content.atoms == atoms:
                there.append(content)
        found[f"compose, {atoms} atoms"] = there
    return found


class PromptsFlow:
    """The flow of a pipeline under a prompt for each particle, with classifier-free guidance where
    its strength is not 1."""

    def __init__(self, pipe: StableDiffusionPipeline, prompts: Sequence[str], guidance: float):
        self._pipe, self._guidance = pipe, guidance
        self._prediction = Prediction.of(pipe.scheduler)
        embeds, empty = pipe.encode_prompt(list(prompts), "cpu", 1, True)
        self._states = embeds if guidance == 1.0 else torch.cat([empty, embeds])

    @property
    def path(self) -> NoisePath:
        return self._prediction.path

    @property
    def shift(self) -> float:
        return self._prediction.shift

    def denoise(self, x: Tensor, t: float) -> Tensor:
        """D_t of particles (N, C, H, W), the N-th under the N-th prompt."""
        every = x if self._guidance == 1.0 else torch.cat([x, x])
        velocity = self._pipe.unet(every.float(), self._prediction.timestep(t), self._states).sample
        if self._guidance != 1.0:
            empty, told = velocity.chunk(2)
            velocity = empty + self._guidance * (told - empty)
        return self._prediction.denoised(x, t, velocity.to(x.dtype))


@torch.no_grad()
def draw(
    pipe: StableDiffusionPipeline, prompts: Sequence[str], calls: int, guidance: float, seed: int
) -> Tensor:
    """Pictures (N, 3, H, W) in [0, 1] of the prompts, by `sampler=ode` in ``calls`` calls."""
    flow = PromptsFlow(pipe, prompts, guidance)
    side, channels = pipe.unet.config.sample_size, pipe.unet.config.in_channels
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(prompts), channels, side, side, generator=generator, dtype=torch.float64)
    x = Ode().transition(flow, x, flow.denoise(x, 0.0), 0.0, 1.0, lambda: x, calls)
    return decoded(pipe, x)


def decoded(pipe: StableDiffusionPipeline, codes: Tensor) -> Tensor:
    """Pictures (N, 3, H, W) in [0, 1]."""
    out: Tensor = pipe.vae.decode(
        codes.float() / pipe.vae.config.scaling_factor, return_dict=False
    )[0]
    return (out / 2 + 0.5).clamp(0.0, 1.0)


def correctness(
    pipe: StableDiffusionPipeline,
    judge: LoadedGenEval,
    count: int,
    calls: int,
    guidance: float = GUIDANCE,
) -> dict[str, float]:
    """The share of ``count`` pictures of each kind of :func:`contents` that are judged right.

    The prompts and the noise are the same for every model and number of calls.
    """
    shares: dict[str, float] = {}
    for kind, asked in contents(count).items():
        right = 0
        for start in range(0, count, BATCH):
            part = asked[start : start + BATCH]
            images = draw(pipe, [describe(c) for c in part], calls, guidance, SEED + start)
            tag = kind.partition(",")[0]
            right += sum(
                judge.judge(image, record_of(content, tag))["correct"]
                for image, content in zip(images, part, strict=True)
            )
        shares[kind] = right / count
    return shares


def load(folder: Path) -> StableDiffusionPipeline:
    """A pipeline folder, in float32."""
    pipe = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def table(shares: dict[str, dict[str, float]], head: str) -> str:
    """A Markdown table of named columns of shares."""
    rows = [f"| {head} | {' | '.join(shares)} |", "|---|" + "---|" * len(shares)]
    for name in next(iter(shares.values())):
        rows.append(f"| {name} | " + " | ".join(f"{s[name]:.3f}" for s in shares.values()) + " |")
    return "\n".join(rows)


def sheet(pipe: StableDiffusionPipeline, calls: int, guidance: float, out: Path) -> list[str]:
    """Writes a PNG of 24 pictures, six a row, three times enlarged; returns their prompts."""
    from PIL import Image

    kinds = contents(3)
    chosen = [describe(c) for kind in kinds for c in kinds[kind][:3]][:24]
    images = draw(pipe, chosen, calls, guidance, SEED)
    grid = images.unflatten(0, (-1, 6)).permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    pixels = (grid.numpy() * 255 + 0.5).astype(np.uint8)
    picture = Image.fromarray(pixels)
    picture.resize((3 * picture.width, 3 * picture.height), Image.Resampling.NEAREST).save(out)
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m glass_cli.embedded.train.measure", description=__doc__
    )
    parser.add_argument("--weights", type=Path, default=EMBEDDED, help="with emoji and detector")
    parser.add_argument("--checkpoint", type=Path, help="a training's folder: its flow.pt instead")
    parser.add_argument("--detector", default="embedded:detector", help="the judge's folder")
    parser.add_argument("--count", type=int, default=100, help="of prompts of each kind")
    parser.add_argument("--calls", type=int, nargs="+", default=CALLS)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--seed", type=int, default=0, help="the training's")
    parser.add_argument("--json", type=Path, help="where the figures are written too")
    parser.add_argument("--sheet", type=Path, help="a PNG of 24 pictures, of the last of --calls")
    args = parser.parse_args()
    judge = LoadedGenEval(EmbeddedDetector(args.detector).load(torch.device("cpu"), torch.float32))
    if args.checkpoint is None:
        pipe = load(args.weights / "emoji")
    else:
        vae = codec.load(args.checkpoint, args.weights)
        with tempfile.TemporaryDirectory() as place:
            out = Path(place) / "emoji"
            export.export_pipeline(args.checkpoint, out, vae, train_tokenizer(args.seed))
            pipe = load(out)
    shares: dict[str, Any] = {}
    for calls in args.calls:
        shares[f"{calls} calls"] = correctness(pipe, judge, args.count, calls, args.guidance)
    print(f"{args.count} prompts a row, guidance {args.guidance:g}\n")
    print(table(shares, "prompts"))
    if args.json:
        args.json.write_text(json.dumps(shares, indent=1) + "\n")
    if args.sheet:
        print("\n".join(sheet(pipe, args.calls[-1], args.guidance, args.sheet)))


if __name__ == "__main__":
    main()
