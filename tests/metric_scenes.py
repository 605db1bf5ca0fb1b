"""Random truth and predictions for the tests of the metrics, and the reference tools' inputs."""

from dataclasses import replace
from fractions import Fraction

import numpy as np

from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo
from vodkit.metrics.detection.columns import BoxColumns

RATE = Fraction(25)


def columns(rng, *, num_images=20, num_truth=120, num_classes=3, crowds=0.1, num_found=None):
    """Truth and found boxes with ties of score, equal boxes, crowds, and empty pictures."""
    images = rng.integers(0, num_images, num_truth)
    corner = rng.integers(0, 120, (num_truth, 2))
    size = rng.choice([8, 16, 32, 33, 60, 96, 97, 120], (num_truth, 2))
    boxes = np.concatenate([corner, corner + size], axis=1).astype(float)
    labels = rng.integers(0, num_classes, num_truth)
    truth = BoxColumns(
        images=images, boxes_xyxy=boxes, labels=labels, ignore=rng.random(num_truth) < crowds
    )
    num = 2 * num_truth if num_found is None else num_found
    if not num or not num_truth:
        return truth, no_boxes()
    picked = rng.integers(0, num_truth, num)
    moved = boxes[picked] + rng.integers(-6, 7, (num, 4))
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    other = rng.random(num) < 0.2
    found = BoxColumns(
        images=images[picked],
        boxes_xyxy=moved,
        labels=np.where(other, rng.integers(0, num_classes, num), labels[picked]),
        scores=np.round(rng.random(num), 1),
    )
    return truth, found


def no_boxes():
    return BoxColumns(images=[], boxes_xyxy=np.zeros((0, 4)), labels=[])


def table(rows, *, rate=RATE, score=None, visibility=None):
    """A table from (frame, id, x1, y1, x2, y2[, label]) rows."""
    array = np.array([(*row, 0)[:7] for row in rows], float).reshape(-1, 7)
    return TrackTable(
        frames=array[:, 0],
        times_s=array[:, 0] / float(rate),
        ids=array[:, 1],
        boxes_xyxy=array[:, 2:6],
        labels=array[:, 6],
        scores=score,
        visibility=visibility,
    )


def walk(rng, *, num_frames=40, num_objects=5, num_classes=1, missed=0.15, switched=0.05):
    """Objects that wander, with gaps in the truth; tracks with misses, switches, false alarms."""
    truth, found = [], []
    where = rng.uniform(0, 300, (num_objects, 2))
    speed = rng.normal(0, 3, (num_objects, 2))
    size = rng.uniform(15, 60, (num_objects, 2))
    kinds = rng.integers(0, num_classes, num_objects)
    names = np.arange(num_objects)
    fresh = num_objects
    for frame in range(num_frames):
        where = where + speed
        for k in range(num_objects):
            if rng.random() < switched:
                names[k], fresh = fresh, fresh + 1
            if rng.random() < switched and num_objects > 1:
                other = rng.integers(num_objects)
                names[[k, other]] = names[[other, k]]
        for k in range(num_objects):
            box = [*where[k], *(where[k] + size[k])]
            if rng.random() > 0.1:
                truth.append((frame, k + 7, *box, kinds[k]))
            if rng.random() > missed:
                near = np.array(box) + rng.normal(0, 4, 4)
                near[2:] = np.maximum(near[2:], near[:2] + 1)
                kind = kinds[k] if rng.random() > 0.1 else rng.integers(num_classes)
                found.append((frame, names[k], *near, kind))
    scores = np.round(rng.uniform(0.2, 1.0, len(found)), 2)
    order = np.lexsort((np.array([r[1] for r in found]), np.array([r[0] for r in found])))
    return table(truth), table([found[k] for k in order], score=scores)


def video(name, truth, *, num_frames=40, rate=RATE, labelled=None, split=""):
    info = VideoInfo(path=name, width_px=640, height_px=480, rate=rate, num_frames=num_frames)
    return LabelledVideo(
        source=name, info=info, tracks=truth, labelled_frames=labelled, split=split
    )


def scene(num_videos=3, *, num_classes=2, seed=0, num_frames=40, missed=0.15):
    """A dataset and predictions for it."""
    videos, predictions = [], {}
    for k in range(num_videos):
        truth, found = walk(
            np.random.default_rng([seed, k]),
            num_classes=num_classes,
            num_frames=num_frames,
            missed=missed,
        )
        videos.append(video(f"v{k}.mp4", truth, num_frames=num_frames))
        predictions[f"v{k}.mp4"] = found
    classes = tuple(f"class{k}" for k in range(num_classes))
    return Dataset(classes=classes, videos=tuple(videos)), predictions


def perfect(dataset):
    """Predictions equal to the truth."""
    return {
        one.source: replace(one.tracks[~one.tracks.ignore], visibility=None)
        for one in dataset.videos
    }


def trackeval_data(sequence):
    """A sequence as TrackEval's metrics want it."""
    return {
        "num_timesteps": sequence.num_frames,
        "num_gt_ids": sequence.num_truth_ids,
        "num_tracker_ids": sequence.num_found_ids,
        "num_gt_dets": sequence.num_truth,
        "num_tracker_dets": sequence.num_found,
        "gt_ids": list(sequence.truth_ids),
        "tracker_ids": list(sequence.found_ids),
        "similarity_scores": list(sequence.ious),
    }
