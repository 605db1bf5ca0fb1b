"""Labels in and out: track tables become curves, and the document becomes a dataset."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from vodkit.formats.keyframes import runs
from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo, State, TrackTable, VideoInfo
from vodkit.review.curve import (
    LOSSLESS_PX,
    SMOOTH_S,
    Base,
    Known,
    Span,
    Track,
    evaluate,
    smoothed,
    thinned,
)
from vodkit.review.document import Document

_STATES = {
    Known.OBSERVED: State.OBSERVED,
    Known.PREDICTED: State.PREDICTED,
    Known.FILLED: State.FILLED,
    Known.BENT: State.FILLED,
    Known.INTERPOLATED: State.FILLED,
    Known.PERSON: State.OBSERVED,
}
"""how datasets state what the document knows; accepted frames are always observed"""


@dataclass(frozen=True, kw_only=True)
class CurveSettings:
    """How a model's boxes become a curve."""

    smooth_s: float = SMOOTH_S
    """window of the smoothing; 0: none"""
    tolerance_px: float = 0.5
    """largest error of a corner that leaving out knots may cause"""
    least_s: float = 0.25
    """shorter stretches between gaps are left out"""


def model_tracks(
    table: TrackTable, times_s: FloatArray, settings: CurveSettings | None = None
) -> list[Track]:
    """The tracks of a model as curves to bend, smoothed and thinned; without rows that lack an id.

    Args:
        table: what the tracker gave, best after ``track.refine``.
        times_s: (T,) time of every frame of the video.
        settings: smoothing and thinning.
    """
    chosen = settings or CurveSettings()
    tracked = table[table.ids != NO_ID]
    stride = _stride(np.unique(tracked.frames))
    each = (tracked[tracked.ids == number] for number in np.unique(tracked.ids))
    kept = (_without_shreds(_dense(rows, times_s, stride), times_s, chosen) for rows in each)
    return [_model_track(rows, times_s, chosen) for rows in kept if len(rows)]


def _without_shreds(rows: TrackTable, times_s: FloatArray, settings: CurveSettings) -> TrackTable:
    """Rows of one track without stretches so short that they are often on another object."""
    ends = np.append(times_s, 2 * times_s[-1] - times_s[-2:-1])
    kept = [
        stretch
        for stretch in runs(rows.frames)
        if ends[rows.frames[stretch.stop - 1] + 1] - times_s[rows.frames[stretch.start]]
        >= settings.least_s
    ]
    return rows[np.concatenate([np.empty(0, int), *(np.arange(s.start, s.stop) for s in kept)])]


def _model_track(rows: TrackTable, times_s: FloatArray, settings: CurveSettings) -> Track:
    boxes = rows.boxes_xyxy.copy()
    stretches = runs(rows.frames)
    for stretch in stretches:
        times = times_s[rows.frames[stretch]]
        boxes[stretch] = smoothed(times, boxes[stretch], settings.smooth_s)
    return _as_track(replace(rows, boxes_xyxy=boxes), times_s, settings.tolerance_px)


def label_tracks(table: TrackTable, times_s: FloatArray) -> tuple[dict[int, Track], int]:
    """Imported labels as tracks by id, every box kept exactly.

    Returns:
        The tracks, and how many boxes had no id: each became a track of its own.
    """
    found = {}
    order = np.argsort(table.ids, kind="stable")
    numbers, starts = np.unique(table.ids[order], return_index=True)
    for number, rows in zip(numbers.tolist(), np.split(order, starts[1:]), strict=True):
        if number != NO_ID:
            found[number] = replace(_as_track(table[rows], times_s, LOSSLESS_PX), touched=True)
    single = np.flatnonzero(table.ids == NO_ID)
    following = max(found, default=0) + 1
    for number, row in enumerate(single.tolist(), following):
        track = _as_track(table[np.array([row])], times_s, LOSSLESS_PX)
        found[number] = replace(track, touched=True)
    assert table.ignore is not None
    return found, int((~table.ignore[single]).sum())


