"""The appearance of detections, and whether two tracks that met have exchanged theirs.

A run made with ``--appearance`` carries embeddings of its detections; prelabelling stores those of
the detector, else colours. They reveal swaps that motion cannot: two objects meet, stop and part.

Legend: R detections of a video, D numbers of an embedding, S samples.
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from vodkit.formats.embeddings import read_embeddings
from vodkit.formats.predictions import read_frames
from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.boxes import iou_pairs
from vodkit.ground.errors import FormatError
from vodkit.ground.runs import DETECTIONS, EMBEDDINGS, write_atomic
from vodkit.review.curve import Shown

_AROUND_S = 2.0
"""time before and after an encounter in which samples are taken"""
_MOST, _LEAST = 12, 3
_ON, _ALONE = 0.5, 0.2
"""IoU of a detection with its track's box, and the most with the other track's"""


@dataclass(frozen=True, eq=False)
class Appearance:
    """Embeddings of the detections of a video, sorted by frame."""

    frames: IntArray
    """(R,)"""
    boxes_xyxy: FloatArray
    """(R, 4)"""
    embeddings: FloatArray
    """(R, D) of length 1, or 0 where nothing is known"""

    @classmethod
    def of(cls, frames: IntArray, boxes_xyxy: FloatArray, embeddings: FloatArray) -> "Appearance":
        """With embeddings of any length."""
        length = np.linalg.norm(embeddings, axis=1, keepdims=True)
        return cls(frames, boxes_xyxy, embeddings / np.maximum(length, 1e-9))

    @classmethod
    def of_run(cls, folder: Path) -> "Appearance | None":
        """Those of a run folder; None where the run was made without ``--appearance``.

        Raises:
            FormatError: the files do not belong together.
        """
        path = folder / EMBEDDINGS
        if not path.exists():
            return None
        rows = read_embeddings(path)
        found = [(one.index, one.found.boxes_xyxy) for one in read_frames(folder / DETECTIONS)]
        frames = np.repeat([index for index, _ in found], [len(boxes) for _, boxes in found])
        if len(frames) > len(rows):
            raise FormatError(f"has {len(rows)} rows for {len(frames)} detections", path=path)
        boxes = np.concatenate([np.empty((0, 4)), *(boxes for _, boxes in found)])
        return cls.of(frames.astype(np.int64), boxes, rows[: len(frames)])

    def samples(self, own: Shown, other: Shown, frames: IntArray) -> FloatArray:
        """Embeddings (S, D) of a track in some frames, where it is away from the other track."""
        wanted = frames[np.isin(frames, own.frames)]
        rows = []
        for frame in wanted.tolist():
            start, stop = np.searchsorted(self.frames, [frame, frame + 1])
            there = self.boxes_xyxy[start:stop]
            known = np.linalg.norm(self.embeddings[start:stop], axis=1) > 0
            fits = np.where(known, _overlap(own, frame, there), 0.0)
            if len(there) and fits.max() >= _ON:
                best = int(fits.argmax())
                if _overlap(other, frame, there[best : best + 1])[0] <= _ALONE:
                    rows.append(start + best)
        return self.embeddings[np.array(rows, np.int64)]

    def exchange(self, a: Shown, b: Shown, first: int, last: int, times_s: FloatArray) -> float:
        """Whether two tracks have each other's appearance after an encounter.

        Above 0: each is more similar to what the other was before, by so many times the difference
        between samples of one object. Below 0: each is similar to itself. 0: not decided. One of
        the tracks may begin or end in the encounter: then the other one decides.
        """
        every = np.arange(len(times_s))
        before = every[(every < first) & (times_s[first] - times_s <= _AROUND_S)]
        after = every[(every > last) & (times_s - times_s[last] <= _AROUND_S)]
        groups = [
            self.samples(own, other, frames[_spread(len(frames))])
            for frames in (before, after)
            for own, other in ((a, b), (b, a))
        ]
        known = [len(group) >= _LEAST for group in groups]
        for here, there in ((slice(0, 2), slice(2, 4)), (slice(2, 4), slice(0, 2))):
            if all(known[here]) and any(known[there]):
                return _decided(groups[here], groups[there])
        return 0.0

    def save(self, path: Path) -> None:
        """Write all columns to a file, atomically."""
        content = BytesIO()
        boxes, embeddings = self.boxes_xyxy.astype(np.float32), self.embeddings.astype(np.float16)
        np.savez(content, frames=self.frames, boxes=boxes, embeddings=embeddings)
        write_atomic(path, content.getvalue())

    @classmethod
    def load(cls, path: Path) -> "Appearance":
        """What ``save`` wrote.

        Raises:
            FormatError: the file is damaged.
        """
        try:
            with np.load(path) as stored:
                return cls.of(stored["frames"], stored["boxes"], stored["embeddings"].astype(float))
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise FormatError(f"cannot be read: {error}", path=path) from error


def _decided(pair: list[FloatArray], others: list[FloatArray]) -> float:
    """``exchange`` of two tracks on one side of the encounter, and at least one on the other."""
    one, two = (_unit(group.mean(axis=0)) for group in pair)
    each = [*pair, *(group for group in others if len(group) >= _LEAST)]
    scatter = np.mean([1 - (group @ _unit(group.mean(axis=0))).mean() for group in each])
    gains = [
        float((group @ way).mean())
        for group, way in zip(others, (two - one, one - two), strict=True)
        if len(group) >= _LEAST
    ]
    noise = max(float(scatter), 0.01)
    if min(gains) > noise:
        return min(gains) / noise
    return max(gains) / noise if max(gains) < -noise else 0.0


def _overlap(shown: Shown, frame: int, boxes: FloatArray) -> FloatArray:
    """IoU (N,) of boxes with a track's box in a frame; 0 where it has none."""
    row = int(np.searchsorted(shown.frames, frame))
    if row == len(shown.frames) or shown.frames[row] != frame:
        return np.zeros(len(boxes))
    return iou_pairs(np.repeat(shown.boxes_xyxy[row][None], len(boxes), axis=0), boxes)


def _spread(count: int) -> IntArray:
    """At most ``_MOST`` rows of so many."""
    return np.unique(np.linspace(0, max(count - 1, 0), min(count, _MOST)).astype(np.int64))


def _unit(vector: FloatArray) -> FloatArray:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9))
