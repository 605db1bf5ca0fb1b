"""Every real file against the programs ffprobe (when frames are shown) and ffmpeg (how they look).

Every frame's time is compared, and the first picture: upright, of the right size and colours.
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from vodkit.video.container import ContainerVideo
from vodkit.video.reader import open_video

SHARED = Path(__file__).parents[3] / "shared" / "data"
SUFFIXES = {".mp4", ".mov", ".mkv", ".avi", ".gif", ".webm", ".mpg"}
NO_VIDEO = {"audio_only.mp4", "empty.mp4", "truncated_nomoov.mp4"}
FILES = sorted(
    path for path in SHARED.rglob("*") if path.suffix in SUFFIXES and path.name not in NO_VIDEO
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FILES, reason="../shared/data is missing beside the checkout"),
    pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffmpeg is not installed"),
]
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


def program(name: str, *words: str) -> bytes:
    return subprocess.run([name, "-v", "error", *words], capture_output=True, check=False).stdout


def stream_number(video: ContainerVideo) -> int:
    decoding = video._open()
    number = decoding.stream.index
    decoding.close()
    return number


@every_file
def test_times_are_those_of_the_container(path: Path) -> None:
    with open_video(path, strict=False) as video:
        times = video.times_s
        asked = ("-select_streams", str(stream_number(video)))
    if not video._timeline.reliable:
        assert path.suffix == ".avi", "the one container here that stores no times"
        assert times == tuple(float(i / video.info.rate) for i in range(len(times)))
        return
    shown = ("-show_entries", "packet=pts_time,flags", "-of", "csv=p=0")
    lines = program("ffprobe", *asked, *shown, str(path)).decode().split()
    packets = [line.split(",") for line in lines]
    expected = sorted(float(time_s) for time_s, flags, *_ in packets if "D" not in flags)
    assert times == pytest.approx(expected, abs=1e-6)


@every_file
def test_the_first_picture_is_upright_and_of_the_right_colours(path: Path) -> None:
    with open_video(path, strict=False) as video:
        frame = next(video.frames())
        asked = ("-i", str(path), "-map", f"0:{stream_number(video)}", "-frames:v", "1")
    raw = program("ffmpeg", *asked, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    reference = np.frombuffer(raw, np.uint8).reshape(frame.height_px, frame.width_px, 3)
    difference = np.abs(frame.image.astype(int) - reference).mean()
    # Chroma is interpolated in more than one way. Another colour matrix or range: more than 5.
    assert difference < 3.5
