"""Box arithmetic and the run folder."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vodkit.ground import boxes, ledger, runs
from vodkit.ground.errors import OutputError

NUMBER = st.floats(-500, 500, width=32)
BOXES = hnp.arrays(np.float64, st.tuples(st.integers(0, 6), st.just(4)), elements=NUMBER).map(
    lambda a: np.concatenate([np.minimum(a[:, :2], a[:, 2:]), np.maximum(a[:, :2], a[:, 2:])], 1)
)


@given(BOXES)
def test_conversions_invert(xyxy: np.ndarray) -> None:
    (cx, cy, width, height), (x, y, *size) = boxes.to_cxcywh(xyxy).T, boxes.to_xywh(xyxy).T
    corners = np.stack([cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2], 1)
    np.testing.assert_allclose(corners, xyxy, atol=1e-9)
    np.testing.assert_allclose(np.stack([x, y, x + size[0], y + size[1]], 1), xyxy, atol=1e-9)


@given(BOXES, BOXES)
def test_iou_is_symmetric_bounded_and_one_on_itself(a: np.ndarray, b: np.ndarray) -> None:
    overlap = boxes.iou(a, b)
    assert ((overlap >= 0) & (overlap <= 1 + 1e-12)).all()
    np.testing.assert_allclose(overlap, boxes.iou(b, a).T)
    solid = boxes.area(a) > 1e-6
    np.testing.assert_allclose(np.diag(boxes.iou(a, a))[solid], 1)
    np.testing.assert_allclose(boxes.iou_pairs(a, a), np.diag(boxes.iou(a, a)))


@given(BOXES, BOXES, st.sampled_from([np.float32, np.float64, np.int64]))
def test_overlaps_of_many_are_those_of_few_to_the_bit(
    a: np.ndarray, b: np.ndarray, kind: type[np.generic]
) -> None:
    a, b = a.astype(kind), b.astype(kind)
    many, others = np.tile(a, (30, 1)), np.tile(b, (20, 1))
    found = boxes.intersection(many, others)
    assert found.dtype == kind
    np.testing.assert_array_equal(found, np.tile(boxes.intersection(a, b), (30, 20)))


@given(BOXES)
def test_covered_is_one_inside_a_larger_box(a: np.ndarray) -> None:
    around = np.array([[-600.0, -600.0, 600.0, 600.0]])
    solid = boxes.area(a) > 1e-6
    np.testing.assert_allclose(boxes.covered(a, around)[solid], 1)
    inside = boxes.clip(a, width_px=100, height_px=50)
    assert ((inside >= 0) & (inside[:, [0, 2, 0, 2]] <= 100)).all()


def test_atomic_write_leaves_no_part_and_names_the_path(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    runs.write_json(path, {"x": 1.5})
    assert path.read_text() == '{\n  "x": 1.5\n}\n'
    with pytest.raises(ValueError, match="JSON compliant"):
        runs.write_json(path, {"x": float("nan")})
    assert path.read_text() == '{\n  "x": 1.5\n}\n'
    assert sorted(p.name for p in tmp_path.iterdir()) == [ledger.NAME, "a.json"]
    with pytest.raises(OutputError, match="cannot write"):
        runs.write_atomic(tmp_path / "missing" / "a", "x")


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot make the folder"):
        runs.make_folder(tmp_path / "file" / "run")
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="not writable"):
        runs.make_folder(tmp_path / "locked")


def test_sha256_is_the_files(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert runs.sha256(tmp_path / "x").startswith("ba7816bf")
    assert "python" in runs.stack()
