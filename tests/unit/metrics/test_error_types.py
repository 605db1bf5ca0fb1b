"""TIDE's error types, each by hand (``tidecv`` itself: tests/slow); curves; calibration."""

import numpy as np
import pytest

from metric_scenes import columns, no_boxes
from vodkit.metrics.detection.columns import BoxColumns
from vodkit.metrics.detection.curves import calibration, confusion, curves
from vodkit.metrics.detection.errors import (
    BACKGROUND,
    BOTH,
    CLASS,
    DUPLICATE,
    IGNORED,
    LOCALISATION,
    NO_ERROR,
    find_errors,
    summarise_errors,
)
from vodkit.metrics.detection.match import coco_verdicts


def boxes(*rows, scores=None, labels=None, images=None, ignore=None):
    n = len(rows)
    return BoxColumns(
        images=[0] * n if images is None else images,
        boxes_xyxy=np.array(rows, float).reshape(-1, 4),
        labels=[0] * n if labels is None else labels,
        scores=scores,
        ignore=ignore,
    )


TRUTH = boxes((0, 0, 10, 10))


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (boxes((0, 0, 10, 10)), NO_ERROR),
        (boxes((0, 0, 10, 4)), LOCALISATION),
        (boxes((0, 0, 10, 10), labels=[1]), CLASS),
        (boxes((0, 0, 10, 4), labels=[1]), BOTH),
        (boxes((50, 0, 60, 10)), BACKGROUND),
        (boxes((0, 0, 10, 10), images=[1]), BACKGROUND),
    ],
)
def test_each_error_by_hand(found, kind):
    errors = find_errors(TRUTH, found)
    assert errors.kind.tolist() == [kind]
    assert errors.missed.tolist() == [kind in {BOTH, BACKGROUND}]


def test_a_second_detection_is_a_duplicate_and_one_in_a_crowd_is_none():
    twice = boxes((0, 0, 10, 10), (0, 0, 10, 10), scores=[0.5, 0.9])
    assert find_errors(TRUTH, twice).kind.tolist() == [DUPLICATE, NO_ERROR]
    crowd = boxes((0, 0, 10, 10), (50, 0, 90, 40), ignore=[False, True])
    assert find_errors(crowd, boxes((60, 0, 70, 10))).kind.tolist() == [IGNORED]


def test_what_mending_brings():
    found = boxes((0, 0, 10, 4), scores=[0.9])
    result = summarise_errors(find_errors(TRUTH, found), found, num_classes=1)
    assert (result.ap50, result.ap_loss["localisation"]) == (0.0, 1.0)
    assert result.counts == {
        "class": 0, "localisation": 1, "both": 0, "duplicate": 0, "background": 0, "missed": 0,
    }  # fmt: skip


def test_without_truth_costs_are_undefined():
    found = boxes((0, 0, 10, 4))
    result = summarise_errors(find_errors(no_boxes(), found), found, num_classes=1)
    assert result.ap50 is None
    assert result.ap_loss["background"] is None
    assert result.counts["background"] == 1


def test_best_thresholds_by_hand():
    truth = boxes((0, 0, 10, 10), (50, 0, 60, 10))
    found = boxes((0, 0, 10, 10), (50, 0, 60, 10), (90, 0, 99, 9), scores=[0.9, 0.6, 0.3])
    verdicts = coco_verdicts(truth, found, num_classes=2)
    ours = curves(verdicts, ("a", "b"))
    assert (ours["a"].best_threshold, ours["a"].best_f1) == (0.6, 1.0)
    assert ours["a"].recall == (0.5, 1.0, 1.0)
    assert ours["a"].precision == pytest.approx((1.0, 1.0, 2 / 3))
    assert (ours["b"].best_threshold, ours["b"].num_truth) == (None, 0)


def test_a_threshold_keeps_all_of_equal_score():
    found = boxes((0, 0, 10, 10), (90, 0, 99, 9), scores=[0.5, 0.5])
    ours = curves(coco_verdicts(TRUTH, found, num_classes=1), ("a",))["a"]
    assert (ours.thresholds, ours.precision) == ((0.5,), (0.5,))


def test_calibration_equals_hotcoco_and_the_formula():
    truth, found = columns(np.random.default_rng(5), crowds=0.0, num_classes=1)
    ours = calibration(coco_verdicts(truth, found, num_classes=1))
    by_hand = 0.0
    verdicts = coco_verdicts(truth, found, num_classes=1)
    place = np.minimum((found.scores * 10).astype(int), 9)
    for k in range(10):
        inside = (place == k) & verdicts.kept
        if inside.any():
            gap = abs(found.scores[inside].mean() - verdicts.right()[inside].mean())
            by_hand += inside.sum() * gap / verdicts.kept.sum()
    assert ours.expected_error == pytest.approx(by_hand)
    assert sum(ours.counts) == verdicts.kept.sum()
    assert calibration(coco_verdicts(truth, no_boxes(), num_classes=1)).expected_error is None


def test_confusion_by_hand():
    from metric_scenes import table, video
    from vodkit.ground.records import Dataset
    from vodkit.metrics.clips import make_clips

    truth = table([(0, 1, 0, 0, 10, 10, 0), (0, 2, 50, 0, 60, 10, 1), (1, 1, 0, 0, 10, 10, 0)])
    found = table([(0, 1, 0, 0, 10, 10, 1), (0, 2, 50, 0, 60, 10, 1), (1, 3, 90, 0, 99, 9, 0)])
    dataset = Dataset(classes=("a", "b"), videos=(video("v", truth, num_frames=2),))
    ours = confusion(make_clips(dataset, {"v": found}), ("a", "b"), min_score=0.5)
    assert ours.names == ("a", "b", "nothing")
    assert ours.counts == ((0, 1, 1), (0, 1, 0), (1, 0, 0))
