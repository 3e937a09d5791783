"""What the detector is trained on: half-formed objects and their targets; the loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from glass_cli.detectors.grid_network import Cells
from glass_cli.embedded.train import detector, imperfect
from glass_cli.embedded.train.imperfect import COLOURS, Target
from glass_cli.embedded.train.spoil import rubbish, through_codec
from glass_cli.embedded.world.objects import CLASSES, COLORS
from glass_cli.embedded.world.render import FONT, sprite
from glass_cli.embedded.world.scene import Item
from glass_cli.pipelines.codec import PatchAutoencoder

needs_font = pytest.mark.skipif(not FONT.exists(), reason="fonts-noto-color-emoji is missing")
ITEM = Item("oven", "red", 8, 16, 32)


def target(box: tuple[float, ...], present: float | None = 1.0, name: int = 0) -> Target:
    one = np.eye(len(CLASSES), dtype=np.float32)[name]
    return Target(present, box, one, np.eye(len(COLOURS), dtype=np.float32)[2])  # type: ignore[arg-type]


def test_the_box_is_the_outlines() -> None:
    found = imperfect.whole(ITEM)
    x0, y0, x1, y1 = found.box
    alpha = np.zeros((64, 64))
    alpha[16:48, 8:40] = sprite("oven", "red", 32)[..., 3]
    rows, columns = np.nonzero(alpha > 0.5)
    assert (x0, y0) == (columns.min(), rows.min())
    assert (x1, y1) == (columns.max() + 1, rows.max() + 1)
    assert found.classes.tolist() == [float(name == "oven") for name in CLASSES]
    assert found.colours.tolist() == [float(c == "red") for c in COLOURS]
    assert (*COLORS, None) == COLOURS


@needs_font
def test_pictures_are_made_again_and_their_targets_fit() -> None:
    present = []
    for seed in range(150):
        picture, targets = imperfect.imperfect(np.random.default_rng(seed))
        again, same = imperfect.imperfect(np.random.default_rng(seed))
        assert np.array_equal(picture, again) and len(targets) == len(same)
        assert picture.shape == (64, 64, 3) and picture.dtype == np.float32
        assert picture.min() >= 0.0 and picture.max() <= 1.0
        for one in targets:
            x0, y0, x1, y1 = one.box
            assert 0 <= x0 < x1 <= 64 and 0 <= y0 < y1 <= 64
            assert one.classes.sum() == pytest.approx(1.0, abs=1e-6)
            assert one.colours.sum() == pytest.approx(1.0, abs=1e-6)
            present.append(one.present)
    # all three kinds, most of them whole
    assert {0.0, 1.0, None} == set(present)
    assert present.count(1.0) > 0.6 * len(present)


@needs_font
def test_what_is_left_says_what_is_to_be_seen() -> None:
    rng = np.random.default_rng(1)
    body = float(sprite("oven", "red", 32)[..., 3].sum())
    seen = {0.0: 0, 1.0: 0, None: 0}
    mixed = 0
    for _ in range(400):
        patch, found = imperfect.damaged(rng, ITEM)
        assert patch.shape == (32, 32, 4)
        if 0.0 < found.classes.max() < 1.0:
            mixed += 1
            assert found.present == 1.0
            continue
        if found.classes[CLASSES.index("oven")] < 1.0:
            continue  # a mixture that is all another class
        left = float(patch[..., 3].sum()) / body
        seen[found.present] += 1
        if found.present == 1.0 and found.colours.max() == 1.0:
            # a mixture may replace an oven by an oven, and has as much body
            assert left > imperfect.WHOLE - 1e-4
        elif found.present == 0.0:
            assert left < imperfect.GONE + 1e-4
        elif found.present is None:
            assert imperfect.GONE - 1e-4 <= left <= imperfect.WHOLE + 1e-4
    assert mixed > 50 and min(seen.values()) > 20
    # the cached sprite is not what was damaged
    assert float(sprite("oven", "red", 32)[..., 3].sum()) == body


def test_a_cut_takes_about_its_share() -> None:
    rng = np.random.default_rng(2)
    for share in (0.0, 0.5, 1.0):
        taken = [imperfect._cells_mask(rng, ITEM, share).mean() for _ in range(200)]
        # half of the cuts are exact, of the others each of 16 cells falls out by chance
        error = 4 * math.sqrt(share * (1 - share) / 16 / 200)
        assert np.mean(taken) == pytest.approx(share, abs=error + 0.01)


def test_cells_near_a_centre_see_the_object() -> None:
    goal = detector.goal([[target((0, 0, 24, 24))], [target((0, 0, 32, 32), name=3)], []])
    # 24 pixels: the centre (12, 12) is that of one cell, whose four neighbours stay unjudged
    assert goal.presence[0, 1, 1] == 1.0
    assert [goal.presence[0, y, x] for y, x in ((0, 1), (1, 0), (1, 2), (2, 1))] == [-1.0] * 4
    # 12 pixels around reach the diagonal ones (11.3) too
    assert goal.presence[0, 0, 0] == goal.presence[0, 2, 2] == -1.0
    assert (goal.presence[0] != 0).sum() == 9 and goal.object[0].sum() == 9
    # 32 pixels: the centre (16, 16) is a corner of four cells
    assert (goal.presence[1] == 1.0).nonzero().tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert (goal.presence[2] == 0.0).all() and not goal.object[2].any()
    # distances from the cell's centre (12, 12) to the sides, in cells
    assert goal.sides[0, :, 1, 1].tolist() == [1.5, 1.5, 1.5, 1.5]
    assert goal.sides[1, :, 1, 2].tolist() == [20 / 8, 12 / 8, 12 / 8, 20 / 8]
    assert goal.classes[1, 3, 1, 1] == 1.0 and goal.colours[1, 2, 1, 1] == 1.0


def test_gone_and_doubtful_objects() -> None:
    gone, doubtful = (detector.goal([[target((0, 0, 24, 24), present=p)]]) for p in (0.0, None))
    assert (gone.presence == 0.0).all() and not gone.object.any()
    assert (doubtful.presence[0, :3, :3] == -1.0).all() and (doubtful.presence == 1.0).sum() == 0
    assert doubtful.object.sum() == 9


def test_each_cell_belongs_to_the_nearest_object() -> None:
    left, right = target((0, 0, 24, 24), name=1), target((24, 0, 48, 24), name=2)
    for order in ([left, right], [right, left]):
        goal = detector.goal([order])
        assert goal.classes[0, 1, 1, 1] == 1.0 and goal.classes[0, 2, 1, 4] == 1.0
        assert goal.classes[0, 1, 1, 2] == 1.0 and goal.classes[0, 2, 1, 3] == 1.0
        assert goal.presence[0, 1, 1] == goal.presence[0, 1, 4] == 1.0


def test_the_loss_is_that_of_its_parts() -> None:
    goal = detector.goal([[target((0, 0, 24, 24))], [target((8, 8, 40, 40), name=3)]])
    perfect = Cells(
        torch.where(goal.presence > 0, 40.0, -40.0),
        80 * goal.classes - 40,
        80 * goal.colours - 40,
        goal.sides.clone(),
    )
    assert all(part < 1e-6 for part in detector.losses(perfect, goal).values())
    # an ignorant network: log 2 a judged cell; log of the numbers of classes and colours
    blind = Cells(
        torch.zeros_like(goal.presence),
        torch.zeros_like(goal.classes),
        torch.zeros_like(goal.colours),
        torch.zeros_like(goal.sides),
    )
    found = detector.losses(blind, goal)
    seen = goal.object.sum()
    judged = (goal.presence >= 0).sum()
    assert found["presence"] == pytest.approx(float(judged / seen * math.log(2)), rel=1e-5)
    assert found["class"] == pytest.approx(math.log(len(CLASSES)), rel=1e-5)
    assert found["colour"] == pytest.approx(math.log(len(COLOURS)), rel=1e-5)
    sides = goal.sides.mean(1)[goal.object].mean()
    assert found["box"] == pytest.approx(float(sides), rel=1e-5)
    # nothing there: still finite
    empty = detector.goal([[], []])
    assert all(bool(part.isfinite()) for part in detector.losses(blind, empty).values())


@needs_font
def test_batches_are_made_again() -> None:
    x, targets = detector.batch_of(0, 3)
    again, _ = detector.batch_of(0, 3)
    other, _ = detector.batch_of(0, 4)
    assert torch.equal(x, again) and not torch.equal(x, other)
    assert x.shape == (detector.BATCH, 3, 64, 64) and len(targets) == detector.BATCH
    assert float(x.min()) >= 0.0 and float(x.max()) <= 1.0


def test_pictures_go_through_the_codec_and_rubbish_is_none() -> None:
    torch.manual_seed(0)
    vae = PatchAutoencoder().eval()
    x = torch.rand(200, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    y = through_codec(vae, x, torch.Generator().manual_seed(2))
    changed = (x != y).flatten(1).any(1).float().mean()
    # seven in ten, within four standard errors
    assert float(changed) == pytest.approx(0.7, abs=4 * math.sqrt(0.21 / 200))
    assert float(y.min()) >= 0.0 and float(y.max()) <= 1.0
    z = rubbish(vae, 30, torch.Generator().manual_seed(3))
    assert z.shape == (30, 3, 64, 64) and float(z.min()) >= 0.0 and float(z.max()) <= 1.0
    assert torch.equal(z, rubbish(vae, 30, torch.Generator().manual_seed(3)))
    assert rubbish(vae, 0, torch.Generator().manual_seed(3)).shape == (0, 3, 64, 64)
