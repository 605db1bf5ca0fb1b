"""The parts of tracking, each against what it must give."""

import itertools

import numpy as np
import pytest

from vodkit.ground.errors import InputError, SettingsError
from vodkit.ground.records import Detections, Frame, State, Tracks
from vodkit.track import kalman
from vodkit.track.appearance import colour_embeddings
from vodkit.track.assign import (
    OVERLAPS,
    Pairs,
    direction_agreement,
    giou_pairs,
    height_iou,
    likeness,
    match,
    near,
)
from vodkit.track.base import arrange, unit_rows
from vodkit.track.camera_motion import CameraMotion
from vodkit.track.kalman import Motion
from vodkit.track.lifecycle import Life, backfill
from vodkit.track.matching import straight_on
from vodkit.track.occlusion import Occlusion, hiders
from vodkit.track.table import make_tracker
from vodkit.track.track_table import Book
from vodkit.track.vodkit import VodkitSettings

MOTION = Motion()


def frame_at(index, rate=10.0):
    return Frame.unseen(index, index / rate, width_px=640, height_px=480)


def best_by_hand(pairs, gain):
    """The largest total gain over all one-to-one choices of pairs."""
    table = {(r, c): g for r, c, g in zip(*pairs, gain, strict=True) if g > 0}
    best = 0.0
    for count in range(len(table) + 1):
        for chosen in itertools.combinations(table, count):
            rows, cols = {r for r, _ in chosen}, {c for _, c in chosen}
            if len(rows) == len(cols) == count:
                best = max(best, sum(table[pair] for pair in chosen))
    return best


def test_match_equals_brute_force():
    rng = np.random.default_rng(0)
    for _ in range(60):
        n, m = rng.integers(1, 5, 2)
        r, c = np.nonzero(rng.random((n, m)) < 0.6)
        gain = rng.uniform(-0.3, 1, len(r))
        found = match(Pairs(r, c), gain)
        worth = {(a, b): g for a, b, g in zip(r, c, gain, strict=True)}
        total = sum(worth[pair] for pair in zip(*found, strict=True))
        assert total == pytest.approx(best_by_hand((r, c), gain))
        assert len(set(found.rows)) == len(set(found.cols)) == len(found.rows)


def test_a_filter_learns_a_straight_way_and_predicts_it():
    box = np.array([[0.0, 0, 40, 100]])
    mean, cov = kalman.start(box, MOTION)
    for _ in range(30):
        mean, cov = kalman.predict(mean, cov, 0.1, MOTION)
        box = box + np.array([3, 1, 3, 1])
        mean, cov = kalman.update(mean, cov, box, MOTION)
    np.testing.assert_allclose(mean[0, 4:6], [30, 10], rtol=0.1)
    later, wider = kalman.predict(mean, cov, 0.5, MOTION)
    np.testing.assert_allclose(later[0, :2], mean[0, :2] + [15, 5], atol=2)
    assert kalman.sigma_px(wider) > kalman.sigma_px(cov)


def test_what_is_not_believed_of_velocity_leaves_it_alone():
    box, shorter = np.array([[100.0, 100, 140, 200]]), np.array([[100.0, 100, 140, 160]])
    mean, cov = kalman.predict(*kalman.start(box, MOTION), 0.1, MOTION)
    plain, _ = kalman.update(mean, cov, shorter, MOTION)
    still, after = kalman.update(mean, cov, shorter, MOTION, steady=np.array([0.0]))
    assert plain[0, 5] < 0, "an object that is covered from below seems to rise"
    np.testing.assert_array_equal(still[:, 4:], mean[:, 4:])
    np.testing.assert_array_equal(still[:, :4], plain[:, :4])
    np.testing.assert_array_equal(after[:, 2], cov[:, 2])


