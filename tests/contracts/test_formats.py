"""What every label format must do: the same boxes come back, and only its own errors come out."""

from fractions import Fraction
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from label_files import ONE_VIDEO, place
from vodkit.formats.base import Reading, Writing, picture_name, stems
from vodkit.formats.rows import labelled_frames
from vodkit.formats.table import (
    FORMATS,
    READERS,
    detect_format,
    read_dataset,
    what_is_lost,
    write_dataset,
)
from vodkit.ground.errors import VodkitError
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo

SIZE = (64, 48)


def tracks(*, gap: bool) -> TrackTable:
    """Two tracks over eight frames; one may pause and comes back."""
    rows = []
    for frame in range(8):
        rows.append((frame, 1, [1.5 + frame, 2, 11.25 + frame, 20], 0))
        if not (gap and frame in (3, 4)):
            rows.append((frame, 2, [40 - frame / 3, 5, 50, 30 + frame / 7], 1))
    frames, ids, boxes, labels = zip(*rows, strict=True)
    return TrackTable(
        frames=frames, times_s=np.array(frames) / 25, ids=ids, boxes_xyxy=boxes, labels=labels
    )


def dataset(num_videos: int = 2) -> Dataset:
    info = VideoInfo(path="a", width_px=SIZE[0], height_px=SIZE[1], rate=Fraction(25), num_frames=8)
    videos = [
        LabelledVideo(source=f"clip{n}.mp4", info=info, tracks=tracks(gap=bool(n)))
        for n in range(num_videos)
    ]
    return Dataset(classes=("bee", "fly"), videos=tuple(videos))


def num_videos(name: str) -> int:
    return 1 if name in ONE_VIDEO else 2


def boxes_by_picture(data: Dataset, *, whole_videos: bool) -> dict[str, list[tuple[object, ...]]]:
    """For each labelled picture: its boxes with class names, sorted."""
    found: dict[str, list[tuple[object, ...]]] = {}
    for video, name in zip(data.videos, stems(data), strict=True):
        assert video.tracks is not None
        for frame in labelled_frames(video):
            key = f"{name}/{frame}"
            if not whole_videos:
                key = PurePosixPath(picture_name(video, name, frame)).stem
            here = video.tracks[(video.tracks.frames == frame) & ~video.tracks.ignore]
            found[key] = sorted(
                (data.classes[label], *np.round(box, 4).tolist())
                for label, box in zip(here.labels, here.boxes_xyxy, strict=True)
            )
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_boxes_classes_and_frames_come_back(name: str, tmp_path: Path) -> None:
    wanted = dataset(num_videos(name))
    path = place(name, tmp_path, "clip0")  # the video's name, for formats that have no other
    write_dataset(wanted, path, name)
    assert detect_format(path) == name
    told = Reading(size_px=SIZE, rate=Fraction(25))
    again = read_dataset(path, reading=told)
    whole = "video" in FORMATS[name].KEEPS
    assert boxes_by_picture(again, whole_videos=whole) == boxes_by_picture(
        wanted, whole_videos=whole
    )


@pytest.mark.parametrize("name", [name for name in FORMATS if "ids" in FORMATS[name].KEEPS])
def test_ids_and_times_come_back(name: str, tmp_path: Path) -> None:
    wanted = dataset(1)
    path = place(name, tmp_path)
    write_dataset(wanted, path, name)
    again = read_dataset(path, name, reading=Reading(size_px=SIZE, rate=Fraction(25)))
    one, two = wanted.videos[0].tracks, again.videos[0].tracks
    assert one is not None
    assert two is not None
    np.testing.assert_array_equal(one.frames, two.frames)
    np.testing.assert_array_equal(one.ids, two.ids)
    np.testing.assert_allclose(one.boxes_xyxy, two.boxes_xyxy, atol=1e-5)
    if again.videos[0].info.rate == 25:
        np.testing.assert_allclose(one.times_s, two.times_s, atol=1e-9)


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_dataset_is_legal(name: str, tmp_path: Path) -> None:
    info = VideoInfo(path="a", width_px=64, height_px=48, rate=Fraction(25), num_frames=2)
    video = LabelledVideo(source="clip.mp4", info=info, tracks=TrackTable.empty())
    path = place(name, tmp_path)
    write_dataset(Dataset(classes=("bee",), videos=(video,)), path, name)
    told = Reading(size_px=SIZE, classes=("bee",), labelled="all")
    again = read_dataset(path, name, reading=told)
    assert all(len(video.tracks or ()) == 0 for video in again.videos)


