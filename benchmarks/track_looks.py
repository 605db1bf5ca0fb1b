"""What looking at colours brings the default tracker: HOTA on real videos, with boxes of the truth.

    python benchmarks/track_looks.py ../shared/data [--seeds 16] [--frames 1500]

The truth's boxes tremble by 3 % of their sides, one in ten is missed, and each object is hidden now
and then for half a second to four; the pictures are the videos' own, decoded to 416 px. So every
draw is another detector on the same scene. One JSON line a video: mean HOTA of observed boxes with
``colours=false`` and with the defaults, and in how many draws colours made it better or worse.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from bench_every import labels, trembling
from vodkit.detect.models import find_card
from vodkit.formats.table import read_dataset
from vodkit.ground.records import Detections, Frame, State, TrackTable
from vodkit.metrics.tracking.hota import hota_counts, hota_scores
from vodkit.metrics.tracking.sequence import pair_up
from vodkit.samples import samples
from vodkit.track.table import make_tracker
from vodkit.video.reader import open_video

TELLING = 0.001
"""a smaller difference is none"""


def videos(shared: Path) -> Iterator[tuple[Path, TrackTable]]:
    sequences = shared / "sequences"
    for name, truth in (
        ("pets09_s2l1/vtest.avi", "gt.txt"),
        ("flies/two_flies.mp4", "two_flies_gt.txt"),
        ("flies/clip.mp4", "clip_gt.txt"),
    ):
        path = sequences / name
        yield path, labels(path, path.with_name(truth)).videos[0].tracks
    for video in read_dataset(samples.LABELS).videos:
        yield samples.LABELS.parent / video.source, video.tracks


def frames_of(path: Path, most: int) -> list[Frame]:
    wanted = find_card("vodkit-street")[0].preprocessing
    with open_video(path) as opened:
        size = wanted.resized_px(opened.info.width_px, opened.info.height_px)
        return list(islice(opened.frames(size_px=size), most))


def detections(frames: list[Frame], truth: TrackTable, seed: int) -> list[Detections]:
    rng = np.random.default_rng(seed)
    end_s = frames[-1].time_s
    hidden_s: dict[int, np.ndarray] = {}
    for one in np.unique(truth.ids).tolist():
        begin_s = rng.uniform(0, end_s, max(1, int(end_s / 15)))
        hidden_s[one] = np.stack([begin_s, begin_s + rng.uniform(0.5, 4, len(begin_s))], axis=1)
    found = []
    for frame in frames:
        here = np.flatnonzero(truth.frames == frame.index)
        gone = [
            ((hidden_s[one][:, 0] <= frame.time_s) & (frame.time_s < hidden_s[one][:, 1])).any()
            for one in truth.ids[here].tolist()
        ]
        seen = here[(rng.random(len(here)) > 0.1) & ~np.array(gone, bool)]
        boxes = trembling(truth.boxes_xyxy[seen].astype(float), rng, share=0.03)
        scores = rng.uniform(0.6, 0.95, len(seen))
        found.append(Detections(boxes, scores, np.zeros(len(seen), int)))
    return found


def hota(
    frames: list[Frame], found: list[Detections], truth: TrackTable, words: list[str]
) -> float:
    tracker = make_tracker("vodkit", words)
    steps = [(f.index, f.time_s, tracker.step(f, x)) for f, x in zip(frames, found, strict=True)]
    table = TrackTable.from_frames(steps)
    indices = np.array([frame.index for frame in frames])
    truth = truth[np.isin(truth.frames, indices)]
    pairs = pair_up(truth, table[table.states == State.OBSERVED], indices)
    return hota_scores(hota_counts(pairs)).hota


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shared", type=Path)
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--frames", type=int, default=1500, help="of each video, at most")
    words = parser.parse_args()
    for path, truth in videos(words.shared):
        frames = frames_of(path, words.frames)
        pairs = []
        for seed in range(words.seeds):
            found = detections(frames, truth, seed)
            pairs.append([hota(frames, found, truth, x) for x in (["colours=false"], [])])
        without, with_colours = np.array(pairs).T
        line = {
            "video": path.name,
            "frames": len(frames),
            "hota_without": round(float(without.mean()), 4),
            "hota_with": round(float(with_colours.mean()), 4),
            "better": int((with_colours > without + TELLING).sum()),
            "worse": int((with_colours < without - TELLING).sum()),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
