"""Import of labels: any format, with sizes, frame counts and times from the videos themselves.

A label file has the frame of a box; only the video has its time. Times are therefore read from the
container wherever the video exists; where it does not, they stay frame index / rate and the video
keeps the tag ``times: nominal``.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from vodkit.data.audit.video_scan import frame_times_s, probe
from vodkit.formats.base import TIMES, Reading, is_still, stem, stem_of
from vodkit.formats.pictures import picture_head
from vodkit.formats.rows import refuse_sparse
from vodkit.formats.table import read_dataset, read_labels
from vodkit.ground.account import Account
from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.errors import FormatError, InputError, UnknownSizeError
from vodkit.ground.label_size import Sized, scaling_of
from vodkit.ground.paths import relative, there
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo

VIDEO_ENDINGS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv")


@dataclass(frozen=True, eq=False)
class Ingest:
    """An imported dataset, and what could not be taken from its videos."""

    dataset: Dataset
    notes: tuple[str, ...]
    """one line for each video that is missing, or does not fit its labels"""
    account: Account | None = None
    """what became of the objects of the label file"""


def ingest(
    path: Path,
    format: str = "auto",  # noqa: A002
    *,
    reading: Reading | None = None,
    videos: Path | None = None,
    relative_to: Path | None = None,
) -> Ingest:
    """Read labels, and sizes and times from their videos.

    Args:
        path: A label file, or a folder of labels.
        format: A key of ``READERS``, or ``auto``.
        reading: What the labels do not contain.
        videos: The folder of the videos, where they are not beside the labels.
        relative_to: The folder of the dataset file that will be written; sources come out relative
            to it.

    Raises:
        FormatError: The first fault in the labels; no video or no box in them.
    """
    told = replace(reading or Reading(), skip_empty=True)
    root = path if path.is_dir() else path.parent
    home = videos or root
    typed = Path(told.source)
    if told.source and (typed.is_absolute() or not (root / typed).exists()):
        found = _found(home, told.source)
        told = replace(told, source=_relative(found, root))
    told = replace(told, probe=_probing(root, home))
    dataset, account = read_labels(path, format, reading=told)
    require_labels(dataset, account, path)
    unknown = {i for i, one in enumerate(dataset.videos) if one.info.num_frames is None}
    dataset = _placed(dataset, root, home, relative_to or root, told.source)
    if told.source and dataset.videos and all(is_still(video) for video in dataset.videos):
        message = f"--video {told.source}: these labels are of pictures, not of a video"
        raise FormatError(message, path=path)
    done = attach(dataset, relative_to or root)
    for i in unknown:
        _refuse_sparse(done.dataset.videos[i], told, path)
    return replace(done, account=account)


def read_with_videos(path: Path, format: str = "auto") -> tuple[Dataset, tuple[str, ...]]:  # noqa: A002
    """Read labels; where they lack picture sizes, from the videos beside them, as ``ingest`` does.

    Args:
        path: A label file, or a folder of labels.
        format: A key of ``READERS``, or ``auto``.

    Returns:
        The dataset, its sources relative to the folder of the labels, and one line for each
        thing that was taken from the videos.

    Raises:
        FormatError: The first fault in the labels; no video of that name is beside them.
    """
    try:
        return read_dataset(path, format), ()
    except UnknownSizeError:
        done = ingest(path, format)
    names = [video.source for video in done.dataset.videos]
    named = names[0] if len(names) == 1 else f"{len(names)} videos ({names[0]}, ...)"
    lines = done.account.lines() if done.account else []
    return done.dataset, (f"{path.name}: labels of {named}, found by name", *lines, *done.notes)


def _refuse_sparse(video: LabelledVideo, reading: Reading, path: Path) -> None:
    """The rule of the readers, where only the video found by its name has told the length."""
    length, tracks = video.info.num_frames, video.tracks
    if length is not None and tracks is not None and video.labelled_frames is None:
        refuse_sparse(np.unique(tracks.frames), length, reading, path)


def require_labels(dataset: Dataset, account: Account, path: Path) -> None:
    """FormatError where labels hold no video, or no box that could be kept."""
    if not dataset.videos:
        raise FormatError("no video or picture in these labels", path=path)
    if sum(len(video.tracks) for video in dataset.videos if video.tracks is not None):
        return
    seen = f"no box in {len(dataset.videos)} videos or pictures"
    why = "; ".join(account.lines()) if account.contained else "the labels contain no object"
    raise FormatError(f"{seen}; {why}", path=path)


def joined(parts: Sequence[Dataset]) -> Dataset:
    """One dataset of several: videos one after another, classes joined by their names.

    Raises InputError where a video is in two of them: it is unclear which labels count.
    """
    classes = tuple(dict.fromkeys(name for part in parts for name in part.classes))
    videos: dict[str, tuple[LabelledVideo, ...]] = {}
    for part in parts:
        ours = np.array([classes.index(name) for name in part.classes], np.int64)
        inside: dict[str, tuple[LabelledVideo, ...]] = {}
        for video in part.videos:
            if video.source in videos:
                raise InputError(
                    f"{video.source} is in two of the label files; allowed: each video in one"
                )
            same = inside.get(video.source, ())  # a video cut over several sides of a split
            inside[video.source] = (*same, replace(video, tracks=_in_terms(video.tracks, ours)))
        videos |= inside
    return Dataset(
        classes=classes,
        videos=tuple(one for same in videos.values() for one in same),
        root=parts[0].root if parts else Path(),
        accounts=tuple(account for part in parts for account in part.accounts),
    )


def _in_terms(table: TrackTable | None, ours: IntArray) -> TrackTable | None:
    """The table with each label replaced by its place in ``ours``; -1 (any class) stays."""
    if table is None or not len(table):
        return table
    labels = np.where(table.labels < 0, table.labels, ours[table.labels])
    return replace(table, labels=labels)


def _found(home: Path, name: str) -> Path:
    place = Path(name) if Path(name).is_absolute() else home / name
    return place if place.exists() else Path(name)


def _relative(place: Path, root: Path) -> str:
    return relative(place.resolve(), root.resolve())


def _probing(root: Path, home: Path) -> Callable[[Path], VideoInfo | None]:
    """A probe that also looks for the video in ``home``, as ``_placed`` does."""

    def find(place: Path) -> VideoInfo | None:
        source = place.relative_to(root) if place.is_relative_to(root) else place
        info = probe(place) or probe(home / source) or probe(home / source.name)
        named = [] if info else _of_that_name(home, stem_of(source.as_posix()))
        guess = probe(named[0]) if named else None
        # Labels beyond the end of a video that only its name speaks for get a note from attach.
        return info or (replace(guess, num_frames=None) if guess else None)

    return find


def _placed(dataset: Dataset, root: Path, home: Path, relative_to: Path, named: str) -> Dataset:
    """The same dataset with sources relative to another folder, at the videos that are there."""
    videos = []
    named = named if len(dataset.videos) == 1 else ""
    for video in dataset.videos:
        places = map(there, _places(video, root, home, named))
        place = next((one for one in places if one.exists()), there(root / video.source))
        name = _relative(place, relative_to)
        info = replace(video.info, path=name)
        files = () if place.is_file() else video.frame_files
        videos.append(replace(video, source=name, info=info, frame_files=files))
    return replace(dataset, videos=tuple(videos), root=relative_to)


def _places(video: LabelledVideo, root: Path, home: Path, named: str) -> Iterator[Path]:
    """Where a video may lie, the likeliest first; the next is asked for where it does not."""
    source = PurePosixPath(video.source)
    yield from (root / source, home / source, home / source.name)
    if named:
        yield root / named
    yield from _of_that_name(home, stem(video))


def _of_that_name(home: Path, name: str) -> list[Path]:
    """The one video file called ``name``, whatever its ending: MOTChallenge names sequences."""
    files = [home / f"{name}{ending}" for ending in VIDEO_ENDINGS]
    there = [place for place in files if place.is_file()]
    return there if len(there) == 1 else []


def moved(dataset: Dataset, root: Path, relative_to: Path) -> Dataset:
    """The same dataset with sources relative to another folder."""
    videos = tuple(
        replace(video, source=_relative(root / video.source, relative_to))
        for video in dataset.videos
    )
    return replace(dataset, videos=videos, root=relative_to)


def attach(dataset: Dataset, root: Path) -> Ingest:
    """The dataset with times and frame counts of its videos, found relative to ``root``."""
    videos, notes = [], []
    stills = {video.source: video for video in dataset.videos if is_still(video)}
    scaled, told = _fitted(list(stills.values()), root)
    for video in dataset.videos:
        if video.source in stills:
            videos.append(scaled.get(video.source, video))
            continue
        timed, note = _attach_one(video, root)
        videos.append(timed)
        notes += [note] if note else []
    return Ingest(replace(dataset, videos=tuple(videos)), (*notes, *told))


def _fitted(
    stills: Sequence[LabelledVideo], root: Path
) -> tuple[dict[str, LabelledVideo], list[str]]:
    """The still pictures whose labels had to be scaled to them, and notes on all.

    Raises InputError where labels are for another size and it is unclear how they fit.
    """
    heads: dict[str, tuple[tuple[int, int], bool] | None] = {}
    broken: list[str] = []
    for video in stills:
        try:
            heads[video.source] = picture_head(root / video.source)
        except FormatError:
            broken.append(video.source)
    sized = [
        Sized(video, head[0]) for video in stills if (head := heads.get(video.source)) is not None
    ]
    notes = list(scaling_of(sized))
    scaled = {one.video.source: _scaled(one) for one in sized if one.declared_px != one.seen_px}
    missing = [source for source, head in heads.items() if head is None]
    turned = [source for source, head in heads.items() if head is not None and head[1]]
    if missing:
        count = f"{len(missing)} of {len(stills)} pictures"
        notes.append(f"{count} do not exist (first: {missing[0]})")
    if broken:
        count = f"{len(broken)} of {len(stills)} pictures"
        notes.append(
            f"{count} cannot be read (first: {broken[0]}); data audit --fix leaves them out"
        )
    if turned:
        what = "turned by their EXIF orientation; boxes were taken as those of the upright picture"
        notes.append(f"{len(turned)} of {len(stills)} pictures are {what} (first: {turned[0]})")
    return scaled, notes


def _scaled(one: Sized) -> LabelledVideo:
    """Labels of another size, scaled to their picture."""
    (width, height), table = one.seen_px, one.video.tracks
    info = replace(one.video.info, width_px=width, height_px=height)
    if table is not None:
        ratio = np.array(one.seen_px) / one.declared_px
        areas = None if table.areas is None else table.areas * ratio.prod()
        boxes = table.boxes_xyxy * np.tile(ratio, 2)
        table = replace(table, boxes_xyxy=boxes, areas=areas)
    return replace(one.video, info=info, tracks=table)


def _attach_one(video: LabelledVideo, root: Path) -> tuple[LabelledVideo, str]:
    path = root / video.source
    if video.frame_files and path.is_dir():
        return video, ""
    if not path.exists():
        return video, f"{video.source}: not there; times are frame index / rate"
    info = probe(path)
    if info is None:
        return video, f"{video.source}: cannot be opened; times are frame index / rate"
    return _timed(video, info, frame_times_s(path))


def _timed(video: LabelledVideo, info: VideoInfo, times_s: FloatArray) -> tuple[LabelledVideo, str]:
    table = video.tracks
    last = -1 if table is None or len(table) == 0 else int(table.frames[-1])
    if last >= len(times_s):
        message = f"labels up to frame {last}, the video has {len(times_s)} frames (0-based)"
        return video, f"{video.source}: {message}; times are frame index / rate"
    seen = (info.width_px, info.height_px)
    note = "".join(scaling_of([Sized(video, seen)]))
    if table is not None and note:
        ratio = np.array(seen) / (video.info.width_px, video.info.height_px)
        table = replace(table, boxes_xyxy=table.boxes_xyxy * np.tile(ratio, 2))
    kept = replace(
        video.info,
        width_px=seen[0],
        height_px=seen[1],
        rate=info.rate,
        num_frames=len(times_s),
        duration_s=info.duration_s,
    )
    tags = {key: value for key, value in video.tags.items() if key not in (TIMES, "rate")}
    if table is not None:
        table = replace(table, times_s=times_s[table.frames])
    return replace(video, info=kept, tracks=table, tags=tags), note
