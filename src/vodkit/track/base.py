"""What a tracker is, and the detections of one frame in the form that all trackers work on."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.errors import InputError
from vodkit.ground.records import Detections, Frame, Tracks


@runtime_checkable
class Tracker(Protocol):
    """Gives the objects of one video their ids. One instance is one video: there is no reset."""

    last_motion: FloatArray | None = None
    """the camera's motion (2, 3) before the last step, as given or found; None: at rest, unknown,
    or not this tracker's concern"""

    def step(
        self,
        frame: Frame,
        detections: Detections,
        *,
        embeddings: FloatArray | None = None,
        camera_motion: FloatArray | None = None,
    ) -> Tracks:
        """The tracks of ``frame``, given its detections; sorted by id.

        A frame without detections is a step, too.

        Args:
            frame: The frame; its time must not be before that of the last step.
            detections: What was detected in it, in any order.
            embeddings: (N, D) appearance of each detection, compared by cosine. Optional; a
                tracker may not use them.
            camera_motion: The affine (2, 3) that takes pixels of the frame before to this one.
                None: not known; a tracker may then estimate it from the pixels. Trackers without
                camera motion (SORT, ByteTrack, OC-SORT) move their tracks by it, too.

        Raises:
            InputError: for time that goes backwards, or an affine of another shape.
        """
        ...

    def notice_cut(self) -> None:
        """Tell, before its first ``step``, that a new shot begins: nothing stays where it was."""
        ...

    def state_dict(self) -> dict[str, np.ndarray]:
        """All that the tracker knows, as plain arrays (``numpy.savez`` takes them)."""
        ...

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on exactly where another instance with equal settings was at ``state_dict``."""
        ...


def earlier(state: Mapping[str, np.ndarray], by_s: float) -> dict[str, np.ndarray]:
    """A tracker's state on a clock that began ``by_s`` later: all its times, named ``..._s``.

    >>> earlier({"now_s": np.array(9.5), "ids": np.array([1])}, 10.0)["now_s"].item()
    -0.5
    """
    return {name: v - by_s if name.endswith("_s") else v for name, v in state.items()}


class Found(NamedTuple):
    """Detections in an order that does not depend on the order they came in."""

    boxes_xyxy: FloatArray
    """(N, 4) float64"""
    scores: FloatArray
    labels: IntArray
    looks: FloatArray
    """(N, D) unit vectors; D is 0 where nothing is known"""
    levels: FloatArray
    """(N,) scores in units that do not depend on the detector, see ``score_scale``"""

    def at(self, cols: IntArray) -> "Found":
        """The chosen ones."""
        return Found(*(column.take(cols, axis=0) for column in self))


def arrange(
    detections: Detections,
    embeddings: FloatArray | None,
    *,
    min_score: float,
    levels: FloatArray | None = None,
) -> Found:
    """Detections with a level of at least ``min_score``, best first.

    ``levels`` (N,): see ``score_scale``; the scores where it is not given.
    """
    boxes = detections.boxes_xyxy.astype(np.float64)
    scores = detections.scores.astype(np.float64)
    levels = scores if levels is None else levels
    order = np.argsort(-levels)
    ranked = levels[order]
    if np.count_nonzero(ranked[1:] == ranked[:-1]):  # a tie, which the boxes decide
        x1, y1, x2, y2 = boxes.T
        order = np.lexsort((y2, x2, y1, x1, detections.labels, -scores, -levels))
    order = order[: int(np.count_nonzero(levels >= min_score))]
    looks = unit_rows(embeddings, len(detections))
    return Found(boxes, scores, detections.labels, looks, levels).at(order)


def unit_rows(embeddings: FloatArray | None, count: int) -> FloatArray:
    """Embeddings (N, D) scaled to length 1 (rows of zeros stay); (N, 0) where there are none."""
    if embeddings is None:
        return np.zeros((count, 0))
    if embeddings.ndim != 2 or len(embeddings) != count:
        raise InputError(f"embeddings are {embeddings.shape}; allowed: ({count}, D)")
    if not np.isfinite(embeddings).all():
        row = int(np.flatnonzero(~np.isfinite(embeddings).all(axis=1))[0])
        raise InputError(f"embedding {row} is not finite")
    looks = embeddings.astype(np.float64)
    length = np.linalg.norm(looks, axis=1, keepdims=True)
    return np.divide(looks, length, out=np.zeros_like(looks), where=length > 0)
