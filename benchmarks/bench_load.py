"""Random clips and a training epoch from video files, beside PyTorchVideo and JPEG files.

    python benchmarks/bench_load.py video.mp4 [--clips 40]

Prints one JSON line. All are asked for the same 8-frame clips of the same file, in one process.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from vodkit.data.loader import ClipDataset, FrameDataset
from vodkit.data.sampling import clip_frames, epoch_order
from vodkit.records import Dataset, LabelledVideo, TrackTable
from vodkit.runs import stack
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
    for i in range(len(clips)):
        loaded[i]
    loaded.reader.close()


def their_clips(path: Path, dataset: Dataset, keys: list[int], size: tuple[int, int]) -> None:
    """LabeledVideoDataset's own video class, at the same places."""
    from pytorchvideo.data.encoded_video import EncodedVideo
    from torch.nn.functional import interpolate

    rate = dataset.videos[0].info.rate
    for key in keys:
        video = EncodedVideo.from_path(path, decode_audio=False, decoder="pyav")
        start = max(Fraction(key - LENGTH // 2) / rate, Fraction(0))
        pixels = video.get_clip(start, start + Fraction(LENGTH) / rate)["video"]
        interpolate(pixels, size=(size[1], size[0]), mode="bilinear")
        video.close()


def epoch_from_video(path: Path, dataset: Dataset, size: tuple[int, int]) -> int:
    frames = FrameDataset(dataset, path.parent, size_for=lambda _w, _h: size, every=2)
    for i in epoch_order(frames.runs, seed=0, epoch=0):
        frames.pictures([int(i)])
    frames.reader.close()
    return len(frames)


def epoch_from_jpegs(folder: Path, size: tuple[int, int]) -> None:
    for name in np.random.default_rng(0).permutation(sorted(folder.iterdir())):
        cv2.resize(cv2.cvtColor(cv2.imread(str(name)), cv2.COLOR_BGR2RGB), size)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("video", type=Path)
    arguments.add_argument("--clips", type=int, default=40)
    given = arguments.parse_args()
    dataset, size = dataset_of(given.video), (416, 416)
    count = dataset.videos[0].info.num_frames or 0
    keys = np.random.default_rng(0).integers(LENGTH, count - LENGTH, given.clips).tolist()
    ours = timed(lambda: our_clips(given.video, dataset, keys, size))
    theirs = timed(lambda: their_clips(given.video, dataset, keys, size))
    with tempfile.TemporaryDirectory() as folder:
        with open_video(given.video) as video:
            for frame in video.frames(every=2):
                name = f"{folder}/{frame.index:06d}.jpg"
                cv2.imwrite(name, cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))
        jpegs = timed(lambda: epoch_from_jpegs(Path(folder), size))
    frames = timed(lambda: epoch_from_video(given.video, dataset, size))
    result = {
        "clips_s": ours,
        "clips_pytorchvideo_s": theirs,
        "clips_ratio": theirs["median"] / ours["median"],
        "epoch_video_s": frames,
        "epoch_jpeg_s": jpegs,
        "epoch_ratio": jpegs["median"] / frames["median"],
        "stack": stack(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
