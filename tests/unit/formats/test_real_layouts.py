"""Label files as tools write them: layouts, several tasks in one file, shapes, rates, points.

Each stands for a kind that once gave wrong numbers without a word.
"""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from account_files import WORLDS, write_sleap
from vodkit.formats.base import Reading
from vodkit.formats.shapes import BoxSize, rle_hull, turned_about_corner
from vodkit.formats.table import detect_format, read_dataset, read_labels
from vodkit.ground.errors import FormatError
from vodkit.ground.records import Dataset, VideoInfo

TOLD = Reading(size_px=(200, 160), rate=Fraction(25), labelled="all")


def put(root: Path, name: str, text: str = "") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def picture(root: Path, name: str, size: tuple[int, int] = (200, 160)) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.zeros((size[1], size[0], 3), np.uint8))
    return path


def boxes(data: Dataset) -> dict[tuple[str, str], list[list[float]]]:
    """(source, split) -> corners, rounded."""
    return {
        (video.source, video.split): np.round(video.tracks.boxes_xyxy, 3).tolist()
        for video in data.videos
        if video.tracks is not None
    }


CENTRED = [[80.0, 64, 120, 96]]
LINE = "0 .5 .5 .2 .2\n"


class TestYolo:
    def test_path_key_nested_folders_and_a_list(self, tmp_path: Path) -> None:
        for name in ("images/train/a", "images/train/deep/b", "images/val/c"):
            picture(tmp_path, f"ds/{name}.jpg")
            put(tmp_path, f"ds/{name}.txt".replace("images", "labels"), LINE)
        put(tmp_path, "ds/val.txt", "./images/val/c.jpg\n")
        put(tmp_path, "data.yaml", "path: ds\ntrain: images/train\nval: val.txt\nnames: [bee]\n")
        assert boxes(read_dataset(tmp_path)) == {
            ("ds/images/train/a.jpg", "train"): CENTRED,
            ("ds/images/train/deep/b.jpg", "train"): CENTRED,
            ("ds/images/val/c.jpg", "val"): CENTRED,
        }

    @pytest.mark.parametrize("names", ["[cat, bee]", "{0: cat, 1: bee}"])
    @pytest.mark.parametrize("test", ["", '""', "null"])
    def test_a_path_that_leads_back_counts_no_label_twice(
        self, names: str, test: str, tmp_path: Path
    ) -> None:
        picture(tmp_path, "ds/train/images/a.jpg")
        put(tmp_path, "ds/train/labels/a.txt", LINE.replace("0", "1", 1))
        text = f"path: ../ds\ntrain: train/images\ntest: {test}\nnames: {names}\n"
        put(tmp_path, "ds/data.yaml", text)
        data, account = read_labels(tmp_path / "ds" / "data.yaml")
        assert boxes(data) == {("train/images/a.jpg", "train"): CENTRED}
        assert data.classes == ("cat", "bee")
        assert not account.skipped

    def test_roboflow_points_one_folder_too_high(self, tmp_path: Path) -> None:
        picture(tmp_path, "train/images/a.jpg")
        put(tmp_path, "train/labels/a.txt", LINE)
        text = "train: ../train/images\nval: ../valid/images\nnames: [bee]\nnc: 1\n"
        put(tmp_path, "data.yaml", text)
        data, account = read_labels(tmp_path)
        assert boxes(data) == {("train/images/a.jpg", "train"): CENTRED}
        assert account.notes == ("not found: val: ../valid/images",)

    def test_two_folders_that_fit_are_both_named(self, tmp_path: Path) -> None:
        put(tmp_path, "ds/data.yaml", "train: ../train/images\nnames: [bee]\n")
        picture(tmp_path, "ds/train/images/a.jpg")
        picture(tmp_path, "train/images/a.jpg")
        with pytest.raises(FormatError, match=r"could be .*train/images or .*train/images"):
            read_dataset(tmp_path / "ds")

    def test_folders_that_do_not_exist_are_an_error(self, tmp_path: Path) -> None:
        put(tmp_path, "data.yaml", "train: imgs\nval: imgs2\nnames: [bee]\n")
        with pytest.raises(FormatError, match=r"looked in .* for train: imgs, val: imgs2"):
            read_dataset(tmp_path)

    @pytest.mark.parametrize(("size", "tail"), [(2, ".45 .45"), (3, ".45 .45 2")])
    def test_poses(self, size: int, tail: str, tmp_path: Path) -> None:
        picture(tmp_path, "images/train/a.jpg")
        put(tmp_path, "labels/train/a.txt", f"0 .5 .5 .2 .2 {tail} {tail}\n")
        sheet = f"train: images/train\nkpt_shape: [2, {size}]\nnames: [bee]\n"
        put(tmp_path, "data.yaml", sheet)
        data, account = read_labels(tmp_path)
        assert list(boxes(data).values()) == [CENTRED]
        assert account.converted == {"box with key points -> the box": 1}

    def test_oriented_boxes_with_scores_become_hulls(self, tmp_path: Path) -> None:
        picture(tmp_path, "images/train/a.jpg")
        put(tmp_path, "labels/train/a.txt", "0 .5 .4 .6 .5 .5 .6 .4 .5 .75\n")
        put(tmp_path, "data.yaml", "train: images/train\nnames: [bee]\n")
        table = read_dataset(tmp_path).videos[0].tracks
        assert table is not None
        np.testing.assert_allclose(table.boxes_xyxy, CENTRED)
        np.testing.assert_allclose(table.scores, [0.75])

    def test_labelimg_leaves_its_classes_among_the_labels(self, tmp_path: Path) -> None:
        picture(tmp_path, "a.jpg")
        put(tmp_path, "a.txt", LINE)
        put(tmp_path, "classes.txt", "bee\nfly\n")
        assert detect_format(tmp_path) == "yolo"
        assert boxes(read_dataset(tmp_path)) == {("a.jpg", ""): CENTRED}
        (tmp_path / "b").mkdir()
        picture(tmp_path, "b/images/a.jpg")
        put(tmp_path, "b/labels/a.txt", LINE)
        put(tmp_path, "b/labels/classes.txt", "bee\n")
        assert boxes(read_dataset(tmp_path / "b")) == {("images/a.jpg", ""): CENTRED}

    def test_one_label_file_of_two_pictures_is_refused(self, tmp_path: Path) -> None:
        picture(tmp_path, "images/train/a.jpg")
        picture(tmp_path, "images/train/a.png")
        put(tmp_path, "labels/train/a.txt", LINE)
        put(tmp_path, "data.yaml", "train: images/train\nnames: [bee]\n")
        with pytest.raises(FormatError, match=r"both a\.jpg and a\.png"):
            read_dataset(tmp_path)

    def test_darknet_sheet_of_cvat(self, tmp_path: Path) -> None:
        put(tmp_path, "obj.names", "bee\n")
        sheet = "classes = 1\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n"
        put(tmp_path, "obj.data", sheet)
        put(tmp_path, "train.txt", "data/obj_train_data/a.jpg\n")
        picture(tmp_path, "obj_train_data/a.jpg")
        put(tmp_path, "obj_train_data/a.txt", LINE)
        assert boxes(read_dataset(tmp_path)) == {("obj_train_data/a.jpg", "train"): CENTRED}

    def test_long_lines_without_a_sheet_are_refused(self, tmp_path: Path) -> None:
        picture(tmp_path, "images/a.jpg")
        put(tmp_path, "labels/a.txt", "0 .5 .5 .2 .2 .45 .45 2 .55 .45 2\n")
        put(tmp_path, "classes.txt", "bee\n")
        with pytest.raises(FormatError, match="key points or a polygon"):
            read_dataset(tmp_path)

    def test_sparse_label_files_are_asked_about(self, tmp_path: Path) -> None:
        for name in "abc":
            picture(tmp_path, f"images/train/{name}.jpg")
        put(tmp_path, "labels/train/a.txt", LINE)
        put(tmp_path, "data.yaml", "train: images/train\nnames: [bee]\n")
        with pytest.raises(FormatError, match="2 of 3 pictures have no label file"):
            read_dataset(tmp_path)
        listed = read_dataset(tmp_path, reading=Reading(labelled="listed"))
        assert [video.tracks is None for video in listed.videos] == [False, True, True]
        put(tmp_path, "labels/train/b.txt")  # an empty file: the tool writes one for each picture
        assert all(video.tracks is not None for video in read_dataset(tmp_path).videos)


