"""Predictions: what was written comes back, a killed writer goes on, faults are named."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vodkit.formats.predictions import (
    FinalRows,
    Header,
    PredictedFrame,
    PredictionWriter,
    final_frames,
    last_complete_frame,
    read_frames,
    read_header,
    read_predictions,
    write_table,
)
from vodkit.ground.errors import FormatError, InputError, OutputError
from vodkit.ground.records import Detections, Tracks, VideoInfo

INFO = VideoInfo(path="a.mp4", width_px=64, height_px=48, rate=Fraction(30000, 1001))
HEADER = Header(source="a.mp4", classes=("fly", "bee"), info=INFO, detector="d", tracker="t")


def tracks(frame: int) -> Tracks:
    rng = np.random.default_rng(frame)
    corners = rng.uniform(0, 30, (3, 2)).astype(np.float32)
    size = rng.uniform(1, 9, (3, 2)).astype(np.float32)
    return Tracks(
        np.hstack([corners, corners + size]),
        rng.uniform(size=3),
        [0, 1, 0],
        [1, 2, 7],
        [0, 1, 2],
        hidden_s=[0, 0.4, 0],
        hidden_behind=[0, 3, 0],
        sigma_px=[0, 3.3, 0],
        tentative=[False, False, True],
    )


def write_frames(path: Path, frames: range, *, resume: bool = False) -> None:
    with PredictionWriter(path, HEADER, resume=resume) as writer:
        for frame in frames:
            writer.write(frame, frame * 1001 / 30000, tracks(frame))


def test_frames_come_back_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    write_frames(path, range(5))
    assert read_header(path) == HEADER
    assert [frame.found for frame in read_frames(path)] == [tracks(frame) for frame in range(5)]
    final = read_predictions(path)
    assert (len(final.table), final.num_unconfirmed) == (10, 5)
    assert len(read_predictions(path, include_predicted=False).table) == 5


def test_detections_have_no_ids(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    found = Detections([[1, 2, 3, 4.1]], [0.9], [1])
    with PredictionWriter(path, HEADER) as writer:
        writer.write(0, 0.0, found)
        writer.write(4, 0.4, Detections.empty())
    assert [frame.found for frame in read_frames(path)] == [found, Detections.empty()]
    assert '"id"' not in path.read_text()


@pytest.mark.parametrize("cut", [1, 7, 60, 250, 400])
def test_a_killed_writer_goes_on_and_ends_equal(tmp_path: Path, cut: int) -> None:
    whole, torn = tmp_path / "whole.jsonl", tmp_path / "torn.jsonl"
    write_frames(whole, range(6))
    write_frames(torn, range(3))
    torn.write_bytes(torn.read_bytes()[:-cut])
    last = last_complete_frame(torn)
    write_frames(torn, range(0 if last is None else last + 1, 6), resume=True)
    assert torn.read_bytes() == whole.read_bytes()


def test_torn_at_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    write_frames(path, range(2))
    content = path.read_bytes()
    for size in [*range(0, len(content), 7), *range(len(content) - 9, len(content))]:
        path.write_bytes(content[:size])
        last = last_complete_frame(path)
        kept = path.read_bytes()
        assert content.startswith(kept)
        assert kept == b"" or kept.endswith(b"\n")
        assert last == (None if kept.count(b"\n") < 2 else kept.count(b"\n") - 2)


def test_going_on_in_the_file_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    write_frames(path, range(2))
    other = Header(source="a.mp4", classes=("fly",), info=INFO, detector="d", tracker="t")
    with pytest.raises(OutputError, match="classes is"):
        PredictionWriter(path, other, resume=True)


def test_an_end_that_a_kill_tore_off_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    write_frames(path, range(2))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(FormatError, match=r":3: not JSON.*the end is missing, --resume"):
        read_predictions(path)


def test_frames_must_come_in_order(tmp_path: Path) -> None:
    with PredictionWriter(tmp_path / "p.jsonl", HEADER) as writer:
        writer.write(3, 0.1, tracks(3))
        with pytest.raises(InputError, match="frame 3 after frame 3"):
            writer.write(3, 0.1, tracks(3))


def test_a_table_can_be_written_at_once(tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    write_frames(one, range(4))
    given = read_predictions(one)
    write_table(two, given.header, given.table, range(6))
    assert read_predictions(two).table == given.table
    assert [frame.index for frame in read_frames(two)] == list(range(6))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"frame":1', '"frame":0', ":3: frame 0 after frame 0"),
        ('"label":1', '"label":2', ":2: label 2; there are 2 classes"),
        ('"state":"filled"', '"state":"guessed"', ":2: state 'guessed'"),
        ('"id":2', '"id":1', ":2: not a frame"),
        ('"score":', '"scroe":', ":2: not a frame"),
        ('{"frame":0', '{"frame":0,', ":2: not JSON"),
        ('"vodkit":"predictions",', "", ":1: not a predictions file"),
    ],
)
def test_a_fault_is_named_with_its_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = tmp_path / "p.jsonl"
    write_frames(path, range(2))
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(FormatError, match=says):
        read_predictions(path)


@st.composite
def lives(draw: st.DrawFn) -> list[PredictedFrame]:
    """Frames of tracks with gaps, of which some are confirmed at some time, and some never."""
    num_frames = draw(st.integers(1, 40))
    rows: dict[int, list[tuple[int, bool]]] = {frame: [] for frame in range(num_frames)}
    for track in range(draw(st.integers(0, 6))):
        begin = draw(st.integers(0, num_frames - 1))
        confirmed_at = draw(st.integers(begin, num_frames + 20))
        for frame in range(begin, draw(st.integers(begin, num_frames))):
            if draw(st.booleans()):
                rows[frame].append((track + 1, frame < confirmed_at))
    step_s = draw(st.sampled_from([0.04, 2.0]))
    return [
        PredictedFrame(
            frame,
            frame * step_s,
            Tracks(
                np.tile([0, 0, 9, 9], (len(there), 1)),
                np.ones(len(there)),
                np.zeros(len(there), int),
                np.array([track for track, _ in there], int),
                np.zeros(len(there), np.uint8),
                tentative=np.array([open_ for _, open_ in there], bool),
            ),
        )
        for frame, there in rows.items()
    ]


@settings(max_examples=60, deadline=None)
@given(lives())
def test_final_rows_are_those_of_tracks_confirmed_at_any_time(frames: list[PredictedFrame]) -> None:
    """Decided frame by frame as if the whole file had been read first."""
    confirmed = {i for f in frames for i in f.found.ids[~f.found.tentative].tolist()}
    final = list(final_frames(frames))
    assert [one.index for one in final] == [one.index for one in frames]
    for before, after in zip(frames, final, strict=True):
        kept = [i for i in before.found.ids.tolist() if i in confirmed]
        assert after.found.ids.tolist() == kept
        assert after.num_unconfirmed == len(before.found) - len(kept)
        assert not after.found.tentative.any()


def test_frames_wait_for_undecided_tracks_only_and_not_for_ever() -> None:
    def one(frame: int, *, tentative: bool) -> PredictedFrame:
        box = Tracks([[0, 0, 9, 9]], [1], [0], [frame], [0], tentative=[tentative])  # type: ignore[arg-type]
        return PredictedFrame(frame, frame / 2, box)

    rows = FinalRows()
    assert [f.index for f in rows.add(one(1, tentative=False))] == [1]
    assert [f.index for f in rows.add(one(2, tentative=True))] == []
    waiting = 0
    for frame in range(3, 200):
        waiting += 1
        waiting -= len(list(rows.add(one(frame, tentative=False))))
        assert waiting <= 61, "half a minute"
    assert waiting == -1
    late = replace(one(300, tentative=False), found=one(2, tentative=False).found)
    with pytest.raises(InputError, match=r"track 2 is confirmed at 150\.000 s, more than 30 s"):
        list(rows.add(late))
