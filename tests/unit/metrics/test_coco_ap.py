"""COCO AP: equal to pycocotools, and to the letter in the cases that engines get wrong."""

import numpy as np
import pytest

from metric_scenes import columns, no_boxes
from vodkit.ground.errors import InputError, SettingsError
from vodkit.metrics.detection.ap import average_precision
from vodkit.metrics.detection.coco_engine import ENGINES, RECALLS, evaluate_grid
from vodkit.metrics.detection.columns import BoxColumns, spread_ignore, whole_numbers
from vodkit.metrics.detection.match import coco_verdicts
from vodkit.metrics.detection.precision_recall import coco_ap, curve


def boxes(*rows, scores=None, ignore=None, images=None, labels=None):
    n = len(rows)
    return BoxColumns(
        images=[0] * n if images is None else images,
        boxes_xyxy=np.array(rows, float).reshape(-1, 4),
        labels=[0] * n if labels is None else labels,
        scores=scores,
        ignore=ignore,
    )


def ap50(truth, found, **options):
    """COCO adds an epsilon to its divisions: 1 comes out as 0.99..9."""
    result = average_precision(truth, found, num_images=3, classes=("a", "b"), **options)
    value = result.overall.ap50
    return None if value is None else round(value, 9)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "pycocotools"])
def test_every_engine_equals_pycocotools(seed, engine):
    pytest.importorskip({"faster-coco-eval": "faster_coco_eval"}.get(engine, engine))
    truth, found = columns(np.random.default_rng(seed))
    ours = evaluate_grid(truth, found, num_images=20, num_classes=4, engine=engine)
    theirs = evaluate_grid(truth, found, num_images=20, num_classes=4, engine="pycocotools")
    assert ours.engine == engine
    for name in ("precision", "recall", "scores"):
        assert np.allclose(getattr(ours, name), getattr(theirs, name), atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_our_own_verdicts_give_the_engines_numbers(seed):
    truth, found = columns(np.random.default_rng(seed))
    grid = evaluate_grid(truth, found, num_images=20, num_classes=3)
    verdicts = coco_verdicts(truth, found, num_classes=3)
    order = np.argsort(-found.scores, kind="stable")
    for k in range(3):
        num = int(((truth.labels == k) & ~truth.ignore).sum())
        for t in range(10):
            right, wrong = verdicts.right(t), verdicts.wrong(t)
            rows = order[(found.labels[order] == k) & (right | wrong)[order]]
            ap = coco_ap(*curve(right[rows], wrong[rows], num))
            assert ap == pytest.approx(grid.precision[t, :, k, 0, 2].mean(), abs=1e-9)


@pytest.mark.parametrize("engine", ["hotcoco", "pycocotools"])
def test_the_first_annotation_can_be_found(engine):
    """pycocotools takes a match with annotation id 0 for a miss; ours begin at 1."""
    assert ap50(boxes((0, 0, 9, 9)), boxes((0, 0, 9, 9)), engine=engine) == 1.0


def test_undefined_is_none_and_nothing_found_is_zero():
    one = boxes((0, 0, 9, 9))
    assert ap50(no_boxes(), no_boxes()) is None
    assert ap50(no_boxes(), one) is None
    assert ap50(one, no_boxes()) == 0.0
    result = average_precision(one, one, num_images=1, classes=("a", "b"))
    assert result.per_class["b"].ap is None
    assert result.overall.ap == pytest.approx(1.0)


def test_no_classes_is_undefined():
    empty = average_precision(no_boxes(), no_boxes(), num_images=1, classes=())
    assert empty.overall.ap is None


def test_a_crowd_takes_any_number_of_detections():
    truth = boxes((0, 0, 100, 100), (200, 200, 210, 210), ignore=[True, False])
    found = boxes((0, 0, 10, 10), (20, 20, 30, 30), (200, 200, 210, 210), scores=[0.9, 0.8, 0.7])
    assert ap50(truth, found) == 1.0
    verdicts = coco_verdicts(truth, found, num_classes=1)
    assert verdicts.ignored[0].tolist() == [True, True, False]


def test_a_region_for_every_class_is_a_crowd_of_each():
    truth = boxes((0, 0, 99, 99), (200, 0, 210, 9), labels=[-1, 0], ignore=[True, False])
    found = boxes((0, 0, 9, 9), (200, 0, 210, 9), labels=[1, 0], scores=[0.9, 0.8])
    assert sorted(spread_ignore(truth, 2).labels.tolist()) == [0, 0, 1]
    assert ap50(truth, found) == 1.0


def test_area_1024_is_small_and_medium():
    square = boxes((0, 0, 32, 32))
    scores = average_precision(square, square, num_images=1, classes=("a",)).overall
    assert (scores.ap_small, scores.ap_medium) == pytest.approx((1.0, 1.0))
    assert scores.ap_large is None


def test_ties_go_to_the_earlier_picture_then_to_the_earlier_row():
    truth = boxes((0, 0, 9, 9), images=[1])
    found = boxes((50, 50, 60, 60), (0, 0, 9, 9), images=[0, 1], scores=[0.5, 0.5])
    assert ap50(truth, found) == pytest.approx(0.5)
    same_picture = boxes((0, 0, 9, 9), (50, 50, 60, 60), images=[1, 1], scores=[0.5, 0.5])
    assert ap50(truth, same_picture) == 1.0


def test_of_two_equal_truth_boxes_the_later_one_is_taken():
    truth = boxes((0, 0, 10, 10), (0, 0, 10, 10))
    verdicts = coco_verdicts(truth, boxes((0, 0, 10, 10)), num_classes=1)
    assert verdicts.matches[0].tolist() == [1]


def test_only_the_hundred_best_of_a_picture_and_class_count():
    rows = [(20 * k, 0, 20 * k + 10, 10) for k in range(101)]
    truth = boxes(rows[100])
    found = boxes(*rows, scores=np.linspace(0.9, 0.1, 101))
    assert ap50(truth, found) == 0.0
    assert coco_verdicts(truth, found, num_classes=1).kept.sum() == 100


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_refused(bad):
    """pycocotools takes such a detection for a true positive."""
    with pytest.raises(InputError, match="box 1"):
        boxes((0, 0, 9, 9), (0, 0, bad, 9))
    with pytest.raises(InputError, match="scores of box 0"):
        boxes((0, 0, 9, 9), scores=[bad])


def test_what_does_not_exist_is_refused():
    one = boxes((0, 0, 9, 9))
    with pytest.raises(InputError, match="picture 7; there are 3"):
        ap50(one, boxes((0, 0, 9, 9), images=[7]))
    with pytest.raises(InputError, match="label 2; there are 2 classes"):
        ap50(one, boxes((0, 0, 9, 9), labels=[2]))
    with pytest.raises(InputError, match=r"row 1 is 3\.9"):
        boxes((0, 0, 9, 9), (0, 0, 9, 9), images=[1.0, 3.9])
    with pytest.raises(InputError, match="label -1"):
        boxes((0, 0, 9, 9), labels=[-1])
    with pytest.raises(InputError, match="picture number -2"):
        boxes((0, 0, 9, 9), images=[-2])
    with pytest.raises(InputError, match="rows"):
        boxes((0, 0, 9, 9), labels=[0, 1])
    with pytest.raises(SettingsError, match="hotcoco"):
        ap50(one, one, engine="hotcocoa")


def test_whole_numbers_stay_what_they_are():
    assert whole_numbers(np.array([True, False]), "x").tolist() == [1, 0]
    assert len(RECALLS) == 101
