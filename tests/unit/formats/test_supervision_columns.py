"""All that vodkit knows of a box survives supervision, with the names of classes."""

import numpy as np
import pytest

from vodkit.formats.supervision_detections import to_supervision, tracks_from_supervision
from vodkit.ground.records import Tracks

supervision = pytest.importorskip("supervision", exc_type=ImportError)


def test_every_column_and_the_names_travel() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
    tracks = Tracks(
        boxes, np.array([0.9, 0.3]), np.array([1, 0]), np.array([7, 3]), np.array([0, 1]),
        hidden_s=np.array([0, 0.5]), sigma_px=np.array([0, 4.0]),
        tentative=np.array([True, False]), hidden_behind=np.array([0, 7]),
        p_present=np.array([1, 0.25]),
    )  # fmt: skip
    found = to_supervision(tracks, ("person", "car"))
    assert found["class_name"].tolist() == ["car", "person"]
    assert found["state"].tolist() == ["observed", "predicted"]
    later = tracks_from_supervision(found[::-1])
    assert later.ids.tolist() == [3, 7]
    for name in ("hidden_s", "sigma_px", "tentative", "hidden_behind", "p_present"):
        np.testing.assert_array_equal(getattr(later, name), getattr(tracks, name)[::-1])
