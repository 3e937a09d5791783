"""Strips of small pictures: their order, their size, and strips that are none."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from example_runs import picture
from PIL import Image

from glass_cli.common.errors import GlassError
from glass_cli.output import thumbnails


@pytest.mark.parametrize("size", [16, 200])
def test_strips_keep_the_particles_order(tmp_path: Path, size: int) -> None:
    flat = np.stack([np.full((size, size, 3), 40 * i, np.uint8) for i in range(6)])
    path = tmp_path / thumbnails.name(3)
    path.write_bytes(thumbnails.strip(flat))
    assert thumbnails.find(str(tmp_path)) == {3: path.name}
    assert thumbnails.find(str(tmp_path / "none")) == {}
    tiles = thumbnails.tiles(thumbnails.Strip(path), 6)
    assert {tile.size for tile in tiles} == {(min(size, 96), min(size, 96))}
    for i, tile in enumerate(tiles):
        # lossy, so near
        assert np.asarray(tile).mean() == pytest.approx(40 * i, abs=4)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / thumbnails.name(0)
    path.write_bytes(thumbnails.strip(np.zeros((6, 16, 16, 3), np.uint8)))
    with pytest.raises(GlassError, match="not 7 tiles"):
        thumbnails.tiles(thumbnails.Strip(path), 7)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(thumbnails.tiles(thumbnails.Strip(path, digest), 6)) == 6
    with pytest.raises(GlassError, match="was not kept with its result"):
        thumbnails.tiles(thumbnails.Strip(path, hashlib.sha256(b"other").hexdigest()), 6)
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(GlassError, match="not a whole picture"):
        thumbnails.tiles(thumbnails.Strip(path, digest), 6)


def test_strips_of_many_particles_fit_the_format(tmp_path: Path) -> None:
    many = np.repeat(picture(0, 128)[None], 400, 0)
    (tmp_path / "strip.webp").write_bytes(thumbnails.strip(many))
    with Image.open(tmp_path / "strip.webp") as strip:
        assert strip.width <= 16383 and strip.width % 400 == 0
