"""Checks of the labels against the video: frames, times, sizes, black and double frames, cuts."""

from collections.abc import Iterator

import numpy as np

from vodkit.data.audit.findings import Finding, Grade
from vodkit.data.audit.video_scan import BLACK, FLAT, Footage, usual_step_s
from vodkit.ground.arrays import BoolArray
from vodkit.ground.records import LabelledVideo

UNEVEN = 0.25
"""a distance of frames that differs by more than this share of the usual one is uneven"""
SAME = 0.75
"""largest grey difference up to which a frame is the one before once more (a coder's copy)"""
OFFSET_S = 1e-3
LATE = 0.5
"""labels are at a wrong time when they are off by more than this share of a frame"""


def check_video(video: LabelledVideo, footage: Footage) -> list[Finding]:
    """All findings about one video and whether its labels stand in its frames and at its times."""
    checks = (_broken, _count, _size, _even, _times, _start, _dark, _double, _cuts)
    return [finding for check in checks for finding in check(video, footage)]


def is_uneven(footage: Footage) -> BoolArray:
    """For each step between frames (T - 1,): whether it is not the usual one."""
    if len(footage) < 3:
        return np.zeros(max(len(footage) - 1, 0), np.bool_)
    usual = usual_step_s(footage.times_s, footage.info.rate)
    return np.asarray(np.abs(np.diff(footage.times_s) - usual) > UNEVEN * usual)


def _broken(video: LabelledVideo, footage: Footage) -> Iterator[Finding]:
    if footage.broken:
        message = f"breaks off after {len(footage)} frames: {footage.broken}"
        yield _at((video, footage), "video-broken", Grade.ERROR, message, len(footage) - 1)
    elif footage.num_lost:
        message = f"{footage.num_lost} frames cannot be decoded"
        yield _at((video, footage), "video-broken", Grade.ERROR, message, None)


def _count(video: LabelledVideo, footage: Footage) -> Iterator[Finding]:
    last = -1 if video.tracks is None or len(video.tracks) == 0 else int(video.tracks.frames[-1])
    if last >= len(footage):
        message = f"labels up to frame {last}, but the video has {len(footage)} frames (0-based)"
        yield _at((video, footage), "frame-count", Grade.ERROR, message, None)
        return
    said = video.info.num_frames
    if said is not None and said != len(footage):
        off = abs(said - len(footage))
        grade = Grade.WARNING if off > 1 else Grade.NOTE
        message = f"the labels say {said} frames, the video has {len(footage)}"
        yield _at((video, footage), "frame-count", grade, message, None)


def _size(video: LabelledVideo, footage: Footage) -> Iterator[Finding]:
    labels = (video.info.width_px, video.info.height_px)
    seen = (footage.info.width_px, footage.info.height_px)
    if labels == seen:
        return
    turned = "; the labels were made on a picture turned by 90 degrees" * (labels == seen[::-1])
    message = f"labels are for {labels[0]}x{labels[1]}, the video is {seen[0]}x{seen[1]}{turned}"
    yield _at((video, footage), "picture-size", Grade.ERROR, message, None)


def _even(video: LabelledVideo, footage: Footage) -> Iterator[Finding]:
    uneven = np.flatnonzero(is_uneven(footage))
    if len(uneven) == 0:
        return
    steps = np.diff(footage.times_s)
    message = (
        f"variable frame rate: steps from {steps.min() * 1e3:.1f} to {steps.max() * 1e3:.1f} ms; "
        "frame number / rate is not the time"
    )
    first = int(uneven[0]) + 1
    yield _at((video, footage), "variable-rate", Grade.WARNING, message, first, count=len(uneven))


def _times(video: LabelledVideo, footage: Footage) -> Iterator[Finding]:
    table = video.tracks
    if table is None or len(table) == 0 or len(footage) == 0:
        return
    inside = np.flatnonzero(table.frames < len(footage))
    off_s = table.times_s[inside] - footage.times_s[table.frames[inside]]
    usual = usual_step_s(footage.times_s, footage.info.rate)
    wrong = inside[np.abs(off_s) > LATE * usual]
    if len(wrong) == 0:
        return
    largest = float(np.abs(off_s).max())
    frames = round(largest / usual)
    message = f"times of the labels are off by up to {largest:.3f} s ({frames} frames)"
    first = int(table.frames[wrong[0]])
    yield _at((video, footage), "wrong-times", Grade.ERROR, message, first, count=len(wrong))


def _start(video: LabelledVideo, footage: Footage) -> Iterator[Finding]:
    if len(footage) and abs(footage.times_s[0]) > OFFSET_S:
        message = f"the first frame is at {footage.times_s[0]:.3f} s"
        yield _at((video, footage), "start-offset", Grade.NOTE, message, 0)


def _dark(video: LabelledVideo, footage: Footage) -> Iterator[Finding]:
    black = np.flatnonzero((footage.levels <= BLACK + 8) & (footage.spreads < FLAT))
    if len(black):
        message = f"{len(black)} black frames"
        labelled = np.isin(black, [] if video.tracks is None else video.tracks.frames)
        grade = Grade.WARNING if labelled.any() else Grade.NOTE
        message += f", {labelled.sum()} of them with boxes" * bool(labelled.any())
        yield _at((video, footage), "black-frames", grade, message, int(black[0]), count=len(black))


def _double(video: LabelledVideo, footage: Footage) -> Iterator[Finding]:
    double = np.flatnonzero((footage.changes <= SAME) & (footage.spreads >= FLAT))
    if len(double):
        message = f"{len(double)} of {len(footage)} frames show the picture before once more"
        grade = Grade.WARNING if len(double) > 0.1 * len(footage) else Grade.NOTE
        yield _at(
            (video, footage), "duplicate-frames", grade, message, int(double[0]), count=len(double)
        )


def _cuts(video: LabelledVideo, footage: Footage) -> Iterator[Finding]:
    """Tracks with boxes on both sides of a shot change."""
    table = video.tracks
    if table is None or len(footage.cuts) == 0:
        return
    over = [
        (int(cut), sorted(set(table.ids[table.frames < cut]) & set(table.ids[table.frames >= cut])))
        for cut in footage.cuts
    ]
    over = [(cut, [i for i in ids if i >= 0]) for cut, ids in over]
    bad = [(cut, ids) for cut, ids in over if ids]
    if bad:
        message = f"tracks continue across {len(bad)} of {len(footage.cuts)} shot changes"
        places = tuple(f"frame {cut}, ids {ids[:5]}" for cut, ids in bad[:5])
        yield _at(
            (video, footage),
            "cut-in-track",
            Grade.WARNING,
            message,
            bad[0][0],
            count=len(bad),
            evidence=places,
        )


def _at(
    place: tuple[LabelledVideo, Footage],
    code: str,
    grade: Grade,
    message: str,
    frame: int | None,
    *,
    count: int = 1,
    evidence: tuple[str, ...] = (),
) -> Finding:
    video, footage = place
    inside = frame is not None and 0 <= frame < len(footage)
    return Finding(
        code=code,
        grade=grade,
        message=message,
        video=video.source,
        frame=frame,
        time_s=float(footage.times_s[frame]) if inside else None,
        count=count,
        evidence=evidence,
    )
