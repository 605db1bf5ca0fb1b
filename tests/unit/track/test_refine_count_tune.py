"""The offline pass, counting and tuning."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from vodkit.ground.errors import InputError, SettingsError
from vodkit.ground.records import Detections, Frame, LabelledVideo, State, TrackTable, VideoInfo
from vodkit.infer.tune import Clip, consistency, replay, tune
from vodkit.track.count import (
    CountSettings,
    Line,
    Zone,
    count_crossings,
    count_visits,
)
from vodkit.track.refine import RefineSettings, refine
from vodkit.track.tracklet_linking import StitchSettings

RATE = 10.0


def table_of(rows):
    """A table of (frame, id, x, y) rows: boxes 40 x 100 with the foot's middle at (x, y)."""
    frames, ids, x, y = np.array(rows, float).T
    boxes = np.column_stack([x - 20, y - 100, x + 20, y])
    return TrackTable(
        frames=frames, times_s=frames / RATE, ids=ids, boxes_xyxy=boxes,
        labels=np.zeros(len(ids)), scores=np.full(len(ids), 0.9),
    )  # fmt: skip


def walk(track_id, first, last, x0=100.0, speed=8.0, y=200.0):
    return [(f, track_id, x0 + speed * f, y) for f in range(first, last)]


def test_pieces_of_one_way_get_one_id_and_the_gap_is_filled_on_the_line():
    table = table_of(walk(1, 0, 20) + walk(5, 32, 50) + walk(2, 0, 50, x0=700, speed=-6, y=400))
    result = refine(table)
    assert np.unique(result.ids).tolist() == [1, 2]
    own = result[result.ids == 1]
    assert own.frames.tolist() == list(range(50))
    np.testing.assert_allclose(own.boxes_xyxy[:, 0], 80 + 8.0 * own.frames)
    np.testing.assert_allclose(own.times_s, own.frames / RATE)
    filled = own.states == State.FILLED
    assert own.frames[filled].tolist() == list(range(20, 32))


def test_no_more_is_made_up_than_was_seen():
    short = RefineSettings(min_track_s=0, stitch=StitchSettings(gap_s=0))
    glimpses = table_of(walk(1, 0, 4) + walk(1, 16, 19))  # 0.3 s, 1.3 s unseen, 0.2 s
    assert len(refine(glimpses, short)) == 7
    known = table_of(walk(1, 0, 14) + walk(1, 26, 29))  # 1.3 s, 1.3 s unseen, 0.2 s
    assert refine(known, short).frames.tolist() == list(range(29))


def test_two_at_the_same_time_are_never_one():
    table = table_of(walk(1, 0, 30) + walk(2, 20, 50))
    assert np.unique(refine(table).ids).tolist() == [1, 2]


def test_who_goes_the_other_way_is_not_stitched():
    table = table_of(walk(1, 0, 20, speed=20) + [(f, 2, 100, 200) for f in range(35, 60)])
    assert np.unique(refine(table).ids).tolist() == [1, 2]


def test_jitter_of_observed_boxes_shrinks_unless_they_are_to_stay():
    rng = np.random.default_rng(0)
    rows = [(f, i, x + rng.normal(0, 3), y) for f, i, x, y in walk(1, 0, 40)]
    table = table_of(rows)
    unmoved = refine(table, RefineSettings(smooth=0)).boxes_xyxy
    np.testing.assert_array_equal(unmoved, table.boxes_xyxy)
    straight = 80 + 8.0 * np.arange(40)
    error = np.std(table.boxes_xyxy[:, 0] - straight)
    assert np.std(refine(table).boxes_xyxy[:, 0] - straight) < 0.7 * error
    most = refine(table, RefineSettings(smooth=1)).boxes_xyxy[:, 0]
    assert np.std(most - straight) < 0.6 * error


def test_flicker_goes_and_predictions_give_way():
    table = table_of([*walk(1, 0, 30), (7, 9, 600, 300)])
    predicted = table_of([(30, 1, 500, 200)])
    predicted = TrackTable(
        **{
            name: getattr(predicted, name)
            for name in ("frames", "times_s", "ids", "boxes_xyxy", "labels", "scores")
        },
        states=[State.PREDICTED],
    )
    result = refine(TrackTable.concat([table, predicted]))
    assert set(result.ids.tolist()) == {1}
    assert result.frames.max() == 29


def test_class_is_voted_scores_are_shared_and_input_is_untouched():
    table = table_of(walk(1, 0, 10))
    labels = np.zeros(10, int)
    labels[3] = 2
    scores = np.linspace(0.5, 1, 10)
    names = ("frames", "times_s", "ids", "boxes_xyxy")
    table = TrackTable(
        **{name: getattr(table, name) for name in names}, labels=labels, scores=scores
    )
    before = table[:]
    result = refine(table)
    assert set(result.labels.tolist()) == {0}
    np.testing.assert_allclose(result.scores, scores.mean())
    assert table == before


