"""The shift that all objects share: found where it is real, not made up from noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vodkit.ground.records import Detections, Frame
from vodkit.track.common_motion import common_shift
from vodkit.track.table import make_tracker

SIZES = np.array([40.0, 100.0])


def crowd(camera_px, seed=0, num=8):
    """Two rows of people, 60 px apart, seen by a camera that stands at ``camera_px`` (T,)."""
    rng = np.random.default_rng(seed)
    start = np.column_stack([100 + 60.0 * np.arange(num), 200 + 20 * rng.random(num)])
    speed = rng.uniform(-5, 5, num)
    for i, at_px in enumerate(camera_px):
        centre = start + np.column_stack([speed * i / 15 - at_px, np.zeros(num)])
        centre += rng.normal(0, 1, centre.shape)
        boxes = np.hstack([centre - SIZES / 2, centre + SIZES / 2])
        frame = Frame.unseen(i, i / 15, width_px=900, height_px=500)
        yield frame, Detections(boxes, np.full(num, 0.9), np.zeros(num, int))


def ids_of(steps, *words):
    """The id of each person (T, N) in every frame; 0 where there is none."""
    tracker, ids = make_tracker("vodkit", words), []
    for frame, found in steps:
        tracks = tracker.step(frame, found)
        place = tracks.boxes_xyxy[:, 0][:, None] == found.boxes_xyxy[:, 0]
        ids.append((place * tracks.ids[:, None]).sum(axis=0))
    return np.array(ids)


@pytest.mark.parametrize("seed", range(2))
def test_people_keep_their_ids_while_the_camera_is_shaken(seed):
    steps = np.random.default_rng(seed).choice([-22, 0, 22], 20)
    shaken = np.cumsum(np.append(np.zeros(5), steps))
    kept = ids_of(crowd(shaken, seed))
    assert (kept == kept[0]).all()
    lost = ids_of(crowd(shaken, seed), "common_motion=false")
    assert (lost != lost[0]).any()


def test_a_shift_besides_the_known_motion_is_the_objects_own():
    """All swerve by 12 px where the camera's motion, 10 px, is given: nothing more is taken out."""
    camera = 10.0 * np.arange(20)
    swerve = camera + np.where(np.arange(20) % 4 == 3, 12, 0)
    given_motion = np.array([[1.0, 0, -10], [0, 1, 0]])
    on, off = (
        [
            make.step(frame, found, camera_motion=given_motion)
            for make in [make_tracker("vodkit", [f"common_motion={word}", "filtered=true"])]
            for frame, found in crowd(swerve)
        ]
        for word in ("true", "false")
    )
    assert on == off


def test_a_camera_at_rest_changes_nothing_to_the_bit():
    still = np.zeros(20)
    with_it, without = (
        [
            make.step(frame, found)
            for make in [make_tracker("vodkit", [f"common_motion={on}"])]
            for frame, found in crowd(still)
        ]
        for on in ("true", "false")
    )
    assert with_it == without


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.integers(4, 30))
def test_a_third_of_the_objects_may_move_by_themselves(seed, count):
    rng = np.random.default_rng(seed)
    areas, shift = rng.uniform(100, 4000, count), rng.uniform(40, 60, 2)
    off = shift + rng.normal(0, 0.5, (count, 2))
    alone = count // 4
    off[:alone] += 400 * rng.choice([-1, 1], (alone, 2))
    found = common_shift(off, areas)
    if found is not None:  # where sizes differ most, nothing may be said, but nothing wrong
        np.testing.assert_allclose(found[:, 2], shift, atol=3)
        np.testing.assert_array_equal(found[:, :2], np.eye(2))
    if count - alone >= 8:
        assert common_shift(off, np.full(count, 900.0)) is not None


def test_independent_offsets_are_no_shift():
    rng = np.random.default_rng(0)
    areas = np.full(12, 900.0)
    made_up = [common_shift(rng.normal(0, 3, (12, 2)), areas) is not None for _ in range(300)]
    assert sum(made_up) == 0


@pytest.mark.parametrize("off", [np.zeros((6, 2)), np.zeros((0, 2)), np.ones((3, 2))])
def test_nothing_is_said_of_no_offset_and_of_few_objects(off):
    assert common_shift(off, np.ones(len(off))) is None
