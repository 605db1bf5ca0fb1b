"""The real sets through every format, each from the one before it: identical boxes and frames."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from label_files import place
from vodkit.data.audit.audit import audit
from vodkit.data.audit.findings import Grade
from vodkit.data.ingest import ingest
from vodkit.data.preview import labelled_pictures
from vodkit.formats.base import Reading
from vodkit.formats.table import FORMATS, read_dataset, write_dataset
from vodkit.ground.records import Dataset, LabelledVideo
from vodkit.report.contact_sheet import contact_sheet

pytestmark = pytest.mark.slow
CHAIN = [name for name in FORMATS if "video" in FORMATS[name].KEEPS and name != "predictions"]


def boxes(dataset: Dataset) -> list[list[tuple[float, ...]]]:
    """For each video its boxes that count, as frame, class name and rounded corners, sorted."""
    found = []
    for video in dataset.videos:
        assert video.tracks is not None
        table = video.tracks[~np.asarray(video.tracks.ignore)]
        names = [dataset.classes[label] for label in table.labels]
        rows = zip(table.frames.tolist(), names, table.boxes_xyxy.round(3).tolist(), strict=True)
        found.append(sorted((frame, name, *box) for frame, name, box in rows))
    return found


@pytest.mark.parametrize("which", ["mot15/TUD-Campus", "pets09_s2l1/gt.txt", "flies/clip_gt.txt"])
def test_tracks_survive_all_formats_in_a_row(which: str, shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "sequences" / which
    source = {"pets09_s2l1": "vtest.avi", "flies": "clip.mp4"}.get(path.parent.name, "")
    told = Reading(source=source, classes=("thing",))
    start = ingest(path, reading=told).dataset
    start = _plain(start)
    info = start.videos[0].info
    now = start
    reading = Reading(size_px=(info.width_px, info.height_px), rate=info.rate, classes=("thing",))
    for name in CHAIN:
        write_dataset(now, place(name, tmp_path, name), name)
        now = read_dataset(place(name, tmp_path, name), name, reading=reading)
        assert boxes(now) == boxes(start), name
        assert now.videos[0].tracks is not None
        assert start.videos[0].tracks is not None
        np.testing.assert_array_equal(now.videos[0].tracks.ids, start.videos[0].tracks.ids)


def _plain(dataset: Dataset) -> Dataset:
    """Without what some formats do not keep (ignore rows), and called like a file."""
    videos = []
    for video in dataset.videos:
        assert video.tracks is not None
        kept = video.tracks[~np.asarray(video.tracks.ignore)]
        videos.append(replace(video, tracks=kept, source="clip.mp4", frame_files=(), tags={}))
    return Dataset(classes=dataset.classes, videos=tuple(videos))


@pytest.mark.parametrize("which", ["raccoon", "bccd/BCCD"])
@pytest.mark.parametrize("name", ["coco", "cocovid", "voc", "datumaro"])
def test_pictures_survive(which: str, name: str, shared_data: Path, tmp_path: Path) -> None:
    start = read_dataset(shared_data / "images" / which)
    write_dataset(start, place(name, tmp_path, name), name)
    told = Reading(classes=start.classes)
    again = read_dataset(place(name, tmp_path, name), name, reading=told)
    assert _by_name(again) == _by_name(start)


def _by_name(dataset: Dataset) -> dict[str, list[tuple[float, ...]]]:
    return {
        Path(video.source).stem: found
        for video, found in zip(dataset.videos, boxes(dataset), strict=True)
    }


@pytest.mark.parametrize(
    ("labels", "video"),
    [
        ("pets09_s2l1/gt.txt", "vtest.avi"),
        ("flies/two_flies_gt.txt", "two_flies.mp4"),
        ("flies/clip_gt.txt", "clip.mp4"),
    ],
)
def test_real_truth_is_sound_and_a_shift_in_it_is_found(
    labels: str, video: str, shared_data: Path
) -> None:
    path = shared_data / "sequences" / labels
    brought = ingest(path, reading=Reading(source=video, classes=("thing",)))
    assert brought.notes == ()
    done = audit(brought.dataset, path.parent)
    assert [one for one in done.findings if one.grade == Grade.ERROR] == []
    late = _late(brought.dataset.videos[0], 4)
    again = audit(Dataset(classes=("thing",), videos=(late,)), path.parent)
    found = again.shifts[late.source]
    if "pets" in labels:
        assert found.frames == -4
    elif "clip" in labels:  # slow: told by when they move, and that is at least suspicious
        assert -4 in {found.frames, found.suspected}
    else:  # these two hardly move from their place
        assert found.frames in {0, -4}


def _late(video: LabelledVideo, frames: int) -> LabelledVideo:
    assert video.tracks is not None
    last = (video.info.num_frames or 0) - frames
    kept = video.tracks[video.tracks.frames < last]
    step = float(1 / Fraction(video.info.rate))
    moved = replace(kept, frames=kept.frames + frames, times_s=kept.times_s + frames * step)
    return replace(video, tracks=moved)


def test_pictures_of_one_set_are_not_taken_for_one_another(shared_data: Path) -> None:
    """Unlike pictures of one kind dealt to two sides are no leak; a copy of one is."""
    root = shared_data / "images" / "raccoon"
    pictures = read_dataset(root).videos[:60]
    sides = [replace(one, split=("train", "val")[n % 2]) for n, one in enumerate(pictures)]
    done = audit(Dataset(classes=("raccoon",), videos=tuple(sides)), root)
    leaks = [one for one in done.findings if one.code == "leak"]
    assert len(leaks) <= 2, [one.evidence for one in leaks]


def test_the_same_labels_on_the_same_pixels(shared_data: Path, tmp_path: Path) -> None:
    """Contact sheets of truth that came through CVAT, Label Studio and MOT are one picture."""
    folder = shared_data / "sequences" / "mot15" / "TUD-Campus"
    truth = read_dataset(folder)
    told = Reading(size_px=(640, 480), rate=Fraction(25), classes=truth.classes)
    sheets = [_sheet(truth.videos[0], folder)]
    for name in ("cvat", "label_studio", "mot"):
        write_dataset(truth, place(name, tmp_path, name), name)
        video = read_dataset(place(name, tmp_path, name), name, reading=told).videos[0]
        sheets.append(_sheet(replace(video, source=truth.videos[0].source), folder))
    for other in sheets[1:]:
        np.testing.assert_array_equal(sheets[0], other)


def _sheet(video: LabelledVideo, root: Path) -> np.ndarray:
    shown = list(labelled_pictures(video, root, num_shown=6))
    return contact_sheet(shown, ("pedestrian",), columns=3)