def test_along_a_silent_axis_it_is_as_if_nothing_was_seen():
    box, narrower = np.array([[100.0, 100, 140, 200]]), np.array([[100.0, 104, 112, 204]])
    mean, cov = kalman.predict(*kalman.start(box, MOTION), 0.1, MOTION)
    plain = kalman.update(mean, cov, narrower, MOTION)
    told = kalman.update(mean, cov, narrower, MOTION, silent=np.array([[True, False]]))
    for along_x, along_y, seen in zip((mean, cov), plain, told, strict=True):
        np.testing.assert_array_equal(seen[..., [0, 2]], along_x[..., [0, 2]])
        np.testing.assert_array_equal(seen[..., [1, 3]], along_y[..., [1, 3]])
    np.testing.assert_array_equal(told[0][0, [4, 6]], mean[0, [4, 6]])
    np.testing.assert_array_equal(told[0][0, [5, 7]], plain[0][0, [5, 7]])
    assert plain[0][0, 4] < 0, "an object that goes behind something seems to go back"


def test_two_short_predictions_equal_a_long_one_where_noise_is_independent():
    mean, cov = kalman.start(np.array([[0.0, 0, 40, 100]]), MOTION)
    mean[0, 4:6] = 50, -20
    once = kalman.predict(mean, cov, 0.2, MOTION)
    twice = kalman.predict(*kalman.predict(mean, cov, 0.1, MOTION), 0.1, MOTION)
    np.testing.assert_allclose(once[0], twice[0])
    np.testing.assert_allclose(once[1][..., :2], twice[1][..., :2], rtol=0.05)


def test_reupdate_takes_the_velocity_of_the_gap():
    mean, cov = kalman.start(np.array([[0.0, 0, 40, 100]]), MOTION)
    mean[0, 4:6] = -500, 0  # what the filter believed was wrong
    new = np.array([[60.0, 0, 100, 100]])
    mean, _ = kalman.reupdate(mean, cov, new, MOTION, gap_s=np.array([1.0]), missed=np.array([9]))
    assert mean[0, 4] == pytest.approx(60, abs=25)


def test_giou_is_minus_for_far_boxes_and_iou_for_nested():
    a = np.array([[0.0, 0, 10, 10], [0, 0, 10, 10]])
    b = np.array([[90.0, 0, 100, 10], [0, 0, 10, 5]])
    np.testing.assert_allclose(giou_pairs(a, b), [-0.8, 0.5])


@pytest.mark.parametrize("name", sorted(OVERLAPS))
def test_overlaps_are_symmetric_from_0_to_1_and_the_larger_the_nearer(name):
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 300, (2, 200, 2))
    a, b = (np.hstack([c, c + rng.uniform(5, 80, (200, 2))]) for c in corner)
    _, measure = OVERLAPS[name]
    np.testing.assert_allclose(measure(a, b), measure(b, a), atol=1e-12)
    assert measure(a, b).min() >= 0
    np.testing.assert_allclose(measure(a, a), 1)
    shifted = [float(measure(a[:1], a[:1] + d)[0]) for d in (0, 5, 20, 60)]
    assert shifted == sorted(shifted, reverse=True)


def test_buffered_and_generalised_overlap_see_boxes_that_do_not_touch():
    a, b = np.array([[0.0, 0, 10, 10]]), np.array([[14.0, 0, 24, 10]])
    values = {name: float(overlap.measure(a, b)[0]) for name, overlap in OVERLAPS.items()}
    assert values["iou"] == 0
    # enlarged by 3 on each side they share 2 x 16 of 2 * 256 - 32
    assert values["biou"] == pytest.approx(32 / 480)
    assert values["giou"] == pytest.approx((1 - 40 / 240) / 2)


def test_height_direction_and_likeness():
    a, b = np.array([[0.0, 0, 10, 10]]), np.array([[50.0, 5, 60, 15]])
    np.testing.assert_allclose(height_iou(a, b), [1 / 3])
    here, on = np.array([[0.0, 0]]), np.array([[1.0, 0]])
    np.testing.assert_allclose(direction_agreement(here, on, on * 2), [0.5])
    np.testing.assert_allclose(direction_agreement(here, on, here), [-0.5])
    np.testing.assert_allclose(likeness(on, on), [1])
    np.testing.assert_allclose(likeness(on, here), [0])


