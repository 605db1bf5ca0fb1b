"""Every file of the zoo reads as its README says, and random access equals sequential access."""

import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest

from vodkit.ground.errors import VideoError
from vodkit.video.reader import open_video

SHARED = Path(__file__).parent.parent.parent.parent / "shared" / "data"
SUFFIXES = {".mp4", ".mov", ".mkv", ".avi", ".gif", ".webm", ".mpg"}
FILES = sorted(p for p in SHARED.rglob("*") if p.suffix in SUFFIXES)
BROKEN = {
    "audio_only.mp4": "has no video, only audio",
    "empty.mp4": "cannot be opened",
    "truncated_nomoov.mp4": "cannot be opened",
}
# name: frames that can be decoded, frames that are lost
DAMAGED = {
    "truncated.avi": (10, 29),
    "truncated_faststart.mp4": (32, 18),
    "corrupted.mp4": (29, 21),
}
UPRIGHT = {
    "video_0.mov": (568, 320),
    "video_90.mov": (320, 568),
    "video_180.mov": (568, 320),
    "video_270.mov": (320, 568),
    "rotated90.mp4": (432, 768),
}
FAST = 150_000  # bytes; larger files are for the slow tests

pytestmark = pytest.mark.skipif(not FILES, reason="../shared/data is missing beside the checkout")


def params() -> list[object]:
    marks = [pytest.mark.slow, pytest.mark.timeout(300)]
    return [
        pytest.param(p, id=p.name, marks=marks if p.stat().st_size > FAST else ())
        for p in FILES
        if p.name not in BROKEN
    ]


def digest(image: np.ndarray) -> int:
    return zlib.adler32(image.tobytes())


@pytest.mark.slow
@pytest.mark.parametrize("path", params())
def test_random_access_equals_sequential(path: Path) -> None:
    with open_video(path, strict=False) as video:
        frames = [(f.index, f.time_s, digest(f.image)) for f in video.frames()]
        lost = video.num_lost
        assert (len(frames), lost) == DAMAGED.get(path.name, (video.info.num_frames, 0))
        times = [time_s for _, time_s, _ in frames]
        assert times == sorted(set(times)), "time only goes forward"
        assert frames[0][2] == digest(video.frame_at(frames[0][0]).image)
        order = np.random.default_rng(1).permutation(len(frames))[:8]
        for position in order:
            index, time_s, content = frames[position]
            frame = video.frame_at(index)
            assert (frame.index, frame.time_s) == (index, time_s)
            assert digest(frame.image) == content
        width_px, height_px = video.info.width_px, video.info.height_px
        assert frame.image.shape == (height_px, width_px, 3)
        if path.name in UPRIGHT:
            assert (width_px, height_px) == UPRIGHT[path.name]


@pytest.mark.parametrize("name", sorted(DAMAGED))
def test_damage_is_loud_after_what_could_be_read(name: str) -> None:
    path = next(p for p in FILES if p.name == name)
    got: list[int] = []
    with open_video(path) as video, pytest.raises(VideoError, match=name) as caught:  # noqa: PT012
        for frame in video.frames():
            got.append(frame.index)  # noqa: PERF401 - an error must not lose them
    assert got == list(range(len(got)))
    assert len(got) >= 10
    assert caught.value.time_s is not None


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_files_without_pictures_say_why(name: str, shared_data: Path) -> None:
    path = shared_data / "videos" / "made_odd" / name
    with pytest.raises(VideoError, match=BROKEN[name]):
        open_video(path)


def test_variable_rate_and_start_offset_are_the_containers(shared_data: Path) -> None:
    odd = shared_data / "videos" / "made_odd"
    with open_video(odd / "vfr.mp4") as video:
        steps = np.diff([frame.time_s for frame in video.frames()])
        assert steps.min() < 0.6 * steps.max()
    with open_video(odd / "nonzero_start.mkv") as video:
        assert next(video.frames()).time_s == pytest.approx(14.0)


def ffmpeg_runs() -> bool:
    try:
        subprocess.run(["ffmpeg", "-version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(not ffmpeg_runs(), reason="the ffmpeg program is not installed")
@pytest.mark.parametrize(
    "name", [*UPRIGHT, "bt709_full_range.mp4", "odd_427x241_yuv444.mp4", "hevc10.mp4", "vfr.mp4"]
)
def test_pictures_and_times_equal_those_of_ffmpeg(name: str) -> None:
    path = next(p for p in FILES if p.name == name)
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-fps_mode", "passthrough"]
    command += ["-frames:v", "3", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    probe = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "frame=pts_time"]
    probed = subprocess.run(
        [*probe, "-of", "csv=p=0", str(path)], capture_output=True, check=True, text=True
    ).stdout.split()
    with open_video(path) as video:
        frames = video.frames_at([0, 1, 2])
        height_px, width_px = video.info.height_px, video.info.width_px
    pictures = np.frombuffer(raw, np.uint8).reshape(3, height_px, width_px, 3)
    for frame, picture, time in zip(frames, pictures, probed, strict=False):
        assert frame.time_s == pytest.approx(float(time.strip(",")), abs=1e-5)
        difference = np.abs(frame.image.astype(int) - picture)
        assert difference.mean() < 1.0, "rounding of two builds of the same converter"
        assert np.percentile(difference, 99) <= 6
