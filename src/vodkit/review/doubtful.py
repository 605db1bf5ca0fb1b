"""Frames of doubtful tracks, kept while a run is at work, for review and then training.

A track is doubtful when its score stays near the threshold, when it is seen for a short time only,
when its class changes, or when its box jumps (two objects may have exchanged ids). Of each, the
frame with the lowest score is kept, with all boxes in it::

    RUN/doubtful/pictures/00000017.jpg    at most N; the oldest are deleted
    RUN/doubtful/predictions.jsonl        the boxes, frame i is the i-th picture
    RUN/doubtful/seqinfo.ini              one picture a second

``vodkit review --run RUN/doubtful`` opens them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from vodkit.formats.prediction_lines import frame_entry, header_entry, line_of
from vodkit.formats.predictions import (
    Header,
    PredictedFrame,
    counted,
    read_frames,
)
from vodkit.ground import ledger
from vodkit.ground.boxes import iou_pairs
from vodkit.ground.checks import FILLED
from vodkit.ground.records import Detections, Frame, State, Tracks, VideoInfo
from vodkit.ground.runs import PREDICTIONS, make_folder, write_atomic
from vodkit.report.draw import to_jpeg

FOLDER = "doubtful"
_NEAR = 0.15
"""mean score above the threshold up to which a track is doubtful"""
_SHORT_S = 1.0
_SHARE = 0.8
"""of sightings of the leading class, below which a track is doubtful"""
_JUMP_IOU, _JUMP_S = 0.05, 0.5
_GONE_S = 5.0
_LOWER = 0.05
"""a frame replaces the one before if the score in it is lower by this"""


@dataclass(frozen=True)
class _Picture:
    """A frame that may be kept."""

    index: int
    jpeg: bytes
    found: Tracks
    """in pixels of the picture"""
    width_px: int
    height_px: int


@dataclass
class _Seen:
    """One track so far."""

    first_s: float
    last_s: float
    box: np.ndarray
    picture: _Picture | None = None
    lowest: float = 2.0
    scores: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """sum and count"""
    labels: Counter[int] = field(default_factory=Counter)
    jumped: bool = False

    def is_doubtful(self, threshold: float) -> bool:
        total, count = self.scores
        unsure = total / count < threshold + _NEAR
        mixed = max(self.labels.values()) < _SHARE * count
        return unsure or mixed or self.jumped or self.last_s - self.first_s < _SHORT_S


class Doubtful:
    """The ring of one run folder."""

    def __init__(
        self, folder: Path, most: int, classes: Sequence[str], *, threshold: float
    ) -> None:
        """Continue the ring in a run folder.

        Args:
            folder: the run folder.
            most: pictures that are kept.
            classes: names of the labels.
            threshold: score below which detections are dropped.
        """
        self.folder = make_folder(folder / FOLDER)
        self._pictures = make_folder(self.folder / "pictures")
        self._most, self._classes, self._threshold = most, tuple(classes), threshold
        self._seen: dict[int, _Seen] = {}
        self._kept: set[int] = set()  # indices of frames of this session, a few
        names = sorted(path for path in self._pictures.glob("*.jpg") if ledger.is_ours(path))
        there = self.folder / PREDICTIONS
        known = (one.found for one in read_frames(there)) if there.exists() else ()
        rows = [found for found in known if isinstance(found, Tracks)]
        self._ring = list(zip(names, rows, strict=False)) if len(names) == len(rows) else []
        self._next = 1 + max((int(path.stem) for path in names), default=-1)

    def add(self, frame: Frame, found: Detections | Tracks) -> None:
        """Take the next frame; those without pixels are left out."""
        if not isinstance(found, Tracks) or not frame.has_pixels:
            return
        picture: _Picture | None = None
        assert found.tentative is not None
        for row in np.flatnonzero((found.states == State.OBSERVED) & ~found.tentative).tolist():
            one = self._saw(frame, found, row)
            score = float(found.scores[row])
            if score < one.lowest - _LOWER:
                picture = picture or _picture(frame, found)
                one.picture, one.lowest = picture, score
        gone = [k for k, one in self._seen.items() if frame.time_s - one.last_s > _GONE_S]
        self._decide(gone)

    def end(self) -> None:
        """No more frames come."""
        self._decide(list(self._seen))

    def _saw(self, frame: Frame, found: Tracks, row: int) -> _Seen:
        track, box = int(found.ids[row]), found.boxes_xyxy[row]
        one = self._seen.get(track)
        if one is None:
            one = self._seen[track] = _Seen(frame.time_s, frame.time_s, box)
        if frame.time_s - one.last_s <= _JUMP_S:
            one.jumped |= bool(iou_pairs(box[None], one.box[None])[0] < _JUMP_IOU)
        one.last_s, one.box = frame.time_s, box
        one.labels[int(found.labels[row])] += 1
        one.scores[0] += float(found.scores[row])
        one.scores[1] += 1
        return one

    def _decide(self, tracks: Sequence[int]) -> None:
        """Keep the frames of those of these tracks that are doubtful."""
        chosen: dict[int, _Picture] = {}
        for track in tracks:
            one = self._seen.pop(track)
            if one.is_doubtful(self._threshold) and one.picture is not None:
                chosen[one.picture.index] = one.picture
        fresh = [picture for index, picture in sorted(chosen.items()) if index not in self._kept]
        for picture in fresh:
            path = self._pictures / f"{self._next:08d}.jpg"
            write_atomic(path, picture.jpeg)
            self._ring.append((path, picture.found))
            self._next += 1
        if fresh:
            waiting = {one.picture.index for one in self._seen.values() if one.picture}
            self._kept = {i for i in self._kept if i in waiting} | set(chosen)
            self._write(fresh[-1])

    def _write(self, last: _Picture) -> None:
        """Put the boxes beside the pictures, of which the oldest are deleted."""
        while len(self._ring) > self._most:
            self._ring.pop(0)[0].unlink(missing_ok=True)
        info = VideoInfo(
            path=str(self._pictures),
            width_px=last.width_px,
            height_px=last.height_px,
            rate=Fraction(1),
            num_frames=len(self._ring),
        )
        header = Header(
            source=str(self._pictures), classes=self._classes, info=info, tracker="vodkit",
            mode="refined",
        )  # fmt: skip
        lines = [line_of(header_entry(header))]
        for index, (path, found) in enumerate(self._ring):
            own = np.arange(len(found)) + 1 + 1000 * int(path.stem)  # no track goes over pictures
            row = replace(found, ids=own)
            lines.append(line_of(frame_entry(index, float(index), row, self._classes)))
        write_atomic(self.folder / PREDICTIONS, b"".join(lines))
        write_atomic(self.folder / "seqinfo.ini", "[Sequence]\nframeRate=1\n")


def _picture(frame: Frame, found: Tracks) -> _Picture:
    """The frame as it was decoded, and the rows that count, in its pixels."""
    height_px, width_px = frame.image.shape[:2]
    scale = np.array([width_px / frame.width_px, height_px / frame.height_px] * 2)
    rows = counted(PredictedFrame(frame.index, frame.time_s, found)).found
    assert isinstance(rows, Tracks)
    rows = replace(rows, boxes_xyxy=rows.boxes_xyxy * scale, hidden_behind=FILLED)
    return _Picture(frame.index, to_jpeg(frame.image, quality=92), rows, width_px, height_px)
