"""What is fed with hostile bytes: every parser, the reader, the loaders of weights.

A target takes any bytes; it may do its work or raise a VodkitError. Anything else (another
error, a crash, a hang, memory without bound) is a finding. ``campaign.py`` runs the targets for
hours under a coverage-guided fuzzer; ``test_fuzz_targets.py`` runs them on their seeds and on
everything that was ever found.
"""

import contextlib
import io
import json
from collections.abc import Iterator
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp

import av
import numpy as np
from fuzz_doors import Target, doors

from vodkit.formats.base import Reading
from vodkit.formats.embeddings import EmbeddingFile, read_embeddings
from vodkit.formats.table import FORMATS, READERS, read_dataset, write_dataset
from vodkit.ground.account import AccountError
from vodkit.ground.errors import VodkitError
from vodkit.ground.records import Dataset, Detections, Frame, LabelledVideo, TrackTable, VideoInfo
from vodkit.ground.runs import TRACKER
from vodkit.ground.settings import load
from vodkit.infer.handover import Continued, keep_state
from vodkit.track.base import Tracker
from vodkit.track.table import make_tracker
from vodkit.train.settings import TrainSettings
from vodkit.video.reader import open_video

MAX_FRAMES = 48
TOLD = Reading(size_px=(64, 48), rate=Fraction(25))
CODECS = {
    "mp4": ("mp4", "libx264"),
    "mkv": ("matroska", "libvpx-vp9"),
    "avi": ("avi", "mpeg4"),
    "mpeg": ("mpegts", "mpeg2video"),
    "mjpeg": ("mov", "mjpeg"),
    "gif": ("gif", "gif"),
}


@cache
def labels_of(name: str) -> tuple[Path, tuple[tuple[Path, bytes], ...]]:
    """A small valid file or folder of a label format, and the files in it with their content."""
    frames = np.repeat(np.arange(4), 2)
    table = TrackTable(
        frames=frames, times_s=frames / 25, ids=np.tile([1, 2], 4), labels=np.tile([0, 1], 4),
        boxes_xyxy=np.tile([[1, 2, 9.5, 12], [20, 3, 30, 40]], (4, 1)) + frames[:, None],
        visibility=np.tile([0.5, np.nan], 4),
    )  # fmt: skip
    info = VideoInfo(path="a", width_px=64, height_px=48, rate=Fraction(25), num_frames=4)
    video = LabelledVideo(source="clip.mp4", info=info, tracks=table, split="val")
    path = Path(mkdtemp()) / {"predictions": "a.jsonl"}.get(name, "a")
    write_dataset(Dataset(classes=("bee", "fly"), videos=(video,)), path, name)
    files = [path] if path.is_file() else sorted(x for x in path.rglob("*") if x.is_file())
    return path, tuple((file, file.read_bytes()) for file in files)


def read_labels(name: str, content: bytes) -> None:
    """The first byte says which file is replaced, and whether faults are collected."""
    path, files = labels_of(name)
    which, rest = (content[0] if content else 0), content[1:]
    file, whole = files[(which >> 1) % len(files)]
    faults: list[VodkitError] = []
    collecting = Reading(size_px=(64, 48), rate=Fraction(25), fault=faults.append)
    try:
        file.write_bytes(rest)
        read_dataset(path, name, reading=collecting if which & 1 else TOLD)
    except AccountError:
        raise
    except VodkitError:
        pass
    finally:
        file.write_bytes(whole)


def label_seeds(name: str) -> list[bytes]:
    """Each file of the format as it is."""
    _, files = labels_of(name)
    return [bytes([2 * i + lenient]) + c for i, (_, c) in enumerate(files) for lenient in (0, 1)]


def find_out_format(content: bytes) -> None:
    """Sniffing says yes or no to anything."""
    folder = _scratch()
    for ending in (".json", ".xml", ".txt", ".jsonl", ".csv", ".slp"):
        path = folder / f"a{ending}"
        path.write_bytes(content)
        for module in READERS.values():
            assert module.sniff(path) in (True, False)


def read_video(content: bytes) -> None:
    """Frames in order, then one again by its index; the first byte says how strictly."""
    strict = bool(content[:1] and content[0] & 1)
    try:
        with open_video(io.BytesIO(content[1:]), strict=strict) as video:
            seen: list[int] = []
            for frame in video.frames():
                seen.append(frame.index)
                if len(seen) == MAX_FRAMES:
                    break
            assert seen == sorted(set(seen)), seen
            if seen:
                assert video.frame_at(seen[-1]).index == seen[-1]
    except VodkitError:
        pass


@cache
def video_of(kind: str) -> bytes:
    """A second of moving noise."""
    container, codec = CODECS[kind]
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=Fraction(25))
        stream.width, stream.height = 32, 32
        stream.pix_fmt = {"mjpeg": "yuvj420p", "gif": "rgb8"}.get(kind, "yuv420p")
        for _ in range(12):
            picture = rng.integers(0, 255, (32, 32, 3), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return file.getvalue()


def read_settings(content: bytes) -> None:
    """A TOML file of settings; every line of it also as a ``name=value`` word."""
    path = _scratch() / "settings.toml"
    path.write_bytes(content)
    with contextlib.suppress(VodkitError):
        load(TrainSettings, toml=path)
    words = content.decode("utf-8", "replace").splitlines()
    with contextlib.suppress(VodkitError):
        load(TrainSettings, words=words)


def read_weights(ending: str, content: bytes) -> None:
    """A file of tensors; nothing in it is run."""
    from vodkit.detect.weights import read_state

    path = _scratch() / f"a{ending}"
    path.write_bytes(content)
    with contextlib.suppress(VodkitError):
        read_state(path)


def weight_seeds(ending: str) -> list[bytes]:
    """Two small tensors."""
    import torch
    from safetensors.torch import save

    tensors = {"head.weight": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3)}
    if ending == ".safetensors":
        return [save(tensors)]
    file = io.BytesIO()
    torch.save(tensors, file)
    return [file.getvalue()]


