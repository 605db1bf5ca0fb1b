"""Every frame, in any order, of every container and codec: each picture carries its number.

Also of H.264 in fields, which no encoder here writes: it is made of bits, without prediction.
"""

import itertools
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vodkit.ground.arrays import ByteArray
from vodkit.video.reader import open_video

pytestmark = pytest.mark.slow

NUM_FRAMES = 96
GROUP = 12
SIDE_PX = 16  # of a block; eight of them, in two rows, are a number's bits
INTERLACED = av.codec.context.Flags.interlaced_dct | av.codec.context.Flags.interlaced_me


def picture(number: int) -> ByteArray:
    bits = np.array([number >> i & 1 for i in range(8)]).reshape(2, 4)
    levels = np.where(bits, 235, 16).astype(np.uint8)
    return np.repeat(np.repeat(levels, SIDE_PX, axis=0), SIDE_PX, axis=1)


def number_on(image: ByteArray) -> int:
    blocks = image[..., 0].reshape(2, SIDE_PX, 4, SIDE_PX)[:, 4:-4, :, 4:-4].mean(axis=(1, 3))
    return int(((blocks > 125).ravel() * 2 ** np.arange(8)).sum())


def encode(path: Path, codec: str, *, is_interlaced: bool = False) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 4 * SIDE_PX, 2 * SIDE_PX, "yuv420p"
        stream.gop_size, stream.max_b_frames = GROUP, 2
        stream.options = {"b_strategy": "0", "sc_threshold": "0", "qmin": "1", "qmax": "4"}
        if is_interlaced:
            stream.codec_context.flags |= INTERLACED
        for number in range(NUM_FRAMES):
            frame = av.VideoFrame.from_ndarray(picture(number), format="gray")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame.reformat(format="yuv420p")))
        out.mux(stream.encode())
    return path


def is_whole(path: Path) -> bool:
    """All frames are there in order, at their times, and by themselves in any order."""
    with open_video(path) as video:
        frames = list(video.frames())
        assert (video.info.num_frames, video.info.rate) == (NUM_FRAMES, 25)
        assert video.info.duration_s == pytest.approx(NUM_FRAMES / 25, abs=0.002)
        assert np.diff([frame.time_s for frame in frames]) == pytest.approx(0.04, abs=0.002)
        assert [number_on(frame.image) for frame in frames] == list(range(NUM_FRAMES))
        order = np.random.default_rng(0).permutation(NUM_FRAMES).tolist()
        alone = [video.frame_at(index) for index in order]
        assert [number_on(frame.image) for frame in alone] == order
        assert [frame.time_s for frame in alone] == [frames[i].time_s for i in order]
        late = [number_on(frame.image) for frame in video.frames(start=71)]
        return late == list(range(71, NUM_FRAMES))


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mpeg2video", "mpeg1video"])
@pytest.mark.parametrize("suffix", ["ts", "m2ts", "mpg", "vob", "mkv", "mp4", "avi", "nut"])
def test_every_frame_is_found_in_any_order(tmp_path: Path, suffix: str, codec: str) -> None:
    """Seeks in transport streams led between keyframes, where MPEG-4 decodes what is not there; in
    program streams the times behind a seek are guessed, and were others."""
    assert is_whole(encode(tmp_path / f"a.{suffix}", codec))


@pytest.mark.parametrize("suffix", ["ts", "mpg", "mkv", "mp4", "avi", "mxf", "h264"])
def test_every_frame_of_interlaced_h264_is_found(tmp_path: Path, suffix: str) -> None:
    assert is_whole(encode(tmp_path / f"a.{suffix}", "libx264", is_interlaced=True))


def cut_between_keyframes(path: Path) -> Path:
    """As a recording of a broadcast begins: its tables, and then a packet in the midst."""
    data = path.read_bytes()
    with av.open(str(path)) as file:
        places = [packet.pos for packet in file.demux(video=0) if packet.size]
    if path.suffix == ".ts":
        path.write_bytes(data[: 3 * 188] + data[places[5] // 188 * 188 :])
    else:  # a program stream has no tables; its packs hold several pictures
        path.write_bytes(data[data.index(b"\0\0\1\xba", places[0] + 4) :])
    return path


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        *(("libx264", "ts"), ("mpeg4", "ts"), ("mpeg2video", "ts")),
        *(("mpeg2video", "mpg"), ("mpeg1video", "mpg"), ("mpeg2video", "vob")),
    ],
)
def test_a_file_begins_with_its_first_keyframe(tmp_path: Path, codec: str, suffix: str) -> None:
    """As for FFmpeg; MPEG-4 would decode what is in front of it, to anything, without a word."""
    path = cut_between_keyframes(encode(tmp_path / f"a.{suffix}", codec))
    with open_video(path) as video:
        frames = list(video.frames())
        begin = number_on(frames[0].image)
        assert begin == GROUP or (suffix != "ts" and begin % GROUP == 0 < begin)
        assert [number_on(frame.image) for frame in frames] == list(range(begin, NUM_FRAMES))
        assert [frame.index for frame in frames] == list(range(len(frames)))
        assert video.info.num_frames == len(frames)
        assert re.search(r"begins between keyframes: \d+ pictures in front", video.notes[0])
        assert [number_on(video.frame_at(at).image) for at in (7, 0)] == [begin + 7, begin]


