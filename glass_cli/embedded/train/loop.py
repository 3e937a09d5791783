"""One resumable training loop for every part of the embedded model."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

LossFn = Callable[[int], tuple[Tensor, dict[str, float]]]


def autocast() -> torch.autocast:
    """bfloat16 where the processor can multiply it; where it cannot, that takes ten times as long
    as float32, which is then kept."""
    fast = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return torch.autocast("cpu", torch.bfloat16, enabled=fast)


def trapezoid(step: int, steps: int, warmup: int = 300, decay: float = 0.25) -> float:
    """Learning-rate factor: linear warm-up, constant, linear to zero over the last ``decay``."""
    return min(1.0, (step + 1) / warmup, (steps - step) / max(1.0, decay * steps))


def fit(
    name: str,
    modules: dict[str, nn.Module],
    loss_fn: LossFn,
    *,
    steps: int,
    lr: float,
    folder: Path,
    ema_decay: float = 0.999,
    save_seconds: float = 240.0,
    weight_decay: float = 0.01,
    stop: int | None = None,
) -> None:
    """Trains ``modules`` in place for ``steps`` steps and leaves their averaged weights in them.

    ``loss_fn(step)`` draws its batch from the step number alone, so that a resumed run sees the
    batches that an undisturbed one would have seen. State is written to ``folder/name.pt`` every
    ``save_seconds``, aside and renamed, and read from there on the next start. ``stop`` ends the
    run earlier than its schedule, for a later call with other data to go on from.
    """
    params = [p for m in modules.values() for p in m.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=lr, betas=(0.9, 0.98), weight_decay=weight_decay)
    ema = [p.detach().clone() for p in params]
    path, log = folder / f"{name}.pt", folder / f"{name}.jsonl"
    start = 0
    if path.exists():
        state = torch.load(path, weights_only=True)
        for key, module in modules.items():
            module.load_state_dict(state["modules"][key])
        optimizer.load_state_dict(state["optimizer"])
        ema, start = state["ema"], state["step"]

    def save(step: int) -> None:
        state = {
            "modules": {key: m.state_dict() for key, m in modules.items()},
            "optimizer": optimizer.state_dict(),
            "ema": ema,
            "step": step,
        }
        aside = path.with_suffix(".tmp")
        torch.save(state, aside)
        os.replace(aside, path)

    saved = began = time.monotonic()
    sums: dict[str, float] = {}
    summed = 0
    end = steps if stop is None else min(stop, steps)
    for step in range(start, end):
        for group in optimizer.param_groups:
            group["lr"] = lr * trapezoid(step, steps)
        loss, parts = loss_fn(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        decay = min(ema_decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(ema, [p.detach() for p in params], 1 - decay)
        for key, value in parts.items():
            sums[key] = sums.get(key, 0.0) + value
        summed += 1
        if (step + 1) % 50 == 0 or step + 1 == end:
            rate = (step + 1 - start) / (time.monotonic() - began)
            line = {"step": step + 1, "steps_per_s": round(rate, 3)}
            means = {key: round(total / summed, 5) for key, total in sums.items()}
            with log.open("a") as file:
                file.write(json.dumps({**line, **means}) + "\n")
            sums, summed = {}, 0
        if time.monotonic() - saved > save_seconds or step + 1 == end:
            save(step + 1)
            saved = time.monotonic()
    with torch.no_grad():
        for p, average in zip(params, ema, strict=True):
            p.copy_(average)


def averaged(name: str, modules: dict[str, nn.Module], folder: Path) -> int:
    """Loads the averaged weights of a run, finished or not; returns the steps it has done."""
    state = torch.load(folder / f"{name}.pt", weights_only=True)
    for key, module in modules.items():
        module.load_state_dict(state["modules"][key])
    params = [p for m in modules.values() for p in m.parameters() if p.requires_grad]
    with torch.no_grad():
        for p, average in zip(params, state["ema"], strict=True):
            p.copy_(average)
    return int(state["step"])


def copy_matching(module: nn.Module, state: Mapping[str, Tensor], prefix: str = "") -> list[str]:
    """Copies those weights of ``state`` whose names and shapes fit; returns the others' names.

    Names in ``state`` begin with ``prefix``, which the module's own lack.
    """
    own = module.state_dict()
    fitting = {
        name: state[prefix + name].to(tensor)
        for name, tensor in own.items()
        if prefix + name in state and state[prefix + name].shape == tensor.shape
    }
    module.load_state_dict({**own, **fitting})
    return sorted(own.keys() - fitting.keys())
