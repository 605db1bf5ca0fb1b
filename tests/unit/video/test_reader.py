"""Every kind of source gives the same frames; every kind of bad input gives one clear error."""

import io
import pickle
import struct
import zipfile
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import fsspec
import numpy as np
import pytest
from PIL import Image

from vodkit.ground.errors import InputError, VideoError
from vodkit.video.limits import Limits
from vodkit.video.reader import open_video
from vodkit.video.writer import VideoWriter


def is_frame(image: np.ndarray, level: int) -> bool:
    return abs(float(image.mean()) - level) < 3


def test_frames_carry_index_container_time_and_their_own_picture(grey_video, grey_level) -> None:
    with open_video(grey_video) as video:
        frames = list(video.frames())
    assert video.info.rate == Fraction(30000, 1001)
    assert (
        [frame.index for frame in frames] == list(range(60)) == list(range(video.info.num_frames))
    )
    assert [frame.time_s for frame in frames] == [
        float(i * Fraction(1001, 30000)) for i in range(60)
    ]
    assert all(is_frame(frame.image, grey_level(frame.index)) for frame in frames)


def test_random_access_gives_the_pictures_of_sequential_reading(grey_video) -> None:
    with open_video(grey_video) as video:
        frames = list(video.frames())
        asked = [59, 0, 13, 12, 11, 13, 30, 2, 58, 24]
        found = video.frames_at(asked)
        assert [frame.index for frame in found] == asked
        for frame in found:
            assert frame.time_s == frames[frame.index].time_s
            assert np.array_equal(frame.image, frames[frame.index].image)
            assert np.array_equal(video.frame_at(frame.index).image, frame.image)


def test_start_and_every_choose_frames_without_renumbering_them(grey_video, grey_level) -> None:
    with open_video(grey_video) as video:
        chosen = list(video.frames(start=25, every=7))
    assert [frame.index for frame in chosen] == [25, 32, 39, 46, 53]
    assert all(is_frame(frame.image, grey_level(frame.index)) for frame in chosen)


def test_frame_at_time_is_what_a_player_shows(grey_video) -> None:
    with open_video(grey_video) as video:
        step_s = 1001 / 30000
        assert [
            video.frame_at_time(t).index for t in (0, step_s - 1e-4, step_s, 59.5 * step_s)
        ] == [
            0,
            0,
            1,
            59,
        ]
        with pytest.raises(VideoError, match=r"allowed: 0\.000 to"):
            video.frame_at_time(-0.5)
        with pytest.raises(VideoError, match=r"asked for 9\.000 s"):
            video.frame_at_time(9.0)


def test_passes_through_one_video_do_not_disturb_each_other(grey_video) -> None:
    for source in (grey_video, io.BytesIO(grey_video.read_bytes())):
        with open_video(source) as video:
            for a, b in zip(video.frames(), video.frames(start=30), strict=False):
                assert video.frame_at(7).index == 7
                assert (a.index + 30, True) == (b.index, is_frame(b.image, 16 + b.index * 37 % 220))


def test_size_px_decodes_small_and_keeps_the_source_size(grey_video, grey_level) -> None:
    with open_video(grey_video) as video:
        for frame in (*video.frames(size_px=(16, 24)), video.frame_at(5, size_px=(16, 24))):
            assert frame.image.shape == (24, 16, 3)
            assert (frame.width_px, frame.height_px) == (48, 32)
            assert is_frame(frame.image, grey_level(frame.index))


def test_a_file_a_file_object_and_remote_files_are_one(grey_video, tmp_path) -> None:
    data = grey_video.read_bytes()
    with fsspec.open("memory://clips/grey.mp4", "wb") as file:
        file.write(data)
    with zipfile.ZipFile(tmp_path / "clips.zip", "w") as archive:
        archive.writestr("grey.mp4", data)
    sources = [
        grey_video,
        str(grey_video),
        f"file://{grey_video}",
        io.BytesIO(data),
        "memory://clips/grey.mp4",
        f"zip://grey.mp4::{tmp_path / 'clips.zip'}",
    ]
    pictures = []
    for source in sources:
        with open_video(source) as video:
            frames = [*video.frames(), *video.frames_at([40, 3])]
        pictures.append(np.stack([frame.image for frame in frames]))
    assert all(np.array_equal(pictures[0], other) for other in pictures[1:])


