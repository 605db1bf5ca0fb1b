"""What a graph's outputs mean: one function a convention, for one picture at a time.

Each takes the outputs of one picture (without the batch axis), in the order of the card's
``output.names``, and gives the candidates whose score is at least ``threshold``.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from vodkit.detect.postprocess import Candidates
from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import WeightsError

Decoding = Callable[[Sequence[FloatArray], float, tuple[int, int]], Candidates]
_YOLOX_STRIDES = (8, 16, 32)


def _shaped(outputs: Sequence[FloatArray], dims: Sequence[int], what: str) -> None:
    seen = [array.shape for array in outputs]
    if [len(shape) for shape in seen] != list(dims):
        raise WeightsError(f"the graph's outputs are {seen}; this decoding takes {what}")


def scored_boxes(
    outputs: Sequence[FloatArray], threshold: float, _size_px: tuple[int, int]
) -> Candidates:
    """(A, 6): x1, y1, x2, y2 in input pixels, score, label."""
    _shaped(outputs, [2], "one output (A, 6)")
    rows = outputs[0][outputs[0][:, 4] >= threshold]
    return Candidates(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64))


def class_scores(
    outputs: Sequence[FloatArray], threshold: float, _size_px: tuple[int, int]
) -> Candidates:
    """Boxes (A, 4) in input pixels and scores (A, C); a box may count for several classes."""
    _shaped(outputs, [2, 2], "boxes (A, 4) and scores (A, C)")
    boxes, scores = outputs
    # Flat: numpy's search in one dimension takes a tenth of the time of the one in two.
    rows, labels = np.divmod(np.flatnonzero(scores >= threshold), scores.shape[1])
    return Candidates(boxes[rows], scores[rows, labels], labels)


def boxes(outputs: Sequence[FloatArray], threshold: float, _size_px: tuple[int, int]) -> Candidates:
    """Boxes (N, 4) in input pixels, scores (N,), labels (N,)."""
    _shaped(outputs, [2, 1, 1], "boxes (N, 4), scores (N,) and labels (N,)")
    found, scores, labels = outputs
    keep = scores >= threshold
    return Candidates(found[keep], scores[keep], labels[keep].astype(np.int64))


def yolox(outputs: Sequence[FloatArray], threshold: float, size_px: tuple[int, int]) -> Candidates:
    """(A, 5 + C): offsets and log sizes in strides, then probabilities, as official exports give.

    Decodes only the cells that pass (yolox/utils/demo_utils.py demo_postprocess).
    """
    _shaped(outputs, [2], "one output (A, 5 + C)")
    raw = outputs[0]
    corners, strides = _yolox_grid(*size_px)
    if len(raw) != len(strides):
        raise WeightsError(f"the graph gives {len(raw)} cells; {size_px} px has {len(strides)}")
    some = np.flatnonzero(raw[:, 4] >= threshold)
    scores = raw[some, 4:5] * raw[some, 5:]
    labels = scores.argmax(axis=1)
    best = scores[np.arange(len(some)), labels]
    keep = best >= threshold
    some = some[keep]
    centres = (raw[some, :2] + corners[some]) * strides[some]
    half = np.exp(raw[some, 2:4]) * strides[some] / 2
    return Candidates(np.hstack([centres - half, centres + half]), best[keep], labels[keep])


def yolov8(
    outputs: Sequence[FloatArray], threshold: float, _size_px: tuple[int, int]
) -> Candidates:
    """(4 + C, A): cx, cy, w, h in input pixels and class probabilities, without objectness."""
    _shaped(outputs, [2], "one output (4 + C, A)")
    raw = outputs[0]
    labels = raw[4:].argmax(axis=0)
    scores = raw[4:][labels, np.arange(raw.shape[1])]
    keep = scores >= threshold
    centres, half = raw[:2, keep].T, raw[2:4, keep].T / 2
    return Candidates(np.hstack([centres - half, centres + half]), scores[keep], labels[keep])


def tf_detection(
    outputs: Sequence[FloatArray], threshold: float, size_px: tuple[int, int]
) -> Candidates:
    """The TensorFlow detection API: boxes y1, x1, y2, x2 in 0..1, scores, classes, number."""
    _shaped(outputs, [2, 1, 1, 0], "boxes (N, 4), scores (N,), classes (N,), number ()")
    found, scores, labels, number = outputs
    keep = (scores >= threshold) & (np.arange(len(scores)) < number)
    width, height = size_px
    corners = found[keep][:, [1, 0, 3, 2]] * np.array([width, height, width, height], np.float32)
    return Candidates(corners, scores[keep], labels[keep].astype(np.int64))


@lru_cache(maxsize=8)
def _yolox_grid(width_px: int, height_px: int) -> tuple[FloatArray, FloatArray]:
    """Cell corners (A, 2) in strides, and strides (A, 1), finest first, row by row."""
    corners, strides = [], []
    for stride in _YOLOX_STRIDES:
        y, x = np.mgrid[: height_px // stride, : width_px // stride]
        corners.append(np.stack([x.ravel(), y.ravel()], axis=1))
        strides.append(np.full((x.size, 1), stride))
    return np.vstack(corners).astype(np.float32), np.vstack(strides).astype(np.float32)


# Decodings whose outputs have no batch axis: the number of boxes differs between pictures.
UNBATCHED = ("boxes",)
DECODINGS: dict[str, Decoding] = {
    "scored_boxes": scored_boxes,
    "class_scores": class_scores,
    "boxes": boxes,
    "yolox": yolox,
    "yolov8": yolov8,
    "tf_detection": tf_detection,
}
