"""To and from ``supervision.Detections``, the field's common currency of one frame's boxes.

Our own columns that supervision has no field for travel in its ``data``: state, hidden_s,
hidden_behind, sigma_px, tentative, p_present; and class_name, which its label annotators read.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vodkit.ground.errors import InputError, needs
from vodkit.ground.records import STATE_NAMES, Detections, Tracks

if TYPE_CHECKING:
    import supervision

_COLUMNS = ("hidden_s", "hidden_behind", "sigma_px", "tentative", "p_present")


def to_supervision(
    found: Detections | Tracks, classes: Sequence[str] | None = None
) -> "supervision.Detections":
    """The same boxes as ``supervision.Detections``; ids go to ``tracker_id``.

    Args:
        found: of one frame.
        classes: names of the labels, as ``detector.classes``; they go to ``data["class_name"]``.

    Returns:
        Boxes in pixels of the source.

    Raises:
        InputError: supervision is not installed.
    """
    with needs("this needs supervision: pip install supervision"):
        import supervision
    ids = None
    data: dict[str, Any] = {}
    if isinstance(found, Tracks):
        ids = found.ids.astype(int)
        data = {
            "state": np.array([STATE_NAMES[state] for state in found.states], dtype=object),
            **{name: np.array(getattr(found, name)) for name in _COLUMNS},
        }
    if classes is not None:
        data["class_name"] = np.array([classes[label] for label in found.labels], dtype=object)
    return supervision.Detections(
        xyxy=np.array(found.boxes_xyxy, np.float32),
        confidence=np.array(found.scores, np.float32),
        class_id=found.labels.astype(int),
        tracker_id=ids,
        data=data,
    )


def detections_from_supervision(found: "supervision.Detections") -> Detections:
    """The boxes without ids; a missing confidence is 1, a missing class is an error."""
    if found.class_id is None and len(found):
        raise InputError("supervision.Detections has no class_id; set it before converting")
    scores = np.ones(len(found)) if found.confidence is None else found.confidence
    labels = np.zeros(0) if found.class_id is None else found.class_id
    return Detections(found.xyxy, scores, labels)


def tracks_from_supervision(found: "supervision.Detections") -> Tracks:
    """The boxes with ids; without our own ``state`` every box counts as observed."""
    if found.tracker_id is None and len(found):
        raise InputError("supervision.Detections has no tracker_id; track before converting")
    plain = detections_from_supervision(found)
    names = found.data.get("state", ["observed"] * len(found))
    return Tracks(
        plain.boxes_xyxy,
        plain.scores,
        plain.labels,
        np.zeros(0) if found.tracker_id is None else found.tracker_id,
        np.array([STATE_NAMES.index(str(name)) for name in names]),
        **{name: np.asarray(found.data[name]) for name in _COLUMNS if name in found.data},
    )