class TestFolders:
    def test_voc_in_images_and_annots(self, tmp_path: Path) -> None:
        picture(tmp_path, "images/00001.jpg")
        box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>"
        thing = f"<object><name>kangaroo</name>{box}</object>"
        size = "<size><width>200</width><height>160</height></size>"
        text = f"<annotation><filename>00001.jpg</filename>{size}{thing}</annotation>"
        put(tmp_path, "annots/00001.xml", text)
        assert detect_format(tmp_path) == "voc"
        assert boxes(read_dataset(tmp_path)) == {("images/00001.jpg", ""): [[1, 2, 9, 8]]}
        inner = read_dataset(tmp_path / "annots" / "00001.xml")
        assert inner.videos[0].source == "../images/00001.jpg"

    @pytest.mark.parametrize(
        ("labels", "pictures", "split"),
        [
            ("annotations/instances_train2017.json", "train2017", "train"),
            ("annotations/instances_val.json", "images", "val"),
            ("annotations/instances_val2017.json", "images/val2017", "val"),
            ("valid/_annotations.coco.json", "valid", "val"),
            ("labels.json", "data", ""),
        ],
    )
    def test_coco_in_its_usual_folders(
        self, labels: str, pictures: str, split: str, tmp_path: Path
    ) -> None:
        picture(tmp_path, f"{pictures}/a.jpg")
        entry = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 8, 6]}
        content = {
            "images": [{"id": 7, "file_name": "a.jpg", "width": 200, "height": 160}],
            "annotations": [entry],
            "categories": [{"id": 3, "name": "bee"}],
        }
        file = put(tmp_path, labels, json.dumps(content))
        put(tmp_path, str(Path(labels).parent / "captions_x.json"), "{}")
        assert boxes(read_dataset(tmp_path)) == {(f"{pictures}/a.jpg", split): [[1, 2, 9, 8]]}
        alone = read_dataset(file)
        assert (alone.root / alone.videos[0].source).is_file()

    def test_an_unknown_folder_says_what_was_looked_for(self, tmp_path: Path) -> None:
        put(tmp_path, "notes.md")
        with pytest.raises(FormatError, match=r"looked for: data.yaml.*instances_\*.json.*annots"):
            read_dataset(tmp_path)


