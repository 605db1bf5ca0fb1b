"""Random clips and a training epoch from video files, beside PyTorchVideo and JPEG files.

    python benchmarks/bench_load.py video.mp4 [--clips 40] [--samples 50000]

Prints one JSON line. All read the same file in one process: random clips of 8 frames, and an epoch
of all frames in random order, from the video and from JPEG files of its own size (quality 95).
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from torch.utils.data import SequentialSampler

from vodkit.data.loader import ClipDataset, FrameDataset, RunSampler
from vodkit.data.sampling import clip_frames, epoch_order
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable
from vodkit.ground.runs import stack
from vodkit.video.reader import open_video

LENGTH = 8


def timed(work: Callable[[], object], repeats: int = 3) -> dict[str, float]:
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return {"min": min(seconds), "median": statistics.median(seconds), "max": max(seconds)}


def dataset_of(path: Path) -> Dataset:
    with open_video(path) as video:
        info = video.info
    labelled = LabelledVideo(source=path.name, info=info, tracks=TrackTable.empty())
    return Dataset(classes=("thing",), videos=(labelled,))


def our_clips(path: Path, dataset: Dataset, keys: list[int], size: tuple[int, int]) -> None:
    count = dataset.videos[0].info.num_frames or 0
    clips = [(0, clip_frames(k, num_frames=count, length=LENGTH, step=1)) for k in keys]
    loaded = ClipDataset(dataset, path.parent, clips=clips, size_for=lambda _w, _h: size)
    for i in RunSampler(loaded):
        loaded[i]
    loaded.reader.close()


def their_clips(path: Path, count: int, size: tuple[int, int]) -> None:
    """``count`` random clips out of PyTorchVideo's LabeledVideoDataset, of the same length."""
    from pytorchvideo.data import LabeledVideoDataset, make_clip_sampler
    from torch.nn.functional import interpolate

    with open_video(path) as video:
        rate = video.info.rate
    clips = LabeledVideoDataset(
        [(str(path), {})] * count,
        make_clip_sampler("random", float(LENGTH / rate)),
        video_sampler=SequentialSampler,
        decode_audio=False,
        decoder="pyav",
    )
    for clip in clips:
        pixels = clip["video"]
        interpolate(pixels, size=(size[1], size[0]), mode="bilinear")


def epoch_from_video(path: Path, dataset: Dataset, size: tuple[int, int]) -> int:
    frames = FrameDataset(dataset, path.parent, size_for=lambda _w, _h: size)
    for i in epoch_order(frames.runs, seed=0, epoch=0):
        frames.pictures([int(i)])
    frames.reader.close()
    return len(frames)


def epoch_from_jpegs(folder: Path, size: tuple[int, int]) -> None:
    for name in np.random.default_rng(0).permutation(sorted(folder.iterdir())):
        cv2.resize(cv2.cvtColor(cv2.imread(str(name)), cv2.COLOR_BGR2RGB), size)


def growth(path: Path, dataset: Dataset, samples: int) -> dict[str, float]:
    """Memory of the process in MiB after a tenth of the samples, and after all of them."""
    frames = FrameDataset(dataset, path.parent, size_for=lambda _w, _h: (64, 64), cache_mib=32)
    seen, early = 0, 0.0
    for epoch in range(samples // len(frames) + 1):
        for i in epoch_order(frames.runs, seed=0, epoch=epoch):
            frames[int(i)]
            seen += 1
            if seen == samples // 10:
                early = resident_mib()
            if seen == samples:
                break
    frames.reader.close()
    return {"samples": seen, "early_mib": early, "late_mib": resident_mib()}


def resident_mib() -> float:
    """What the process holds now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("video", type=Path)
    arguments.add_argument("--clips", type=int, default=40)
    arguments.add_argument("--samples", type=int, default=0, help="for the growth of memory")
    given = arguments.parse_args()
    dataset, size = dataset_of(given.video), (416, 416)
    count = dataset.videos[0].info.num_frames or 0
    keys = np.random.default_rng(0).integers(LENGTH, count - LENGTH, given.clips).tolist()
    ours = timed(lambda: our_clips(given.video, dataset, keys, size))
    theirs = timed(lambda: their_clips(given.video, given.clips, size))
    with tempfile.TemporaryDirectory() as folder:
        with open_video(given.video) as video:
            for frame in video.frames():
                name = f"{folder}/{frame.index:06d}.jpg"
                cv2.imwrite(name, cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))
        jpegs = timed(lambda: epoch_from_jpegs(Path(folder), size))
    frames = timed(lambda: epoch_from_video(given.video, dataset, size))
    result: dict[str, object] = {
        "video": {"name": given.video.name, "frames": count},
        "clips_s": ours,
        "clips_pytorchvideo_s": theirs,
        "clips_ratio": theirs["median"] / ours["median"],
        "epoch_video_s": frames,
        "epoch_jpeg_s": jpegs,
        "epoch_ratio": jpegs["median"] / frames["median"],
        "stack": stack(),
    }
    if given.samples:
        result["growth"] = growth(given.video, dataset, given.samples)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
