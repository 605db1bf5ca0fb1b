"""Files whose clock restarts: all frames come, in the order of their parts, under one clock."""

import shutil
import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vodkit.ground.errors import VideoError
from vodkit.video.fingerprint import digest
from vodkit.video.reader import open_video
from vodkit.video.restarts import Packet, continued
from vodkit.video.writer import VideoWriter

NUM_FRAMES = 30
"""of a part"""
CODECS = {"ogg": "libvpx", "webm": "libvpx", "mpg": "mpeg2video"}


def grey(index: int) -> int:
    return 20 + index * 37 % 200


def ffmpeg(*words: str) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    subprocess.run(["ffmpeg", "-y", "-v", "error", *words], check=True)


def part(path: Path, *, first: int = 0, width: int = 48, offset_s: float = 0, b: int = 2) -> Path:
    """Greys from ``grey(first)`` on, on a clock that starts at ``offset_s``."""
    if path.suffix == ".ogv":  # PyAV has no encoder for Theora
        copy = part(path.with_suffix(".mkv"), first=first)
        ffmpeg("-i", str(copy), "-c:v", "libtheora", "-q:v", "9", str(path))
        return path
    random = np.random.default_rng(first)
    options = {"mp4": {"movflags": "frag_keyframe+empty_moov+default_base_moof"}}
    options |= {"ts": {"output_ts_offset": str(offset_s)}}
    wanted = options.get(path.suffix[1:], {})
    with av.open(str(path), "w", options=wanted) as out:
        stream = out.add_stream(CODECS.get(path.suffix[1:], "libx264"), rate=25)
        stream.width, stream.height, stream.pix_fmt = width, 32, "yuv420p"
        stream.gop_size = 12
        if CODECS.get(path.suffix[1:]) != "libvpx":
            stream.max_b_frames = b
        if path.suffix[1:] not in CODECS:
            stream.options = {"b_strategy": "0", "sc_threshold": "0", "crf": "10"}
        for index in range(first, first + NUM_FRAMES):
            image = grey(index) + random.integers(-9, 10, (32, width, 3))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image.astype(np.uint8))))
        out.mux(stream.encode())
    return path


def joined(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(one.read_bytes() for one in parts))
    return path


def require_all(path: Path, *, num_parts: int, duration_s: float) -> None:
    """Every frame comes, sequentially and by index, on an increasing clock; the restarts show."""
    count = num_parts * NUM_FRAMES
    with open_video(path) as video:
        frames = list(video.frames())
        times = [frame.time_s for frame in frames]
        assert [frame.index for frame in frames] == list(range(count))
        assert [float(f.image.mean()) for f in frames] == pytest.approx(
            [grey(index) for index in range(count)], abs=6
        )
        assert all(b > a for a, b in pairwise(times))
        assert video.info.num_frames == count
        assert video.info.duration_s == pytest.approx(duration_s, abs=1e-3)
        assert video.info.rate == 25
        restarts = ", ".join(str(i * NUM_FRAMES) for i in range(1, num_parts))
        plural = "s" if num_parts > 2 else ""
        assert video.notes == (f"the clock restarts at frame{plural} {restarts}; continued",)
        for index in (count - 1, NUM_FRAMES, NUM_FRAMES - 1, NUM_FRAMES + 7, 3):
            assert np.array_equal(video.frame_at(index).image, frames[index].image)
        at_joint = (times[NUM_FRAMES] + times[NUM_FRAMES + 1]) / 2
        assert video.frame_at_time(at_joint).index == NUM_FRAMES
        assert [f.index for f in video.frames(start=NUM_FRAMES + 5, every=9)] == list(
            range(NUM_FRAMES + 5, count, 9)
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "count"),
    [("ts", 3), ("mp4", 3), ("ogv", 2), ("ogg", 3), ("mpg", 3), ("mkv", 2), ("webm", 2)],
)
def test_joined_files_that_each_begin_at_zero(tmp_path: Path, suffix: str, count: int) -> None:
    parts = [part(tmp_path / f"{i}.{suffix}", first=i * NUM_FRAMES) for i in range(count)]
    path = joined(tmp_path / f"joined.{suffix}", *parts)
    require_all(path, num_parts=count, duration_s=count * NUM_FRAMES / 25)


