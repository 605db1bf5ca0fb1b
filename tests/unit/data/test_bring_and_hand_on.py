"""Labels brought in get the video's times; handed on they come with pictures; stats count."""

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vodkit.cli.data import COMMANDS
from vodkit.cli.data_options import names_of
from vodkit.data.export import export_dataset
from vodkit.data.ingest import ingest, joined
from vodkit.data.prelabel import doubts, for_correction
from vodkit.data.preview import found_at, labelled_pictures
from vodkit.data.settings import PrelabelSettings
from vodkit.data.stats import measure, motion_iou
from vodkit.formats.base import Reading
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.errors import (
    FormatError,
    InputError,
    OutputError,
    PartialError,
    SettingsError,
    VideoError,
)
from vodkit.ground.records import Dataset, Detections, LabelledVideo, Tracks, TrackTable

Make = Callable[..., LabelledVideo]


def whole(*videos: LabelledVideo) -> Dataset:
    return Dataset(classes=("bee", "fly"), videos=videos)


def test_times_come_from_the_container(make_video: Make, tmp_path: Path) -> None:
    ticks = [index + 5 * (index > 10) for index in range(30)]
    video = make_video(num_frames=30, ticks=ticks)
    (tmp_path / "labels").mkdir()
    write_dataset(whole(video), tmp_path / "labels" / "gt.txt", "mot")
    done = ingest(
        tmp_path / "labels" / "gt.txt",
        reading=Reading(source="a.mp4", classes=("bee", "fly")),
        videos=tmp_path,
        relative_to=tmp_path / "labels",
    )
    brought = done.dataset.videos[0]
    assert brought.source == "../a.mp4"
    assert done.notes == ()
    assert "times" not in brought.tags
    assert brought.tracks is not None
    assert video.tracks is not None
    np.testing.assert_allclose(brought.tracks.times_s, video.tracks.times_s, atol=1e-6)
    assert brought.info.num_frames == 30


@pytest.mark.parametrize("given", ["a,,b", "a,b,", " "])
def test_an_empty_class_name_is_refused(given: str) -> None:
    """Left out in silence, it would give every class behind it another's number."""
    with pytest.raises(SettingsError, match="is empty"):
        names_of(given)


def test_a_video_named_by_its_whole_path_comes_out_relative(
    make_video: Make, tmp_path: Path
) -> None:
    write_dataset(whole(make_video(num_frames=9)), tmp_path / "gt.txt", "mot")
    (tmp_path / "out").mkdir()
    told = Reading(source=str(tmp_path / "a.mp4"), classes=("bee", "fly"))
    done = ingest(tmp_path / "gt.txt", reading=told, relative_to=tmp_path / "out")
    assert done.dataset.videos[0].source == "../a.mp4"
    assert done.notes == ()


def test_a_sequence_finds_the_one_video_of_its_name(make_video: Make, tmp_path: Path) -> None:
    """MOT labels without their pictures, beside a folder of videos."""
    video = make_video(num_frames=9)
    export_dataset(whole(video), tmp_path / "out", "mot", root=tmp_path, pictures=False)
    brought = ingest(tmp_path / "out", videos=tmp_path, relative_to=tmp_path)
    assert brought.notes == ()
    assert brought.dataset.videos[0].source == "a.mp4"
    (tmp_path / "a.mov").write_bytes((tmp_path / "a.mp4").read_bytes())
    unclear = ingest(tmp_path / "out", videos=tmp_path, relative_to=tmp_path)
    assert "not there" in unclear.notes[0]
    told = Reading(source=str(tmp_path / "a.mov"))
    named = ingest(tmp_path / "out", reading=told, videos=tmp_path, relative_to=tmp_path)
    assert named.dataset.videos[0].source == "a.mov"
    assert named.dataset.videos[0].frame_files == ()


@pytest.mark.parametrize("name", ["visdrone", "kitti", "ua_detrac"])
def test_the_video_of_that_name_tells_the_size(name: str, make_video: Make, tmp_path: Path) -> None:
    """A sequence without pictures was refused for want of a size, its video beside it."""
    long = make_video(num_frames=9)
    export_dataset(whole(long), tmp_path / "out", name, root=tmp_path, pictures=False)
    done = ingest(tmp_path / "out", name, videos=tmp_path, relative_to=tmp_path)
    brought = done.dataset.videos[0]
    assert done.notes == ()
    assert (brought.source, brought.info.num_frames) == ("a.mp4", 9)
    assert (brought.info.width_px, brought.info.rate) == (160, 25)
    make_video(num_frames=5)  # too short: said in a note, as with a video named in the labels
    done = ingest(tmp_path / "out", name, videos=tmp_path, relative_to=tmp_path)
    assert "labels up to frame 8, the video has 5 frames" in done.notes[0]


