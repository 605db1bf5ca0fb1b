"""Which frames a file has, and when each is shown, known without decoding any.

A frame's index is the position of its packet's presentation time (pts) in the sorted list of
all of them. So the index of a frame does not change when frames before it are damaged, and
sequential and random reading agree by construction.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import accumulate, chain, islice
from statistics import median
from time import monotonic
from typing import Any

import av

from vodkit.ground.errors import VideoError
from vodkit.video.limits import Limits
from vodkit.video.restarts import Packet, Ticks, continued, spread

_LOOK_AT_CLOCK = 64  # packets
_LOOK_AT_FIELDS = 16  # packets
# In these, one time a picture is stored, in the order in which pictures lie in the file. Of some
# codecs FFmpeg finds out in which order they are shown (libavformat/demux.c: onein_oneout).
_ONE_TIME = {"avi", "asf", "mxf"}
# A pack of a program stream gives a time to its first picture; FFmpeg guesses those of the rest,
# and after a seek it guesses others.
_GUESSED = {"mpeg"}
# In these FFmpeg finds the pictures of H.264 by itself; a field is a packet of its own, whose
# duration is half a frame's.
_PARSED = {"mpegts", "h264"}

# Its decoder makes up what a picture is built on where it is not there, and does not say so.
TRUSTING = "mpeg4"
# These may begin anywhere, and FFmpeg finds out itself which packets are keyframes.
_CUT = {"mpegts", "mpeg", "m4v"}
THEORA = "theora"

_RESTARTS_NAMED = 3


@dataclass(frozen=True)
class Timeline:
    """The presentation times of all frames of a file, in ticks of its time base."""

    pts: tuple[Ticks, ...]
    """sorted; one a frame"""
    keyframes: tuple[tuple[int, int], ...]
    """(pts, where to seek), sorted: frames that can be decoded without any before them; none where
    a seek leads astray, and random access decodes from the start"""
    reliable: bool
    """False: the container does not say which frame is shown when; frames are counted as they come
    out"""
    end: Ticks = 0
    """when the last frame is no longer shown, in ticks"""
    is_headless: bool = False
    """begins between keyframes, and its decoder would make up what is in front of the first"""
    num_missing: int = 0
    """frames that the container's header declares beyond the end of the file (cut off)"""
    place_of: tuple[int, ...] = ()
    """of each frame, how many lie before it in the file; none where that is not reliable"""
    frame_of: tuple[int, ...] = ()
    """of each packet of the file, its frame (-1: none); only where the clock restarts, so that a
    time alone does not identify a frame. ``keyframes`` are (frame, packet) then"""
    end_byte: int = 0
    """where the packet of the last frame ends in the file; 0: not known"""
    restarts: tuple[int, ...] = ()
    """the frames at which the clock restarts"""
    num_before_key: int = 0
    """pictures in front of the first keyframe, which nothing can decode; they are no frames"""
    first_key: Ticks | None = None
    """the time of the first keyframe where a seek leads astray, so that ``keyframes`` has none"""

    @cached_property
    def in_file(self) -> Sequence[int]:
        """The frames in the order in which they lie in the file."""
        order = [0] * len(self.place_of)
        for index, place in enumerate(self.place_of):
            order[place] = index
        return order

    @cached_property
    def shown_last(self) -> Sequence[int]:
        """For each place, which of the frames that lie before it is shown last; -1: none does."""
        return [-1, *accumulate(self.in_file, max)]

    @cached_property
    def index_of(self) -> Mapping[Ticks, int]:
        """From a packet's presentation time (or frame, see ``frame_of``) to the frame's index."""
        keys = range(len(self.pts)) if self.frame_of else self.pts
        return {key: index for index, key in enumerate(keys)}

    @cached_property
    def key_frames(self) -> Sequence[int]:
        """The indices of the keyframes."""
        return [self.index_of[pts] for pts, _ in self.keyframes]

    @property
    def first_key_frame(self) -> int:
        """The index of the first keyframe; 0 where none is known."""
        keys = self.key_frames if self.reliable else []
        if self.first_key is not None:
            return self.index_of[self.first_key]
        return keys[0] if keys else 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What was changed of the container's times, one sentence each."""
        return (*self._begin_note(), *self._restart_note())

    def _begin_note(self) -> tuple[str, ...]:
        if not self.num_before_key:
            return ()
        count = f"{self.num_before_key} picture{'s' * (self.num_before_key > 1)}"
        why = f"the file begins between keyframes: {count} in front of the first cannot be decoded"
        return (f"{why} and left out; frame 0 is that keyframe",)

    def _restart_note(self) -> tuple[str, ...]:
        if not self.restarts:
            return ()
        named, more = self.restarts[:_RESTARTS_NAMED], len(self.restarts) - _RESTARTS_NAMED
        frames = ("frame " if len(self.restarts) == 1 else "frames ") + ", ".join(map(str, named))
        return (f"the clock restarts at {frames}{f' and {more} more' * (more > 0)}; continued",)


