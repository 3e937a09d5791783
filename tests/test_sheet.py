"""The contact sheet: its pixels, not only its size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from glass_cli.common.errors import GlassError
from glass_cli.output.sheet import BEST, Row, contact_sheet

BLUE = (10, 20, 200)


def plain(size: tuple[int, int], colour: tuple[int, int, int] = BLUE) -> Image.Image:
    return Image.new("RGB", size, colour)


def where(sheet: Image.Image, colour: tuple[int, ...]) -> np.ndarray:
    """Whether each pixel has exactly ``colour``; bool (H, W)."""
    same: np.ndarray = (np.asarray(sheet) == np.array(colour[:3])).all(-1)
    return same


def box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """First and last row, first and last column of the true pixels."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


@pytest.mark.parametrize(
    ("size", "shown"),
    [((64, 64), (128, 128)), ((50, 25), (150, 75)), ((200, 200), (200, 200))],
)
def test_small_pictures_grow_by_a_whole_factor(
    size: tuple[int, int], shown: tuple[int, int]
) -> None:
    sheet = contact_sheet([Row("a", [plain(size)], ["0.1"])])
    top, bottom, left, right = box(where(sheet, BLUE))
    assert (right - left + 1, bottom - top + 1) == shown


def test_enlarging_does_not_smooth() -> None:
    board = np.indices((64, 64)).sum(0) % 2 * 255
    picture = np.repeat(board[..., None], 3, -1).astype(np.uint8)
    picture[0] = picture[-1] = picture[:, 0] = picture[:, -1] = BLUE
    sheet = contact_sheet([Row("a", [picture], [""])])
    top, bottom, left, right = box(where(sheet, BLUE))
    inside = np.asarray(sheet)[top : bottom + 1, left : right + 1]
    np.testing.assert_array_equal(inside, picture.repeat(2, 0).repeat(2, 1))


def test_big_pictures_shrink_to_256() -> None:
    sheet = contact_sheet([Row("a", [plain((1024, 512))], ["0.1"])])
    top, bottom, left, right = box(where(sheet, BLUE))
    assert (right - left + 1, bottom - top + 1) == (256, 128)


def test_the_best_alone_is_framed() -> None:
    colours = [(0, 0, 200 + i) for i in range(4)]
    row = Row("a", [plain((64, 64), c) for c in colours], ["1", "2", "3", "4"], best=2)
    sheet = contact_sheet([row])
    red = where(sheet, ImageColor.getrgb(BEST))
    for i, colour in enumerate(colours):
        top, bottom, left, right = box(where(sheet, colour))
        around = red[top - 6 : bottom + 7, max(0, left - 6) : right + 7]
        if i == 2:
            assert around[:3].any()
            assert around[-3:].any()
            assert around[:, :3].any()
            assert around[:, -3:].any()
        else:
            # Its own surroundings; the neighbour's frame reaches 5 of the 12 pixels between.
            assert not red[top : bottom + 1, max(0, left - 6) : right + 7].any()
    assert not where(contact_sheet([row._replace(best=None)]), ImageColor.getrgb(BEST)).any()


def test_rows_wrap_at_columns() -> None:
    colours = [(0, 0, 150 + i) for i in range(5)]
    row = Row("a", [plain((64, 64), c) for c in colours], [""] * 5)
    sheet = contact_sheet([row], columns=3)
    boxes = [box(where(sheet, colour)) for colour in colours]
    assert boxes[0][0] == boxes[1][0] == boxes[2][0] < boxes[3][0] == boxes[4][0]
    assert boxes[3][2] == boxes[0][2]
    assert boxes[4][2] == boxes[1][2]
    for best in range(5):
        framed = contact_sheet([row._replace(best=best)], columns=3)
        red = box(where(framed, ImageColor.getrgb(BEST)))
        assert (red[0], red[2]) == (boxes[best][0] - 5, boxes[best][2] - 5)


def test_margins_are_even_and_white() -> None:
    row = Row("a", [plain((64, 64))] * 8, [""] * 8)
    sheet = contact_sheet([row, row._replace(label="")])
    ink = ~where(sheet, (255, 255, 255))
    top, bottom, left, right = box(ink)
    assert sheet.width - 1 - right == pytest.approx(left, abs=3)
    assert min(top, sheet.height - 1 - bottom, left) >= 20


def test_labels_and_captions_are_drawn() -> None:
    pictures = [plain((64, 64))]
    empty = contact_sheet([Row("", pictures, [""])], title=None)
    label = contact_sheet([Row("a red apple", pictures, [""])])
    other = contact_sheet([Row("a red apply", pictures, [""])])
    caption = contact_sheet([Row("", pictures, ["0.123"])])
    title = contact_sheet([Row("", pictures, [""])], title="Runs")
    assert label.height > empty.height
    assert title.height > empty.height
    assert np.asarray(label).tobytes() != np.asarray(other).tobytes()
    assert np.asarray(caption).tobytes() != np.asarray(empty).tobytes()


