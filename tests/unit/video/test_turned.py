"""A file says how its pictures are to be shown: turned, mirrored, or both, as `ffmpeg` does it."""

import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from vodkit.ground.errors import VideoError
from vodkit.video.reader import open_video

ONE = 1 << 16
QUARTERS = ((250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 250))
"""top left, top right, bottom left, bottom right"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plain") / "plain.mp4"
    picture = np.array(QUARTERS, np.uint8).reshape(2, 2, 3).repeat(24, 0).repeat(32, 1)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264rgb", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        stream.options = {"qp": "0"}
        for _ in range(3):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return path


def shown(plain: Path, path: Path, right: tuple[float, float], down: tuple[float, float]) -> Path:
    """The same, where a step to the right or down in the picture is one to there on the screen."""
    data = bytearray(plain.read_bytes())
    matrix = [*right, 0, *down, 0, 0, 0, 1 << 14]
    struct.pack_into(">9i", data, data.find(b"tkhd") + 44, *(int(x * ONE) for x in matrix))
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("right", "down", "become"),
    [
        ((1, 0), (0, 1), lambda x: x),
        ((0, 1), (-1, 0), lambda x: np.rot90(x, 3)),
        ((-1, 0), (0, -1), lambda x: np.rot90(x, 2)),
        ((0, -1), (1, 0), np.rot90),
        ((-1, 0), (0, 1), np.fliplr),
        ((1, 0), (0, -1), np.flipud),
        ((0, 1), (1, 0), lambda x: x.transpose(1, 0, 2)),
        ((0, -1), (-1, 0), lambda x: np.rot90(x.transpose(1, 0, 2), 2)),
        ((2, 0), (0, 1), lambda x: x),
    ],
)
def test_pictures_come_as_they_are_to_be_shown(
    plain: Path,
    tmp_path: Path,
    right: tuple[int, int],
    down: tuple[int, int],
    become: Callable[[np.ndarray], np.ndarray],
) -> None:
    with open_video(plain) as video:
        expected = become(video.frame_at(1).image)
    with open_video(shown(plain, tmp_path / "turned.mp4", right, down)) as video:
        frame = video.frame_at(1)
        height_px, width_px = expected.shape[:2]
        assert (frame.width_px, frame.height_px) == (width_px, height_px)
        assert (video.info.width_px, video.info.height_px) == (width_px, height_px)
        assert np.array_equal(frame.image, expected)
        small = video.frame_at(1, size_px=(width_px // 2, height_px // 2)).image
    corners = np.ix_((0, -1), (0, -1))
    assert np.abs(small[corners].astype(int) - expected[corners]).max() < 4


def test_a_slant_is_refused(plain: Path, tmp_path: Path) -> None:
    path = shown(plain, tmp_path / "slanted.mp4", (0.7071, 0.7071), (-0.7071, 0.7071))
    with pytest.raises(VideoError, match=r"slanted\.mp4: it is to be turned by -45 degrees"):
        open_video(path)