@pytest.mark.parametrize(("suffix", "num_read"), [("flv", 1), ("mkv", 2), ("webm", 2)])
def test_recordings_in_one_file_that_ffmpeg_does_not_read_are_an_error(
    tmp_path: Path, suffix: str, num_read: int
) -> None:
    """The demuxers of these stop behind the first file, or the second."""
    parts = [part(tmp_path / f"{i}.{suffix}", first=i * NUM_FRAMES) for i in range(3)]
    path = joined(tmp_path / f"joined.{suffix}", *parts)
    place = sum(one.stat().st_size for one in parts[:num_read])
    message = f"another recording begins at byte {place} of the file"
    with open_video(path) as video, pytest.raises(VideoError, match=message):
        list(video.frames())
    with open_video(path, strict=False) as video:
        assert len(list(video.frames())) == num_read * NUM_FRAMES
        assert message in video.notes[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("offset_s", "why"),
    [
        (3600, "leaps ahead"),
        (0.6, "goes back into the first part"),
        (NUM_FRAMES / 25 - 0.08, "goes back by two frames"),
        (95443.0, "wraps its 33 bits in the second part"),
    ],
)
def test_a_transport_stream_equals_ffmpegs_transcode(
    tmp_path: Path, offset_s: float, why: str
) -> None:
    del why
    first = part(tmp_path / "0.ts")
    second = part(tmp_path / "1.ts", first=NUM_FRAMES, offset_s=offset_s)
    path = joined(tmp_path / "joined.ts", first, second)
    require_all(path, num_parts=2, duration_s=2 * NUM_FRAMES / 25)
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    copy = tmp_path / "copy.mkv"
    words = ["-y", "-v", "error", "-i", str(path), "-fps_mode", "vfr", "-c:v", "ffv1", str(copy)]
    subprocess.run(["ffmpeg", *words], check=True)
    with open_video(copy) as its, open_video(path) as ours:
        assert its.info.num_frames == ours.info.num_frames
        assert its.info.duration_s == pytest.approx(ours.info.duration_s, abs=2e-3)


def test_a_gap_of_some_seconds_is_kept(tmp_path: Path) -> None:
    """Frames were lost in transmission; their time passed all the same."""
    second = part(tmp_path / "1.ts", first=NUM_FRAMES, offset_s=5)
    path = joined(tmp_path / "joined.ts", part(tmp_path / "0.ts"), second)
    with open_video(path) as video:
        times = [frame.time_s for frame in video.frames()]
        assert video.notes == ()
    assert times[-1] - times[0] == pytest.approx(5 + (NUM_FRAMES - 1) / 25, abs=0.1)


def test_a_playlist_with_discontinuities(tmp_path: Path) -> None:
    """Its fingerprint covers the pieces."""
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2"]
    for index in range(3):
        name = part(tmp_path / f"{index}.ts", first=index * NUM_FRAMES).name
        lines += ["#EXT-X-DISCONTINUITY"] * (index > 0) + ["#EXTINF:1.2,", name]
    path = tmp_path / "list.m3u8"
    path.write_text("\n".join([*lines, "#EXT-X-ENDLIST"]))
    require_all(path, num_parts=3, duration_s=3 * NUM_FRAMES / 25)
    before = digest(path)
    part(tmp_path / "1.ts", first=1)
    assert digest(path) != before


def test_a_part_of_another_size_is_scaled_to_the_first(tmp_path: Path) -> None:
    parts = part(tmp_path / "0.ts"), part(tmp_path / "1.ts", first=NUM_FRAMES, width=96)
    with open_video(joined(tmp_path / "joined.ts", *parts)) as video:
        frames = list(video.frames())
        notes = video.notes
    assert len(frames) == 2 * NUM_FRAMES
    assert {(f.width_px, f.height_px, f.image.shape) for f in frames} == {(48, 32, (32, 48, 3))}
    assert notes[-1] == (
        f"pictures of 96x32 px (the first is frame {NUM_FRAMES}) are scaled to 48x32, "
        "as the first picture is"
    )


