"""``python -m glass_cli.embedded.train.draws``: how well rewards tell the model's right pictures.

Many ODE draws under each of some prompts that were never trained on, judged by the embedded
detector and scored by the embedded rewards, finished and on the way. Writes the figures into the
card (:mod:`glass_cli.embedded.train.card`).
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from numpy.typing import NDArray
from torch import Tensor

from glass_cli.benchmarks.geneval import LoadedGenEval
from glass_cli.common.hub import EMBEDDED
from glass_cli.detectors.embedded_detector import EmbeddedDetector
from glass_cli.embedded.train import card
from glass_cli.embedded.train.data import unseen_content
from glass_cli.embedded.train.judging import record_of
from glass_cli.embedded.train.measure import GUIDANCE, PromptsFlow, decoded, load
from glass_cli.embedded.world.content import Content
from glass_cli.embedded.world.grammar import describe
from glass_cli.embedded.world.objects import CLASSES
from glass_cli.method.ode import Ode
from glass_cli.rewards.base import LoadedReward

KINDS = ("two_object", "counting", "position", "color_attr", "compose")  # of the prompts, in turn
NUMBERS = (1, 4, 16, 64)  # of best-of-N
TRANSITIONS, CALLS = 5, 10
SEED = 654_321_098

Numbers = NDArray[np.float64]


class Scored(NamedTuple):
    """P prompts with N draws each.

    right: by the judge, who takes one object too many for wrong, (P, N).
    final: of each reward, of the finished pictures, (P, N).
    seen: of each reward, of x_hat at the ends of the transitions before the last, (P, K - 1, N).
    times: of these ends, K - 1.
    """

    right: NDArray[np.bool_]
    final: dict[str, Numbers]
    seen: dict[str, Numbers]
    times: list[float]


def contents(count: int) -> list[Content]:
    """``count`` contents that were never trained on, of KINDS in turn."""
    rng = random.Random(SEED)
    return [unseen_content(rng, KINDS[i % len(KINDS)]) for i in range(count)]


@torch.no_grad()
def scored(
    pipe: StableDiffusionPipeline,
    judge: LoadedGenEval,
    rewards: Mapping[str, LoadedReward],
    asked: Sequence[Content],
    draws: int,
) -> Scored:
    """Draws pictures of each content's prompt by the ODE, judges and scores them."""
    side, channels = pipe.unet.config.sample_size, pipe.unet.config.in_channels
    right = []
    final: dict[str, list[Numbers]] = {name: [] for name in rewards}
    seen: dict[str, list[Numbers]] = {name: [] for name in rewards}
    times: list[float] = []
    for number, content in enumerate(asked):
        prompt, ode = describe(content), Ode(TRANSITIONS)
        flow = PromptsFlow(pipe, [prompt] * draws, GUIDANCE)
        generator = torch.Generator().manual_seed(SEED + number)
        x = torch.randn(draws, channels, side, side, generator=generator, dtype=torch.float64)
        *starts, end = ode.outer_times(flow)
        states = []
        for t, t_next in zip(starts, [*starts[1:], end], strict=True):
            x_hat = flow.denoise(x, t)
            states.append(x_hat)
            x = ode.transition(flow, x, x_hat, t, t_next, _no_noise, CALLS // TRANSITIONS)
        images = decoded(pipe, x)
        times = list(starts[1:])
        for name, reward in rewards.items():
            on_the_way = [_scores(reward, decoded(pipe, z), prompt) for z in states[1:]]
            seen[name].append(np.stack(on_the_way))
            final[name].append(_scores(reward, images, prompt))
        record = record_of(content, "draws", CLASSES)
        right.append([bool(judge.judge(image, record)["correct"]) for image in images])
    return Scored(
        np.array(right),
        {name: np.stack(rows) for name, rows in final.items()},
        {name: np.stack(rows) for name, rows in seen.items()},
        times,
    )


def _no_noise() -> Tensor:
    raise AssertionError("an ODE asks for none")


def _scores(reward: LoadedReward, images: Tensor, prompt: str) -> Numbers:
    return reward.score(images, prompt).double().numpy()


def auc(right: NDArray[np.bool_], r: Numbers) -> float:
    """How often a right draw has the higher reward than a wrong one of its prompt, ties half.

    The mean over prompts that have both; NaN where none has. right, r: (P, N).
    """
    shares = []
    for verdicts, rewards in zip(right, r, strict=True):
        margin = rewards[verdicts][:, None] - rewards[~verdicts][None]
        if margin.size:
            shares.append(float((margin > 0).mean() + 0.5 * (margin == 0).mean()))
    return float(np.mean(shares)) if shares else math.nan


def best_of(right: NDArray[np.bool_], r: Numbers, n: int) -> float:
    """How often the best of ``n`` of a prompt's N draws is right, over all choices of these n.

    The draw of rank i, from 0, is the best of C(i, n - 1) out of C(N, n) choices. right, r: (P, N).
    """
    total = r.shape[1]
    weights = np.array([math.comb(i, n - 1) for i in range(total)]) / math.comb(total, n)
    ranked = np.take_along_axis(right, r.argsort(1, kind="stable"), axis=1)
    return float((ranked * weights).sum(1).mean())


def foretold(seen: Numbers, r: Numbers) -> list[float]:
    """The share of the final reward's variance within prompts that x_hat's explains, at each time.

    seen: (P, T, N). r: (P, N).
    """
    a, b = seen - seen.mean(2, keepdims=True), (r - r.mean(1, keepdims=True))[:, None]
    shares = (a * b).sum((0, 2)) ** 2 / ((a * a).sum((0, 2)) * (b * b).sum((0, 2)))
    return [float(share) for share in shares]


def figures(found: Scored) -> dict[str, Any]:
    """The card's figures of all rewards."""
    numbers = [n for n in NUMBERS if n <= found.right.shape[1]]
    return {
        "prompts": found.right.shape[0],
        "draws": found.right.shape[1],
        "calls": CALLS,
        "both": int((found.right.any(1) & ~found.right.all(1)).sum()),
        "times": [round(t, 3) for t in found.times],
        "rewards": {
            name: {
                "auc": auc(found.right, r),
                "best_of": {str(n): best_of(found.right, r, n) for n in numbers},
                "foretold": foretold(found.seen[name], r),
            }
            for name, r in found.final.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m glass_cli.embedded.train.draws", description=__doc__
    )
    parser.add_argument("--weights", type=Path, default=EMBEDDED)
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--draws", type=int, default=64, help="of each prompt")
    args = parser.parse_args()
    cpu = torch.device("cpu")
    detector = EmbeddedDetector(str(args.weights / "detector")).load(cpu, torch.float32)
    rewards = card.rewards(args.weights)
    found = scored(
        load(args.weights / "emoji"),
        LoadedGenEval(detector),
        rewards,
        contents(args.prompts),
        args.draws,
    )
    file = args.weights / card.FIGURES
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    known["draws"] = figures(found)
    card.save(known, args.weights)
    print(card.draws_section(known["draws"]))


if __name__ == "__main__":
    main()
