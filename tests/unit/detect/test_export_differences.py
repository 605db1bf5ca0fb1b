"""What a parity certificate counts."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vodkit.detect.export import (
    INT8,
    Certificate,
    OnData,
    Tolerances,
    cuts,
    export_detector,
)
from vodkit.detect.parity import Differences, compare, compare_outputs, together
from vodkit.ground.errors import SettingsError
from vodkit.ground.records import Detections, Frame

FRAME = Frame(0, 0.0, np.zeros((50, 50, 3), np.uint8))
BOX = [5.0, 5.0, 25.0, 35.0]


class Says:
    """A detector that always says the same."""

    def __init__(self, rows: Sequence[tuple[list[float], float, int]]) -> None:
        boxes, scores, labels = zip(*rows, strict=True) if rows else ((), (), ())
        self.found = Detections(np.array(boxes), np.array(scores), np.array(labels))

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        return [self.found] * len(frames)


def test_twins_pair_by_score_and_differences_are_the_largest() -> None:
    moved = [5.0, 5.25, 25.0, 35.0]
    one = Says([(BOX, 0.9, 0), (BOX, 0.5, 0), (BOX, 0.7, 1)])
    two = Says([(BOX, 0.5, 0), (moved, 0.75, 1), (BOX, 0.9, 0)])
    seen = compare(one, two, [FRAME])
    assert (seen.num_boxes, seen.num_unpaired) == (3, 0)
    assert seen.max_box_px == pytest.approx(0.25)
    assert seen.max_score == pytest.approx(0.05)


def test_a_box_that_only_one_gives_is_unpaired_unless_at_the_threshold() -> None:
    one = Says([(BOX, 0.9, 0), ([30.0, 30, 40, 40], 0.0105, 0)])
    seen = compare(one, Says([(BOX, 0.9, 1)]), [FRAME])
    assert (seen.num_boxes, seen.num_unpaired) == (0, 2)
    seen = compare(one, Says([(BOX, 0.9, 0)]), [FRAME])
    assert (seen.num_boxes, seen.num_unpaired) == (1, 0)
    assert seen.max_score == pytest.approx(0.0005, abs=1e-5)
    nothing = compare(Says([]), Says([]), [FRAME])
    assert (nothing.num_boxes, nothing.num_unpaired) == (0, 0)


GOOD = Certificate(
    model="m",
    file="m.onnx",
    sha256="",
    precision="f32",
    num_pictures=1,
    num_boxes=3,
    num_unpaired=0,
    max_box_difference_px=0.1,
    max_score_difference=1e-5,
    by_input={},
    num_calibrated=0,
    on_data=None,
    tolerances=Tolerances(),
    versions={},
)
SAME = OnData(data="d.json", num_videos=1, num_frames=9, ap=(0.5, 0.5), hota=(0.6, 0.6))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"num_boxes": 0}, "nothing was found"),
        ({"num_unpaired": 1}, "1 boxes unpaired"),
        ({"max_box_difference_px": 0.6}, "corners 0.6 px, allowed: 0.5 px"),
        ({"max_score_difference": 0.01}, "scores 0.01"),
        ({"on_data": replace(SAME, ap=(0.5, 0.49))}, r"AP \+0\.0100 lost, allowed: 0\.002"),
        ({"on_data": replace(SAME, ap=(0.49, 0.5))}, r"AP -0\.0100 lost"),  # other boxes as well
        ({"on_data": replace(SAME, hota=(0.6, 0.5))}, r"HOTA \+0\.1000 lost"),
    ],
)
def test_a_certificate_passes_only_when_all_is_in_order(
    change: dict[str, object], why: str
) -> None:
    assert GOOD.passes
    assert replace(GOOD, on_data=SAME).passes
    assert replace(GOOD, on_data=replace(SAME, hota=None)).passes
    bad = replace(GOOD, **change)
    assert not bad.passes
    assert re.search(why, "; ".join(bad.failures()))


def test_int8_is_judged_by_what_it_finds_not_by_its_numbers() -> None:
    rough = replace(GOOD, tolerances=INT8, num_unpaired=9, max_box_difference_px=20.0)
    assert rough.failures() == ["no labelled data to judge it on"]
    assert replace(rough, on_data=replace(SAME, ap=(0.5, 0.481))).passes
    assert not replace(rough, on_data=replace(SAME, ap=(0.5, 0.479))).passes
    assert replace(rough, on_data=replace(SAME, hota=(0.6, 0.7))).passes  # a gain is no loss
    blind = replace(rough, on_data=replace(SAME, ap=(0.01, 0.01)))
    assert blind.failures() == ["AP of the original is 0.0100, no more than may be lost: 0.02"]
    with pytest.raises(SettingsError, match="tolerance_ap is -1"):
        Tolerances(ap=-1)
    with pytest.raises(SettingsError, match="give labelled data"):
        export_detector("yolox_nano", Path("x.onnx"), frames=[FRAME], calibrate_on=[FRAME])


def test_raw_outputs_in_another_order_are_the_same() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (500, 2))
    rows = np.hstack([corners, corners + 10, rng.uniform(size=(500, 1)), np.zeros((500, 1))])
    options = {"decoding": "scored_boxes", "size_px": (64, 64)}
    turned = rows[::-1].copy()
    assert compare_outputs([(rows,)], [(turned,)], **options).within(px=0, score=0)
    best = turned[:, 4].argmax()
    turned[best, 0] += 0.25
    seen = compare_outputs([(rows,)], [(turned,)], **options)
    assert seen.max_box_px == pytest.approx(0.25)
    turned[best, 5] = 1  # another class
    seen = compare_outputs([(rows,)], [(turned,)], **options)
    assert (seen.num_unpaired, seen.within(px=9, score=9)) == (1, False)
    assert seen.within(px=9, score=9, unpaired=0.01)
    assert compare_outputs([(rows,)], [(turned[:0],)], **options).num_unpaired == 200
    almost = rows.copy()
    almost[:, :4] += 0.01
    assert compare_outputs([(rows,)], [(almost,)], **options).num_boxes == 500


def test_a_box_that_is_not_a_number_is_in_nobody_else() -> None:
    rows = np.array([[0.0, 0, 10, 10, 0.9, 0], [20, 20, 40, 40, 0.8, 0]])
    broken = rows.copy()
    broken[0, :4] = np.nan
    options = {"decoding": "scored_boxes", "size_px": (64, 64)}
    seen = compare_outputs([(rows,)], [(broken,)], **options)
    assert (seen.num_boxes, seen.num_unpaired, seen.max_score) == (1, 1, 0)


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (50, 50), (7, 1)])
def test_cuts_are_landscape_portrait_and_square_from_the_middle(size: tuple[int, int]) -> None:
    width, height = size
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    picture = np.stack([x, y, x], axis=2).astype(np.uint8)
    wide, tall, square = (one.image for one in cuts([Frame(3, 0.3, picture)]))
    assert wide.shape[1] >= square.shape[1] >= 1
    assert tall.shape[0] >= square.shape[0] >= 1
    assert square.shape[0] == square.shape[1] == min(size)
    for one in (wide, tall, square):
        assert one.shape[1] == width or one.shape[0] == height
        left, right = int(one[0, 0, 0]), width - 1 - int(one[0, -1, 0])
        top, below = int(one[0, 0, 1]), height - 1 - int(one[-1, 0, 1])
        assert abs(left - right) <= 1
        assert abs(top - below) <= 1


def test_a_refusal_says_at_which_input_size_it_is_worst() -> None:
    one = Differences(num_boxes=5, num_unpaired=0, max_box_px=0.01, max_score=0.0)
    parts = {"64x32": one, "32x64": replace(one, num_unpaired=7, max_box_px=9.0)}
    both = together(parts.values())
    assert (both.num_boxes, both.num_unpaired, both.max_box_px) == (10, 7, 9.0)
    bad = replace(GOOD, by_input=parts, num_unpaired=7, max_box_difference_px=9.0)
    assert bad.failures() == [
        "corners 9 px (most at an input of 32x64), allowed: 0.5 px",
        "7 boxes unpaired (most at an input of 32x64), allowed: none",
    ]
