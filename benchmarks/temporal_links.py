"""Linked scores beside the still detector and the usual rules, on clean and degraded video.

python benchmarks/temporal_candidates.py ../shared/data --out candidates
python benchmarks/temporal_links.py ../shared/data candidates

Prints one JSON line for each video (clean and degraded) and method: AP50, AP, AP50 of the degraded
frames; flicker, lag and false alarms a minute at the score where recall is 0.8. ``links`` has the
package's defaults; ``links, left out`` the setting of a small grid that is best on all others, so
that its figures are of videos that nothing was chosen on. Baselines: ``still``; ``median`` of the
last three scores of a track (as Frigate does); ``seq-nms`` (Han et al. 2016, mean of the linked
scores over a sequence); ``tracker`` (each box has the mean score of its track in this package's
default tracker so far).
"""

import argparse
import itertools
import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from vodkit.ground.boxes import iou
from vodkit.ground.records import (
    NO_ID,
    Dataset,
    Detections,
    Frame,
    LabelledVideo,
    Tracks,
    TrackTable,
    VideoInfo,
)  # fmt: skip
from vodkit.metrics.clips import Clip, make_clips
from vodkit.metrics.detection.ap import average_precision, clip_columns
from vodkit.metrics.detection.flicker import evaluate_flicker
from vodkit.metrics.detection.frames import Candidates, candidates, match_at
from vodkit.temporal.links import Links, LinkSettings
from vodkit.temporal.memory import Memory
from vodkit.track.table import make_tracker

TRUTH = {
    "pets": "sequences/pets09_s2l1/gt.txt",
    "tud": "sequences/mot15/TUD-Campus/gt/gt.txt",
    "dance": "sequences/flies/dance_boxes.txt",
}
GRID = {"strength": (0.3, 0.6), "rivalry": (1.0, 4.0), "size": (0.1, 0.2)}
Video = list[tuple[float, Detections]]


class Recorded:
    """One recorded video: candidates of each frame, truth, and which frames are degraded."""

    def __init__(self, path: Path, truth: Path, name: str = "person") -> None:
        """Read candidates, and truth as MOTChallenge lines."""
        content = np.load(path)
        label = list(content["classes"]).index(name)
        rows, times_s = content["rows"], content["times_s"]
        rows = rows[rows[:, 6] == label]
        edges = np.searchsorted(rows[:, 0], np.arange(len(times_s) + 1))
        self.frames: Video = [
            (float(time_s), Detections(r[:, 1:5], r[:, 5], np.zeros(len(r), np.int64)))
            for time_s, r in zip(times_s, np.split(rows, edges[1:-1]), strict=True)
        ]
        self.bad = np.flatnonzero(content["bad"])
        self.name = path.stem
        self.truth = self._table(truth)

    def _table(self, path: Path) -> TrackTable:
        rows = np.loadtxt(path, delimiter=",", ndmin=2)
        rows = rows[(rows[:, 6] != 0) & (rows[:, 0] <= len(self.frames))]
        frames = rows[:, 0].astype(int) - 1
        return TrackTable(
            frames=frames,
            times_s=np.array([self.frames[f][0] for f in frames]),
            ids=rows[:, 1],
            boxes_xyxy=np.column_stack([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]]),
            labels=np.zeros(len(rows)),
        )

    def tracked_clip(self, found: Sequence[Tracks]) -> Clip:
        """The same of tracks, with their ids."""
        return self.clip(found, tracked=True)

    def clip(self, found: Sequence[Detections | Tracks], *, tracked: bool = False) -> Clip:
        """Truth beside what a method found, frame by frame."""
        times_s = [time_s for time_s, _ in self.frames]
        rate = Fraction(float(1 / np.median(np.diff(times_s)))).limit_denominator(1001)
        info = VideoInfo(path="v", width_px=1, height_px=1, rate=rate, num_frames=len(times_s))
        video = LabelledVideo(source="v", info=info, tracks=self.truth)
        table = TrackTable.from_frames(
            [(n, t, one) for n, (t, one) in enumerate(zip(times_s, found, strict=True))]
        )
        if not tracked:
            table = replace(table, ids=np.full(len(table), NO_ID))
        return make_clips(Dataset(classes=("person",), videos=(video,)), {"v": table})[0]


