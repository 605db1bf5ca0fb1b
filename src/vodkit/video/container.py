"""Video files by PyAV (FFmpeg): container time, rotation, exact random access, honest damage."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from functools import cached_property, partial
from itertools import dropwhile
from types import TracebackType
from typing import Any, Self

import av
from av.stream import Disposition

from vodkit.errors import InputError, ShortageError, VideoError
from vodkit.records import Frame, VideoInfo
from vodkit.video.limits import LIMITS, Limits
from vodkit.video.rgb import RgbMaker, words
from vodkit.video.timeline import Ticks, Timeline, rate_of, read_timeline

_SMALL_PX = 1280 * 720  # pictures up to here are decoded fast enough by one thread
_RUN = 300  # frames that are decoded rather than skipped by a seek, when no keyframe is between


class ContainerVideo:
    """A video file. Opened anew for every pass, so generators do not disturb each other.

    It may be sent to another process before or after use; each opens the file for itself.
    """

    is_live = False

    def __init__(
        self,
        opener: Callable[[], Any],
        name: str,
        *,
        strict: bool,
        limits: Limits = LIMITS,
        one_thread: bool = False,
    ) -> None:
        """``opener`` gives what ``av.open`` takes: a path or a fresh binary file.

        ``one_thread`` decodes pictures that are not large in one thread.
        """
        self._opener = opener
        self._name = name
        self._strict = strict
        self._limits = limits
        self._one_thread = one_thread
        self._seekable: _Decoding | None = None
        self.num_lost = 0
        """frames of the last pass that could not be decoded (lenient reading)"""
        self.info = self._read_info()

    def frames(
        self,
        *,
        start: int = 0,
        every: int = 1,
        size_px: tuple[int, int] | None = None,
        wanted: Callable[[int, float], bool] | None = None,
    ) -> Iterator[Frame]:
        """Frames ``start``, ``start + every``, ... in order, as they can be decoded.

        ``size_px`` (width, height) decodes straight to that size. ``wanted(index, time_s)`` is
        asked about each frame; where it says no, the frame comes without pixels. In strict reading
        a frame that cannot be decoded raises VideoError, after all before it were given out; in
        lenient reading it is left out and counted in ``num_lost``.
        """
        if start < 0 or every < 1:
            raise InputError(f"start is {start}, every is {every}; allowed: from 0, from 1")
        self.num_lost = 0
        one_thread = self._one_thread and self.info.width_px * self.info.height_px <= _SMALL_PX
        with closing(self._open(one_thread=one_thread)) as decoding:
            last = start - 1
            if start and self._timeline.reliable:
                decoding.go_to(start)
            for index, raw in decoding.numbered(strict=self._strict):
                if index < start:
                    continue
                self._count_lost(last, index, decoding)
                last = index
                if (index - start) % every == 0:
                    if wanted is None or wanted(index, self.times_s[index]):
                        yield self._frame(index, raw, decoding, size_px)
                    else:
                        yield self._unseen(index)
            self._count_lost(last, len(self._timeline.pts), decoding)
            self._count_missing()

    def frame_at(self, index: int, *, size_px: tuple[int, int] | None = None) -> Frame:
        """The frame with this index, the same that ``frames`` gives."""
        return self.frames_at([index], size_px=size_px)[0]

    def frame_at_time(self, time_s: float, *, size_px: tuple[int, int] | None = None) -> Frame:
        """The frame that a player shows at ``time_s``: the last one that began by then."""
        times = self.times_s
        position = bisect_right(times, time_s + 1e-9) - 1
        end_s = float(self._timeline.end * self._time_base)
        if position < 0 or time_s > end_s:
            seen = f"asked for {time_s:.3f} s; allowed: {times[0]:.3f} to {end_s:.3f} s"
            raise VideoError(seen, path=self._name)
        return self.frame_at(position, size_px=size_px)

    def frames_at(
        self, indices: Sequence[int], *, size_px: tuple[int, int] | None = None
    ) -> list[Frame]:
        """The frames with these indices, in this order; each run of pictures is decoded once."""
        count = len(self._timeline.pts)
        for index in indices:
            if not 0 <= index < count:
                message = f"asked for frame {index}; allowed: 0 to {count - 1}"
                raise VideoError(message, path=self._name)
        found: dict[int, Frame] = {}
        for index in sorted(set(indices)):
            found[index] = self._access(index, size_px)
        return [found[index] for index in indices]

    @cached_property
    def times_s(self) -> tuple[float, ...]:
        """When each frame is shown, in seconds of the container's clock."""
        return tuple(float(pts * self._time_base) for pts in self._timeline.pts)

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        if self._seekable is not None:
            self._seekable.close()
        self._seekable = None

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        del kind, error, trace
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the open file."""
        return {**self.__dict__, "_seekable": None}

    def _open(self, *, one_thread: bool = False) -> "_Decoding":
        timeline = self.__dict__.get("_timeline")
        return _Decoding(self._opener, self._name, self._limits, timeline, one_thread=one_thread)

    @cached_property
    def _timeline(self) -> Timeline:
        with closing(self._open()) as decoding:
            return read_timeline(decoding.container, decoding.stream, self._name, self._limits)

    def _read_info(self) -> VideoInfo:
        """Container facts; the first picture is decoded, for its rotation and to see that it is."""
        with closing(self._open()) as decoding:
            stream = decoding.stream
            if stream.codec_context is None:  # no decoder knows this codec: PyAV gives no size
                raise VideoError("its codec is not known", path=self._name)
            self._time_base = Fraction(stream.time_base)
            size = (stream.width, stream.height)
            self._limits.check_size(size, path=self._name)
            decoding.timeline = timeline = self._timeline
            first = next((raw for _, raw in decoding.raw_frames(strict=False)), None)
            if first is None:
                message = f"no frame can be decoded ({decoding.complaint or 'no pictures'})"
                raise VideoError(message, path=self._name)
            try:
                _, turns = decoding.rgb.turned(first)
            except ValueError as error:
                raise VideoError(str(error), path=self._name) from error
            rate = rate_of(stream, timeline)
        return VideoInfo(
            path=self._name,
            width_px=size[turns % 2],
            height_px=size[1 - turns % 2],
            rate=rate,
            num_frames=len(timeline.pts),
            duration_s=float((timeline.end - timeline.pts[0]) * self._time_base),
        )

    def _frame(
        self, index: int, raw: Any, decoding: "_Decoding", size_px: tuple[int, int] | None
    ) -> Frame:
        width_px, height_px = self.info.width_px, self.info.height_px
        image = decoding.rgb(raw, size_px or (width_px, height_px), partial(decoding.time_s, raw))
        return Frame(index, self.times_s[index], image, width_px, height_px)

    def _unseen(self, index: int) -> Frame:
        width_px, height_px = self.info.width_px, self.info.height_px
        return Frame.unseen(index, self.times_s[index], width_px=width_px, height_px=height_px)

    def _count_lost(self, last: int, index: int, decoding: "_Decoding") -> None:
        """Between ``last`` and ``index`` frames are missing: an error, or a count."""
        lost = index - last - 1
        if lost <= 0:
            return
        if self._strict:
            why = decoding.complaint or "damaged or cut off"
            if last < 0 and self._timeline.is_headless:
                why = "the file begins between keyframes"
            message = f"{lost} frame(s) from {last + 1} on cannot be decoded: {why}"
            raise VideoError(message, path=self._name, time_s=self.times_s[last + 1])
        self.num_lost += lost

    def _count_missing(self) -> None:
        """Frames beyond the end of a file that was cut off: an error, or a count."""
        missing, there = self._timeline.num_missing, len(self._timeline.pts)
        if missing and self._strict:
            message = f"the file is cut off: {there + missing} frames declared, {there} there"
            raise VideoError(message, path=self._name, time_s=self.times_s[-1])
        self.num_lost += missing

    def _access(self, index: int, size_px: tuple[int, int] | None) -> Frame:
        """One frame, going on in the open file where that is nearer than a keyframe."""
        if self._seekable is None:
            self._seekable = self._open()
            self._seekable.timeline = self._timeline
        if not self._seekable.is_nearly_at(index):
            self._seekable.go_to(index)
        for position, raw in self._seekable.numbered(strict=False):
            if position == index:
                return self._frame(index, raw, self._seekable, size_px)
            if position > index:
                break
        self.close()
        message = f"frame {index} cannot be decoded"
        raise VideoError(message, path=self._name, time_s=self.times_s[index])


class _Decoding:
    """One open file and the pass through it."""

    def __init__(
        self,
        opener: Callable[[], Any],
        name: str,
        limits: Limits,
        timeline: Timeline | None,
        *,
        one_thread: bool,
    ) -> None:
        self.name = name
        self.timeline = timeline
        self.rgb = RgbMaker(name, limits)
        self.complaint = ""
        """what the decoder said of the last packet it could not use"""
        self._opener = opener
        self._one_thread = one_thread
        self._next = 0  # index of the frame that comes out next, as far as known
        self._pending: Iterator[tuple[int, Any]] | None = None
        self._has_begun = False
        self._reopen()

    def _reopen(self) -> None:
        try:
            self.container: Any = open_container(self._opener(), self.rgb.limits)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise VideoError(f"cannot be opened: {words(error)}", path=self.name) from error
        if self.container.format.name == "hls" and self.container.duration is None:
            self.container.close()
            message = "is a playlist without an end (#EXT-X-ENDLIST): more is still to come"
            raise VideoError(f"{message}; allowed: a whole one", path=self.name)
        # The best stream, as players choose: not a smaller version of it, nor a cover picture.
        best = self.container.streams.best("video")
        if best is None or best.disposition & Disposition.attached_pic:
            kinds = ", ".join(sorted({s.type for s in self.container.streams})) or "nothing"
            self.container.close()
            raise VideoError(f"has no video, only {kinds}", path=self.name)
        self.stream: Any = best
        if self.stream.codec_context is not None:
            self.stream.thread_type = "AUTO"
            self.stream.codec_context.thread_count = 1 if self._one_thread else 0
            # The decoder itself refuses to grow beyond this, before it takes the memory.
            self.stream.codec_context.options = {"max_pixels": str(self.rgb.limits.max_pixels)}

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    def time_s(self, raw: Any) -> float | None:
        """The container's time of a decoded picture."""
        return None if raw.pts is None else float(raw.pts * self.stream.time_base)

    def go_to(self, index: int) -> None:
        """Seek so that the frame ``index`` is still to come, as near before it as is safe.

        Containers look for a time among presentation or among decoding times. A keyframe's
        presentation time is tried first (by decoding times it may lead to the next keyframe), then
        its decoding time (by presentation times it leads to the one before), then the start.
        """
        assert self.timeline is not None
        pts = self.timeline.pts
        target = pts[min(index, len(pts) - 1)]
        key = self.timeline.key_before(target)
        if key is not None and key[0] > pts[0]:
            for place in dict.fromkeys(key):
                if self._seek(place, target):
                    return
        if self._has_begun:
            self._start_anew()

    def _seek(self, place: int, target: Ticks) -> bool:
        """Whether what is decoded from ``place`` on begins no later than ``target``."""
        self._has_begun = True
        try:
            self.container.seek(place, stream=self.stream, backward=True, any_frame=False)
        except av.FFmpegError:
            return False
        ahead = self.raw_frames(strict=False, from_key=True)
        first = next(ahead, None)
        if first is None or first[1].pts is None or first[1].pts > target:
            return False
        self._pending, self._next = _chain(first, ahead), 0
        return True

    def is_nearly_at(self, index: int) -> bool:
        """Whether decoding on from here reaches ``index`` sooner than a seek would."""
        assert self.timeline is not None
        if self._next > index:
            return False
        if not self.timeline.keyframes:
            return True
        key = self.timeline.key_before(self.timeline.pts[index])
        at = bisect_left(self.timeline.pts, key[0]) if key else 0
        return at <= self._next and index - self._next <= _RUN

    def numbered(self, *, strict: bool) -> Iterator[tuple[int, Any]]:
        """Decoded pictures with their index, in order; an index may be missing (damage)."""
        timeline = self.timeline
        assert timeline is not None
        source = self._pending or self.raw_frames(strict=strict)
        self._pending, self._has_begun = source, True
        last = self._next - 1
        for count, raw in source:
            if raw.is_corrupt:  # made up in parts, from its neighbours
                self.complaint = "damaged"
                continue
            if timeline.reliable:
                index = timeline.index_of.get(raw.pts, -1)
            else:
                index = count if count < len(timeline.pts) else -1
            if index <= last:
                continue  # a picture of a damaged packet, with a time that no frame has
            last = index
            self._next = index + 1
            yield index, raw

    def raw_frames(self, *, strict: bool, from_key: bool = False) -> Iterator[tuple[int, Any]]:
        """Decoded pictures, counted. A packet that cannot be decoded ends a strict pass.

        ``from_key``: packets before the first keyframe are left out. A transport stream is entered
        anywhere, and not every decoder says that it made up what a picture is built on. So they are
        where a file begins like that.
        """
        count = 0
        packets = self.container.demux(self.stream)
        if from_key or (self.timeline is not None and self.timeline.is_headless):
            packets = dropwhile(lambda packet: packet.size and not packet.is_keyframe, packets)
        while True:
            try:
                packet = next(packets, None)
                pictures = [] if packet is None else packet.decode()
            except av.FFmpegError as error:
                self.complaint = words(error)
                if isinstance(error, BlockingIOError) and not self.stream.codec_context.is_open:
                    raise ShortageError(self.complaint) from error  # the decoder's own threads
                if strict:
                    yield from enumerate(self._held_back(), count)
                    return
                pictures = []
                packet = "damaged"
            if packet is None:
                return
            for raw in pictures:
                yield count, raw
                count += 1

    def _held_back(self) -> list[Any]:
        """Pictures that the decoder has ready but waited to give out in order."""
        try:
            return list(self.stream.codec_context.decode(None))
        except av.FFmpegError:
            return []

    def _start_anew(self) -> None:
        self.container.close()
        self._pending, self._next, self._has_begun = None, 0, False
        self._reopen()


def _chain(first: tuple[int, Any], rest: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    yield first
    yield from rest


def open_container(source: Any, limits: Limits) -> Any:
    """What FFmpeg makes of a path, URL or binary file; patience and sizes are limited."""
    remote = isinstance(source, str) and "://" in source
    timeout = (limits.read_s, limits.read_s) if remote else None
    return av.open(source, options={"max_pixels": str(limits.max_pixels)}, timeout=timeout)
