"""A run into a folder: nothing lost, nothing doubled, whatever happens in between."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from vodkit.detect.base import Detector, ModelCard, Output, Preprocessing
from vodkit.formats.predictions import (
    PredictionWriter,
    final_frames,
    read_frames,
    read_header,
    read_predictions,
)
from vodkit.ground import ledger, runs
from vodkit.ground.boxes import iou
from vodkit.ground.errors import (
    FormatError,
    InputError,
    OutputError,
    PartialError,
    SettingsError,
    VideoError,
)
from vodkit.ground.records import Detections, Frame, Tracks
from vodkit.infer.batch import Batch, Outcome, holds_other_runs
from vodkit.infer.event_log import read_events
from vodkit.infer.exports import export
from vodkit.infer.flow import detect_video, make_detector, track_video
from vodkit.infer.folder import RunFolder, folder_names
from vodkit.infer.replay import complete, replayed, wanted_in
from vodkit.infer.run import check_after, check_sources, run_source
from vodkit.infer.settings import InferSettings
from vodkit.track.table import make_tracker
from vodkit.video.reader import open_video
from vodkit.video.synth import Scene, SceneSettings, write_scene
from vodkit.video.writer import VideoWriter

RESULTS = (runs.PREDICTIONS, runs.DETECTIONS, runs.EVENTS)


class Blobs(Detector):
    """A detector of strongly coloured regions: enough for made-up scenes, and exact in repeats."""

    classes = ("thing",)
    card = ModelCard(
        name="blobs",
        family="graph",
        classes=classes,
        licence="Apache-2.0",
        source="these tests",
        preprocessing=Preprocessing(width_px=160, height_px=120),
        output=Output(decoding="none"),
    )

    def __init__(self) -> None:
        self.num_seen = 0

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        self.num_seen += len(frames)
        return [self._one(frame) for frame in frames]

    def _one(self, frame: Frame) -> Detections:
        image = frame.image.astype(int)
        regions, _ = ndimage.label(image.max(axis=2) - image.min(axis=2) > 120)
        scale = frame.width_px / frame.image.shape[1]
        found = ndimage.find_objects(regions)
        boxes = [(x.start, y.start, x.stop, y.stop) for y, x in found]
        big = [box for box in boxes if (box[2] - box[0]) * (box[3] - box[1]) > 60]
        scores = [min(1.0, 0.5 + len(big) * 0.01 + box[0] / 1000) for box in big]
        return Detections(np.array(big, float).reshape(-1, 4) * scale, scores, [0] * len(big))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "scene.mp4"
    write_scene(Scene(SceneSettings(num_frames=40, width_px=160, height_px=120)), path)
    return path


@pytest.fixture(scope="module")
def whole(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed run."""
    folder = tmp_path_factory.mktemp("whole")
    run(clip, folder, InferSettings())
    return folder


def run(
    clip: Path,
    folder: Path,
    wanted: InferSettings,
    *,
    resume: bool = False,
    continues: bool = False,
) -> int:
    RunFolder(folder).prepare(wanted, resume=resume)
    detector = Blobs()
    for _ in run_source(str(clip), folder, detector, wanted, continues=continues):
        pass
    return detector.num_seen


def test_a_run_leaves_settings_manifest_and_every_frame(clip: Path, tmp_path: Path) -> None:
    wanted = InferSettings()
    assert run(clip, tmp_path, wanted) == 40
    manifest = json.loads((tmp_path / runs.MANIFEST).read_text())
    assert manifest["ended"] == "complete"
    assert manifest["num_frames"] == 40
    assert manifest["source_sha256"] == runs.sha256(clip)
    assert manifest["model"]["licence"] == "Apache-2.0"
    assert RunFolder(tmp_path).is_complete()
    given = read_predictions(tmp_path / runs.PREDICTIONS)
    header, table = given.header, given.table
    assert (header.tracker, header.detector, header.classes) == ("vodkit", "blobs", ("thing",))
    assert len(np.unique(table.frames)) > 20
    assert [frame.index for frame in read_frames(tmp_path / runs.PREDICTIONS)] == list(range(40))


