"""CVAT and Label Studio as they really write: steps, offsets, outside, rates of their own."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vodkit.formats.base import Reading
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.errors import FormatError
from vodkit.ground.records import TrackTable, VideoInfo

CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <name>t</name><size>6</size><mode>interpolation</mode>
      <start_frame>10</start_frame><stop_frame>20</stop_frame><frame_filter>step=2</frame_filter>
      <labels><label><name>bee</name><attributes></attributes></label>
              <label><name>fly</name></label></labels>
      <original_size><width>64</width><height>48</height></original_size>
      <source>clip.mp4</source>
    </task>
  </meta>
  <track id="0" label="fly" source="manual" group_id="0">
    <box frame="10" outside="0" occluded="0" keyframe="1" xtl="0" ytl="0" xbr="10" ybr="10"></box>
    <box frame="14" outside="0" occluded="1" keyframe="1" xtl="4" ytl="0" xbr="14" ybr="10"></box>
    <box frame="16" outside="1" occluded="0" keyframe="1" xtl="4" ytl="0" xbr="14" ybr="10"></box>
  </track>
  <track id="1" label="bee" source="manual">
    <box frame="18" outside="0" occluded="0" keyframe="1" xtl="1" ytl="2" xbr="3" ybr="4"></box>
  </track>
</annotations>
"""


def rows(table: TrackTable | None) -> list[tuple[object, ...]]:
    assert table is not None
    return [
        (int(frame), int(i), *box)
        for frame, i, box in zip(table.frames, table.ids, table.boxes_xyxy.tolist(), strict=True)
    ]


