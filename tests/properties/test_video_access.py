"""Laws of reading: any way to a frame gives that frame; hostile bytes give only our errors."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vodkit.ground.errors import VideoError
from vodkit.video.clips import windows
from vodkit.video.reader import open_video

NUM_FRAMES = 40


def media(container: str, codec: str) -> bytes:
    """Noise that moves, in short runs of pictures; no picture is like another."""
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=Fraction(30000, 1001))
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.gop_size, stream.max_b_frames = 8, 2
        for _ in range(NUM_FRAMES):
            picture = rng.integers(0, 255, (32, 32, 3), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return file.getvalue()


MP4 = media("mp4", "libx264")
FILES = {"mp4": MP4, "mkv": media("matroska", "libx264"), "avi": media("avi", "mpeg4")}
indices = st.lists(st.integers(0, NUM_FRAMES - 1), min_size=1, max_size=6)


@pytest.fixture(scope="module", params=sorted(FILES))
def video_and_pictures(request):
    with open_video(io.BytesIO(FILES[request.param])) as video:
        yield video, [frame.image for frame in video.frames()]


@pytest.mark.slow
@given(asked=indices)
@settings(max_examples=15, deadline=None)
def test_any_order_gives_the_pictures_of_sequential_reading(video_and_pictures, asked) -> None:
    video, pictures = video_and_pictures
    for index, frame in zip(asked, video.frames_at(asked), strict=True):
        assert frame.index == index
        assert np.array_equal(frame.image, pictures[index])


@pytest.mark.slow
@given(start=st.integers(0, NUM_FRAMES + 5), every=st.integers(1, NUM_FRAMES))
@settings(max_examples=15, deadline=None)
def test_start_and_every_are_a_slice(video_and_pictures, start, every) -> None:
    video, pictures = video_and_pictures
    frames = list(video.frames(start=start, every=every))
    assert [frame.index for frame in frames] == list(range(start, NUM_FRAMES, every))
    assert all(np.array_equal(frame.image, pictures[frame.index]) for frame in frames)


@pytest.mark.slow
@given(data=st.data(), name=st.sampled_from(sorted(FILES)))
@settings(max_examples=40, deadline=None)
def test_hostile_bytes_give_frames_or_our_error(data, name) -> None:
    content = bytearray(FILES[name])
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=20)):
        content[place] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(len(content) // 2, len(content)))]
    for strict in (True, False):
        try:
            with open_video(io.BytesIO(bytes(content)), strict=strict) as video:
                read = [frame.index for frame in video.frames()]
                assert read == sorted(set(read))
                if read:
                    video.frame_at(read[-1])
        except VideoError as error:
            assert "file object" in str(error)  # noqa: PT017


@given(
    video_frames=st.integers(1, 200),
    num_frames=st.integers(1, 20),
    stride=st.integers(1, 5),
    data=st.data(),
)
@settings(max_examples=100)
def test_windows_cover_a_video_and_stay_within_it(video_frames, num_frames, stride, data) -> None:
    overlap = data.draw(st.integers(0, num_frames - 1))
    clips = list(windows(video_frames, num_frames=num_frames, stride=stride, overlap=overlap))
    assert all(len(clip) == num_frames and clip == sorted(clip) for clip in clips)
    assert all(0 <= index < video_frames for clip in clips for index in clip)
    assert clips[0][0] == 0
    if stride == 1:
        assert {index for clip in clips for index in clip} == set(range(video_frames))
