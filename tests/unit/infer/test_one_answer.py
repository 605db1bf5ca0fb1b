"""One question, one answer: library, command line, live and resumed runs agree box for box."""

import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from vodkit.cli.main import main
from vodkit.cli.tune import _clip
from vodkit.detect.base import Detector
from vodkit.detect.defaults import NETWORK
from vodkit.detect.embed import WithLooks
from vodkit.formats.predictions import frame_entry, read_frames
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground import runs
from vodkit.ground.arrays import ByteArray
from vodkit.ground.records import Detections, Tracks
from vodkit.infer.batch import Batch
from vodkit.infer.flow import detect_video, make_detector, track_video
from vodkit.infer.folder import RunFolder, open_run
from vodkit.infer.live import run_live
from vodkit.infer.run import run_source
from vodkit.infer.settings import InferSettings
from vodkit.infer.tune import not_recorded, replay
from vodkit.report.contact_sheet import write_png
from vodkit.samples.samples import CLIP_A, CLIP_B
from vodkit.track.appearance import colour_embeddings
from vodkit.video.reader import open_video
from vodkit.video.stream import LiveSettings

pytestmark = pytest.mark.slow

NUM_FRAMES = 8  # of each clip
NUM_MORE = 60  # FFmpeg opens a stream after a few seconds of it, or waits as long as it may
WANTED = InferSettings(runtime="openvino", device="cpu")
Rows = list[tuple[int, list[dict[str, object]]]]