@pytest.mark.slow
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_run_killed_at_any_byte_goes_on_to_the_same_bytes(
    clip: Path,
    whole: Path,
    tmp_path_factory: pytest.TempPathFactory,
    share_a: float,
    share_b: float,
    share_c: float,
) -> None:
    folder = tmp_path_factory.mktemp("killed")
    truth = {name: (whole / name).read_bytes() for name in RESULTS}
    RunFolder(folder).prepare(InferSettings())
    for name, share in zip(RESULTS, (share_a, share_b, share_c), strict=True):
        (folder / name).write_bytes(truth[name][: round(share * len(truth[name]))])
    num_seen = run(clip, folder, InferSettings(), resume=True)
    for name in RESULTS:
        assert (folder / name).read_bytes() == truth[name]
    recorded = truth[runs.DETECTIONS][: round(share_b * len(truth[runs.DETECTIONS]))].count(
        b'{"frame"'
    )
    assert num_seen <= 40 - max(recorded - 1, 0), "what was recorded is not detected again"


def test_events_are_those_that_a_replay_makes(whole: Path, tmp_path: Path) -> None:
    made = b"".join(
        event.to_line()
        for _, events in replayed([whole / runs.PREDICTIONS], wanted_in(whole))
        for event in events
    )
    assert made == (whole / runs.EVENTS).read_bytes()
    numbers = [entry["n"] for entry in read_events([whole / runs.EVENTS])]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 2
    for name in (runs.PREDICTIONS, runs.EVENTS):
        (tmp_path / name).write_bytes((whole / name).read_bytes())
    ledger.record(tmp_path / runs.EVENTS)
    (tmp_path / runs.EVENTS).write_bytes(made[: len(made) // 2])  # as a kill leaves it
    assert complete([tmp_path / runs.PREDICTIONS], InferSettings()) == len(numbers) + 1
    assert (tmp_path / runs.EVENTS).read_bytes() == made


def halves_of(clip: Path, folder: Path) -> list[Path]:
    """The frames of ``clip`` as two files, each with a clock of its own."""
    with open_video(clip) as video:
        frames = list(video.frames())
    paths = [folder / "1.mp4", folder / "2.mp4"]
    for path, part in zip(paths, (frames[:22], frames[22:]), strict=True):
        with VideoWriter(path, width_px=160, height_px=120, rate=Fraction(25)) as writer:
            for frame in part:
                writer.write(frame.image, frame.time_s)
    return paths


def test_lines_and_zones_of_one_source_are_left_out_of_the_others(tmp_path: Path) -> None:
    zone = "0,0,9,0,9,9"
    wanted = InferSettings(lines=("mid=0,0,9,9", "yard/gate=1,1,5,5"), zones=(f"door/in={zone}",))
    names = ["yard", "door"]
    found = [(one.lines, one.zones) for one in map(wanted.for_source, names)]
    assert found == [(("mid=0,0,9,9", "gate=1,1,5,5"), ()), (("mid=0,0,9,9",), (f"in={zone}",))]
    wanted.require_sources(names)
    with pytest.raises(SettingsError, match=r"door/in: door is no source .*; allowed: yard, dock"):
        Batch([__file__, __file__], wanted, out=tmp_path, names=["yard", "dock"])
    twice = InferSettings(lines=("gate=0,0,9,9", "yard/gate=1,1,5,5"))
    with pytest.raises(SettingsError, match="name gate exists already"):
        twice.for_source("yard")


def test_ids_go_on_in_the_next_file_of_a_recording(clip: Path, tmp_path: Path) -> None:
    one, two = halves_of(clip, tmp_path)
    run(one, tmp_path / "one", InferSettings())
    run(two, tmp_path / "two", InferSettings(after=str(tmp_path / "one")))
    before, after = (
        read_predictions(tmp_path / name / runs.PREDICTIONS).table for name in ("one", "two")
    )
    last, first = before[before.frames == 21], after[after.frames == 0]
    overlap = iou(last.boxes_xyxy, first.boxes_xyxy)
    near = overlap.max(axis=1) > 0.4
    assert near.sum() >= 2, "the scene moves on by one frame"
    np.testing.assert_array_equal(last.ids[near], first.ids[overlap.argmax(axis=1)][near])


def events_in(folder: Path) -> list[dict[str, object]]:
    """Those that a replay makes, which equal those in the file."""
    made = replayed([folder / runs.PREDICTIONS], wanted_in(folder))
    lines = b"".join(one.to_line() for _, found in made for one in found)
    assert lines == (folder / runs.EVENTS).read_bytes()
    return list(read_events([folder / runs.EVENTS]))


@pytest.mark.slow
def test_objects_do_not_end_between_the_files_of_a_recording(clip: Path, tmp_path: Path) -> None:
    """The events of both files are those of one file: each object begins once and ends once."""
    one, two = halves_of(clip, tmp_path)
    wanted = InferSettings(lines=("mid=80,0,80,120",))
    run(one, tmp_path / "one", wanted, continues=True)
    run(two, tmp_path / "two", replace(wanted, after=str(tmp_path / "one")))
    first, second = events_in(tmp_path / "one"), events_in(tmp_path / "two")
    assert "ended" not in {entry["type"] for entry in first}
    begun = Counter(entry["id"] for entry in first + second if entry["type"] == "began")
    ended = Counter(entry["id"] for entry in second if entry["type"] == "ended")
    assert begun == ended == dict.fromkeys(begun, 1)
    later = [entry for entry in second if entry["id"] in {one["id"] for one in first}]
    assert later
    assert all(entry["first_s"] < 0 for entry in later), "seconds before this file"
    assert [entry["n"] for entry in second] == list(range(1, len(second) + 1))
    # Both files as one, from the same tracks: other times and numbers, the same events.
    parts = [tmp_path / name / runs.PREDICTIONS for name in ("one", "two")]
    with PredictionWriter(tmp_path / runs.PREDICTIONS, read_header(parts[0])) as out:
        for path, num_before in zip(parts, (0, 22), strict=True):
            for frame in read_frames(path):
                index = frame.index + num_before
                out.write(index, index / 25, frame.found)
    found = replayed([tmp_path / runs.PREDICTIONS], wanted)
    kinds = [(e.type, e.id, e.changes, e.line, e.frame) for _, events in found for e in events]
    assert len(kinds) > 5
    assert kinds == [
        (entry["type"], entry["id"], tuple(entry.get("changes", ())), entry.get("line", ""),
         entry["frame"] + num_before)
        for entries, num_before in ((first, 0), (second, 22)) for entry in entries
    ]  # fmt: skip
    run(two, tmp_path / "anew", replace(wanted, after=str(tmp_path / "two")))
    (tmp_path / "two" / runs.OBJECTS).write_text("{}")
    with pytest.raises(FormatError, match=r"objects.json: not the objects of a run"):
        check_after(replace(wanted, after=str(tmp_path / "two")), [])


@pytest.mark.slow
def test_tracks_that_follow_a_run_done_anew_are_done_anew_from_what_was_detected(
    clip: Path, tmp_path: Path
) -> None:
    one, two = halves_of(clip, tmp_path)
    before = InferSettings(tracker_settings=("life.confirm_s=0.5",))
    run(one, tmp_path / "one", before)
    following = InferSettings(after=str(tmp_path / "one"))
    run(two, tmp_path / "two", following)
    (tmp_path / "two" / "predictions.csv").write_text("of the old tracks")
    ledger.record(tmp_path / "two" / "predictions.csv")
    old = {name: (tmp_path / "two" / name).read_bytes() for name in RESULTS}
    RunFolder(tmp_path / "one").prepare(InferSettings(), overwrite=True)
    run(one, tmp_path / "one", InferSettings(), resume=True)
    assert run(two, tmp_path / "two", following, resume=True) == 0, "nothing is detected again"
    new = {name: (tmp_path / "two" / name).read_bytes() for name in RESULTS}
    assert new[runs.DETECTIONS] == old[runs.DETECTIONS]
    assert new[runs.PREDICTIONS] != old[runs.PREDICTIONS]
    assert not (tmp_path / "two" / "predictions.csv").exists()
    run(two, tmp_path / "fresh", following)
    for name in (*RESULTS, runs.TRACKER):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes()


def test_a_file_after_a_run_that_did_not_end_is_refused(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tracker.npz is missing.*finish that one first"):
        run(clip, tmp_path / "a", InferSettings(after=str(tmp_path / "nothing")))
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / runs.TRACKER).write_bytes(b"PK no")
    with pytest.raises(InputError, match="no state of a tracker"):
        run(clip, tmp_path / "b", InferSettings(after=str(tmp_path / "torn")))


def test_detection_alone_goes_on_too(clip: Path, tmp_path: Path) -> None:
    wanted = InferSettings(tracker="none")
    run(clip, tmp_path / "a", wanted)
    truth = (tmp_path / "a" / runs.PREDICTIONS).read_bytes()
    RunFolder(tmp_path / "b").prepare(wanted)
    (tmp_path / "b" / runs.PREDICTIONS).write_bytes(truth[: len(truth) // 2])
    assert 0 < run(clip, tmp_path / "b", wanted, resume=True) < 40
    assert (tmp_path / "b" / runs.PREDICTIONS).read_bytes() == truth
    assert not (tmp_path / "b" / runs.DETECTIONS).exists()


def test_going_on_under_other_settings_or_with_another_video_is_refused(
    clip: Path, tmp_path: Path
) -> None:
    run(clip, tmp_path, InferSettings())
    with pytest.raises(OutputError, match="--resume continues it, --overwrite starts over"):
        RunFolder(tmp_path).prepare(InferSettings())
    with pytest.raises(SettingsError, match=r"score_threshold = 0\.05, requested: 0\.3"):
        RunFolder(tmp_path).prepare(InferSettings(score_threshold=0.3), resume=True)
    other = tmp_path / "other.mp4"
    write_scene(Scene(SceneSettings(num_frames=40, width_px=160, height_px=120, seed=3)), other)
    RunFolder(tmp_path).prepare(InferSettings(), resume=True)
    with pytest.raises(OutputError, match="of another run: source_sha256"):
        list(run_source(str(other), tmp_path, Blobs(), InferSettings()))
    RunFolder(tmp_path).prepare(InferSettings(), overwrite=True)
    assert not (tmp_path / runs.PREDICTIONS).exists()


def test_overwrite_deletes_all_and_only_what_vodkit_made(tmp_path: Path) -> None:
    ours = [
        *("predictions.jsonl", "detections.jsonl", "embeddings.bin", "tracker.npz"),
        *("predictions.csv", "predictions.mot.txt", "predictions.coco.json", "annotated.mp4"),
        *("refined.jsonl", "metrics.json", "report.html", ".annotated.mp4.part"),
        *("predictions-0002.jsonl", "predictions-0002.csv", "predictions.mot-0002.txt"),
        *(".predictions.csv.abcd_123", "manifest.json"),
    ]
    theirs = ["notes.txt", "predictions-of-mine.csv", "my.predictions.csv", "predictions.csv.bak"]
    for name in [*ours, *theirs]:
        (tmp_path / name).write_text("{}")
    ledger.record(tmp_path, *ours)
    assert {path.name for path in RunFolder(tmp_path).made()} == {*ours}
    assert RunFolder(tmp_path).made()[-1].name == runs.MANIFEST, "it names the video of the rest"
    RunFolder(tmp_path).check(InferSettings(), overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {*ours, *theirs, ledger.NAME}
    RunFolder(tmp_path).prepare(InferSettings(), overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {*theirs, runs.SETTINGS, ledger.NAME}


def test_what_another_command_made_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / runs.MANIFEST).write_text('{"stack": {}, "model": "vodkit-street"}')
    ledger.record(tmp_path, runs.MANIFEST)
    with pytest.raises(OutputError, match=r"results of another command.*choose another folder"):
        RunFolder(tmp_path).prepare(InferSettings(), overwrite=True)
    assert (tmp_path / runs.MANIFEST).exists()


@pytest.mark.slow
def test_a_video_that_was_broken_and_is_whole_now_is_done_anew(
    clip: Path, whole: Path, tmp_path: Path
) -> None:
    source, folder = tmp_path / "scene.mp4", tmp_path / "run"
    source.write_bytes(clip.read_bytes()[: int(clip.stat().st_size * 0.7)])
    with pytest.raises(PartialError):
        run(source, folder, InferSettings())
    partial = (folder / runs.PREDICTIONS).read_bytes()
    source.write_bytes(b"no video")
    with pytest.raises(VideoError):
        run(source, folder, InferSettings(), resume=True)
    assert (folder / runs.PREDICTIONS).read_bytes() == partial, "what was read of it is kept"
    source.write_bytes(clip.read_bytes())
    assert run(source, folder, InferSettings(), resume=True) == 40
    assert RunFolder(folder).is_complete()
    assert json.loads((folder / runs.MANIFEST).read_text())["source_sha256"] == runs.sha256(clip)
    for mended, there in zip(
        read_frames(folder / runs.PREDICTIONS), read_frames(whole / runs.PREDICTIONS), strict=True
    ):
        assert mended.found == there.found


@pytest.mark.slow
@pytest.mark.parametrize("tracker", ["vodkit", "none"])
def test_lines_missing_in_the_middle_are_noticed(clip: Path, tmp_path: Path, tracker: str) -> None:
    wanted = InferSettings(tracker=tracker)
    run(clip, tmp_path, wanted)
    path = tmp_path / runs.PREDICTIONS
    text = path.read_bytes()
    lines = text.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:10]))
    assert not RunFolder(tmp_path).is_complete()
    assert run(clip, tmp_path, wanted, resume=True) == (0 if tracker == "vodkit" else 31)
    assert path.read_bytes() == text, "an end that is missing is made again"
    assert json.loads((tmp_path / runs.MANIFEST).read_text())["num_frames"] == 40
    path.write_bytes(b"".join(lines[:10] + lines[12:]))
    with pytest.raises(OutputError, match=r"has frame 11 where .*9.*--overwrite starts over"):
        run(clip, tmp_path, wanted, resume=True)


def test_a_run_without_its_settings_cannot_go_on(tmp_path: Path) -> None:
    (tmp_path / runs.PREDICTIONS).write_text("of a run")
    ledger.record(tmp_path, runs.PREDICTIONS)
    with pytest.raises(OutputError, match=r"no settings.toml that states how"):
        RunFolder(tmp_path).prepare(InferSettings(), resume=True)


def test_two_jobs_never_write_into_one_folder(clip: Path, tmp_path: Path) -> None:
    wanted = InferSettings()
    RunFolder(tmp_path).prepare(wanted)
    first = run_source(str(clip), tmp_path, Blobs(), wanted)
    next(first)
    with pytest.raises(OutputError, match="another process is at work here"):
        run(clip, tmp_path, wanted, resume=True)
    with pytest.raises(OutputError, match="another process is at work here"):
        RunFolder(tmp_path).check(wanted, overwrite=True)
    assert sum(1 for _ in first) == 39
    assert run(clip, tmp_path, wanted, resume=True) == 0


@pytest.mark.parametrize("pattern", ["", "*.png"])
def test_other_pictures_in_a_folder_are_another_source(tmp_path: Path, pattern: str) -> None:
    folder = tmp_path / "pictures"
    source = folder / pattern
    folder.mkdir()
    for index in range(4):
        Image.new("RGB", (160, 120), (index, 0, 0)).save(folder / f"{index}.png")
    run(source, tmp_path / "run", InferSettings())
    (folder / "0.png").unlink()
    with pytest.raises(OutputError, match="source_sha256 is"):
        run(source, tmp_path / "run", InferSettings(), resume=True)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", "[]", "7", "null", "{"])
def test_a_damaged_manifest_is_told(clip: Path, tmp_path: Path, text: str) -> None:
    run(clip, tmp_path, InferSettings())
    (tmp_path / runs.MANIFEST).write_text(text)
    with pytest.raises(OutputError, match=r"is of another run: (its manifest is damaged|source_)"):
        run(clip, tmp_path, InferSettings(), resume=True)


@pytest.mark.slow
def test_what_is_complete_is_not_taken_for_another_videos_or_another_models(
    tmp_path: Path,
) -> None:
    """Neither by track --resume, nor by eval --model, which looks anew."""
    from vodkit.samples import samples

    video = tmp_path / "x.mp4"
    write_scene(Scene(SceneSettings(num_frames=6, width_px=160, height_px=120)), video)
    wanted = InferSettings(tracker="none", runtime="torch")

    def outcome(*, resume: bool) -> Outcome:
        batch = Batch([str(video)], wanted, out=tmp_path / "o", resume=resume)
        (one,) = batch.run()
        return one

    assert outcome(resume=False).is_new
    assert not outcome(resume=True).is_new
    video.write_bytes(samples.CLIP_A.read_bytes())
    (error,) = outcome(resume=True).errors
    assert isinstance(error, OutputError)
    assert "source_sha256" in str(error)


def test_a_cut_off_video_keeps_what_could_be_read(clip: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[: int(clip.stat().st_size * 0.7)])
    with pytest.raises(PartialError, match=r"cut\.mp4 at .* s: .*kept \d+ frames"):
        run(cut, tmp_path / "run", InferSettings())
    kept = [frame.index for frame in read_frames(tmp_path / "run" / runs.PREDICTIONS)]
    assert kept == list(range(len(kept)))
    assert len(kept) > 5
    assert not RunFolder(tmp_path / "run").is_complete()
    lenient = InferSettings(lenient=True)
    with pytest.raises(PartialError, match="could not be decoded; the others are done"):
        run(cut, tmp_path / "lenient", lenient)


def test_every_nth_frame_keeps_the_videos_indices_and_times(clip: Path) -> None:
    wanted = InferSettings(every=3, batch_size=4)
    seen = [(f.index, f.time_s) for f, _ in detect_video(clip, Blobs(), settings=wanted)]
    assert [index for index, _ in seen] == list(range(0, 40, 3))
    assert seen[5][1] == pytest.approx(15 / 25, abs=1e-4)


def test_batches_and_decoding_size_do_not_change_who_is_where(clip: Path) -> None:
    def ids(batch_size: int) -> list[list[int]]:
        wanted = InferSettings(batch_size=batch_size)
        flowing = track_video(clip, Blobs(), make_tracker("vodkit"), settings=wanted)
        return [tracks.ids.tolist() for _, _, tracks in flowing]

    assert ids(1) == ids(7)


def test_working_ahead_changes_no_bit(clip: Path) -> None:
    def found(ahead: int | None) -> list[tuple[int, bytes, bytes]]:
        wanted = InferSettings(ahead=ahead)
        flowing = track_video(clip, Blobs(), make_tracker("vodkit"), settings=wanted)
        return [(f.index, t.boxes_xyxy.tobytes(), t.ids.tobytes()) for f, _, t in flowing]

    plain = found(0)
    assert len(plain) == 40
    assert found(1) == found(8) == found(None) == plain


@pytest.mark.parametrize("include_predicted", [False, True])
def test_exports_hold_the_final_boxes_and_only_observed_ones_unless_asked(
    clip: Path, whole: Path, tmp_path: Path, include_predicted: bool
) -> None:
    predictions = whole / runs.PREDICTIONS
    files = {name: tmp_path / name for name in ("csv", "mot", "coco")}
    written, errors, _ = export(predictions, files, include_predicted=include_predicted)
    assert (written, errors) == ([*files.values()], [])
    found = [frame.found for frame in final_frames(read_frames(predictions))]
    states = np.concatenate([one.states for one in found if isinstance(one, Tracks)])
    assert set(states.tolist()) == {0, 1}, "the scene has occlusions"
    total = len(states) if include_predicted else int((states != 1).sum())
    lines = (tmp_path / "csv").read_text().splitlines()
    assert len(lines) == total + 1
    assert any(",predicted," in line for line in lines) == include_predicted
    lines = (tmp_path / "mot").read_text().splitlines()
    assert len(lines) == total
    assert min(int(line.split(",")[0]) for line in lines) >= 1
    assert len(json.loads((tmp_path / "coco").read_text())) == total


def test_sources_are_checked_before_any_work() -> None:
    check_sources(["rtsp://host/stream?a=[1]", "0", f"{Path(__file__).parent}/*.py", __file__])
    with pytest.raises(VideoError, match="no such file or folder"):
        check_sources([__file__, "missing.mp4"])
    with pytest.raises(VideoError, match="its name is not UTF-8"):
        check_sources(["rtsp://olé\udce9.mp4"])
    assert folder_names(["a/x.mp4", "b/x.mp4", "c/x.avi"]) == ["x", "x-2", "x-3"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_in_words(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(VideoError, match="is a pipe, a socket or a device; allowed: a file"):
        check_sources([str(tmp_path / "pipe")])


@pytest.mark.slow
def test_runs_of_another_video_are_known(tmp_path: Path) -> None:
    """What eval --model asks before it takes finished predictions for its own."""
    video, place = tmp_path / "x.mp4", tmp_path / "predictions"
    wanted = InferSettings(tracker="none", runtime="torch")
    assert not holds_other_runs(place, [str(video)], wanted)
    write_scene(Scene(SceneSettings(num_frames=2, width_px=160, height_px=120)), video)
    RunFolder(place / "x").prepare(wanted)
    for _ in run_source(str(video), place / "x", make_detector(wanted), wanted):
        pass
    assert not holds_other_runs(place, [str(video)], wanted)
    write_scene(Scene(SceneSettings(num_frames=3, width_px=160, height_px=120)), video)
    assert holds_other_runs(place, [str(video)], wanted)
