"""Containers that say when frames are shown in a roundabout way: AVI, edit lists, late starts."""

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vodkit.ground.errors import VideoError
from vodkit.ground.records import Frame
from vodkit.video.reader import open_video

NUM_FRAMES = 60
RATE = Fraction(10)


def grey(index: int) -> int:
    """Neighbours are far apart: pictures in a wrong order are seen."""
    return 30 + index * 37 % 190


def are_frames(frames: list[Frame], first: int = 0) -> bool:
    """Whether these are the pictures from ``first`` to the end."""
    levels = [float(frame.image.mean()) for frame in frames]
    return levels == pytest.approx([grey(index) for index in range(first, NUM_FRAMES)], abs=4)


def encode(
    path: Path, *, codec: str = "libx264", rate: Fraction = RATE, every: int = 1, jitter: int = 0
) -> Path:
    """Noisy greys, with B-frames. Of ``every`` places in time one has a picture, or a near one."""
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.gop_size, stream.max_b_frames = 12, 3
        stream.options = {"b_strategy": "0", "sc_threshold": "0", "qmin": "1", "qmax": "4"}
        for index in range(NUM_FRAMES):
            image = (grey(index) + random.integers(-20, 21, (32, 48, 3))).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index * every + index * index % 3 * jitter, 1 / rate
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def copy(source: Path, path: Path, *, from_frame: int = 0, shift: int, **options: str) -> Path:
    """The packets from a keyframe on, moved by ``shift`` frames, as ``ffmpeg -c copy`` does."""
    with av.open(str(source)) as read, av.open(str(path), "w", options=options) as out:
        stream = out.add_stream_from_template(read.streams.video[0])
        tick = round(1 / RATE / read.streams.video[0].time_base)
        for packet in read.demux(video=0):
            if packet.pts is not None and packet.pts >= from_frame * tick:
                packet.pts, packet.dts = packet.pts + shift * tick, packet.dts + shift * tick
                packet.stream = stream
                out.mux(packet)
    return path


def cut_off(path: Path) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    return path


def num_of_cut_off(path: Path) -> int:
    """Frames that are there and lost; strict reading told of the end."""
    with open_video(path) as video, pytest.raises(VideoError, match=r"cut off|be decoded"):
        list(video.frames())
    with open_video(path, strict=False) as video:
        num_there = len(list(video.frames()))
    assert num_there > 0
    assert video.num_lost > 0
    return num_there + video.num_lost


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("plain") / "plain.mp4")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        ("avi", "libx264"),
        ("avi", "mpeg4"),
        ("asf", "libx264"),
        ("asf", "mpeg2video"),
        ("mxf", "libx264"),
    ],
)
def test_b_frames_stored_with_one_time_each_come_all_and_in_order(
    tmp_path: Path, suffix: str, codec: str
) -> None:
    """The time is that of the picture's place in the file, not of when it is shown."""
    path = encode(tmp_path / f"b.{suffix}", codec=codec, rate=Fraction(25))
    with open_video(path) as video:
        frames = list(video.frames())
        asked = [59, 4, 3, 31, 0]
        found = video.frames_at(asked)
    assert [frame.index for frame in frames] == list(range(NUM_FRAMES))
    assert [frame.time_s for frame in frames] == [i / 25 for i in range(NUM_FRAMES)]
    assert are_frames(frames)
    assert [frame.index for frame in found] == asked
    assert all(np.array_equal(frames[f.index].image, f.image) for f in found)


def test_avi_that_repeats_pictures_keeps_their_times(tmp_path: Path) -> None:
    """20 places a second, every second one empty: ``ffmpeg -c copy`` writes it from an mp4."""
    with open_video(encode(tmp_path / "b.avi", rate=Fraction(20), every=2)) as video:
        times = [frame.time_s for frame in video.frames()]
    assert times == [i / 10 for i in range(NUM_FRAMES)]


def test_avi_with_b_frames_that_is_cut_off_is_told(tmp_path: Path) -> None:
    assert num_of_cut_off(cut_off(encode(tmp_path / "b.avi"))) == NUM_FRAMES


def test_a_picture_that_the_decoder_made_up_in_parts_is_damage(tmp_path: Path) -> None:
    """It comes without an error; only a mark at it tells."""
    path = encode(tmp_path / "b.mp4", codec="mpeg4")
    with av.open(str(path)) as file:
        packet = [packet for packet in file.demux(video=0) if packet.size][20]
    data = bytearray(path.read_bytes())
    middle, end = packet.pos + packet.size // 2, packet.pos + packet.size
    data[middle:end] = np.random.default_rng(0).bytes(end - middle)
    path.write_bytes(data)
    with open_video(path) as video, pytest.raises(VideoError, match=r"1 frame.*damaged"):
        list(video.frames())
    with open_video(path, strict=False) as video:
        there = {frame.index for frame in video.frames()}
        (lost,) = set(range(NUM_FRAMES)) - there
        assert video.num_lost == 1
        with pytest.raises(VideoError, match=f"frame {lost} cannot be decoded"):
            video.frame_at(lost)
        assert video.frame_at(lost + 1).index == lost + 1