def test_near_finds_all_overlapping_pairs():
    rng = np.random.default_rng(1)
    corner = rng.uniform(0, 50, (20, 2))
    boxes = np.hstack([corner, corner + rng.uniform(1, 20, (20, 2))])
    pairs = set(zip(*near(boxes, boxes), strict=True))
    for i, j in itertools.product(range(20), repeat=2):
        a, b = boxes[i], boxes[j]
        meet = a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
        assert ((i, j) in pairs) == meet


def test_the_nearer_person_hides_the_farther_one():
    boxes = np.array([[100.0, 100, 140, 200], [110, 110, 150, 230]])
    who, share = hiders(boxes[:1], boxes[1:], Occlusion())
    assert who.tolist() == [0]
    assert share[0] > 0.6
    who, _ = hiders(boxes[1:], boxes[:1], Occlusion())
    assert who.tolist() == [-1]


def test_a_hidden_person_is_predicted_and_comes_back_under_its_id():
    """One stands, one passes behind and is not detected for 1.2 s."""
    tracker = make_tracker("vodkit")
    hidden, sigmas = range(14, 26), []
    for i in range(40):
        x = 100.0 + 10 * i
        boxes = [[300, 200, 340, 330]]  # the one in front
        if i not in hidden:
            boxes.append([x, 210, x + 36, 310])
        found = Detections(boxes, [0.9] * len(boxes), [0] * len(boxes))
        tracks = tracker.step(frame_at(i), found)
        front = int(tracks.ids[tracks.boxes_xyxy[:, 0] == 300][0])
        if i == 12:
            walker = int(tracks.ids[tracks.boxes_xyxy[:, 0] == np.float32(x)][0])
        if i == 20:  # quite covered
            assert tracks.hidden_behind[tracks.ids == walker].tolist() == [front]
            assert tracks.hidden_behind[tracks.ids == front].tolist() == [0]
        if i in hidden:
            row = int(np.flatnonzero(tracks.ids == walker)[0])
            assert tracks.states[row] == State.PREDICTED
            assert tracks.hidden_s[row] == pytest.approx((i - 13) / 10, abs=1e-6)
            assert tracks.boxes_xyxy[row, 0] == pytest.approx(x, abs=25)
            sigmas.append(float(tracks.sigma_px[row]))
    assert (np.diff(sigmas) > 0).all()
    assert tracks.ids[tracks.boxes_xyxy[:, 0] == np.float32(x)] == [walker]


@pytest.mark.parametrize("step_px", [-6.0, 6.0])
def test_who_goes_behind_a_post_goes_on_there(step_px):
    """What still sticks out is a weak box that stands still: it must not stop who is hidden."""

    def off_px(words):
        tracker, away = make_tracker("vodkit", words), []
        for i in range(60):
            left = 318 - step_px * (30 - i)  # quite behind the post in the middle
            parts = [(left, min(left + 36, 314)), (max(left, 358), left + 36)]
            a, b = max(parts, key=lambda part: part[1] - part[0])
            found = Detections([[a, 100, max(a, b), 200]], [0.9 if b - a == 36 else 0.2], [0])
            tracks = tracker.step(frame_at(i), found if b - a > 12 else found[:0])
            if b - a <= 12:
                away.append(abs(tracks.boxes_xyxy[0, ::2].mean() - left - 18))
        assert tracks.ids.tolist() == [1]
        return max(away)

    assert off_px(["weak_side=0"]) > 12, "a third of a width"
    assert off_px([]) < 6