def test_a_video_travels_to_another_process_before_and_after_use(grey_video) -> None:
    with open_video(grey_video) as video:
        fresh = pickle.loads(pickle.dumps(video))
        before = video.frame_at(20)
        used = pickle.loads(pickle.dumps(video))
    for copy in (fresh, used):
        with copy:
            assert np.array_equal(copy.frame_at(20).image, before.image)


def test_a_colon_in_a_name_makes_no_protocol_of_it(grey_video, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("2024-01-01T12:30:00.mp4", "http:clip.mp4"):
        Path(name).write_bytes(grey_video.read_bytes())
        with open_video(name) as video:
            assert video.frame_at(3).index == 3
            picture = video.frame_at(0).image
        with VideoWriter(
            Path(f"out:{name}"), width_px=48, height_px=32, rate=Fraction(25), audio_from=Path(name)
        ) as out:
            out.write(picture, 0.0)
        with open_video(f"out:{name}") as video:
            assert video.info.num_frames == 1


def test_folder_and_glob_come_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 9, 100, 1):
        cv2.imwrite(str(tmp_path / f"f{number}.png"), np.full((8, 12, 3), number, np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    for source in (tmp_path, tmp_path / "f*"):
        with open_video(source, picture_rate=Fraction(10)) as video:
            frames = list(video.frames())
            assert [int(frame.image.mean()) for frame in frames] == [1, 9, 10, 100]
            assert [frame.time_s for frame in frames] == [0.0, 0.1, 0.2, 0.3]
            assert video.info.num_frames == 4
            assert video.frame_at_time(0.25).index == 2
            with pytest.raises(VideoError, match="frame -1; allowed: 0 to 3"):
                video.frame_at_time(-0.01)


def test_pictures_of_every_depth_come_as_rgb(tmp_path: Path) -> None:
    rgba = np.zeros((6, 7, 4), np.uint8)
    rgba[:] = (30, 20, 10, 128)  # BGRA, as OpenCV writes
    for name, image in {
        "alpha.png": rgba,
        "grey.png": np.full((6, 7), 20, np.uint8),
        "deep.png": np.full((6, 7, 3), 20 * 257, np.uint16),
    }.items():
        cv2.imwrite(str(tmp_path / name), image)
    with open_video(tmp_path) as video:
        assert [tuple(frame.image[0, 0]) for frame in video.frames()] == [
            (10, 20, 30),
            (20, 20, 20),
            (20, 20, 20),
        ]


def test_a_broken_picture_is_an_error_or_counted(tmp_path: Path) -> None:
    for name in ("a.png", "c.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "b.png").write_bytes(b"\x89PNG but not really")
    with open_video(tmp_path) as video, pytest.raises(VideoError, match=r"b\.png"):
        list(video.frames())
    with open_video(tmp_path, strict=False) as video:
        assert [frame.index for frame in video.frames()] == [0, 2]
        assert video.num_lost == 1


@pytest.mark.parametrize("name", ["stack.tif", "moving.webp", "moving.png"])
def test_a_file_of_several_pictures_does_not_pass_for_its_first(tmp_path: Path, name: str) -> None:
    first, second = (Image.new("RGB", (16, 12), colour) for colour in ("red", "blue"))
    first.save(tmp_path / name, save_all=True, append_images=[second])
    for source in (tmp_path / name, tmp_path):
        with pytest.raises(VideoError, match=f"{name}: holds several pictures; allowed: one"):
            open_video(source)
    first.save(tmp_path / "view.tif", save_all=True, append_images=[second.resize((4, 3))])
    with open_video(tmp_path / "view.tif") as video:
        assert video.frame_at(0).image[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.mp4", None, "no such file or folder"),
        ("empty.mp4", b"", r"cannot be opened: the file is empty \(0 bytes\)"),
        ("text.mp4", b"this is no video\n" * 50, "cannot be opened"),
        ("*.png", None, "no pictures here; allowed: .bmp"),
    ],
)
def test_what_is_no_video_is_named(tmp_path: Path, name, content, message) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoError, match=message) as caught:
        open_video(path)
    assert str(path) in str(caught.value)


def test_a_folder_without_pictures_and_unknown_urls_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "clips.zip", "w"):
        missing = f"zip://grey.mp4::{tmp_path / 'clips.zip'}"
    for source in (tmp_path, "nosuchscheme://x/y.mp4", "memory://not/there.mp4", missing):
        with pytest.raises(VideoError, match=str(source)):
            open_video(source)