def test_damage_in_one_part_leaves_the_others_and_their_numbers(tmp_path: Path) -> None:
    parts = [part(tmp_path / f"{i}.ts", first=i * NUM_FRAMES) for i in range(3)]
    data = bytearray(parts[1].read_bytes())
    # From behind the first pictures to the end of this part: whole packets of another stream.
    for place in range(188 * 8, len(data), 188):
        data[place + 1 : place + 3] = b"\x1f\xff"
    parts[1].write_bytes(data)
    with open_video(joined(tmp_path / "joined.ts", *parts), strict=False) as video:
        frames = list(video.frames())
    numbers = [frame.index for frame in frames]
    last = [round(float(frame.image.mean())) for frame in frames[-10:]]
    assert numbers == sorted(set(numbers))
    assert last == pytest.approx([grey(2 * NUM_FRAMES + i) for i in range(20, 30)], abs=6)


def test_the_writer_takes_the_frames_of_a_clock_that_stands_still(tmp_path: Path) -> None:
    """Frames of one tick are spread over it, closer than the clock of an mp4 can express."""
    random = np.random.default_rng(0)
    times = [0.0, 0.04, 0.04 + 1e-9, 0.04 + 2e-9, 0.04 + 3e-9, 0.04 + 1.5e-5, 0.12]
    with VideoWriter(tmp_path / "a.mp4", width_px=48, height_px=32, rate=Fraction(25)) as out:
        for time_s in times:
            out.write(random.integers(0, 255, (32, 48, 3)).astype(np.uint8), time_s)
    with open_video(tmp_path / "a.mp4") as video:
        found = [frame.time_s for frame in video.frames()]
    assert found == pytest.approx(times, abs=5 / 90000)
    assert all(b > a for a, b in pairwise(found))


@given(st.lists(st.tuples(st.integers(0, 2**33), st.integers(20, 40)), min_size=1, max_size=5))
def test_whatever_the_clocks_all_frames_keep_their_order_and_steps(
    clocks: list[tuple[int, int]],
) -> None:
    """Each is where a part's clock begins, and how many frames it has."""
    random = np.random.default_rng(len(clocks))
    parts = [(start, random.integers(1, 9000, count).tolist()) for start, count in clocks]
    packets: list[Packet] = []
    for start, steps in parts:
        pts = [start + sum(steps[:i]) for i in range(len(steps))]
        for i in range(0, len(pts), 2):  # decoded in pairs, the second of each first
            pair = pts[i : i + 2][::-1] if i else pts[i : i + 2]
            packets += [Packet(one, None, i == 0 and one == pts[0], 0) for one in pair]
    found = continued(packets, Fraction(1, 90000), "mpegts")
    assert sorted(found.place_of) == list(range(len(packets)))
    assert all(b > a for a, b in pairwise(found.pts))
    places = 0
    for (_, steps), at in zip(
        parts, np.cumsum([0, *(len(steps) for _, steps in parts)])[:-1], strict=True
    ):
        del places
        places = int(at)
        inside = found.pts[places : places + len(steps)]
        assert [b - a for a, b in pairwise(inside)] == steps[:-1]
    assert set(found.restarts) <= {int(at) for at in np.cumsum([len(steps) for _, steps in parts])}


def test_an_mp4_without_its_index_says_how_to_recover_it(tmp_path: Path) -> None:
    """As a camera leaves it that lost its power."""
    path = tmp_path / "a.mp4"
    with VideoWriter(path, width_px=48, height_px=32, rate=Fraction(25)) as out:
        for index in range(10):
            out.write(np.full((32, 48, 3), grey(index), np.uint8), index / 25)
    data = path.read_bytes()
    moov, mdat = data.index(b"moov") - 4, data.index(b"mdat") - 4
    path.write_bytes(data[:moov] + data[mdat:] if moov < mdat else data[:moov])
    with pytest.raises(VideoError, match=r"index \(the moov box\) is missing.*untrunc"):
        open_video(path)
    with path.open("rb") as file, pytest.raises(VideoError, match="moov"):
        open_video(file)
