"""The metrics beside their references: speed and peak memory, one JSON line.

    python benchmarks/bench_metrics.py [--repeats 3] [--million]

COCO: 5,000 pictures, 100,000 detections, 20 classes against pycocotools. Tracking: 1,000 frames
of 30 objects, HOTA + CLEAR + IDF1 against trackeval. ``--million``: one million detections in
50,000 pictures, in a process of its own so that its peak memory is its own.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import numpy as np

from vodkit.ground.records import TrackTable
from vodkit.ground.runs import stack
from vodkit.metrics.detection.coco_engine import evaluate_grid
from vodkit.metrics.detection.columns import BoxColumns
from vodkit.metrics.detection.match import coco_verdicts
from vodkit.metrics.tracking.sequence import pair_up
from vodkit.metrics.tracking.summary import count, score


def boxes(rng, num_images, num_truth, num_found, num_classes):
    images = rng.integers(0, num_images, num_truth)
    corner, size = rng.uniform(0, 500, (num_truth, 2)), rng.uniform(8, 200, (num_truth, 2))
    there = np.concatenate([corner, corner + size], axis=1)
    labels = rng.integers(0, num_classes, num_truth)
    truth = BoxColumns(
        images=images, boxes_xyxy=there, labels=labels, ignore=rng.random(num_truth) < 0.02
    )
    picked = rng.integers(0, num_truth, num_found)
    moved = there[picked] + rng.normal(0, 8, (num_found, 4))
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    other = rng.random(num_found) < 0.3
    found = BoxColumns(
        images=images[picked],
        boxes_xyxy=moved,
        labels=np.where(other, rng.integers(0, num_classes, num_found), labels[picked]),
        scores=rng.random(num_found),
    )
    return truth, found


def tracks(rng, num_frames, num_objects):
    frames = np.repeat(np.arange(num_frames), num_objects)
    ids = np.tile(np.arange(num_objects), num_frames)
    speed = rng.normal(0, 1, (num_objects, 2))
    start, size = rng.uniform(0, 900, (num_objects, 2)), rng.uniform(20, 80, (num_objects, 2))
    corner = (start[ids] + speed[ids] * frames[:, None]) % 1000
    there = np.concatenate([corner, corner + size[ids]], axis=1)
    truth = table(frames, ids, there)
    moved = there + rng.normal(0, 3, there.shape)
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    switched = ids + frames // 60 * 1000  # an object gets a new id every 60 frames
    kept = rng.random(len(ids)) > 0.05
    return truth, table(frames[kept], switched[kept], moved[kept])


def table(frames, ids, boxes_xyxy):
    return TrackTable(
        frames=frames,
        times_s=frames / 25,
        ids=ids,
        boxes_xyxy=boxes_xyxy,
        labels=np.zeros(len(frames), int),
    )


def clocked(works, repeats):
    """Seconds of each work, interleaved so that a busy machine is equally unfair to all."""
    seconds = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - started)
    return {
        name: {"min": min(s), "median": statistics.median(s), "max": max(s)}
        for name, s in seconds.items()
    }


def coco(repeats):
    truth, found = boxes(np.random.default_rng(0), 5000, 40_000, 100_000, 20)
    works = {
        engine: lambda e=engine: evaluate_grid(
            truth, found, num_images=5000, num_classes=20, engine=e
        )
        for engine in ("hotcoco", "pycocotools")
    }
    return clocked(works, repeats)


def tracking(repeats):
    from trackeval.metrics import CLEAR, HOTA, Identity

    truth, found = tracks(np.random.default_rng(0), 1000, 30)
    frames = np.arange(1000)
    pair = pair_up(truth, found, frames)
    data = {
        "num_timesteps": 1000,
        "num_gt_ids": pair.num_truth_ids,
        "num_tracker_ids": pair.num_found_ids,
        "num_gt_dets": pair.num_truth,
        "num_tracker_dets": pair.num_found,
        "gt_ids": pair.truth_ids,
        "tracker_ids": pair.found_ids,
        "similarity_scores": pair.ious,
    }
    quiet = {"PRINT_CONFIG": False}

    def reference():
        for metric in (HOTA(), CLEAR(quiet), Identity(quiet)):
            metric.eval_sequence(data)

    works = {
        "vodkit, IoU included": lambda: score(count(pair_up(truth, found, frames))),
        "trackeval, IoU given": reference,
    }
    return clocked(works, repeats)


def million():
    truth, found = boxes(np.random.default_rng(0), 50_000, 400_000, 1_000_000, 20)
    started = time.perf_counter()
    evaluate_grid(truth, found, num_images=50_000, num_classes=20)
    engine_s = time.perf_counter() - started
    started = time.perf_counter()
    coco_verdicts(truth, found, num_classes=20, thresholds=np.array([0.5]))
    verdicts_s = time.perf_counter() - started
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"engine_s": engine_s, "verdicts_s": verdicts_s, "peak_gb": peak_gb}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--only-million", action="store_true", help="the child process")
    asked = parser.parse_args()
    if asked.only_million:
        print(json.dumps(million()))
        return
    found, followed = coco(asked.repeats), tracking(asked.repeats)
    ours, theirs = followed.values()
    result = {
        "coco_s": found,
        "coco_times_faster": found["pycocotools"]["median"] / found["hotcoco"]["median"],
        "tracking_s": followed,
        "tracking_times_faster": theirs["median"] / ours["median"],
        "versions": stack(),
    }
    if asked.million:
        command = [sys.executable, __file__, "--only-million"]
        child = subprocess.run(command, capture_output=True, check=True, text=True)
        result["million"] = json.loads(child.stdout)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
