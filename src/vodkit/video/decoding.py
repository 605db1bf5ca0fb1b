"""One pass through a video file: the pictures that can be trusted, whichever way one comes to them.

What is built on a damaged picture comes out of a decoder as if it were sound, and what it looks
like depends on where the pass began, and on how many threads decode. So of what lies in the file
behind damage nothing is given out up to the next keyframe, and the pass goes on there as one that
begins there. While all is well that costs nothing: only where something is missing, marked, or
refused by the decoder, the pictures from the last keyframe on are decoded once more, in one thread,
which tells exactly where the damage begins.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain, dropwhile, islice
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.stream import Disposition
from av.video.frame import PictureType

from vodkit.ground.errors import VideoError, shortage_of
from vodkit.video.limits import LIMITS, UNENDED, Limits
from vodkit.video.rgb import RgbMaker, words
from vodkit.video.timeline import THEORA, Timeline, is_header
from vodkit.video.unfinished import why_unfinished

_RUN = 300  # frames that are decoded rather than skipped by a seek, when no keyframe is between
_BUILT = {PictureType.P, PictureType.B}
# In these nothing is built on a picture that is shown before one that lies in front of it.
_FLAT = {"mpeg1video", "mpeg2video", "mpeg4"}
_MARKS = 2  # from one in H.264 that is made new bit by bit to where all is new
_END: Any = object()


class _Entry(NamedTuple):
    """Where a pass begins."""

    first: int
    """the frame that comes first; those before it belong to no one, or come from elsewhere"""
    key: int
    """the keyframe that all is built on; what is shown before it is not what others are built on"""
    pictures: Iterator[Any | None]


class Decoding:
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
        """``timeline`` may be set later, but before frames are wanted."""
        self.name = name
        self.timeline = timeline
        self.rgb = RgbMaker(name, limits)
        self.complaint = ""
        """what the decoder said of the last packet it could not use"""
        self.coming: Generator[tuple[int, Any]]
        """pictures with their index, in order; an index may be missing (damage)"""
        self._opener = opener
        self._one_thread = one_thread
        self._next = 0  # index of the frame that comes out next, as far as known
        self._fed = -1  # the frame whose packet the decoder got last
        self._has_begun = False
        self._reopen()
        self.go_to(0)

    def _reopen(self) -> None:
        source = None
        try:
            source = self._opener()
            self.container: Any = open_container(source, self.rgb.limits)
        except (av.FFmpegError, OSError, ValueError) as error:
            why = why_unfinished(source) or words(error)
            raise VideoError(f"cannot be opened: {why}", path=self.name) from error
        if self.container.format.name == "hls" and self.container.duration is None:
            self.container.close()
            raise VideoError(UNENDED, path=self.name)
        # The best stream, as players choose: not a smaller version of it, nor a cover picture.
        best = self.container.streams.best("video")
        if best is None or best.disposition & Disposition.attached_pic:
            kinds = ", ".join(sorted({s.type for s in self.container.streams})) or "nothing"
            self.container.close()
            raise VideoError(f"has no video, only {kinds}", path=self.name)
        self.stream: Any = best
        if self.stream.codec_context is not None:
            self.stream.thread_type = "AUTO"
            one_thread = self._one_thread or self._is_chained_theora()
            self.stream.codec_context.thread_count = 1 if one_thread else 0
            # The decoder itself refuses to grow beyond this, before it takes the memory.
            self.stream.codec_context.options = {"max_pixels": str(self.rgb.limits.max_pixels)}

    def close(self) -> None:
        """Close the file."""
        self.coming.close()
        self.container.close()

    def _is_chained_theora(self) -> bool:
        """Its decoder takes in new headers in one thread only."""
        numbered = self.timeline is not None and bool(self.timeline.frame_of)
        return numbered and self.stream.codec_context.name == THEORA

    def time_s(self, raw: Any) -> float | None:
        """The container's time of a decoded picture."""
        if self.timeline is not None and self.timeline.frame_of:
            index = self._index(raw)
            return None if index < 0 else float(self.timeline.pts[index] * self.stream.time_base)
        return None if raw.pts is None else float(raw.pts * self.stream.time_base)

    def go_to(self, index: int) -> None:
        """Have the frame ``index`` come; some before it may come first."""
        self._next = 0
        self.coming = self._noted(self._trusted(index))

    def is_nearly_at(self, index: int) -> bool:
        """Whether decoding on from here reaches ``index`` sooner than a seek would."""
        assert self.timeline is not None
        if self._next > index:
            return False
        keys = self.timeline.key_frames
        if not keys:
            return True
        before = bisect_right(keys, index)
        at = keys[before - 1] if before else 0
        return at <= self._next and index - self._next <= _RUN

    def _noted(self, frames: Generator[tuple[int, Any]]) -> Generator[tuple[int, Any]]:
        with closing(frames):
            for index, raw in frames:
                if index >= self._next:
                    self._next = index + 1
                    yield index, raw

    def _trusted(self, index: int) -> Generator[tuple[int, Any]]:
        """Trusted pictures from ``index`` on, or from a little before."""
        assert self.timeline is not None
        if not self.timeline.reliable:
            is_sure = yield from self._counted()
        else:
            broken = yield from self._sound(self._entry(index), careful=False)
            is_sure = broken is None
        if is_sure:
            return
        args = (self._opener, self.name, self.rgb.limits, self.timeline)
        with closing(Decoding(*args, one_thread=True)) as careful:
            yield from careful.with_care(max(index, self._next))

    def with_care(self, index: int) -> Generator[tuple[int, Any]]:
        """The same in one thread, where what a decoder says is said of the packet it got."""
        assert self.timeline is not None
        if not self.timeline.reliable:
            yield from self._counted(careful=True)
            return
        entry: _Entry | None = self._entry(index)
        while entry is not None:
            broken = yield from self._sound(entry, careful=True)
            entry = None if broken is None else self._entry_behind(broken)

    def _entry(self, index: int) -> _Entry:
        """The last keyframe from which on ``index`` can be decoded, or the begin of the file."""
        assert self.timeline is not None
        keys = self.timeline.key_frames if self.timeline.reliable else []
        for number in range(bisect_right(keys, index) - 1, -1, -1):
            entry = self._enter(number, index) if keys[number] else None
            if entry is not None:
                return entry
        self._rewind()
        is_at_key = bool(keys) and self.timeline.place_of[keys[0]] == 0
        return _Entry(0, keys[0] if is_at_key else 0, self.pictures())

    def _rewind(self) -> None:
        if self._has_begun:
            self.container.close()
            self._reopen()

    def _entry_behind(self, damage: int) -> _Entry | None:
        """Where to go on behind a damaged frame, whose place in the file is given.

        At the next keyframe that is shown after it: even if it lies before it, nothing that comes
        then is built on that frame.
        """
        assert self.timeline is not None
        keys, damaged = self.timeline.key_frames, self.timeline.in_file[damage]
        for number in range(max(bisect_right(keys, damaged) - _MARKS, 0), len(keys)):
            entry = self._enter(number, len(self.timeline.pts) - 1)
            if entry is not None and entry.first > damaged:
                return entry
        return None

    def _enter(self, number: int, index: int) -> _Entry | None:
        """Begin at a keyframe; None where a decoder cannot, or ``index`` would not come whole."""
        assert self.timeline is not None
        key = self.timeline.key_frames[number]
        pictures = self._seek(*self.timeline.keyframes[number])
        for raw in pictures:
            at = self._fed if raw is None else self._index(raw)
            if at < key:
                continue  # shown before: built on what is not there
            if raw is None or raw.is_corrupt:
                return None
            if at == key and raw.pict_type not in _BUILT:
                return _Entry(key, key, chain([raw], pictures))
            return self._refreshed(number, index, pictures)
        return None

    def _refreshed(self, number: int, index: int, pictures: Iterator[Any | None]) -> _Entry | None:
        """Begin where H.264 makes its pictures new bit by bit, from one mark to the next.

        They come out while they are half new, and nothing tells. Two marks on, all is new.
        """
        assert self.timeline is not None
        keys = self.timeline.key_frames
        if number + _MARKS >= len(keys) or keys[number + _MARKS] > index:
            return None
        whole = keys[number + _MARKS]
        for raw in pictures:
            if raw is None or raw.is_corrupt or self._index(raw) > whole:
                return None
            if self._index(raw) == whole:
                return _Entry(whole, whole, chain([raw], pictures))
        return None

    def _seek(self, pts: int, dts: int) -> Iterator[Any | None]:
        """The pictures from a keyframe on; none where it is not found.

        Containers look for a time among presentation or among decoding times. A keyframe's
        presentation time is tried first (by decoding times it may lead to the next keyframe), then
        its decoding time (by presentation times it leads to the one before). Where the clock
        restarts, packets are counted from the begin of the file instead.
        """
        if self.timeline is not None and self.timeline.frame_of:
            self._rewind()
            self._has_begun = True
            return self._decoded(islice(self._packets(), dts, None))
        self._has_begun = True
        for place in dict.fromkeys((pts, dts)):
            try:
                self.container.seek(place, stream=self.stream, backward=True, any_frame=False)
            except av.FFmpegError:
                continue
            coming = self._packets()
            first = next((one for one in coming if not _is_before(one, pts)), None)
            if first is not None and first.size and first.pts == pts:
                return self._decoded(chain([first], coming))
        return iter(())

    def pictures(self) -> Iterator[Any | None]:
        """All decoded pictures from here on; None where the decoder could not use a packet.

        Where a file begins between keyframes, and its decoder would make up what is in front of the
        first without a word, packets before it are left out.
        """
        self._has_begun = True
        packets = self._packets()
        if self.timeline is not None and self.timeline.is_headless:
            packets = dropwhile(lambda packet: packet.size and not packet.is_keyframe, packets)
        return self._decoded(packets)

    def _packets(self) -> Iterator[Any]:
        """As they lie in the file, then one without content, which has the decoder give its rest.

        None stands for that where the file ends in an error.
        """
        frames = iter(() if self.timeline is None else self.timeline.frame_of)
        try:
            for packet in self.container.demux(self.stream):
                if packet.size and (index := next(frames, None)) is not None:
                    yield _as_frame(packet, index)
                else:
                    yield packet
        except av.FFmpegError as error:
            self.complaint = words(error)
            yield None

    def _decoded(self, packets: Iterable[Any]) -> Iterator[Any | None]:
        for packet in packets:
            if packet is not None and self.timeline is not None:
                self._fed = self.timeline.index_of.get(packet.pts, self._fed)
            try:
                pictures = self.stream.decode(packet)
            except av.FFmpegError as error:
                refuse_shortage(error, self.stream.codec_context)
                self.complaint = words(error)
                pictures = [] if packet is not None and is_header(packet, self.stream) else [None]
            yield from pictures

    def _index(self, raw: Any) -> int:
        """Of a picture; -1: it has a time that no frame has, as of a damaged packet."""
        assert self.timeline is not None
        return self.timeline.index_of.get(raw.pts, -1)

    def begins_at_key(self, first: Any) -> bool:
        """Whether the first picture that came out is a keyframe with others in front of it."""
        assert self.timeline is not None
        key = self.timeline.first_key_frame
        return bool(key) and self._index(first) == key and not first.is_corrupt

    def _counted(self, *, careful: bool = False) -> Generator[tuple[int, Any], None, bool]:
        """Pictures by their number, where times do not tell which is which; whether all were sound.

        Careful: those that are not are left out; else it ends there.
        """
        assert self.timeline is not None
        total, count = len(self.timeline.pts), 0
        for raw in self._entry(0).pictures:
            if not careful and (raw is None or raw.is_corrupt):
                return False
            if raw is None:
                continue
            if count < total and not raw.is_corrupt:
                yield count, raw
            count += 1
        return True

    def _sound(
        self, entry: _Entry, *, careful: bool
    ) -> Generator[tuple[int, Any], None, int | None]:
        """Pictures against which nothing is known, nor against what they may be built on.

        Ends at the first damage, then its place in the file comes back. Careful: all that lies
        before it has come out then. A picture waits until all that lie before it are known.
        """
        assert self.timeline is not None
        place_of, shown_last = self.timeline.place_of, self.timeline.shown_last
        total = broken = len(place_of)
        last = entry.first - 1
        held: deque[tuple[int, Any]] = deque()
        for raw in chain(entry.pictures, [_END]):
            index = self._fed if raw is None else total if raw is _END else self._index(raw)
            if raw is None:
                damaged = [index]
            elif index <= last:
                continue  # shown before the first one, or with a time that no frame has
            else:
                damaged = list(range(last + 1, index))
                last = index
                if raw is not _END:
                    if raw.is_corrupt:  # made up in parts, from its neighbours
                        damaged.append(index)
                    else:
                        held.append((index, raw))
            broken = min([broken, *self._places(damaged, entry.key)])
            if broken < total and not careful:
                return broken
            while held and shown_last[place_of[held[0][0]]] <= last:
                if place_of[held[0][0]] < broken:
                    yield held[0]
                held.popleft()
            if broken < total and shown_last[broken] <= last:
                return broken
        return None

    def _places(self, damaged: Iterable[int], key: int) -> Iterator[int]:
        """Where in the file those of the damaged frames lie that others may be built on."""
        assert self.timeline is not None
        place_of, shown_last = self.timeline.place_of, self.timeline.shown_last
        is_flat = self.stream.codec_context.name in _FLAT
        for index in damaged:
            is_b = shown_last[place_of[index]] > index
            if index >= key and not (is_flat and is_b):
                yield place_of[index]