def edited(plain: Path, path: Path) -> Path:
    """Begins between keyframes: the nine pictures before are stored, not shown."""
    return copy(plain, path, from_frame=24, shift=-33, movflags="faststart")


def leapt(plain: Path, path: Path) -> Path:
    """An edit list that leaves out the first half, in a file that stores it."""
    data = bytearray(copy(plain, path, shift=0, movflags="faststart").read_bytes())
    place = data.find(b"elst") + 12  # after tag, version, count: duration and begin of the edit
    begin = struct.unpack_from(">i", data, place + 4)[0]
    with av.open(str(path)) as file:
        ticks = round(3 / file.streams.video[0].time_base)
    scale = struct.unpack_from(">I", data, data.find(b"mvhd") + 16)[0]  # 1000, or another number
    struct.pack_into(">Ii", data, place, 3 * scale, begin + ticks)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("make", "num_shown"), [(edited, 27), (leapt, 30)])
def test_what_an_edit_list_hides_is_not_missing(
    plain: Path, tmp_path: Path, make: Callable[[Path, Path], Path], num_shown: int
) -> None:
    path = make(plain, tmp_path / "edit.mp4")
    with open_video(path) as video:
        frames = list(video.frames())
    assert are_frames(frames, NUM_FRAMES - num_shown)
    assert num_of_cut_off(cut_off(path)) == num_shown


@pytest.mark.parametrize("suffix", ["mkv", "flv"])
def test_frames_that_a_coarse_clock_puts_on_one_tick_keep_their_times(
    tmp_path: Path, suffix: str
) -> None:
    """These count in milliseconds; here are two frames in each."""
    with open_video(encode(tmp_path / f"fast.{suffix}", rate=Fraction(2000))) as video:
        frames = list(video.frames())
        found = video.frames_at([50, 3])
    times = np.array([frame.time_s for frame in frames])
    assert (np.diff(times) > 0).all()
    assert np.abs(times - times[0] - np.arange(NUM_FRAMES) / 2000).max() < 1e-3
    assert are_frames(frames)
    assert all(np.array_equal(frames[f.index].image, f.image) for f in found)


def test_a_program_stream_that_times_some_of_its_frames_starts_when_it_says(tmp_path: Path) -> None:
    path = encode(tmp_path / "b.mpg")
    with av.open(str(path)) as file:
        start_s = float(file.start_time / 1_000_000)
    with open_video(path) as video:
        frames = list(video.frames())
    assert are_frames(frames)
    assert start_s > 0.5
    assert [frame.time_s - start_s for frame in frames] == pytest.approx(
        [i / 10 for i in range(NUM_FRAMES)]
    )


@pytest.mark.parametrize(("suffix", "every"), [("asf", 33), ("mkv", 33), ("mkv", 4_000_000)])
def test_the_rate_is_that_of_the_frames_where_the_declared_one_is_another(
    tmp_path: Path, suffix: str, every: int
) -> None:
    """A clock of milliseconds, declared as a thousand frames a second: browsers record so."""
    path = encode(tmp_path / f"b.{suffix}", rate=Fraction(1000), every=every, jitter=1)
    with open_video(path) as video:
        assert video.info.rate == pytest.approx(1000 / every, rel=0.01)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts", "nut", "asf", "flv"])
@pytest.mark.parametrize("shift", [0, 143])
def test_duration_is_how_long_a_video_is_shown_wherever_it_starts(
    plain: Path, tmp_path: Path, suffix: str, shift: int
) -> None:
    path = copy(plain, tmp_path / f"late.{suffix}", shift=shift)
    with open_video(path) as video:
        assert video.info.duration_s == pytest.approx(6.0, abs=0.01)
        assert video.times_s[0] >= shift // 10


def test_a_duration_without_the_start_as_mkvmerge_writes_it_stays(
    plain: Path, tmp_path: Path
) -> None:
    path = copy(plain, tmp_path / "late.mkv", shift=143)
    data = path.read_bytes()
    ends, lasts = (b"\x44\x89\x88" + struct.pack(">d", ms) for ms in (20300, 6000))
    assert data.count(ends) == 1
    path.write_bytes(data.replace(ends, lasts))
    with open_video(path) as video:
        assert video.info.duration_s == 6.0