class TestCvat:
    def test_tasks_of_a_project_are_videos(self, tmp_path: Path) -> None:
        kind = WORLDS["cvat"].kinds["box"]
        path = WORLDS["cvat"].write(tmp_path, [kind, kind])
        data = read_dataset(path)
        assert [video.source for video in data.videos] == ["clip1.mp4", "clip2.mp4"]
        assert [len(video.tracks or ()) for video in data.videos] == [9, 8]
        with pytest.raises(FormatError, match="holds 2 tasks"):
            read_dataset(path, reading=Reading(source="clip1.mp4"))
        text = path.read_text()
        path.write_text(text.replace('task_id="2"', 'task_id="7"'))
        with pytest.raises(FormatError, match="task_id is '7'; the export holds the tasks 1, 2"):
            read_dataset(path)
        path.write_text(text.replace("clip2.mp4", "clip1.mp4"))
        with pytest.raises(FormatError, match=r"task 1 and task 2 are both of 'clip1\.mp4'"):
            read_dataset(path)

    def test_a_turning_box_turns_between_key_frames(self, tmp_path: Path) -> None:
        kind = WORLDS["cvat"].kinds["box"]
        path = WORLDS["cvat"].write(tmp_path, [kind])
        old = path.read_text()
        start = old.index("<box ")
        box = old[start : old.index("/>", start) + 2].replace('ybr="20"', 'ybr="20" rotation="{}"')
        keys = box.format(0) + box.replace('frame="0"', 'frame="2"').format(180)
        path.write_text(old.replace(old[start : old.index("/>", start) + 2], keys))
        table = read_dataset(path).videos[0].tracks
        assert table is not None
        np.testing.assert_allclose(table.boxes_xyxy[0], [10, 10, 30, 20])
        np.testing.assert_allclose(table.boxes_xyxy[1], [15, 5, 25, 25])
        np.testing.assert_allclose(table.boxes_xyxy[2], [10, 10, 30, 20])

    def test_images_of_a_video_task_are_its_frames(self, tmp_path: Path) -> None:
        box = '<box label="bee" xtl="1" ytl="2" xbr="9" ybr="8" occluded="0"/>'
        images = "".join(
            f'<image id="{n}" name="frame_{n:06d}" width="64" height="48">{box}</image>'
            for n in (3, 7)
        )
        meta = "<task><id>1</id><mode>interpolation</mode><source>a.mp4</source></task>"
        text = f"<annotations><meta>{meta}</meta>{images}</annotations>"
        video = read_dataset(put(tmp_path, "a.xml", text), reading=TOLD).videos[0]
        assert video.source == "a.mp4"
        assert video.labelled_frames is not None
        assert video.labelled_frames.tolist() == [3, 7]


