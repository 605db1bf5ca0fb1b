"""Label files as tools write them, with any mixture of shapes, for the law of accounts.

For every format: kinds of objects, each with what becomes of it (kept, converted or skipped), and a
function that writes a file which holds a list of them.
"""

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

KEPT, CONVERTED, SKIPPED = "kept", "converted", "skipped"
SIZE = (64, 48)
ODD_NAMES = ("a.jpg", "ä b.jpg", "c,d.jpg", "é'f.jpg", "0.jpg")


@dataclass(frozen=True)
class Kind:
    """One kind of object in one format."""

    outcome: str
    content: Any


@dataclass(frozen=True)
class World:
    """One format: its kinds, and how a file of them is written."""

    kinds: dict[str, Kind]
    write: Callable[[Path, Sequence[Kind]], Path]
    name: str = ""


RLE = {"size": [48, 64], "counts": [100, 5, 43, 5, 48 * 64 - 153]}
POLYGON = [10.0, 10, 30, 12, 20, 30]
POINTS3 = [10.0, 10, 2, 20, 25, 2, 0, 0, 0]


def coco_kinds() -> dict[str, Kind]:
    box = {"bbox": [10.0, 10, 20, 10]}
    return {
        "box": Kind(KEPT, box),
        "rotated": Kind(CONVERTED, {**box, "attributes": {"rotation": 30.0}}),
        "crowd": Kind(KEPT, {**box, "iscrowd": 1}),
        "polygon": Kind(CONVERTED, {"segmentation": [POLYGON]}),
        "empty box, mask": Kind(CONVERTED, {"bbox": [], "segmentation": RLE}),
        "empty mask": Kind(SKIPPED, {"segmentation": {"size": [2, 2], "counts": [4]}}),
        "key points": Kind(CONVERTED, {"keypoints": POINTS3}),
        "hidden key points": Kind(SKIPPED, {"keypoints": [0, 0, 0]}),
        "line of zero height": Kind(SKIPPED, {"bbox": [1.0, 1, 5, 0]}),
    }


def write_coco(path: Path, chosen: Sequence[Kind]) -> Path:
    images = [
        {"id": 9 - n, "file_name": name, "width": 64, "height": 48}
        for n, name in enumerate(ODD_NAMES)
    ]
    annotations = [
        {"id": n, "image_id": 9 - n % 5, "category_id": 3 + n % 2, **kind.content}
        for n, kind in enumerate(chosen)
    ]
    names = [{"id": 3, "name": "bee"}, {"id": 4, "name": "fly"}]
    content = {"images": images, "annotations": annotations, "categories": names}
    file = path / "a.json"
    file.write_text(json.dumps(content))
    return file


def write_cocovid(path: Path, chosen: Sequence[Kind]) -> Path:
    file = write_coco(path, chosen)
    content = json.loads(file.read_text())
    content["videos"] = [{"id": 1, "name": "v", "width": 64, "height": 48}]
    for number, image in enumerate(content["images"]):
        image |= {"video_id": 1, "frame_id": number}
    file.write_text(json.dumps(content))
    return file


def write_tao(path: Path, chosen: Sequence[Kind]) -> Path:
    file = write_cocovid(path, chosen)
    content = json.loads(file.read_text())
    content["tracks"] = []
    for image in content["images"]:
        image["frame_index"] = image.pop("frame_id")
    file.write_text(json.dumps(content))
    return file


def write_youtube_vis(path: Path, chosen: Sequence[Kind]) -> Path:
    names = [f"v/{n}.jpg" for n in range(2)]
    video = {"id": 1, "width": 64, "height": 48, "file_names": names}
    entries = [
        {"id": n, "video_id": 1, "category_id": 1, **kind.content} for n, kind in enumerate(chosen)
    ]
    content = {
        "videos": [video], "annotations": entries, "categories": [{"id": 1, "name": "bee"}]
    }  # fmt: skip
    file = path / "a.json"
    file.write_text(json.dumps(content))
    return file


