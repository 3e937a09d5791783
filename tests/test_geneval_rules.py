"""GenEval's rules, each with hand-made detections at its edges."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from detections import at, judged, seen_colours, thing

from glass_cli.benchmarks.geneval_rules import TASKS, kept, summary, verdict
from glass_cli.detectors.boxes import iou
from glass_cli.detectors.detections import Detection

GENEVAL = REPOSITORY.parent / "shared" / "geneval" / "evaluation_metadata.jsonl"


@pytest.mark.parametrize(("tag", "least"), [(t, 0.9 if t == "counting" else 0.3) for t in TASKS])
def test_a_detection_counts_above_the_cut_and_not_at_it(tag: str, least: float) -> None:
    assert kept([thing("cat", least)], tag) == {}
    above = thing("cat", math.nextafter(least, 1.0))
    assert kept([above], tag) == {"cat": [above]}


def test_nothing_found_is_no_class_at_all() -> None:
    assert kept([], "colors") == {}
    assert judged([], include=[{"class": "cat", "count": 1}]) == (False, "1 cat wanted, 0 found")


def test_the_sixteen_most_confident_of_a_class_are_kept_in_order() -> None:
    found = [thing("cat", 0.5 + i / 100, at(i, 0)) for i in range(20)]
    random.Random(0).shuffle(found)
    cats = kept([*found, thing("dog", 0.4)], "two_object")["cat"]
    assert [d.score for d in cats] == [0.5 + i / 100 for i in range(19, 3, -1)]
    assert not judged(found, include=[{"class": "cat", "count": 17}])[0]


def test_equal_scores_keep_the_order_in_which_they_came() -> None:
    found = [thing("cat", 0.5, at(i, 0)) for i in range(18)]
    assert kept(found, "colors")["cat"] == found[:16]


def test_no_suppression_by_default_even_of_the_same_box_twice() -> None:
    twice = [thing("cat", 0.9), thing("cat", 0.8)]
    assert iou(twice[0].box, twice[1].box) == 1.0
    assert kept(twice, "colors")["cat"] == twice


def test_suppression_is_greedy_from_the_given_overlap_on() -> None:
    # a overlaps b, b overlaps c, a and c are apart: without b's say c stays
    a, b, c = (thing("cat", s, at(x, 0)) for s, x in ((0.9, 0), (0.8, 4), (0.7, 8)))
    overlap = iou(a.box, b.box)
    assert iou(b.box, c.box) == overlap > iou(a.box, c.box)
    assert kept([c, b, a], "colors", overlap)["cat"] == [a, c]
    assert kept([c, b, a], "colors", math.nextafter(overlap, 1))["cat"] == [a, b, c]


def test_sides_are_counted_with_one_pixel_more() -> None:
    # 10x10 boxes count 11x11; touching ones share a strip of 1x11
    assert iou((0, 0, 10, 10), (10, 0, 20, 10)) == pytest.approx(11 / (121 + 121 - 11))
    assert iou((0, 0, 10, 10), (11, 0, 21, 10)) == 0.0
    assert iou((0, 0, 10, 10), (0, 0, 10, 4)) == pytest.approx(55 / 121)
    assert iou((5, 5, 5, 5), (5, 5, 5, 5)) == 1.0
    assert iou((5, 5, 3, 3), (5, 5, 3, 3)) == 0.0  # turned inside out: no area, no division


# include and exclude


@pytest.mark.parametrize(("there", "right"), [(1, False), (2, True), (3, False)])
def test_counting_wants_exactly_so_many(there: int, right: bool) -> None:
    found = [thing("cat", 0.95, at(20 * i, 0)) for i in range(there)]
    record = {
        "tag": "counting",
        "include": [{"class": "cat", "count": 2}],
        "exclude": [{"class": "cat", "count": 3}],
    }
    assert judged(found, **record)[0] is right
    # one more that counting does not trust, in another task's range
    assert judged([*found, thing("cat", 0.6)], **record)[0] is right


def test_exclude_alone_and_at_its_count() -> None:
    record = {"include": [], "exclude": [{"class": "cat", "count": 2}]}
    assert judged([thing("cat")], **record) == (True, "")
    correct, reason = judged([thing("cat"), thing("cat")], **record)
    assert not correct and reason == "fewer than 2 cat wanted, 2 found"


def test_more_than_enough_is_enough_without_an_exclude_clause() -> None:
    assert judged([thing("cat")] * 5, include=[{"class": "cat", "count": 1}])[0]


def test_every_failing_clause_is_named() -> None:
    include = [{"class": "cat", "count": 1}, {"class": "dog", "count": 1}]
    exclude = [{"class": "cow", "count": 1}]
    reason = judged([thing("cow")], include=include, exclude=exclude)[1]
    assert reason.split("; ") == [
        "1 cat wanted, 0 found",
        "1 dog wanted, 0 found",
        "fewer than 1 cow wanted, 1 found",
    ]


# colours


def test_the_colour_is_asked_of_the_most_confident_only() -> None:
    red = {"class": "cat", "count": 1, "color": "red"}
    first, second = thing("cat", 0.9, colour="red"), thing("cat", 0.8, colour="blue")
    assert judged([second, first], include=[red])[0]
    swapped = [thing("cat", 0.8, colour="red"), thing("cat", 0.9, colour="blue")]
    correct, reason = judged(swapped, include=[red])
    assert not correct and reason == "1 red cat wanted, 1 blue found"


def test_all_of_the_counted_must_have_the_colour() -> None:
    two = {"class": "cat", "count": 2, "color": "red"}
    red, blue = thing("cat", 0.9, colour="red"), thing("cat", 0.8, colour="blue")
    assert judged([red, red], include=[two])[0]
    assert not judged([red, blue], include=[two])[0]
    # a third red one of less confidence does not help
    assert not judged([red, blue, thing("cat", 0.7, colour="red")], include=[two])[0]


def test_no_colour_is_asked_where_there_are_too_few_or_none_is_wanted() -> None:
    def never(found: Sequence[Detection], name: str) -> list[str]:
        raise AssertionError("asked")

    record = {"tag": "colors", "include": [{"class": "cat", "count": 2, "color": "red"}]}
    assert not verdict({"cat": [thing("cat")]}, record, never)[0]
    plain = {"tag": "single_object", "include": [{"class": "cat", "count": 1}]}
    assert verdict({"cat": [thing("cat")]}, plain, never)[0]


# the published list, and scores


@pytest.mark.skipif(not GENEVAL.is_file(), reason="GenEval's list is not beside the repository")
def test_every_published_record_is_met_by_a_picture_made_for_it() -> None:
    for line in Path(GENEVAL).read_text().splitlines():
        record = json.loads(line)
        found: list[Detection] = []
        for clause in record["include"]:
            for i in range(clause["count"]):
                x, y = 100 + 30 * i, 100
                if "position" in clause:
                    x, y = {
                        "left of": (0, 100),
                        "right of": (300, 100),
                        "above": (100, 0),
                        "below": (100, 300),
                    }[clause["position"][0]]
                box = at(x, y, 20)
                found.append(thing(clause["class"], 0.95, box, clause.get("color", "")))
        objects = kept(found, record["tag"])
        assert verdict(objects, record, seen_colours) == (True, ""), record
        assert not verdict(kept(found[1:], record["tag"]), record, seen_colours)[0]
        if record["tag"] == "counting":
            assert not verdict(kept([*found, found[0]], "counting"), record, seen_colours)[0]


def result(record: int, image: int, tag: str, correct: bool) -> dict[str, Any]:
    return {
        "prompt_index": record,
        "image_index": image,
        "judged": {"correct": correct, "tag": tag},
    }


def test_overall_is_the_mean_of_the_tasks_not_of_the_pictures() -> None:
    results = [
        *(result(0, i, "colors", i == 0) for i in range(4)),
        *(result(1, i, "colors", False) for i in range(4)),
        *(result(2, i, "counting", True) for i in range(2)),
    ]
    random.Random(3).shuffle(results)
    scores, per_prompt, groups = summary(results)
    assert scores == {
        "counting": 1.0,
        "colors": 1 / 8,
        "overall": 9 / 16,
        "one right": 2 / 3,
    }
    assert list(scores) == ["counting", "colors", "overall", "one right"]
    assert per_prompt == {
        "counting": [1.0],
        "colors": [0.25, 0.0],
        "one right": [1.0, 0.0, 1.0],
    }
    assert groups == {"overall": ["counting", "colors"]}


def test_nothing_to_sum_up() -> None:
    assert summary([]) == ({}, {}, {})
