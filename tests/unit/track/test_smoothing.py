"""Boxes without jitter: against a direct fit, and laws of what is never moved."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vodkit.ground.records import TrackTable
from vodkit.track.smoothing import local_lines, smoothed


def table(x, *, rate=30.0, ids=1, frames=None):
    """Boxes of 40 x 100 px with centres at (x, 200)."""
    x = np.asarray(x, float)
    frames = np.arange(len(x)) if frames is None else np.asarray(frames)
    zero = np.zeros(len(x))
    return TrackTable(
        frames=frames, times_s=frames / rate, ids=zero + ids, labels=zero,
        boxes_xyxy=np.column_stack([x - 20, zero + 150, x + 20, zero + 250]),
    )  # fmt: skip


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_lines_are_those_of_weighted_least_squares(seed):
    rng = np.random.default_rng(seed)
    at = np.sort(rng.integers(0, 3, 25))
    times_s = np.cumsum(rng.uniform(0.02, 0.3, 25))
    values = rng.normal(size=(25, 2))
    lines, own_share = local_lines(at, times_s, values, 0.3)
    for row in range(25):
        near = (at == at[row]) & (np.abs(times_s - times_s[row]) <= 0.6)
        late = times_s[near] - times_s[row]
        if near.sum() < 2:
            np.testing.assert_array_equal(lines[row], values[row])
            continue
        root = np.exp(-((late / 0.3) ** 2))
        design = np.column_stack([np.ones(len(late)), late]) * root[:, None]
        inverse = np.linalg.pinv(design)[0] * root
        np.testing.assert_allclose(lines[row], inverse @ values[near], atol=1e-8)
        assert own_share[row] == pytest.approx(inverse[np.flatnonzero(near) == row][0], abs=1e-8)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([10.0, 30.0]))
def test_jitter_on_a_straight_way_shrinks(seed, rate):
    truth = 100 + 60 * np.arange(60) / rate
    jittered = table(truth + np.random.default_rng(seed).normal(0, 2, 60), rate=rate)
    off = smoothed(jittered, stride=1)[:, 0] + 20 - truth
    assert (off**2).mean() < 0.6 * ((jittered.boxes_xyxy[:, 0] + 20 - truth) ** 2).mean()


@settings(max_examples=20)
@given(st.floats(-300, 300), st.floats(-200, 200), st.floats(-100, 100))
def test_what_does_not_jitter_is_not_moved(speed, bend, swing):
    time_s = np.arange(60) / 30
    way = 500 + speed * time_s + bend * time_s**2 / 2 + swing * np.sin(3 * time_s)
    still = table(way)
    assert np.abs(smoothed(still, stride=1) - still.boxes_xyxy).max() < 0.3


def test_turns_stay_though_boxes_jitter():
    rng = np.random.default_rng(1)
    zigzag = 500 + 80 * np.abs(np.arange(120) % 40 - 20) / 20
    jittered = table(zigzag + rng.normal(0, 0.5, 120))
    off = np.abs(smoothed(jittered, stride=1)[:, 0] + 20 - zigzag)
    assert off.max() < 4  # a line over 1 s would cut 20 px off each corner


@pytest.mark.parametrize("rate", [5.0, 2.0])
def test_few_frames_a_second_do_not_tell_turns_from_jitter(rate):
    jittered = table(np.random.default_rng(2).normal(500, 5, 50), rate=rate)
    np.testing.assert_array_equal(smoothed(jittered, stride=1), jittered.boxes_xyxy)


def test_tracks_are_smoothed_by_themselves():
    rng = np.random.default_rng(3)
    one, two = table(rng.normal(100, 3, 40)), table(rng.normal(900, 0.1, 40), ids=2)
    both = TrackTable.concat([one, two])
    together = smoothed(both, stride=1)
    for number, alone in ((1, one), (2, two)):
        np.testing.assert_allclose(together[both.ids == number], smoothed(alone, stride=1))


def test_every_other_frame_of_a_film_counts_as_successive():
    way = np.random.default_rng(4).normal(500, 3, 40)
    every = table(way, rate=15.0)
    thinned = table(way, rate=30.0, frames=np.arange(0, 80, 2))
    np.testing.assert_allclose(smoothed(thinned, stride=2), smoothed(every, stride=1))


def test_no_rows_and_single_boxes_stay():
    assert smoothed(TrackTable.empty(), stride=1).shape == (0, 4)
    single = table([3.0])
    np.testing.assert_array_equal(smoothed(single, stride=1), single.boxes_xyxy)