def datumaro_kinds() -> dict[str, Kind]:
    box = {"type": "bbox", "bbox": [10.0, 10, 20, 10]}
    skeleton = [{"type": "points", "points": [1.0, 2, 9, 8], "visibility": [2, 2]}]
    absent = [{"type": "points", "points": [1.0, 2], "visibility": [0]}]
    return {
        "box": Kind(KEPT, box),
        "rotated": Kind(CONVERTED, {**box, "attributes": {"rotation": 45}}),
        "polygon": Kind(CONVERTED, {"type": "polygon", "points": POLYGON}),
        "polyline": Kind(CONVERTED, {"type": "polyline", "points": POLYGON}),
        "ellipse": Kind(CONVERTED, {"type": "ellipse", "points": [10.0, 10, 30, 20]}),
        "mask": Kind(CONVERTED, {"type": "mask", "rle": RLE}),
        "skeleton": Kind(CONVERTED, {"type": "skeleton", "elements": skeleton}),
        "absent skeleton": Kind(SKIPPED, {"type": "skeleton", "elements": absent}),
        "point": Kind(SKIPPED, {"type": "points", "points": [10.0, 10]}),
        "class of the picture": Kind(SKIPPED, {"type": "label"}),
        "unknown": Kind(SKIPPED, {"type": "hologram"}),
    }


def write_datumaro(path: Path, chosen: Sequence[Kind]) -> Path:
    items = [
        {
            "id": name.removesuffix(".jpg"),
            "annotations": [],
            "image": {"path": name, "size": [48, 64]},
        }
        for name in ODD_NAMES
    ]
    for number, kind in enumerate(chosen):
        items[number % 5]["annotations"].append({"label_id": 0, "id": number, **kind.content})
    content = {"items": items, "categories": {"label": {"labels": [{"name": "bee"}]}}}
    file = path / "a.json"
    file.write_text(json.dumps(content))
    return file


def fiftyone_kinds() -> dict[str, Kind]:
    corners = {"top_left": {"x": 0.1, "y": 0.1}, "bottom_right": {"x": 0.4, "y": 0.5}}
    box = {"type": "eta.core.objects.DetectedObject", "label": "bee", "bounding_box": corners}
    shares = [[0.1, 0.2], [0.5, 0.2], [0.3, 0.6]]
    line = {"label": "bee", "points": [shares], "closed": False}
    gone = {"label": "bee", "points": [[math.nan, math.nan]]}
    return {
        "box": Kind(KEPT, ("objects", box)),
        "mask": Kind(KEPT, ("objects", {**box, "mask": "eJx"})),
        "polygon": Kind(CONVERTED, ("polylines", {**line, "closed": True})),
        "polyline": Kind(CONVERTED, ("polylines", line)),
        "key points": Kind(CONVERTED, ("keypoints", {"label": "bee", "points": shares})),
        "absent key points": Kind(SKIPPED, ("keypoints", gone)),
        "point": Kind(SKIPPED, ("keypoints", {"label": "bee", "points": shares[:1]})),
        "class of the frame": Kind(SKIPPED, ("attrs", {"name": "weather", "value": "rain"})),
        "temporal detection": Kind(SKIPPED, ("events", {"label": "run"})),
    }


def write_fiftyone(path: Path, chosen: Sequence[Kind]) -> Path:
    folder = path / "set"
    (folder / "labels").mkdir(parents=True)
    frames: dict[str, Any] = {str(n + 1): {"frame_number": n + 1} for n in range(5)}
    content: dict[str, Any] = {"frames": frames}
    for number, kind in enumerate(chosen):
        name, entry = kind.content
        place = content if name == "events" else frames[str(number % 5 + 1)]
        place.setdefault(name, {name: []})[name].append(entry)
    (folder / "labels" / "a.json").write_text(json.dumps(content))
    index = [{"data": "data/a.mp4", "labels": "labels/a.json"}]
    kind_of = "eta.core.datasets.labeled_datasets.LabeledVideoDataset"
    manifest = {"type": kind_of, "description": "", "index": index}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def scalabel_kinds() -> dict[str, Kind]:
    vertices = [[1.0, 2], [9, 8], [3, 20]]
    poly = {"vertices": vertices, "types": "LLL", "closed": True}
    return {
        "box": Kind(KEPT, {"box2d": {"x1": 1, "y1": 2, "x2": 9, "y2": 8}}),
        "polygon": Kind(CONVERTED, {"poly2d": [poly]}),
        "lane": Kind(CONVERTED, {"poly2d": [{**poly, "closed": False}]}),
        "mask": Kind(CONVERTED, {"rle": RLE}),
        "pose": Kind(CONVERTED, {"graph": {"nodes": [{"location": v} for v in vertices]}}),
        "box in space": Kind(SKIPPED, {"box3d": {"location": [1, 2, 3]}}),
        "nothing": Kind(SKIPPED, {}),
    }