def _as_track(rows: TrackTable, times_s: FloatArray, tolerance_px: float) -> Track:
    """Rows of one track; frames in which it has no row become outside spans."""
    assert rows.scores is not None
    assert rows.states is not None
    assert rows.visibility is not None
    assert rows.ignore is not None
    base = Base(
        rows.frames,
        rows.boxes_xyxy,
        rows.scores,
        rows.states.astype(np.int64),
        rows.visibility,
    )
    stretches = runs(rows.frames)
    spans = tuple(
        Span(int(rows.frames[one.stop - 1]) + 1, int(rows.frames[two.start]) - 1, "outside")
        for one, two in pairwise(stretches)
    )
    kept = [thinned(base[stretch], times_s, tolerance_px) for stretch in stretches]
    whole = Base(*(np.concatenate(same) for same in zip(*(b.columns() for b in kept), strict=True)))
    label, ignore = int(np.bincount(np.maximum(rows.labels, 0)).argmax()), bool(rows.ignore.any())
    return Track(label, whole, spans=spans, ignore=ignore)


def _stride(frames: IntArray) -> int:
    """The step between processed frames (``--every``)."""
    steps = np.diff(frames)
    return int(np.gcd.reduce(steps)) if len(steps) else 1


def _dense(rows: TrackTable, times_s: FloatArray, stride: int) -> TrackTable:
    """Rows of one track, with filled ones in the frames that ``--every`` skipped."""
    if stride == 1:
        return rows
    steps = np.diff(rows.frames) == stride
    missing = (rows.frames[:-1][steps][:, None] + np.arange(1, stride)).ravel()
    knots, wanted = times_s[rows.frames], times_s[missing]
    boxes = [np.interp(wanted, knots, rows.boxes_xyxy[:, side]) for side in range(4)]
    before = np.searchsorted(rows.frames, missing) - 1
    # Column by column: a table refuses a row that stands for several frames.
    columns = {name: getattr(rows, name)[before] for name in rows.__dataclass_fields__}
    columns |= {
        "frames": missing,
        "times_s": wanted,
        "boxes_xyxy": np.stack(boxes, axis=1),
        "states": np.full(len(missing), State.FILLED),
    }
    return TrackTable.concat([rows, TrackTable(**columns)])


def to_table(
    document: Document, video: int, tracks: Mapping[int, Track] | None = None
) -> TrackTable:
    """All boxes of a video, one row a box and frame."""
    timing = document.timings[video]
    every = np.arange(timing.num_frames)
    accepted = np.zeros(timing.num_frames, np.bool_)
    for first, last in document.accepted(video):
        accepted[first : last + 1] = True
    tables = []
    for number, track in (document.tracks(video) if tracks is None else tracks).items():
        shown = evaluate(track, every, timing.times_s, reach_s=timing.reach_s)
        states = np.array([_STATES[Known(one)] for one in shown.known.tolist()], np.uint8)
        states[accepted[shown.frames]] = State.OBSERVED
        count = len(shown.frames)
        tables.append(
            TrackTable(
                frames=shown.frames,
                times_s=timing.times_s[shown.frames],
                ids=np.full(count, number),
                boxes_xyxy=shown.boxes_xyxy,
                labels=np.full(count, track.label),
                scores=np.where(accepted[shown.frames], 1.0, shown.scores),
                states=states,
                visibility=shown.visibility,
                ignore=np.full(count, track.ignore),
            )
        )
    return TrackTable.concat(tables)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A video under review."""

    source: str
    """relative to the dataset file"""
    info: VideoInfo
    split: str = ""
    tags: Mapping[str, str] | None = None
    labelled: tuple[int, ...] | None = None
    """frames that the imported labels cover; None: every frame"""


def to_dataset(
    document: Document, subjects: Iterable[Subject], *, only_accepted: bool = False
) -> Dataset:
    """The document as a dataset; ``only_accepted``: boxes of accepted frames alone."""
    videos = []
    for video, subject in enumerate(subjects):
        table, frames = to_table(document, video), None
        if only_accepted:
            spans = [np.arange(a, b + 1) for a, b in document.accepted(video)]
            frames = np.concatenate([np.empty(0, np.int64), *spans])
            table = table[np.isin(table.frames, frames)]
        elif subject.labelled is not None:
            seen = [np.arange(a, b + 1) for a, b in document.accepted(video)]
            frames = np.unique(np.concatenate([np.array(subject.labelled), table.frames, *seen]))
        videos.append(
            LabelledVideo(
                source=subject.source,
                info=replace(subject.info, path=subject.source),
                tracks=table,
                labelled_frames=frames,
                split=subject.split,
                tags=dict(subject.tags or {}),
            )
        )
    return Dataset(classes=document.classes, videos=tuple(videos))
