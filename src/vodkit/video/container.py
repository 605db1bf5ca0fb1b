"""Video files by PyAV (FFmpeg): container time, rotation, exact random access, honest damage."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from functools import cached_property, partial
from typing import Any

from vodkit.ground.closing import Closing
from vodkit.ground.errors import InputError, VideoError
from vodkit.ground.records import Frame, VideoInfo
from vodkit.ground.text import redacted
from vodkit.video.decoding import Decoding
from vodkit.video.limits import LIMITS, Limits, size_note
from vodkit.video.rgb import OnDecoded, RgbMaker
from vodkit.video.timeline import Timeline, from_key, rate_of, read_timeline
from vodkit.video.unfinished import next_recording

_UNREAD = "another recording begins at byte {} of the file, and is not read; split the file there"
_SMALL_PX = 1280 * 720  # pictures up to here are decoded fast enough by one thread


class ContainerVideo(Closing):
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
        on_decoded: OnDecoded | None = None,
    ) -> None:
        """``opener`` gives what ``av.open`` takes: a path or a fresh binary file.

        ``one_thread`` decodes pictures that are not large in one thread. ``on_decoded``: see
        ``open_video``.
        """
        self._opener = opener
        self._name = name
        self._strict = strict
        self._limits = limits
        self._one_thread = one_thread
        self._on_decoded = on_decoded
        self._seekable: Decoding | None = None
        self.num_lost = 0
        """frames of the last pass that could not be decoded (lenient reading)"""
        self._unread: int | None = None
        self._resized: dict[tuple[int, int], int] = {}  # other sizes, and where they first came
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
            last, full = start - 1, RgbMaker(self._name, self._limits)
            decoding.go_to(start)
            for index, raw in decoding.coming:
                if index < start:
                    continue
                self._count_lost(last, index, decoding)
                last = index
                if self._on_decoded is not None:
                    self._on_decoded(index, partial(self._frame, index, raw, decoding, None, full))
                if (index - start) % every == 0:
                    if wanted is None or wanted(index, self.times_s[index]):
                        yield self._frame(index, raw, decoding, size_px, decoding.rgb)
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

    @property
    def notes(self) -> tuple[str, ...]:
        """What was changed of the file's times and sizes, one sentence each; see ``Video``."""
        resized = (
            size_note(size_px, self._stored_px, f"frame {index}")
            for size_px, index in self._resized.items()
        )
        unread = () if self._unread is None else (_UNREAD.format(self._unread),)
        return (*self._timeline.notes, *resized, *unread)

    @cached_property
    def times_s(self) -> tuple[float, ...]:
        """When each frame is shown, in seconds of the container's clock."""
        return tuple(float(pts * self._time_base) for pts in self._timeline.pts)

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        if self._seekable is not None:
            self._seekable.close()
        self._seekable = None

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the open file."""
        return {**self.__dict__, "_seekable": None}

    def _open(self, *, one_thread: bool = False) -> Decoding:
        timeline = self.__dict__.get("_timeline")
        return Decoding(self._opener, self._name, self._limits, timeline, one_thread=one_thread)

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
            size = self._stored_px = (stream.width, stream.height)
            self._limits.check_size(size, path=self._name)
            decoding.timeline = timeline = self._timeline
            first = next((raw for raw in decoding.pictures() if raw is not None), None)
            if first is None:
                message = f"no frame can be decoded ({decoding.complaint or 'no pictures'})"
                raise VideoError(message, path=self._name)
            try:
                _, turns = decoding.rgb.turned(first)
            except ValueError as error:
                raise VideoError(str(error), path=self._name) from error
            if decoding.begins_at_key(first):
                self._timeline = timeline = from_key(timeline)
            rate = rate_of(stream, timeline)
            container = decoding.container.format.name
            if timeline.end_byte and isinstance(source := self._opener(), str):
                self._unread = next_recording(source, container, timeline.end_byte)
        return VideoInfo(
            path=redacted(self._name),
            width_px=size[turns % 2],
            height_px=size[1 - turns % 2],
            rate=rate,
            num_frames=len(timeline.pts),
            duration_s=float((timeline.end - timeline.pts[0]) * self._time_base),
        )

    def _frame(
        self,
        index: int,
        raw: Any,
        decoding: Decoding,
        size_px: tuple[int, int] | None,
        rgb: RgbMaker,
    ) -> Frame:
        width_px, height_px = self.info.width_px, self.info.height_px
        if (raw.width, raw.height) != self._stored_px:
            self._note_size(index, (raw.width, raw.height))
        image = rgb(raw, size_px or (width_px, height_px), partial(decoding.time_s, raw))
        return Frame(index, self.times_s[index], image, width_px, height_px)

    def _note_size(self, index: int, size_px: tuple[int, int]) -> None:
        self._resized[size_px] = min(self._resized.get(size_px, index), index)

    def _unseen(self, index: int) -> Frame:
        width_px, height_px = self.info.width_px, self.info.height_px
        return Frame.unseen(index, self.times_s[index], width_px=width_px, height_px=height_px)

    def _count_lost(self, last: int, index: int, decoding: Decoding) -> None:
        """Between ``last`` and ``index`` frames are missing: an error, or a count."""
        lost = index - last - 1
        if lost <= 0:
            return
        if self._strict:
            why = decoding.complaint or "damaged or cut off"
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
        if self._unread is not None and self._strict:
            raise VideoError(_UNREAD.format(self._unread), path=self._name, time_s=self.times_s[-1])

    def _access(self, index: int, size_px: tuple[int, int] | None) -> Frame:
        """One frame, going on in the open file where that is nearer than a keyframe."""
        if self._seekable is None:
            self._seekable = self._open()
            self._seekable.timeline = self._timeline
        if not self._seekable.is_nearly_at(index):
            self._seekable.go_to(index)
        for position, raw in self._seekable.coming:
            if position == index:
                return self._frame(index, raw, self._seekable, size_px, self._seekable.rgb)
            if position > index:
                break
        self.close()
        message = f"frame {index} cannot be decoded"
        raise VideoError(message, path=self._name, time_s=self.times_s[index])