def linked(settings: LinkSettings, *, both: bool) -> Callable[[Video], list[Detections]]:
    def run(video: Video) -> list[Detections]:
        links = Memory[int](Links(settings), threshold=0.0, both=both)
        out: Iterator[tuple[int, Detections]] = itertools.chain(
            *(links.push(n, time_s, found) for n, (time_s, found) in enumerate(video)),
            links.cut(),
        )
        return [found for _, found in out]

    return run


def still(video: Video) -> list[Detections]:
    return [found for _, found in video]


def by_track(score: Callable[[deque[float]], float]) -> Callable[[Video], list[Detections]]:
    """Each observed box gets a score of its track's scores so far."""

    def run(video: Video) -> list[Detections]:
        tracker, known = make_tracker("vodkit"), defaultdict[int, deque[float]](deque)
        out = []
        for number, (time_s, found) in enumerate(video):
            frame = Frame.unseen(number, time_s, width_px=4096, height_px=4096)
            tracks = tracker.step(frame, found)
            tracks = tracks[tracks.states == 0]
            scores = np.array(found.scores)
            if len(tracks) and len(found):
                best = iou(tracks.boxes_xyxy, found.boxes_xyxy).argmax(axis=1)
                for row, one in zip(best, tracks.ids.tolist(), strict=True):
                    known[one].append(float(found.scores[row]))
                    scores[row] = score(known[one])
            out.append(replace(found, scores=scores))
        return out

    return run


def median_of_three(scores: deque[float]) -> float:
    return float(np.median(list(scores)[-3:]))


def mean_so_far(scores: deque[float]) -> float:
    return float(np.mean(scores))


def seq_nms(video: Video, *, link_iou: float = 0.5, nms_iou: float = 0.3) -> list[Detections]:
    """Seq-NMS: the best-scored sequence gets its mean score, what overlaps it goes; then the next.

    In pieces of 100 frames, as sequences of whole videos cost too much.
    """
    out: list[Detections] = []
    for start in range(0, len(video), 100):
        out += _best_sequences([one for _, one in video[start : start + 100]], link_iou, nms_iou)
    return out


def _best_sequences(frames: list[Detections], link_iou: float, nms_iou: float) -> list[Detections]:
    boxes = [one.boxes_xyxy for one in frames]
    near = [iou(b, a) >= link_iou for a, b in itertools.pairwise(boxes)]
    alive = [np.ones(len(one), bool) for one in frames]
    scores = [one.scores.astype(float) for one in frames]
    final = [np.full(len(one), -1.0) for one in frames]
    while any(one.any() for one in alive):
        ways, best = _forward(scores, alive, near)
        frame = int(np.argmax([one.max(initial=-1.0) for one in best]))
        row, sequence = int(best[frame].argmax()), []
        while row >= 0:
            sequence.append((frame, row))
            frame, row = frame - 1, int(ways[frame][row])
        mean = float(np.mean([scores[f][r] for f, r in sequence]))
        for frame, row in sequence:
            final[frame][row] = mean
            overlap = iou(boxes[frame][row : row + 1], boxes[frame])[0]
            alive[frame][(overlap > nms_iou) | (np.arange(len(overlap)) == row)] = False
    return [
        replace(one[kept], scores=rescored[kept])
        for one, rescored in zip(frames, final, strict=True)
        for kept in [np.flatnonzero(rescored >= 0)]
    ]


