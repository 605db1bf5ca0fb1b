"""What every metric must do, over a table of all of them."""

from dataclasses import replace

import numpy as np
import pytest

from metric_scenes import perfect, scene
from vodkit.ground.records import TrackTable
from vodkit.metrics.bootstrap import BootstrapSettings
from vodkit.metrics.evaluation import EvalSettings, evaluate

NO_INTERVALS = EvalSettings(bootstrap=BootstrapSettings(resamples=0))
# name -> (where it stands in an Evaluation, its best value)
METRICS = {
    "ap": (lambda e: e.detection.coco.overall.ap, 1.0),
    "ap75": (lambda e: e.detection.coco.overall.ap75, 1.0),
    "ar100": (lambda e: e.detection.coco.overall.ar100, 1.0),
    "vid coco": (lambda e: e.detection.vid.protocols["coco"].ap50, 1.0),
    "vid devkit": (lambda e: e.detection.vid.protocols["vid-devkit"].ap50, 1.0),
    "vid mega": (lambda e: e.detection.vid.protocols["mega"].ap50, 1.0),
    "vid fgfa all": (lambda e: e.detection.vid.by_speed["fgfa"]["all"].ap50, 1.0),
    "voc area": (lambda e: e.detection.voc.ap_area, 1.0),
    "voc 11 point": (lambda e: e.detection.voc.ap_11_point, 1.0),
    "tide ap50": (lambda e: e.detection.errors.ap50, 1.0),
    "tide missed": (lambda e: e.detection.errors.ap_loss["missed"], 0.0),
    "best f1": (lambda e: e.detection.curves["class0"].best_f1, 1.0),
    "frame accuracy": (lambda e: e.frames.overall.frame_accuracy, 1.0),
    "exact frames": (lambda e: e.frames.overall.exact_frame_accuracy, 1.0),
    "frame f1": (lambda e: e.frames.overall.frame_f1, 1.0),
    "corloc": (lambda e: e.frames.overall.corloc_any, 1.0),
    "class sets": (lambda e: e.frames.overall.class_set_accuracy, 1.0),
    "sfda": (lambda e: e.frames.overall.sfda, 1.0),
    "moda": (lambda e: e.frames.overall.moda, 1.0),
    "hota": (lambda e: e.tracking.overall.hota.hota, 1.0),
    "ass_a": (lambda e: e.tracking.overall.hota.ass_a, 1.0),
    "mota": (lambda e: e.tracking.overall.clear.mota, 1.0),
    "class averaged hota": (lambda e: e.tracking.class_averaged.hota.hota, 1.0),
    "idf1": (lambda e: e.tracking.overall.identity.idf1, 1.0),
    "stability": (lambda e: e.stability.stability, 0.0),
    "average delay": (lambda e: e.delay.average_delay, 0.0),
}
# with nothing to find; the others have a value then (a silent frame is a right frame)
DEFINED_WITHOUT_TRUTH = {"frame accuracy", "exact frames", "frame f1", "class sets", "sfda"}
# tracking is not measured where there is nothing to track
TRACKING = {"hota", "ass_a", "mota", "class averaged hota", "idf1"}


@pytest.fixture(scope="module")
def dataset():
    return scene(2, num_frames=20)[0]


@pytest.fixture(scope="module")
def best(dataset):
    return evaluate(dataset, perfect(dataset), settings=NO_INTERVALS)


@pytest.fixture(scope="module")
def noisy(dataset):
    return evaluate(dataset, scene(2, num_frames=20)[1], settings=NO_INTERVALS)


@pytest.fixture(scope="module")
def silent(dataset):
    return evaluate(dataset, {}, settings=NO_INTERVALS)


@pytest.fixture(scope="module")
def without_truth(dataset):
    videos = tuple(replace(v, tracks=TrackTable.empty()) for v in dataset.videos)
    found = scene(2, num_frames=20)[1]
    return evaluate(replace(dataset, videos=videos), found, settings=NO_INTERVALS)


@pytest.mark.parametrize("name", METRICS)
def test_perfect_predictions_get_the_best_value(name, best):
    read, value = METRICS[name]
    assert read(best) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("name", METRICS)
def test_nothing_is_better_than_perfect(name, best, noisy, silent):
    read, value = METRICS[name]
    for other in (noisy, silent):
        found = read(other)
        if found is not None:
            assert abs(found - value) >= abs(read(best) - value) - 1e-9


@pytest.mark.parametrize("name", METRICS)
def test_without_truth_nothing_is_made_up(name, without_truth):
    if name in TRACKING:
        assert without_truth.tracking is None
        return
    value = METRICS[name][0](without_truth)
    assert (value is not None) == (name in DEFINED_WITHOUT_TRUTH)


def test_all_is_silent_and_legal_without_anything(dataset):
    videos = tuple(replace(v, tracks=TrackTable.empty()) for v in dataset.videos)
    empty = evaluate(replace(dataset, videos=videos), {})
    assert empty.frames.overall.frame_accuracy == 1.0
    assert empty.detection.coco.overall.ap is None
    assert empty.to_json()["stability"]["stability"] is None


def test_the_order_of_videos_does_not_matter(dataset):
    found = scene(2, num_frames=20)[1]
    turned = replace(dataset, videos=dataset.videos[::-1])
    one, two = (evaluate(d, found, settings=NO_INTERVALS) for d in (dataset, turned))
    for name, (read, _) in METRICS.items():
        if not name.startswith(("ap", "vid", "voc", "tide", "ar")):  # ties go by picture
            assert read(one) == pytest.approx(read(two)), name


def test_a_table_is_not_changed(dataset):
    found = scene(2, num_frames=20)[1]
    before = {name: t.boxes_xyxy.copy() for name, t in found.items()}
    evaluate(dataset, found, settings=NO_INTERVALS)
    for name, boxes in before.items():
        assert np.array_equal(found[name].boxes_xyxy, boxes)
