"""UA-DETRAC XML: one file a sequence, frames from 1, vehicle types as classes.

``<ignored_region>`` holds for the whole sequence and becomes an ignore row for every class in every
frame that the file lists. Where ``<occlusion>`` lists what covers a box, visibility is the share
that is left. Pictures are 960x540 at 25 frames/s unless the file (ours), the video or the caller
says else, asked in this order.
"""

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from vodkit.formats.base import Reading, Writing, info_for, rate_from, relative_source, stems
from vodkit.formats.jsonfile import head_of
from vodkit.formats.pictures import (
    NO_PICTURE,
    class_number,
    class_table,
    picture_files,
    places_of,
)
from vodkit.formats.rows import MOST_DRAWN, Row, Rows, rows_by_frame
from vodkit.formats.textfile import plain
from vodkit.formats.xmlfile import Element, read_xml, tag
from vodkit.ground.errors import FormatError
from vodkit.ground.paths import files_in
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo
from vodkit.ground.runs import make_folder, write_atomic

KEEPS = frozenset({"ids", "labelled", "video"})
PICTURES: str | None = "{stem}/img{frame1:05d}.jpg"
SIZE_PX = (960, 540)
RATE = Fraction(25)

Corners = tuple[float, float, float, float]


def sniff(path: Path) -> bool:
    """An XML file that begins with ``<sequence``, or a folder of them."""
    files = _files(path)[:1]
    return bool(files) and "<sequence" in head_of(files[0], 4096)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".xml" else []
    return files_in(path, ".xml")


def read(path: Path, reading: Reading) -> Dataset:
    """One XML file a video."""
    trees = [read_xml(file) for file in _files(path)]
    if not trees:
        raise FormatError("no XML files in here", path=path)
    names = [
        thing.need("attribute").words("vehicle_type")
        for tree in trees
        for frame in tree.all("frame")
        for thing in _targets(frame)
    ]
    classes = class_table(names, reading)
    return Dataset(classes=classes, videos=tuple(_video(t, path, classes, reading) for t in trees))


def contained(path: Path) -> int:
    """Number of targets and of ignored regions (one each, whatever the number of frames)."""
    total = 0
    for tree in map(read_xml, _files(path)):
        total += sum(element.name == "target" for element in tree.walk())
        tops = (child for child in tree.children if child.name == "ignored_region")
        total += sum(box.name == "box" for top in tops for box in top.children)
    return total


def _targets(frame: Element) -> list[Element]:
    found = frame.find("target_list")
    return list(found.all("target")) if found is not None else []


def _video(tree: Element, path: Path, classes: tuple[str, ...], reading: Reading) -> LabelledVideo:
    source = relative_source(tree.words("name", tree.path.stem), tree.path, line=tree.line)
    root = path if path.is_dir() else path.parent
    files = picture_files(root / source)
    size = (tree.whole("width", 0), tree.whole("height", 0))
    told = replace(reading, size_px=reading.size_px or SIZE_PX, rate=reading.rate or RATE)
    known = size if min(size) > 0 else None
    info, tags = info_for(source, path, told, size_px=known, rate=_rate(tree))
    rows = Rows(tree.path, reading, num_classes=len(classes), num_frames=len(files) or None)
    regions = [_corners(box) for place in tree.all("ignored_region") for box in place.all("box")]
    if len(regions) * sum(1 for _ in tree.all("frame")) > MOST_DRAWN:
        raise tree.fault(f"{len(regions)} regions in every frame: too many")
    frames = []
    numbers = [node.whole("num") - 1 for node in tree.all("frame")]
    places = places_of(files, numbers, reading, tree.path, first=1)
    for node, number in zip(tree.all("frame"), numbers, strict=True):
        frame = places.of(number)
        if frame is None:
            place = f"{tree.path}:{node.line}"
            reading.tally.skip(NO_PICTURE, place, len(_targets(node)))
            continue
        frames.append(frame)
        for region in regions:
            rows.add(frame, region, line=node.line, label=-1, ignore=True, drawn=True)
        for thing in _targets(node):
            with reading.taking(tree.path, thing.line):
                _add(rows, thing, frame, classes)
    _refuse_strays(tree, reading)
    rows.take(count=len(regions))
    wrong = [frame for frame in frames if frame < 0]
    if wrong or len(set(frames)) < len(frames):
        raise tree.fault("a frame number is below 1 or occurs twice")
    return rows.video(
        info, tags, labelled_frames=np.array(sorted(frames), np.int64), frame_files=files
    )