def write_scalabel(path: Path, chosen: Sequence[Kind]) -> Path:
    frames: list[dict[str, Any]] = [
        {"name": str(n), "videoName": "v", "frameIndex": n, "labels": []} for n in range(5)
    ]
    for number, kind in enumerate(chosen):
        label = {"id": str(number), "category": "bee", **kind.content}
        frames[number % 5]["labels"].append(label)
    file = path / "a.json"
    file.write_text(json.dumps([*frames, {"name": "5", "videoName": "v", "frameIndex": 5}]))
    return file


def labelme_kinds() -> dict[str, Kind]:
    corners = [[1.0, 2], [9, 8]]
    return {
        "rectangle": Kind(KEPT, {"shape_type": "rectangle", "points": corners}),
        "polygon": Kind(CONVERTED, {"shape_type": "polygon", "points": [*corners, [3, 20]]}),
        "old polygon": Kind(CONVERTED, {"points": [*corners, [3, 20]]}),
        "circle": Kind(CONVERTED, {"shape_type": "circle", "points": corners}),
        "lines": Kind(CONVERTED, {"shape_type": "linestrip", "points": corners}),
        "mask": Kind(CONVERTED, {"shape_type": "mask", "points": corners}),
        "point": Kind(SKIPPED, {"shape_type": "point", "points": [[4, 4]]}),
        "unknown": Kind(SKIPPED, {"shape_type": "hologram", "points": corners}),
    }


def write_labelme(path: Path, chosen: Sequence[Kind]) -> Path:
    for number, name in enumerate(ODD_NAMES):
        shapes = [{"label": "bee", **kind.content} for kind in chosen[number::5]]
        content = {"shapes": shapes, "imagePath": name, "imageWidth": 64, "imageHeight": 48}
        (path / f"{number}.json").write_text(json.dumps(content))
    return path


def label_studio_kinds() -> dict[str, Kind]:
    box = {"x": 10.0, "y": 10, "width": 20, "height": 10}
    around = {"x": 50.0, "y": 50, "radiusX": 10, "radiusY": 5, "rotation": 20}
    return {
        "rectangle": Kind(KEPT, ("rectanglelabels", {**box, "rotation": 0})),
        "rotated": Kind(CONVERTED, ("rectanglelabels", {**box, "rotation": 30})),
        "polygon": Kind(CONVERTED, ("polygonlabels", {"points": [[1, 2], [9, 8], [3, 20]]})),
        "ellipse": Kind(CONVERTED, ("ellipselabels", around)),
        "key point": Kind(SKIPPED, ("keypointlabels", {"x": 5, "y": 5, "width": 1})),
        "choice": Kind(SKIPPED, ("choices", {"choices": ["good"]})),
        "relation": Kind(SKIPPED, ("relation", {})),
    }


def write_label_studio(path: Path, chosen: Sequence[Kind]) -> Path:
    tasks = []
    for number, name in enumerate(ODD_NAMES):
        results = []
        for place, kind in enumerate(chosen[number::5]):
            what, value = kind.content
            key = what if what.endswith("labels") else "unused"
            results.append(
                {
                    "id": f"r{place}", "type": what, "original_width": 64, "original_height": 48,
                    "value": {**value, key: ["bee"]},
                }
            )  # fmt: skip
        tasks.append({"data": {"image": name}, "annotations": [{"result": results}]})
    file = path / "a.json"
    file.write_text(json.dumps(tasks))
    return file


def cvat_kinds() -> dict[str, Kind]:
    box = 'xtl="10" ytl="10" xbr="30" ybr="20"'
    points = 'points="1,2;9,8;3,20"'
    inner = '<points label="n" outside="0" points="1,2"/><points outside="0" points="9,8"/>'
    outside = '<points label="n" outside="1" points="1,2"/>'
    cuboid = " ".join(
        f'x{c}{n}="{x}" y{c}{n}="{y}"'
        for n in (1, 2)
        for c, x, y in (("tl", 1, 1), ("bl", 1, 9), ("tr", 9, 1), ("br", 9, 9))
    )
    return {
        "box": Kind(KEPT, f"<box {box}/>"),
        "rotated": Kind(CONVERTED, f'<box {box} rotation="30.0"/>'),
        "polygon": Kind(CONVERTED, f"<polygon {points}/>"),
        "polyline": Kind(CONVERTED, f"<polyline {points}/>"),
        "points": Kind(CONVERTED, f"<points {points}/>"),
        "point": Kind(SKIPPED, '<points points="4,4"/>'),
        "ellipse": Kind(CONVERTED, '<ellipse cx="9" cy="9" rx="4" ry="2" rotation="45"/>'),
        "mask": Kind(CONVERTED, '<mask rle="1,2" left="1" top="2" width="9" height="4"/>'),
        "cuboid": Kind(CONVERTED, f"<cuboid {cuboid}/>"),
        "skeleton": Kind(CONVERTED, f"<skeleton>{inner}</skeleton>"),
        "unknown": Kind(SKIPPED, f"<hologram {points}/>"),
        "hidden skeleton": Kind("either", f"<skeleton>{outside}</skeleton>"),
    }


