"""More targets: foreign labels of every shape, clocks, lists of files, playlists, live streams."""

import contextlib
import io
import itertools
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import av
import numpy as np

from account_files import WORLDS
from vodkit.formats import sleap_tables
from vodkit.formats.base import Reading
from vodkit.formats.camera_motion import read_motion
from vodkit.formats.coco_results import ids_of, read_results
from vodkit.formats.table import read_labels
from vodkit.ground import ledger
from vodkit.ground.account import AccountError
from vodkit.ground.errors import VodkitError
from vodkit.ground.text import csv_rows, csv_text
from vodkit.infer.manifest import read_manifest
from vodkit.video.fingerprint import digest
from vodkit.video.reader import open_video
from vodkit.video.restarts import Packet, continued
from vodkit.video.stream import LiveSettings, LiveVideo

sleap_tables.LONGEST_S = 2  # a file that the library reads for ever must not take long here
MAX_FRAMES = 24
TOLD = Reading(size_px=(64, 48), rate=Fraction(25), labelled="all")
QUICK = LiveSettings(open_timeout_s=2, read_timeout_s=2, first_pause_s=0.01, give_up_s=0.05)
_PACKET = struct.Struct("<qqBh")
_CONTAINERS = ("mpegts", "mp4", "matroska", "ogg")


@dataclass(frozen=True, kw_only=True)
class Target:
    """One place where bytes from outside come in."""

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    """valid input to begin with"""


@cache
def world_of(name: str) -> tuple[Path, tuple[tuple[Path, bytes], ...]]:
    """A label file with every kind of object that the format has, and the files of it."""
    path = WORLDS[name].write(Path(mkdtemp()), list(WORLDS[name].kinds.values()))
    files = [path] if path.is_file() else sorted(x for x in path.rglob("*") if x.is_file())
    return path, tuple((file, file.read_bytes()) for file in files if file.suffix != ".jpg")


def read_world(name: str, content: bytes) -> None:
    """The first byte says which file is replaced, and whether faults are collected."""
    path, files = world_of(name)
    which, rest = (content[0] if content else 0), content[1:]
    file, whole = files[(which >> 1) % len(files)]
    faults: list[VodkitError] = []
    collecting = Reading(size_px=(64, 48), rate=Fraction(25), labelled="all", fault=faults.append)
    try:
        file.write_bytes(rest)
        dataset, account = read_labels(
            path, name.partition(" ")[0], reading=collecting if which & 1 else TOLD
        )
        found = account.kept + sum(account.converted.values()) + account.num_skipped
        assert found == account.contained
        for video in dataset.videos:
            if video.tracks is not None:
                assert np.isfinite(video.tracks.boxes_xyxy).all()
    except AccountError:
        raise
    except VodkitError:
        pass
    finally:
        file.write_bytes(whole)


def world_seeds(name: str) -> list[bytes]:
    """Each file as it is."""
    _, files = world_of(name)
    return [bytes([2 * i + lenient]) + c for i, (_, c) in enumerate(files) for lenient in (0, 1)]


def continue_clock(content: bytes) -> None:
    """Times of packets: every frame keeps its place once, and time increases."""
    container = _CONTAINERS[content[0] % len(_CONTAINERS)] if content else "mpegts"
    rows = [_PACKET.unpack_from(content, at) for at in range(1, len(content) - 19, _PACKET.size)]
    packets = [
        Packet(pts, None if flags & 2 else dts, bool(flags & 1), max(duration, 0))
        for pts, dts, flags, duration in rows
    ]
    if not packets:
        return
    done = continued(packets, Fraction(1, 90000), container)
    assert len(done.pts) == len(packets)
    assert all(a < b for a, b in itertools.pairwise(done.pts)), done.pts
    assert sorted(done.place_of) == list(range(len(packets)))
    assert list(done.restarts) == sorted(set(done.restarts))


def clock_seeds() -> list[bytes]:
    """Two parts, with B-frames; a clock that stands still."""
    order = [0, 3, 1, 2, 6, 4, 5]
    part = [(3600 * p, 3600 * n, not n, 3600) for n, p in enumerate(order)]
    still = [(0, 0, 1, 0)] * 5
    rows = b"".join(_PACKET.pack(*row) for row in part + part)
    return [b"\0" + rows, b"\1" + rows, b"\2" + b"".join(_PACKET.pack(*row) for row in still)]


def use_ledger(content: bytes) -> None:
    """A hostile list of files: nothing outside its folder is touched, nor what it does not name."""
    with TemporaryDirectory() as place:
        outside, folder = Path(place) / "mine.txt", Path(place) / "run"
        (folder / "sub").mkdir(parents=True)
        outside.write_text("mine")
        (folder / "sub" / "ours.txt").write_text("ours")
        (folder / ledger.NAME).write_bytes(content)
        with contextlib.suppress(VodkitError):
            ledger.claim(folder / "predictions.jsonl")
        ledger.foreign(folder)
        ledger.remove_tree(folder)
        assert outside.read_text() == "mine"


