"""Whether a flow knows what belongs to what: the measure, on flows that do and that do not."""

from __future__ import annotations

import itertools
import random
from types import SimpleNamespace
from typing import Any

import code_tables
import pytest
import torch
from transformers import CLIPTokenizer

from glass_cli.common.hub import EMBEDDED
from glass_cli.embedded.train import binding, card
from glass_cli.embedded.train.data import unseen_content
from glass_cli.embedded.world.grammar import describe
from glass_cli.embedded.world.render import FONT


@pytest.mark.parametrize("name", binding.SWAPS)
def test_swapped_prompts_have_the_same_words(name: str) -> None:
    kind, swap = binding.SWAPS[name]
    rng = random.Random(0)
    for _ in range(50):
        content = unseen_content(rng, kind)
        one, other = describe(content).split(), describe(swap(content)).split()
        # "a" and "an" go with the noun or colour that follows
        plain = [sorted("a" if word == "an" else word for word in p) for p in (one, other)]
        assert plain[0] == plain[1] and one != other


@pytest.mark.slow
@pytest.mark.skipif(not FONT.exists(), reason="fonts-noto-color-emoji is missing")
@pytest.mark.parametrize(
    ("knows", "share"), [(None, 0.5), (True, 1.0), (False, 0.0)], ids=["blind", "right", "wrong"]
)
def test_shares_of_flows_that_are_known(
    knows: bool | None, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With sigma near 1, x itself is nearer to eps - z than -x is. Own prompts are asked first."""
    monkeypatch.setattr(binding, "CodeTable", lambda vae: code_tables.shipped())
    turn = itertools.cycle((True, False))

    def velocity(x: torch.Tensor, time: torch.Tensor, states: torch.Tensor) -> Any:
        own = next(turn)
        return SimpleNamespace(sample=x if knows is None or own == knows else -x)

    pipe: Any = SimpleNamespace(
        vae=SimpleNamespace(config=SimpleNamespace(scaling_factor=0.8)),
        tokenizer=CLIPTokenizer.from_pretrained(EMBEDDED / "emoji" / "tokenizer"),
        text_encoder=lambda tokens: (tokens,),
        unet=velocity,
    )
    found = binding.shares(pipe, 6)
    assert {name for of in found.values() for name in of} == set(binding.SWAPS)
    assert found["sigma 0.95"] == dict.fromkeys(binding.SWAPS, share)


def test_the_card_has_a_row_for_each() -> None:
    figures = card.kept(EMBEDDED)
    shares = {"sigma 0.9": dict.fromkeys(binding.SWAPS, 0.625)}
    text = card.render({**figures, "binding": {"count": 123, "of": shares}})
    assert "123 held-out scenes" in text
    assert all(f"| {name} | 0.625 |" in text for name in binding.SWAPS)


def test_the_shipped_card_is_of_its_figures() -> None:
    figures = card.kept(EMBEDDED)
    assert (EMBEDDED / "README.md").read_text(encoding="utf-8") == card.render(figures)
    looked = {
        "command": "glass eval",
        "remark": "Pale things.",
        "of": {"counting": [40, 30], "colors": [10, 10]},
    }
    text = card.render({**figures, "looked": looked})
    assert "| counting | 40 | 0.750 |" in text
    assert "| all | 50 | 0.800 |" in text and "\nPale things.\n" in text