@pytest.mark.parametrize("speed_px", [30, 50, 70])
@pytest.mark.parametrize("seen_px", [16, 20, 26])
def test_who_stops_half_behind_a_post_stays_known(speed_px, seen_px):
    """The whole of it is expected farther on, but what is seen of it looks as before."""
    tracker, begin_s, braking_s = make_tracker("vodkit"), 3.0, 0.6
    for i in range(60):
        walked_s = min(i / 10, begin_s) + braked(i / 10 - begin_s, braking_s)
        left = 280 - seen_px + speed_px * (walked_s - begin_s - braking_s / 2)
        right = min(left + 40, 280)  # where the post begins
        score = 0.9 if right - left == 40 else 0.3
        tracks = tracker.step(frame_at(i), Detections([[left, 100, right, 200]], [score], [0]))
    assert tracks.ids.tolist() == [1]
    assert tracks.states.tolist() == [State.OBSERVED]
    expected = tracker.book.expected_xyxy[0]
    assert left - 2 < expected[0] < left + 12
    assert expected[2] > right


def braked(time_s, braking_s):
    """For how long who brakes evenly from ``time_s`` 0 on would have gone on at full speed."""
    time_s = min(max(time_s, 0.0), braking_s)
    return time_s - time_s**2 / (2 * braking_s)


@pytest.mark.parametrize("seed", range(5))
def test_clutter_around_the_one_in_front_does_not_kill_who_is_hidden(seed):
    """The detector sees ghosts beside, above and on the one in front, weak and strong ones."""
    rng, tracker = np.random.default_rng(seed), make_tracker("vodkit")
    hidden = range(14, 26)
    for i in range(40):
        x = 100.0 + 10 * i
        boxes, scores = [[300.0, 200, 340, 330]], [0.9]
        if i not in hidden:
            boxes.append([x, 210, x + 36, 310])
            scores.append(0.9)
        elif i % 3 == 0:  # ghosts blink: another place each time
            left, top = rng.uniform(260, 345), rng.uniform(150, 240)
            boxes.append([left, top, left + rng.uniform(15, 60), top + rng.uniform(30, 140)])
            scores.append(rng.uniform(0.15, 0.8))
        tracks = tracker.step(frame_at(i), Detections(boxes, scores, [0] * len(boxes)))
        if i == 12:
            before = tracks.ids.tolist()
    shown = tracks[tracks.states == State.OBSERVED]
    assert shown.ids.tolist() == before


def test_who_left_the_picture_comes_back_as_somebody_new_unless_looks_say_otherwise():
    def last_id(words, looks):
        tracker = make_tracker("vodkit", words)
        for i in range(40):
            x = 560.0 + 12 * i if i < 15 else 600.0 - 12 * (i - 30)
            seen = i < 6 or i >= 31
            box = [[x, 200, x + 40, 300]] if seen else np.empty((0, 4))
            n = len(box)
            given = looks[:n] if looks is not None else None
            tracks = tracker.step(
                frame_at(i), Detections(box, [0.9] * n, [0] * n), embeddings=given
            )
        return tracks.ids.tolist()

    looks = np.array([[1.0, 0.0]])
    assert last_id([], looks) == [2]
    assert last_id(["life.away_s=10"], looks) == [1]
    assert last_id(["life.away_s=10"], None) == [2]


def test_class_is_voted_and_flips_do_not_break_a_track():
    tracker = make_tracker("vodkit")
    seen = []
    for i in range(20):
        label = 1 if i in (7, 13) else 0
        tracks = tracker.step(
            frame_at(i), Detections([[100 + i, 100, 140 + i, 180]], [0.9], [label])
        )
        seen += [(int(tracks.ids[0]), int(tracks.labels[0]), len(tracks))]
    assert set(seen) == {(1, 0, 1)}


@pytest.mark.parametrize("first_double", [0, 5])
def test_a_second_box_around_one_object_is_no_second_object(first_double):
    tracker, ids = make_tracker("vodkit"), set()
    for i in range(20):
        boxes = [[100 + 4 * i, 100, 140 + 4 * i, 200], [100 + 4 * i, 100, 140 + 4 * i, 162]]
        found = Detections(boxes, [0.9, 0.8], [0, 0])
        ids |= set(tracker.step(frame_at(i), found[:1] if i < first_double else found).ids.tolist())
    assert ids == {1}