def read_model_card(content: bytes) -> None:
    """The card beside a weight file."""
    from vodkit.detect.base import read_card

    path = _scratch() / "a.card.json"
    path.write_bytes(content)
    with contextlib.suppress(VodkitError):
        read_card(path)


def card_seeds() -> list[bytes]:
    """The card of a bundled model."""
    from vodkit.detect.base import write_card
    from vodkit.detect.models import find_card

    path = _scratch() / "seed.card.json"
    write_card(find_card("vodkit-street")[0], path)
    return [path.read_bytes()]


def _setting_seeds() -> list[bytes]:
    return [b'data = "a.json"\nout = "b"\nlr = 0.1\naugment.zoom = [0.8, 1.2]\n', b"epochs=3"]


def _video_seeds(kind: str) -> list[bytes]:
    return [bytes([strict]) + video_of(kind) for strict in (0, 1)]


def _odd_seeds() -> list[bytes]:
    """Small odd files from real life, where they are; else none."""
    folder = Path(__file__).parents[3] / "shared" / "data" / "videos"
    files = [file for file in sorted(folder.glob("*/*")) if file.stat().st_size < 300_000]
    return [b"\0" + file.read_bytes() for file in files]


def _sniff_seeds() -> list[bytes]:
    return [seed[1:] for name in FORMATS for seed in label_seeds(name)[:1]]


def _slp_seeds() -> list[bytes]:
    import h5py

    file = io.BytesIO()
    with h5py.File(file, "w") as out:
        meta = {"videos": [], "nodes": [{"name": "head"}], "tracks": [], "skeletons": []}
        out.create_group("metadata").attrs["json"] = json.dumps(meta)
        for table in ("frames", "instances", "points", "pred_points"):
            out.create_dataset(table, data=np.zeros(0, [("frame_id", "i8")]))
    return [file.getvalue()]


def read_slp(content: bytes) -> None:
    """SLEAP's HDF5 file."""
    path = _scratch() / "a.slp"
    path.write_bytes(content)
    with contextlib.suppress(VodkitError):
        read_dataset(path, "sleap", reading=TOLD)


def _run_of_a_tracker() -> tuple[Tracker, Frame, Detections]:
    """One that has seen a frame, and what it saw."""
    tracker = make_tracker("vodkit")
    frame = Frame(0, 0.0, np.zeros((48, 64, 3), np.uint8))
    found = Detections(np.array([[2.0, 3, 20, 30]]), np.array([0.9]), np.array([0]))
    tracker.step(frame, found, embeddings=np.ones((1, 3), np.float32))
    return tracker, frame, found


def tracker_seeds() -> list[bytes]:
    """What a run keeps of its tracker, packed or not."""
    tracker, *_ = _run_of_a_tracker()
    keep_state(_scratch(), tracker, end_s=0.04)
    packed = io.BytesIO()
    np.savez_compressed(packed, **dict(np.load(_scratch() / TRACKER)))
    return [(_scratch() / TRACKER).read_bytes(), packed.getvalue()]


def read_tracker(content: bytes) -> None:
    """What the run before kept of its tracker; it goes on with it."""
    (_scratch() / TRACKER).write_bytes(content)
    _, frame, found = _run_of_a_tracker()
    with contextlib.suppress(VodkitError):
        tracker = make_tracker("vodkit")
        Continued(_scratch(), tracker).begin(frame.time_s)
        tracker.step(frame, found, embeddings=np.ones((1, 3), np.float32))


def look_seeds() -> list[bytes]:
    """Embeddings of two boxes."""
    path = _scratch() / "seed.bin"
    path.unlink(missing_ok=True)
    with EmbeddingFile(path) as file:
        file.append(np.ones((2, 3), np.float32))
    return [path.read_bytes()]


def read_looks(content: bytes) -> None:
    """Embeddings that lie beside detections."""
    path = _scratch() / "a.bin"
    path.write_bytes(content)
    with contextlib.suppress(VodkitError):
        read_embeddings(path)
    with contextlib.suppress(VodkitError), EmbeddingFile(path) as file:
        file.take(2)


@cache
def _scratch() -> Path:
    return Path(mkdtemp())


def _targets() -> Iterator[tuple[str, Target]]:
    for name in FORMATS:
        yield (
            f"labels-{name}",
            Target(run=partial(read_labels, name), seeds=partial(label_seeds, name)),
        )
    yield "labels-sleap", Target(run=read_slp, seeds=_slp_seeds)
    yield "sniff", Target(run=find_out_format, seeds=_sniff_seeds)
    for kind in CODECS:
        yield f"video-{kind}", Target(run=read_video, seeds=partial(_video_seeds, kind))
    yield "video-odd", Target(run=read_video, seeds=_odd_seeds)
    yield "settings", Target(run=read_settings, seeds=_setting_seeds)
    yield "tracker", Target(run=read_tracker, seeds=tracker_seeds)
    yield "embeddings", Target(run=read_looks, seeds=look_seeds)
    yield "card", Target(run=read_model_card, seeds=card_seeds)
    yield from doors()
    for ending in (".safetensors", ".pth"):
        run = partial(read_weights, ending)
        yield f"weights{ending}", Target(run=run, seeds=partial(weight_seeds, ending))


TARGETS = dict(_targets())