def test_label_files_of_several_videos_become_one_dataset(make_video: Make, tmp_path: Path) -> None:
    """Classes are brought together by name, whatever their places in each file."""
    one, two = make_video("a.mp4", num_frames=9), make_video("b.mp4", num_frames=9)
    parts = [Dataset(classes=("bee", "fly"), videos=(one,)),
             Dataset(classes=("fly", "ant", "bee"), videos=(two,))]  # fmt: skip
    both = joined(parts)
    assert both.classes == ("bee", "fly", "ant")
    for part, video in zip(parts, both.videos, strict=True):
        before, after = part.videos[0].tracks, video.tracks
        assert before is not None
        assert after is not None
        assert [both.classes[k] for k in after.labels] == [part.classes[k] for k in before.labels]
    with pytest.raises(InputError, match=r"a\.mp4 is in two of the label files"):
        joined([parts[0], parts[0]])
    halves = whole(replace(one, split="train"), replace(one, split="val"))
    assert len(joined([halves, parts[1]]).videos) == 3


def test_a_missing_video_is_noted_and_times_stay_nominal(make_video: Make, tmp_path: Path) -> None:
    write_dataset(whole(make_video(num_frames=9)), tmp_path / "a.json")
    (tmp_path / "a.mp4").unlink()
    done = ingest(tmp_path / "a.json")
    assert "not there" in done.notes[0]


@pytest.mark.parametrize("name", ["yolo", "voc", "coco", "imagenet_vid", "mot"])
def test_pictures_come_along_and_fit(name: str, make_video: Make, tmp_path: Path) -> None:
    data = whole(replace(make_video(num_frames=6), labelled_frames=np.array([1, 4])))
    table = data.videos[0].tracks
    assert table is not None
    data = whole(replace(data.videos[0], tracks=table[np.isin(table.frames, [1, 4])]))
    out = tmp_path / "out" / ("labels.json" if name == "coco" else "")
    out.parent.mkdir(exist_ok=True)
    export_dataset(data, out, name, root=tmp_path)
    folder = tmp_path / "out"
    pictures = [*folder.rglob("*.jpg"), *folder.rglob("*.JPEG")]
    assert len(pictures) == 2
    again = read_dataset(out, name, reading=Reading(labelled="listed"))
    found = {(one.info.width_px, one.info.height_px) for one in again.videos}
    assert found == {(160, 120)}
    if name in ("yolo", "voc"):
        assert all((out / one.source).is_file() for one in again.videos)


def test_export_without_the_video_is_refused(make_video: Make, tmp_path: Path) -> None:
    data = whole(make_video(num_frames=6))
    (tmp_path / "a.mp4").unlink()
    with pytest.raises(InputError, match="its pictures cannot be written"):
        export_dataset(data, tmp_path / "out", "yolo", root=tmp_path)
    assert list(tmp_path.iterdir()) == []  # labels without pictures are no export


def test_an_error_names_the_wanted_folder(make_video: Make, tmp_path: Path) -> None:
    data = Dataset(classes=("traffic light", "bus"), videos=(make_video(num_frames=2),))
    with pytest.raises(FormatError, match="class names with spaces") as caught:
        export_dataset(data, tmp_path / "x_kitti", "kitti", root=tmp_path)
    assert caught.value.path == str(tmp_path / "x_kitti")
    assert ".part" not in str(caught.value)


