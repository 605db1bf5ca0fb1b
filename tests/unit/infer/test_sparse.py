"""Key frames and what is filled between: in order, labelled as what it is, right to a pixel."""

from collections.abc import Container
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vodkit.detect.base import Detector, by_batches
from vodkit.formats.predictions import read_header
from vodkit.ground import runs
from vodkit.ground.errors import SettingsError, VideoError
from vodkit.ground.records import Detections, Frame, State, Tracks
from vodkit.infer.flow import track_video
from vodkit.infer.folder import RunFolder
from vodkit.infer.follow import Follower
from vodkit.infer.keyframes import Key, Line, Pace, SparseFlow, SparseSettings
from vodkit.infer.run import run_source
from vodkit.infer.settings import InferSettings
from vodkit.track.base import Tracker
from vodkit.track.table import make_tracker
from vodkit.video.synth import Scene, SceneSettings, write_scene

RATE = 25
SPARSE = InferSettings(every="auto")


def walkers(times_s: np.ndarray, *, wobble: float = 0.0) -> list[Detections]:
    """Two objects: one walks evenly; the other stands, or swings by so many pixels."""
    found = []
    for time_s in times_s:
        x, y = 20 + 40 * time_s, 150 + wobble * np.sin(12 * time_s)
        boxes = [[x, 30, x + 30, 90], [200, y, 230, y + 60]]
        found.append(Detections(np.array(boxes), np.array([0.9, 0.8]), np.zeros(2, np.int64)))
    return found


class Known(Detector):
    """Finds what is there."""

    def __init__(self, truth: list[Detections]) -> None:
        self._truth = truth

    def detect(self, frames):
        return [self._truth[frame.index] for frame in frames]


def flow(
    times_s: np.ndarray,
    truth: list[Detections],
    chosen: SparseSettings,
    *,
    num_frames: int | None = None,
    breaks_at: int | None = None,
    lost: Container[int] = (),
    batch: int = 4,
    tracker: Tracker | None = None,
) -> tuple[list[tuple[Frame, Tracks]], SparseFlow]:
    pace = Pace(chosen, num_frames=num_frames)

    def frames():
        for index, time_s in enumerate(times_s.tolist()):
            if index == breaks_at:
                raise VideoError("broken", path="a.mp4")
            pace.is_key(index, time_s)
            if index in lost:
                continue
            yield Frame.unseen(index, time_s, width_px=640, height_px=360)

    follower = Follower(tracker or make_tracker("vodkit"), cuts=False)
    sparse = SparseFlow(frames(), follower, pace, chosen)
    out: list[tuple[Frame, Tracks]] = []
    try:
        for frame, _, tracks in sparse.run(partial(by_batches, Known(truth), batch_size=batch)):
            assert tracks is not None
            out.append((frame, tracks))
    except VideoError:
        assert breaks_at is not None
    return out, sparse


def test_all_frames_come_in_order_and_say_how_they_are_known() -> None:
    times = np.arange(200) / RATE
    out, sparse = flow(times, walkers(times), SparseSettings(), num_frames=200)
    assert [frame.index for frame, _ in out] == list(range(200))
    report = sparse.report
    assert report.num_frames == 200
    assert report.num_key_frames < 50
    states = np.concatenate([tracks.states for _, tracks in out])
    assert set(states.tolist()) == {State.OBSERVED, State.FILLED}
    assert (states == State.FILLED).sum() > (states == State.OBSERVED).sum()
    assert set(out[-1][1].states.tolist()) == {State.OBSERVED}  # the last frame is a key frame
    assert all(tracks.ids.tolist() == [1, 2] for _, tracks in out[3:])