def _with(shape: str, extra: str) -> str:
    """The element with further attributes in its first tag."""
    name = re.split(r"[ >/]", shape[1:], maxsplit=1)[0]
    return shape.replace(f"<{name}", f"<{name} {extra}", 1)


def write_cvat_video(path: Path, chosen: Sequence[Kind]) -> Path:
    """A project of two tasks: every object a track with one key frame, and a stray element."""
    task = (
        "<task><id>{0}</id><name>t{0}</name><size>9</size><mode>interpolation</mode>"
        "<start_frame>0</start_frame><stop_frame>8</stop_frame><original_size><width>64</width>"
        "<height>48</height></original_size><source>clip{0}.mp4</source></task>"
    )
    tracks = "".join(
        f'<track id="{n}" label="bee" task_id="{1 + n % 2}">{_with(kind.content, keys)}</track>'
        for n, kind in enumerate(chosen)
        for keys in [f'frame="{n % 9}" outside="0" occluded="0" keyframe="1"']
    )
    tasks = task.format(1) + task.format(2)
    text = (
        f"<annotations><version>1.1</version><meta><project><tasks>{tasks}</tasks></project>"
        f"</meta>{tracks}</annotations>"
    )
    file = path / "a.xml"
    file.write_text(text)
    return file


def write_cvat_images(path: Path, chosen: Sequence[Kind]) -> Path:
    images = ""
    for number, name in enumerate(ODD_NAMES):
        shapes = "".join(
            _with(kind.content, 'label="bee" occluded="0"') for kind in chosen[number::5]
        )
        attributes = f'id="{number}" name="{name}" width="64" height="48"'
        images += f"<image {attributes}>{shapes}</image>"
    meta = "<meta><task><id>1</id><mode>annotation</mode></task></meta>"
    file = path / "a.xml"
    file.write_text(f"<annotations>{meta}{images}</annotations>", encoding="utf-8")
    return file


def voc_kinds() -> dict[str, Kind]:
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>"
    flat = box.replace("<ymax>8", "<ymax>2")
    turned = "<robndbox><cx>9</cx><cy>9</cy><w>8</w><h>4</h><angle>0.5</angle></robndbox>"
    polygon = "<polygon><x1>1</x1><y1>2</y1><x2>9</x2><y2>8</y2></polygon>"
    return {
        "box": Kind(KEPT, box),
        "difficult": Kind(KEPT, f"{box}<difficult>1</difficult>"),
        "rotated": Kind(CONVERTED, turned),
        "polygon": Kind(CONVERTED, polygon),
        "flat": Kind(SKIPPED, flat),
        "box with polygon": Kind(KEPT, box + polygon),
        "deleted": Kind(SKIPPED, f"{box}<deleted>1</deleted>"),
    }


def write_voc(path: Path, chosen: Sequence[Kind]) -> Path:
    (path / "annots").mkdir()
    for number, name in enumerate(ODD_NAMES):
        things = "".join(
            f"<object><name>bee</name>{kind.content}</object>" for kind in chosen[number::5]
        )
        size = "<size><width>64</width><height>48</height></size>"
        text = f"<annotation><filename>{name}</filename>{size}{things}</annotation>"
        (path / "annots" / f"{number}.xml").write_text(text, encoding="utf-8")
    return path


def yolo_kinds(tail: str = "") -> dict[str, Kind]:
    return {
        "box": Kind(KEPT, "0 .5 .5 .2 .2"),
        "scored": Kind(KEPT, "1 .5 .5 .2 .2 .75"),
        "flat": Kind(SKIPPED, "0 .5 .5 .2 0"),
        "long": Kind(CONVERTED, f"0 .5 .5 .2 .2 .45 .45 {tail}".strip()),
    }