def test_a_person_who_stands_half_behind_another_is_a_second_object():
    tracker, ids = make_tracker("vodkit"), set()
    for i in range(20):
        boxes = [[100 + 4 * i, 100, 140 + 4 * i, 200], [115 + 4 * i, 96, 155 + 4 * i, 194]]
        ids |= set(tracker.step(frame_at(i), Detections(boxes, [0.9, 0.8], [0, 0])).ids.tolist())
    assert ids == {1, 2}


def test_backfill_keeps_first_detections_and_drops_what_was_never_confirmed():
    ghost = [[400, 100, 440, 200]]
    steps = []
    tracker = make_tracker("vodkit")
    for i in range(30):
        boxes = [[100 + i, 100, 140 + i, 200]] + (ghost if i == 10 else [])
        found = Detections(boxes, [0.9] * len(boxes), [0] * len(boxes))
        frame = frame_at(i, rate=30)
        steps.append((frame, found, tracker.step(frame, found)))
    assert steps[0][2].tentative.tolist() == [True]
    filled = list(backfill(steps))
    assert [f.index for f, _, _ in filled] == list(range(30))
    for _, _, tracks in filled:
        assert tracks.ids.tolist() == [1]
        assert not tracks.tentative.any()


def test_backfill_holds_only_what_is_undecided():
    def watched():
        tracker = make_tracker("vodkit")
        for i in range(60):
            given.append(i)
            frame = frame_at(i, rate=30)
            found = Detections([[100, 100, 140, 200]], [0.9], [0])
            yield frame, found, tracker.step(frame, found)

    given: list[int] = []
    late = [len(given) - 1 - frame.index for frame, _, _ in backfill(watched())]
    assert max(late) <= VodkitSettings().life.confirm_s * 30 + 1
    assert late[-1] == 0


def test_settings_speak_their_own_names():
    with pytest.raises(SettingsError, match=r"low is 0\.9; allowed: up to high"):
        make_tracker("bytetrack", ["low=0.9"])
    with pytest.raises(SettingsError, match=r"life\.coast_s is 9"):
        Life(coast_s=9)
    with pytest.raises(SettingsError, match=r"motion\.acceleration"):
        make_tracker("sort", ["motion.acceleration=0"])


def test_embeddings_of_wrong_shape_are_refused():
    with pytest.raises(InputError, match=r"allowed: \(2, D\)"):
        unit_rows(np.zeros((3, 4)), 2)
    with pytest.raises(InputError, match="embedding 1 is not finite"):
        unit_rows(np.array([[1.0], [np.nan]]), 2)


