"""``python -m glass_cli.embedded.train.binding``: whether the flow knows what belongs to what.

Two prompts of the same words, one of which a picture shows: "a red dog and a blue cat" against "a
blue dog and a red cat", "a dog left of a cat" against "a dog right of a cat" with the nouns turned.
A flow that reads the order of words predicts the noise on the picture's codes better under the
right one; one to which a prompt is a list of words is as good under both.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline

from glass_cli.common.hub import EMBEDDED
from glass_cli.embedded.train import card, measure
from glass_cli.embedded.train.codes import CodeTable
from glass_cli.embedded.train.data import unseen_scene
from glass_cli.embedded.train.text import encode
from glass_cli.embedded.world.content import Content
from glass_cli.embedded.world.grammar import describe

SIGMAS = (0.95, 0.9, 0.85, 0.8)  # where it is decided what stands where
SEED = 20_261_128


def swapped_colors(content: Content) -> Content:
    """The two groups with each other's colour."""
    a, b = content.groups
    return replace(content, groups=(replace(a, color=b.color), replace(b, color=a.color)))


def swapped_nouns(content: Content) -> Content:
    """The two groups in each other's place: the same words, the opposite relation."""
    return replace(content, groups=content.groups[::-1])


SWAPS: dict[str, tuple[str, Callable[[Content], Content]]] = {
    "whose colour": ("color_attr", swapped_colors),
    "whose side": ("position", swapped_nouns),
}


@torch.no_grad()
def shares(pipe: StableDiffusionPipeline, count: int) -> dict[str, dict[str, float]]:
    """For each of SIGMAS and SWAPS, the share of ``count`` held-out scenes whose noise is predicted
    better under their own prompt, over two draws of the noise each. 0.5 is chance."""
    table, found = CodeTable(pipe.vae), {f"sigma {sigma:g}": dict[str, float]() for sigma in SIGMAS}
    generator = torch.Generator().manual_seed(SEED)
    for name, (kind, swap) in SWAPS.items():
        rng = random.Random(SEED)
        scenes = [unseen_scene(rng, kind) for _ in range(count)]
        z = table(scenes) * pipe.vae.config.scaling_factor
        prompts = [[describe(f(s.content)) for s in scenes] for f in (lambda c: c, swap)]
        states = [pipe.text_encoder(encode(pipe.tokenizer, one))[0] for one in prompts]
        for sigma in SIGMAS:
            time = torch.full((count,), 1000 * sigma)
            gap = torch.zeros(count)
            for _ in range(2):
                eps = torch.randn(z.shape, generator=generator)
                x = (1 - sigma) * z + sigma * eps
                own, other = (
                    (pipe.unet(x, time, one).sample - (eps - z)).square().flatten(1).sum(1)
                    for one in states
                )
                gap += other - own
            found[f"sigma {sigma:g}"][name] = float((gap.sign() + 1).mean() / 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m glass_cli.embedded.train.binding", description=__doc__
    )
    parser.add_argument("--weights", type=Path, default=EMBEDDED, help="with emoji")
    parser.add_argument("--count", type=int, default=200, help="of scenes a row")
    parser.add_argument("--write", action="store_true", help="into the figures and their card")
    args = parser.parse_args()
    found = shares(measure.load(args.weights / "emoji"), args.count)
    print(measure.table(found, "asked"))
    if args.write:
        figures = card.kept(args.weights)
        card.save({**figures, "binding": {"count": args.count, "of": found}}, args.weights)


if __name__ == "__main__":
    main()