def _forward(
    scores: list[np.ndarray], alive: list[np.ndarray], near: list[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """For each box the box before it in its best sequence (-1: none), and that sequence's sum."""
    ways, best = [], []
    for n, one in enumerate(scores):
        way, total = np.full(len(one), -1), np.where(alive[n], one, -1.0)
        if n and len(one) and len(scores[n - 1]):
            before = np.where(near[n - 1] & alive[n - 1][None], best[-1][None], 0.0)
            gain = before.max(axis=1)
            linked_to = alive[n] & (gain > 0)
            way[linked_to] = before.argmax(axis=1)[linked_to]
            total[linked_to] += gain[linked_to]
        ways.append(way)
        best.append(total)
    return ways, best


def ap(clip: Clip) -> tuple[float, float]:
    truth, found = clip_columns((clip,))
    result = average_precision(truth, found, num_images=len(clip.frames), classes=("person",))
    return float(result.overall.ap50 or 0), float(result.overall.ap or 0)


def score_at_recall(ready: Candidates, wanted: float = 0.8) -> float:
    """The score threshold at which a recall is reached, so that methods are compared fairly."""
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        found = match_at(ready, min_score=middle).found_of_truth
        low, high = (middle, high) if (found >= 0).mean() >= wanted else (low, middle)
    return low


def numbers(video: Recorded, found: list[Detections]) -> dict[str, float | None]:
    clip = video.clip(found)
    ap50, mean_ap = ap(clip)
    ready = candidates(clip)
    more = evaluate_flicker([match_at(ready, min_score=score_at_recall(ready))], [clip], 1)
    line: dict[str, float | None] = {"AP50": ap50, "AP": mean_ap}
    if len(video.bad):
        line["AP50 degraded"] = ap(clip.of_frames(video.bad))[0]
    return line | {
        "flicker": more.flicker,
        "false alarms/min at recall 0.8": more.false_alarms_per_min["0.8"],
        "lag_ms": None if more.lag_s is None else more.lag_s * 1e3,
    }


def chosen_without(videos: list[Recorded], left_out: str, *, both: bool) -> LinkSettings:
    """The setting of the grid with the best mean gain of AP50 over all videos but one."""
    others = [one for one in videos if left_out not in one.name]
    grid = list(itertools.product(*GRID.values()))
    for values, one in itertools.product(grid, videos):
        if (one.name, both, values) not in _VALUES:
            settings = LinkSettings(**dict(zip(GRID, values, strict=True)))
            clip = one.clip(linked(settings, both=both)(one.frames))
            part = clip.of_frames(one.bad) if len(one.bad) else clip
            _VALUES[one.name, both, values] = ap(part)[0]
    mean = {values: np.mean([_VALUES[one.name, both, values] for one in others]) for values in grid}
    best = max(mean, key=lambda values: mean[values])
    return LinkSettings(**dict(zip(GRID, best, strict=True)))


_VALUES: dict[tuple[str, bool, tuple[float, ...]], float] = {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("candidates", type=Path)
    parser.add_argument("--name", default="street")
    parser.add_argument("--left-out", action="store_true", help="choose settings, too (slow)")
    options = parser.parse_args()
    videos = [
        Recorded(options.candidates / f"{options.name}-{name}-{kind}.npz", options.data / truth)
        for name, truth in TRUTH.items()
        for kind in ("clean", "bad")
    ]
    methods: dict[str, Callable[[Video], list[Detections]]] = {
        "still": still,
        "median of three": by_track(median_of_three),
        "tracker": by_track(mean_so_far),
        "seq-nms": seq_nms,
        "links": linked(LinkSettings(), both=False),
        "links-both": linked(LinkSettings(), both=True),
    }
    for video in videos:
        domain = video.name.split("-")[1]
        for name, method in methods.items():
            line = numbers(video, method(video.frames))
            print(json.dumps({"video": video.name, "method": name, **line}), flush=True)
        for both in (False, True) if options.left_out else ():
            settings = chosen_without(videos, domain, both=both)
            line = numbers(video, linked(settings, both=both)(video.frames))
            name = "links-both, left out" if both else "links, left out"
            print(json.dumps({"video": video.name, "method": name, **line}), flush=True)


if __name__ == "__main__":
    main()
