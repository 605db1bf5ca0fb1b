"""Levels of scores, probabilities of predicted and filled boxes, and learnt occluders."""

import numpy as np
import pytest

from vodkit.formats.predictions import PredictedFrame, counted
from vodkit.ground.errors import InputError, SettingsError
from vodkit.ground.records import Detections, Frame, State, Tracks, TrackTable
from vodkit.track.occluders import Occluders
from vodkit.track.presence import Gap, filled
from vodkit.track.refine import RefineSettings, refine
from vodkit.track.score_scale import KNOWN_BOXES, REFERENCE, ScoreScale, typical_scores
from vodkit.track.table import make_tracker


def boxes_at(x, scores=(0.9,)):
    box = [[x, 100, x + 40, 200]] * len(scores)
    return Detections(box, scores, [0] * len(scores))


def frame_at(index, rate=20.0):
    return Frame.unseen(index, index / rate, width_px=1000, height_px=400)


def test_levels_do_not_depend_on_the_scale_of_the_scores():
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.3, 1, (30, 8)).astype(np.float32)
    whole, half = ScoreScale(), ScoreScale()
    for row in scores:
        a = whole.step(boxes_at(0, row))
        b = half.step(boxes_at(0, row / 2))
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert a.max() <= 1


def test_clear_objects_set_the_scale_not_the_clutter():
    scale = ScoreScale()
    for _ in range(10):
        levels = scale.step(boxes_at(0, [0.6, *[0.08] * 50]))
    assert levels[0] == pytest.approx(REFERENCE, abs=0.1)
    assert levels[1] < 0.15


def test_false_alarms_alone_are_not_taken_for_clear_objects():
    assert ScoreScale().step(boxes_at(0, [0.1])).max() < 0.35


def test_each_class_has_its_own_scale():
    scale = ScoreScale()
    levels = scale.step(Detections([[0, 0, 9, 9], [20, 0, 29, 9]], [0.9, 0.5], [0, 1]))
    np.testing.assert_allclose(levels, REFERENCE)


def test_what_a_card_says_is_typical_holds_until_a_video_corrects_it():
    known, unknown = ScoreScale([0.4]), ScoreScale([0.0])
    clutter = boxes_at(0, [0.1])
    assert known.step(clutter)[0] == pytest.approx(0.1 * REFERENCE / 0.4, abs=0.01)
    np.testing.assert_array_equal(unknown.step(clutter), ScoreScale().step(clutter))
    for _ in range(10 * KNOWN_BOXES):
        level = known.step(boxes_at(0, [0.8]))[0]
    assert level == pytest.approx(REFERENCE, abs=0.01)
    with pytest.raises(SettingsError, match="typical is"):
        make_tracker("vodkit", ["typical=[1.5]"])


def test_a_weak_but_sure_detector_begins_tracks_in_clutter_that_comes_first():
    """Alarms of 0.35 before any object is seen: only the card says that objects have 0.9."""
    begun = {}
    for words in ((), ("typical=[0.9]",)):
        tracker, begun[words] = make_tracker("vodkit", words), 0
        for i in range(8):
            begun[words] += len(tracker.step(frame_at(i), boxes_at(100 + i, [0.35])))
    assert begun[()] > 0
    assert begun["typical=[0.9]",] == 0


def remembered(still, scores):
    """Detections beside each other whose scores memory changed."""
    boxes = [[60 * i, 100, 60 * i + 40, 200] for i in range(len(still))]
    return Detections(boxes, scores, [0] * len(still), still_scores=still)


def test_memory_takes_no_level_away_and_makes_no_detection_clear():
    still, scores = [0.9, 0.9, 0.3, 0.05], [0.2, 0.95, 0.9, 0.25]
    levels = ScoreScale().step(remembered(still, scores), high=0.5)
    alone = ScoreScale().step(remembered(still, still), high=0.5)
    np.testing.assert_array_equal(levels[:2], alone[:2])
    assert 0.5 - 1e-9 < levels[2] < 0.5
    assert levels[3] == pytest.approx(0.25, abs=0.01)


def test_memory_that_changes_nothing_leaves_levels_as_they_are():
    rng = np.random.default_rng(0)
    one, other = ScoreScale(), ScoreScale()
    for row in rng.uniform(0, 1, (20, 6)).astype(np.float32):
        same = remembered(row, row)
        assert same[[2, 0]].still_scores.tolist() == row[[2, 0]].tolist()
        levels = one.step(same, high=0.5)
        np.testing.assert_array_equal(levels, other.step(Detections(same.boxes_xyxy, row, [0] * 6)))


@pytest.mark.parametrize(("still", "score", "begins"), [(0.9, 0.2, True), (0.2, 0.9, False)])
def test_a_track_begins_with_what_one_frame_shows_clearly(still, score, begins):
    tracker = make_tracker("vodkit")
    for index in range(6):
        found = remembered([0.9, still], [0.9, score])
        tracks = tracker.step(frame_at(index), found)
    assert (len(tracks) == 2) == begins
    assert tracks.scores[-1] == pytest.approx(score if begins else 0.9)


