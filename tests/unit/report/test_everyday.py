"""Everyday jobs on a finished run: speed, heat map, counts, crops, blur and clips."""

import csv
import json
import shutil
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vodkit.cli.main import main
from vodkit.formats.predictions import Header, frames_with, write_table
from vodkit.ground.errors import InputError, SettingsError
from vodkit.ground.records import Frame, State, TrackTable, VideoInfo
from vodkit.infer.finished import FinishedRun
from vodkit.report.blur import hide
from vodkit.report.counting import IN, OUT, Counts, draw_counts, inward
from vodkit.report.event_clips import Span, joined
from vodkit.report.heat_map import seconds_nearby
from vodkit.report.track_crops import best_crops, box_quality
from vodkit.track.count import Line, count_crossings
from vodkit.track.speed import GroundPlane, SpeedSettings, by_track, measure_speeds, parse_points
from vodkit.video.fingerprint import digest
from vodkit.video.reader import open_video
from vodkit.video.writer import VideoWriter

WIDTH, HEIGHT, NUM, RATE = 160, 120, 24, 8
TIMES = np.arange(NUM) / RATE
CORNERS = ["0,0=0,0", "160,0=16,0", "160,120=16,12", "0,120=0,12"]


def table_of(times_s, feet, *, ids=None, states=None, frames=None) -> TrackTable:
    """Boxes 16 x 30 with these feet (N, 2)."""
    x, y = np.asarray(feet, float).T
    n = len(x)
    return TrackTable(
        frames=np.arange(n) if frames is None else frames,
        times_s=np.asarray(times_s),
        ids=np.ones(n) if ids is None else ids,
        boxes_xyxy=np.column_stack([x - 8, y - 30, x + 8, y]),
        labels=np.zeros(n),
        scores=np.full(n, 0.9),
        states=np.zeros(n) if states is None else states,
    )


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a clip in which a person walks right, behind a second one that stands."""
    place = tmp_path_factory.mktemp("everyday")
    clip, run = place / "clip.mp4", place / "run"
    run.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (30, 16, 3)).astype(np.uint8)
    walking = np.column_stack([20 + 40 * TIMES, np.full(NUM, 60.0)])
    standing = np.tile([120.0, 110.0], (NUM, 1))
    with VideoWriter(clip, width_px=WIDTH, height_px=HEIGHT, rate=RATE) as out:
        for index in range(NUM):
            image = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
            for x, y in (walking[index], standing[index]):
                image[int(y) - 30 : int(y), int(x) - 8 : int(x) + 8] = noise
            out.write(image, TIMES[index])
    frames = np.repeat(np.arange(NUM), 2)
    feet = np.stack([walking, standing], axis=1).reshape(-1, 2)
    table = table_of(np.repeat(TIMES, 2), feet, ids=np.tile([1, 2], NUM), frames=frames)
    with open_video(clip) as video:
        info = video.info
    header = Header(
        source=str(clip), classes=("person", "car"), info=info, detector="d", tracker="sort"
    )
    write_table(run / "predictions.jsonl", header, table, range(NUM))
    manifest = {"source": str(clip), "source_sha256": digest(clip), "ended": "complete"}
    (run / "manifest.json").write_text(json.dumps({**manifest, "num_frames": NUM}))
    return run


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(0.02, 0.12), min_size=6, max_size=30),
    st.floats(-200, 200),
    st.floats(-200, 200),
)
def test_even_motion_has_its_speed_at_any_frame_rate(steps, vx, vy) -> None:
    times = np.cumsum(steps)
    table = table_of(times, np.outer(times, [vx, vy]) + 500)
    found = measure_speeds(table, SpeedSettings(window_s=1.0))
    np.testing.assert_allclose(found.speed, np.hypot(vx, vy), atol=1e-4)
    assert (found.low <= found.speed).all()
    assert (found.speed <= found.high).all()


def test_only_seen_boxes_make_speed_and_the_rest_is_counted() -> None:
    feet = np.column_stack([100 + 80 * TIMES, np.full(NUM, 60.0)])
    states = np.full(NUM, State.OBSERVED)
    states[8:12] = State.PREDICTED
    feet[8:12] += 300  # wherever a hidden object is thought to be
    found = measure_speeds(table_of(TIMES, feet, states=states), SpeedSettings(window_s=0.5))
    np.testing.assert_allclose(found.speed, 80, atol=1e-4)
    assert len(found) + found.num_without == NUM - 4
    assert not np.isin(found.frames, np.arange(8, 12)).any()


@pytest.mark.parametrize("speed", [0.0, 60.0])
def test_the_interval_holds_the_true_speed_and_a_standing_object_may_stand(speed) -> None:
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(60):
        times = np.cumsum(rng.uniform(0.02, 0.06, 50))
        feet = np.outer(times, [speed, 0]) + 300 + rng.normal(0, 1.5, (50, 2))
        found = measure_speeds(table_of(times, feet))
        inside += [*((found.low <= speed) & (speed <= found.high))]
    assert np.mean(inside) >= 0.93
    (one,) = by_track(found)
    assert (one.low == 0) == (speed == 0)


def test_at_one_frame_a_second_the_window_reaches_both_neighbours() -> None:
    times = np.arange(10.0)
    found = measure_speeds(table_of(times, np.outer(times, [30, 0]) + 50))
    assert found.window_s == 2
    np.testing.assert_allclose(found.speed, 30, atol=1e-4)
    assert found.num_without == 2  # the first and the last


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-0.2, 0.2), min_size=8, max_size=8))
def test_a_ground_plane_takes_every_point_to_its_place(shifts) -> None:
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) + np.reshape(shifts, (4, 2))
    truth = GroundPlane.from_points(corners * 500, np.array([[0, 0], [8, 0], [8, 20], [0, 20]]))
    inner = np.random.default_rng(0).uniform(0.3, 0.7, (12, 2)) * 500
    metres = truth.to_metres(inner)[0]
    again = GroundPlane.from_points(inner, metres)
    np.testing.assert_allclose(again.to_metres(inner)[0], metres, atol=1e-6)
    assert again.rms_m < 1e-6
    assert truth.to_metres(corners * 500)[0][2] == pytest.approx([8, 20])


def test_beyond_the_horizon_there_is_no_speed() -> None:
    corners = np.array([[0, 100], [100, 100], [60, 50], [40, 50]])
    plane = GroundPlane.from_points(corners, np.array([[0, 0], [8, 0], [8, 20], [0, 20]]))
    places, seen = plane.to_metres(np.array([[50.0, 70], [50, 10], [50, -5]]))
    assert seen.tolist() == [True, False, False]
    assert np.isnan(places[1:]).all()
    feet = np.column_stack([np.full(NUM, 50.0), np.full(NUM, 10.0)])
    found = measure_speeds(table_of(TIMES, feet), ground=plane)
    assert (len(found), found.num_without) == (0, NUM)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (CORNERS[:3], "3 known points; allowed: 4 or more"),
        (["0,0=0,0", "1,1=5,0", "2,2=5,5", "9,0=0,5"], "lie on one line"),
        (["0,0=0,0", "9,0=1,1", "9,9=2,2", "0,9=0,5"], "(m) lie on one line"),
        (["0,0=0", *CORNERS[1:]], "expected x,y=X,Y"),
        (["0,0=0,nan", *CORNERS[1:]], "have to be finite"),
    ],
)
def test_points_that_make_no_plane_are_refused(words, message) -> None:
    with pytest.raises(SettingsError) as error:
        parse_points(words)
    assert message in str(error.value)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 6.28), st.floats(0, 400), st.floats(0, 400))
def test_the_side_that_is_drawn_as_in_is_the_side_that_is_counted_as_in(angle, x, y) -> None:
    along = np.array([np.cos(angle), np.sin(angle)]) * 60
    start, end = np.array([x, y]) - along, np.array([x, y]) + along
    line = Line(name="door", start_px=tuple(start), end_px=tuple(end))
    feet = np.array([x, y]) + np.outer(np.linspace(-40, 40, NUM), inward(line))
    (crossing,) = count_crossings(table_of(TIMES, feet), [line])
    assert crossing.inwards
    (back,) = count_crossings(table_of(TIMES, feet[::-1]), [line])
    assert not back.inwards


@pytest.mark.parametrize("ends", [((320, 60), (320, 420)), ((500, 300), (100, 200))])
def test_in_and_out_stand_on_their_own_sides_of_the_line(ends) -> None:
    line = Line(name="door", start_px=ends[0], end_px=ends[1])
    canvas = np.zeros((480, 640, 3), np.uint8)
    draw_counts(canvas, Counts(lines=[line]), 0.0)
    for colour, side in ((IN, 1), (OUT, -1)):
        rows, columns = np.nonzero((canvas == colour).all(axis=2))
        away = (np.column_stack([columns, rows]) - ends[0]) @ inward(line)
        assert len(rows) > 100
        assert (away * side > 0).all()


def test_heat_is_seconds_near_a_pixel_and_adds_up() -> None:
    feet = np.array([[50.0, 40.0], [50.0, 40.0], [90.0, 40.0], [-30.0, 70.0]])
    heat = seconds_nearby(feet, np.array([1.0, 2.0, 4.0, 8.0]), (120, 80), 10)
    assert heat.shape == (80, 120)
    assert [heat[40, x] for x in (50, 60, 61, 75, 90)] == pytest.approx([3, 3, 0, 0, 4])
    assert heat[70, 0] == pytest.approx(8)  # beyond the edge counts for the edge
    assert heat.min() == 0


def test_frames_stand_for_their_share_of_the_time_at_any_rate(moved: Path) -> None:
    run = FinishedRun.open(moved)
    clock = dict(enumerate([0.0, 0.1, 0.2, 1.0, 1.1]))
    run.__dict__["predictions"] = type("Of", (), {"clock": clock})()
    seconds = run.seconds_of(np.array([3, 0, 2, 4, 1]))
    np.testing.assert_allclose(seconds, [0.45, 0.1, 0.45, 0.1, 0.1])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0, 5)), max_size=12), st.floats(0, 3))
def test_clips_hold_every_event_once_and_do_not_overlap(events, around_s) -> None:
    spans = [Span(what=f"{k}", begin_s=a, end_s=a + b) for k, (a, b) in enumerate(events)]
    clips = joined(spans, around_s)
    assert sorted(span.what for *_, inside in clips for span in inside) == sorted(
        span.what for span in spans
    )
    for begin_s, end_s, inside in clips:
        assert begin_s == min(span.begin_s for span in inside) - around_s
        assert end_s == max(span.end_s for span in inside) + around_s
    assert all(a[1] < b[0] for a, b in pairwise(clips))


def test_what_is_hidden_has_few_colours_and_nothing_else_changes() -> None:
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
    before = image.copy()
    hide(image, np.array([10.0, -20.0, 30.0, 40.0]))
    part = image[0:40, 10:30]
    assert len(np.unique(part.reshape(-1, 3), axis=0)) <= 5 * 10
    image[0:40, 10:30] = before[0:40, 10:30]
    np.testing.assert_array_equal(image, before)


def test_a_free_large_sighting_is_a_better_picture() -> None:
    feet = [[30, 60], [80, 60], [84, 60], [80, 100], [3, 60]]
    table = table_of([0, 1, 1, 2, 3], feet, ids=[1, 1, 2, 1, 1], frames=np.array([0, 1, 1, 2, 3]))
    quality = box_quality(table, WIDTH, HEIGHT)
    assert quality[0] == pytest.approx(quality[3])
    assert quality[1] < quality[0]  # mostly behind another box
    assert quality[4] < quality[0] / 2  # cut off


def test_crops_are_the_boxes_of_their_tracks(moved: Path) -> None:
    crops = list(best_crops(FinishedRun.open(moved)))
    assert [crop.track_id for crop in crops] == [1, 2]
    assert all(crop.image.std() > 30 for crop in crops)
    assert crops[1].image.shape == (36, 20, 3)


def test_every_job_leaves_its_files(moved: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    jobs = ["--heatmap", "--speed", "--crops", "--blur", "person", "--clips", "-o", str(out)]
    for _ in range(2):  # again, over what is there
        with pytest.raises(SystemExit) as left:
            main(["show", str(moved), *jobs])
        assert left.value.code == 0
    said = capsys.readouterr()
    assert "what the detector missed is not blurred: 0 of 24 frames" in said.err
    walking = [row for row in rows_of(out / "speed.csv") if row["id"] == "1"]
    assert all(float(row["speed_px_per_s"]) == pytest.approx(40, abs=0.1) for row in walking)
    assert [row["file"] for row in rows_of(out / "crops" / "crops.csv")] == [
        "0001-person.png", "0002-person.png"
    ]  # fmt: skip
    (clip,) = rows_of(out / "clips" / "clips.csv")
    with open_video(out / "clips" / clip["file"]) as video:
        assert video.info.num_frames == NUM
    with open_video(out / "blurred.mp4") as video, open_video(moved.parent / "clip.mp4") as other:
        hidden, plain = (one.frame_at(10).image.astype(int) for one in (video, other))
    noise = plain[80:110, 112:128]
    assert hidden[80:110, 112:128].std() < noise.std() / 2
    np.testing.assert_allclose(hidden[:25, 80:], plain[:25, 80:], atol=12)


def test_counts_become_csv_picture_video_and_clips(moved: Path, tmp_path: Path, capsys) -> None:
    words = ["--line", "door=60,100,60,0", "--zone", "all=0,0,160,0,160,120,0,120"]
    files = ["--csv", "--picture", "--video", "--clips", "--around-s", "0.25"]
    with pytest.raises(SystemExit) as left:
        main(["count", str(moved), *words, *files, "-o", str(tmp_path), "--json"])
    assert left.value.code == 0
    assert len(json.loads(capsys.readouterr().out)["files"]) == 4
    events = rows_of(tmp_path / "counts.csv")
    assert [row["event"] for row in events] == ["visit", "visit", "crossing"]
    assert (events[2]["place"], events[2]["direction"], events[2]["id"]) == ("door", "in", "1")
    with open_video(tmp_path / "counts.mp4") as video:
        assert video.info.num_frames == NUM
    (clip,) = rows_of(tmp_path / "events" / "clips.csv")
    assert float(clip["end_s"]) == pytest.approx(TIMES[-1])


def test_a_video_that_moved_is_asked_for_and_another_one_refused(
    moved: Path, tmp_path: Path, capsys
) -> None:
    run = tmp_path / "run"
    shutil.copytree(moved, run)
    lines = (run / "predictions.jsonl").read_text().replace("clip.mp4", "gone.mp4")
    (run / "predictions.jsonl").write_text(lines)
    with pytest.raises(SystemExit) as left:
        main(["show", str(run), "--heatmap"])
    error = capsys.readouterr().err
    assert left.value.code == 2
    assert "gone.mp4: the video of" in error
    assert "give its place by --source" in error
    assert not (run / "shown").exists()
    with pytest.raises(SystemExit) as left:
        main(["show", str(run), "--heatmap", "--source", str(moved.parent / "clip.mp4")])
    assert left.value.code == 0
    other = tmp_path / "other.mp4"
    with VideoWriter(other, width_px=WIDTH, height_px=HEIGHT, rate=RATE) as out:
        out.write(np.zeros((HEIGHT, WIDTH, 3), np.uint8), 0)
    with pytest.raises(InputError, match=r"other.mp4: is not the video of .*content differs"):
        FinishedRun.open(run, other).open_video()


@pytest.mark.parametrize("source", ["0", "rtsp://door/cam"])
def test_a_live_source_left_no_video_but_speeds(source, tmp_path: Path, capsys) -> None:
    info = VideoInfo(path=source, width_px=WIDTH, height_px=HEIGHT, rate=Fraction(RATE))
    header = Header(source=source, classes=("person",), info=info, detector="d", tracker="sort")
    feet = np.column_stack([20 + 40 * TIMES, np.full(NUM, 60.0)])
    write_table(tmp_path / "predictions.jsonl", header, table_of(TIMES, feet), range(NUM))
    for jobs, code in ((["--heatmap"], 2), (["--speed"], 0)):
        with pytest.raises(SystemExit) as left:
            main(["show", str(tmp_path), *jobs])
        assert left.value.code == code
    assert f"is of the live source {source}, of which no video exists" in capsys.readouterr().err


def test_metres_need_a_fixed_camera_and_cuts_are_noted(moved: Path, tmp_path: Path, capsys) -> None:
    run = tmp_path / "run"
    shutil.copytree(moved, run)
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "num_cuts": 2}))
    ground = [word for corner in CORNERS for word in ("--ground", corner)]
    for words, code in ((["--speed", *ground], 2), (["--speed"], 0), (["--heatmap"], 0)):
        with pytest.raises(SystemExit) as left:
            main(["show", str(run), *words])
        assert left.value.code == code
        assert "2 shot changes" in capsys.readouterr().err


def test_supervision_annotates_the_frames_of_a_run(moved: Path) -> None:
    supervision = pytest.importorskip("supervision")
    from vodkit.formats.supervision_detections import to_supervision

    run = FinishedRun.open(moved)
    trace = supervision.TraceAnnotator()
    with run.open_video() as video:
        for frame, tracks in frames_with(video.frames(), run.frames()):
            assert isinstance(frame, Frame)
            drawn = trace.annotate(frame.image.copy(), to_supervision(tracks))
    assert (drawn != frame.image).any()