def _is_before(packet: Any, pts: int) -> bool:
    """Whether a packet is none that a pass can begin with at ``pts``, but such may still come."""
    if packet is None or not packet.size:
        return False
    return not packet.is_keyframe or packet.pts is None or packet.pts < pts


def _as_frame(packet: Any, index: int) -> Any:
    """The packet with its frame's index for a time; -1: it belongs to none."""
    if index >= 0 and packet.is_discard:  # its decoder would drop the picture
        shown = av.Packet(packet.size)  # FFmpeg's memory: its threads free it without Python's lock
        shown.update(bytes(packet))
        shown.stream, shown.time_base = packet.stream, packet.time_base
        shown.is_keyframe, packet = packet.is_keyframe, shown
    packet.pts = index if index >= 0 else None
    return packet


def refuse_shortage(error: av.FFmpegError, decoder: Any) -> None:
    """ShortageError where a decoder could not begin its threads; of others a packet may be why."""
    if not decoder.is_open and (shortage := shortage_of(error)) is not None:
        raise shortage from error


def require_container(path: Path) -> None:
    """VideoError where FFmpeg cannot open a file; no more than its beginning is read."""
    source = str(path.absolute())
    try:
        open_container(source, LIMITS).close()
    except (av.FFmpegError, OSError, ValueError) as error:
        why = why_unfinished(source) or words(error)
        raise VideoError(f"cannot be opened: {why}", path=path) from error


def open_container(source: Any, limits: Limits) -> Any:
    """What FFmpeg makes of a path, URL or binary file; patience and sizes are limited."""
    remote = isinstance(source, str) and "://" in source
    limits.bound_pieces()
    if isinstance(source, str | Path) and not remote and str(source).lower().endswith(".m3u8"):
        limits.check_playlist(Path(source))
    timeout = (limits.read_s, limits.read_s) if remote else None
    return av.open(source, options={"max_pixels": str(limits.max_pixels)}, timeout=timeout)
