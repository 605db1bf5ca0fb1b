"""Laws that hold for every tracker in the table, with its default settings."""

from collections import Counter

import numpy as np
import pytest

from vodkit.ground.errors import InputError, SettingsError
from vodkit.ground.records import Detections, Frame, State, Tracks
from vodkit.infer.follow import Follower
from vodkit.infer.handover import Continued, keep_state
from vodkit.track.assign import OVERLAPS
from vodkit.track.table import TRACKERS, make_tracker

NAMES = sorted(set(TRACKERS) - {"roboflow"})
WIDTH, HEIGHT = 2000, 1500


def frame_at(index, rate=30.0, size=(WIDTH, HEIGHT)):
    return Frame.unseen(index, index / rate, width_px=size[0], height_px=size[1])


def walkers(seed=0, num=6, seconds=1.6, rate=30.0, classes=1, miss=0.04):
    """Objects on straight ways that never touch, with a trembling, forgetful detector."""
    rng = np.random.default_rng(seed)
    start = np.column_stack([rng.uniform(400, 1200, num), 250 + 160 * np.arange(num)])
    speed = rng.uniform(-60, 60, (num, 2)) * [1, 0.1]
    size = np.column_stack([rng.uniform(40, 60, num), rng.uniform(90, 120, num)])
    labels = np.arange(num) % classes
    noise = rng.normal(0, 1.0, (int(seconds * 30) + 1, num, 4))
    missed = rng.random((int(seconds * 30) + 1, num)) < miss
    stride = round(30 / rate)
    for i in range(int(seconds * rate)):
        centre = start + speed * i / rate
        boxes = np.hstack([centre - size / 2, centre + size / 2]) + noise[i * stride]
        there = ~missed[i * stride]
        yield frame_at(i, rate), Detections(boxes[there], np.full(num, 0.9)[there], labels[there])


def run(name, steps, tracker=None):
    tracker = tracker or make_tracker(name)
    return [tracker.step(frame, detections) for frame, detections in steps]


def changed(steps, function):
    for frame, detections in steps:
        yield frame, function(detections)


@pytest.fixture(params=sorted(TRACKERS))
def name(request):
    if request.param == "roboflow":
        pytest.importorskip("supervision", exc_type=ImportError)
        pytest.importorskip("trackers", exc_type=ImportError)
    return request.param


def test_every_object_keeps_one_id(name):
    results = run(name, walkers())
    last = results[-1]
    assert len(last) >= 5
    assert set(np.concatenate([r.ids for r in results]).tolist()) <= set(range(1, 8))


@pytest.mark.parametrize("overlap", sorted(OVERLAPS))
@pytest.mark.parametrize("own", ["botsort", "bytetrack", "ocsort", "sort"])
def test_every_overlap_keeps_ids(own, overlap):
    results = run(own, walkers(), make_tracker(own, [f"overlap={overlap}"]))
    assert len(results[-1]) >= 5
    assert max(r.ids.max(initial=0) for r in results) <= 8


def test_two_runs_are_equal(name):
    assert run(name, walkers(seed=3)) == run(name, walkers(seed=3))


def test_input_order_does_not_matter(name):
    rng = np.random.default_rng(5)
    mixed = changed(walkers(seed=4), lambda d: d[rng.permutation(len(d))])
    assert run(name, walkers(seed=4)) == run(name, mixed)


def test_observed_boxes_are_the_detections_own(name):
    for (_, detections), tracks in zip(walkers(seed=1), run(name, walkers(seed=1)), strict=True):
        seen = tracks.boxes_xyxy[tracks.states == State.OBSERVED]
        given = {tuple(box) for box in detections.boxes_xyxy.tolist()}
        assert {tuple(box) for box in seen.tolist()} <= given


def test_ids_are_unique_sorted_and_from_one(name):
    for tracks in run(name, walkers(seed=2)):
        assert (np.diff(tracks.ids) > 0).all()
        assert len(tracks) == 0 or tracks.ids.min() >= 1


def test_half_the_frame_rate_keeps_the_same_objects_together(name):
    full = run(name, walkers(seed=6, miss=0))
    half = run(name, walkers(seed=6, rate=15.0, miss=0))
    pairs = set()
    for i, tracks in enumerate(half[8:], start=8):
        here = full[2 * i]
        for box, own in zip(tracks.boxes_xyxy, tracks.ids, strict=True):
            same = np.flatnonzero(np.abs(here.boxes_xyxy - box).max(axis=1, initial=0) < 1e-3)
            pairs |= {(int(here.ids[row]), int(own)) for row in same}
    assert len(pairs) >= 5
    assert len({a for a, _ in pairs}) == len(pairs) == len({b for _, b in pairs})


def test_interleaved_instances_do_not_know_each_other(name):
    one, two = make_tracker(name), make_tracker(name)
    results = [
        (one.step(*a), two.step(*b)) for a, b in zip(walkers(seed=7), walkers(seed=8), strict=True)
    ]
    assert [a for a, _ in results] == run(name, walkers(seed=7))
    assert [b for _, b in results] == run(name, walkers(seed=8))


