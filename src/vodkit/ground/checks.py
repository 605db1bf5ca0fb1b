"""What holds of the arrays of a record, checked where it is born."""

from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.errors import InputError

FILLED: Any = None
"""default of a column that its record fills in at birth, so that it is never None afterwards"""


def require(condition: bool, record: object, message: str) -> None:
    """InputError that names the record where a condition does not hold."""
    if not condition:
        raise InputError(f"{type(record).__name__}: {message}")


def same_fields(a: object, b: object) -> bool:
    """Field-wise equality of two records of one type, arrays compared by content."""
    if type(a) is not type(b):
        return False
    for spec in fields(a):  # type: ignore[arg-type]
        if not spec.compare:
            continue
        one, two = getattr(a, spec.name), getattr(b, spec.name)
        if isinstance(one, np.ndarray) or isinstance(two, np.ndarray):
            if one is None or two is None:
                return False
            equal_nan = np.issubdtype(one.dtype, np.floating)
            if not np.array_equal(one, two, equal_nan=equal_nan):
                return False
        elif one != two:
            return False
    return True


def set_array(record: object, name: str, values: npt.ArrayLike, dtype: npt.DTypeLike) -> None:
    """Store ``values`` as an array of ``dtype`` that nobody can write to."""
    array = np.asarray(values, dtype=dtype).view()
    array.setflags(write=False)
    object.__setattr__(record, name, array)


def first_bad_box(boxes_xyxy: FloatArray) -> str | None:
    """A description of the first box that is not finite or inverted; None if all are right."""
    # Counting is several times as fast as all() in the few boxes of a frame.
    upright = np.count_nonzero(boxes_xyxy[:, 2:] >= boxes_xyxy[:, :2]) == 2 * len(boxes_xyxy)
    if upright and np.count_nonzero(np.isfinite(boxes_xyxy)) == boxes_xyxy.size:
        return None
    bad = ~np.isfinite(boxes_xyxy).all(axis=1)
    bad |= (boxes_xyxy[:, 2] < boxes_xyxy[:, 0]) | (boxes_xyxy[:, 3] < boxes_xyxy[:, 1])
    row = int(np.flatnonzero(bad)[0])
    seen = ", ".join(f"{value:g}" for value in boxes_xyxy[row])
    return f"box {row} is ({seen}); allowed: finite, x1 <= x2, y1 <= y2"


def check_detections(
    record: object, boxes_xyxy: FloatArray, scores: FloatArray, labels: IntArray
) -> None:
    """InputError where boxes (N, 4), scores (N,) and labels (N,) are no detections."""
    shapes = (boxes_xyxy.shape, scores.shape, labels.shape)
    n = len(boxes_xyxy)
    require(shapes == ((n, 4), (n,), (n,)), record, f"boxes, scores, labels are {shapes}")
    problem = first_bad_box(boxes_xyxy)
    require(problem is None, record, str(problem))
    fine = (scores >= 0) & (scores <= 1)
    if np.count_nonzero(fine) < n:
        bad = np.flatnonzero(~fine)
        require(False, record, f"score {scores[bad[:1]]} of box {bad[:1]}; allowed: 0 to 1")  # noqa: FBT003
    require(not np.count_nonzero(labels < 0), record, "a label is below 0")