def test_sound_alone_and_a_cover_picture_are_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
        silence.sample_rate = 8000
        out.mux(stream.encode(silence))
    with pytest.raises(VideoError, match="has no video, only audio"):
        open_video(path)


@pytest.mark.parametrize("asked", [-1, 60])
def test_an_index_beyond_the_video_is_an_error(grey_video, asked: int) -> None:
    with open_video(grey_video) as video, pytest.raises(VideoError, match="allowed: 0 to 59"):
        video.frame_at(asked)


def test_senseless_steps_are_errors(grey_video, tmp_path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4, 3), np.uint8))
    for source in (grey_video, tmp_path):
        with open_video(source) as video:
            for words in ({"start": -1}, {"every": 0}):
                with pytest.raises(InputError, match="allowed: from 0, from 1"):
                    next(video.frames(**words))


def test_a_picture_above_the_limit_is_refused_before_it_is_decoded(grey_video) -> None:
    limits = Limits(max_pixels=1000)
    with pytest.raises(VideoError, match=r"\(48, 32\) px; allowed: up to 1000 pixels"):
        open_video(grey_video, limits=limits)


@pytest.mark.parametrize(
    ("size_px", "allowed"), [((60_000, 60_000), "pixels"), ((1_000_000, 2), "a side")]
)
def test_a_small_picture_file_that_would_fill_the_memory_is_refused(
    tmp_path: Path, size_px: tuple[int, int], allowed: str
) -> None:
    """A decompression bomb: its header alone says enough."""
    head = b"IHDR" + struct.pack(">IIBBBBB", *size_px, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    with pytest.raises(VideoError, match=rf"bomb\.png.*allowed: up to \d+ {allowed}"):
        open_video(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words", "side_px"),
    [
        ("bomb.tiff", {"compression": "tiff_deflate"}, 9000),
        ("bomb.tiff", {"compression": "tiff_deflate"}, 16000),
        ("bomb.webp", {"lossless": True, "method": 0}, 9000),
    ],
)
def test_so_is_one_of_another_kind(
    tmp_path: Path, name: str, words: dict[str, Any], side_px: int
) -> None:
    """9000 is above vodkit's limit only, 16000 above Pillow's, too. No pixel is decoded."""
    small = tmp_path / f"small{Path(name).suffix}"
    Image.new("L", (8, 8)).save(small, **words)
    open_video(small).close()
    Image.new("L", (side_px, side_px)).save(tmp_path / name, **words)
    with pytest.raises(VideoError, match=r"allowed: up to \d+ pixels"):
        open_video(tmp_path / name)


def test_a_playlist_is_read_if_it_has_an_end(grey_video, grey_level, tmp_path: Path) -> None:
    """One without was waited on for ten minutes, during which Ctrl-C did nothing."""
    path = tmp_path / "list.m3u8"
    with av.open(str(grey_video)) as source, av.open(str(path), "w", format="hls") as out:
        copy = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                out.mux(packet)
    with open_video(path) as video:
        assert all(is_frame(frame.image, grey_level(frame.index)) for frame in video.frames())
    path.write_text(path.read_text().replace("#EXT-X-ENDLIST", ""))
    with pytest.raises(VideoError, match=r"list\.m3u8: is a playlist without an end"):
        open_video(path)


def test_a_file_with_more_frames_than_allowed_is_refused(grey_video) -> None:
    with (
        pytest.raises(VideoError, match="has more than 3 frames"),
        open_video(grey_video, limits=Limits(max_frames=3)) as video,
    ):
        list(video.frames())


def test_a_truncated_file_gives_what_is_there_then_an_error_with_the_time(
    grey_video, tmp_path
) -> None:
    path = tmp_path / "cut.mkv"
    with av.open(str(grey_video)) as source, av.open(str(path), "w") as out:
        copy = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                out.mux(packet)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with open_video(path, strict=False) as video:
        readable = [frame.index for frame in video.frames()]
    assert 10 < len(readable) < 60
    assert readable == list(range(len(readable)))


@pytest.mark.parametrize(("bits", "suffix"), [(10, "png"), (12, "tif"), (14, "pgm"), (16, "png")])
def test_pictures_of_a_few_bits_in_16_are_scaled_by_what_they_hold(
    tmp_path: Path, bits: int, suffix: str
) -> None:
    """All by one scale, of the brightest: a dark picture stays dark."""
    ramp = np.linspace(0, 2**bits - 1, 8 * 32).reshape(8, 32)
    for index, share in enumerate((0.3, 1.0, 0.1)):
        cv2.imwrite(str(tmp_path / f"{index}.{suffix}"), (ramp * share).astype(np.uint16))
    with open_video(tmp_path, picture_rate=Fraction(10)) as video:
        brightest = [int(frame.image.max()) for frame in video.frames()]
        notes = video.notes
    assert brightest == pytest.approx([0.3 * 255, 255, 0.1 * 255], abs=1)
    stated = (f"16-bit pictures hold {bits}-bit values; scaled by those",)
    assert notes == (() if bits == 16 else stated)


def test_a_later_picture_of_more_bits_is_refused_by_name(tmp_path: Path) -> None:
    for index in range(40):
        bright = 4001 if index == 21 else 1001
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((6, 8), bright, np.uint16))
    with open_video(tmp_path) as video, pytest.raises(VideoError, match=r"21\.png: .*4001.*10-bit"):
        list(video.frames())


