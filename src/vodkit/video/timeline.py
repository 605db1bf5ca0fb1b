"""Which frames a file has, and when each is shown, known without decoding any.

A frame's index is the position of its packet's presentation time (pts) in the sorted list of
all of them. So the index of a frame does not change when frames before it are damaged, and
sequential and random reading agree by construction.
"""

from bisect import bisect_right
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from time import monotonic
from typing import Any

import av

from vodkit.errors import VideoError
from vodkit.video.limits import Limits

_LOOK_AT_CLOCK = 64  # packets
# Where only decoding times are stored, FFmpeg finds the order of pictures for all other codecs
# (libavformat/demux.c: onein_oneout); for these, presentation times stay decoding times.
_NOT_ORDERED = {"h264", "hevc"}


@dataclass(frozen=True)
class Timeline:
    """The presentation times of all frames of a file, in ticks of its time base."""

    pts: tuple[int, ...]
    """sorted; one a frame; in ticks of 1 / rate where they are not reliable"""
    keyframes: tuple[tuple[int, int], ...]
    """(pts, where to seek), sorted: frames that can be decoded without any before them"""
    reliable: bool
    """False: the container does not say which frame is shown when; frames are counted as they come
    out, and random access decodes from the start"""
    num_missing: int = 0
    """frames that the container's header declares beyond the end of the file (cut off)"""

    @cached_property
    def index_of(self) -> Mapping[int, int]:
        """From a presentation time to the index of its frame."""
        return {pts: index for index, pts in enumerate(self.pts)}

    def key_before(self, pts: int) -> tuple[int, int] | None:
        """The last keyframe at or before ``pts``."""
        position = bisect_right(self.keyframes, (pts, 1 << 62))
        return self.keyframes[position - 1] if position else None


def read_timeline(container: Any, stream: Any, name: str, limits: Limits) -> Timeline:
    """Demultiplex the whole file (no decoding) and note every frame's times.

    VideoError for a file that does not end within the limits.
    """
    packets: list[tuple[int | None, int | None, bool]] = []
    num_hidden = 0  # by an edit list: decoded for the sake of later frames, never shown
    ends_at = monotonic() + limits.open_s
    # A file that was cut off may end in an error: what was read so far is what there is.
    with suppress(av.FFmpegError):
        for packet in container.demux(stream):
            if packet.is_discard:
                num_hidden += 1
            elif packet.size > 0:
                packets.append((packet.pts, packet.dts, packet.is_keyframe))
            if len(packets) > limits.max_frames:
                raise VideoError(f"has more than {limits.max_frames} frames", path=name)
            if len(packets) % _LOOK_AT_CLOCK == 0 and monotonic() > ends_at:
                message = f"did not end in {limits.open_s:g} s of reading ({len(packets)} frames)"
                raise VideoError(f"{message}; is it endless?", path=name)
    is_avi = container.format.name == "avi"
    codec = stream.codec_context
    is_guessed = is_avi and codec.has_b_frames and codec.name in _NOT_ORDERED
    timeline = _timeline(packets, is_avi=is_avi, is_guessed=is_guessed)
    return replace(timeline, num_missing=_num_missing(stream, timeline, num_hidden))


def _num_missing(stream: Any, timeline: Timeline, num_hidden: int) -> int:
    """Declared frames that are not in the file.

    A header may count frames that were never stored (AVI repeats a picture by storing nothing),
    so a smaller number alone proves nothing; the file must also end before its declared end.
    """
    missing = int(stream.frames or 0) - num_hidden - len(timeline.pts)
    if missing <= 0 or not timeline.pts or not stream.average_rate:
        return 0
    first_s, last_s = (float(pts * stream.time_base) for pts in (timeline.pts[0], timeline.pts[-1]))
    if not timeline.reliable:
        first_s, last_s = 0.0, float((timeline.pts[-1] + 1) / stream.average_rate)
    declared_s = float((stream.frames - num_hidden) / stream.average_rate)
    # An edit list also leaves out whole runs of pictures, unread; the duration is what it shows.
    # (AVI's duration is no promise: FFmpeg shortens it to the file's size.)
    if stream.duration and stream.container.format.name != "avi":
        declared_s = min(declared_s, float(stream.duration * stream.time_base))
    return missing if last_s - first_s + 2 / stream.average_rate < declared_s else 0


def _timeline(
    packets: list[tuple[int | None, int | None, bool]], *, is_avi: bool, is_guessed: bool
) -> Timeline:
    known = [pts for pts, _, _ in packets if pts is not None]
    # AVI stores no presentation times; with B-frames the demuxer's guesses are out of order.
    is_guessed = is_guessed or (is_avi and known != sorted(known))
    if len(known) < len(packets) or len(set(known)) < len(known) or is_guessed or not known:
        places = [dts for _, dts, _ in packets if dts is not None]
        if is_avi and len(places) == len(packets) and places == sorted(set(places)):
            # A picture's place in the file, in ticks of 1 / rate: places may be empty (repeats).
            return Timeline(tuple(places), (), reliable=False)
        return Timeline(tuple(range(len(packets))), (), reliable=False)
    keys = sorted(
        (pts, pts if dts is None else min(pts, dts))
        for pts, dts, is_key in packets
        if is_key and pts is not None
    )
    return Timeline(tuple(sorted(known)), tuple(keys), reliable=True)
