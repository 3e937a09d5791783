"""GenEval's rule of positions, on detections given by hand."""

from __future__ import annotations

import math
import random

from detections import at, judged, thing

from glass_cli.detectors.boxes import relations

OPPOSITE = {"left of": "right of", "above": "below", "right of": "left of", "below": "above"}


def test_the_eight_directions() -> None:
    """At 45 degrees both relations hold; within 30 degrees of an axis only one (cos 60 = 1/2)."""
    expected = {
        0: {"right of"},
        29: {"right of"},
        31: {"right of", "below"},
        45: {"right of", "below"},
        59: {"right of", "below"},
        61: {"below"},
        90: {"below"},
        135: {"left of", "below"},
        180: {"left of"},
        225: {"left of", "above"},
        270: {"above"},
        315: {"right of", "above"},
    }
    for angle, wanted in expected.items():
        x, y = (1000 * f(math.radians(angle)) for f in (math.cos, math.sin))
        # far apart and small, so that the margin hardly counts
        assert relations(at(x, y, 0.01), at(0, 0, 0.01)) == wanted, angle


def test_opposite_relations_swap_with_the_objects() -> None:
    rng = random.Random(1)
    for _ in range(200):
        a, b = (at(rng.uniform(0, 60), rng.uniform(0, 60), rng.uniform(4, 30)) for _ in range(2))
        assert {OPPOSITE[r] for r in relations(a, b)} == relations(b, a)


def test_objects_within_the_margin_stand_in_no_relation() -> None:
    # 0.1 of both widths: 2 pixels for two boxes of 10
    assert relations(at(0, 0), at(0, 0)) == set()
    assert relations(at(2.0009, 0), at(0, 0)) == set()
    assert relations(at(-1.9, 1.9), at(0, 0)) == set()


def test_the_shrunk_offset_is_measured_against_the_whole_one() -> None:
    # offset 4, margin 2: 2 / 4 is not above one half; offset 4.1 leaves 2.1 / 4.1
    assert relations(at(4.0, 0), at(0, 0)) == set()
    assert relations(at(4.1, 0), at(0, 0)) == {"right of"}
    # by the shrunk length the small part along y would be "below" too
    assert relations(at(30.0, 4.0), at(0, 0)) == {"right of"}


def test_touching_and_overlapping_boxes_have_relations_by_their_centres() -> None:
    assert relations((10, 0, 20, 10), (0, 0, 10, 10)) == {"right of"}
    assert relations((6, 0, 16, 10), (0, 0, 10, 10)) == {"right of"}
    # the margin is taken along each axis by that axis's sizes
    assert relations((0, 12, 40, 16), (0, 0, 40, 4)) == {"below"}


POSITION = {
    "tag": "position",
    "include": [
        {"class": "cup", "count": 1},
        {"class": "cat", "count": 1, "position": ["above", 0]},
    ],
}


def test_position_of_the_second_against_the_first() -> None:
    cup = thing("cup", box=at(50, 50))
    assert judged([cup, thing("cat", box=at(50, 10))], **POSITION) == (True, "")
    assert judged([cup, thing("cat", box=at(20, 20))], **POSITION)[0]  # above and left of
    correct, reason = judged([cup, thing("cat", box=at(50, 90))], **POSITION)
    assert not correct and reason == "cat above cup wanted, it is below it"
    reason = judged([cup, thing("cat", box=at(50, 50))], **POSITION)[1]
    assert reason == "cat above cup wanted, it is in no relation to it"


def test_without_its_target_a_position_fails() -> None:
    reason = judged([thing("cat", box=at(50, 10))], **POSITION)[1]
    assert reason.split("; ")[1] == "nothing found that cat could be above"
    coloured = {**POSITION["include"][0], "color": "red"}
    record = {**POSITION, "include": [coloured, POSITION["include"][1]]}
    cat = thing("cat", box=at(50, 10))
    assert judged([thing("cup", box=at(50, 50), colour="red"), cat], **record)[0]
    # a target that failed its own colour is no target
    reason = judged([thing("cup", box=at(50, 50), colour="blue"), cat], **record)[1]
    assert "nothing found that cat could be above" in reason


def test_a_wrong_colour_ends_a_clause_before_its_position() -> None:
    clause = {**POSITION["include"][1], "color": "red"}
    record = {**POSITION, "include": [POSITION["include"][0], clause]}
    found = [thing("cup", box=at(50, 50)), thing("cat", box=at(50, 90), colour="blue")]
    assert judged(found, **record)[1] == "1 red cat wanted, 1 blue found"


def test_all_objects_against_all_targets() -> None:
    include = [{"class": "cup", "count": 2}, {"class": "cat", "count": 2, "position": ["above", 0]}]
    cups = [thing("cup", 0.9, at(20, 50)), thing("cup", 0.8, at(60, 50))]
    cats = [thing("cat", 0.9, at(35, 5)), thing("cat", 0.8, at(45, 5))]
    assert judged([*cups, *cats], tag="position", include=include)[0]
    low = [cats[0], thing("cat", 0.8, at(40, 90))]
    assert not judged([*cups, *low], tag="position", include=include)[0]
    # a third cat below, of less confidence, is not among those that count
    assert judged([*cups, *cats, thing("cat", 0.4, at(40, 90))], tag="position", include=include)[0]


def test_the_most_confident_stands_for_its_class() -> None:
    cup = thing("cup", box=at(50, 50))
    right, wrong = at(50, 10), at(50, 90)
    assert judged([cup, thing("cat", 0.9, right), thing("cat", 0.8, wrong)], **POSITION)[0]
    assert not judged([cup, thing("cat", 0.8, right), thing("cat", 0.9, wrong)], **POSITION)[0]