def test_png_pictures_come_without_a_warning(
    make_video: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    export_dataset(whole(make_video(num_frames=2)), tmp_path / "out", "kitti", root=tmp_path)
    assert len(list((tmp_path / "out").rglob("*.png"))) == 2
    assert "WARN" not in capfd.readouterr().err


def test_two_exports_do_not_mix(make_video: Make, tmp_path: Path) -> None:
    long, short = whole(make_video(num_frames=6)), whole(make_video(num_frames=4, name="b.mp4"))
    out = tmp_path / "out"
    export_dataset(long, out, "yolo", root=tmp_path)
    with pytest.raises(OutputError, match="--overwrite replaces it"):
        export_dataset(short, out, "yolo", root=tmp_path)
    assert len(list(out.rglob("*.jpg"))) == 6
    export_dataset(short, out, "yolo", root=tmp_path, overwrite=True)
    assert len(list(out.rglob("*.jpg"))) == 4
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", "b.mp4", "out"}


def test_previews_show_labelled_frames(make_video: Make, tmp_path: Path) -> None:
    shown = list(labelled_pictures(make_video(num_frames=20), tmp_path, num_shown=3))
    assert [frame.index for frame, _ in shown] == [0, 10, 19]
    assert all(isinstance(found, Tracks) and len(found) == 2 for _, found in shown)
    table = replace(make_video(num_frames=3).tracks, ids=np.full(6, -1))  # type: ignore[type-var]
    assert isinstance(found_at(table, 1), Detections)


def test_stats_count(make_video: Make) -> None:
    numbers = measure(whole(make_video(num_frames=50, split="val")))
    bee = numbers.classes[0]
    assert (bee.num_boxes, bee.num_tracks, bee.num_small) == (50, 1, 50)
    assert bee.track_s == (pytest.approx(49 / 25),) * 5
    assert bee.half_hidden is None
    assert numbers.videos[0].density == (10,) * 10
    assert numbers.splits == {"val": 1}
    json.dumps(numbers.as_json(), allow_nan=False)


def test_stats_of_nothing() -> None:
    numbers = measure(Dataset(classes=("bee",), videos=()))
    assert numbers.classes[0].size_px == ()
    json.dumps(numbers.as_json(), allow_nan=False)


def test_motion_iou_of_a_steady_walk() -> None:
    frames = np.arange(3)
    boxes = np.stack([frames, frames * 0, frames + 10, frames * 0 + 10], axis=1)
    table = TrackTable(
        frames=frames, times_s=frames, ids=np.ones(3), boxes_xyxy=boxes, labels=np.zeros(3)
    )
    one, two = 9 / 11, 8 / 12
    np.testing.assert_allclose(motion_iou(table), [(one + two) / 2, one, (one + two) / 2])


def test_the_most_doubtful_tracks_come_first() -> None:
    frames = np.tile(np.arange(4), 3)
    table = TrackTable(
        frames=frames, times_s=frames / 25, ids=np.repeat([5, 6, 7], 4), labels=np.zeros(12),
        boxes_xyxy=np.tile([0, 0, 9, 9], (12, 1)) + np.repeat([0, 20, 40], 4)[:, None],
        scores=np.repeat([0.9, 0.5, 0.9], 4), states=np.repeat([0, 0, 1], 4),
    )  # fmt: skip
    ids, values = doubts(table)
    assert ids.tolist() == [7, 6, 5]
    assert (np.diff(values) < 0).all()
    ready = for_correction(table)
    assert ready.boxes_xyxy[ready.ids == 1][0, 0] == 40
    seen = for_correction(table, PrelabelSettings(hidden=False))
    assert np.unique(seen.ids).tolist() == [1, 2]
    short = for_correction(table[table.frames < 2], PrelabelSettings())
    assert len(short) == 0


def test_unsure_tracks_become_ignore_regions() -> None:
    def found(score: float, state: int) -> Tracks:
        boxes = np.array([[0, 0, 9, 9], [20, 0, 29, 9]], np.float32)
        return Tracks(
            boxes, np.array([0.9, score], np.float32), np.zeros(2, np.int64),
            ids=np.array([5, 6]), states=np.array([0, state], np.uint8),
        )  # fmt: skip

    steps = [(0.3, 0), (0.2, 0), (0.4, 0), (0.9, 1)]  # what was not seen says nothing of the score
    table = TrackTable.from_frames([(i, i / 10, found(*step)) for i, step in enumerate(steps)])
    ready = for_correction(table, PrelabelSettings(unsure=0.5))
    assert ready.ignore is not None
    assert np.unique(ready.boxes_xyxy[ready.ignore][:, 0]).tolist() == [20]
    assert ready.ignore.sum() == 4
    plain = for_correction(table)
    assert plain.ignore is not None
    assert not plain.ignore.any()
    with pytest.raises(SettingsError, match="unsure is 2"):
        PrelabelSettings(unsure=2)


@pytest.mark.slow
def test_prelabel_gives_a_dataset_that_training_can_read(make_video: Make, tmp_path: Path) -> None:
    """Only the wanted classes, refined, and named as seen from the file's own folder."""
    from typer.testing import CliRunner

    from vodkit.cli.data import app

    make_video(num_frames=8)
    (tmp_path / "labels").mkdir()
    made = tmp_path / "labels" / "made.json"
    words = ["prelabel", str(tmp_path / "a.mp4"), "-f", "cocovid", "-o", str(made)]
    refused = CliRunner().invoke(app, [*words, "--set", "fill_s=1"])
    assert isinstance(refused.exception, SettingsError)
    assert "--refine" in str(refused.exception)
    more = ["--classes", "car,bus", "--tiles", "2x1", "--refine", "--runtime", "torch"]
    done = CliRunner().invoke(app, [*words, *more, "--set", "fill_s=1", "--unsure", "0.4"])
    assert done.exit_code == 0, done.output
    dataset = read_dataset(made)
    assert dataset.classes == ("car", "bus")
    assert dataset.videos[0].source == "../a.mp4"
    assert len(dataset.videos[0].labelled_frames) == 8
    content = made.read_bytes()
    assert str(tmp_path).encode() not in content, "the file moves with its video"
    again = CliRunner().invoke(app, words)
    assert isinstance(again.exception, OutputError)
    assert made.read_bytes() == content, "maybe corrected by hand"


def test_prelabel_refuses_before_it_works(make_video: Make, tmp_path: Path) -> None:
    """Two videos of one name, a video that is not there: said before the detector is loaded."""
    from typer.testing import CliRunner

    from vodkit.cli.data import app

    for folder in "ab":
        (tmp_path / folder).mkdir()
        make_video(f"{folder}/x.mp4", num_frames=2)
    out = ["-m", "no-such-model", "-o", str(tmp_path / "labels")]
    twice = CliRunner().invoke(app, ["prelabel", *map(str, tmp_path.glob("*/x.mp4")), *out])
    assert str(twice.exception).startswith("2 videos are called 'x.mp4'")
    missing = ["prelabel", str(tmp_path / "a/x.mp4"), str(tmp_path / "y.mp4"), *out]
    assert "y.mp4: no such file" in str(CliRunner().invoke(app, missing).exception)


@pytest.mark.slow
def test_prelabel_goes_on_with_what_it_has(make_video: Make, tmp_path: Path) -> None:
    """One video of two breaks off: its beginning is labelled. Mended, it alone is done again."""
    from typer.testing import CliRunner

    from vodkit.cli.data import app

    for name in ("a.mp4", "b.mp4"):
        make_video(name, num_frames=40)
    whole = (tmp_path / "b.mp4").read_bytes()
    made, runs = tmp_path / "made.json", tmp_path / ".runs-made.json"
    words = ["prelabel", str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4"), "-f", "cocovid"]
    words += ["-o", str(made), "--runtime", "torch"]

    def error(*more: str) -> str:
        return str(CliRunner().invoke(app, [*words, *more]).exception or "")

    damaged = bytearray(whole)
    place = len(whole) // 2
    damaged[place : place + 400] = bytes(400)
    (tmp_path / "b.mp4").write_bytes(damaged)
    assert error() == "1 of 2 sources failed or are incomplete; the others finished"
    first, second = (len(video.labelled_frames) for video in read_dataset(made).videos)
    assert (first, second < 40) == (40, True)
    of_a = runs / "a" / "predictions.jsonl"
    before = of_a.stat().st_mtime_ns
    assert "may have been corrected by hand" in error("--resume")
    made.unlink()
    assert "--resume continues it" in error()
    assert "has every = 1, requested: 2" in error("--resume", "--every", "2")
    assert "has classes = [], requested: ['car']" in error("--resume", "--classes", "car")
    (tmp_path / "b.mp4").write_bytes(whole)
    made.unlink(missing_ok=True)
    assert of_a.stat().st_mtime_ns == before
    assert error("--resume") == ""
    assert [len(video.labelled_frames) for video in read_dataset(made).videos] == [40, 40]
    assert not runs.exists()
    assert "did you mean vodkit" in error("--overwrite", "--tracker", "vodkt")
    assert "tracker" in error("--overwrite", "--tracker", "none")


def test_export_replaces_its_own_file_only_and_only_when_asked(
    make_video: Make, tmp_path: Path
) -> None:
    one, file = make_video(num_frames=2), tmp_path / "made.json"
    file.write_text("of another program")
    for overwrite, why in ((False, "--overwrite replaces it"), (True, "not written by vodkit")):
        with pytest.raises(OutputError, match=why):
            export_dataset(whole(one), file, "cocovid", root=tmp_path, overwrite=overwrite)
    assert file.read_text() == "of another program"
    file.unlink()
    export_dataset(whole(one), file, "cocovid", root=tmp_path)
    export_dataset(whole(one), file, "cocovid", root=tmp_path, overwrite=True)
    assert len(read_dataset(file).videos) == 1


def test_one_missing_video_does_not_cost_the_other_sheets(make_video: Make, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from vodkit.cli.data import app

    gone, there = make_video("a.mp4", num_frames=2), make_video("b.mp4", num_frames=2)
    write_dataset(whole(gone, there), tmp_path / "made.json")
    (tmp_path / "a.mp4").unlink()
    words = ["preview", str(tmp_path / "made.json"), "-o", str(tmp_path / "sheets")]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, PartialError)
    assert "no sheet of 1 of 2 videos" in str(done.exception)
    assert (tmp_path / "sheets" / "b.png").exists()
    (tmp_path / "b.mp4").unlink()
    assert isinstance(CliRunner().invoke(app, words).exception, VideoError)


def test_import_audit_split_stats_preview_export(
    make_video: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The way of a dataset through the commands."""
    import typer
    from typer.testing import CliRunner

    from vodkit.cli.data import app

    videos = [
        make_video(f"{name}.mp4", seed=seed, num_frames=30) for seed, name in enumerate("abc")
    ]
    write_dataset(whole(*videos), tmp_path / "mot", "mot")
    run = CliRunner().invoke
    made, split = tmp_path / "made.json", tmp_path / "split.json"
    assert set(COMMANDS) >= {"import", "audit", "split", "stats", "preview", "export", "prelabel"}
    texts = [str(tmp_path / f"{name}.txt") for name in "ab"]  # a label file a video, by its name
    for place, video in zip(texts, videos, strict=False):
        write_dataset(whole(video), Path(place), "mot")
    done = run(app, ["import", *texts, "--videos", str(tmp_path), "-o", str(tmp_path / "two.json")])
    assert done.exit_code == 0, done.output
    assert f"next: vodkit data audit {tmp_path / 'two.json'}" in done.output
    assert [one.source for one in read_dataset(tmp_path / "two.json").videos] == ["a.mp4", "b.mp4"]
    assert run(app, ["import", *texts, "-o", str(made), "--video", "a.mp4"]).exit_code != 0
    for one in videos:
        name = one.source.removesuffix(".mp4")
        (tmp_path / one.source).rename(tmp_path / "mot" / "train" / name / "img1")
    done = run(app, ["import", str(tmp_path / "mot"), "-o", str(made)])
    assert done.exit_code == 0, done.output
    assert "videos: 3, labelled frames: 90, boxes: 180" in done.output
    done = run(
        app, ["split", str(made), "-o", str(split), "--train", "0.6", "--val", "0.4", "--json"]
    )
    assert done.exit_code == 0, done.output
    assert {one.split for one in read_dataset(split).videos} == {"train", "val"}
    done = run(app, ["audit", str(split), "--json"])
    assert done.exit_code == 0, done.output
    assert all(finding["grade"] != "error" for finding in json.loads(done.output))
    done = run(app, ["stats", str(split)])
    assert "bee" in done.output
    done = run(app, ["preview", str(split), "-o", str(tmp_path / "sheets"), "--frames", "2"])
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "sheets").glob("*.png"))) == 3
    done = run(app, ["export", str(split), "-f", "cvat", "-o", str(tmp_path / "xml")])
    assert "not kept by cvat: splits" in done.output
    broken = tmp_path / "broken.json"
    broken.write_text(split.read_text().replace('"category_id": 2', '"category_id": 9', 1))
    done = run(app, ["audit", str(broken), "--labels-only", "--fix", str(tmp_path / "fixed.json")])
    assert done.exit_code == 2
    assert "file-fault" in done.output
    assert "dropped" in done.output
    assert read_dataset(tmp_path / "fixed.json").videos
    assert isinstance(app, typer.Typer)
    assert Fraction(25) == read_dataset(made).videos[0].info.rate
    capsys.readouterr()
