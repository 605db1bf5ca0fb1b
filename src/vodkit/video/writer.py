"""H.264 mp4 that browsers play, with the original timing and sound; whole, or not there at all."""

import errno
import math
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from vodkit.ground.arrays import ByteArray
from vodkit.ground.errors import InputError, OutputError, ShortageError, noticing_shortage
from vodkit.ground.ledger import claim
from vodkit.ground.paths import put_in_place
from vodkit.video.rgb import words

# Two thirds of the time of x264's "veryfast" for a tenth more bytes at the same quality. As it is,
# "superfast" does not look ahead (mbtree), and takes twice the bytes.
_SPEED = {"preset": "superfast", "x264-params": "mbtree=1:rc-lookahead=10"}
_GAP_S = 0.05  # of the sound, longer than clocks of containers jitter
_NEAR = 0.005  # frames/s that 29.97 and 23.98 are rounded by
_TICKS = 90_000  # of the video's clock, a second: divides 24, 25, 30 and 30000/1001 evenly enough
_MOST_SIDE_PX = 16384
_MOST_AREA = 2**28  # with 128 px more a side, of an FFmpeg picture (libavutil/imgutils.c)
_MOST_TICKS = 2**31 - 1  # that mp4 (as FFmpeg writes it) can say one picture lasts


# BT.709, limited range: luma 16 to 235, chroma 16 to 240 around 128.
_RED, _BLUE = 0.2126, 0.0722
_LUMA = np.array([_RED, 1 - _RED - _BLUE, _BLUE])
_RGB_TO_YUV = np.column_stack(
    [
        np.stack(
            [
                _LUMA * 219,
                (np.array([0, 0, 1]) - _LUMA) / (1 - _BLUE) / 2 * 224,
                (np.array([1, 0, 0]) - _LUMA) / (1 - _RED) / 2 * 224,
            ]
        )
        / 255,
        [16, 128, 128],
    ]
)


class _Picture:
    """One picture in the encoder's colours, in the same memory every time.

    The encoder takes a copy. FFmpeg's scaler does the same in several times the time, most of
    which goes into new memory for every picture.
    """

    def __init__(self, width_px: int, height_px: int) -> None:
        self._half_px = (width_px // 2, height_px // 2)
        self._frame: Any = av.VideoFrame(width_px, height_px, "yuv420p")
        self._planes = [
            np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)[:, : plane.width]
            for plane in self._frame.planes
        ]
        self._full = np.empty((height_px, width_px, 3), np.uint8)

    def of(self, image: ByteArray) -> Any:
        """The frame for the encoder; until the next call. A colour is the mean of four pixels."""
        cv2.transform(image, _RGB_TO_YUV, dst=self._full)
        half = cv2.resize(self._full, self._half_px, interpolation=cv2.INTER_AREA)
        for number, plane in enumerate(self._planes):
            cv2.extractChannel(half if number else self._full, number, dst=plane)
        return self._frame


def as_rate(rate: Fraction | float) -> Fraction:
    """Frames/s as a fraction; floats near n * 1000 / 1001, as 29.97, are that fraction.

    >>> as_rate(29.97), as_rate(12.5), as_rate(25)
    (Fraction(30000, 1001), Fraction(25, 2), Fraction(25, 1))
    """
    if isinstance(rate, Fraction):
        return rate
    whole = round(rate * 1.001)
    if rate != round(rate) and abs(whole / 1.001 - rate) < _NEAR:
        return Fraction(whole * 1000, 1001)
    return Fraction(rate).limit_denominator(1001)


