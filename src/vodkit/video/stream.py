"""Cameras and network streams: the newest frame, reconnection, and a count of what was dropped.

A thread reads and decodes; the consumer takes the newest frames. A consumer that is too slow
loses the oldest waiting frames, never the newest, and the number is known. A connection that
breaks is made again with growing pauses; what the reading thread cannot mend reaches the
consumer as VideoError, and every wait has an end.
"""

import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import dropwhile
from typing import Any, NoReturn
from zlib import crc32

import av

from vodkit.ground.closing import Closing
from vodkit.ground.errors import ShortageError, VideoError, noticing_shortage
from vodkit.ground.records import Frame, VideoInfo
from vodkit.ground.settings import bounded, check_ranges
from vodkit.ground.text import redacted
from vodkit.ground.waiting import wait_until
from vodkit.video.clock import Clock, Pace
from vodkit.video.decoding import refuse_shortage
from vodkit.video.limits import LIMITS, Limits, size_note
from vodkit.video.prefetch import ahead
from vodkit.video.rgb import RgbMaker, words
from vodkit.video.timeline import TRUSTING

_PIECES_S = 30.0  # a playlist gives pieces of some seconds at once; silence between is no break
_NO_MORE = "no more frames came"  # FFmpeg's end of file, which a broken line gives, too
_AHEAD = 512  # packets of a playlist that may wait for their turn; some seconds
_REMEMBERED = 10_000  # pictures of a playlist, which may come again with the next connection
_MOST_NOTES = 100
_PARTING_S = 1.0  # the reading thread may take so long to end; FFmpeg cannot be called off
_END_S = 1.0  # a stream that is so near the end that it declared has come to it
# FFmpeg reads 20 pictures to guess a rate, which takes 10 s at two pictures a second; here
# each picture has a time of its own.
_RTSP = {"rtsp_transport": "tcp", "fpsprobesize": "2"}
_CAMERAS = {"Linux": "v4l2", "Darwin": "avfoundation", "Windows": "dshow"}


@dataclass(frozen=True, kw_only=True)
class LiveSettings:
    """Patience with a live source."""

    max_waiting: int = bounded(2, low=1)
    """frames that may wait for the consumer; older ones are dropped and counted"""
    open_timeout_s: float = bounded(10.0, above=0)
    """for one attempt to connect"""
    read_timeout_s: float = bounded(5.0, above=0)
    """without data for so long, the connection counts as broken"""
    first_pause_s: float = bounded(0.25, above=0)
    """before connecting again; doubled after each failure"""
    longest_pause_s: float = 10.0
    give_up_s: float = bounded(60.0, above=0)
    """without a frame for so long, reading ends with VideoError"""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self)


@dataclass(frozen=True, eq=False)
class Arrived:
    """A frame, and when it was there."""

    frame: Frame
    at_s: float
    """``time.perf_counter()`` when its pixels were decoded and its turn had come"""
    held_s: float
    """how long it had been there by then: a playlist sends frames in bursts, ahead of their turn"""


