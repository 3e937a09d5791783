"""Guidance that is built into the flow."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import code_tables
import pytest
import torch
from transformers import CLIPTokenizer

from glass_cli.common.hub import EMBEDDED
from glass_cli.embedded.train import card, distil, flow
from glass_cli.embedded.train.loop import averaged
from glass_cli.embedded.world.render import FONT


class ToyText(torch.nn.Module):
    """A mean of the words' vectors."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(words, 8)

    def forward(self, ids: torch.Tensor) -> Any:
        return SimpleNamespace(last_hidden_state=self.words(ids).mean(1, keepdim=True))


class ToyNetwork(torch.nn.Module):
    """A velocity linear in the codes, the time and what was read."""

    def __init__(self) -> None:
        super().__init__()
        self.codes = torch.nn.Conv2d(flow.CHANNELS, flow.CHANNELS, 1)
        self.prompt = torch.nn.Linear(8, flow.CHANNELS)

    def forward(self, x: torch.Tensor, time: torch.Tensor, states: torch.Tensor) -> Any:
        told = self.prompt(states[:, 0])[:, :, None, None]
        return SimpleNamespace(sample=self.codes(x) + time[:, None, None, None] / 1000 * told)


@pytest.mark.skipif(not FONT.exists(), reason="fonts-noto-color-emoji is missing")
@pytest.mark.slow
def test_guidance_is_built_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The student begins at the flow, nears its guided velocity, and keeps that of no prompt."""
    tokenizer = CLIPTokenizer.from_pretrained(EMBEDDED / "emoji" / "tokenizer")

    def small(tokenizer: CLIPTokenizer) -> tuple[torch.nn.Module, torch.nn.Module]:
        torch.manual_seed(0)
        unet = ToyNetwork()
        return unet, ToyText(len(tokenizer))

    monkeypatch.setattr(flow, "build", small)
    monkeypatch.setattr(distil, "EMA_DECAY", 0.9)
    table = code_tables.shipped()
    strength, steps = 3.0, 250
    monkeypatch.setattr(distil, "LEARNING_RATE", 2e-2)
    teacher = flow.build(tokenizer)
    (tmp_path / "flow.pt").write_bytes(b"")
    monkeypatch.setattr(distil, "averaged", lambda *_: 0)  # the teacher is as it was built
    distil.train(tokenizer, table, tmp_path, steps, 0, strength)
    student = flow.build(tokenizer)
    assert averaged("distil", dict(zip(("unet", "text"), student, strict=True)), tmp_path) == steps

    batches = flow.Batches(tokenizer, table, 1)
    batch, none = batches(0), batches.empty[None]

    def velocity(
        networks: tuple[torch.nn.Module, torch.nn.Module], ids: torch.Tensor
    ) -> torch.Tensor:
        unet, text = networks
        states = batch.spread(text(ids).last_hidden_state)
        return unet(batch.x, batch.time, states).sample

    with torch.no_grad():
        told, without = velocity(teacher, batch.tokens), velocity(teacher, none.expand(32, -1))
        guided = without + strength * (told - without)
        far = (guided - told).square().mean()
        assert (velocity(student, batch.tokens) - guided).square().mean() < 0.1 * far
        assert (velocity(student, none.expand(32, -1)) - without).square().mean() < 0.1 * far


def test_the_card_says_where_guidance_is() -> None:
    """Built into the network that ships; of a flow without it, what was asked for."""
    figures = card.kept(EMBEDDED)
    assert "Plain ODE, guidance 4.5 built in, one picture" in card.render(figures)
    drawn = {key: figures["distil"][key] for key in ("count", "guidance", "shares")}
    before = {**figures, "flow": {**figures["flow"], **drawn}}
    del before["distil"]
    assert "Plain ODE, guidance 4.5, one picture" in card.render(before)