def test_input_is_not_touched(name):
    def frozen(detections):
        for column in (detections.boxes_xyxy, detections.scores, detections.labels):
            assert not column.flags.writeable
        return detections

    steps = list(changed(walkers(seed=9), frozen))
    before = [(d.boxes_xyxy.copy(), d.scores.copy()) for _, d in steps]
    run(name, steps)
    for (boxes, scores), (_, detections) in zip(before, steps, strict=True):
        np.testing.assert_array_equal(boxes, detections.boxes_xyxy)
        np.testing.assert_array_equal(scores, detections.scores)


def test_empty_frames_age_tracks_until_they_are_gone(name):
    tracker = make_tracker(name)
    first = run(name, walkers(seed=10, seconds=1.0), tracker)
    for index in range(30, 180):
        last = tracker.step(frame_at(index), Detections.empty())
    assert len(last) == 0
    again = [
        tracker.step(frame_at(180 + i), d) for i, (_, d) in enumerate(walkers(seed=10, seconds=1))
    ]
    assert len(again[-1]) >= 5
    assert not set(again[-1].ids.tolist()) & set(first[-1].ids.tolist())


def test_identity_camera_motion_equals_none_to_the_bit(name):
    def given(identity):
        tracker = make_tracker(name)
        return [tracker.step(f, d, camera_motion=identity) for f, d in walkers(seed=15)]

    assert given(np.eye(3)[:2]) == given(None)


@pytest.mark.parametrize("own", NAMES)
def test_given_camera_motion_carries_tracks_over_a_jump(own):
    shift, tracker = 300.0, make_tracker(own)
    ids = []
    for i, (frame, found) in enumerate(walkers(seed=16, miss=0)):
        offset = np.float32(shift if i >= 24 else 0)
        moved = Detections(found.boxes_xyxy + offset, found.scores, found.labels)
        jump = np.array([[1, 0, shift], [0, 1, shift]]) if i == 24 else None
        ids.append(tracker.step(frame, moved, camera_motion=jump).ids.tolist())
    assert ids[-1] == ids[23]


@pytest.mark.parametrize("own", NAMES)
def test_a_camera_motion_of_another_shape_is_refused(own):
    tracker = make_tracker(own)
    with pytest.raises(InputError, match="camera motion"):
        tracker.step(frame_at(0), Detections.empty(), camera_motion=np.eye(3))


def test_halved_scores_keep_the_ids_of_the_default():
    def scored(share):
        rng = np.random.default_rng(0)

        def less_sure(found):
            scores = rng.uniform(0.45, 0.95, len(found)) * share
            return Detections(found.boxes_xyxy, scores, found.labels)

        return run("vodkit", changed(walkers(seed=17, miss=0.1), less_sure))

    pairs = list(zip(scored(1.0), scored(0.5), strict=True))
    total = sum(len(a) for a, _ in pairs)
    same = sum(len(set(a.ids.tolist()) & set(b.ids.tolist())) for a, b in pairs)
    assert total > 200
    assert same >= 0.98 * total


REAL = ("sequences/mot15/TUD-Campus", "tracking/mot17/MOT17-13", "tracking/dance/dancetrack0004")


@pytest.mark.slow
@pytest.mark.parametrize("folder", REAL)
def test_halved_scores_of_real_detectors_keep_ids(shared_data, folder):
    path = shared_data / folder / "det" / "det.txt"
    if not path.exists():
        pytest.skip(f"{path} is missing")
    rows = np.loadtxt(path, delimiter=",", usecols=range(7))
    boxes, scores = np.hstack([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]]), rows[:, 6].clip(0, 1)

    def ids_by_box(share):
        ids, tracker = {}, make_tracker("vodkit")
        for index in range(70):
            own = rows[:, 0] == index + 1
            found = Detections(boxes[own], scores[own] * share, np.zeros(own.sum()))
            tracks = tracker.step(frame_at(index), found)
            seen = tracks[(tracks.states == State.OBSERVED) & ~tracks.tentative]
            keys = [(index, *box) for box in seen.boxes_xyxy.tolist()]
            ids |= dict(zip(keys, seen.ids.tolist(), strict=True))
        return ids

    whole, half = ids_by_box(1.0), ids_by_box(0.5)
    assert len(whole) > 200
    pairs = Counter((track_id, half.get(box)) for box, track_id in whole.items())
    most = {track_id: (other, n) for (track_id, other), n in reversed(pairs.most_common())}
    same = sum(n for other, n in most.values() if other is not None)
    assert same >= 0.98 * len(whole)


def test_empty_video(name):
    assert run(name, [(frame_at(i), Detections.empty()) for i in range(3)]) == [Tracks.empty()] * 3


def test_time_going_backwards_is_refused_with_frame_and_time(name):
    tracker = make_tracker(name)
    tracker.step(frame_at(10), Detections.empty())
    with pytest.raises(InputError, match=r"frame 9 is at 0\.3"):
        tracker.step(frame_at(9), Detections.empty())