class LiveVideo(Closing):
    """A live source. ``frames`` can be taken once; there is no way back in time."""

    is_live = True
    num_lost = 0
    """damage cannot be told from silence in a stream: see num_dropped and num_reconnects"""

    def __init__(
        self,
        source: str,
        settings: LiveSettings | None = None,
        *,
        limits: Limits = LIMITS,
        changed: threading.Condition | None = None,
        may_be_absent: bool = False,
    ) -> None:
        """Connect; VideoError when that fails the first time.

        ``changed`` is told of every frame, of trouble, and of the end; sources may share one, so
        that a consumer of several waits for whichever comes first. One that ``may_be_absent`` is
        connected to by the reading thread and waited for as if it was lost; until ``is_here`` it
        has no ``info``.
        """
        self._source = source
        self._limits = limits
        self._settings = settings or LiveSettings()
        self._waiting: deque[Arrived] = deque()
        self._changed = changed or threading.Condition()
        self._stopped = False
        self._stopped_at = 0.0
        self._failure: VideoError | None = None
        self._thread: threading.Thread | None = None
        self.num_received = 0
        self.num_dropped = 0
        """frames that came but were never given out, because the consumer was busy"""
        self.num_reconnects = 0
        self.trouble = ""
        """why no frames come; empty while they do"""
        self.is_here = False
        """whether it was connected to, now or ever"""
        self.ended = ""
        """that it came to the end that it said it has; empty: it did not"""
        self.notes: tuple[str, ...] = ()
        """what was changed of the stream's times and sizes so far, one sentence each"""
        self._size_px: tuple[int, int] | None = None  # of the first frame, and of the last one
        self._other_px: tuple[int, int] | None = None
        self._length_s: float | None = None
        self._given: dict[int | None, int] = {}
        """of a playlist, the times of pictures that came, and sums of what was sent of each"""
        self._is_whole = False
        """whether the playlist that was connected to has an end by now"""
        self._num_known = 0
        """pictures of this connection that came before"""
        self.info: VideoInfo
        self._container: Any = None if may_be_absent else self._connect()

    def frames(
        self,
        *,
        start: int = 0,
        every: int = 1,
        size_px: tuple[int, int] | None = None,
        wanted: Callable[[int, float], bool] | None = None,
    ) -> Iterator[Frame]:
        """Frames as they come, always with pixels (``wanted`` is asked all the same).

        Indices count all frames received, so drops show as gaps.
        """
        self.begin(lambda _: size_px)
        while (arrived := self._take()) is not None:
            frame = arrived.frame
            if frame.index >= start and (frame.index - start) % every == 0:
                if wanted is not None:
                    wanted(frame.index, frame.time_s)
                yield frame

    def begin(self, size_px_of: Callable[[VideoInfo], tuple[int, int] | None]) -> None:
        """Start reading, for ``take_now``; VideoError when it was started before."""
        if self._thread is not None:
            raise VideoError("a live source gives its frames once", path=self._source)
        self._size_px_of = size_px_of
        thread = threading.Thread(target=self._read, daemon=True)
        with noticing_shortage():
            thread.start()
        self._thread = thread

    @property
    def has_news(self) -> bool:
        """Whether ``take_now`` would give a frame, or an error."""
        return bool(self._waiting or self._failure or self._stopped or self.ended)

    def take_now(self) -> Arrived | None:
        """The oldest waiting frame, None where none waits; the reader's error as VideoError."""
        with self._changed:
            if self._waiting:
                return self._waiting.popleft()
            if self._failure is not None:
                raise self._failure
            return None

    def _take(self) -> Arrived | None:
        """The next waiting frame; None when it ended, or was closed; the reader's error as such."""
        with self._changed:
            arrived = wait_until(
                self._changed,
                lambda: self.has_news,
                self._settings.give_up_s + self._settings.open_timeout_s,
            )
            if self._waiting:
                return self._waiting.popleft()
            if self._failure is not None:
                raise self._failure
            if not arrived:
                raise VideoError("no frame came", path=self._source)
            return None

    def _read(self) -> None:
        """The reading thread. However it ends, the consumer learns of it."""
        clock = Clock()
        reason = "the reading thread broke"
        try:
            reason = self._read_on(clock)
        finally:
            self._disconnect()
            with self._changed:
                if not self._stopped and not self.ended:
                    self._failure = VideoError(reason, path=self._source, time_s=clock.last_s)
                self._changed.notify_all()

    def _read_on(self, clock: Clock) -> str:
        """Frames in, reconnecting, until closed, over, or hopeless; why it ended."""
        pause_s, last_frame_at = self._settings.first_pause_s, time.perf_counter()
        while not self._stopped:
            begun_s = None
            reason = _NO_MORE
            try:
                for arrived in self._decode(clock):
                    self._put(arrived)
                    begun_s = arrived.frame.time_s if begun_s is None else begun_s
                    pause_s, last_frame_at = self._settings.first_pause_s, time.perf_counter()
            except MemoryError:
                reason = self._too_much
            except (av.FFmpegError, VideoError, ShortageError) as error:
                reason = redacted(words(error)).removeprefix(f"{redacted(self._source)}: ")
            self._disconnect()
            self._notice_end(begun_s, clock, reason)
            if self.ended:
                return self.ended
            if time.perf_counter() - last_frame_at > self._settings.give_up_s:
                return f"no frame for {self._settings.give_up_s:g} s: {reason}"
            with self._changed:
                self.trouble = reason
                self._changed.notify_all()
            self._pause(pause_s)
            pause_s = min(pause_s * 2, self._settings.longest_pause_s)
            clock.expect_jump()
        return "was closed"

    def _notice_end(self, begun_s: float | None, clock: Clock, reason: str) -> None:
        """Film over RTSP says how long it is; one more connection would play it from its begin.

        A playlist with an end has come to it when a connection has what was given, and no more. No
        other end can be told from a line that broke: FFmpeg has one word for both.
        """
        if self._is_whole and begun_s is None and self._num_known and reason == _NO_MORE:
            self.ended = "the playlist ended"
        if not self._length_s or begun_s is None or clock.last_s is None:
            return
        seen_s = clock.last_s - begun_s + float(1 / self.info.rate)
        if seen_s > self._length_s - _END_S:
            self.ended = f"the stream ended, {seen_s:.2f} of {self._length_s:.2f} s"

    def _disconnect(self) -> None:
        if self._container is not None:
            self._container.close()
        self._container = None

    def _decode(self, clock: Clock) -> Iterator[Arrived]:
        """The frames of one connection, which is made again if it was lost."""
        if self._container is None:
            was_here = self.is_here
            self._container = self._connect()
            self.num_reconnects += was_here
            with self._changed:
                self._changed.notify_all()
        stream = self._container.streams.video[0]
        size_px = self._size_px_of(self.info)
        to_rgb = RgbMaker(self._source, self._limits)
        pace = Pace() if _is_playlist(self._container) else None
        with closing(self._pictures(stream, _AHEAD if pace else 0)) as pictures:
            for raw, came_s in pictures:
                if self._stopped:
                    return
                pts_s = None if raw.pts is None else float(raw.pts * stream.time_base)
                num_restarts = clock.num_restarts
                time_s = clock.time_s(pts_s)
                if clock.num_restarts > num_restarts:
                    self._note(f"the clock restarts at frame {self.num_received}; continued")
                width_px, height_px = self._size_of(raw, to_rgb)
                image = to_rgb(raw, size_px or (width_px, height_px), partial(float, time_s))
                if pace is not None:
                    self._pause(pace.wait_s(time_s))
                now_s = time.perf_counter()
                frame = Frame(self.num_received, time_s, image, width_px, height_px)
                yield Arrived(frame, now_s, 0.0 if pace is None else now_s - came_s)
                self.num_received += 1

    def _size_of(self, raw: Any, to_rgb: RgbMaker) -> tuple[int, int]:
        """Width and height that all frames have: those of the first one."""
        sides_px = (raw.width, raw.height)
        _, turns = to_rgb.turned(raw)
        seen_px = (sides_px[turns % 2], sides_px[1 - turns % 2])
        self._size_px = self._size_px or seen_px
        if seen_px not in (self._size_px, self._other_px):
            self._note(size_note(seen_px, self._size_px, f"frame {self.num_received}"))
        self._other_px = seen_px
        return self._size_px

    def _note(self, note: str) -> None:
        """Keep a note; of very many only the first."""
        if len(self.notes) < _MOST_NOTES:
            self.notes = (*self.notes, note)

    def _pictures(self, stream: Any, num_ahead: int) -> Generator[tuple[Any, float]]:
        """Decoded pictures, of packets that are fetched ahead of their turn; when these came."""
        last = next(reversed(self._given), None) if self._is_whole else None
        self._num_known = 0
        if last is not None:  # FFmpeg begins a playlist with an end at its begin
            with suppress(av.FFmpegError):
                self._container.seek(last, stream=stream)
        packets: Iterator[tuple[Any, float]]
        packets = ((packet, time.perf_counter()) for packet in self._container.demux(stream))
        if stream.codec_context.name == TRUSTING:  # who comes in between keyframes
            packets = dropwhile(lambda one: one[0].size and not one[0].is_keyframe, packets)
        with closing(ahead(packets, num_ahead)) as coming:
            if not num_ahead:
                for packet, came_s in coming:
                    yield from ((raw, came_s) for raw in _decoded(packet))
                return
            sent: dict[int | None, int] = {}
            for packet, came_s in coming:
                sent[packet.pts] = crc32(packet)
                for raw in _decoded(packet):
                    if self._is_new(raw.pts, sent.pop(raw.pts, 0), after=last):
                        yield raw, came_s
                    else:
                        self._num_known += 1

    def _is_new(self, pts: int | None, content: int, *, after: int | None) -> bool:
        """Whether a picture of a playlist did not come before: a connection begins some back."""
        if after is not None and (pts is None or pts <= after):
            return False
        if pts is not None and self._given.get(pts) == content:
            return False
        self._given[pts] = content
        if len(self._given) > _REMEMBERED:
            del self._given[next(iter(self._given))]
        return True

    def _pause(self, wait_s: float) -> None:
        """Wait, unless the source is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped, timeout=wait_s)

    def _put(self, arrived: Arrived) -> None:
        with self._changed:
            while len(self._waiting) >= self._settings.max_waiting:
                self._waiting.popleft()
                self.num_dropped += 1
            self._waiting.append(arrived)
            self.trouble = ""
            self._changed.notify_all()

    def _connect(self) -> Any:
        container = self._reach()
        try:
            self._examine(container)
        except VideoError:
            container.close()
            raise
        return container

    def _reach(self) -> Any:
        silence_s = self._settings.read_timeout_s
        if ".m3u8" in self._source:
            silence_s = max(silence_s, _PIECES_S)
        timeout = (self._settings.open_timeout_s, silence_s)
        began_s = time.perf_counter()
        self._limits.bound_pieces()
        try:
            if self._source.isdigit():
                return _open_camera(int(self._source), timeout)
            options = _RTSP.copy() if self._source.startswith("rtsp") else {}
            options["max_pixels"] = str(self._limits.max_pixels)
            return av.open(self._source, options=options, timeout=timeout)
        except MemoryError as error:
            raise VideoError(f"cannot connect: {self._too_much}", path=self._source) from error
        except (av.FFmpegError, OSError, ValueError) as error:
            patience_s = self._settings.open_timeout_s  # FFmpeg calls its end by many names
            is_late = time.perf_counter() - began_s >= patience_s
            why = f"no answer in {patience_s:g} s" if is_late else words(error)
            raise VideoError(f"cannot connect: {why}", path=self._source) from error

    def _examine(self, container: Any) -> None:
        """Refuse what is no stream of pictures, or too large; the first one gives ``info``."""
        if not container.streams.video:
            raise VideoError("has no video", path=self._source)
        self._is_whole = self.is_here and _is_playlist(container) and _has_an_end(container)
        if self._source.startswith("http") and _has_an_end(container) and not self._is_whole:
            message = "is a file, no stream, of which frames would be dropped; download it first"
            raise VideoError(message, path=self._source)
        stream = container.streams.video[0]
        if not stream.width:
            raise VideoError(f"no picture was found in it; {self._too_much}", path=self._source)
        self._limits.check_size((stream.width, stream.height), path=self._source)
        self._length_s = container.duration and container.duration / av.time_base
        stream.codec_context.options = {"max_pixels": str(self._limits.max_pixels)}
        if not self.is_here:
            self.info = VideoInfo(
                path=redacted(self._source),
                width_px=stream.width,
                height_px=stream.height,
                rate=Fraction(stream.average_rate or stream.base_rate or 25),
            )
            self.is_here = True

    @property
    def _too_much(self) -> str:
        return f"pieces of a stream may have up to {self._limits.max_piece_bytes} bytes"

    def _no_way_back(self, *asked: Any, **_: Any) -> NoReturn:
        raise VideoError(f"is live; frames cannot be chosen ({asked[0]})", path=self._source)

    frame_at = frame_at_time = frames_at = _no_way_back

    def stop(self) -> None:
        """Tell the reading thread to end; ``close`` waits for it."""
        with self._changed:
            if not self._stopped:
                self._stopped, self._stopped_at = True, time.perf_counter()
            self._changed.notify_all()

    def close(self) -> None:
        """Stop the reading thread, which disconnects.

        One that waits for a source that is silent is left to end when its patience does.
        """
        self.stop()
        if self._thread is not None:
            self._thread.join(max(0.0, self._stopped_at + _PARTING_S - time.perf_counter()))
        else:
            self._disconnect()


def _decoded(packet: Any) -> list[Any]:
    """The pictures that come with a packet."""
    try:
        return list(packet.decode())
    except av.FFmpegError as error:
        refuse_shortage(error, packet.stream.codec_context)
        raise


def _is_playlist(container: Any) -> bool:
    return bool(container.format.name == "hls")


def _has_an_end(container: Any) -> bool:
    """Whether what a web server sends has a length: of a playlist in seconds, else in bytes."""
    if _is_playlist(container):
        return container.duration is not None
    return bool(container.size > 0)


def _open_camera(number: int, timeout: tuple[float, float]) -> Any:
    system = platform.system()
    # Most cameras of Macs refuse FFmpeg's default of 29.97 frames a second.
    options = {"framerate": "30"} if system == "Darwin" else {}
    form = _CAMERAS.get(system)
    return av.open(_camera_name(system, number), format=form, options=options, timeout=timeout)


def _camera_name(system: str, number: int) -> str:
    """What FFmpeg calls a camera; DirectShow knows devices by name only."""
    if system != "Windows":
        return f"/dev/video{number}" if system == "Linux" else str(number)
    found = [one.name for one in av.enumerate_input_devices("dshow") if "video" in one.media_types]
    if number >= len(found):
        there = "; ".join(f"{i} {name}" for i, name in enumerate(found)) or "none"
        raise VideoError(f"no such camera; cameras found: {there}", path=str(number))
    return f"video={found[number]}"