def write_film(path: Path, pictures: Iterable[av.VideoFrame], *, first: int = 0) -> None:
    with av.open(str(path), "w", format="mpegts") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 768, 576, "yuv420p"
        stream.options = {"g": "10", "bf": "0", "preset": "ultrafast"}
        for number, picture in enumerate(pictures, first):
            frame = picture.reformat(768, 576, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


def beginnings() -> Iterator[av.VideoFrame]:
    for clip in (CLIP_B, CLIP_A):
        with av.open(str(clip)) as source:
            yield from islice(source.decode(video=0), NUM_FRAMES)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beginnings of both sample clips, with the cut between them, as a camera sends them."""
    path = tmp_path_factory.mktemp("film") / "plaza.ts"
    write_film(path, beginnings())
    return path


@pytest.fixture(scope="module")
def media(film: Path) -> bytes:
    """The film, and a black picture for some seconds."""
    path = film.with_name("black.ts")
    black = av.VideoFrame.from_ndarray(np.zeros((576, 768, 3), np.uint8))
    write_film(path, [black] * NUM_MORE, first=2 * NUM_FRAMES)
    return film.read_bytes() + path.read_bytes()


@pytest.fixture
def url(media: bytes) -> Iterator[str]:
    """The film on air."""
    over = threading.Event()

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            self.wfile.write(media)
            over.wait(60)

        def log_message(self, *words: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    server.daemon_threads, server.block_on_close = True, False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/plaza"
    over.set()
    server.shutdown()
    server.server_close()


def rows(steps: Iterator[tuple[int, Detections | Tracks]]) -> Rows:
    """The boxes of each frame, as they are written."""
    found = []
    for index, one in steps:
        entry = frame_entry(
            index, 0.0, one, ("person", "bicycle", "car", "motorcycle", "bus", "truck")
        )
        found.append((index, entry.get("tracks", entry.get("detections"))))
    return found


def in_file(path: Path) -> Rows:
    return rows((frame.index, frame.found) for frame in read_frames(path))


@cache
def _loaded(wanted: InferSettings) -> Detector:
    return make_detector(wanted)


def detector_for(wanted: InferSettings) -> Detector:
    """One that is loaded once: neither the tracker nor the decoded size is the detector's."""
    return _loaded(replace(wanted, tracker="vodkit", decode=NETWORK))


def from_library(film: Path, wanted: InferSettings) -> Rows:
    detector = detector_for(wanted)
    if wanted.tracks:
        steps = track_video(film, detector, settings=wanted)
        return rows((frame.index, tracks) for frame, _, tracks in steps)
    return rows((f.index, found) for f, found in detect_video(film, detector, settings=wanted))


def from_command_line(film: Path, wanted: InferSettings, out: Path) -> Rows:
    words = [str(film), "--runtime", "openvino", "--device", "cpu", "-o", str(out), "--json"]
    words += ["--temporal", wanted.temporal, "--size", wanted.size]
    with pytest.raises(SystemExit) as left:
        main(["track" if wanted.tracks else "detect", *words])
    assert left.value.code == 0
    return in_file(out / "plaza" / runs.PREDICTIONS)


def from_camera(url: str, wanted: InferSettings, out: Path) -> Rows:
    folder = RunFolder(out)
    folder.prepare(wanted)
    patient = LiveSettings(max_waiting=1000, open_timeout_s=20, give_up_s=30)
    steps = run_live([url], [out], detector_for(wanted), wanted, patience=patient)
    assert len(list(islice(steps, 2 * NUM_FRAMES))) == 2 * NUM_FRAMES
    steps.close()
    return in_file(out / runs.PREDICTIONS)


def from_resumed_run(film: Path, wanted: InferSettings, out: Path) -> Rows:
    batch = Batch([str(film)], wanted, out=out, detector=detector_for(wanted))
    steps = run_source(str(film), batch.folders[0], batch.detector, wanted)
    assert len(list(islice(steps, 5))) == 5
    steps.close()
    (outcome,) = Batch(  # its own detector is that of the settings on disk
        [str(film)], wanted, out=out, resume=True
    ).run()
    assert outcome.manifest is not None
    return in_file(open_run(outcome.folder.path) / runs.PREDICTIONS)


@pytest.mark.parametrize(
    "asked",
    [{"tracker": "vodkit"}, {"tracker": "none"}, {"temporal": "links", "size": "320"}],
    ids=lambda asked: " ".join(asked.values()),
)
def test_one_question_has_one_answer(
    film: Path, url: str, tmp_path: Path, asked: dict[str, str]
) -> None:
    wanted = replace(WANTED, **asked)
    library = from_library(film, wanted)
    assert [index for index, _ in library] == list(range(2 * NUM_FRAMES))
    assert sum(len(found) for _, found in library) > 30
    assert from_command_line(film, wanted, tmp_path / "cli") == library
    assert from_resumed_run(film, wanted, tmp_path / "resumed") == library
    assert from_camera(url, wanted, tmp_path / "live") == library


def test_pieces_shards_and_stills_change_no_box(film: Path, tmp_path: Path) -> None:
    wanted = replace(WANTED, tracker="none")
    words = ["--runtime", "openvino", "--device", "cpu", "-o"]
    call("detect", str(film), "--shard", "0/1", "--pieces", "2", *words, str(tmp_path / "shard"))
    (path,) = (tmp_path / "shard").rglob(runs.PREDICTIONS)
    assert in_file(path) == from_library(film, wanted)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, image in enumerate(pictures(film)):
        write_png(image, folder / f"{number:02d}.png")
    call("detect", str(folder), "--pictures", "stills", *words, str(tmp_path / "stills"))
    (path,) = (tmp_path / "stills").rglob(runs.STILLS)
    stills = [video.tracks for video in read_dataset(path).videos]
    whole = replace(wanted, decode="full")
    frames = [found for _, found in detect_video(film, detector_for(whole), settings=whole)]
    assert len(stills) == len(frames)
    for one, other in zip(stills, frames, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_allclose(one.boxes_xyxy, other.boxes_xyxy, atol=0.02)  # as written


def test_detections_beyond_the_limit_are_counted_and_reported(film: Path, tmp_path: Path) -> None:
    few = InferSettings(max_detections=1, tracker="none", runtime="openvino", device="cpu")
    (outcome,) = Batch([str(film)], few, out=tmp_path).run()
    assert outcome.summary is not None
    assert outcome.summary.num_truncated == 2 * NUM_FRAMES
    assert f"{2 * NUM_FRAMES} frames have more detections; the best 1 are kept" in outcome.notes[0]
    found = [frame.found for frame in read_frames(outcome.folder / runs.PREDICTIONS)]
    assert all(isinstance(one, Detections) and one.truncated for one in found)
    assert sum(outcome.summary.boxes_by_class.values()) == 2 * NUM_FRAMES


class Opened:
    """What Python opens, and which videos vodkit does, while ``active``: from the audit hook."""

    def __init__(self) -> None:
        self.active = False
        self.files: Counter[str] = Counter()
        self.videos = 0
        sys.addaudithook(self._hear)  # for good: there is no way to take a hook away

    def _hear(self, event: str, args: tuple[object, ...]) -> None:
        if not self.active:
            return
        if event == "vodkit.open_video":
            self.videos += 1
        elif event == "open" and isinstance(args[0], str) and args[1] == "r":
            self.files[Path(args[0]).name] += 1

    @contextmanager
    def counting(self) -> Iterator[None]:
        self.files.clear()
        self.videos, self.active = 0, True
        try:
            yield
        finally:
            self.active = False


def call(*words: str) -> None:
    with pytest.raises(SystemExit) as left:
        main([*words, "--json"])
    assert left.value.code == 0


def pictures(path: Path) -> list[ByteArray]:
    with open_video(path) as video:
        return [frame.image for frame in video.frames()]


def test_all_exports_are_made_in_one_pass_and_evaluated_in_one(film: Path, tmp_path: Path) -> None:
    """One parse of the predictions, and one decode, for tracking and any exports."""
    opened, run = Opened(), tmp_path / "plaza"
    forms = ["--csv", "--mot", "--coco", "--video"]
    words = ["track", str(film), "--runtime", "openvino", "-o", str(tmp_path), *forms]
    with opened.counting():
        call(*words)
    assert all((run / name).exists() for name in runs.EXPORTS.values())
    assert (opened.files[runs.PREDICTIONS], opened.videos) == (1, 1)
    in_one_pass = pictures(run / runs.ANNOTATED)
    for name in runs.EXPORTS.values():
        (run / name).unlink()
    with opened.counting():
        call(*words, "--resume")
    assert all((run / name).exists() for name in runs.EXPORTS.values())
    assert opened.files[runs.DETECTIONS] == 0, "nothing is detected or tracked again"
    assert opened.videos == 1
    from_file = pictures(run / runs.ANNOTATED)
    assert len(from_file) == len(in_one_pass) == 2 * NUM_FRAMES
    for one, other in zip(in_one_pass, from_file, strict=True):
        assert float(abs(one.astype(int) - other).mean()) < 1  # the encoder rounds on its own

    write_dataset(read_dataset(run / runs.PREDICTIONS), tmp_path / "truth.json")
    with opened.counting():
        call("eval", str(tmp_path / "truth.json"), str(run), "-o", str(tmp_path / "eval"))
    assert (opened.files[runs.PREDICTIONS], opened.videos) == (1, 0)


def test_a_replay_of_recorded_detections_gives_the_tracks_of_the_run(
    film: Path, tmp_path: Path
) -> None:
    """With all that the tracker takes from pictures on record; what is missing is named."""
    wanted = replace(WANTED, appearance="colour", cuts=False)
    detector = WithLooks(detector_for(WANTED), colour_embeddings)
    (done,) = Batch([str(film)], wanted, out=tmp_path / "tracked", detector=detector).run()
    clip = _clip(done.folder / runs.DETECTIONS, None)
    assert not_recorded(clip, "vodkit") == []
    again = replay(clip.steps, "vodkit", motion=clip.motion)
    first = open_run(done.folder.path).predictions.table
    assert len(first) > NUM_FRAMES
    for name in ("frames", "ids", "states"):
        np.testing.assert_array_equal(getattr(again, name), getattr(first, name))
    np.testing.assert_allclose(again.boxes_xyxy, first.boxes_xyxy, atol=0.02)  # as written
    found = replace(WANTED, tracker="none")
    out = tmp_path / "found"
    (done,) = Batch([str(film)], found, out=out, detector=detector_for(found)).run()
    clip = _clip(done.folder / runs.PREDICTIONS, None)
    assert not_recorded(clip, "vodkit") == ["camera motion", "colours"]
    assert not_recorded(clip, "sort") == []
