"""What a parity certificate counts."""

from collections.abc import Sequence

import numpy as np
import pytest

from vodkit.detect.export import Certificate, fixed_size
from vodkit.detect.models import find_card
from vodkit.detect.parity import compare
from vodkit.records import Detections, Frame

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


@pytest.mark.parametrize(
    "change",
    [
        {"num_boxes": 0},
        {"num_unpaired": 1},
        {"max_box_difference_px": 0.6},
        {"max_score_difference": 0.01},
    ],
)
def test_a_certificate_passes_only_when_all_is_in_order(change: dict[str, float]) -> None:
    good = {
        "model": "m",
        "file": "m.onnx",
        "sha256": "",
        "num_frames": 1,
        "num_boxes": 3,
        "num_unpaired": 0,
        "max_box_difference_px": 0.1,
        "max_score_difference": 1e-5,
        "tolerance_px": 0.5,
        "tolerance_score": 1e-3,
        "versions": {},
    }
    assert Certificate(**good).passes
    assert not Certificate(**{**good, **change}).passes


def test_exports_have_one_input_size() -> None:
    card, _ = find_card("retinanet_resnet50_fpn")
    fixed = fixed_size(card.preprocessing)
    assert (fixed.resize, fixed.width_px, fixed.height_px) == ("letterbox", 1344, 800)
    assert fixed_size(fixed) == fixed