@pytest.mark.slow
@given(wobble=st.floats(0, 3), lag=st.integers(1, 6), uneven=st.booleans())
@settings(max_examples=25, deadline=None)
def test_filled_boxes_are_where_the_objects_are(wobble: float, lag: int, uneven: bool) -> None:
    times = np.arange(250) / RATE
    if uneven:
        times = times + np.random.default_rng(0).uniform(0, 0.5 / RATE, len(times))
    truth = walkers(times, wobble=wobble)
    out, sparse = flow(times, truth, SparseSettings(lag=lag), num_frames=250)
    off = []
    for frame, tracks in out[50:]:
        assert len(tracks) == 2
        off.append(np.abs(tracks.boxes_xyxy - truth[frame.index].boxes_xyxy).max())
    size_px = (30 * 60) ** 0.5
    assert np.mean(off) < 2 * SparseSettings().tolerance * size_px
    assert sparse.report.iou_at_twice_the_gap is not None
    assert sparse.report.iou_at_twice_the_gap > (0.8 if wobble > 1 else 0.98)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_key_frames_do_not_depend_on_how_many_a_runtime_takes_at_once(batch: int) -> None:
    times = np.arange(250) / RATE
    truth = walkers(times, wobble=9)
    (one, a), (other, b) = (
        flow(times, truth, SparseSettings(), batch=size) for size in (batch, SparseSettings().lag)
    )
    assert 40 < a.report.num_key_frames < 200
    assert a.report == b.report
    for (_, x), (_, y) in zip(one, other, strict=True):
        np.testing.assert_array_equal(x.states, y.states)
        np.testing.assert_array_equal(x.boxes_xyxy, y.boxes_xyxy)


def test_what_the_detector_missed_in_one_key_frame_is_filled_not_lost() -> None:
    times = np.arange(200) / RATE
    truth = walkers(times)
    _, whole = flow(times, truth, SparseSettings())
    truth[100:112] = [found[:1] for found in truth[100:112]]  # one key frame, by the gap of 0.4 s
    out, sparse = flow(times, truth, SparseSettings())
    assert sparse.report.num_key_frames <= whole.report.num_key_frames + 2
    for frame, tracks in out[50:190]:
        assert tracks.ids.tolist() == [1, 2]
        assert State.PREDICTED not in tracks.states
        np.testing.assert_allclose(
            tracks.boxes_xyxy[1], [200, 150, 230, 210], atol=0.1, err_msg=str(frame.index)
        )


def test_looks_reach_the_tracker() -> None:
    times = np.arange(100) / RATE
    truth = [replace(found, embeddings=np.eye(2, 5, dtype=np.float32)) for found in walkers(times)]
    tracker = make_tracker("vodkit")
    flow(times, truth, SparseSettings(), tracker=tracker)
    np.testing.assert_array_equal(tracker.state_dict()["looks"], np.eye(2, 5))


def test_unsteady_motion_brings_key_frames_nearer() -> None:
    times = np.arange(300) / RATE
    keys = [
        flow(times, walkers(times, wobble=wobble), SparseSettings())[1].report.num_key_frames
        for wobble in (0, 9, 20)
    ]
    assert keys[0] < keys[1] < keys[2]


@pytest.mark.parametrize("breaks_at", [1, 7, 90])
def test_what_was_decoded_before_a_break_comes_out(breaks_at: int) -> None:
    times = np.arange(120) / RATE
    out, _ = flow(times, walkers(times), SparseSettings(), breaks_at=breaks_at)
    assert [frame.index for frame, _ in out] == list(range(breaks_at))


def test_frames_that_are_lost_although_they_were_wanted_are_only_missing() -> None:
    times = np.arange(120) / RATE
    lost = set(range(20, 60)) | {80, 81}
    out, sparse = flow(times, walkers(times), SparseSettings(), lost=lost)
    assert [frame.index for frame, _ in out] == sorted(set(range(120)) - lost)
    assert all(tracks.ids.tolist() == [1, 2] for _, tracks in out[3:])
    assert sparse.report.num_frames == len(out)


def test_an_end_that_nobody_knew_of_is_foretold_not_lost() -> None:
    times = np.arange(103) / RATE
    out, _ = flow(times, walkers(times), SparseSettings(), num_frames=None)
    assert len(out) == 103
    last = out[-1][1]
    assert len(last) == 2
    assert set(last.states.tolist()) <= {State.OBSERVED, State.PREDICTED}


