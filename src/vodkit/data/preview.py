"""Frames of a labelled video together with their labels, to be drawn."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vodkit.data.export import frames_of
from vodkit.formats.rows import labelled_frames
from vodkit.ground.errors import VideoError
from vodkit.ground.records import NO_ID, Detections, Frame, LabelledVideo, Tracks, TrackTable


def found_at(table: TrackTable, frame: int) -> Detections | Tracks:
    """The rows of one frame as one frame's record; Tracks where every box has an id.

    Ignore regions of no class are left out.
    """
    rows = (table.frames == frame) & (table.labels >= 0)
    columns = (table.boxes_xyxy[rows], table.scores[rows], table.labels[rows])
    if (table.ids[rows] == NO_ID).any():
        return Detections(*columns)
    return Tracks(*columns, table.ids[rows], table.states[rows])


def labelled_pictures(
    video: LabelledVideo, root: Path, *, num_shown: int
) -> Iterator[tuple[Frame, Detections | Tracks]]:
    """At most ``num_shown`` labelled frames, spread evenly, with what is in them."""
    path = root / video.source
    if not path.exists():
        raise VideoError("the video does not exist", path=path)
    frames = labelled_frames(video)
    table = video.tracks or TrackTable.empty()
    places = np.unique(np.linspace(0, len(frames) - 1, min(num_shown, len(frames))).round())
    for frame in frames_of(path, [frames[int(place)] for place in places]):
        yield frame, found_at(table, frame.index)
