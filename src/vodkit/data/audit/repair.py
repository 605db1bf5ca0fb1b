"""A repaired copy of a dataset, from the evidence of an audit, with a list of what was done."""

from dataclasses import replace

import numpy as np

from vodkit.data.audit.audit import Audit
from vodkit.data.audit.labels import inside_share
from vodkit.data.audit.video_scan import Footage
from vodkit.formats.base import TIMES
from vodkit.ground.arrays import FloatArray
from vodkit.ground.boxes import area
from vodkit.ground.errors import InputError
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable

EPSILON_S = 1e-6
MOST_NAMED = 10


def repair(audit: Audit) -> tuple[Dataset, list[str]]:
    """What can be repaired without guessing, and one line for everything that was changed.

    Rows that break the format are gone already (the audit read without them). Boxes without an
    area or wholly outside go; proven shifts are undone; frames beyond the end go; times and
    frame counts become those of the video; pictures that cannot be decoded are left out. No file is
    touched. Everything else needs a person.

    Raises:
        InputError: No picture can be decoded.
    """
    faults = [finding for finding in audit.findings if finding.code == "file-fault"]
    done = [f"dropped: {finding.message}" for finding in faults]
    broken = {one.video for one in audit.findings if one.code == "picture-broken"}
    done += _left_out(audit.dataset, broken)
    videos = []
    for video in audit.dataset.videos:
        if video.source in broken:
            continue
        shift = audit.shifts.get(video.source)
        repaired, notes = _mend_video(
            video, audit.footage.get(video.source), 0 if shift is None else shift.frames
        )
        videos.append(repaired)
        done += [f"{video.source}: {note}" for note in notes]
    return replace(audit.dataset, videos=tuple(videos)), done


def _left_out(dataset: Dataset, broken: set[str]) -> list[str]:
    """What is lost with pictures that cannot be decoded."""
    if not broken:
        return []
    if len(broken) == len(dataset.videos):
        raise InputError(f"none of {len(broken)} pictures can be decoded: nothing would be left")
    tables = [video.tracks for video in dataset.videos if video.source in broken]
    boxes = sum(len(table) for table in tables if table is not None)
    names = ", ".join(sorted(broken)[:MOST_NAMED]) + ", ..." * (len(broken) > MOST_NAMED)
    what = f"left out {len(broken)} of {len(dataset.videos)} pictures with {boxes} boxes"
    return [f"{what}, which cannot be decoded: {names} (the files stay where they are)"]


def _mend_video(
    video: LabelledVideo, footage: Footage | None, shift: int
) -> tuple[LabelledVideo, list[str]]:
    notes: list[str] = []
    table = video.tracks
    if table is None:
        return video, notes
    table = _drop_boxes(table, video, notes)
    frames = video.labelled_frames
    if shift:
        table = _moved(table, shift)
        frames = None if frames is None else frames[frames + shift >= 0] + shift
        notes.append(f"moved the labels by {shift:+d} frames")
    info, tags = video.info, dict(video.tags)
    if footage is not None and len(footage) and not footage.broken:
        inside = table.frames < len(footage)
        if not inside.all():
            notes.append(f"dropped {(~inside).sum()} boxes beyond frame {len(footage) - 1}")
            table = table[inside]
        frames = None if frames is None else frames[frames < len(footage)]
        if info.num_frames != len(footage):
            notes.append(f"frame count {info.num_frames} -> {len(footage)}")
            info = replace(info, num_frames=len(footage))
        table = _retimed(table, footage.times_s, notes)
        tags.pop(TIMES, None)
    return replace(video, tracks=table, labelled_frames=frames, info=info, tags=tags), notes


def _drop_boxes(table: TrackTable, video: LabelledVideo, notes: list[str]) -> TrackTable:
    empty = area(table.boxes_xyxy) == 0
    gone = (inside_share(table, video) == 0) & ~empty
    for which, what in ((empty, "without an area"), (gone, "outside the picture")):
        if which.any():
            notes.append(f"dropped {which.sum()} boxes {what}")
    return table[~(empty | gone)]


def _moved(table: TrackTable, shift: int) -> TrackTable:
    """The table ``shift`` frames later; its times are filled in from the video afterwards."""
    kept = table[table.frames + shift >= 0]
    return replace(kept, frames=kept.frames + shift)


def _retimed(table: TrackTable, times_s: FloatArray, notes: list[str]) -> TrackTable:
    wanted = times_s[table.frames]
    wrong = np.abs(wanted - table.times_s) > EPSILON_S
    if not wrong.any():
        return table
    notes.append(f"times of {wrong.sum()} boxes taken from the video")
    return replace(table, times_s=wanted)