def test_nothing_is_filled_where_only_one_side_knows() -> None:
    one = Tracks(np.array([[0, 0, 9, 9], [20, 0, 29, 9]]), [1, 1], [0, 0], [1, 2], [0, 1])  # type: ignore[arg-type]
    two = Tracks(np.array([[40, 0, 49, 9], [20, 0, 29, 9]]), [1, 1], [0, 0], [3, 2], [0, 0])  # type: ignore[arg-type]
    begin, end = (Frame.unseen(i, float(i), width_px=50, height_px=50) for i in range(2))
    found = Line(Key(begin, one, 0), Key(end, two, 0)).at(0.5)
    assert found.ids.tolist() == [2]
    assert found.states.tolist() == [State.PREDICTED]  # hidden at one end
    assert len(Line(Key(begin, one, 0), Key(end, two, 1)).at(0.5)) == 0  # another shot


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sparse") / "scene.mp4"
    write_scene(Scene(SceneSettings(num_frames=60, width_px=160, height_px=120)), path)
    return path


class Moving(Detector):
    """Finds strongly coloured regions as one box: deterministic, and enough to be resumed."""

    def __init__(self, card) -> None:
        self.card, self.classes = card, card.classes

    def detect(self, frames):
        return [self._one(frame) for frame in frames]

    def _one(self, frame):
        assert frame.image.shape[0] > 1, "key frames come with pixels"
        image = frame.image.astype(int)
        rows, columns = np.nonzero(image.max(axis=2) - image.min(axis=2) > 120)
        if len(rows) < 20:
            return Detections.empty()
        scale = frame.width_px / frame.image.shape[1]
        box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]) * scale
        return Detections(box, np.array([0.9]), np.array([0]))


@pytest.fixture(scope="module")
def card():
    from vodkit.detect.models import find_card

    return find_card("vodkit-street")[0]


def run(clip: Path, folder: Path, card, *, resume: bool = False) -> None:
    wanted = SPARSE
    RunFolder(folder).prepare(wanted, resume=resume)
    for _ in run_source(str(clip), folder, Moving(card), wanted):
        pass


@pytest.mark.slow
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(share_a=st.floats(0, 1), share_b=st.floats(0, 1))
def test_a_sparse_run_killed_at_any_byte_goes_on_to_the_same_bytes(
    clip: Path, card, tmp_path_factory: pytest.TempPathFactory, share_a: float, share_b: float
) -> None:
    folder = tmp_path_factory.mktemp("whole")
    run(clip, folder, card)
    names = (runs.PREDICTIONS, runs.DETECTIONS)
    truth = {name: (folder / name).read_bytes() for name in names}
    assert truth[runs.DETECTIONS].count(b'{"frame"') < 60
    assert truth[runs.PREDICTIONS].count(b'{"frame"') == 60
    for name, share in zip(names, (share_a, share_b), strict=True):
        (folder / name).write_bytes(truth[name][: round(share * len(truth[name]))])
    (folder / runs.MANIFEST).unlink()
    run(clip, folder, card, resume=True)
    for name in names:
        assert (folder / name).read_bytes() == truth[name]


def test_files_say_that_tracks_know_the_next_key_frames_and_detections_nothing(
    clip: Path, card, tmp_path: Path
) -> None:
    run(clip, tmp_path, card)
    assert read_header(tmp_path / runs.PREDICTIONS).mode == "near-online"
    assert read_header(tmp_path / runs.DETECTIONS).mode == "online"


def test_from_python_frames_keep_their_pixels(clip: Path, card) -> None:
    found = list(
        track_video(
            clip,
            Moving(card),
            make_tracker("vodkit"),
            settings=InferSettings(every="auto", decode="full"),
        )
    )
    assert len(found) == 60
    assert all(frame.image.shape == (120, 160, 3) for frame, _, _ in found)
    assert 0 < sum(len(detections) > 0 for _, detections, _ in found) < 50


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(SettingsError, match="every is auto, tracker is none"):
        InferSettings(tracker="none", every="auto")
    with pytest.raises(SettingsError, match="max_gap_s is 0"):
        SparseSettings(max_gap_s=0)
