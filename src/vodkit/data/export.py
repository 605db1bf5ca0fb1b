"""Writing a dataset in another form, with the pictures that the form needs.

Forms of one picture a frame (COCO, YOLO, VOC, ...) get their pictures decoded from the videos;
still pictures, and videos in FiftyOne's form, are copied byte for byte. A killed export leaves
nothing under the wanted name: a folder takes it when it is complete, a label file when its pictures
exist.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import cv2

from vodkit.formats.base import Writing, is_still, picture_name, stems
from vodkit.formats.rows import labelled_frames
from vodkit.formats.table import FORMATS, what_is_lost, write_dataset
from vodkit.ground import ledger
from vodkit.ground.errors import FormatError, InputError, OutputError, writing
from vodkit.ground.lookup import pick
from vodkit.ground.paths import put_in_place
from vodkit.ground.records import Dataset, Frame, LabelledVideo
from vodkit.ground.runs import make_folder, only_one
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
    overwrite: bool = False,
) -> list[str]:
    """Write labels, and pictures where the form needs them; what is lost, in words.

    Sources are relative to ``root``. ``pictures`` False leaves pictures to the caller. What vodkit
    exported to ``path`` before is replaced with ``overwrite``: labels of two exports must not mix.

    Raises:
        OutputError: something is at ``path`` and ``overwrite`` is not given, vodkit did not write
            all of it, a video of the dataset lies in it, or another process writes there.
    """
    path = path.resolve()
    require_replaceable(path, dataset, root=root, overwrite=overwrite)
    lost = what_is_lost(dataset, format)
    part = path.with_name(f".part-{path.name}")
    with _alone(path, part):
        _remove(part)
        try:
            _write(dataset, part, path, format, root=root, writing=writing, pictures=pictures)
            if part.is_dir():
                ledger.record_all(part)
                ledger.remove_tree(path)
            else:
                ledger.claim(path)
            put_in_place(part, path)
        except (FormatError, OutputError) as error:
            # The same error about the path that was asked for: nobody knows of the hidden one
            message = str(error).removeprefix(f"{error.path}: ")
            raise type(error)(message, path=error.path.replace(str(part), str(path), 1)) from error
        finally:
            _remove(part)
    return lost


def _write(
    dataset: Dataset, part: Path, path: Path, format: str, *,  # noqa: A002
    root: Path, writing: Writing | None, pictures: bool,
) -> None:  # fmt: skip
    """Everything that belongs to the export, at ``part``, or beside ``path`` for a label file."""
    chosen = writing or Writing()
    with ledger.unrecorded():
        write_dataset(dataset, part, format, writing=chosen)
    module = pick(FORMATS, format, "label format")
    layout = module.PICTURES
    if not pictures or layout is None:
        return
    if "{suffix}" in layout:
        _copy_videos(dataset, part, layout=layout, root=root)
        return
    base, split = (part if part.is_dir() else path.parent), chosen.default_split
    with ledger.unrecorded() if part.is_dir() else nullcontext():
        for video, name in zip(dataset.videos, stems(dataset), strict=True):
            _write_pictures(video, name, root=root, base=base, layout=layout, default_split=split)


def require_replaceable(path: Path, dataset: Dataset, *, root: Path, overwrite: bool) -> None:
    """OutputError where an export may not take the place of what is at ``path``."""
    if not holds_something(path):
        return
    if not overwrite:
        raise OutputError("exists and is not empty; --overwrite replaces it", path=path)
    if path.is_dir():
        for video in dataset.videos:
            source = (root / video.source).resolve()
            if source.is_relative_to(path.resolve()):
                message = f"holds {video.source}, which is read here; choose another folder"
                raise OutputError(message, path=path)
        ledger.require_all_ours(path)
    else:
        ledger.require_ours(path)


@contextmanager
def _alone(path: Path, part: Path) -> Iterator[None]:
    """Within, no other process exports to ``path``."""
    lock = part.with_name(f"{part.name}.lock")
    make_folder(path.parent)
    lock.mkdir(exist_ok=True)
    with only_one(lock):
        try:
            yield
        finally:
            with suppress(OSError):
                lock.rmdir()


def holds_something(path: Path) -> bool:
    """Whether there is a file, or a folder with anything in it."""
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _copy_videos(dataset: Dataset, part: Path, *, layout: str, root: Path) -> None:
    """The video files themselves, for forms that contain them."""
    for video, name in zip(dataset.videos, stems(dataset), strict=True):
        source = root / video.source
        if not source.is_file():
            raise InputError(f"{source}: the video is missing, and the export contains it")
        target = part / layout.format(stem=name, suffix=source.suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        with writing(target):
            shutil.copyfile(source, target)


def _write_pictures(
    video: LabelledVideo, stem: str, *, root: Path, base: Path, layout: str, default_split: str
) -> None:
    source = root / video.source
    if not source.exists():
        raise InputError(f"{source}: the video does not exist, so its pictures cannot be written")

    def place(frame: int) -> Path:
        name = picture_name(video, stem, frame)
        split = video.split or default_split
        filled = layout.format(split=split, stem=stem, name=name, frame=frame, frame1=frame + 1)
        target = base / filled
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (target.exists() and target.samefile(source)):
            ledger.claim(target)
        return target

    if is_still(video):
        if not ((target := place(0)).exists() and target.samefile(source)):
            shutil.copyfile(source, target)
        return
    for frame in frames_of(source, labelled_frames(video)):
        target = place(frame.index)
        # OpenCV warns of every picture whose form has no such setting (PNG)
        lossy = target.suffix.lower() in (".jpg", ".jpeg")
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if lossy else []
        is_made, content = cv2.imencode(target.suffix, frame.image[:, :, ::-1], quality)
        if not is_made:
            raise OutputError("the picture cannot be encoded", path=target)
        with writing(target):
            target.write_bytes(content.tobytes())


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
