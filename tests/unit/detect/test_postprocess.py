"""Suppression against torchvision's, and nothing lost on the way."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import batched_nms

from vodkit.detect import decode, postprocess
from vodkit.detect.base import ModelCard, Output, Preprocessing, RunsOn
from vodkit.detect.detector import GraphDetector
from vodkit.detect.postprocess import Candidates, finish, suppress
from vodkit.detect.preprocess import Placement
from vodkit.ground.boxes import iou
from vodkit.ground.errors import WeightsError
from vodkit.ground.records import Frame


def some_boxes(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 100, (count, 2))
    boxes = np.hstack([corner, corner + rng.uniform(5, 60, (count, 2))]).astype(np.float32)
    scores = rng.permutation(count).astype(np.float32) / count
    return boxes, scores, rng.integers(0, 3, count)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 200), st.sampled_from([0.3, 0.5, 0.65]))
def test_suppression_is_torchvisions(seed: int, count: int, nms_iou: float) -> None:
    boxes, scores, labels = some_boxes(seed, count)
    ours = suppress(boxes, scores, labels, nms_iou=nms_iou)
    theirs = batched_nms(*(torch.from_numpy(x) for x in (boxes, scores, labels)), nms_iou)
    np.testing.assert_array_equal(ours, theirs.numpy())


def test_thousands_of_candidates_are_all_looked_at() -> None:
    boxes, scores, labels = some_boxes(1, 3000)
    ours = suppress(boxes, scores, labels, nms_iou=0.5)
    theirs = batched_nms(*(torch.from_numpy(x) for x in (boxes, scores, labels)), 0.5)
    np.testing.assert_array_equal(ours, theirs.numpy())
    apart = np.arange(2000)[:, None] * 10 + np.array([[0, 0, 5, 5]])
    assert len(suppress(apart, np.ones(2000), np.zeros(2000, int), nms_iou=0.5)) == 2000


def test_finish_gives_source_pixels_clipped_best_first() -> None:
    placement = Placement(width_px=200, height_px=100, scale_x=2.0, scale_y=2.0)
    boxes = np.array([[-5, 10, 20, 30], [50, 20, 300, 45], [150, 60, 160, 70], [0, 0, np.nan, 9]])
    found = Candidates(boxes, np.array([0.3, 0.9, 0.99, 0.8]), np.array([1, 0, 0, 0]))
    out = finish(found, placement, nms_iou=0.5, max_detections=None)
    np.testing.assert_allclose(out.boxes_xyxy, [[100, 40, 200, 90], [0, 20, 40, 60]])
    assert out.labels.tolist() == [0, 1]
    assert len(finish(found, placement, nms_iou=0.5, max_detections=1)) == 1
    none = Candidates(np.empty((0, 4)), np.empty(0), np.empty(0, np.int64))
    assert len(finish(none, placement, nms_iou=0.5, max_detections=None)) == 0


def test_tensorflow_boxes_turn_round_and_padding_falls_away() -> None:
    boxes = np.array([[0.1, 0.2, 0.3, 0.6], [0, 0, 1, 1]])
    out = decode.tf_detection(
        (boxes, np.array([0.8, 0.9]), np.array([1.0, 1.0]), np.array(1.0)), 0.1, (300, 200)
    )
    np.testing.assert_allclose(out.boxes_xyxy, [[60, 20, 180, 60]])
    assert out.labels.tolist() == [1]


def test_yolov8_layout() -> None:
    raw = np.array([[10, 50], [20, 60], [4, 8], [6, 2], [0.9, 0.1], [0.2, 0.05]])
    out = decode.yolov8((raw,), 0.5, (64, 64))
    np.testing.assert_allclose(out.boxes_xyxy, [[8, 17, 12, 23]])
    assert (out.scores.tolist(), out.labels.tolist()) == ([0.9], [0])


def test_class_scores_may_give_one_box_twice() -> None:
    out = decode.class_scores((np.zeros((2, 4)), np.array([[0.6, 0.7], [0.1, 0.2]])), 0.5, (8, 8))
    assert out.labels.tolist() == [0, 1]


@pytest.mark.parametrize("name", decode.DECODINGS)
def test_outputs_of_another_shape_are_refused(name: str) -> None:
    with pytest.raises(WeightsError, match="the graph's outputs are"):
        decode.DECODINGS[name]((np.zeros((2, 3, 4)),) * 7, 0.1, (64, 64))


def test_yolox_of_another_input_size_is_refused() -> None:
    with pytest.raises(WeightsError, match="84"):
        decode.yolox((np.zeros((10, 6)),), 0.1, (64, 64))


@pytest.mark.parametrize("crowd", ["apart", "heaped", "random"])
def test_twenty_thousand_candidates_cost_a_bounded_number_of_overlaps(
    crowd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, most = 20_000, 300
    boxes, scores, labels = some_boxes(7, count)
    if crowd == "apart":
        boxes = np.arange(count)[:, None] * 10 + np.array([[0.0, 0, 5, 5]])
    if crowd == "heaped":
        boxes = np.tile([[0.0, 0, 50, 50]], (count, 1))
    pairs = []

    def counted(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        pairs.append(len(a) * len(b))
        return iou(a, b)

    monkeypatch.setattr(postprocess, "iou", counted)
    kept = suppress(boxes, scores, labels, nms_iou=0.5, most=most)
    assert sum(pairs) <= count * (most + postprocess._BLOCK)
    assert max(pairs) <= postprocess._BLOCK * (most + postprocess._BLOCK)
    tensors = (torch.from_numpy(x) for x in (boxes.astype(np.float32), scores, labels))
    np.testing.assert_array_equal(kept, batched_nms(*tensors, 0.5).numpy()[:most])


def test_what_the_limit_cuts_is_counted() -> None:
    rows = np.array([[i * 10.0, 0, i * 10 + 8, 8, 0.9 - i / 10, 0] for i in range(4)], np.float32)

    class Says:
        runs_on = RunsOn("says", "cpu")

        def run(self, pictures: Sequence[np.ndarray]) -> list[tuple[np.ndarray, ...]]:
            return [(rows,) for _ in pictures]

    card = ModelCard(
        name="m", family="graph", classes=("a",), licence="MIT", source="",
        preprocessing=Preprocessing(width_px=64, height_px=64),
        output=Output(decoding="scored_boxes"),
    )  # fmt: skip
    frame = Frame(0, 0.0, np.zeros((64, 64, 3), np.uint8))
    for most, cut in ((3, True), (4, False), (None, False)):
        detector = GraphDetector(
            card, Says(), score_threshold=0.1, max_detections=most, classes=None
        )
        found = detector.detect([frame, frame])
        assert len(found[0]) == min(most or 4, 4)
        assert [one.truncated for one in found] == [cut, cut]
        np.testing.assert_allclose(found[0].scores, rows[: len(found[0]), 4])
