"""A tiny pipeline read from its folder, and what it makes of one state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glass_cli.models.diffusers_pipeline import DiffusersPipeline, LoadedPipeline

CPU, PROMPT = torch.device("cpu"), "a dog"


def load(path: Path | str, dtype: torch.dtype = torch.float32, **settings: Any) -> LoadedPipeline:
    return DiffusersPipeline(str(path), **settings).load(CPU, dtype)


def denoised(model: LoadedPipeline) -> Tensor:
    """What the model makes of one fixed state, guided as by default."""
    x = torch.randn(2, *model.shape, generator=torch.Generator().manual_seed(1))
    flow = model.prompted(PROMPT, "", 2)
    out = flow.denoise(x.double(), 0.5)
    flow.close()
    return out
