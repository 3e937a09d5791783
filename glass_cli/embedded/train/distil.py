"""Classifier-free guidance distilled into the flow: one forward pass a network call, not two.

The first stage of Meng et al. (arXiv 2210.03142), at one strength: the student begins as the flow
and learns the velocity that the flow has with guidance. Its target has no noise of its own, so it
takes a small part of the flow's own steps.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import CLIPTokenizer

from glass_cli.embedded.train import flow
from glass_cli.embedded.train.codes import CodeTable
from glass_cli.embedded.train.loop import averaged, fit

# The strength that draws most right among 2, 3, 4.5, 6 and 8: two objects, counts, sides, colours.
GUIDANCE = 4.5
LEARNING_RATE = 4e-4
EMA_DECAY = 0.998


def teacher(
    tokenizer: CLIPTokenizer, folder: Path, start: Path | None
) -> tuple[nn.Module, nn.Module]:
    """The flow trained in ``folder``, else that of the weights ``start``: network, text encoder."""
    modules = flow.modules_of(tokenizer)
    unet, text, _ = modules
    if (folder / "flow.pt").exists():
        averaged("flow", modules._asdict(), folder)
    elif start is not None:
        flow.start_from(unet, text, start)
    else:
        raise SystemExit(f"{folder} has no flow; train the part flow, or give --from WEIGHTS")
    return unet, text


def train(
    tokenizer: CLIPTokenizer,
    table: CodeTable,
    folder: Path,
    steps: int,
    seed: int,
    guidance: float,
    start: Path | None = None,
) -> None:
    """Mean squared error to the teacher's velocity at ``guidance``.

    The empty prompt keeps the velocity that it has, for those who guide further or by a negative
    prompt.
    """
    batches = flow.Batches(tokenizer, table, seed)
    fixed = teacher(tokenizer, folder, start)
    modules = dict(zip(("unet", "text"), copy.deepcopy(fixed), strict=True))
    unet, text = (module.requires_grad_(False) for module in fixed)

    def loss_fn(step: int) -> tuple[Tensor, dict[str, float]]:
        batch = batches(step)
        with torch.no_grad():
            empty = text(batches.empty[None]).last_hidden_state.expand(len(batch.x), -1, -1)
            states = batch.spread(text(batch.tokens).last_hidden_state)
            time = torch.cat([batch.time, batch.time])
            both = unet(torch.cat([batch.x, batch.x]), time, torch.cat([empty, states])).sample
            without, told = both.chunk(2)
            # without a prompt the two are the same velocity, at any strength
            target = without + guidance * (told - without)
        states = batch.spread(modules["text"](batch.tokens).last_hidden_state)
        velocity = modules["unet"](batch.x, batch.time, states).sample
        error = (velocity - target).square().mean(dim=(1, 2, 3))
        early = error[batch.sigma > flow.EARLY].mean().item()
        return error.mean(), {"loss": error.mean().item(), "early": early}

    fit("distil", modules, loss_fn, steps=steps, lr=LEARNING_RATE, folder=folder,
        ema_decay=EMA_DECAY)  # fmt: skip
