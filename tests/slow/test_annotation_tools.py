"""Labelling tools' own code reads what vodkit writes, and writes what vodkit reads.

Datumaro (from the makers of CVAT) and Label Studio's SDK, on real sequences: the same boxes in
the same frames, with the same ids and classes.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vodkit.formats.base import Reading, Writing
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.arrays import FloatArray
from vodkit.ground.records import Dataset, TrackTable

dm = pytest.importorskip("datumaro", reason="datumaro is not installed: tests/oracles.txt")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
CLASSES = ("person",)
Row = tuple[int, int, float, float, float, float]


@pytest.fixture(scope="module", params=["TUD-Campus", "PETS09-S2L1"])
def labels(request: pytest.FixtureRequest, shared_data: Path) -> Dataset:
    """A real sequence, without what is not to be considered, to a quarter pixel.

    The tools write two digits; so nothing is lost to rounding.
    """
    there = shared_data / "sequences" / "mot15" / request.param
    video = read_dataset(there, reading=Reading(classes=CLASSES)).videos[0]
    assert video.tracks is not None
    kept = video.tracks[~np.asarray(video.tracks.ignore)]
    rounded = replace(kept, boxes_xyxy=np.round(kept.boxes_xyxy * 4) / 4)
    return Dataset(classes=CLASSES, videos=(replace(video, tracks=rounded),))


def size_of(labels: Dataset) -> tuple[int, int]:
    return labels.videos[0].info.width_px, labels.videos[0].info.height_px


def told(labels: Dataset) -> Reading:
    """What files without it are told."""
    return Reading(classes=CLASSES, size_px=size_of(labels), rate=labels.videos[0].info.rate)


def rows_of(labels: Dataset) -> list[Row]:
    """(frame, id, corners) of all boxes, sorted."""
    (video,) = labels.videos
    table = video.tracks or TrackTable.empty()
    corners = table.boxes_xyxy.astype(float).round(2).tolist()
    return sorted(
        (frame, track, *box)
        for frame, track, box in zip(
            table.frames.tolist(), table.ids.tolist(), corners, strict=True
        )
    )


def theirs(folder: Path, format_name: str, *, first: int = 0) -> list[Row]:
    """The same of what Datumaro reads; frames by attribute or by name, from ``first``."""
    rows = []
    for item in dm.Dataset.import_from(str(folder), format_name):
        frame = int(item.attributes.get("frame", item.id.rsplit("_", 1)[-1])) - first
        for box in item.annotations:
            if box.attributes.get("outside"):
                continue
            track = int(box.attributes.get("track_id", -1))
            rows.append((frame, track, *(round(float(x), 2) for x in box.points)))
    return sorted(rows)


def without_ids(rows: list[Row]) -> list[tuple[float, ...]]:
    return sorted((row[0], *row[2:]) for row in rows)


def test_datumaro_reads_our_datumaro_file(labels: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "annotations" / "train.json"
    path.parent.mkdir()
    write_dataset(labels, path, "datumaro")
    assert theirs(tmp_path, "datumaro") == rows_of(labels)


def test_datumaro_reads_our_mot_folder(labels: Dataset, tmp_path: Path) -> None:
    write_dataset(labels, tmp_path / "mot", "mot")
    (folder,) = {file.parent.parent for file in (tmp_path / "mot").rglob("gt.txt")}
    assert theirs(folder, "mot_seq", first=1) == rows_of(labels)


def test_datumaro_reads_our_pascal_files(labels: Dataset, tmp_path: Path) -> None:
    write_dataset(labels, tmp_path / "voc", "voc")
    assert without_ids(theirs(tmp_path / "voc", "voc")) == without_ids(rows_of(labels))


def test_the_makers_of_cvat_read_our_cvat_file(labels: Dataset, tmp_path: Path) -> None:
    """They give the key frames alone: each is our box in that frame, and each track has its own."""
    write_dataset(labels, tmp_path / "a.xml", "cvat", writing=Writing(tolerance_px=0.0))
    found = theirs(tmp_path / "a.xml", "cvat")
    ours = set(without_ids(rows_of(labels)))
    assert set(without_ids(found)) <= ours
    assert len({row[1] for row in found}) == len({row[1] for row in rows_of(labels)})
    assert len(found) > 0.5 * len(ours)


@pytest.mark.parametrize(
    ("format_name", "place"),
    [("coco", "annotations/instances_train.json"), ("datumaro", "annotations/train.json"),
     ("voc", ""), ("mot_seq_gt", "")],
)  # fmt: skip
def test_what_datumaro_writes_is_read(
    labels: Dataset, tmp_path: Path, format_name: str, place: str
) -> None:
    items = [_item(frame, labels) for frame in range(12)]
    made = dm.Dataset.from_iterable(items, categories=list(CLASSES), media_type=dm.Image)
    made.export(str(tmp_path), format_name, save_media=True)
    again = read_dataset(tmp_path / place, reading=told(labels))
    expected = [row[2:] for row in rows_of(labels) if row[0] < 12]
    tables = [video.tracks for video in again.videos if video.tracks is not None]
    found = [tuple(box) for table in tables for box in table.boxes_xyxy.astype(float).round(2)]
    assert again.classes == CLASSES
    assert sorted(found) == sorted(expected)
    if format_name == "mot_seq_gt":
        ours = [row for row in rows_of(labels) if row[0] < 12]
        by_box = {(row[0], *row[2:]): row[1] for row in ours}
        renamed = {(by_box[row[0], *row[2:]], row[1]) for row in rows_of(again)}
        assert len(renamed) == len({one for one, _ in renamed})  # it numbers tracks anew


def _item(frame: int, labels: Dataset) -> Any:
    """One picture of theirs with our boxes."""
    boxes = [
        dm.Bbox(x1, y1, x2 - x1, y2 - y1, label=0, attributes={"track_id": track})
        for at, track, x1, y1, x2, y2 in rows_of(labels)
        if at == frame
    ]
    black = dm.Image.from_numpy(np.zeros((*size_of(labels)[::-1], 3), np.uint8))
    name, known = f"frame_{frame:06d}", {"frame": frame}
    return dm.DatasetItem(id=name, subset="train", attributes=known, media=black, annotations=boxes)


def test_pictures_from_cvat_are_read_not_taken_as_empty(labels: Dataset, tmp_path: Path) -> None:
    """CVAT's other format, "for images 1.1", looks alike and has no tracks."""
    made = dm.Dataset.from_iterable(
        [_item(frame, labels) for frame in range(3)],
        categories=list(CLASSES),
        media_type=dm.Image,
    )
    made.export(str(tmp_path), "cvat", save_media=False)
    (file,) = tmp_path.rglob("*.xml")
    truth = labels.videos[0].tracks
    assert truth is not None
    data = read_dataset(file, reading=told(labels))
    wanted = truth.boxes_xyxy[truth.frames < 3]
    found = np.concatenate([video.tracks.boxes_xyxy for video in data.videos if video.tracks])
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(wanted, axis=0), atol=0.01)