def test_pictures_of_other_sizes_are_scaled_to_the_first(tmp_path: Path) -> None:
    for index, (width, height) in enumerate([(64, 48), (32, 24), (64, 48), (30, 40)]):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((height, width, 3), 50, np.uint8))
    with open_video(tmp_path, picture_rate=Fraction(10)) as video:
        seen = {(f.width_px, f.height_px, f.image.shape) for f in video.frames()}
        assert [frame.image.shape for frame in video.frames(size_px=(16, 12))] == [(12, 16, 3)] * 4
        notes = video.notes
    assert seen == {(64, 48, (48, 64, 3))}
    assert notes == (
        "pictures of 32x24 px (the first is 1.png) are scaled to 64x48, as the first picture is",
        "pictures of 30x40 px (the first is 3.png) are scaled to 64x48, as the first picture is",
    )


@pytest.mark.parametrize("place", ["", "img1"])
def test_the_rate_of_pictures_is_that_of_seqinfo(tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir(exist_ok=True)
    for index in range(3):
        cv2.imwrite(str(tmp_path / place / f"{index}.png"), np.zeros((6, 8), np.uint8))
    with open_video(tmp_path / place) as video:
        assert video.info.rate == 25
        assert video.notes == ("no rate is known for these pictures: 25 a second assumed",)
    (tmp_path / "seqinfo.ini").write_text("[Sequence]\nname=a\nframeRate=30000/1001\n")
    with open_video(tmp_path / place) as video:
        assert video.info.rate == Fraction(30000, 1001)
        assert video.notes == ()
    with open_video(tmp_path / place, picture_rate=Fraction(7)) as video:
        assert video.info.rate == 7
    (tmp_path / "seqinfo.ini").write_text("[Sequence]\nframeRate=often\n")
    with pytest.raises(VideoError, match=r"seqinfo\.ini: no rate can be read"):
        open_video(tmp_path / place)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp"])
@pytest.mark.parametrize("damaged", [0, 2])
def test_a_picture_that_is_cut_off_is_skipped_named_and_counted(
    tmp_path: Path, suffix: str, damaged: int
) -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    for index in range(4):
        cv2.imwrite(str(tmp_path / f"{index}.{suffix}"), image)
    path = tmp_path / f"{damaged}.{suffix}"
    path.write_bytes(path.read_bytes()[:-40])
    with open_video(tmp_path, strict=False) as video:
        indices = [frame.index for frame in video.frames()]
        assert video.num_lost == 1
        assert f"skipped {path.name}: cannot be decoded" in video.notes
    assert indices == [index for index in range(4) if index != damaged]
    with pytest.raises(VideoError, match=rf"{path.name}: is no picture.*cut off"):
        list(open_video(tmp_path).frames())


def test_a_playlist_whose_pieces_are_odd_is_not_waited_for(tmp_path: Path) -> None:
    """Found by fuzzing: FFmpeg waited for the end before it said of which format it was."""
    noise = np.random.default_rng(0)
    with av.open(str(tmp_path / "s.ts"), "w", format="mpegts") as out:
        stream = out.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(12):
            picture = noise.integers(0, 255, (32, 32, 3), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    path = tmp_path / "list.m3u8"
    head = '#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MAP:URI="s.ts"\n#EXTI48,\n'
    path.write_text(f"{head}s.ts\n#EXT-X-BYTERANGE:188@0\n#EXTINF:0.48,\ns.ts\n")
    with pytest.raises(VideoError, match="playlist without an end"):
        open_video(path)
