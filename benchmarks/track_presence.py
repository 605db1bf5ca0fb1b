"""Fit ``p_present`` of predicted and filled boxes, and measure its calibration on other domains.

    python benchmarks/track_presence.py [--frames 300]

For every box that the default tracker predicts and ``refine`` fills, the truth says whether an
object is there (IoU of at least 0.5) that no observed box covers. Two logistic models are fitted on
domains with a real detector; made-up streets and noised truth have no part in them. For each
domain a line has the calibration of the model fitted on the others: mean probability, share of
boxes that were right and number of boxes, in bins of 0.2. The last lines are the weights for
``track/presence.py``, fitted on all of these domains.
"""

import argparse
import json
from unittest import mock

import numpy as np
from scipy.optimize import linear_sum_assignment

from all_trackers import follow
from track_domains import KITTI_CLASSES, Scene, scenes, shortened
from vodkit.ground.boxes import iou
from vodkit.ground.records import State, TrackTable
from vodkit.track import presence
from vodkit.track.refine import RefineSettings, refine
from vodkit.track.table import make_tracker

FITTED = ("mot15", "mot17", "dance", "kitti", "pets", "plaza")
MOST = 1500
"""boxes of a domain that count fully; more share this weight"""
Samples = tuple[np.ndarray, np.ndarray]


def truth_at(scene: Scene, frame: int) -> np.ndarray:
    """The boxes of the truth in a frame."""
    if scene.kitti_rows is not None:
        rows = scene.kitti_rows
        return rows[(rows[:, 0] == frame) & (rows[:, 2] <= len(KITTI_CLASSES)), 5:9]
    own = (scene.truth.frames == frame) & ~scene.truth.ignore & (scene.truth.labels == 0)
    return scene.truth.boxes_xyxy[own]


def right(truth: np.ndarray, observed: np.ndarray, guessed: np.ndarray) -> np.ndarray:
    """Whether each guessed box has an object of the truth that no observed box has."""
    alone = np.delete(truth, _pairs(truth, observed)[0], axis=0)
    found = np.zeros(len(guessed))
    found[_pairs(alone, guessed)[1]] = 1
    return found


def _pairs(truth: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    overlap = iou(truth, boxes)
    overlap[overlap < 0.5] = 0
    rows, columns = linear_sum_assignment(-overlap)
    real = overlap[rows, columns] > 0
    return rows[real], columns[real]


def predicted(scene: Scene) -> Samples:
    """Features (N, 8) and truth (N,) of the boxes that the tracker predicts, coasting longer."""
    tracker, features, labels = make_tracker("vodkit", ["life.coast_s=1.5"]), [], []
    for frame, found in scene.steps:
        tracks = tracker.step(frame, found, embeddings=found.embeddings)
        hidden = tracks.states == State.PREDICTED
        if not hidden.any():
            continue
        rows = np.searchsorted(tracker.book.ids, tracks.ids[hidden])
        features.append(presence.predicted_features(tracker.book, rows))
        boxes = tracks.boxes_xyxy.astype(float)
        labels.append(right(truth_at(scene, frame.index), boxes[~hidden], boxes[hidden]))
    return np.vstack([*features, np.empty((0, 8))]), np.concatenate([*labels, np.empty(0)])


def filled(scene: Scene) -> Samples:
    """The same of filled boxes, with gaps of up to 3 s."""
    gaps: list[presence.Gap] = []

    def numbered(gap: presence.Gap) -> np.ndarray:
        gaps.append(gap)
        return np.arange(len(gap.gap_s)) / len(gap.gap_s)  # by which the rows are found again

    table = follow(scene, ["vodkit"], motion=False)
    clock = {frame.index: frame.time_s for frame, _ in scene.steps}
    with mock.patch.object(presence, "filled", numbered):
        result = refine(table, RefineSettings(fill_s=3.0), clock=clock)
    made = result.states == State.FILLED
    if not made.any():
        return np.empty((0, 8)), np.empty(0)
    order = np.rint(result.p_present[made] * made.sum()).astype(int)
    labels = np.concatenate([_right_in(scene, result, made, f) for f in _frames(result, made)])
    return presence.filled_features(gaps[0])[order], labels


def _frames(table: TrackTable, rows: np.ndarray) -> list[int]:
    return np.unique(table.frames[rows]).tolist()


def _right_in(scene: Scene, table: TrackTable, made: np.ndarray, frame: int) -> np.ndarray:
    here = table.frames == frame
    boxes = table.boxes_xyxy
    return right(truth_at(scene, frame), boxes[here & ~made], boxes[here & made])


def fit(samples: list[Samples], ridge: float = 1.0) -> np.ndarray:
    """The logistic model by Newton's method; domains weigh alike."""
    x, y = (np.concatenate(part) for part in zip(*samples, strict=True))
    weight = np.concatenate([np.full(len(b), min(1, MOST / max(len(b), 1))) for _, b in samples])
    penalty = np.full(x.shape[1], ridge)
    penalty[0] = 1e-6
    found = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ found))
        slope = x.T @ (weight * (y - p)) - penalty * found
        curve = (x * (weight * p * (1 - p))[:, None]).T @ x + np.diag(penalty)
        found += np.linalg.solve(curve, slope)
    return found


def calibration(weights: np.ndarray, samples: Samples) -> list[tuple[float, float, int]]:
    """Mean probability, share that was right, and number of boxes, in bins of 0.2."""
    x, y = samples
    p = 1 / (1 + np.exp(-x @ weights))
    bins = [(p >= low) & (p < low + 0.2) for low in np.arange(0, 1, 0.2)]
    return [
        (round(float(p[b].mean()), 2), round(float(y[b].mean()), 2), int(b.sum()))
        for b in bins
        if b.any()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=300, help="of each scene, at most")
    most = parser.parse_args().frames
    for kind, gather in (("predicted", predicted), ("filled", filled)):
        samples = {}
        for domain in (*FITTED, "streets", "noised"):
            parts = [gather(shortened(scene, most)) for scene in scenes(domain)]
            samples[domain] = tuple(np.concatenate(part) for part in zip(*parts, strict=True))
        for domain, own in samples.items():
            model = fit([samples[other] for other in FITTED if other != domain])
            line = {"boxes": kind, "left out": domain, "share right": round(own[1].mean(), 3)}
            print(json.dumps({**line, "calibration": calibration(model, own)}), flush=True)
        weights = fit([samples[domain] for domain in FITTED]).round(3).tolist()
        print(json.dumps({"boxes": kind, "weights": weights}), flush=True)


if __name__ == "__main__":
    main()
