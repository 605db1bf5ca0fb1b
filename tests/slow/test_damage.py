"""Behind damage nothing is given out that is built on it, whichever way one comes to a frame."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vodkit.ground.errors import VideoError
from vodkit.video.reader import open_video

pytestmark = pytest.mark.slow
NUM_FRAMES = 48


def moving(path: Path, **options: str) -> Path:
    """A texture that moves, so that each picture is built on the one before."""
    texture = np.random.default_rng(0).integers(0, 255, (8, 40, 3), np.uint8)
    texture = texture.repeat(12, axis=0).repeat(12, axis=1)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.options = {
            "preset": "veryfast",
            "crf": "6",
            "g": "12",
            "keyint_min": "12",
            **options,
        }
        for shift in range(NUM_FRAMES):
            image = np.ascontiguousarray(texture[:, 5 * shift : 5 * shift + 128])
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode())
    return path


def damaged(path: Path, place: int) -> Path:
    """The packet at this place in the file is noise from its middle on."""
    with av.open(str(path)) as file:
        packet = [packet for packet in file.demux(video=0) if packet.size][place]
    data = bytearray(path.read_bytes())
    middle, end = packet.pos + packet.size // 4, packet.pos + packet.size
    data[middle:end] = np.random.default_rng(0).bytes(end - middle)
    path.write_bytes(data)
    return path


def in_order(path: Path, **options: bool) -> dict[int, bytes]:
    with open_video(path, strict=False, **options) as video:
        return {frame.index: frame.image.tobytes() for frame in video.frames()}


def at_random(path: Path) -> dict[int, bytes]:
    found = {}
    with open_video(path) as video:
        for index in np.random.default_rng(0).permutation(NUM_FRAMES).tolist():
            try:
                found[index] = video.frame_at(index).image.tobytes()
            except VideoError:
                continue
    return found


OPEN = {"bf": "2", "x264-params": "open-gop=1:scenecut=0:ref=3"}


@pytest.mark.parametrize("place", [12, 22])
@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "2"}, OPEN], ids=["p", "closed", "open"])
def test_what_comes_of_a_damaged_file_is_what_the_whole_one_shows(
    tmp_path: Path, options: dict[str, str], place: int
) -> None:
    path = moving(tmp_path / "a.mp4", **options)
    whole = in_order(path)
    there = in_order(damaged(path, place))
    assert 0 < NUM_FRAMES - len(there) <= 24
    assert there == {index: whole[index] for index in there}
    assert in_order(path, one_thread=True) == there
    assert at_random(path) == there
    with open_video(path) as video, pytest.raises(VideoError, match="cannot be decoded") as caught:
        list(video.frames())
    lost = min({*whole} - {*there})
    assert caught.value.time_s == lost / 25


def test_pictures_that_are_made_new_bit_by_bit_are_never_half_new(tmp_path: Path) -> None:
    """Marks in such a stream pass for keyframes; behind a seek to one came what is half nothing."""
    path = moving(tmp_path / "a.mp4", bf="0", **{"x264-params": "intra-refresh=1"})
    whole = in_order(path)
    assert len(whole) == NUM_FRAMES
    assert at_random(path) == whole
    there = in_order(damaged(path, 5))
    assert there == {index: whole[index] for index in there} == at_random(path)
    assert 0 < NUM_FRAMES - len(there) < 40
