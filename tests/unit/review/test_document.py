"""Laws of the document: what curves show, that actions are reversible, that replay is faithful."""

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from vodkit.formats.table import read_dataset
from vodkit.ground.errors import InputError
from vodkit.ground.records import TrackTable
from vodkit.review.curve import Base, Known, Track, evaluate, from_json, to_json
from vodkit.review.document import ACTIONS, Document, Timing, changes
from vodkit.review.exchange import label_tracks, model_tracks, to_table
from vodkit.review.journal import ConflictError, Journal
from vodkit.samples import samples

T = 60
# A clock with uneven steps: what is linear in frames is not linear in time.
TIMES = np.cumsum(np.tile([0.02, 0.06, 0.04], T // 3))
FRAMES = np.arange(T)
REACH_S = 1.0
BOX = [10.0, 20.0, 50.0, 90.0]


def moving(first: int, last: int, shift: float = 0.0) -> Track:
    """A model's track that moves at constant speed."""
    frames = np.array([first, last])
    left = TIMES[frames] * 30 + shift
    boxes = np.stack([left, left, left + 40, left + 60], axis=1)
    return Track(0, Base(frames, boxes, np.ones(2), np.zeros(2, np.int64), np.full(2, np.nan)))


def document(*tracks: Track) -> Document:
    parts = {("track", 0, number): track for number, track in enumerate(tracks, 1)}
    return Document.new(("a", "b"), (Timing(TIMES, REACH_S),)).with_changes(parts)


def shown(state: Document, number: int) -> dict[int, np.ndarray]:
    found = evaluate(state.tracks(0)[number], FRAMES, TIMES, reach_s=REACH_S)
    return dict(zip(found.frames.tolist(), found.boxes_xyxy, strict=True))


def test_a_key_is_shown_exactly_and_fades_within_the_reach() -> None:
    state = document(moving(0, 59))
    before = shown(state, 1)
    after = shown(
        state.with_changes(
            changes(state, {"do": "bend", "video": 0, "track": 1, "frame": 30, "box": BOX})
        ),
        1,
    )
    assert after[30].tolist() == BOX
    moved = [f for f in before if not np.array_equal(before[f], after[f])]
    assert min(moved) < 29
    assert max(moved) > 31
    assert all(abs(TIMES[f] - TIMES[30]) < REACH_S for f in moved)


def bent(state: Document, frame: int, box: Any, **values: Any) -> Document:
    action = {"do": "bend", "video": 0, "track": 1, "frame": frame, "box": box, **values}
    return state.with_changes(changes(state, action))


@pytest.mark.parametrize("first", [0, 12])
def test_a_wide_correction_holds_for_the_track_but_not_beyond_keys_and_accepted_frames(
    first: int,
) -> None:
    state = document(moving(first, 59))
    before = shown(state, 1)
    larger = (before[30] + [-4, -4, 4, 4]).tolist()
    after = shown(bent(state, 30, larger, spread="all"), 1)
    assert after[30].tolist() == larger
    for frame, box in after.items():  # the same share of the size everywhere
        assert box[2:] - box[:2] == pytest.approx([48, 68], abs=0.2)
        assert (box[2:] + box[:2]) / 2 == pytest.approx(
            (before[frame][2:] + before[frame][:2]) / 2, abs=0.2
        )
    held = bent(state, 20, before[20].tolist())
    held = held.with_changes({("accepted", 0): ((40, 44),)})
    after = shown(bent(held, 30, larger, spread="all"), 1)
    for frame in {*range(first, 21), *range(40, 60)}:
        assert after[frame] == pytest.approx(before[frame], abs=0.1)
    assert after[29][0] < before[29][0] - 2
    with pytest.raises(InputError, match="spread"):
        bent(state, 30, larger, spread="far")


def test_a_near_correction_ends_after_a_third_of_a_second() -> None:
    state = document(moving(0, 59))
    before, after = shown(state, 1), shown(bent(state, 30, BOX, spread="near"), 1)
    assert after[30].tolist() == BOX
    far = [f for f in before if abs(TIMES[f] - TIMES[30]) > 0.3]
    assert all(after[f] == pytest.approx(before[f], abs=0.1) for f in far)
    assert abs(after[31] - before[31]).max() > 5


def test_a_given_piece_continues_the_other_track_and_where_both_are_the_other_stays() -> None:
    state = document(moving(0, 59), moving(0, 32, shift=100))
    give = {"do": "give", "video": 0, "track": 1, "other": 2, "frame": 30}
    before, after = state, state.with_changes(changes(state, give))
    assert list(shown(after, 1)) == [*range(30)]
    kept, given_ = shown(before, 2), shown(before, 1)
    for frame, box in shown(after, 2).items():
        assert box == pytest.approx((kept if frame <= 32 else given_)[frame])


def test_over_a_long_gap_a_joined_track_has_no_box() -> None:
    times = np.arange(T) / 5
    tracks = [Track(0, keys=((f, (0.0, 0, 9, 9)), (f + 3, (0.0, 0, 9, 9)))) for f in (0, 10, 50)]
    parts = {("track", 0, number): track for number, track in enumerate(tracks, 1)}
    state = Document.new(("a",), (Timing(times),)).with_changes(parts)
    for other in (2, 3):
        join = {"do": "join", "video": 0, "track": 1, "other": other}
        state = state.with_changes(changes(state, join))
    found = evaluate(state.tracks(0)[1], FRAMES, times)
    assert found.frames.tolist() == [*range(14), *range(50, 54)]
    assert found.visibility[4:10].tolist() == [0] * 6


def test_ends_at_the_edge_are_cut_but_not_those_of_who_stays_or_of_accepted_frames() -> None:
    passes, stays = moving(0, 59, shift=-10), moving(0, 59, shift=-100)
    state = document(passes, stays, moving(0, 59, shift=50))
    trim = {"do": "trim", "video": 0, "tracks": [1, 2, 3], "within": [0, 0, 500, 500]}
    assert {part[2] for part in changes(state, trim)} == {1}
    after = shown(state.with_changes(changes(state, trim)), 1)
    assert list(after) == [f for f, box in shown(state, 1).items() if box[0] >= 0]
    held = state.with_changes({("accepted", 0): ((0, 3),)})
    with pytest.raises(InputError, match="no track has an end"):
        changes(held, trim)


def test_a_models_shreds_are_left_out_and_sparse_rows_are_not() -> None:
    def rows(frames: list[int]) -> TrackTable:
        count = len(frames)
        return TrackTable(frames=np.array(frames), times_s=TIMES[frames], ids=np.ones(count),
                          boxes_xyxy=np.tile(BOX, (count, 1)), labels=np.zeros(count))  # fmt: skip

    (track,) = model_tracks(rows([3, *range(20, 40), 50]), TIMES)
    assert track.extent == (20, 39)
    assert model_tracks(rows([3, 10, 50]), TIMES) == []
    (track,) = model_tracks(rows([*range(0, 60, 5)]), TIMES)
    assert track.extent == (0, 55)


def test_between_two_near_keys_a_constant_correction_is_constant() -> None:
    state = document(moving(0, 59))
    before = shown(state, 1)
    for frame in (20, 32):
        box = (before[frame] + [3, 5, 3, 5]).tolist()
        bend = {"do": "bend", "video": 0, "track": 1, "frame": frame, "box": box}
        state = state.with_changes(changes(state, bend))
    after = shown(state, 1)
    for frame in range(20, 33):
        assert after[frame] == pytest.approx(before[frame] + [3, 5, 3, 5])


def test_interpolation_is_linear_in_time_not_in_frames() -> None:
    keys = ((0, (0.0, 0, 10, 10)), (2, (30.0, 0, 40, 10)))
    found = evaluate(Track(0, keys=keys), FRAMES, TIMES)
    share = (TIMES[1] - TIMES[0]) / (TIMES[2] - TIMES[0])
    assert found.boxes_xyxy[1, 0] == pytest.approx(30 * share)
    assert share != pytest.approx(0.5)
    assert found.known.tolist() == [Known.PERSON, Known.INTERPOLATED, Known.PERSON]


ids = st.integers(1, 4)
frames = st.integers(0, T - 1)
sides = st.floats(0, 200)
boxes = st.tuples(sides, sides, st.floats(1.5, 80), st.floats(1.5, 80)).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)
ACTION = st.one_of(
    st.fixed_dictionaries(
        {"do": st.sampled_from(["bend", "draw"]), "track": ids, "frame": frames, "box": boxes,
         "label": st.integers(0, 1)}
    ),
    st.fixed_dictionaries(
        {"do": st.just("span"), "track": ids, "first": frames, "last": frames,
         "kind": st.sampled_from(["hidden", "outside", "visible"])}
    ),
    st.fixed_dictionaries(
        {"do": st.sampled_from(["split", "join", "swap", "unkey"]), "track": ids, "other": ids,
         "new": st.integers(5, 8), "frame": frames}
    ),
    st.fixed_dictionaries(
        {"do": st.just("joins"), "pairs": st.lists(st.lists(ids, min_size=2, max_size=2),
                                                   min_size=1, max_size=2)}
    ),
    st.fixed_dictionaries(
        {"do": st.sampled_from(["delete", "classify"]), "tracks": st.lists(ids, max_size=2),
         "label": st.integers(0, 1)}
    ),
    st.fixed_dictionaries(
        {"do": st.just("accept"), "first": frames, "last": frames, "accepted": st.booleans()}
    ),
    st.fixed_dictionaries({"do": st.just("add_class"), "name": st.sampled_from(["c", "d"])}),
    st.fixed_dictionaries(
        {"do": st.just("follow"), "track": ids, "value": st.just(to_json(moving(20, 55, 9.0)))}
    ),
    st.just({"do": "put", "tracks": {"9": to_json(moving(5, 50, 7.0))}}),
    st.fixed_dictionaries({"do": st.sampled_from(["undo", "redo"]), "n": st.integers(1, 12)}),
)  # fmt: skip


def begun() -> Journal:
    return Journal(document(moving(0, 40), moving(10, 59, 20.0)))


def commit(journal: Journal, action: dict[str, Any]) -> bool:
    try:
        journal.commit({"video": 0, **action}, id=str(journal.n))
    except InputError:
        return False
    return True


@given(st.lists(ACTION, min_size=1, max_size=12))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_undo_is_the_inverse_and_replay_is_the_document(given_actions: list[Any]) -> None:
    journal = begun()
    states = [journal.document.parts]
    states += [journal.document.parts for action in given_actions if commit(journal, action)]
    again = begun()
    for entry, state in zip(journal.entries, states[1:], strict=True):  # also every prefix
        again.commit(entry.action, id=str(entry.n))
        assert again.document.parts == state
    for number in range(journal.n, 0, -1):
        if journal.entries[number - 1].action["do"] in ("undo", "redo"):
            return  # its inverse is the other of the two, tried among the random actions
        assert commit(journal, {"do": "undo", "n": number})
        assert journal.document.parts == states[number - 1]
    for number in range(1, len(states)):
        assert commit(journal, {"do": "redo", "n": number})
        assert journal.document.parts == states[number]


@given(st.integers(1, 39), st.lists(st.tuples(frames, boxes), max_size=3))
@settings(max_examples=40, deadline=None)
def test_split_changes_no_box_and_join_brings_the_track_back(
    frame: int, keys: list[tuple[int, Any]]
) -> None:
    journal = begun()
    for at, box in keys:
        commit(journal, {"do": "bend", "track": 1, "frame": at, "box": box})
    whole = shown(journal.document, 1)
    assert commit(journal, {"do": "split", "track": 1, "frame": frame, "new": 5})
    parts = shown(journal.document, 1) | shown(journal.document, 5)
    assert max(shown(journal.document, 1)) < frame <= min(shown(journal.document, 5))
    assert commit(journal, {"do": "join", "track": 1, "other": 5})
    joined = shown(journal.document, 1)
    for found in (parts, joined):
        assert sorted(found) == sorted(whole)
        assert all(found[f] == pytest.approx(whole[f], abs=1e-4) for f in whole)


def test_swap_twice_is_nothing() -> None:
    journal = begun()
    before = [shown(journal.document, n) for n in (1, 2)]
    for _ in range(2):
        assert commit(journal, {"do": "swap", "track": 1, "other": 2, "frame": 20})
    for number, old in zip((1, 2), before, strict=True):
        new = shown(journal.document, number)
        assert sorted(new) == sorted(old)
        assert all(new[f] == pytest.approx(old[f], abs=1e-4) for f in old)


def test_a_gap_between_joined_tracks_is_hidden_not_observed() -> None:
    state = document(moving(0, 20), moving(30, 50))
    state = state.with_changes(changes(state, {"do": "join", "video": 0, "track": 1, "other": 2}))
    found = evaluate(state.tracks(0)[1], FRAMES, TIMES)
    gap = (found.frames > 20) & (found.frames < 30)
    assert gap.sum() == 9
    assert (found.visibility[gap] == 0).all()
    assert set(found.known[gap].tolist()) == {Known.FILLED}
    assert not (found.visibility[~gap] == 0).any()


def test_a_key_in_a_gap_closes_it_and_beyond_an_end_extends_the_track() -> None:
    journal = Journal(document(moving(0, 59)))
    assert commit(journal, {"do": "span", "track": 1, "first": 20, "last": 29, "kind": "outside"})
    assert commit(journal, {"do": "span", "track": 1, "first": 50, "last": 59, "kind": "outside"})
    assert sorted(shown(journal.document, 1)) == [*range(20), *range(30, 50)]
    assert commit(journal, {"do": "bend", "track": 1, "frame": 25, "box": BOX})
    assert commit(journal, {"do": "bend", "track": 1, "frame": 54, "box": BOX})
    assert sorted(shown(journal.document, 1)) == [*range(55)]
    # Also in the frame next to what is shown, at either end.
    assert commit(journal, {"do": "span", "track": 1, "first": 0, "last": 9, "kind": "outside"})
    assert commit(journal, {"do": "bend", "track": 1, "frame": 9, "box": BOX})
    assert commit(journal, {"do": "bend", "track": 1, "frame": 55, "box": BOX})
    assert sorted(shown(journal.document, 1)) == [*range(9, 56)]


@pytest.mark.parametrize(
    ("frame", "gap", "outside"),
    [
        (13, "keep", {*range(14, 47)}),
        (45, "keep", {*range(12, 45)}),
        (29, "keep", {*range(12, 29), *range(30, 47)}),  # both sides are 3.6 s away
        (13, "close", set()),
    ],
)
def test_a_key_in_a_long_gap_is_joined_to_near_sides_or_closes_it(
    frame: int, gap: str, outside: set[int]
) -> None:
    timing = Timing(np.arange(T) / 5, REACH_S)
    state = Document.new(("a",), (timing,)).with_changes({("track", 0, 1): moving(0, 59)})
    span = {"do": "span", "video": 0, "track": 1, "first": 12, "last": 46, "kind": "outside"}
    state = bent(state.with_changes(changes(state, span)), frame, BOX, gap=gap, spread="all")
    assert set(shown(state, 1)) == {*range(T)} - outside
    assert shown(state, 1)[frame].tolist() == BOX


def test_several_joins_are_the_joins_one_by_one() -> None:
    state = document(moving(0, 9), moving(14, 20), moving(25, 40), moving(44, 59))
    pairs, single = [[3, 4], [1, 2], [2, 3]], state
    for one, other in ((3, 4), (1, 2), (1, 3)):
        join = {"do": "join", "video": 0, "track": one, "other": other}
        single = single.with_changes(changes(single, join))
    joins = {"do": "joins", "video": 0, "pairs": pairs}
    assert state.with_changes(changes(state, joins)).parts == single.parts
    for wrong in ([], [[1]], [[1, 1]], [[1, 9]], [[1, "2"]], [[1, 2], [2, 1]], {}):
        with pytest.raises(InputError):
            changes(state, {**joins, "pairs": wrong})


@given(st.lists(st.tuples(frames, boxes), min_size=1, max_size=4), frames, frames)
@settings(max_examples=40, deadline=None)
def test_no_bend_moves_a_box_in_an_accepted_frame(
    keys: list[tuple[int, Any]], first: int, last: int
) -> None:
    journal = Journal(document(moving(0, 59)))
    for at, box in keys[1:]:
        commit(journal, {"do": "bend", "track": 1, "frame": at, "box": box})
    commit(journal, {"do": "accept", "first": min(first, last), "last": max(first, last)})
    before = shown(journal.document, 1)
    at, box = keys[0]
    assert commit(journal, {"do": "bend", "track": 1, "frame": at, "box": box})
    after = shown(journal.document, 1)
    assert after[at] == pytest.approx(box)
    for begin, end in journal.document.accepted(0):
        for frame in range(begin, end + 1):
            assert frame == at or after[frame] == pytest.approx(before[frame], abs=1e-4)
    outside = not min(first, last) <= at <= max(first, last)
    assert not outside or journal.document.accepted(0) == ((min(first, last), max(first, last)),)


def test_a_followed_track_goes_on_from_the_drawn_box() -> None:
    journal = Journal(document(moving(0, 10)))
    draw = {"do": "draw", "track": 5, "label": 1, "frame": 20, "box": BOX}
    assert commit(journal, draw)
    assert commit(journal, {"do": "follow", "track": 5, "value": to_json(moving(20, 50, 9.0))})
    found = shown(journal.document, 5)
    assert sorted(found) == [*range(20, 51)]
    assert found[20].tolist() == BOX
    assert found[50] == pytest.approx(shown(document(moving(20, 50, 9.0)), 1)[50], abs=1e-4)
    assert journal.document.tracks(0)[5].label == 1
    assert commit(journal, {"do": "follow", "track": 1, "value": to_json(moving(5, 30))})
    assert sorted(shown(journal.document, 1)) == [*range(31)]
    assert not commit(journal, {"do": "follow", "track": 1, "value": to_json(moving(5, 30))})


def test_new_predictions_replace_only_what_no_person_changed_and_accepted() -> None:
    journal = Journal(document(moving(0, 59), moving(0, 59, 50.0)))
    commit(journal, {"do": "bend", "track": 2, "frame": 3, "box": BOX})
    commit(journal, {"do": "accept", "first": 10, "last": 19})
    kept, own = shown(journal.document, 1), shown(journal.document, 2)
    new = {"1": to_json(moving(0, 59, 100.0)), "7": to_json(moving(12, 40, 150.0))}
    assert commit(journal, {"do": "put", "tracks": new})
    assert all((shown(journal.document, 2)[f] == own[f]).all() for f in own)
    one = shown(journal.document, 1)
    for frame in FRAMES.tolist():
        expected = kept[frame] if 10 <= frame <= 19 else kept[frame] + 100
        assert one[frame] == pytest.approx(expected, abs=1e-4)
    assert sorted(shown(journal.document, 7)) == [*range(20, 41)]
    assert not commit(journal, {"do": "put", "tracks": {"2": new["7"]}})


def test_an_edit_that_did_not_see_the_newest_version_is_a_conflict() -> None:
    journal = begun()
    seen = dict(journal.versions)
    commit(journal, {"do": "bend", "track": 1, "frame": 3, "box": BOX})
    late = {"do": "bend", "video": 0, "track": 1, "frame": 5, "box": BOX}
    with pytest.raises(ConflictError):
        journal.commit(late, id="late", known=seen)
    other = {**late, "track": 2}
    journal.commit(other, id="other", known=seen)
    journal.commit(late, id="late", known=dict(journal.versions))
    with pytest.raises(ConflictError, match="changed since"):
        journal.commit({"do": "undo", "n": 1}, id="undo")


@pytest.mark.parametrize(
    "action",
    [
        {"do": "paint"},
        {"do": 3},
        {"do": "bend", "video": 1, "track": 1, "frame": 0, "box": BOX},
        {"do": "bend", "video": 0, "track": 77, "frame": 0, "box": BOX},
        {"do": "bend", "video": 0, "track": 1, "frame": T, "box": BOX},
        {"do": "bend", "video": 0, "track": 1, "frame": True, "box": BOX},
        {"do": "bend", "video": 0, "track": 1, "frame": 0, "box": [0, 0, float("nan"), 5]},
        {"do": "bend", "video": 0, "track": 1, "frame": 0, "box": [5, 0, 0, 5]},
        {"do": "draw", "video": 0, "track": 1, "label": 0, "frame": 0, "box": BOX},
        {"do": "draw", "video": 0, "track": 9, "label": 2, "frame": 0, "box": BOX},
        {"do": "span", "video": 0, "track": 1, "first": 5, "last": 4, "kind": "hidden"},
        {"do": "span", "video": 0, "track": 1, "first": 0, "last": 59, "kind": "outside"},
        {"do": "join", "video": 0, "track": 1, "other": 1},
        {"do": "split", "video": 0, "track": 1, "frame": 0, "new": 9},
        {"do": "delete", "video": 0, "tracks": []},
        {"do": "add_class", "name": " "},
        {"do": "add_class", "name": "a"},
        {"do": "put", "video": 0, "tracks": {"x": {}}},
        {"do": "put", "video": 0, "tracks": {"5": {"label": 0}}},
    ],
)
def test_what_is_not_allowed_is_refused_and_changes_nothing(action: dict[str, Any]) -> None:
    journal = begun()
    before = journal.document
    with pytest.raises(InputError):
        journal.commit(action, id="x")
    assert journal.document is before
    assert journal.n == 0


def test_every_action_was_tried() -> None:
    names = {"bend", "draw", "span", "split", "join", "swap", "unkey", "delete", "classify"}
    assert set(ACTIONS) == names | {
        "accept", "add_class", "put", "follow", "give", "trim", "joins",
    }  # fmt: skip


def test_imported_labels_come_back_as_they_were() -> None:
    (video,) = (v for v in read_dataset(samples.LABELS).videos if v.split == "test")
    assert video.tracks is not None
    times = np.arange(video.info.num_frames or 0) / 10
    tracks, without_id = label_tracks(video.tracks, times)
    state = Document.new(("person",), (Timing(times),)).with_changes(
        {("track", 0, n): from_json(to_json(t), len(times)) for n, t in tracks.items()}
    )
    back = to_table(state, 0)
    assert without_id == 0
    assert np.array_equal(back.frames, video.tracks.frames)
    assert np.array_equal(back.ids, video.tracks.ids)
    assert np.abs(back.boxes_xyxy - video.tracks.boxes_xyxy).max() < 1e-5
    assert np.allclose(back.visibility, video.tracks.visibility, equal_nan=True)
    assert np.array_equal(back.states, video.tracks.states)


def test_a_smoothed_curve_keeps_constant_speed_up_to_its_ends() -> None:
    (track,) = model_tracks(to_table(document(moving(3, 50)), 0), TIMES)
    found = evaluate(track, FRAMES, TIMES)
    truth = evaluate(moving(3, 50), FRAMES, TIMES)
    assert np.abs(found.boxes_xyxy - truth.boxes_xyxy).max() < 0.5
    assert len(track.base) < 5
