"""MOTChallenge files, those of the benchmark and our own."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vodkit.formats.base import Reading
from vodkit.formats.mot import MOT16_CLASSES
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.errors import FormatError

SEQINFO = "[Sequence]\nname=a\nimDir=img1\nframeRate=25\nseqLength=9\nimWidth=64\nimHeight=48\n"


def sequence(folder: Path, lines: str) -> Path:
    (folder / "gt").mkdir(parents=True)
    (folder / "gt" / "gt.txt").write_text(lines)
    (folder / "seqinfo.ini").write_text(SEQINFO)
    return folder


def test_frames_from_one_and_columns_of_mot17(tmp_path: Path) -> None:
    folder = sequence(tmp_path / "MOT17-02", "1,5,10,20,4,6,1,3,0.25\n2,5,11,20,4,6,0,8,-1\n")
    dataset = read_dataset(folder, reading=Reading(labelled="all"))
    assert dataset.classes == MOT16_CLASSES
    table = dataset.videos[0].tracks
    assert table is not None
    assert table.frames.tolist() == [0, 1]
    assert table.times_s.tolist() == [0, 0.04]
    assert table.boxes_xyxy[0].tolist() == [10, 20, 14, 26]
    assert table.labels.tolist() == [2, 7]
    assert table.ignore.tolist() == [False, True]
    np.testing.assert_array_equal(table.visibility, [0.25, np.nan])


@pytest.mark.slow
def test_the_real_sequences_round_trip(shared_data: Path, tmp_path: Path) -> None:
    dataset = read_dataset(shared_data / "sequences" / "mot15")
    assert len(dataset.videos) == 6
    assert dataset.classes == ("pedestrian",)
    write_dataset(dataset, tmp_path, "mot")
    again = read_dataset(tmp_path)
    for one, two in zip(dataset.videos, again.videos, strict=True):
        assert one.tracks is not None
        assert two.tracks is not None
        assert one.info.rate == two.info.rate
        np.testing.assert_allclose(one.tracks.boxes_xyxy, two.tracks.boxes_xyxy, atol=1e-9)
        for name in ("frames", "ids", "labels", "ignore", "times_s"):
            np.testing.assert_array_equal(getattr(one.tracks, name), getattr(two.tracks, name))


def test_detections_of_the_benchmark(shared_data: Path) -> None:
    path = shared_data / "sequences" / "mot15" / "TUD-Campus" / "det" / "det.txt"
    table = read_dataset(path, "mot").videos[0].tracks
    assert table is not None
    assert (table.ids == -1).all()
    assert 0 < table.scores.min() < table.scores.max() < 1


def test_a_lone_text_file_needs_the_size_of_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "gt.txt"
    path.write_text("1,1,2,3,4,5,1,1,1\n")
    with pytest.raises(FormatError, match="picture size of"):
        read_dataset(path)
    told = Reading(
        size_px=(64, 48), rate=Fraction(30000, 1001), source="clip.mp4", classes=("fly",)
    )
    dataset = read_dataset(path, reading=told)
    assert dataset.videos[0].source == "clip.mp4"
    assert dataset.classes == ("fly",)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("2,5,10,20,4", "5 columns"),
        ("2,5,10,20,4,x,1,1,1", "column 6 is 'x'"),
        ("2,5,10,20,4,nan,1,1,1", "not finite"),
        ("2,5,10,20,-4,6,1,1,1", "inverted"),
        ("0,5,10,20,4,6,1,1,1", r"column 1 \(frame\) is 0"),
        ("10,5,10,20,4,6,1,1,1", "frame index 9"),
        ("1,5,10,20,4,6,1,1,1", "track id 5 occurs twice in frame 0"),
        ("2.5,5,10,20,4,6,1,1,1", "whole number"),
    ],
)
def test_a_fault_is_named_with_its_line(tmp_path: Path, line: str, says: str) -> None:
    folder = sequence(tmp_path / "a", f"1,5,10,20,4,6,1,1,1\n{line}\n")
    with pytest.raises(FormatError, match=says) as caught:
        read_dataset(folder)
    assert caught.value.line == 2
