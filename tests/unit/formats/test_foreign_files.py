"""Files as other tools, cameras and systems leave them; each kind once gave a wrong number.

Turned pictures, pictures numbered with gaps, names in other letters, files that macOS puts beside,
labels for pictures of another size, and what is no label file at all.
"""

import json
import unicodedata
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from account_files import WORLDS
from vodkit.data.ingest import Ingest, ingest
from vodkit.formats.base import Reading
from vodkit.formats.pictures import picture_head
from vodkit.formats.table import detect_format, read_labels
from vodkit.ground.errors import FormatError, InputError
from vodkit.ground.paths import there
from vodkit.video.reader import open_video

BOX = [80.0, 64, 120, 96]
LINE = "0 .5 .5 .2 .2\n"
NAMES = "train: images/train\nnames: [bee]\n"
MAC = b"\x00\x05\x16\x07Mac OS X        \x00\x02"


def put(path: Path, content: str | bytes = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def picture(path: Path, size: tuple[int, int] = (200, 160), orientation: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    told = Image.Exif()
    told[0x0112] = orientation
    kind = {".png": "PNG", ".tif": "TIFF"}.get(path.suffix.lower(), "JPEG")
    Image.fromarray(np.zeros((size[1], size[0], 3), np.uint8)).save(path, kind, exif=told)
    return path


def boxes(done: Ingest) -> dict[str, list[list[float]]]:
    return {
        video.source: np.round(video.tracks.boxes_xyxy, 3).tolist()
        for video in done.dataset.videos
        if video.tracks is not None and len(video.tracks)
    }


def frames(done: Ingest) -> list[int]:
    (video,) = done.dataset.videos
    assert video.tracks is not None
    return video.tracks.frames.tolist()


def said(done: Ingest) -> str:
    assert done.account is not None
    return "\n".join([*done.account.lines(), *done.notes])


def voc(name: str = "a.jpg", size: tuple[int, int] | None = (200, 160), extra: str = "") -> str:
    told = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    corners = "".join(f"<{key}>{value:g}</{key}>" for key, value in zip(
        ("xmin", "ymin", "xmax", "ymax"), BOX, strict=True
    ))  # fmt: skip
    thing = f"<object><name>bee</name>{extra}<bndbox>{corners}</bndbox></object>"
    return f"<annotation><filename>{name}</filename>{told}{thing}</annotation>"


def coco(name: str = "a.jpg", **image: Any) -> str:
    entry = {"image_id": 1, "id": 1, "category_id": 1, "bbox": [80, 64, 40, 32]}
    images = [{"id": 1, "file_name": name, "width": 200, "height": 160, **image}]
    names = [{"id": 1, "name": "bee"}]
    return json.dumps({"images": images, "annotations": [entry], "categories": names})


def labelme(name: str, *shapes: dict[str, Any], size: tuple[int, int] = (200, 160)) -> str:
    content = {"shapes": shapes, "imagePath": name, "imageData": None}
    return json.dumps({**content, "imageWidth": size[0], "imageHeight": size[1]})


def shape(points: list[list[float]], kind: str = "rectangle", **more: Any) -> dict[str, Any]:
    return {"label": "bee", "points": points, "shape_type": kind, **more}


RECTANGLE = shape([[80, 64], [120, 96]])


class TestTurnedPictures:
    """Decoders turn a picture by its EXIF orientation; so must the sizes that labels scale by."""

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("ending", [".jpg", ".png", ".tif"])
    def test_sizes_are_those_of_the_decoder(
        self, ending: str, orientation: int, tmp_path: Path
    ) -> None:
        path = picture(tmp_path / f"a{ending}", orientation=orientation)
        head = picture_head(path)
        assert head is not None
        with open_video(path) as video:
            assert head[0] == (video.info.width_px, video.info.height_px)
        assert head[1] == (orientation > 1)

    def test_shares_are_of_the_upright_picture(self, tmp_path: Path) -> None:
        picture(tmp_path / "images/train/a.jpg", orientation=6)
        put(tmp_path / "labels/train/a.txt", LINE)
        put(tmp_path / "data.yaml", NAMES)
        done = ingest(tmp_path)
        assert boxes(done) == {"images/train/a.jpg": [[64, 80, 96, 120]]}
        assert "1 of 1 pictures are turned by their EXIF orientation" in said(done)

    def test_labels_of_the_stored_picture_are_refused(self, tmp_path: Path) -> None:
        picture(tmp_path / "JPEGImages/a.jpg", orientation=6)
        put(tmp_path / "Annotations/a.xml", voc())
        with pytest.raises(InputError, match=r"200x160 px, but these are 160x200.*EXIF"):
            ingest(tmp_path)

    def test_label_studio_drew_on_a_turned_view(self, tmp_path: Path) -> None:
        value = {"x": 40, "y": 40, "width": 20, "height": 20, "rectanglelabels": ["bee"]}
        result = {"id": "r", "type": "rectanglelabels", "image_rotation": 90, "value": value}
        task = {"data": {"image": "a.jpg"}, "annotations": [{"result": [result]}]}
        put(tmp_path / "a.json", json.dumps([task]))
        with pytest.raises(FormatError, match="image_rotation is 90"):
            ingest(tmp_path / "a.json")


class TestSizes:
    def test_labels_for_another_size_are_scaled(self, tmp_path: Path) -> None:
        picture(tmp_path / "a.jpg", (400, 320))
        done = ingest(put(tmp_path / "a.json", coco()))
        assert boxes(done) == {"a.jpg": [[160, 128, 240, 192]]}
        assert "labels of a.jpg are for 200x160 px; scaled to the pictures' 400x320" in said(done)

    def test_boxes_outside_of_the_declared_size_are_refused(self, tmp_path: Path) -> None:
        picture(tmp_path / "a.jpg", (400, 320))
        put(tmp_path / "a.json", coco(width=64, height=48))
        with pytest.raises(InputError, match="boxes lie outside of 64x48"):
            ingest(tmp_path / "a.json")

    def test_pictures_that_do_not_exist_are_counted(self, tmp_path: Path) -> None:
        done = ingest(put(tmp_path / "a.json", coco()))
        assert "1 of 1 pictures do not exist (first: a.jpg)" in said(done)


class TestFolders:
    def test_the_first_picture_of_a_coco_file_may_be_missing(self, tmp_path: Path) -> None:
        content = json.loads(coco("gone.jpg"))
        content["images"].append({**content["images"][0], "id": 2, "file_name": "b.jpg"})
        content["annotations"].append({**content["annotations"][0], "id": 2, "image_id": 2})
        put(tmp_path / "a.json", json.dumps(content))
        picture(tmp_path / "images/b.jpg")
        assert boxes(ingest(tmp_path)) == {"images/gone.jpg": [BOX], "images/b.jpg": [BOX]}


class TestNumberedPictures:
    """The i-th picture of a folder is frame i only where the numbers have no gap."""

    ROW = "{},1,80,64,40,32,1,1,1\n"

    def mot(self, root: Path, numbers: list[int], labels: list[int]) -> Path:
        for number in numbers:
            picture(root / f"S/img1/{number:06d}.jpg")
        put(root / "S/gt/gt.txt", "".join(map(self.ROW.format, labels)))
        return root / "S"

    def test_a_gap_moves_no_box(self, tmp_path: Path) -> None:
        done = ingest(self.mot(tmp_path, [1, 2, 4, 5], [1, 2, 3, 4, 5]))
        assert frames(done) == [0, 1, 2, 3]
        assert "box of a frame without a picture: 1 (first:" in said(done)
        assert "frames are found by these numbers" in said(done)
        assert done.dataset.videos[0].frame_files[2] == "000004.jpg"

    def test_sampled_pictures_and_another_start(self, tmp_path: Path) -> None:
        assert frames(ingest(self.mot(tmp_path / "a", [1, 31, 61], [1, 31, 61]))) == [0, 1, 2]
        assert frames(ingest(self.mot(tmp_path / "b", [100, 101], [100, 101]))) == [0, 1]

    def test_only_the_order_fits_all_labels(self, tmp_path: Path) -> None:
        done = ingest(self.mot(tmp_path, [0, 1, 2], [1, 2, 3]))
        assert frames(done) == [0, 1, 2]
        assert "frame 1 is taken for 000000.jpg" in said(done)

    @pytest.mark.parametrize("numbers", [[0, 1, 2], [1, 31, 61], [1, 2, 4]])
    def test_two_readings_are_both_named(self, numbers: list[int], tmp_path: Path) -> None:
        place = self.mot(tmp_path, numbers, [1, 2, 3] if numbers != [0, 1, 2] else [1, 2])
        with pytest.raises(FormatError, match="the picture of that number or the one in that pla"):
            ingest(place)

    def test_names_are_in_the_order_of_their_numbers(self, tmp_path: Path) -> None:
        for number in range(1, 12):
            picture(tmp_path / f"S/img1/{number}.jpg")
        put(tmp_path / "S/gt/gt.txt", "".join(map(self.ROW.format, range(1, 12))))
        done = ingest(tmp_path / "S")
        assert done.dataset.videos[0].frame_files[1] == "2.jpg"

    def test_kitti(self, tmp_path: Path) -> None:
        for number in (0, 1, 3, 4):
            picture(tmp_path / f"training/image_02/0001/{number:06d}.png")
        row = "{} 0 Car 0 0 -1.5 80 64 120 96 1 1 1 0 0 0 0\n"
        put(tmp_path / "training/label_02/0000.txt")  # a sequence without an object
        picture(tmp_path / "training/image_02/0000/000000.png")
        put(tmp_path / "training/label_02/0001.txt", "".join(map(row.format, (0, 1, 3, 4))))
        done = ingest(tmp_path, reading=Reading(labelled="all"))
        assert done.dataset.videos[1].tracks is not None
        assert done.dataset.videos[1].tracks.frames.tolist() == [0, 1, 2, 3]

    def test_visdrone_ua_detrac_and_imagenet_vid(self, tmp_path: Path) -> None:
        for number in (1, 3):
            picture(tmp_path / f"v/sequences/s/{number:07d}.jpg")
            picture(tmp_path / f"u/MVI_1/img{number:05d}.jpg", (960, 540))
            picture(tmp_path / f"i/Data/VID/train/s/{number - 1:06d}.JPEG")
            text = voc(extra="<trackid>0</trackid>")
            put(tmp_path / f"i/Annotations/VID/train/s/{number - 1:06d}.xml", text)
        put(tmp_path / "v/annotations/s.txt", "1,0,5,6,10,20,1,4,0,0\n3,0,5,6,10,20,1,4,0,0\n")
        target = (
            '<frame num="{}"><target_list><target id="1"><box left="1" top="1" width="9" height='
            '"9"/><attribute vehicle_type="car"/></target></target_list></frame>'
        )
        text = "".join(map(target.format, (1, 2, 3)))
        put(tmp_path / "u/MVI_1.xml", f'<sequence name="MVI_1">{text}</sequence>')
        assert frames(ingest(tmp_path / "v")) == [0, 1]
        assert frames(ingest(tmp_path / "i")) == [0, 1]
        done = ingest(tmp_path / "u")
        assert frames(done) == [0, 1]
        assert "without a picture: 1" in said(done)


class TestNames:
    """Letters of another case or form name the same file where only one is there."""

    def test_the_only_file_that_differs_in_case_or_form(self, tmp_path: Path) -> None:
        apart = unicodedata.normalize("NFD", "é.JPG")
        put(tmp_path / apart)
        assert there(tmp_path / "é.jpg") == tmp_path / apart
        put(tmp_path / "É.Jpg")
        assert there(tmp_path / "é.jpg") == tmp_path / "é.jpg"  # two would do
        assert there(tmp_path / "no" / "a.jpg") == tmp_path / "no" / "a.jpg"

    @pytest.mark.parametrize("name", ["é.JPG", "a.JPG"])
    def test_pictures_are_found(self, name: str, tmp_path: Path) -> None:
        on_disk, told = unicodedata.normalize("NFD", name), name.lower()
        picture(tmp_path / "c" / on_disk)
        picture(tmp_path / "v/JPEGImages" / on_disk)
        picture(tmp_path / "y/images/train" / on_disk)
        put(tmp_path / "y/labels/train" / f"{told[:-4]}.txt", LINE)
        put(tmp_path / "y/data.yaml", NAMES)
        put(tmp_path / "v/Annotations/x.XML", voc(told))
        put(tmp_path / "c/a.json", coco(told))
        assert boxes(ingest(tmp_path / "c")) == {on_disk: [BOX]}
        assert boxes(ingest(tmp_path / "v")) == {f"JPEGImages/{on_disk}": [BOX]}
        assert boxes(ingest(tmp_path / "y")) == {f"images/train/{on_disk}": [BOX]}

    def test_files_that_macos_puts_beside_are_no_labels(self, tmp_path: Path) -> None:
        picture(tmp_path / "a.jpg")
        writers: dict[str, Callable[[Path], Path]] = {
            "voc": lambda root: put(root / "a.xml", voc()),
            "labelme": lambda root: put(root / "a.json", labelme("a.jpg", RECTANGLE)),
            "yolo": lambda root: put(put(root / "data.yaml", NAMES).parent / "a.txt", LINE),
            "mot": lambda root: put(root / "gt/gt.txt", "1,1,80,64,40,32,1,1,1\n"),
        }
        for kind, write in writers.items():
            root = tmp_path / kind
            inner = {"yolo": "images/train", "mot": "img1"}.get(kind, ".")
            name = "000001.jpg" if kind == "mot" else "a.jpg"
            picture(root / inner / name)
            file = write(root)
            if kind == "yolo":
                (root / "labels/train").mkdir(parents=True)
                file = file.rename(root / "labels/train/a.txt")
            for bystander in (f"._{file.name}", f"._{name}", f"__MACOSX/._{file.name}"):
                put(file.parent / bystander, MAC)
            put(root / inner / f"._{name}", MAC)
            put(root / ".DS_Store", b"\x00\x00\x00\x01Bud1")
            put(root / inner / "Thumbs.db", b"\xd0\xcf\x11\xe0")
            assert detect_format(root) == kind
            (found,) = boxes(ingest(root)).values()
            assert found == [BOX]

    def test_class_names_stay_as_they_are_written(self, tmp_path: Path) -> None:
        picture(tmp_path / "images/train/a.jpg")
        put(tmp_path / "labels/train/a.txt", LINE)
        put(tmp_path / "data.yaml", "train: images/train\nnames: [yes, no, 01, 1.50, null]\n")
        assert ingest(tmp_path).dataset.classes == ("yes", "no", "01", "1.50", "null")
        put(tmp_path / "data.yaml", "train: images/train\nnames: {0: on, 1: 2020-01-01}\n")
        assert ingest(tmp_path).dataset.classes == ("on", "2020-01-01")
        put(tmp_path / "data.yaml", "train: images/train\nnc: 2\n")
        assert ingest(tmp_path).dataset.classes == ("class_0", "class_1")


class TestYolo:
    @pytest.mark.parametrize("tail", [" 1", " 3", " .9 1", " .9 7"])
    def test_ids_of_a_tracker_are_no_scores_or_corners(self, tail: str, tmp_path: Path) -> None:
        picture(tmp_path / "images/train/a.jpg")
        put(tmp_path / "labels/train/a.txt", LINE.strip() + tail + "\n")
        put(tmp_path / "data.yaml", NAMES)
        with pytest.raises(FormatError, match="track ids"):
            ingest(tmp_path)

    def test_a_triangle_in_the_corner_stays_one(self, tmp_path: Path) -> None:
        picture(tmp_path / "images/train/a.jpg")
        put(tmp_path / "labels/train/a.txt", LINE + "0 0 0 .5 0 .5 1\n")
        put(tmp_path / "data.yaml", NAMES)
        assert boxes(ingest(tmp_path)) == {"images/train/a.jpg": [BOX, [0, 0, 100, 160]]}

    def test_roboflow_darknet(self, tmp_path: Path) -> None:
        for side, name in (("train", "a"), ("valid", "b")):
            picture(tmp_path / side / f"{name}.jpg")
            put(tmp_path / side / f"{name}.txt", LINE)
            put(tmp_path / side / "_darknet.labels", "bee\nfly\n")
        done = ingest(tmp_path)
        assert boxes(done) == {"train/a.jpg": [BOX], "valid/b.jpg": [BOX]}
        assert [video.split for video in done.dataset.videos] == ["train", "val"]


class TestOthers:
    @pytest.mark.parametrize("word", ["1", "True", "yes"])
    def test_voc_flags(self, word: str, tmp_path: Path) -> None:
        picture(tmp_path / "a.jpg")
        extra = f"<difficult>{word}</difficult><occluded>{word}</occluded>"
        put(tmp_path / "a.xml", voc("C:\\photos\\a.jpg", None, extra))
        table = ingest(tmp_path).dataset.videos[0].tracks
        assert table is not None
        assert table.ignore is not None
        assert table.visibility is not None
        assert (table.ignore.tolist(), table.visibility.tolist()) == ([True], [0.5])
        put(tmp_path / "a.xml", voc(extra="<difficult>perhaps</difficult>"))
        with pytest.raises(FormatError, match="difficult is 'perhaps'; allowed: 0 or 1"):
            ingest(tmp_path)

    def test_labelme_joins_the_parts_of_a_group(self, tmp_path: Path) -> None:
        picture(tmp_path / "a.jpg")
        left = shape([[80, 64], [90, 64], [90, 96]], "polygon", group_id=1)
        right = shape([[110, 64], [120, 64], [120, 96]], "polygon", group_id=1)
        put(tmp_path / "a.json", labelme("a.jpg", left, right, shape([[1, 1], [5, 5]])))
        done = ingest(tmp_path)
        assert sorted(boxes(done)["a.jpg"]) == [[1, 1, 5, 5], BOX]
        assert "converted parts of one object -> their hull: 2" in said(done)

    def test_labelme_pictures_beside_or_renamed(self, tmp_path: Path) -> None:
        picture(tmp_path / "images/a.jpg")
        put(tmp_path / "labels/a.json", labelme("..\\images\\a.jpg", RECTANGLE))
        assert boxes(ingest(tmp_path / "labels")) == {"../images/a.jpg": [BOX]}
        assert boxes(ingest(tmp_path)) == {"images/a.jpg": [BOX]}
        picture(tmp_path / "other/b.jpg")
        put(tmp_path / "other/b.json", labelme("a.jpg", RECTANGLE))
        done = ingest(tmp_path / "other")
        assert boxes(done) == {"b.jpg": [BOX]}
        assert "a.jpg is missing; b.jpg was taken" in said(done)

    def test_cvat_pictures_in_the_folders_of_an_export(self, tmp_path: Path) -> None:
        picture(tmp_path / "images/train/a.jpg")
        box = '<box label="bee" occluded="0" xtl="80" ytl="64" xbr="120" ybr="96"/>'
        image = f'<image id="0" name="a.jpg" subset="train" width="200" height="160">{box}</image>'
        put(tmp_path / "annotations.xml", f"<annotations><meta/>{image}</annotations>")
        assert boxes(ingest(tmp_path)) == {"images/train/a.jpg": [BOX]}
        picture(tmp_path / "a.jpg")
        with pytest.raises(FormatError, match=r"could be a.jpg or images/train/a.jpg"):
            ingest(tmp_path)

    def test_datumaro_frames_of_a_video_without_a_name(self, tmp_path: Path) -> None:
        entry = {"type": "bbox", "label_id": 0, "bbox": [80, 64, 40, 32], "attributes": {}}
        items = [
            {"id": f"frame_{n:06d}", "annotations": [entry], "attr": {"frame": n},
             "image": {"path": f"frame_{n:06d}.PNG", "size": [160, 200]}}
            for n in (3, 4)
        ]  # fmt: skip
        names = {"label": {"labels": [{"name": "bee"}]}}
        file = put(tmp_path / "a.json", json.dumps({"categories": names, "items": items}))
        with pytest.raises(FormatError, match="give it with --video"):
            ingest(file)
        assert frames(ingest(file, reading=Reading(source="a.mp4", rate=Fraction(25)))) == [3, 4]
        picture(tmp_path / "frame_000003.png")
        assert len(ingest(file).dataset.videos) == 2
        with pytest.raises(FormatError, match="these labels are of pictures"):
            ingest(put(tmp_path / "b.json", coco()), reading=Reading(source="a.mp4"))

    def test_bdd_pictures_without_a_frame_number(self, tmp_path: Path) -> None:
        corners = dict(zip(("x1", "y1", "x2", "y2"), BOX, strict=True))
        label = {"category": "car", "attributes": {"occluded": False}, "box2d": corners, "id": "0"}
        put(tmp_path / "det.json", json.dumps([{"name": "a.jpg", "labels": [label]}]))
        picture(tmp_path / "a.jpg")
        assert boxes(ingest(tmp_path / "det.json")) == {"a.jpg": [BOX]}

    def test_panoptic_coco_is_named(self, tmp_path: Path) -> None:
        content = json.loads(coco())
        content["annotations"] = [{"image_id": 1, "file_name": "a.png", "segments_info": []}]
        with pytest.raises(FormatError, match="panoptic"):
            ingest(put(tmp_path / "a.json", json.dumps(content)))


STRANGERS: dict[str, tuple[str | bytes, str]] = {
    "a.csv": ("filename,file_size,file_attributes,region_count\n", "VIA"),
    "b.csv": ("filename,width,height,class,xmin\n", "TensorFlow"),
    "c.csv": ("scorer,DLC,DLC\n", "DeepLabCut"),
    "d.json": ('{"_via_settings": {}}', "VIA"),
    "e.json": ('[{"image": "a", "label": [{"rectanglelabels": []}]}]', "JSON-MIN"),
    "f.txt": ("1 2001 2 160 200 WSV:2d;1O10\n", "MOTS"),
    "g.txt": ("Car 0 0 -1.5 80 64 120 96 1.5 1.6 3.7 1 1.5 10 -1.5\n", "KITTI's object"),
    "h.json": ('[{"image_id": 1, "category_id": 1, "bbox": [], "score": 1}]', "vodkit eval"),
    "i.json": ('{"images": [],\n "annotations": [}', r"i.json:2: not JSON"),
    "j.xml": ("<labels>\n<size></labels>", r"j.xml:2: not XML"),
    "k.tgz": (b"\x1f\x8b\x08\x00", "gzip"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_what_is_no_label_file_is_named(name: str, tmp_path: Path) -> None:
    content, words = STRANGERS[name]
    with pytest.raises(FormatError, match=words):
        detect_format(put(tmp_path / name, content))


def test_archives_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("data.yaml", NAMES)
    for place in (tmp_path, tmp_path / "a.zip"):
        with pytest.raises(FormatError, match="ZIP archive; unpack it"):
            detect_format(place)


def test_a_heap_without_an_end_is_refused(tmp_path: Path) -> None:
    """The HDF5 library reads an entry of free space of size 0 for ever (found by fuzzing)."""
    world = WORLDS["sleap"]
    path = world.write(tmp_path, list(world.kinds.values()))
    content = bytearray(path.read_bytes())
    place = content.index(b"GCOL") + 16
    content[place : place + 16] = bytes(16)
    path.write_bytes(content)
    with pytest.raises(FormatError, match="a heap of HDF5 at byte"):
        ingest(path)


def test_numbers_that_pictures_leave_out_are_said(tmp_path: Path) -> None:
    for number in (10, 20, 30, 50):
        picture(tmp_path / f"f{number}.jpg", (32, 32))
    with open_video(tmp_path) as video:
        assert any("leave some out after f30.jpg" in note for note in video.notes)
    (tmp_path / "f50.jpg").unlink()
    with open_video(tmp_path) as video:
        assert not any("leave some out" in note for note in video.notes)


def test_an_id_of_label_studio_that_is_a_list_is_refused(tmp_path: Path) -> None:
    """Found by chance: an id that is a list ended as an unforeseen TypeError."""
    shape = {"x": 10, "y": 10, "width": 20, "height": 20, "rectanglelabels": ["bee"]}
    result = {
        "id": ["a"], "type": "rectanglelabels", "value": shape,
        "original_width": 100, "original_height": 100,
    }  # fmt: skip
    task = {"id": 1, "data": {"image": "a.jpg"}, "annotations": [{"result": [result]}]}
    (tmp_path / "tasks.json").write_text(json.dumps([task]), encoding="utf-8")
    with pytest.raises(FormatError, match="id: is a list of 1; allowed: text"):
        read_labels(tmp_path / "tasks.json", "label_studio")
