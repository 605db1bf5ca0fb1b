"""What looks say is learnt from the video itself; and who was lost is found again."""

import numpy as np
import pytest

from vodkit.ground.records import Detections, Frame, State
from vodkit.track.appearance import NUM_COLOURS, colour_embeddings
from vodkit.track.appearance_model import ENOUGH, MOST, Evidence
from vodkit.track.assign import Pairs
from vodkit.track.base import arrange
from vodkit.track.kalman import Motion
from vodkit.track.table import make_tracker
from vodkit.track.track_table import Book

RATE = 10.0


def frame_at(index):
    return Frame.unseen(index, index / RATE, width_px=1280, height_px=720)


def looks_of(rng, people, *, own, shared):
    """Embeddings (N, D) with a part that all share, one of the person, and one of the moment."""
    dims = np.zeros((len(people), 24))
    dims[:, 0] = shared
    dims[np.arange(len(people)), 1 + np.array(people)] = own
    return dims + rng.normal(0, 0.1, dims.shape)


def taught(*, own, shared=1.0, steps=20):
    """Evidence that saw two people who keep apart, and the book of their tracks."""
    rng, book, evidence = np.random.default_rng(0), Book(), Evidence()
    boxes = np.array([[100.0, 100, 140, 200], [500, 100, 540, 200]])
    for i in range(steps):
        looks = looks_of(rng, [0, 1], own=own, shared=shared)
        found = arrange(Detections(boxes, [0.9, 0.8], [0, 0]), looks, min_score=0.1)
        book.advance(frame_at(i), Motion())
        if i == 0:
            book.open(np.arange(2), found, Motion())
            continue
        told = Pairs(np.arange(2), np.arange(2))
        evidence.learn(book, found, told)
        book.observe(told, found, Motion())
    return book, found, evidence


ALL = Pairs(np.array([0, 1, 0, 1]), np.array([0, 1, 1, 0]))


@pytest.mark.parametrize("shared", [0.0, 1.0, 3.0])
def test_what_a_cosine_says_does_not_depend_on_what_all_have_in_common(shared):
    book, found, evidence = taught(own=1.0, shared=shared)
    says = evidence.of(book, found, ALL)
    assert (says[:2] > 1).all()
    assert (says[2:] < -1).all()
    assert np.abs(says).max() <= MOST


def test_embeddings_that_tell_nothing_apart_say_nothing():
    book, found, evidence = taught(own=0.0)
    assert np.abs(evidence.of(book, found, ALL)).max() < 1


