"""Files that hold no labels vodkit reads: what they are, and what to do about them."""

import re
from pathlib import Path

from vodkit.formats.jsonfile import head_of

_KINDS = (
    (r"filename,file_size,file_attributes,", "a table of VGG's VIA", "COCO"),
    (r"\s*\{\s*\"_via_", "a project of VGG's VIA", "COCO"),
    (r'.*"(all_points_x|shape_attributes)"', "annotations of VGG's VIA", "COCO"),
    (r"filename,width,height,class,", "a table for TensorFlow", "COCO or Pascal VOC"),
    (r"ImageID,", "a table of Open Images", "COCO"),
    (r"scorer,", "a table of DeepLabCut", "SLEAP, or COCO with key points"),
    (r".*\brectanglelabels\b.*", "Label Studio's JSON-MIN or CSV", "its full JSON"),
)
_MAGIC = (
    (b"PK\x03\x04", "a ZIP archive; unpack it and give the folder"),
    (b"Rar!", "a RAR archive; unpack it and give the folder"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it and give the folder"),
    (b"\x1f\x8b", "compressed by gzip; unpack it"),
)


def is_known_as(path: Path) -> str:
    """What a file or folder is that no format reads, and what to do; empty where it is unknown."""
    if path.is_dir():
        archives = sorted(file.name for file in path.glob("*.zip"))
        for name in ("label_2", "labels", "gt", "."):
            first = next(iter(sorted((path / name).glob("*.txt"))), None)
            if first is not None and (words := _of_lines(head_of(first, 4096))):
                return words
        if len(archives) == 1:
            return f"{archives[0]} in it is a ZIP archive; unpack it"
        return ""
    if not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            magic = file.read(8)
    except OSError:
        return ""
    archive = next((words for start, words in _MAGIC if magic.startswith(start)), "")
    if archive or path.suffix.lower() == ".tar":
        return f"this is {archive or 'a tar archive; unpack it and give the folder'}"
    head = head_of(path)
    if path.suffix.lower() == ".txt":
        return _of_lines(head)
    for pattern, what, better in _KINDS:
        if re.match(pattern, head, flags=re.DOTALL):
            return f"this is {what}; export the labels as {better}"
    if head.lstrip().startswith(("{", "[")) and '"image_id"' in head and '"score"' in head:
        return "this is a list of COCO results, which are predictions: give it to `vodkit eval`"
    return ""


def _of_lines(head: str) -> str:
    """What the first line of a text file shows."""
    fields = head.strip().split("\n")[0].split()
    if len(fields) == 6 and fields[3].isdigit() and not _is_number(fields[5]):
        return "this is MOTS (masks); export it as COCO or MOT"
    if len(fields) in (15, 16) and not _is_number(fields[0]) and all(map(_is_number, fields[1:])):
        return (
            "this is KITTI's object benchmark (15 columns, a file a picture); the tracking "
            "benchmark has 17; convert it to COCO or YOLO"
        )
    return ""


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?", text, flags=re.ASCII | re.IGNORECASE))
