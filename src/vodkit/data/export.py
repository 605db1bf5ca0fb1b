"""Writing a dataset in another form, with the pictures that the form needs.

Forms of one picture a frame (COCO, YOLO, VOC, ...) get their pictures decoded from the videos;
still pictures are copied byte for byte.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2

from vodkit.errors import InputError, OutputError
from vodkit.formats.base import Writing, is_still, labelled_frames, picture_name, stems
from vodkit.formats.table import FORMATS, what_is_lost, write_dataset
from vodkit.lookup import pick
from vodkit.records import Dataset, Frame, LabelledVideo
from vodkit.video.reader import open_video

JPEG_QUALITY = 95


def export_dataset(
    dataset: Dataset,
    path: Path,
    format: str,  # noqa: A002
    *,
    root: Path,
    writing: Writing | None = None,
    pictures: bool = True,
) -> list[str]:
    """Write labels, and pictures where the form needs them; what is lost, in words.

    Sources are relative to ``root``. ``pictures`` False leaves pictures to the caller.
    """
    chosen = writing or Writing()
    lost = what_is_lost(dataset, format)
    write_dataset(dataset, path, format, writing=chosen)
    layout = pick(FORMATS, format, "label format").PICTURES
    if pictures and layout is not None:
        base = path if path.is_dir() else path.parent
        for video, name in zip(dataset.videos, stems(dataset), strict=True):
            _write_pictures(
                video, name, root=root, base=base, layout=layout, default_split=chosen.default_split
            )
    return lost


def _write_pictures(
    video: LabelledVideo, stem: str, *, root: Path, base: Path, layout: str, default_split: str
) -> None:
    source = root / video.source
    if not source.exists():
        raise InputError(f"{source}: the video is not there, so no pictures can be made of it")

    def place(frame: int) -> Path:
        name = picture_name(video, stem, frame)
        split = video.split or default_split
        filled = layout.format(split=split, stem=stem, name=name, frame=frame, frame1=frame + 1)
        target = base / filled
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    if is_still(video):
        shutil.copyfile(source, place(0))
        return
    for frame in frames_of(source, labelled_frames(video)):
        target = place(frame.index)
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        if not cv2.imwrite(str(target), frame.image[:, :, ::-1], quality):
            raise OutputError("the picture cannot be written", path=target)


def frames_of(source: Path, wanted: list[int]) -> Iterator[Frame]:
    """The wanted frames of a video, in one pass, in order."""
    chosen, last = set(wanted), max(wanted, default=-1)
    if not chosen:
        return
    with open_video(source) as video:
        for frame in video.frames():
            if frame.index in chosen:
                yield frame
            if frame.index >= last:
                return