def test_nothing_is_said_before_enough_was_seen_or_of_what_has_no_looks():
    book, found, evidence = taught(own=1.0, steps=ENOUGH // 2)
    assert evidence.of(book, found, ALL).tolist() == [0, 0, 0, 0]
    book, found, evidence = taught(own=1.0)
    found.looks[0] = 0
    says = evidence.of(book, found, ALL)
    assert says[[0, 3]].tolist() == [0, 0]
    assert says[1] > 1
    without = found._replace(looks=np.zeros((2, 0)))
    assert evidence.of(book, without, ALL).tolist() == [0, 0, 0, 0]


def test_state_is_whole():
    book, found, evidence = taught(own=1.0)
    other = Evidence()
    other.load_state(evidence.state_dict())
    np.testing.assert_array_equal(other.of(book, found, ALL), evidence.of(book, found, ALL))


def as_embeddings(own):
    """A frame without pixels, and what the people in it look like."""
    rng = np.random.default_rng(1)
    return lambda i, boxes, people: (frame_at(i), looks_of(rng, people, own=own, shared=2.0))


def as_pixels(i, boxes, people):
    """A frame that shows the people in red and in blue, and no embeddings."""
    image = np.full((480, 800, 3), 90, np.uint8)
    for (x1, y1, x2, y2), person in zip(boxes.astype(int), people, strict=True):
        image[y1:y2, max(x1, 0) : x2] = ((200, 30, 30), (30, 30, 200))[person]
    return Frame(i, i / 10, image), None


def swap(words, look):
    """Two people meet, stand in one place for a while, and each goes on as the other came.

    By place and direction alone they exchange their ids. Gives ids by person before and after.
    """
    tracker, ids = make_tracker("vodkit", words), []
    for i in range(60):
        away = 6.0 * max(26 - i, i - 34, 0)
        left, right = 400 - away, 400 + away  # who came from the left goes back to the left
        boxes = np.array([[left, 300, left + 40, 400], [right, 300, right + 40, 400]])
        people = [0, 1]
        if away < 20:  # one box is all that the detector gives
            boxes, people = boxes[:1], people[:1]
        found = Detections(boxes, [0.9] * len(boxes), [0] * len(boxes))
        frame, embeddings = look(i, boxes, people)
        tracks = tracker.step(frame, found, embeddings=embeddings)
        seen = tracks[tracks.hidden_s == 0]
        order = np.argsort(seen.boxes_xyxy[:, 0])
        ids.append(seen.ids[order].tolist())
    return ids[10], ids[-1]


def test_looks_keep_two_apart_who_turn_back_where_they_met():
    before, after = swap([], as_embeddings(1.0))
    assert after == before
    before, after = swap(["looks=0", "surprise=0"], as_embeddings(1.0))
    assert after != before


def test_colours_are_looked_at_where_no_embeddings_are_given():
    before, after = swap([], as_pixels)
    assert after == before
    before, after = swap(["colours=false"], as_pixels)
    assert after != before


def test_colours_of_pixels_are_what_colour_embeddings_give():
    own, given = make_tracker("vodkit"), make_tracker("vodkit", ["colours=false"])
    for i in range(20):
        boxes = np.array([[100.0 + i, 100, 140 + i, 200], [300.0 - i, 100, 340 - i, 200]])
        frame, _ = as_pixels(i, boxes, [0, 1])
        found = Detections(boxes, [0.9, 0.8], [0, 0])
        own.step(frame, found)
        given.step(frame, found, embeddings=colour_embeddings(frame, found))
    mine, theirs = own.state_dict(), given.state_dict()
    assert mine["looks"].shape == (2, NUM_COLOURS)
    for name, column in mine.items():
        np.testing.assert_array_equal(column, theirs[name], err_msg=name)


def test_embeddings_of_another_kind_are_not_compared_with_those_before():
    rng, tracker = np.random.default_rng(0), make_tracker("vodkit")
    boxes = np.array([[100.0, 100, 140, 200], [300.0, 100, 340, 200]])
    found = Detections(boxes, [0.9, 0.8], [0, 0])
    for i in range(60):
        frame, _ = as_pixels(i, boxes, [0, 1])
        given = looks_of(rng, [0, 1], own=1.0, shared=2.0) if i >= 20 and i % 5 == 0 else None
        assert tracker.step(frame, found, embeddings=given).ids.tolist() == [1, 2]
        # Once somebody gave embeddings, colours do not come between them.
        assert tracker.state_dict()["looks"].shape == (2, NUM_COLOURS if i < 20 else 24)
        if i in {19, 20}:
            known = tracker.state_dict()["looks_sums"][0, 0]
            assert known > 30 if i == 19 else known <= 2


@pytest.mark.parametrize("stranger", [False, True])
def test_only_who_looks_more_like_it_than_others_do_comes_back_from_away(stranger):
    """All are alike by a cosine of 0.8, above ``min_likeness``; what others look like tells."""
    rng, tracker = np.random.default_rng(0), make_tracker("vodkit", ["life.away_s=10"])
    for i in range(60):
        x = 1180.0 + 12 * i if i < 20 else 1240.0 - 12 * (i - 50)
        boxes, people = [[100, 300, 140, 400], [300, 300, 340, 400]], [0, 1]
        if i < 9 or i > 50:
            boxes.append([x, 300, x + 40, 400])
            people.append(3 if stranger and i > 50 else 2)
        found = Detections(np.array(boxes), [0.9] * len(boxes), [0] * len(boxes))
        looks = looks_of(rng, people, own=1.0, shared=2.0)
        tracks = tracker.step(frame_at(i), found, embeddings=looks)
    seen = tracks[tracks.states == State.OBSERVED]
    assert seen.ids.tolist() == ([1, 2, 4] if stranger else [1, 2, 3])


def lost_and_found(words, *, slower):
    """A person who walks 60 px/s is not seen for 2 s, and then was ``slower``; old and new id."""
    tracker = make_tracker("vodkit", words)
    for i in range(70):
        x = 100.0 + 6 * min(i, 30) + (6 - slower) * max(min(i, 50) - 30, 0) + 6 * max(i - 50, 0)
        seen = not 30 < i < 50
        boxes = [[x, 300, x + 40, 400]] if seen else np.empty((0, 4))
        found = Detections(boxes, [0.9] * seen, [0] * seen)
        ids = tracker.step(frame_at(i), found).ids.tolist()
        if i == 30:
            old = ids
    return old, ids


def test_who_was_lost_is_found_farther_away_than_boxes_reach():
    old, new = lost_and_found([], slower=4)
    assert new == old
    old, new = lost_and_found(["surprise=0"], slower=4)
    assert new != old


def test_a_stranger_far_away_is_not_who_was_lost():
    old, new = lost_and_found([], slower=-12)
    assert new != old