def test_the_typical_scores_for_a_card_are_of_classes_that_were_seen_clearly():
    frames = [
        Detections([[0, 0, 9, 9], [20, 0, 29, 9]], [0.8, 0.1], [0, 1]),
        Detections([[0, 0, 9, 9]], [0.8], [0]),
    ]
    assert typical_scores(frames, ("a", "b", "never")) == {"a": 0.8}
    assert typical_scores([], ("a",)) == {}


def test_predicted_boxes_have_a_probability_that_falls_with_time():
    tracker, present = make_tracker("vodkit"), []
    for i in range(40):
        found = boxes_at(100 + 3 * i) if i < 30 else Detections.empty()
        tracks = tracker.step(frame_at(i), found)
        present.append(tracks.p_present.tolist())
    assert present[29] == [1.0]
    hidden = [one[0] for one in present[30:] if one]
    assert len(hidden) >= 5
    assert all(0 < p < 1 for p in hidden)
    assert hidden == sorted(hidden, reverse=True)


def gap(**changed):
    box = np.array([[100.0, 100, 140, 200]])
    facts = {
        "before_xyxy": box, "after_xyxy": box + 5, "gap_s": [0.3], "near_s": [0.1],
        "known_s": [3.0], "overlap": [0.0],
    }  # fmt: skip
    return Gap(**{name: np.array(value) for name, value in (facts | changed).items()})


def test_longer_gaps_are_filled_with_less_confidence():
    assert filled(gap(gap_s=[3.0], near_s=[1.5]))[0] < filled(gap())[0]


def test_a_filled_box_on_an_observed_one_is_probably_that_object():
    assert filled(gap(overlap=[0.8]))[0] < filled(gap())[0]


def test_counted_rows_are_those_that_are_probably_there():
    states = [State.OBSERVED, State.PREDICTED, State.PREDICTED, State.PREDICTED, State.FILLED,
              State.FILLED, State.FILLED]  # fmt: skip
    present = [1, 0.4, 0.6, np.nan, 0.4, 0.6, np.nan]
    n = len(states)
    tracks = Tracks(
        np.tile([0, 0, 9, 9], (n, 1)), np.ones(n), np.zeros(n), np.arange(1, n + 1), states,
        p_present=present,
    )  # fmt: skip
    kept = counted(PredictedFrame(0, 0.0, tracks)).found
    assert kept.ids.tolist() == [1, 3, 6, 7]


def test_refined_rows_carry_the_probability():
    frames = np.array([*range(20), *range(26, 46)])
    x = 100 + 3.0 * frames
    table = TrackTable(
        frames=frames, times_s=frames / 20, ids=np.ones(40),
        boxes_xyxy=np.column_stack([x, np.full(40, 100), x + 40, np.full(40, 200)]),
        labels=np.zeros(40), scores=np.full(40, 0.9), p_present=np.ones(40),
    )  # fmt: skip
    result = refine(table, RefineSettings())
    made = result[result.states == State.FILLED]
    assert len(made) == 6
    assert ((made.p_present > 0) & (made.p_present < 1)).all()
    assert (result.p_present[result.states == State.OBSERVED] == 1).all()


def test_an_occluder_is_learnt_from_two_gaps_and_explains_the_third():
    """Three objects pass a post at x = 500, which hides each of them for most of a second."""
    tracker = make_tracker("vodkit")
    for walker in range(3):
        for i in range(60):
            index, x = walker * 90 + i, 300 + 6 * i
            hidden = 440 < x < 540
            tracks = tracker.step(frame_at(index), Detections.empty() if hidden else boxes_at(x))
            if x == 492:
                assert len(tracker.occluders.marks) == walker
                explained = tracker.occluders.hide(np.array([[492.0, 100, 532, 200]]))[0]
                assert explained == (walker >= 2)
        assert len(tracks) == 1
        for i in range(60, 90):
            tracker.step(frame_at(walker * 90 + i), Detections.empty())


def test_marks_move_with_the_camera_and_end_with_the_shot():
    known = Occluders()
    known.marks = np.array([[100.0, 50, 10], [104, 52, 10]])
    assert known.hide(np.array([[92.0, 41, 112, 61]])).tolist() == [True]
    known.warp(np.array([[1, 0, 300.0], [0, 1, 0]]))
    assert known.hide(np.array([[92.0, 41, 112, 61]])).tolist() == [False]
    assert known.hide(np.array([[392.0, 41, 412, 61]])).tolist() == [True]
    known.forget()
    assert len(known.marks) == 0


@pytest.mark.parametrize("part", [Occluders(), ScoreScale()])
def test_parts_refuse_a_state_without_them(part):
    with pytest.raises(InputError, match="lacks"):
        part.load_state({})