def test_captions_of_two_lines() -> None:
    """A line more, pictures as far apart as the text needs, at the left of their cells."""
    colours = [(0, 0, 150 + i) for i in range(3)]
    pictures = [plain((64, 64), colour) for colour in colours]
    one = contact_sheet([Row("", pictures, ["glass"] * 3)])
    two = contact_sheet([Row("", pictures, ["glass\n0.123"] * 3)])
    assert two.size == (one.width, one.height + 17)
    text = "glass, lam=0.5, particles=16"
    spread = contact_sheet([Row("", pictures, [f"{text}\n0.1"] * 3)])
    steps = np.diff([box(where(spread, colour))[2] for colour in colours])
    assert steps[0] == steps[1] and 150 < steps[0] < 256
    # nothing of one text is below the next picture, where another begins
    ink = ~where(spread, (255, 255, 255))
    last = box(where(spread, colours[0]))[1]
    left = [box(where(spread, colour))[2] for colour in colours]
    assert not ink[last + 5 :, left[1] - 10 : left[1] - 1].any()
    assert ink[last + 5 :, left[0] : left[0] + 150].any()
    # a text of any length does not spread them further
    long = contact_sheet([Row("", pictures, ["x" * 5000 + "\n0.1"] * 3)])
    assert long.width <= 2 * 28 + 3 * 256 + 2 * 12


def test_captions_wider_than_a_picture_are_wrapped() -> None:
    """Their last word, which may be all that tells two runs apart, is seen."""
    long = "sampler.transitions=10, sampler.inner=snr, steering.lam=auto, particles=8, seed="
    one, two = (contact_sheet([Row("a", [plain((64, 64))] * 2, [f"{long}{i}\n0.1", "b\n0.2"])])
                for i in (1, 2))  # fmt: skip
    assert one.size == two.size and one.tobytes() != two.tobytes()
    _, bottom, left, right = box(~where(one, ImageColor.getrgb("white")))
    assert left >= 27 and right < one.width - 27 and bottom < one.height - 1
    # three lines of the name, not one, above the reward
    short = contact_sheet([Row("a", [plain((64, 64))] * 2, ["x" * 30 + "\n0.1", "b\n0.2"])])
    assert one.height == short.height + 2 * 17


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    plain((64, 64)).save(path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(GlassError, match=r"a\.png is not a whole picture \(.*\); run it again$"):
        contact_sheet([Row("a", [path], [""])])


def test_long_labels_wrap_inside_the_sheet() -> None:
    short = contact_sheet([Row("word", [plain((64, 64))], [""])])
    for text in ("many words " * 500, "x" * 100_000, "红" * 1000):
        sheet = contact_sheet([Row(text, [plain((64, 64))], [""])])
        assert sheet.width == short.width
        assert sheet.height == short.height + 48  # two more lines, no more
        *_, right = box(~where(sheet, (255, 255, 255)))
        assert right <= sheet.width - 20


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n\t ",
        "яблоко",
        "红苹果",
        "🍎👩‍👩‍👧",
        "تفاحة",
        "a\x00b\x1b[31m",
        "\ud800",
        "\u202e\u200f",
        "e\u0301",
    ],
)
def test_any_text_is_drawn(text: str) -> None:
    sheet = contact_sheet([Row(text, [plain((64, 64))], [text], 0)], title=text)
    assert where(sheet, BLUE).sum() == 128 * 128


def test_kinds_of_pictures(tmp_path: Path) -> None:
    plain((64, 64)).save(tmp_path / "a.png")
    grey = np.full((64, 64), 90, np.uint8)
    clear = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    row = Row("a", [tmp_path / "a.png", grey, clear], [""] * 3)
    sheet = contact_sheet([row])
    assert where(sheet, BLUE).sum() == 128 * 128
    assert where(sheet, (90, 90, 90)).sum() >= 128 * 128
    assert not where(sheet, (255, 0, 0)).any()


def test_wrong_calls_say_why() -> None:
    picture = plain((64, 64))
    with pytest.raises(ValueError, match="at least one row"):
        contact_sheet([])
    with pytest.raises(ValueError, match="captions"):
        contact_sheet([Row("a", [picture], [])])
    with pytest.raises(ValueError, match="best"):
        contact_sheet([Row("a", [picture], [""], 1)])
    with pytest.raises(ValueError, match="columns"):
        contact_sheet([Row("a", [picture], [""])], columns=0)