def from_key(timeline: Timeline) -> Timeline:
    """The timeline of a file cut between keyframes: its frames begin with the first keyframe.

    FFmpeg and players begin there, too, so that frame numbers are those of other tools.
    """
    cut = timeline.first_key_frame
    kept = timeline.place_of[cut:]
    rank = {place: number for number, place in enumerate(sorted(kept))}
    by_frame = bool(timeline.frame_of)
    return replace(
        timeline,
        pts=timeline.pts[cut:],
        keyframes=tuple((key - cut * by_frame, at) for key, at in timeline.keyframes),
        place_of=tuple(rank[place] for place in kept),
        frame_of=tuple(max(frame - cut, -1) for frame in timeline.frame_of),
        restarts=tuple(frame - cut for frame in timeline.restarts if frame > cut),
        num_before_key=cut,
        is_headless=timeline.is_headless or timeline.first_key is not None,
    )


def read_timeline(container: Any, stream: Any, name: str, limits: Limits) -> Timeline:
    """Demultiplex the whole file (no decoding) and note every frame's times.

    VideoError for a file that does not end within the limits.
    """
    packets: list[Packet] = []
    is_fragmented = _is_fragmented(stream)
    has_overlaps = False
    owners: list[int] = []  # of each packet of the file, its place in ``packets``; -1: none
    num_hidden = 0  # by an edit list: decoded for the sake of later frames, never shown
    frame_ticks = _frame_ticks(stream)
    first_field: Any = None
    last_ticks = 0
    end_byte = 0
    ends_at = monotonic() + limits.open_s
    # A file that was cut off may end in an error: what was read so far is what there is.
    with suppress(av.FFmpegError):
        coming = container.demux(stream)
        head = _first(coming, _LOOK_AT_FIELDS)
        if frame_ticks and not _gives_fields(head, stream, frame_ticks):
            frame_ticks = None
        for packet in chain(head, coming):
            if is_header(packet, stream):
                owners.append(-1)
                continue
            is_hidden = packet.is_discard and not is_fragmented
            has_overlaps |= packet.is_discard and is_fragmented
            if is_hidden:
                num_hidden += 1
            elif first_field is not None and _completes(first_field, packet, frame_ticks):
                last_ticks += packet.duration
                first_field = None
            elif packet.size > 0:
                last_ticks = packet.duration or 0
                end_byte = (packet.pos or 0) + packet.size
                packets.append(Packet(packet.pts, packet.dts, packet.is_keyframe, last_ticks))
                first_field = packet if _is_field(packet, frame_ticks) else None
            if packet.size:
                owners.append(-1 if is_hidden else len(packets) - 1)
            if len(packets) > limits.max_frames:
                raise VideoError(f"has more than {limits.max_frames} frames", path=name)
            if len(packets) % _LOOK_AT_CLOCK == 0 and monotonic() > ends_at:
                message = f"did not end in {limits.open_s:g} s of reading ({len(packets)} frames)"
                raise VideoError(f"{message}; is it endless?", path=name)
    if not packets:
        return Timeline((), (), reliable=True)
    timeline = _restarted(packets, owners, stream)
    if timeline is None or not (timeline.restarts or has_overlaps):
        timeline = _timeline(packets, stream)
    end = timeline.pts[-1] + (last_ticks or 1 / (_declared_rate(stream) * stream.time_base))
    return replace(
        timeline,
        end=end,
        is_headless=_is_headless(packets, stream),
        num_missing=_num_missing(stream, timeline, num_hidden),
        end_byte=end_byte,
    )


def _is_fragmented(stream: Any) -> bool:
    """Whether FFmpeg hides packets of mp4 fragments that begin before the last one ended.

    Others are hidden by an edit list, whose packets the header counts.
    """
    return stream.container.format.name.startswith("mov") and not stream.frames


def is_header(packet: Any, stream: Any) -> bool:
    """Whether a packet repeats the stream's headers, as those of chained Ogg files do."""
    if stream.container.format.name != "ogg" or not stream.codec_context or not packet.size:
        return False
    codec, content = stream.codec_context.name, bytes(packet)
    if codec == THEORA:
        return bool(content[0] & 0x80)
    return bool(codec == "vp8") and content.startswith(b"OVP80")


def _is_headless(packets: Sequence[Packet], stream: Any) -> bool:
    if stream.codec_context is None or stream.codec_context.name != TRUSTING:
        return False
    keys = [packet.is_key for packet in packets]
    return stream.container.format.name in _CUT and any(keys) and not keys[0]


def _frame_ticks(stream: Any) -> Fraction | None:
    """How long a whole frame lasts, where a field may come as a packet of its own."""
    codec = stream.codec_context
    if codec is None or codec.name != "h264":
        return None
    return 1 / (codec.framerate * stream.time_base) if codec.framerate else None


def _first(packets: Iterator[Any], count: int) -> list[Any]:
    """So many of the packets, or those before an error, behind which there are none."""
    found = []
    with suppress(av.FFmpegError):
        for packet in islice(packets, count):
            found.append(packet)  # noqa: PERF402 - an error must not lose them
    return found