def _refuse_strays(tree: Element, reading: Reading) -> None:
    known = {id(thing) for frame in tree.all("frame") for thing in _targets(frame)}
    for element in tree.walk():
        if element.name == "target" and id(element) not in known:
            with reading.taking(tree.path, element.line):
                raise element.fault("a target outside the target_list of a frame")


def _rate(tree: Element) -> Fraction | None:
    """The rate that our own files have."""
    if "rate" not in tree.attributes:
        return None
    try:
        return rate_from(tree.words("rate"))
    except ValueError as error:
        raise tree.fault(str(error)) from error


def _corners(box: Element) -> Corners:
    left, top = box.real("left"), box.real("top")
    return left, top, left + box.real("width"), top + box.real("height")


def _add(rows: Rows, thing: Element, frame: int, classes: tuple[str, ...]) -> None:
    name = thing.need("attribute").words("vehicle_type")
    if name not in classes:
        raise thing.fault(f"class {name!r} is not among {', '.join(classes)}")
    corners = _corners(thing.need("box"))
    rows.add(
        frame,
        corners,
        line=thing.line,
        track_id=thing.whole("id"),
        label=class_number(name, classes),
        visibility=_visibility(thing, corners),
    )


def _visibility(thing: Element, corners: Corners) -> float:
    found = thing.find("occlusion")
    area = (corners[2] - corners[0]) * (corners[3] - corners[1])
    if found is None or not 0 < area < math.inf:
        return math.nan
    hidden = sum(
        region.real("width") * region.real("height") for region in found.all("region_overlap")
    )
    return min(max(1 - hidden / area, 0.0), 1.0) if math.isfinite(hidden) else math.nan


def write(dataset: Dataset, path: Path, writing: Writing) -> None:
    """``<video>.xml`` each; ignore regions that stand in every frame are kept, others left out."""
    del writing
    folder = make_folder(path)
    for video, name in zip(dataset.videos, stems(dataset), strict=True):
        write_atomic(folder / f"{name}.xml", _xml(name, video, dataset.classes))


def _xml(name: str, video: LabelledVideo, classes: tuple[str, ...]) -> str:
    by_frame = rows_by_frame(video)
    info = video.info
    told = {"name": name, "width": info.width_px, "height": info.height_px, "rate": info.rate}
    lines = [tag("sequence", **told).removesuffix("</sequence>"), "<ignored_region>"]
    everywhere = [
        {row.box_xyxy for row in rows if row.ignore and row.label < 0} for rows in by_frame.values()
    ]
    constant = set.intersection(*everywhere) if everywhere else set()
    lines += [_box(corners) for corners in sorted(constant)]
    lines.append("</ignored_region>")
    fresh = max((row.track_id for rows in by_frame.values() for row in rows), default=0)
    for frame, rows in by_frame.items():
        things = [row for row in rows if not row.ignore]
        lines.append(f'<frame density="{len(things)}" num="{frame + 1}"><target_list>')
        for row in things:
            fresh += row.track_id == NO_ID
            lines.append(_target(row, fresh if row.track_id == NO_ID else row.track_id, classes))
        lines.append("</target_list></frame>")
    return "\n".join([*lines, "</sequence>\n"])


def _target(row: Row, track_id: int, classes: tuple[str, ...]) -> str:
    kind = tag("attribute", vehicle_type=classes[row.label], truncation_ratio=0)
    return f'<target id="{track_id}">{_box(row.box_xyxy)}{kind}</target>'


def _box(corners: Corners) -> str:
    x1, y1, x2, y2 = corners
    sizes = {"left": x1, "top": y1, "width": x2 - x1, "height": y2 - y1}
    return tag("box", **{key: plain(value) for key, value in sizes.items()})