class VideoWriter:
    """Writes pictures with their times; a context manager.

    The file takes its name when it is closed without an error; until then it is
    ``.NAME.part`` beside it, which is removed on error.
    """

    @noticing_shortage()
    def __init__(
        self,
        path: str | Path,
        *,
        width_px: int,
        height_px: int,
        rate: Fraction | float,
        audio_from: str | Path | None = None,
        quality: int = 23,
    ) -> None:
        """``quality`` is x264's crf: 18 is visually lossless, 28 is small.

        ``rate`` is in frames/s; 29.97 and its like are taken as the fraction they stand for.

        ``audio_from`` is a media file whose first sound track is taken over (as AAC, at
        the next higher rate where AAC lacks its own, at most 96 kHz). Odd sizes are made even by
        repeating the last row or column.
        """
        path, rate = Path(path), as_rate(rate)
        self.path = path
        self._part = path.absolute().with_name(f".{path.name}.part")  # see reader.py: colons
        self._size = (width_px, height_px)
        even_px = (width_px + width_px % 2, height_px + height_px % 2)
        if max(even_px) > _MOST_SIDE_PX or (even_px[0] + 128) * (even_px[1] + 128) >= _MOST_AREA:
            seen = f"pictures of {width_px}x{height_px} px"
            allowed = f"up to {_MOST_SIDE_PX} a side, as x264 has it"
            square = (
                f"{math.isqrt(_MOST_AREA) - 130} where both sides are as long, as FFmpeg has it"
            )
            raise OutputError(f"cannot write {seen}; allowed: {allowed}, and {square}", path=path)
        self._audio_from = None if audio_from is None else Path(audio_from).absolute()
        self._last_tick = -1
        self._start_s: float | None = None
        self._last_s: float | None = None
        self.num_lost_sound = 0
        """pieces of sound that could not be decoded; known when the file is closed"""
        self.resampled: str | None = None
        """how the sound's rate was changed, in words; None: it was not"""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            claim(path)
            self._out: Any = av.open(
                str(self._part), "w", format="mp4", options={"movflags": "+faststart"}
            )
        except (av.FFmpegError, OSError) as error:
            raise OutputError(f"cannot write: {words(error)}", path=path) from error
        self._stream: Any = self._out.add_stream("libx264", rate=rate)
        self._stream.width, self._stream.height = even_px
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": str(quality), **_SPEED}
        # Whole pictures side by side: slices of one would wait for each other, and take more bits.
        self._stream.thread_type = "FRAME"
        self._stream.codec_context.time_base = Fraction(1, _TICKS)
        # Said in the file: players guess the colours of one that does not, and not all alike.
        self._stream.codec_context.colorspace = Colorspace.ITU709
        self._stream.codec_context.color_range = ColorRange.MPEG
        self._stream.codec_context.color_primaries = ColorPrimaries.BT709
        self._stream.codec_context.color_trc = ColorTrc.BT709
        try:
            self._picture = _Picture(self._stream.width, self._stream.height)
            self._sound: Any = None if audio_from is None else self._add_sound(Path(audio_from))
        except Exception:
            self._discard()
            raise

    @noticing_shortage()
    def write(self, image: ByteArray, time_s: float) -> None:
        """Add one picture, (H, W, 3) uint8 RGB; times must increase. The first becomes time 0.

        Pictures less than a tick of the file's clock (1/90000 s) apart are written a tick apart.
        """
        height_px, width_px = image.shape[:2]
        if (width_px, height_px) != self._size:
            seen = f"picture is {width_px}x{height_px}"
            allowed = f"allowed: {self._size[0]}x{self._size[1]}"
            raise InputError(f"{self.path}: {seen}; {allowed}")
        if self._last_s is not None and time_s <= self._last_s:
            raise InputError(f"{self.path}: picture at {time_s:.6f} s is not after the one before")
        if self._start_s is None:
            self._start_s = time_s
        self._last_s = time_s
        tick = max(round((time_s - self._start_s) * _TICKS), self._last_tick + 1)
        if tick - self._last_tick > _MOST_TICKS:
            waited_s = (tick - self._last_tick) / _TICKS
            seen = f"picture at {time_s:.1f} s, {waited_s:.0f} s after the last"
            allowed = f"{_MOST_TICKS // _TICKS} s, as mp4 has it"
            raise OutputError(f"cannot write: {seen}; allowed: {allowed}", path=self.path)
        self._last_tick = tick
        odd = ((0, height_px % 2), (0, width_px % 2), (0, 0))
        even = np.pad(image, odd, mode="edge") if (width_px | height_px) % 2 else image
        frame = self._picture.of(even)
        frame.pts, frame.time_base = tick, Fraction(1, _TICKS)
        self._encode(self._stream, frame)

    def _encode(self, stream: Any, piece: Any = None) -> None:
        """Put a picture or sound into the file; without one, what its encoder still holds."""
        try:
            for packet in stream.encode(piece):
                self._out.mux(packet)
        except (av.FFmpegError, OSError) as error:
            if isinstance(error, av.ExternalError):  # x264's one word; our settings are known to do
                raise ShortageError(f"x264: {words(error)}", of="threads or memory") from error
            full = getattr(error, "errno", 0) == errno.ENOSPC
            reason = "no space left on the disk" if full else words(error)
            raise OutputError(f"cannot write: {reason}", path=self.path) from error

    @noticing_shortage()
    def _finish(self) -> None:
        self._encode(self._stream)
        if self._sound is not None and self._start_s is not None:
            self._copy_sound()
        try:
            self._out.close()
            put_in_place(self._part, self.path)
        except (av.FFmpegError, OSError) as error:
            raise OutputError(f"cannot write: {words(error)}", path=self.path) from error

    def _add_sound(self, source: Path) -> Any:
        """A sound track for the first one of ``source``; None where it has none."""
        try:
            with av.open(str(source.absolute())) as media:
                rate = media.streams.audio[0].rate if media.streams.audio else None
        except (av.FFmpegError, OSError) as error:
            raise InputError(f"{source}: its sound cannot be read: {words(error)}") from error
        if not rate:
            return None
        known = av.Codec("aac", "w").audio_rates or [rate]
        nearest = min((one for one in known if one >= rate), default=max(known))
        if nearest != rate:
            self.resampled = f"sound of {rate} Hz became {nearest} Hz, for AAC lacks its rate"
        return self._out.add_stream("aac", rate=nearest, layout="stereo")

    def _copy_sound(self) -> None:
        """The sound from the first to the last picture, on the pictures' clock.

        What cannot be decoded of it stays silent, and is counted in ``num_lost_sound``.
        """
        assert self._start_s is not None
        end_s = self._start_s + self._last_tick / _TICKS + 1 / float(self._stream.average_rate)
        rate, num_done = self._sound.rate, 0
        with av.open(str(self._audio_from)) as source:
            resampler = av.AudioResampler("fltp", "stereo", rate)
            for raw in self._decoded(source):
                if raw.time is None or not self._start_s <= raw.time < end_s:
                    continue
                missing = round((raw.time - self._start_s) * rate) - num_done
                # The encoder knows no gaps: what comes after one would be heard too early.
                silence = _silence(missing, rate) if missing > _GAP_S * rate else []
                for sound in [*silence, *resampler.resample(raw)]:
                    num_done = self._put_sound(sound, num_done)
            for sound in resampler.resample(None):
                num_done = self._put_sound(sound, num_done)
        self._encode(self._sound)

    def _put_sound(self, sound: Any, num_done: int) -> int:
        """Encode a piece behind so many samples; how many there are then."""
        sound.pts, sound.time_base = num_done, Fraction(1, self._sound.rate)
        self._encode(self._sound, sound)
        return num_done + int(sound.samples)

    def _decoded(self, media: Any) -> Iterator[Any]:
        """The pieces of the first sound track, without those that are damaged."""
        try:
            for packet in media.demux(audio=0):
                try:
                    yield from packet.decode()
                except av.FFmpegError:
                    self.num_lost_sound += 1
        except av.FFmpegError:  # the file breaks off
            self.num_lost_sound += 1

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Finish the file; on error leave nothing behind."""
        try:
            if kind is None:
                self._finish()
        finally:
            self._discard()

    def _discard(self) -> None:
        """Remove what is not finished; a full disk must not hide the error that said so."""
        with suppress(av.FFmpegError, OSError):
            self._out.close()
        self._part.unlink(missing_ok=True)


def _silence(num_samples: int, rate: int) -> Iterator[Any]:
    """So much of it, in pieces of a second."""
    for start in range(0, num_samples, rate):
        nothing = np.zeros((2, min(rate, num_samples - start)), np.float32)
        piece = av.AudioFrame.from_ndarray(nothing, format="fltp", layout="stereo")
        piece.sample_rate = rate
        yield piece