@pytest.mark.parametrize("name", FORMATS)
def test_ignore_rows_never_become_objects(name: str, tmp_path: Path) -> None:
    table = TrackTable(
        frames=[0, 0], times_s=[0, 0], ids=[1, -1], boxes_xyxy=[[1, 1, 9, 9], [2, 2, 30, 30]],
        labels=[0, -1], ignore=[False, True],
    )  # fmt: skip
    info = VideoInfo(path="a", width_px=64, height_px=48, rate=Fraction(25), num_frames=1)
    data = Dataset(
        classes=("bee",), videos=(LabelledVideo(source="clip.mp4", info=info, tracks=table),)
    )
    path = place(name, tmp_path)
    write_dataset(data, path, name)
    again = read_dataset(path, name, reading=Reading(size_px=SIZE, classes=("bee",)))
    objects = [video.tracks[~video.tracks.ignore] for video in again.videos]  # type: ignore[index]
    assert sum(map(len, objects)) == 1
    if "ignore" not in FORMATS[name].KEEPS:
        assert "ignore regions" in what_is_lost(data, name)


@pytest.mark.parametrize("name", FORMATS)
def test_a_truncated_file_is_a_clear_error_or_fewer_boxes(name: str, tmp_path: Path) -> None:
    path = place(name, tmp_path)
    write_dataset(dataset(num_videos(name)), path, name)
    told = Reading(size_px=SIZE, rate=Fraction(25))
    for file in [path] if path.is_file() else sorted(path.rglob("*.*"))[:4]:
        if not file.is_file():
            continue
        content = file.read_bytes()
        for share in (0.0, 0.3, 0.8):
            file.write_bytes(content[: int(len(content) * share)])
            said = ""
            try:
                read_dataset(path, name, reading=told)
            except VodkitError as error:
                said = str(error)
            assert not said or str(tmp_path) in said
        file.write_bytes(content)


@pytest.mark.parametrize("name", READERS)
def test_what_is_not_there_is_said(name: str, tmp_path: Path) -> None:
    with pytest.raises(VodkitError, match="no such file"):
        read_dataset(tmp_path / "none", name)
    assert not READERS[name].sniff(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert not READERS[name].sniff(tmp_path / "empty")


@pytest.mark.parametrize("name", ["cvat", "label_studio"])
@pytest.mark.parametrize("tolerance_px", [0.3, 2.0])
def test_key_frames_stay_within_the_tolerance(
    name: str, tolerance_px: float, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    frames = np.arange(200)
    corners = np.cumsum(rng.normal(0, 0.5, (200, 2)), axis=0) + 200
    boxes = np.hstack([corners, corners + 30])
    table = TrackTable(
        frames=frames, times_s=frames / 25, ids=np.full(200, 7), boxes_xyxy=boxes,
        labels=np.zeros(200),
    )  # fmt: skip
    info = VideoInfo(path="a", width_px=640, height_px=480, rate=Fraction(25), num_frames=210)
    video = LabelledVideo(source="clip.mp4", info=info, tracks=table)
    path = place(name, tmp_path) if name == "label_studio" else tmp_path / "a.xml"
    data = Dataset(classes=("bee",), videos=(video,))
    write_dataset(data, path, name, writing=Writing(tolerance_px=tolerance_px))
    text = path.read_text()
    assert text.count("<box") + text.count('"enabled"') < 150
    again = read_dataset(path, name, reading=Reading(size_px=(640, 480), rate=Fraction(25)))
    back = again.videos[0].tracks
    assert back is not None
    np.testing.assert_array_equal(back.frames, frames)
    np.testing.assert_array_equal(back.ids, np.full(200, 7))
    assert np.abs(back.boxes_xyxy - boxes).max() <= tolerance_px + 1e-6
