"""Pictures of the emoji world."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest

from glass_cli.embedded.world import render as rendering
from glass_cli.embedded.world.content import Content
from glass_cli.embedded.world.drawn import DRAWN
from glass_cli.embedded.world.objects import BACKGROUNDS, CLASSES, COLORS, EMOJI
from glass_cli.embedded.world.render import FONT, FontMissing, glyph, render, sprite
from glass_cli.embedded.world.scene import Item, Scene

needs_font = pytest.mark.skipif(not FONT.exists(), reason=f"{FONT} is not installed")


def picture_of(*items: Item, background: int = 0) -> np.ndarray:
    return render(Scene(Content(()), items, background, ""))


@pytest.mark.parametrize("background", range(len(BACKGROUNDS)))
def test_pixels_change_where_the_item_is_and_only_there(background: int) -> None:
    empty = picture_of(background=background)
    assert empty.shape == (64, 64, 3)
    assert empty.dtype == np.uint8
    assert (empty == (np.array(BACKGROUNDS[background]) * 255 + 0.5).astype(np.uint8)).all()
    for name in DRAWN:
        changed = (picture_of(Item(name, None, 8, 24, 24), background=background) != empty).any(-1)
        inside = changed[25:47, 9:31].copy()
        assert inside.mean() > 0.2, name
        changed[25:47, 9:31] = False  # the box less its margin of a pixel
        assert not changed.any(), name
        # the outline touches two opposite sides at least: it is not drawn smaller than its box
        rows, columns = inside.any(1), inside.any(0)
        assert (rows[[0, -1]].all()) or (columns[[0, -1]].all()), name


def test_items_do_not_change_each_other() -> None:
    a, b = Item("oven", "red", 0, 0, 32), Item("bench", None, 32, 32, 24)
    both = picture_of(a, b)
    assert (both[:32, :32] == picture_of(a)[:32, :32]).all()
    assert (both[32:, 32:] == picture_of(b)[32:, 32:]).all()
    assert (both == picture_of(b, a)).all()


def assert_tinted(names: list[str], size: int) -> None:
    """A tinted object's mean colour is nearest to its own ramp among the ten, where a plain
    object's is not; and nearest to the middle of that ramp for all but a few pale objects."""
    ramps = {color: np.array(ends) for color, ends in COLORS.items()}

    def nearest(mean: np.ndarray) -> tuple[str, str]:
        by_ramp, by_middle = {}, {}
        for color, (dark, light) in ramps.items():
            along = light - dark
            share = np.clip((mean - dark) @ along / (along @ along), 0, 1)
            by_ramp[color] = float(np.linalg.norm(mean - dark - share * along))
            by_middle[color] = float(np.linalg.norm(mean - (dark + light) / 2))
        return min(by_ramp, key=by_ramp.__getitem__), min(by_middle, key=by_middle.__getitem__)

    middles = []
    for name, color in product(names, COLORS):
        patch = sprite(name, color, size)
        assert patch.shape == (size, size, 4)
        mean = (patch[..., :3] * patch[..., 3:]).sum((0, 1)) / patch[..., 3].sum()
        ramp, middle = nearest(mean)
        assert ramp == color, (name, color, ramp)
        middles.append(middle == color)
        plain = sprite(name, None, size)
        # resampling rounds alpha alike, so that a tint changes colour alone
        assert (plain[..., 3] == patch[..., 3]).all()
        assert np.abs(plain[..., :3] - patch[..., :3]).max() > 0.1, (name, color)
    assert np.mean(middles) > 0.95


@pytest.mark.parametrize("size", [24, 32])
def test_tints_of_drawn_objects(size: int) -> None:
    assert_tinted(list(DRAWN), size)


@needs_font
def test_tints_of_emoji() -> None:
    assert_tinted([name for name in CLASSES if EMOJI[name]], 32)


def test_pictograms_are_whole() -> None:
    assert_whole_and_distinct(list(DRAWN))


@needs_font
def test_emoji_are_whole() -> None:
    assert_whole_and_distinct(list(CLASSES))


def assert_whole_and_distinct(names: list[str]) -> None:
    """Each fills its square from side to side, covers a fifth of it, and is like no other."""
    small = {}
    for name in names:
        image = glyph(name)
        assert image.size == (128, 128)
        alpha = np.asarray(image)[..., 3] > 0
        assert alpha.mean() > 0.2, name
        assert (alpha[[0, -1]].any(1)).all() or (alpha[:, [0, -1]].any(0)).all(), name
        small[name] = np.asarray(image.resize((16, 16)), dtype=float) / 255
    for a, b in combinations(names, 2):
        assert np.abs(small[a] - small[b]).mean() > 0.02, (a, b)


def test_missing_font_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rendering, "FONT", tmp_path / "NotoColorEmoji.ttf")
    fresh = glyph.__wrapped__  # without what other tests have left in the cache
    with pytest.raises(FontMissing, match="apt-get install fonts-noto-color-emoji") as caught:
        fresh("car")
    assert str(tmp_path) in str(caught.value)
    assert fresh("bench").size == (128, 128)