def textured(rng, shape=(360, 640)):
    import cv2

    rough = rng.integers(0, 255, (shape[0] // 8, shape[1] // 8, 3), dtype=np.uint8)
    return cv2.resize(rough, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def test_camera_motion_is_found_though_objects_move():
    rng = np.random.default_rng(2)
    world = textured(rng, (480, 800))
    thing = textured(rng, (120, 160))
    camera = CameraMotion()
    for i, (dx, dy) in enumerate([(40, 40), (49, 34)]):
        image = world[dy : dy + 360, dx : dx + 640].copy()
        image[100:220, 100 + 60 * i : 260 + 60 * i] = thing
        found = camera.step(Frame(i, i / 10, image), np.empty((0, 4)))
    np.testing.assert_allclose(found[:, 2], [-9, 6], atol=0.7)
    np.testing.assert_allclose(found[:, :2], np.eye(2), atol=0.01)


@pytest.mark.parametrize(
    ("turn_deg", "zoom", "shift_px"),
    [(0, 1, (1, 0)), (0, 1, (0, -40)), (0, 1, (40, -20)), (0, 1.01, (0, 0)), (0.5, 1, (0, 0))],
)
def test_no_move_of_the_camera_is_taken_for_rest(turn_deg, zoom, shift_px):
    """Small and large, round the middle and along."""
    import cv2

    world = textured(np.random.default_rng(5))
    way = cv2.getRotationMatrix2D((320, 180), turn_deg, zoom)
    way[:, 2] += shift_px
    camera = CameraMotion()
    camera.step(Frame(0, 0.0, world), np.empty((0, 4)))
    moved = cv2.warpAffine(world, way, (640, 360), flags=cv2.INTER_CUBIC)
    found = camera.step(Frame(1, 0.1, moved), np.empty((0, 4)))
    np.testing.assert_allclose(found[:, :2], way[:, :2], atol=0.01)
    np.testing.assert_allclose(found @ [320, 180, 1], way @ [320, 180, 1], atol=1)


def test_who_passes_before_a_resting_camera_does_not_move_it():
    rng = np.random.default_rng(6)
    world, thing = textured(rng), textured(rng, (360, 200))
    camera = CameraMotion()
    for i in range(5):
        image = world.copy()
        image[:, 60 * i : 60 * i + 200] = thing
        noisy = np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)
        assert camera.step(Frame(i, i / 10, noisy), np.empty((0, 4))) is None


def test_a_camera_at_rest_and_frames_without_pixels_say_nothing():
    image = textured(np.random.default_rng(3))
    camera = CameraMotion()
    assert camera.step(Frame(0, 0.0, image), np.empty((0, 4))) is None
    assert camera.step(Frame(1, 0.1, image), np.empty((0, 4))) is None
    assert camera.step(frame_at(2), np.empty((0, 4))) is None


def test_tracks_ride_along_with_the_camera():
    rng = np.random.default_rng(4)
    world = textured(rng, (480, 1400))
    for words, expected in ((["camera_motion=true"], 1), (["camera_motion=false"], 3)):
        tracker = make_tracker("vodkit", words)
        ids = set()
        for i in range(8):
            dx = 60 * i  # far more than the object is wide
            image = world[:360, dx : dx + 640]
            x = 560.0 - dx
            found = Detections([[x, 100, x + 20, 150]], [0.9], [0])
            ids |= set(tracker.step(Frame(i, i / 10, image), found).ids.tolist())
        assert (len(ids) == 1) == (expected == 1)


def test_colours_tell_red_from_blue_and_not_red_from_red():
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, :60] = (200, 20, 20)
    image[:, 60:120] = (20, 20, 200)
    image[:, 120:] = (180, 25, 15)
    boxes = Detections([[0, 0, 60, 99], [60, 0, 120, 99], [120, 0, 199, 99]], [1] * 3, [0] * 3)
    looks = colour_embeddings(Frame(0, 0.0, image), boxes)
    same = looks @ looks.T
    np.testing.assert_allclose(np.diag(same), 1, atol=1e-9)
    assert same[0, 2] > 0.9
    assert same[0, 1] < 0.1
    assert not colour_embeddings(frame_at(0), boxes).any()


def test_results_are_records():
    assert isinstance(make_tracker().step(frame_at(0), Detections.empty()), Tracks)


def test_a_direction_says_the_less_the_shorter_the_way_is_beside_the_noise():
    book = Book()
    for step, away in enumerate((0.0, 10.0)):
        box = np.array([[away, 0.0, away + 20, 20.0]])
        seen = arrange(Detections(box, [0.9], [0]), None, min_score=0.1)
        book.advance(frame_at(step), MOTION)
        if step:
            book.observe(Pairs(np.array([0]), np.array([0])), seen, MOTION)
        else:
            book.open(np.array([0]), seen, MOTION)
    ways = np.array([0.01, 0.5, 2.0, 20.0, 200.0])
    boxes = np.array([[10.0 + way, 0.0, 30.0 + way, 20.0] for way in ways])
    found = arrange(Detections(boxes, np.full(5, 0.9), np.zeros(5)), None, min_score=0.1)
    pairs = Pairs(np.zeros(5, int), np.arange(5))
    said = straight_on(book, found, pairs, span_s=0.1, noise=0.1)
    by_way = said[np.argsort(found.boxes_xyxy[:, 0])]
    assert (np.diff(by_way) > 0).all()
    assert by_way[0] < 0.001
    assert by_way[-1] == pytest.approx(0.5, abs=0.05)
    assert straight_on(book, found, pairs, span_s=0.1) == pytest.approx(np.full(5, 0.5), abs=1e-6)
