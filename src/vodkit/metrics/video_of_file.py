"""What a file of predictions contains of one video, and which video of the truth that is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np

from vodkit.formats.base import TIMES
from vodkit.ground.errors import InputError
from vodkit.ground.label_size import Sized, scaling_of
from vodkit.ground.lookup import nearest
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo

_GENERIC = frozenset({"img1", "images", "frames", "gt", "det", "predictions", "data", "."})


@dataclass(frozen=True, eq=False, kw_only=True)
class Part:
    """The predictions of one video in one file."""

    file: Path
    source: str
    classes: tuple[str, ...]
    table: TrackTable
    about: Mapping[str, str] = field(default_factory=dict)
    frames: frozenset[int] | None = None
    """frames that were looked at; None: not told"""
    never_confirmed: int = 0
    """boxes left out because their track was never confirmed"""
    info: VideoInfo | None = None
    """the video that was looked at, where the file says"""
    lost: str = ""
    """objects of the file that were converted or skipped"""


class VideosByName:
    """Which video of the truth a file belongs to, by name."""

    def __init__(self, dataset: Dataset, elsewhere: Sequence[str]) -> None:
        """Index the sources of ``dataset``, and those on other sides of the split."""
        self.dataset = dataset
        self.by_source = {video.source: video for video in dataset.videos}
        self.by_name: dict[str, list[LabelledVideo]] = {}
        for video in dataset.videos:
            for name in _names(video.source):
                self.by_name.setdefault(name, []).append(video)
        self.own_names = {_own_name(source) for source in self.by_source}
        self.elsewhere: dict[str, str] = {}
        for source in elsewhere:
            self.elsewhere.setdefault(_own_name(source), source)
        self.all_sources = {*elsewhere, *self.by_source}

    def known_sources(self) -> set[str]:
        """Sources of the videos to measure and of those on other sides."""
        return self.all_sources

    def video_of(self, part: Part) -> LabelledVideo:
        """The video with the same source, else with the same name; InputError where unclear."""
        if part.source in self.by_source:
            return self.by_source[part.source]
        exact = self._named(_names(part.source))
        fitting = exact or self._named(_names(part.file.as_posix()))
        if len(fitting) == 1:
            return fitting[0]
        if len(self.dataset.videos) == 1:
            return self.dataset.videos[0]
        if fitting:
            which = " or ".join(video.source for video in fitting[:3])
            message = f"is of {part.source!r}, which fits {which}"
            raise InputError(f"{part.file}: {message}; name it as the truth does")
        there = list(self.by_source)
        hint = " or ".join(nearest(part.source, there) or sorted(there)[:3])
        message = f"is of {part.source!r}, which is not in the truth; it has {hint}"
        raise InputError(f"{part.file}: {message}")

    def _named(self, wanted: set[str]) -> list[LabelledVideo]:
        """The videos that share most names with ``wanted``: a folder's name alone decides last."""
        shared: dict[str, int] = {}
        for name in wanted:
            for video in self.by_name.get(name, []):
                shared[video.source] = shared.get(video.source, 0) + 1
        most = max(shared.values(), default=0)
        return [self.by_source[source] for source, count in shared.items() if count == most]

    def other_side(self, part: Part) -> str:
        """The source on another side that a file is of; empty where it is of none.

        Its own name decides, not that of a folder, which may hold videos of both sides.
        """
        name = _own_name(part.source)
        if part.source in self.by_source or name in self.own_names:
            return ""
        return self.elsewhere.get(name, "") if name else ""


def _own_name(source: str) -> str:
    """The last part of a path that is not a general one, without its ending."""
    stems = [PurePosixPath(part).stem for part in PurePosixPath(source.replace("\\", "/")).parts]
    return next((stem for stem in reversed(stems) if stem.lower() not in _GENERIC), "")


def taken_for(part: Part, video: LabelledVideo) -> str:
    """A warning where a file was matched only because the truth has a single video."""
    wanted = _names(part.source) | _names(part.file.as_posix())
    if part.source == video.source or wanted & _names(video.source):
        return ""
    return f"is of {part.source!r}; taken for {video.source!r}, the only video"


def in_label_px(part: Part, video: LabelledVideo, table: TrackTable) -> tuple[TrackTable, str]:
    """Boxes in pixels of the labels, and a note where they were scaled to them.

    Raises InputError where the labels contradict the size that they declare.
    """
    if part.info is None:
        return table, ""
    seen = (part.info.width_px, part.info.height_px)
    if not scaling_of([Sized(video, seen)]):
        return table, ""
    size = (video.info.width_px, video.info.height_px)
    boxes = table.boxes_xyxy * np.tile(np.array(size) / seen, 2)
    note = "is of pictures of {}x{} px; its boxes are scaled to {}x{}, the size of the labels"
    return replace(table, boxes_xyxy=boxes), note.format(*seen, *size)


def other_video(part: Part, video: LabelledVideo) -> str:
    """A warning where the video processed cannot be the one labelled: a copy, scaled or cut."""
    if part.info is None:
        return ""
    seen, labelled = part.info, video.info
    differ = []
    if TIMES not in video.tags and seen.rate != labelled.rate:
        differ.append("{0.rate} frames/s")
    if not differ:
        return ""
    form = ", ".join(differ)
    there = f"is of a video with {form.format(seen)}, the labels are for {form.format(labelled)}"
    return f"{there}: boxes or frames may not match"


def doubted(part: Part) -> str:
    """What was left out because its track was never confirmed."""
    if not part.never_confirmed:
        return ""
    return f"{part.never_confirmed} boxes of tracks never confirmed are left out"


def _names(source: str) -> set[str]:
    """What a video may be called: its parts without endings, general ones left out."""
    parts = PurePosixPath(source.replace("\\", "/")).parts[-3:]
    stems = {PurePosixPath(part).stem for part in parts}
    return {stem for stem in stems if stem.lower() not in _GENERIC and stem != "/"}


def gaps(part: Part, video: LabelledVideo) -> str:
    """A warning where labelled frames were not processed: they count as nothing found."""
    if part.frames is None:
        return ""
    if video.labelled_frames is not None:
        labelled = set(video.labelled_frames.tolist())
    else:
        labelled = set(range(video.info.num_frames or 0))
    unseen = len(labelled - part.frames)
    if not unseen:
        return ""
    return f"{unseen} of {len(labelled)} labelled frames have no line: counted as nothing found"
