"""Files as the benchmarks hand them out, and the faults found in them."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vodkit.formats.base import Reading
from vodkit.formats.supervision_detections import (
    detections_from_supervision,
    to_supervision,
    tracks_from_supervision,
)
from vodkit.formats.table import detect_format, read_dataset, write_dataset
from vodkit.ground.errors import FormatError
from vodkit.ground.records import Dataset, Detections, LabelledVideo, Tracks, TrackTable, VideoInfo

SIZE = Reading(size_px=(64, 48), rate=Fraction(10))
DETRAC = """<?xml version="1.0"?>
<sequence name="MVI_1">
  <sequence_attribute camera_state="unstable" sence_weather="sunny"/>
  <ignored_region><box left="1" top="2" width="10" height="10"/></ignored_region>
  <frame density="1" num="1"><target_list><target id="4">
    <box left="5" top="6" width="10" height="20"/>
    <attribute vehicle_type="van" truncation_ratio="0"/>
    <occlusion><region_overlap occlusion_id="5" left="5" top="6" width="5" height="20"/></occlusion>
  </target></target_list></frame>
</sequence>
"""
VID = """<annotation><folder>a</folder><filename>000000</filename>
<size><width>64</width><height>48</height></size>
<object><trackid>3</trackid><name>n02084071</name>
<bndbox><xmax>9</xmax><xmin>1</xmin><ymax>8</ymax><ymin>2</ymin></bndbox>
<occluded>1</occluded><generated>0</generated></object></annotation>
"""
KITTI = (
    "0 2 Car 0 1 -1.5 1.5 2 10 20 1 1 1 0 0 0 0\n"
    "0 -1 DontCare -1 -1 -10 5 5 9 9 -1 -1 -1 -1000 -1000 -1000 -10\n"
)
VISDRONE = "1,0,5,6,10,20,1,4,0,1\n1,3,0,0,30,30,0,0,0,0\n2,0,6,6,10,20,1,11,0,2\n"


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def only(video: LabelledVideo) -> TrackTable:
    assert video.tracks is not None
    return video.tracks


def test_ua_detrac(tmp_path: Path) -> None:
    write(tmp_path, "MVI_1.xml", DETRAC)
    assert detect_format(tmp_path) == "ua_detrac"
    dataset = read_dataset(tmp_path)
    table = only(dataset.videos[0])
    assert dataset.classes == ("van",)
    assert table.ignore is not None
    assert table.ignore.tolist() == [True, False]
    assert table.boxes_xyxy[1].tolist() == [5, 6, 15, 26]
    assert table.visibility is not None
    assert table.visibility[1] == 0.5
    assert (dataset.videos[0].info.width_px, dataset.videos[0].info.rate) == (960, 25)
    # its video is asked before the caller, as in every format that does not say itself
    seen = VideoInfo(path="v", width_px=64, height_px=48, rate=Fraction(10))
    asked = Reading(probe=lambda _: seen, size_px=(320, 240), rate=Fraction(7))
    info = read_dataset(tmp_path, reading=asked).videos[0].info
    assert (info.width_px, info.rate) == (64, 10)
    info = read_dataset(tmp_path, reading=replace(asked, probe=lambda _: None)).videos[0].info
    assert (info.width_px, info.rate) == (320, 7)


def test_imagenet_vid(tmp_path: Path) -> None:
    write(tmp_path, "Annotations/VID/val/snippet/000000.xml", VID)
    assert detect_format(tmp_path) == "imagenet_vid"
    dataset = read_dataset(tmp_path)
    video = dataset.videos[0]
    assert (dataset.classes, video.split) == (("dog",), "val")
    assert only(video).boxes_xyxy.tolist() == [[1, 2, 9, 8]]
    assert only(video).ids.tolist() == [3]


def test_kitti(tmp_path: Path) -> None:
    write(tmp_path, "label_02/0000.txt", KITTI)
    assert detect_format(tmp_path) == "kitti"
    dataset = read_dataset(tmp_path, reading=SIZE)
    table = only(dataset.videos[0])
    assert dataset.classes == ("Car",)
    assert table.ids.tolist() == [-1, 2]
    assert table.labels.tolist() == [-1, 0]
    assert table.boxes_xyxy[1].tolist() == [1.5, 2, 10, 20]


def test_visdrone(tmp_path: Path) -> None:
    write(tmp_path, "annotations/uav1.txt", VISDRONE)
    assert detect_format(tmp_path) == "visdrone"
    table = only(read_dataset(tmp_path, reading=SIZE).videos[0])
    assert table.labels.tolist() == [-1, 3, 10]
    assert table.ids.tolist() == [-1, 0, 0]
    assert table.visibility is not None
    assert table.visibility[1:].tolist() == [0.75, 0.25]


def test_bdd100k(tmp_path: Path) -> None:
    frames = [
        {"name": "v-0000001.jpg", "videoName": "v", "frameIndex": index, "labels": [
            {"id": "00122063", "category": "car", "box2d": {"x1": 1, "y1": 2, "x2": 9, "y2": 8},
             "attributes": {"occluded": True, "crowd": index == 1}}]}
        for index in range(2)
    ]  # fmt: skip
    path = write(tmp_path, "v.json", json.dumps(frames))
    assert detect_format(path) == "scalabel"
    table = only(read_dataset(path, reading=SIZE).videos[0])
    assert table.ids.tolist() == [122063, 122063]
    assert table.ignore is not None
    assert table.ignore.tolist() == [False, True]


def test_yolo_polygons_scores_and_pictures_without_labels(tmp_path: Path) -> None:
    write(tmp_path, "data.yaml", "train: images/train\nnames: [bee, fly]\n")
    write(tmp_path, "labels/train/a.txt", "1 0.5 0.5 0.5 0.5 0.25\n0 0.1 0.2 0.3 0.2 0.2 0.6\n")
    told = Reading(size_px=(100, 100))
    table = only(read_dataset(tmp_path, reading=told).videos[0])
    np.testing.assert_allclose(table.boxes_xyxy, [[25, 25, 75, 75], [10, 20, 30, 60]])
    assert table.scores is not None
    assert table.scores.tolist() == [0.25, 1]


@pytest.mark.parametrize("ending", ["", "\n", "\n\n \n"])
@pytest.mark.parametrize(
    ("name", "sheet", "file", "line"),
    [
        ("yolo", "classes.txt", "labels/a.txt", "1 .5 .5 .1 .1"),
        ("visdrone", "classes.txt", "annotations/a.txt", "1,0,5,6,10,20,1,2,0,1"),
        ("mot", "gt/labels.txt", "gt/gt.txt", "1,1,5,6,10,20,1,2,1"),
    ],
)
def test_a_class_name_is_a_line(
    name: str, sheet: str, file: str, line: str, ending: str, tmp_path: Path
) -> None:
    """``traffic light`` was two classes, so a ``bus`` came out as a ``light``."""
    write(tmp_path, sheet, "traffic light\r\n bus" + ending)
    write(tmp_path, file, line + "\n")
    dataset = read_dataset(tmp_path, name, reading=SIZE)
    assert dataset.classes == ("traffic light", "bus")
    assert only(dataset.videos[0]).labels.tolist() == [1]
    write(tmp_path, sheet, "traffic light\n\nbus\n")
    with pytest.raises(FormatError, match=r"s\.txt:2: an empty line among the class names"):
        read_dataset(tmp_path, name, reading=SIZE)


@pytest.mark.parametrize("name", ["tao", "youtube_vis"])
def test_ids_come_back_where_two_videos_use_the_same(name: str, tmp_path: Path) -> None:
    info = VideoInfo(path="a", width_px=64, height_px=48, rate=Fraction(10), num_frames=1)
    ids = {"a.mp4": [3, 4], "b.mp4": [4, 5], "c.mp4": [0, 3]}
    videos = tuple(
        LabelledVideo(
            source=source,
            info=info,
            tracks=TrackTable(
                frames=[0, 0], times_s=[0, 0], ids=own, labels=[0, 0],
                boxes_xyxy=[[1, 1, 9, 9], [2, 2, 30, 30]],
            ),
        )
        for source, own in ids.items()
    )  # fmt: skip
    path = tmp_path / "a.json"
    write_dataset(Dataset(classes=("bee",), videos=videos), path, name)
    content = json.loads(path.read_text())
    numbers = [one["id"] for one in content["tracks" if name == "tao" else "annotations"]]
    assert len(numbers) == len(set(numbers)) == 6
    again = read_dataset(path, reading=SIZE)
    assert [sorted(only(video).ids) for video in again.videos] == list(ids.values())


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("2 .5 .5 .1 .1", r"a.txt:1: class index 2 \(0-based\) in frame 0; allowed: 0 to 1"),
        ("0 320 240 10 10", "no shares of the picture"),
        ("0 .5 .5 .1", "4 columns"),
        ("0 .5 .5 .1 -.1", "inverted"),
        ("fly .5 .5 .1 .1", "column 1 is 'fly'"),
    ],
)
def test_yolo_faults(tmp_path: Path, line: str, says: str) -> None:
    write(tmp_path, "data.yaml", "train: images/train\nnames: {0: bee, 1: fly}\n")
    write(tmp_path, "labels/train/a.txt", line + "\n")
    with pytest.raises(FormatError, match=says):
        read_dataset(tmp_path, reading=Reading(size_px=(100, 100)))


def test_a_yolo_sheet_cannot_lead_outside(tmp_path: Path) -> None:
    write(tmp_path, "data.yaml", "train: ../../etc\nnames: [bee]\n")
    (tmp_path / "labels").mkdir()
    with pytest.raises(FormatError, match="leads outside"):
        read_dataset(tmp_path / "data.yaml", reading=SIZE)


@pytest.mark.parametrize(
    ("name", "file", "content", "says"),
    [
        ("kitti", "label_02/0.txt", KITTI.replace("0 2 Car", "0 x Car"), "column 2 is 'x'"),
        ("visdrone", "annotations/a.txt", VISDRONE.replace(",4,0,1", ",12,0,1"), "class index 11"),
        ("ua_detrac", "a.xml", DETRAC.replace('num="1"', 'num="0"'), "frame index -1"),
        ("imagenet_vid", "Annotations/VID/a/0.xml", VID.replace(">9<", ">0<"), "inverted"),
        ("voc", "Annotations/a.xml", VID.replace("<filename>000000", "<filename>../p"),
         "leads outside"),
        ("scalabel", "a.json", '[{"videoName": "v", "frameIndex": -1, "labels": []}]', "below 0"),
        ("youtube_vis", "a.json", '{"videos": [{"id": 1}], "categories": []}', "'file_names' is"),
        ("tao", "a.json", ('{"videos": [], "images": [{"id": 1, "video_id": 3, "frame_index": 0}],'
         '"categories": [], "annotations": [], "tracks": []}'), "video 3 is unknown"),
        ("coco", "a.json", ('{"images": [{"id": 1}, {"id": 1}], "categories": [],'
         '"annotations": []}'), "occurs twice"),
        ("datumaro", "a.json", ('{"items": [{"id": "../a"}], "categories": {"label":'
         '{"labels": []}}}'), "leads outside"),
    ],
)  # fmt: skip
def test_faults_name_the_file(
    name: str, file: str, content: str, says: str, tmp_path: Path
) -> None:
    path = write(tmp_path, file, content)
    with pytest.raises(FormatError, match=says) as caught:
        read_dataset(path if path.suffix == ".json" else tmp_path, name, reading=SIZE)
    assert Path(caught.value.path).name == path.name


def test_poses_become_boxes(shared_data: Path) -> None:
    pytest.importorskip("h5py")
    path = shared_data / "sequences" / "flies" / "clip.slp"
    dataset = read_dataset(path, reading=Reading(size_px=(1024, 1024), classes=("fly",)))
    table = only(dataset.videos[0])
    assert len(table) == 3000
    assert sorted(set(table.ids.tolist())) == [1, 2]
    boxes = np.loadtxt(path.parent / "clip_gt.txt", delimiter=",")
    corners = np.hstack([boxes[:, 2:4], boxes[:, 2:4] + boxes[:, 4:6]])
    padding = np.abs(table.boxes_xyxy - corners)
    assert padding.max() <= 3.5  # the truth has a margin of 3 px around the points


@pytest.mark.slow
def test_supervision_and_back() -> None:
    pytest.importorskip("supervision")
    found = Detections([[1, 2, 3, 4]], [0.5], [1])
    assert detections_from_supervision(to_supervision(found)) == found
    tracks = Tracks([[1, 2, 3, 4], [5, 6, 7, 8]], [0.5, 0.25], [1, 0], [4, 9], [0, 1],
                    hidden_s=[0, 0.5])  # fmt: skip
    assert tracks_from_supervision(to_supervision(tracks)) == tracks
    assert tracks_from_supervision(to_supervision(Tracks.empty())) == Tracks.empty()