class Bits:
    """A unit of H.264 (ITU-T H.264, 7.3), bit by bit."""

    def __init__(self, text: str = "") -> None:
        self.text = text

    def put(self, *values: int | tuple[int, int]) -> "Bits":
        """Numbers in Exp-Golomb code; a pair is a number and how many bits it takes."""
        for value in values:
            code = (
                value if isinstance(value, tuple) else (value + 1, 2 * (value + 1).bit_length() - 1)
            )
            self.text += f"{code[0]:0{code[1]}b}"
        return self

    def align(self) -> "Bits":
        self.text += "0" * (-len(self.text) % 8)
        return self

    def unit(self, importance: int, kind: int) -> bytes:
        self.text += "1"
        raw = int(self.align().text, 2).to_bytes(len(self.text) // 8, "big")
        safe = bytearray()
        for byte in raw:
            if byte <= 3 and safe[-2:] == b"\0\0":
                safe.append(3)
            safe.append(byte)
        return b"\0\0\0\1" + bytes([importance << 5 | kind]) + safe


def parameters() -> bytes:
    """Main profile, 64 x 32, pictures of fields, 25 frames a second, one frame out of order."""
    sequence = Bits().put((77, 8), (0, 8), (30, 8), 0, 4, 0, 4, 2, (0, 1), 3, 0, (0b001_0_1, 5))
    sequence.put((0, 4), (1, 1), (1, 32), (50, 32), (1, 1), (0, 3), (0b11, 2), 0, 0, 10, 10, 1, 2)
    picture_set = Bits().put(0, 0, (0, 2), 0, 0, 0, (0, 3), 0, 0, 0, (0b100, 3))
    return sequence.unit(3, 7) + picture_set.unit(3, 8)


def field(number: int, *, place: int, is_bottom: bool, count: int, group: int) -> bytes:
    """One field: an I slice of macroblocks that are samples as they are (I_PCM)."""
    is_first, is_reference = place == 0 and not is_bottom, place % 3 == 0
    slice_ = Bits().put(0, 7, 0, (count, 8), (1, 1), (is_bottom, 1))
    slice_.put(*[group % 2] * is_first, (2 * place + is_bottom, 8))
    slice_.put(*[(0, 2 if is_first else 1)] * is_reference, 0, 1)
    rows = picture(number)[is_bottom::2]
    for x in range(0, 4 * SIDE_PX, SIDE_PX):
        samples = rows[:, x : x + SIDE_PX].tobytes() + bytes([128] * 128)
        slice_.put(25).align().text += "".join(f"{sample:08b}" for sample in samples)
    return slice_.unit(2 * is_reference, 5 if is_first else 1)


def frames_of_fields() -> Iterator[tuple[int, list[bytes]]]:
    """Number and fields of each frame as they are stored: 0, 3, 1, 2, 6, 4, 5, ... in a group."""
    places = [0, *itertools.chain(*((k, k - 2, k - 1) for k in range(3, GROUP, 3))), 10, 11]
    for group in range(NUM_FRAMES // GROUP):
        count = 0
        for place in places:
            number = group * GROUP + place
            top, bottom = (
                field(number, place=place, is_bottom=is_bottom, count=count, group=group)
                for is_bottom in (False, True)
            )
            yield number, [parameters() + top if place == 0 else top, bottom]
            count += place % 3 == 0


def write_fields(path: Path, *, is_joined: bool) -> Path:
    """A packet is a frame, or a field."""
    raw = path.with_suffix(".h264")
    stored = list(frames_of_fields())
    raw.write_bytes(b"".join(b"".join(fields) for _, fields in stored))
    if path == raw:
        return path
    with av.open(str(raw)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        stream.time_base = Fraction(1, 50)
        for place, (number, fields) in enumerate(stored):
            for i, content in enumerate([b"".join(fields)] if is_joined else fields):
                packet = av.Packet(content)
                packet.stream, packet.time_base = stream, Fraction(1, 50)
                packet.pts, packet.dts = 2 * number + 4 + i, 2 * place + i
                packet.duration = 2 if is_joined else 1
                packet.is_keyframe = number % GROUP == i == 0
                out.mux(packet)
    return path


@pytest.mark.parametrize("is_joined", [True, False])
@pytest.mark.parametrize("suffix", ["ts", "m2ts", "h264"])
def test_two_fields_are_one_frame(tmp_path: Path, suffix: str, *, is_joined: bool) -> None:
    """As camcorders (AVCHD) and broadcasts have it: each field was taken for a frame."""
    assert is_whole(write_fields(tmp_path / f"a.{suffix}", is_joined=is_joined))


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_frames_stored_as_two_fields_each(tmp_path: Path, suffix: str) -> None:
    assert is_whole(write_fields(tmp_path / f"a.{suffix}", is_joined=True))


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_fields_in_packets_of_their_own_where_a_packet_should_be_a_frame(
    tmp_path: Path, suffix: str
) -> None:
    """As some remuxers have it: half of the packets were told as lost."""
    assert is_whole(write_fields(tmp_path / f"a.{suffix}", is_joined=False))


def test_frames_at_twice_the_rate_that_the_stream_declares_are_not_taken_for_fields(
    tmp_path: Path,
) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        stream.time_base, stream.options = Fraction(1, 50), {"bf": "0"}
        for number in range(NUM_FRAMES):
            frame = av.VideoFrame(64, 32, "yuv420p")
            for packet in stream.encode(frame):
                packet.time_base = Fraction(1, 50)
                packet.pts = packet.dts = number
                packet.duration = 1
                out.mux(packet)
    with open_video(tmp_path / "a.mp4") as video:
        assert video.info.num_frames == len(list(video.frames())) > 0
        assert video.info.rate == 50