@pytest.mark.parametrize("tolerance_px", [0.0, 2.0])
def test_label_studio_draws_our_boxes_in_every_frame(
    labels: Dataset, tmp_path: Path, tolerance_px: float
) -> None:
    """Their own code fills in the frames between our key frames."""
    video = pytest.importorskip(
        "label_studio_sdk._extensions.label_studio_tools.postprocessing.video",
        reason="label-studio-sdk is not installed: tests/oracles.txt",
    )
    path = tmp_path / "a.json"
    write_dataset(labels, path, "label_studio", writing=Writing(tolerance_px=tolerance_px))
    (task,) = json.loads(path.read_text(encoding="utf-8"))
    parts = task.get("annotations") or task["predictions"]
    drawn: dict[tuple[int, int], FloatArray] = {}
    for region in video.extract_key_frames(parts[0]["result"]):
        track = int(region["id"].removeprefix("track_"))
        for key in region["value"]["sequence"]:
            start = np.array([key["x"], key["y"]]) / 100 * size_of(labels)
            sides = np.array([key["width"], key["height"]]) / 100 * size_of(labels)
            drawn[key["frame"] - 1, track] = np.concatenate([start, start + sides])
    wanted = {(row[0], row[1]): row[2:] for row in rows_of(labels)}
    assert set(drawn) == set(wanted)
    gaps = [np.abs(np.subtract(drawn[key], wanted[key])).max() for key in wanted]
    assert max(gaps) <= tolerance_px + 0.02
