"""The native form gives back exactly what was written, and pycocotools opens it."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vodkit.formats.base import Reading
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.errors import FormatError
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo


def small_dataset() -> Dataset:
    """Two videos: every column used in one, sparse labels and NO_ID rows in the other."""
    info = VideoInfo(
        path="clips/a.mp4", width_px=640, height_px=480, rate=Fraction(30000, 1001), num_frames=90
    )
    table = TrackTable(
        frames=[3, 3, 3, 7, 7],
        times_s=[0.1, 0.1, 0.1, 7 * 1001 / 30000, 7 * 1001 / 30000],
        ids=[1, 2, -1, 1, -1],
        boxes_xyxy=[
            [0.1, 0.2, 10.3, 20.4],
            [5, 5, 9, 9],
            [1, 1, 2, 2],
            [-3, 4, 8, 9],
            [0, 0, 3, 3],
        ],
        labels=[0, 1, 0, 0, -1],
        scores=[1, 0.3, 1, 1, 1],
        states=[0, 1, 0, 2, 0],
        visibility=[0.5, np.nan, 1, 0, np.nan],
        ignore=[0, 0, 1, 0, 1],
    )
    first = LabelledVideo(
        source="clips/a.mp4",
        info=info,
        tracks=table,
        labelled_frames=np.array([3, 7, 11]),
        split="val",
        tags={"site": "north"},
    )
    other = VideoInfo(
        path="/elsewhere/b.mp4",
        width_px=64,
        height_px=48,
        rate=Fraction(25),
        num_frames=4,
        duration_s=0.16,
    )
    second = LabelledVideo(source="clips/b.mp4", info=other, tracks=TrackTable.empty())
    third = LabelledVideo(source="frames/c", info=other, frame_files=("1.jpg", "2.jpg"))
    return Dataset(classes=("fly", "bee"), videos=(first, second, third))


def test_what_was_written_comes_back_equal(tmp_path: Path) -> None:
    dataset = small_dataset()
    write_dataset(dataset, tmp_path / "truth.json")
    assert read_dataset(tmp_path / "truth.json") == dataset


def test_pycocotools_opens_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools.coco import COCO

    write_dataset(small_dataset(), tmp_path / "truth.json")
    coco = COCO(str(tmp_path / "truth.json"))
    capsys.readouterr()
    assert len(coco.getImgIds()) == 7
    assert min(coco.getAnnIds()) == 1
    assert coco.loadImgs(1)[0]["file_name"] == "clips/a.mp4#000003"


def test_files_of_others_are_read(shared_data: Path) -> None:
    path = shared_data / "reference" / "vid" / "random4" / "gt.json"
    dataset = read_dataset(path, reading=Reading(rate=Fraction(30)))
    assert len(dataset.videos) == 4
    assert sum(len(video.tracks or ()) for video in dataset.videos) > 100


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"image_id": 1', '"image_id": 99', "unknown image 99"),
        ('"category_id": 2', '"category_id": 3', "unknown category 3; there are: 1 to 2"),
        ('"frame_id": 11', '"frame_id": 90', "frame 90 of 90 frames"),
        ('"instance_id": 2', '"instance_id": 1', "track id 1 occurs twice in frame 3"),
        ("[5.0, 5.0, 4.0, 4.0]", "[5.0, NaN, 4.0, 4.0]", "is not finite"),
        ("[5.0, 5.0, 4.0, 4.0]", "[5.0, 5.0, -4.0, 4.0]", "inverted"),
        ("[5.0, 5.0, 4.0, 4.0]", '[5.0, 5.0, "4", 4.0]', "allowed: a number"),
        ('"score": 0.3', '"score": 1.3', "score 1.3 in frame 3"),
        ('"clips/a.mp4", "width"', '"/etc/a.mp4", "width"', "leads outside"),
    ],
)
def test_a_fault_is_named_with_its_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = tmp_path / "truth.json"
    write_dataset(small_dataset(), path)
    text = path.read_text()
    assert old in text
    line = text[: text.index(old)].count("\n") + 1
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(FormatError, match=says) as caught:
        read_dataset(path)
    assert caught.value.line == line


def test_faults_can_be_collected_instead(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    write_dataset(small_dataset(), path)
    path.write_text(path.read_text().replace('"category_id": 2', '"category_id": 3'))
    faults: list[FormatError] = []
    dataset = read_dataset(path, reading=Reading(fault=faults.append))
    assert len(faults) == 1
    assert len(dataset.videos[0].tracks or ()) == 4
