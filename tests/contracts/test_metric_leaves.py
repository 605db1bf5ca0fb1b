"""Every number of ``metrics.json`` has a law; a new number without one fails here.

The laws are of the leaves, by the name nearest to them: ``detection.coco.per_class.fly.ap`` is an
``ap``. Names of classes and videos, thresholds and places in lists are no names.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metric_scenes import perfect, scene
from vodkit.metrics.bootstrap import BootstrapSettings
from vodkit.metrics.evaluation import EvalSettings, evaluate

# 1 where everything is right, never above
ONE = {
    "ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar10", "ar100", "ar_small",
    "ar_medium", "ar_large", "ap_area", "ap_11_point", "per_class", "per_class_area",
    "per_class_11_point", "precision", "recall", "f1", "best_f1", "precision_at_best",
    "recall_at_best", "share_right", "frame_accuracy", "frame_accuracy_micro",
    "exact_frame_accuracy", "frame_f1", "corloc_any", "class_set_accuracy", "sfda", "moda",
    "empty_frame_accuracy", "video_average", "sweep", "hota", "det_a", "ass_a", "loc_a",
    "det_recall", "det_precision", "ass_recall", "ass_precision", "owta", "hota_by_alpha",
    "det_a_by_alpha", "ass_a_by_alpha", "mota", "motp", "smota", "motal", "mt_ratio", "idf1",
    "idr", "idp", "share", "kept", "ap50_others",
}  # fmt: skip
# 0 where everything is right, never below
ZERO = {
    "ap_loss", "class", "localisation", "both", "duplicate", "background", "missed",
    "false_alarm_ap_loss", "miss_ap_loss", "expected_error", "largest_error", "pt_ratio",
    "ml_ratio", "fp_per_frame", "fn", "fp", "idsw", "pt", "ml", "idfn", "idfp", "stability",
    "fragment_error", "centre_error", "scale_ratio_error", "average_delay", "by_beta",
    "seconds_at_min_score", "never_found", "num_id_switches", "flicker",
    "false_alarms_per_min",
}  # fmt: skip
# sizes of the data, settings, and shares that depend on the data alone: not below 0
FREE = {
    "ar1",  # one box a frame cannot be all
    "fast", "medium", "slow", "thresholds", "best_threshold", "min_score", "num_truth", "counts",
    "mean_score", "num_frames", "num_found", "num_tracks", "tp", "mt", "frag", "iou_sum", "idtp",
    "ass_sum", "ass_recall_sum", "ass_precision_sum", "part", "whole", "track_id", "first_frame",
    "last_frame", "hidden_s", "num_boxes", "num_boxes_right", "num_without_output", "num_in_time",
    "mean_staleness_frames", "latency_s", "num_enclosed", "lag_s",
}  # fmt: skip
# below 0 where more is made up than found
SIGNED = {"moda", "mota", "smota", "motal", "seconds_at_min_score"}
# the made-up scene has none of these, or they are no worse in it
UNMOVED = {"ap_large", "ar_large", "duplicate", "ml", "ml_ratio", "never_found", "ap_loss"}
PARTS = (
    "detection",
    "frames",
    "tracking",
    "stability",
    "flicker",
    "delay",
    "occlusion",
    "low_quality",
    "per_video",
)
LOW = np.array([0, 3, 7, 8])
NO_INTERVALS = EvalSettings(bootstrap=BootstrapSettings(resamples=0))


def leaves(value: Any, name: str, others: set[str]) -> Iterator[tuple[str, float | None]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            is_name = key not in others and not key[0].isdigit()
            yield from leaves(inner, key if is_name else name, others)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, name, others)
    elif value is None or isinstance(value, int | float):
        yield name, value


def numbers(content: dict[str, Any], *parts: str) -> list[tuple[str, float | None]]:
    others = {*content["data"]["classes"], *content["per_video"]}
    return [leaf for part in parts for leaf in leaves(content[part], part, others)]


@pytest.fixture(scope="module")
def right() -> dict[str, Any]:
    dataset, _ = scene(2, num_frames=20)
    low = {video.source: LOW for video in dataset.videos}
    return evaluate(dataset, perfect(dataset), settings=NO_INTERVALS, low_quality=low).to_json()


@pytest.fixture(scope="module")
def wrong() -> dict[str, Any]:
    dataset, found = scene(2, num_frames=20)
    slow = {video.source: 0.05 for video in dataset.videos}
    low = {video.source: LOW for video in dataset.videos}
    return evaluate(
        dataset, found, settings=NO_INTERVALS, latency_s=slow, low_quality=low
    ).to_json()


def test_every_number_has_one_law(right: dict[str, Any], wrong: dict[str, Any]) -> None:
    seen = {name for name, _ in numbers(right, *PARTS) + numbers(wrong, *PARTS, "streaming")}
    assert seen - ONE - ZERO - FREE == set()
    assert not ONE & ZERO
    assert not (ONE | ZERO) & FREE
    everything = set(right) - {
        "schema",
        "data",
        "settings",
        "about",
        "notes",
        "replicates",
        "extra",
    }
    assert everything == {*PARTS, "headline", "streaming"}


def test_what_is_right_gets_the_best_value(right: dict[str, Any]) -> None:
    for name, value in numbers(right, *PARTS):
        if value is not None and name not in FREE:
            assert value == pytest.approx(float(name in ONE), abs=1e-9), name
    for one in right["headline"]:
        assert one["value"] == pytest.approx(float(one["higher_is_better"]), abs=1e-9), one


def test_nothing_is_better_than_right_and_what_is_wrong_shows(wrong: dict[str, Any]) -> None:
    worse = set()
    for name, value in numbers(wrong, *PARTS, "streaming"):
        if value is None:
            continue
        if name in ONE:
            assert value <= 1 + 1e-9, name
        if name not in SIGNED:
            assert value >= -1e-9, name
        if abs(value - (name in ONE)) > 1e-6:
            worse.add(name)
    assert (ONE | ZERO) - UNMOVED - worse == set()


def test_names_of_tracks_do_not_matter() -> None:
    dataset, found = scene(2, num_frames=20)
    content = []
    for factor, plus in ((1, 0), (7, 3), (-7, 1000)):
        renamed = {name: replace(t, ids=factor * t.ids + plus) for name, t in found.items()}
        content.append(evaluate(dataset, renamed, settings=NO_INTERVALS).to_json())
    first, same_order, other_order = content
    assert first == same_order
    # equal scores are ranked by row, as pycocotools does, so AP may see the order of rows
    for part in ("frames", "tracking", "stability", "occlusion"):
        assert first[part] == other_order[part], part


def test_order_of_classes_does_not_matter() -> None:
    """Classes the other way round, in truth and predictions: overall and by name all is equal."""
    dataset, found = scene(2, num_frames=20)
    last = len(dataset.classes) - 1
    turned = replace(
        dataset,
        classes=dataset.classes[::-1],
        videos=tuple(
            replace(
                v,
                tracks=None
                if v.tracks is None
                else replace(v.tracks, labels=last - v.tracks.labels),
            )
            for v in dataset.videos
        ),
    )
    other = {name: replace(t, labels=last - t.labels) for name, t in found.items()}
    one = evaluate(dataset, found, settings=NO_INTERVALS).to_json()
    two = evaluate(turned, other, settings=NO_INTERVALS).to_json()
    assert [h["value"] for h in one["headline"]] == pytest.approx(
        [h["value"] for h in two["headline"]]
    )
    assert one["per_video"] == two["per_video"]
    per_class = one["detection"]["coco"]["per_class"]
    assert per_class == two["detection"]["coco"]["per_class"]