def test_every_other_frame_is_filled_at_its_own_stride():
    rows = [(2 * f, 1, 100.0 + 5 * f, 200.0) for f in range(30) if not 10 <= f < 14]
    assert refine(table_of(rows)).frames.tolist() == list(range(0, 60, 2))


def test_an_empty_table_stays_empty():
    assert len(refine(TrackTable.empty())) == 0
    assert count_crossings(TrackTable.empty(), []) == []


DOOR = Line(name="door", start_px=(300, 0), end_px=(300, 480))


def test_trembling_on_the_line_is_not_crossing():
    rng = np.random.default_rng(1)
    table = table_of([(f, 1, 300 + rng.normal(0, 2), 200) for f in range(100)])
    assert count_crossings(table, [DOOR]) == []


def test_a_crossing_counts_once_with_its_direction_through_tremble_and_gap():
    rng = np.random.default_rng(2)
    rows = [(f, 1, 100 + 8 * f + rng.normal(0, 6), 200) for f in range(60) if not 22 <= f < 29]
    rows += [(f, 2, 600 - 8 * f + rng.normal(0, 6), 300) for f in range(60)]
    found = count_crossings(table_of(rows), [DOOR])
    assert sorted((c.track_id, c.inwards) for c in found) == [(1, False), (2, True)]


def test_counts_survive_an_id_change_on_the_line_once_refined():
    table = table_of(walk(1, 0, 24) + walk(7, 27, 50))
    assert count_crossings(table, [DOOR]) == []
    assert len(count_crossings(refine(table), [DOOR])) == 1


def test_a_short_excursion_over_the_line_is_no_crossing_and_a_long_one_is_two():
    """Hysteresis in time: 0.2 s on the other side is jitter, 0.8 s is there and back."""
    for num, crossings in ((2, 0), (8, 2)):
        x = np.full(60, 200.0)
        x[30 : 30 + num] = 400
        table = table_of([(f, 1, x[f], 200) for f in range(60)])
        assert len(count_crossings(table, [DOOR])) == crossings
    assert len(count_crossings(table, [DOOR], CountSettings(settle_s=2))) == 0


def at_one_frame_a_second(xs):
    """The table of an object at these x, one frame a second."""
    table = table_of([(f, 1, x, 200) for f, x in enumerate(xs)])
    return replace(table, times_s=table.frames.astype(float))


def test_one_sighting_a_second_counts_there_and_back():
    found = count_crossings(at_one_frame_a_second([200, 200, 400, 200]), [DOOR])
    assert [c.inwards for c in found] == [False, True]


def test_an_object_seen_once_in_a_zone_is_a_visit_of_unknown_length():
    zone = Zone(name="shop", corners_px=((200, 100), (400, 100), (400, 300), (200, 300)))
    (visit,) = count_visits(at_one_frame_a_second([100, 300, 500, 600]), [zone])
    assert (visit.dwell_s, visit.num_seen, visit.longest_s) == (None, 1, 2.0)
    (alone,) = count_visits(at_one_frame_a_second([300]), [zone])
    assert (alone.dwell_s, alone.longest_s) == (None, None)
    quick = table_of([(f, 1, 300 if f == 5 else 100, 200) for f in range(10)])
    assert count_visits(quick, [zone], CountSettings(settle_s=0.5)) == []


def test_passing_beside_the_end_of_a_line_is_not_crossing():
    short = Line(name="short", start_px=(300, 300), end_px=(300, 400))
    assert count_crossings(table_of(walk(1, 0, 60)), [short]) == []


def test_dwell_time_survives_flicker_and_gaps():
    zone = Zone(name="shop", corners_px=((200, 100), (400, 100), (400, 300), (200, 300)))
    rows = walk(1, 0, 60)  # inside from x = 200 (frame 13) to 400 (frame 37)
    rows = [row for row in rows if not 20 <= row[0] < 24]
    rows[15] = (rows[15][0], 1, 150.0, 200.0)  # one box in the wrong place
    visits = count_visits(table_of(rows), [zone])
    assert len(visits) == 1
    assert visits[0].dwell_s == pytest.approx(2.4, abs=0.11)
    assert visits[0].enter_s == pytest.approx(1.3, abs=0.05)


def test_coming_back_later_is_a_second_visit_of_one_object():
    zone = Zone(name="shop", corners_px=((200, 100), (400, 100), (400, 300), (200, 300)))
    x = np.concatenate([np.full(20, 300), np.full(20, 600), np.full(20, 300)])
    visits = count_visits(table_of([(f, 1, x[f], 200) for f in range(60)]), [zone])
    assert [visit.track_id for visit in visits] == [1, 1]


def test_wrong_shapes_are_refused_by_name():
    with pytest.raises(SettingsError, match="zone shop has 2 corners"):
        Zone(name="shop", corners_px=((0, 0), (1, 1)))
    with pytest.raises(SettingsError, match="line door: both ends"):
        Line(name="door", start_px=(1, 1), end_px=(1, 1))
    with pytest.raises(SettingsError, match="anchor is 'foot'"):
        CountSettings(anchor="foot")