class TestSleap:
    def test_a_package_with_gaps_in_its_numbers(self, tmp_path: Path) -> None:
        pytest.importorskip("h5py")
        kind = WORLDS["sleap"].kinds["animal"]
        path = write_sleap(tmp_path, [kind, kind, kind], numbers=(4, 15))
        data = read_dataset(path)
        assert [video.source for video in data.videos] == ["4.mp4", "15.mp4"]
        assert [len(video.tracks or ()) for video in data.videos] == [2, 1]

    def test_points_become_boxes(self, tmp_path: Path) -> None:
        pytest.importorskip("h5py")
        from account_files import Kind

        alone = Kind("either", (0, [[50.0, 20], [np.nan, np.nan]]))
        animal = WORLDS["sleap"].kinds["animal"]  # from 10, 10 to 30, 40: 36.06 px long
        path = write_sleap(tmp_path, [alone, animal], numbers=(0, 1))
        data, account = read_labels(path, reading=Reading(box_size=BoxSize(px=20)))
        assert list(boxes(data).values()) == [[[40, 10, 60, 30]], [[0, 0, 40, 50]]]
        assert account.converted == {
            "single point -> box of 20 px": 1, "points -> upright hull + 20 px": 1
        }  # fmt: skip
        data, account = read_labels(path)
        half = float(np.hypot(20, 30)) / 2
        corners = np.round([50 - half, 20 - half, 50 + half, 20 + half], 3).tolist()
        assert list(boxes(data).values()) == [[corners], [[10, 10, 30, 40]]]
        path = write_sleap(tmp_path, [alone], numbers=(0, 1))
        assert read_labels(path)[1].num_skipped == 1  # no body length is known


def label_studio(path: Path, count: int, duration: float, places: list[int]) -> Path:
    keys = [
        {"frame": n, "time": round(n / 30, 3), "enabled": True, "rotation": 0,
         "x": n / 300 * 90, "y": 10, "width": 5, "height": 5}
        for n in places
    ]  # fmt: skip
    value = {"framesCount": count, "duration": duration, "labels": ["cat"], "sequence": keys}
    result = {"id": "a", "type": "videorectangle", "value": value}
    task = {"data": {"video": "clip.mp4"}, "annotations": [{"result": [result]}]}
    return put(path, "a.json", json.dumps([task]))


class TestLabelStudio:
    @pytest.mark.parametrize(
        ("count", "duration", "rate", "frames"),
        [
            (300, 10.0, Fraction(30), 300),  # times of key frames are rounded to milliseconds
            (300, 10.01, Fraction(30000, 1001), 300),
            (301, 10.01, Fraction(30), 300),  # the count is rounded up
        ],
    )
    def test_the_rate_is_count_over_duration(
        self, count: int, duration: float, rate: Fraction, frames: int, tmp_path: Path
    ) -> None:
        path = label_studio(tmp_path, count, duration, list(range(1, frames + 1)))
        info = VideoInfo(path="c", width_px=320, height_px=240, rate=rate, num_frames=frames)
        video = read_dataset(path, reading=Reading(probe=lambda _: info)).videos[0]
        assert video.tracks is not None
        assert video.tracks.frames.tolist() == list(range(frames))
        np.testing.assert_allclose(
            video.tracks.boxes_xyxy[:, 0], (np.arange(frames) + 1) / 300 * 288
        )

    def test_without_a_video_the_rate_is_a_usual_one(self, tmp_path: Path) -> None:
        path = label_studio(tmp_path, 241, 10.01, [1, 240])
        video = read_dataset(path, reading=TOLD).videos[0]
        assert video.tags["label_studio_rate"] == "24"

    def test_second_annotations_and_predictions_are_counted(self, tmp_path: Path) -> None:
        path = label_studio(tmp_path, 300, 10.0, [1])
        (task,) = json.loads(path.read_text())
        (only,) = task["annotations"]
        task["annotations"] = [{**only, "was_cancelled": True}, only, only]
        task["predictions"] = [only]
        path.write_text(json.dumps([task]))
        _, account = read_labels(path, reading=TOLD)
        assert (account.contained, account.kept) == (4, 1)
        assert sorted(account.skipped) == [
            "region of a cancelled annotation",
            "region of a prediction beside annotations",
            "region of a second annotation of the task",
        ]