def test_cvat_steps_offsets_and_outside(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(CVAT)
    dataset = read_dataset(path)
    assert dataset.classes == ("bee", "fly")
    video = dataset.videos[0]
    assert video.source == "clip.mp4"
    assert video.labelled_frames is not None
    assert video.labelled_frames.tolist() == [10, 12, 14, 16, 18, 20]
    assert rows(video.tracks) == [
        (10, 1, 0, 0, 10, 10), (12, 1, 2, 0, 12, 10), (14, 1, 4, 0, 14, 10),
        (18, 2, 1, 2, 3, 4), (20, 2, 1, 2, 3, 4),
    ]  # fmt: skip
    assert video.tracks is not None
    np.testing.assert_array_equal(video.tracks.visibility[:3], [np.nan, np.nan, 0.5])


def test_cvat_keeps_ids_in_groups_and_numbers_added_tracks_afresh(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    text = CVAT.replace('group_id="0"', 'group_id="17"')
    path.write_text(text)
    table = read_dataset(path).videos[0].tracks
    assert table is not None
    assert sorted(set(table.ids.tolist())) == [17, 18]


def test_the_video_says_the_rate_that_cvat_does_not(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(CVAT)

    def probe(place: Path) -> VideoInfo:
        assert place == tmp_path / "clip.mp4"
        return VideoInfo(
            path="clip.mp4", width_px=64, height_px=48, rate=Fraction(30000, 1001), num_frames=21
        )

    video = read_dataset(path, reading=Reading(probe=probe)).videos[0]
    assert video.tracks is not None
    assert video.tracks.times_s[0] == pytest.approx(10 * 1001 / 30000)
    assert video.info.num_frames == 21


@pytest.mark.parametrize(
    ("old", "new", "says", "line"),
    [
        ('frame="14"', 'frame="x"', "frame is 'x'", 16),
        ('xbr="14"', 'xbr="nan"', "not finite", 16),
        ('frame="14"', 'frame="10"', "two boxes of one track", 14),
        ('label="fly"', 'lable="fly"', "no attribute 'label'", 14),
        ("<task>", "<task", "not XML", 6),
        ("<annotations>", '<!DOCTYPE a [<!ENTITY b "c">]><annotations>', "not allowed", 2),
        ("clip.mp4", "../../..", "leads outside", 11),
    ],
)
def test_a_fault_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, says: str, line: int
) -> None:
    path = tmp_path / "a.xml"
    path.write_text(CVAT.replace(old, new, 1))
    with pytest.raises(FormatError, match=says) as caught:
        read_dataset(path, "cvat")
    assert caught.value.line == line


def label_studio(path: Path, sequence: list[tuple[int, float, bool]], **value: object) -> Path:
    entries = [
        {"frame": frame, "enabled": on, "rotation": 0, "x": x, "y": 10, "width": 50, "height": 50,
         "time": frame / 24}
        for frame, x, on in sequence
    ]  # fmt: skip
    result = {"type": "videorectangle", "id": "q", "from_name": "box", "to_name": "video",
              "value": {"sequence": entries, "labels": ["bee"], **value}}  # fmt: skip
    task = {"data": {"video": "/data/upload/3/clip%20a.mp4"}, "annotations": [{"result": [result]}]}
    path.write_text(json.dumps([task], indent=1))
    return path


def test_label_studio_counts_from_one_and_ends_where_disabled(tmp_path: Path) -> None:
    path = label_studio(
        tmp_path / "a.json", [(1, 0, True), (3, 10, False), (5, 20, True)],
        framesCount=6, duration=0.25,
    )  # fmt: skip
    dataset = read_dataset(path, reading=Reading(size_px=(100, 200)))
    video = dataset.videos[0]
    assert video.source == "clip a.mp4"
    assert video.info.rate == 24
    assert rows(video.tracks) == [
        (0, 1, 0, 20, 50, 120), (1, 1, 5, 20, 55, 120), (2, 1, 10, 20, 60, 120),
        (4, 1, 20, 20, 70, 120), (5, 1, 20, 20, 70, 120),
    ]  # fmt: skip


def test_label_studio_at_another_rate_is_placed_by_time(tmp_path: Path) -> None:
    """The tool counted 24 frames a second in a video of 48: its frame 3 is ours number 4."""
    path = label_studio(
        tmp_path / "a.json", [(1, 0, True), (3, 10, False)], framesCount=6, duration=0.25
    )
    told = Reading(size_px=(100, 100), rate=Fraction(48))
    video = read_dataset(path, reading=told).videos[0]
    assert video.tags["label_studio_rate"] == "24"
    assert video.tracks is not None
    assert video.tracks.frames.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(video.tracks.boxes_xyxy[:, 0], [0, 2.5, 5, 7.5, 10])


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"frame": 3', '"frame": 0', "frame 0; allowed: from 1"),
        ('"x": 10', '"x": null', "'x' is missing"),
        ('"bee"', '"bee", "fly"', "allowed: one"),
        ('"sequence"', '"sequences"', "'sequence' is missing"),
    ],
)
def test_label_studio_faults(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = label_studio(tmp_path / "a.json", [(1, 0, True), (3, 10, False)])
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(FormatError, match=says) as caught:
        read_dataset(path, "label_studio", reading=Reading(size_px=(100, 100)))
    assert caught.value.line is not None


@pytest.mark.parametrize("name", ["cvat", "label_studio"])
def test_real_truth_survives_the_labelling_tool(
    name: str, shared_data: Path, tmp_path: Path
) -> None:
    folder = shared_data / "sequences" / "mot15" / "TUD-Campus"
    dataset = read_dataset(folder)
    path = tmp_path / ("a.xml" if name == "cvat" else "a.json")
    write_dataset(dataset, path, name)
    told = Reading(size_px=(640, 480), rate=Fraction(25))
    one, two = dataset.videos[0].tracks, read_dataset(path, reading=told).videos[0].tracks
    assert one is not None
    assert two is not None
    np.testing.assert_array_equal(one.frames, two.frames)
    np.testing.assert_array_equal(one.ids, two.ids)
    np.testing.assert_allclose(one.boxes_xyxy, two.boxes_xyxy, atol=1e-6)