def _gives_fields(head: Sequence[Any], stream: Any, frame_ticks: Fraction) -> bool:
    """Whether a packet may be a field. Containers that say what a packet is may have it so, too.

    Then durations alone prove nothing, for a stream may declare the wrong rate: decoding does.
    """
    if stream.container.format.name in _PARSED:
        return True
    shown = [packet for packet in head if packet.size and not packet.is_discard]
    if not all(_is_field(packet, frame_ticks) for packet in shown):
        return False
    with suppress(av.FFmpegError):
        num_pictures = sum(len(packet.decode()) for packet in head if packet.size)
        num_pictures += len(stream.decode(None))
        return 0 < 2 * num_pictures <= len(shown) + 1
    return False


def _is_field(packet: Any, frame_ticks: Fraction | None) -> bool:
    return bool(frame_ticks and packet.duration and packet.duration < 0.75 * frame_ticks)


def _completes(first: Any, packet: Any, frame_ticks: Fraction | None) -> bool:
    """Whether a packet holds the second field of the frame that ``first`` began."""
    if not _is_field(packet, frame_ticks) or packet.is_keyframe:
        return False
    return None in (first.pts, packet.pts) or packet.pts - first.pts == first.duration


def _declared_rate(stream: Any) -> Fraction:
    return Fraction(stream.average_rate or stream.base_rate or 25)


def rate_of(stream: Any, timeline: Timeline) -> Fraction:
    """Frames a second: as declared, unless the frames' times say quite another thing.

    A container that counts in milliseconds may declare a thousand frames a second, and one of
    interlaced video twice as many as there are: fields.
    """
    declared = _declared_rate(stream)
    first, last = timeline.pts[0], timeline.pts[-1]
    if last == first:
        return declared
    usual = median(float(b - a) for a, b in zip(timeline.pts, timeline.pts[1:], strict=False))
    mean = Fraction(last - first) / (len(timeline.pts) - 1)
    if any(0.51 < float(step * stream.time_base * declared) < 1.96 for step in (usual, mean)):
        return declared
    exact = 1 / (mean * stream.time_base)
    return exact.limit_denominator(1001) or exact


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
        first_s, last_s = 0.0, last_s + float(1 / stream.average_rate)
    declared_s = float((stream.frames - num_hidden) / stream.average_rate)
    # An edit list also leaves out whole runs of pictures, unread; the duration is what it shows.
    # (AVI's duration is no promise: FFmpeg shortens it to the file's size.)
    if stream.duration and stream.container.format.name != "avi":
        declared_s = min(declared_s, float(stream.duration * stream.time_base))
        missing = min(missing, round(declared_s * stream.average_rate) - len(timeline.pts))
    return missing if last_s - first_s + 2 / stream.average_rate < declared_s else 0


def _restarted(packets: Sequence[Packet], owners: Sequence[int], stream: Any) -> Timeline | None:
    """The timeline of a file whose clock may restart; None where times are missing."""
    container = stream.container.format.name
    if container in _ONE_TIME or any(packet.pts is None for packet in packets):
        return None
    found = continued(packets, Fraction(stream.time_base), container)
    frame_at = [0] * len(packets)
    for index, place in enumerate(found.place_of):
        frame_at[place] = index
    first_of = {place: ordinal for ordinal, place in reversed(list(enumerate(owners)))}
    keys = sorted(
        (frame_at[place], first_of[place]) for place, packet in enumerate(packets) if packet.is_key
    )
    return Timeline(
        found.pts,
        tuple(keys),
        reliable=True,
        place_of=found.place_of,
        frame_of=tuple(-1 if place < 0 else frame_at[place] for place in owners),
        restarts=found.restarts,
    )


def _timeline(packets: Sequence[Packet], stream: Any) -> Timeline:
    container = stream.container.format.name
    known = [packet.pts for packet in packets if packet.pts is not None]
    places = [packet.dts for packet in packets if packet.dts is not None]
    in_order = known == sorted(known)
    is_one_time = container in _ONE_TIME and stream.codec_context.has_b_frames and in_order
    if is_one_time or (container == "avi" and not in_order):
        if len(places) == len(packets) and places == sorted(set(places)):
            return Timeline(tuple(places), (), reliable=False)
    elif len(known) == len(packets):
        if len(set(known)) == len(known):
            keys = sorted(
                (pts, pts if dts is None else min(pts, dts))
                for pts, dts, is_key, _ in packets
                if is_key and pts is not None and container not in _GUESSED
            )
            place_of = tuple(sorted(range(len(known)), key=known.__getitem__))
            first = next((packet.pts for packet in packets if packet.is_key), None)
            return Timeline(
                tuple(sorted(known)),
                tuple(keys),
                reliable=True,
                place_of=place_of,
                first_key=first if container in _GUESSED else None,
            )
        if container not in _GUESSED:
            return Timeline(tuple(spread(sorted(known))), (), reliable=False)
    step = 1 / (_declared_rate(stream) * stream.time_base)
    start = 0 if container == "avi" else min(known, default=0)
    return Timeline(tuple(start + i * step for i in range(len(packets))), (), reliable=False)