@pytest.mark.parametrize("degrees", [0.0, 30, 90, 200, -45])
def test_hulls_of_turned_boxes_hold_their_corners(degrees: float) -> None:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([[0, 0], [20, 0], [20, 10], [0, 10]]) @ turn.T + [5, 7]
    wanted = [*corners.min(axis=0), *corners.max(axis=0)]
    made = turned_about_corner(np.array([[5.0, 7, 25, 17]]), np.array([degrees]))[0]
    np.testing.assert_allclose(made, wanted, atol=1e-9)


def test_masks_have_the_boxes_that_pycocotools_gives() -> None:
    mask = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    for _ in range(50):
        pixels = np.zeros((12, 17), np.uint8, order="F")
        top, left = rng.integers(0, 10, 2)
        pixels[top : top + rng.integers(1, 6), left : left + rng.integers(1, 9)] = 1
        pixels[rng.integers(0, 12), rng.integers(0, 17)] = 1
        packed = mask.encode(pixels)
        x, y, width, height = mask.toBbox(packed)
        made = rle_hull(packed["counts"].decode(), 12, 17)
        assert made == (x, y, x + width, y + height)


def test_frames_without_labels_are_not_background(tmp_path: Path) -> None:
    """MOT does not record which frames were labelled: two of a hundred are asked about."""
    put(tmp_path, "s/gt/gt.txt", "1,1,1,2,9,8,1,1,1\n50,1,1,2,9,8,1,1,1\n")
    info = "[Sequence]\nframeRate=25\nseqLength=100\nimWidth=64\nimHeight=48\n"
    put(tmp_path, "s/seqinfo.ini", info)
    with pytest.raises(FormatError, match="2 of 100 frames have a box"):
        read_dataset(tmp_path / "s")
    wanted: dict[str, Any] = {"listed": [0, 49], "all": None}
    for labelled, frames in wanted.items():
        video = read_dataset(tmp_path / "s", reading=Reading(labelled=labelled)).videos[0]
        found = video.labelled_frames
        assert (None if found is None else found.tolist()) == frames


def test_parts_and_deleted_objects_of_voc_are_counted(tmp_path: Path) -> None:
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>"
    part = f"<part><name>head</name>{box}</part>"
    deleted = f"<object><name>bee</name><deleted>1</deleted>{box}</object>"
    size = "<size><width>64</width><height>48</height></size>"
    text = f"<annotation>{size}<object><name>bee</name>{box}{part}{part}</object>{deleted}"
    (tmp_path / "a.xml").write_text(f"{text}</annotation>")
    dataset, account = read_labels(tmp_path)
    assert len(dataset.videos[0].tracks or ()) == account.kept == 1
    assert {reason: one.count for reason, one in account.skipped.items()} == {
        "part of an object": 2,
        "object marked as deleted": 1,
    }


def test_shared_annotation_ids_of_coco_are_a_note(tmp_path: Path) -> None:
    row = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}
    image = {"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}
    content = {"images": [image], "annotations": [row, row], "categories": [{"id": 1, "name": "a"}]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    _, account = read_labels(tmp_path / "a.json")
    assert account.kept == 2
    assert "1 annotations have the id of another one" in account.notes[0]


def test_visdrone_pictures(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "7.txt").write_text(
        "684,8,273,116,0,0,0,0\n406,119,265,70,1,4,0,1,\n"
    )
    dataset, _ = read_labels(tmp_path, reading=Reading(size_px=(960, 540)))
    (video,) = dataset.videos
    assert (video.source, video.info.num_frames) == ("images/7.jpg", 1)
    assert video.tracks is not None
    assert video.tracks.boxes_xyxy.tolist() == [[684, 8, 957, 124], [406, 119, 671, 189]]
    assert [dataset.classes[n] if n >= 0 else "" for n in video.tracks.labels] == ["", "car"]
    assert video.tracks.visibility is not None
    assert video.tracks.visibility.tolist() == [1.0, 0.75]
