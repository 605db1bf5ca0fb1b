"""Flicker, false alarms a minute and lag: worked out by hand."""

import pytest

from metric_scenes import table, video
from vodkit.ground.records import Dataset
from vodkit.metrics.clips import make_clips
from vodkit.metrics.detection.flicker import evaluate_flicker
from vodkit.metrics.detection.frames import match_frames

BOX = (0, 0, 10, 10)
FAR = (500, 0, 510, 10)


def flicker(truth, found, *, num_frames=20):
    one = video("v", truth, num_frames=num_frames)
    clips = make_clips(Dataset(classes=("a",), videos=(one,)), {"v": found})
    matched = [match_frames(clip, min_score=0.5) for clip in clips]
    return evaluate_flicker(matched, clips, 1)


def steady(num_frames=20):
    return table([(frame, 1, *BOX) for frame in range(num_frames)])


def test_one_missed_frame_of_twenty():
    ours = flicker(steady(), table([(f, 1, *BOX) for f in range(20) if f != 9]))
    assert ours.num_enclosed == 18  # the first and the last frame have one side only
    assert ours.flicker == pytest.approx(1 / 18)


def test_an_object_that_is_found_late_or_lost_does_not_flicker():
    ours = flicker(steady(), table([(f, 1, *BOX) for f in range(5, 15)]))
    assert ours.flicker == 0.0
    assert ours.num_enclosed == 8


def test_long_gaps_are_no_flicker():
    """Frames of the made-up scene are 1/25 s apart: a gap of 0.48 s counts, one of 0.52 s not."""
    short = flicker(steady(), table([(f, 1, *BOX) for f in range(20) if not 4 <= f < 15]))
    assert short.flicker == pytest.approx(11 / (11 + 5))
    long = flicker(steady(), table([(f, 1, *BOX) for f in range(20) if not 4 <= f < 16]))
    assert long.flicker == 0.0


def test_false_alarms_a_minute_at_a_recall():
    right = [(f, 1, *BOX) for f in range(20)]
    wrong = [(f, 2, *FAR) for f in range(0, 20, 2)]
    scores = [0.9] * 10 + [0.6] * 10 + [0.7] * 10
    ours = flicker(steady(), table([*right, *wrong], score=scores))
    minutes = 20 / 25 / 60
    assert ours.false_alarms_per_min["0.5"] == 0.0
    assert ours.false_alarms_per_min["0.8"] == pytest.approx(10 / minutes)
    half = flicker(steady(), table(right[:10]))
    assert half.false_alarms_per_min == {"0.5": 0.0, "0.8": None, "0.9": None}


@pytest.mark.parametrize("lag_frames", [-1, 0, 2])
def test_lag_is_the_time_by_which_boxes_trail(lag_frames):
    def moving(frame, late):
        x = 3.0 * (frame - late)
        return (frame, 1, x, 0, x + 40, 40)

    ours = flicker(
        table([moving(f, 0) for f in range(20)]), table([moving(f, lag_frames) for f in range(20)])
    )
    assert ours.lag_s == pytest.approx(lag_frames / 25, abs=1e-6)


def test_nothing_to_measure_is_undefined():
    ours = flicker(steady(), table([]))
    assert (ours.flicker, ours.lag_s) == (None, None)
    assert flicker(table([]), table([])).false_alarms_per_min["0.5"] is None