def write_yolo(path: Path, chosen: Sequence[Kind], *, sheet: str = "") -> Path:
    """Nested folders, a picture without labels, and a label file of no listed picture."""
    (path / "data.yaml").write_text(f"path: ds\ntrain: images/train\nnames: [bee, fly]\n{sheet}")
    for number, name in enumerate(ODD_NAMES):
        inner = "sub" if number % 2 else "."
        labels = path / "ds" / "labels" / "train" / inner
        labels.mkdir(parents=True, exist_ok=True)
        lines = [kind.content for kind in chosen[number::5]]
        (labels / name).with_suffix(".txt").write_text("\n".join(lines))
    return path


def write_pose(path: Path, chosen: Sequence[Kind]) -> Path:
    return write_yolo(path, chosen, sheet="kpt_shape: [2, 3]\n")


def write_lines(folder: str, name: str) -> Callable[[Path, Sequence[Kind]], Path]:
    def write(path: Path, chosen: Sequence[Kind]) -> Path:
        file = path / folder / name
        file.parent.mkdir(parents=True)
        lines = [kind.content.format(frame=n // 3 + 1, id=n) for n, kind in enumerate(chosen)]
        file.write_text("\n".join(lines))
        return path

    return write


MOT_KINDS = {
    "box": Kind(KEPT, "{frame},{id},1,2,9,8,1,1,1"),
    "not considered": Kind(KEPT, "{frame},{id},1,2,9,8,0,1,1"),
    "flat": Kind(SKIPPED, "{frame},{id},1,2,9,0,1,1,1"),
}
VISDRONE_KINDS = {
    "box": Kind(KEPT, "{frame},{id},1,2,9,8,1,1,0,0"),
    "region": Kind(KEPT, "{frame},{id},1,2,9,8,0,0,0,0"),
    "flat": Kind(SKIPPED, "{frame},{id},1,2,0,8,1,1,0,0"),
}
VISDRONE_DET_KINDS = {
    "box": Kind(KEPT, "1,2,9,8,1,1,0,0"),
    "region": Kind(KEPT, "1,2,9,8,0,0,0,0"),
    "flat": Kind(SKIPPED, "1,2,0,8,1,1,0,0,"),
}
_REST = "0 0 -10 {corners} -1 -1 -1 -1000 -1000 -1000 -10"
KITTI_KINDS = {
    "box": Kind(KEPT, "{frame} {id} Car " + _REST.replace("{corners}", "1 2 9 8")),
    "region": Kind(KEPT, "{frame} -1 DontCare " + _REST.replace("{corners}", "1 2 9 8")),
    "flat": Kind(SKIPPED, "{frame} {id} Car " + _REST.replace("{corners}", "1 2 9 2")),
}


def detrac_kinds() -> dict[str, Kind]:
    kind = '<attribute vehicle_type="van"/>'
    box = '<box left="1" top="2" width="9" height="{}"/>'
    return {
        "box": Kind(KEPT, box.format(8) + kind),
        "flat": Kind(SKIPPED, box.format(0) + kind),
    }


def write_detrac(path: Path, chosen: Sequence[Kind]) -> Path:
    frames = "".join(
        f'<frame num="{n + 1}"><target_list><target id="{n}">{kind.content}</target></target_list>'
        "</frame>"
        for n, kind in enumerate(chosen)
    )
    (path / "a.xml").write_text(f'<sequence name="a">{frames}</sequence>')
    return path


def vid_kinds() -> dict[str, Kind]:
    return {name: kind for name, kind in voc_kinds().items() if name in ("box", "flat")}


def write_vid(path: Path, chosen: Sequence[Kind]) -> Path:
    folder = path / "Annotations" / "VID" / "train" / "s"
    folder.mkdir(parents=True)
    for number in range(5):
        things = "".join(
            f"<object><trackid>{n}</trackid><name>bee</name>{kind.content}</object>"
            for n, kind in enumerate(chosen[number::5])
        )
        size = "<size><width>64</width><height>48</height></size>"
        text = f"<annotation>{size}{things}</annotation>"
        (folder / f"{number:06d}.xml").write_text(text)
    return path


SLEAP_KINDS = {
    "animal": Kind(CONVERTED, (0, [[10.0, 10], [30, 40]])),
    "predicted": Kind(CONVERTED, (1, [[10.0, 10], [30, 40]])),
    "hidden": Kind(SKIPPED, (0, [[np.nan, np.nan], [np.nan, np.nan]])),
    "no video": Kind(SKIPPED, (0, [[10.0, 10], [30, 40]], 99)),
}


def embedded_video(number: int) -> dict[str, Any]:
    shape = [99, 48, 64, 3]
    backend = {"filename": ".", "dataset": f"video{number}/video", "shape": shape}
    return {"backend": backend, "source_video": {"filename": f"clips/{number}.mp4"}}


def write_sleap(path: Path, chosen: Sequence[Kind], numbers: Sequence[int] = (4, 15)) -> Path:
    """A package of embedded videos with gaps in their numbers, one animal a frame."""
    import h5py

    point = [("x", "f8"), ("y", "f8"), ("visible", "?"), ("complete", "?")]
    frame = [("frame_id", "u8"), ("video", "u4"), ("frame_idx", "u8"),
             ("instance_id_start", "u8"), ("instance_id_end", "u8")]  # fmt: skip
    instance = [
        ("instance_id", "i8"), ("instance_type", "u1"), ("frame_id", "u8"), ("skeleton", "u4"),
        ("track", "i4"), ("from_predicted", "i8"), ("score", "f4"), ("point_id_start", "u8"),
        ("point_id_end", "u8"), ("tracking_score", "f4"),
    ]  # fmt: skip
    points: dict[int, list[Any]] = {0: [], 1: []}
    frames, instances = [], []
    for n, kind in enumerate(chosen):
        model, places, *video = kind.content
        start = len(points[model])
        for x, y in places:
            score = (0.5,) if model else ()
            points[model].append((x, y, bool(np.isfinite(x)), False, *score))
        frames.append((n, video[0] if video else numbers[n % 2], n, n, n + 1))
        ends = (start, len(points[model]))
        instances.append((n, model, n, 0, -1, -1, 0.5, *ends, 0))
    file = path / "a.pkg.slp"
    with h5py.File(file, "w") as h5:
        h5["frames"] = np.array(frames, frame)
        h5["instances"] = np.array(instances, instance)
        h5["points"] = np.array(points[0], point)
        h5["pred_points"] = np.array(points[1], [*point, ("score", "f8")])
        videos = [json.dumps(embedded_video(n)) for n in numbers]
        h5["videos_json"] = np.array(videos, h5py.string_dtype())
        skeleton = {"graph": {"name": "fly"}}
        h5.create_group("metadata").attrs["json"] = json.dumps({"skeletons": [skeleton]})
        h5["metadata"].attrs["format_id"] = 1.2
    return file


_BOX4 = {"bboxes": [[1.0, 2, 9, 8], None]}
WORLDS: dict[str, World] = {
    "fiftyone": World(fiftyone_kinds(), write_fiftyone),
    "coco": World(coco_kinds(), write_coco),
    "cocovid": World(coco_kinds(), write_cocovid),
    "tao": World(coco_kinds(), write_tao),
    "youtube_vis": World(
        {
            "box": Kind(KEPT, _BOX4),
            "mask": Kind(CONVERTED, {"segmentations": [None, RLE]}),
            "flat": Kind(SKIPPED, {"bboxes": [[1.0, 2, 0, 8], None]}),
        },
        write_youtube_vis,
    ),
    "datumaro": World(datumaro_kinds(), write_datumaro),
    "scalabel": World(scalabel_kinds(), write_scalabel),
    "labelme": World(labelme_kinds(), write_labelme),
    "label_studio": World(label_studio_kinds(), write_label_studio),
    "cvat": World(cvat_kinds(), write_cvat_video),
    "cvat images": World(cvat_kinds(), write_cvat_images),
    "voc": World(voc_kinds(), write_voc),
    "yolo": World(yolo_kinds(".9 .3"), write_yolo),
    "yolo pose": World(yolo_kinds("2 .55 .45 2"), write_pose),
    "mot": World(MOT_KINDS, write_lines("gt", "gt.txt")),
    "visdrone": World(VISDRONE_KINDS, write_lines("annotations", "a.txt")),
    "visdrone pictures": World(VISDRONE_DET_KINDS, write_lines("annotations", "a.txt")),
    "kitti": World(KITTI_KINDS, write_lines("label_02", "0.txt")),
    "ua_detrac": World(detrac_kinds(), write_detrac),
    "imagenet_vid": World(vid_kinds(), write_vid),
    "sleap": World(SLEAP_KINDS, write_sleap),
}