def read_playlist(content: bytes) -> None:
    """A playlist beside two segments: its fingerprint, and its first frames."""
    path = _segments() / "a.m3u8"
    path.write_bytes(content)
    with contextlib.suppress(VodkitError):
        digest(path)
        with open_video(path) as video:
            seen = [frame.time_s for frame in itertools.islice(video.frames(), MAX_FRAMES)]
            assert all(a < b for a, b in itertools.pairwise(seen)), seen


def playlist_seeds() -> list[bytes]:
    """With and without a discontinuity, and one of playlists."""
    head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n"
    one = "#EXTINF:0.48,\ns.ts\n"
    texts = [
        head + one + one + "#EXT-X-ENDLIST\n",
        head + one + "#EXT-X-DISCONTINUITY\n" + one + "#EXT-X-ENDLIST\n",
        head + '#EXT-X-MAP:URI="s.ts"\n' + one + "#EXT-X-BYTERANGE:188@0\n" + one,
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nb.m3u8\n",
    ]
    return [text.encode() for text in texts]


@cache
def _segments() -> Path:
    folder = _scratch() / "hls"
    folder.mkdir()
    (folder / "s.ts").write_bytes(small_video("mpegts", "mpeg2video"))
    return folder


@cache
def small_video(container: str, codec: str) -> bytes:
    """Half a second of moving noise."""
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=Fraction(25))
        stream.width, stream.height = 32, 32
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for _ in range(12):
            picture = rng.integers(0, 255, (32, 32, 3), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return file.getvalue()


def read_stream(ending: str, content: bytes) -> None:
    """A live source that sends these bytes: times increase, the size stays, and it ends."""
    path = _scratch() / f"live{ending}"
    path.write_bytes(content)
    with contextlib.suppress(VodkitError), LiveVideo(str(path), QUICK) as live:
        last_s, sizes = -1.0, set()
        for frame in itertools.islice(live.frames(), MAX_FRAMES):
            assert frame.time_s > last_s
            last_s = frame.time_s
            sizes.add(frame.image.shape)
        assert len(sizes) <= 1


def evaluate_results(content: bytes) -> None:
    """COCO results, and the ids of a COCO file."""
    path = _scratch() / "results.json"
    path.write_bytes(content)
    with contextlib.suppress(VodkitError):
        found = read_results(path)
        assert len(found.images) == len(found.scores)
    with contextlib.suppress(VodkitError):
        ids_of(path)


def result_seeds() -> list[bytes]:
    """Two detections, and a truth."""
    one = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
    truth = {"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [], "annotations": []}
    return [json.dumps([one, one]).encode(), json.dumps(truth).encode()]


def read_small_files(content: bytes) -> None:
    """Manifests, camera motion, and tables of any text."""
    folder = _scratch() / "run"
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_bytes(content)
    with contextlib.suppress(VodkitError):
        read_manifest(folder)
    (folder / "camera_motion.txt").write_bytes(content)
    with contextlib.suppress(VodkitError):
        read_motion(folder / "camera_motion.txt")
    cells = content.decode("utf-8", "replace").split("\0")
    rows = [[cell] for cell in cells if cell]
    assert csv_rows(csv_text(rows)) == rows


def small_seeds() -> list[bytes]:
    """One of each."""
    manifest = {"vodkit": "0", "source": "a.mp4", "settings": {}, "ended": "complete"}
    return [json.dumps(manifest).encode(), b"0 1 0 0 0 1 0\n1 1 0 2 0 1 3\n", b"=1+1\0\r\0'-x\0,"]


@cache
def _scratch() -> Path:
    return Path(mkdtemp())


def doors() -> Iterator[tuple[str, Target]]:
    """Name and target."""
    for name in WORLDS:
        run, seeds = partial(read_world, name), partial(world_seeds, name)
        yield f"world-{name.replace(' ', '-')}", Target(run=run, seeds=seeds)
    yield "clock", Target(run=continue_clock, seeds=clock_seeds)
    yield "ledger", Target(run=use_ledger, seeds=lambda: [b'"sub/ours.txt"\n"../mine.txt"\n'])
    yield "playlist", Target(run=read_playlist, seeds=playlist_seeds)
    for container, codec, ending in (("mpjpeg", "mjpeg", ".mjpg"), ("mpegts", "mpeg2video", ".ts")):
        run = partial(read_stream, ending)
        seeds = partial(lambda *of: [small_video(*of)], container, codec)
        yield f"stream-{container}", Target(run=run, seeds=seeds)
    yield "results", Target(run=evaluate_results, seeds=result_seeds)
    yield "small-files", Target(run=read_small_files, seeds=small_seeds)
