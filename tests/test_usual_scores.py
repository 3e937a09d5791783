"""What the pages call usual scores of the embedded rewards."""

from __future__ import annotations

import random
import re

import pytest
from conftest import REPOSITORY

from glass_cli.embedded.train.data import pictures, unseen_scene
from glass_cli.embedded.world.content import WEIGHTS
from glass_cli.embedded.world.render import FONT
from glass_cli.engine.library import load_reward

GUIDE = REPOSITORY / "docs" / "guides" / "my_reward.md"
USUAL = re.compile(r"(-?\d+)(?: to (-?\d+))? by the embedded one")


@pytest.mark.skipif(not FONT.exists(), reason=f"{FONT} is not installed")
@pytest.mark.parametrize("name", ["clip", "imagereward", "pickscore"])
def test_right_pictures_have_the_scores_that_the_pages_say(name: str) -> None:
    """Rendered scenes of every kind, none of which was trained on."""
    rng = random.Random(0)
    scenes = [unseen_scene(rng, kind) for kind in WEIGHTS]
    reward = load_reward(name, path=f"embedded:{name}")
    images = pictures(scenes) / 2 + 0.5
    scores = [float(reward.score(images[i : i + 1], each.prompt)) for i, each in enumerate(scenes)]
    mean = sum(scores) / len(scores)
    line = (REPOSITORY / "conf" / "reward" / f"{name}.yaml").read_text().partition("\n")[0]
    row = next(each for each in GUIDE.read_text().splitlines() if each.startswith(f"| `{name}` |"))
    for text in (line, row):
        usual = USUAL.search(text)
        assert usual is not None, text
        low, high = float(usual[1]), float(usual[2] or usual[1])
        assert high - 5 < mean < high + 5, (text, scores)
        assert low - 15 < min(scores), (text, scores)
