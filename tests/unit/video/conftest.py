"""Videos whose frames say who they are: frame i is a flat grey of value ``grey(i)``."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

NUM_FRAMES = 60
SIZE_PX = (48, 32)


def grey(index: int) -> int:
    """Far enough apart that no lossy codec can mistake one frame for its neighbour."""
    return 16 + index * 37 % 220


def grey_image(index: int) -> np.ndarray:
    return np.full((SIZE_PX[1], SIZE_PX[0], 3), grey(index), np.uint8)


def make_grey_video(path: Path, *, gop: int = 12, b_frames: int = 2) -> Path:
    """H.264 with short runs of pictures and B-frames: seeking has something to get wrong."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=Fraction(30000, 1001))
        stream.width, stream.height = SIZE_PX
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "10", "g": str(gop), "bf": str(b_frames), "preset": "veryfast"}
        for index in range(NUM_FRAMES):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(grey_image(index), format="rgb24")))
        out.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def grey_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_grey_video(tmp_path_factory.mktemp("grey") / "grey.mp4")


@pytest.fixture(scope="session")
def grey_level():
    """``grey`` for tests that compare."""
    return grey
