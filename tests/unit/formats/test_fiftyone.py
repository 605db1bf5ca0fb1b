"""FiftyOne's datasets. ``tests/check_fiftyone.py`` runs the real one; its export is a golden."""

import json
import shutil
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vodkit.data.export import export_dataset
from vodkit.formats.base import Reading
from vodkit.formats.fiftyone_samples import from_fiftyone, to_fiftyone
from vodkit.formats.table import read_dataset, read_labels, write_dataset
from vodkit.ground.errors import FormatError, InputError
from vodkit.ground.records import Dataset
from vodkit.samples import samples

GOLDEN = Path(__file__).parents[2] / "golden" / "fiftyone"
TOLD = Reading(size_px=(64, 48), rate=Fraction(25))


def golden() -> Dataset:
    return read_dataset(GOLDEN, reading=TOLD)


def test_what_fiftyone_exports_is_read_with_tracks_and_states() -> None:
    found = golden()
    (video,) = found.videos
    table = video.tracks
    assert table is not None
    assert (found.classes, video.source, video.split) == (("bee", "fly"), "data/clip.mp4", "val")
    assert video.labelled_frames is not None
    assert video.labelled_frames.tolist() == [0, 1, 2, 3, 4]
    rows = zip(table.frames, table.ids, table.labels, table.states, strict=True)
    assert sorted(tuple(map(int, row)) for row in rows) == [
        (0, 1, 0, 0), (0, 2, 1, 0), (1, -1, -1, 0), (1, 1, 0, 0), (1, 2, 1, 1), (3, 1, 0, 2)
    ]  # fmt: skip
    assert table.ignore is not None
    assert table.scores is not None
    assert int(table.ignore.sum()) == 1
    np.testing.assert_allclose(sorted(table.scores), [0.25, 0.5, 1, 1, 1, 1])
    np.testing.assert_allclose(table.boxes_xyxy[0], [8, 6, 16, 12], atol=1e-4)


def edited(tmp_path: Path, edit: Any) -> Path:
    folder = tmp_path / "set"
    shutil.copytree(GOLDEN, folder)
    file = folder / "labels" / "clip.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    edit(content["frames"])
    file.write_text(json.dumps(content), encoding="utf-8")
    return folder


def objects(frames: Any, number: str) -> Any:
    return frames[number]["objects"]["objects"]


def test_one_index_of_two_labels_is_two_tracks(tmp_path: Path) -> None:
    def same(frames: Any) -> None:
        for frame in ("1", "2"):
            for one in objects(frames, frame):
                if "index" in one:
                    one["index"] = 7

    table = read_dataset(edited(tmp_path, same), reading=TOLD).videos[0].tracks
    assert table is not None
    fly, bee = table.ids[table.labels == 1], table.ids[(table.labels == 0) & (table.frames < 2)]
    assert len(set(fly)) == len(set(bee)) == 1
    assert set(fly).isdisjoint(bee)


def test_objects_of_two_fields_are_refused(tmp_path: Path) -> None:
    def other(frames: Any) -> None:
        objects(frames, "1")[0]["name"] = "predictions"

    with pytest.raises(FormatError, match="2 fields: detections, predictions"):
        read_dataset(edited(tmp_path, other), reading=TOLD)


def test_a_fault_names_file_and_line(tmp_path: Path) -> None:
    def broken(frames: Any) -> None:
        objects(frames, "1")[0]["bounding_box"]["top_left"]["x"] = "left"

    with pytest.raises(FormatError, match=r"clip\.json:1.*allowed: a number"):
        read_dataset(edited(tmp_path, broken), reading=TOLD)


def test_an_export_contains_the_videos_and_comes_back(tmp_path: Path) -> None:
    dataset = read_dataset(samples.LABELS)
    target = tmp_path / "fiftyone"
    export_dataset(dataset, target, "fiftyone", root=samples.LABELS.parent)
    assert (target / "data" / "plaza_a.mp4").read_bytes() == samples.CLIP_A.read_bytes()
    again, account = read_labels(target)
    assert account.kept == sum(len(video.tracks or ()) for video in dataset.videos)
    for one, two in zip(dataset.videos, again.videos, strict=True):
        assert one.tracks is not None
        assert two.tracks is not None
        np.testing.assert_array_equal(one.tracks.ids, two.tracks.ids)
        np.testing.assert_allclose(one.tracks.boxes_xyxy, two.tracks.boxes_xyxy, atol=1e-3)
        assert (one.split, one.info.rate) == (two.split, two.info.rate)


def test_still_pictures_are_refused_with_the_format_that_takes_them(tmp_path: Path) -> None:
    (video,) = golden().videos
    still = SimpleNamespace(**{**video.__dict__, "frame_files": ("a.jpg",), "source": "pictures"})
    with pytest.raises(FormatError, match="coco"):
        write_dataset(Dataset(classes=("bee", "fly"), videos=(still,)), tmp_path / "x", "fiftyone")


class Frame(SimpleNamespace):
    """As FiftyOne's: fields by name."""

    def __getitem__(self, name: str) -> Any:
        return self.__dict__[name]


def as_samples(path: Path) -> list[Any]:
    """Objects with FiftyOne's attributes, made of a label file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    frames = {}
    for number, frame in content["frames"].items():
        found = []
        for one in frame.get("objects", {"objects": []})["objects"]:
            ends = [one["bounding_box"][end] for end in ("top_left", "bottom_right")]
            x, y = ends[0]["x"], ends[0]["y"]
            box = [x, y, ends[1]["x"] - x, ends[1]["y"] - y]
            known = {a["name"]: a["value"] for a in one.get("attrs", {"attrs": []})["attrs"]}
            plain = {name: one.get(name) for name in ("label", "confidence", "index")}
            found.append(SimpleNamespace(bounding_box=box, **plain, **known))
        frames[int(number)] = Frame(detections=SimpleNamespace(detections=found))
    metadata = SimpleNamespace(
        frame_width=64, frame_height=48, frame_rate=25.0, total_frame_count=6, duration=0.24
    )
    file = str(path.parents[1].absolute() / "data" / "clip.mp4")
    return [SimpleNamespace(filepath=file, tags=["val"], metadata=metadata, frames=frames)]


def test_samples_and_files_give_one_dataset() -> None:
    given = as_samples(GOLDEN / "labels" / "clip.json")
    found, wanted = from_fiftyone(given, root=GOLDEN.absolute()), golden()
    assert found.classes == wanted.classes
    (one,), (two,) = found.videos, wanted.videos
    assert one.tracks is not None
    assert two.tracks is not None
    assert (one.source, one.split) == (two.source, two.split)
    np.testing.assert_array_equal(one.tracks.ids, two.tracks.ids)
    np.testing.assert_array_equal(one.tracks.states, two.tracks.states)
    np.testing.assert_allclose(one.tracks.boxes_xyxy, two.tracks.boxes_xyxy, atol=1e-4)
    given[0].metadata = None
    with pytest.raises(InputError, match="compute_metadata"):
        from_fiftyone(given)
    with pytest.raises(InputError, match="'truth'"):
        from_fiftyone(as_samples(GOLDEN / "labels" / "clip.json"), field="truth")


def test_without_fiftyone_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    with pytest.raises(InputError, match="pip install fiftyone"):
        to_fiftyone(golden())