def test_not_a_number_and_inverted_boxes_never_reach_a_tracker():
    with pytest.raises(InputError, match="box 0"):
        Detections([[0, 0, np.nan, 5]], [0.9], [0])
    with pytest.raises(InputError, match="box 1"):
        Detections([[0, 0, 5, 5], [9, 0, 5, 5]], [0.9, 0.9], [0, 0])


@pytest.mark.parametrize("way", ["moved", "larger"])
def test_place_and_size_of_the_picture_do_not_matter(name, way):
    scale, shift, size = (1.0, 64.0, (WIDTH, HEIGHT))
    if way == "larger":
        scale, shift, size = 4.0, 0.0, (4 * WIDTH, 4 * HEIGHT)

    def altered():
        for frame, d in walkers(seed=11):
            boxes = d.boxes_xyxy * np.float32(scale) + np.float32(shift)
            yield frame_at(frame.index, size=size), Detections(boxes, d.scores, d.labels)

    for one, two in zip(run(name, walkers(seed=11)), run(name, altered()), strict=True):
        np.testing.assert_array_equal(one.ids, two.ids)
        np.testing.assert_array_equal(one.states, two.states)


def test_objects_of_two_classes_in_one_place_stay_two(name):
    tracker = make_tracker(name)
    boxes = np.array([[500, 500, 560, 620], [508, 500, 568, 620]], np.float32)
    ids = set()
    for i in range(20):
        order = [i % 2, 1 - i % 2]
        found = Detections(boxes[order], [0.9, 0.9], order)
        tracks = tracker.step(frame_at(i), found)
        ids |= set(zip(tracks.ids.tolist(), tracks.labels.tolist(), strict=True))
    assert len(tracks) == 2
    assert len(ids) == 2
    for label in (0, 1):
        assert tracks.boxes_xyxy[tracks.labels == label, 0] == boxes[label, 0]


def test_after_a_cut_everybody_is_new(name):
    tracker = make_tracker(name)
    before = run(name, walkers(seed=12, seconds=1.0), tracker)[-1]
    tracker.notice_cut()
    after = [
        tracker.step(frame_at(30 + i), d) for i, (_, d) in enumerate(walkers(seed=12, seconds=1))
    ]
    assert len(after[-1]) >= 5
    assert not set(before.ids.tolist()) & {i for r in after for i in r.ids.tolist()}


@pytest.mark.parametrize("own", NAMES)
def test_a_saved_tracker_goes_on_as_if_nothing_had_happened(own, tmp_path):
    steps = list(walkers(seed=13, classes=2))
    whole = run(own, steps)
    first = make_tracker(own)
    run(own, steps[:25], first)
    np.savez(tmp_path / "state.npz", **first.state_dict())
    second = make_tracker(own)
    with np.load(tmp_path / "state.npz", allow_pickle=False) as state:
        second.load_state(dict(state))
    assert run(own, steps[25:], second) == whole[25:]


@pytest.mark.parametrize("own", NAMES)
def test_tracks_go_on_in_the_next_file_whatever_its_clock_says(own, tmp_path):
    def seen_at(index, start_s):  # parts of a second that binary numbers hold exactly
        return Frame.unseen(index, index / 32 + start_s, width_px=WIDTH, height_px=HEIGHT)

    found = [detections for _, detections in walkers(seed=14, classes=2)]
    whole = run(own, [(seen_at(i, 0.0), d) for i, d in enumerate(found)])
    first = make_tracker(own)
    run(own, [(seen_at(i, 0.0), d) for i, d in enumerate(found[:25])], first)
    keep_state(tmp_path, first, end_s=25 / 32)
    second = make_tracker(own)
    follower = Follower(second, cuts=False, continued=Continued(tmp_path, second))
    steps = follower.steps((seen_at(i, 1.5), d) for i, d in enumerate(found[25:]))
    assert [step.tracks for step in steps] == whole[25:]
    assert set(second.state_dict()) == set(first.state_dict())


def test_another_trackers_state_does_not_go_on(tmp_path):
    for kept, other in (("vodkit", "botsort"), ("botsort", "vodkit")):
        keep_state(tmp_path, make_tracker(kept), end_s=1.0)
        with pytest.raises(InputError, match="kept by another tracker"):
            Continued(tmp_path, make_tracker(other))


@pytest.mark.parametrize("own", NAMES)
def test_a_state_that_is_not_whole_is_refused(own):
    state = make_tracker(own).state_dict()
    lost = min(state)
    del state[lost]
    with pytest.raises(InputError, match=f"lacks {lost}"):
        make_tracker(own).load_state(state)


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(SettingsError, match="bytetrack"):
        make_tracker("bytetrak")
    with pytest.raises(SettingsError, match=r"lost_s"):
        make_tracker("vodkit", ["life.lots_s=2"])
    with pytest.raises(SettingsError, match="giou"):
        make_tracker("sort", ["overlap=gou"])