def crowd(seed=0, num_frames=40):
    rng = np.random.default_rng(seed)
    start, speed = rng.uniform(100, 500, (5, 2)), rng.uniform(-40, 40, (5, 2))
    steps, truth = [], []
    for i in range(num_frames):
        centre = start + speed * i / RATE
        half = np.array([15, 40])
        boxes = np.hstack([centre - half, centre + half])
        seen = rng.random(5) < 0.85
        frame = Frame.unseen(i, i / RATE, width_px=640, height_px=640)
        found = Detections(boxes[seen], np.full(5, 0.55)[seen], np.zeros(5, int)[seen])
        steps.append((frame, found))
        truth += [(i, n + 1, *(centre[n] + [0, 40])) for n in range(5)]
    return steps, table_of(truth)


def test_consistency_is_high_for_a_tracker_that_works_and_zero_for_one_that_does_nothing():
    steps, _ = crowd()
    assert consistency(steps, "vodkit", ["new=0.5"]) > 0.6
    assert consistency(steps, "vodkit", ["high=0.9", "new=0.9"]) == 0


def test_ways_broken_in_mid_picture_are_not_consistent():
    steps, _ = crowd()
    whole = consistency(steps, "bytetrack", ["high=0.5", "new=0.5", "life.lost_s=2"])
    broken = consistency(
        steps, "bytetrack", ["high=0.5", "new=0.5", "life.lost_s=0", "life.coast_s=0"]
    )
    assert broken < 0.5 * whole


def test_a_film_and_its_mirror_image_are_as_consistent():
    found = [found for _, found in crowd()[0]]

    def film(shown):
        return [
            (Frame.unseen(i, 0.093 * i, width_px=640, height_px=640), one)  # no time is on a limit
            for i, one in enumerate(shown)
        ]

    one, two = (consistency(film(shown), "vodkit", ["new=0.5"]) for shown in (found, found[::-1]))
    assert 0.5 < one == pytest.approx(two, abs=1e-12)


def test_without_labels_no_threshold_is_searched():
    pytest.importorskip("optuna")
    steps, truth = crowd(num_frames=15)
    video = labelled(truth)
    free = tune("bytetrack", [Clip(steps=steps)], num_trials=4)
    names = {word.split("=")[0] for word in free.words}
    assert not names & {"high", "new"}
    assert free.score == (
        consistency(steps, "bytetrack", free.words) if free.words else free.before
    )
    told = tune("bytetrack", [Clip(steps=steps, truth=video)], score=len_share, num_trials=12)
    assert {"high", "new"} <= {word.split("=")[0] for word in told.words}


def labelled(truth):
    info = VideoInfo(path="a", width_px=640, height_px=640, rate=Fraction(10))
    return LabelledVideo(source="a", info=info, tracks=truth)


def len_share(real, found):
    return len(found) / len(real.tracks)


def test_tuning_finds_that_the_threshold_was_too_high():
    pytest.importorskip("optuna")
    steps, truth = crowd(num_frames=15)
    video = labelled(truth)
    tuned = tune(
        "bytetrack", [Clip(steps=steps, truth=video)], score=len_share, num_trials=12,
        space={"high": (0.3, 0.8), "new": (0.3, 0.9)},
    )  # fmt: skip
    assert tuned.before == 0
    assert tuned.score > 0.7
    assert len(replay(steps, "bytetrack", tuned.words)) / len(truth) == tuned.score


def test_tuning_refuses_what_it_cannot_do():
    with pytest.raises(InputError, match="no clips"):
        tune("vodkit", [])
    with pytest.raises(SettingsError, match="no search space"):
        tune("roboflow", [Clip(steps=[])])
    for words, allowed in (({"num_trials": 0}, "1 or more"), ({"seed": -1}, "0 to 4294967295")):
        with pytest.raises(SettingsError, match=f"allowed: {allowed}"):
            tune("vodkit", [Clip(steps=[])], **words)


@pytest.mark.parametrize(
    ("step_s", "kept"), [(0.04, []), (0.12, []), (0.16, [1, 2]), (1.0, [1, 2])]
)
def test_one_sighting_is_a_track_where_frames_are_far_apart(step_s, kept):
    table = table_of([(5, 1, 100.0, 200.0), (9, 2, 400.0, 200.0)])
    clock = {frame: frame * step_s for frame in range(20)}
    table = replace(table, times_s=table.frames * step_s)
    assert np.unique(refine(table, clock=clock).ids).tolist() == kept
    every = replace(table_of(walk(3, 0, 20)), times_s=np.arange(20) * step_s)
    both = refine(TrackTable.concat([table, every]))  # without a clock, that of the rows
    assert np.unique(both.ids).tolist() == [*kept, 3]
