"""Writes the golden files beside it: a small dataset, predictions, and what eval says of them.

    python tests/golden/make.py

Run it only when a number is meant to change, and say in the commit which and why. The numbers
themselves are compared with pycocotools, TrackEval and tidecv in ``tests/unit/metrics``.
"""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vodkit.formats.predictions import Header, PredictionWriter
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.records import Dataset, LabelledVideo, Tracks
from vodkit.metrics.bootstrap import BootstrapSettings
from vodkit.metrics.evaluation import EvalSettings, evaluate
from vodkit.metrics.prediction_files import read_predictions
from vodkit.video.synth import CLASSES, Scene, SceneSettings

HERE = Path(__file__).parent
TRUTH, RUNS, NUMBERS = HERE / "truth.json", HERE / "predictions", HERE / "metrics.json"


def truth() -> Dataset:
    """Two short scenes with posts, some of it to be ignored, the second labelled sparsely."""
    videos = []
    for seed in (3, 8):
        scene = Scene(
            SceneSettings(
                seed=seed,
                width_px=160,
                height_px=120,
                num_frames=40,
                rate=Fraction(10),
                num_objects=5,
                size_px=(18, 40),
            )
        )
        tracks = replace(scene.truth, boxes_xyxy=scene.truth.boxes_xyxy.round(2))
        tracks = replace(tracks, visibility=np.asarray(tracks.visibility).round(3))
        tracks = replace(tracks, ignore=np.asarray(tracks.visibility) < 0.1)
        labelled = np.arange(0, 40, 2) if seed == 8 else None
        if labelled is not None:
            tracks = tracks[np.isin(tracks.frames, labelled)]
        videos.append(
            LabelledVideo(
                source=f"{seed}.mp4",
                info=replace(scene.info, path=f"{seed}.mp4"),
                tracks=tracks,
                labelled_frames=labelled,
            )
        )
    return Dataset(classes=CLASSES, videos=tuple(videos))


def found(video: LabelledVideo, rng: np.random.Generator) -> list[Tracks]:
    """A tracker's work on it: jitter, misses, false alarms, a class mixed up, an id switched."""
    assert video.tracks is not None
    steps = []
    for frame in range(video.info.num_frames or 0):
        rows = video.tracks[video.tracks.frames == frame]
        rows = rows[rng.random(len(rows)) < 0.9]
        boxes = rows.boxes_xyxy + rng.normal(0, 2, rows.boxes_xyxy.shape)
        ids = rows.ids + np.where((rows.ids == 1) & (frame > 20), 50, 0)
        labels = np.where(rng.random(len(rows)) < 0.05, 0, rows.labels)
        if rng.random() < 0.3:
            corner = rng.uniform(0, 90, 2)
            boxes = np.vstack([boxes, np.hstack([corner, corner + 25])])
            ids, labels = np.append(ids, 90), np.append(labels, 1)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        scores = rng.random(len(ids)).round(2)
        states, hidden = np.zeros(len(ids), int), np.zeros(len(ids))
        steps.append(Tracks(boxes.round(1), scores, labels, ids, states, hidden_s=hidden))
    return steps


def write_runs(dataset: Dataset) -> None:
    """One predictions file a video."""
    for number, video in enumerate(dataset.videos):
        header = Header(
            source=video.source,
            classes=dataset.classes,
            info=video.info,
            detector="d",
            tracker="t",
        )
        path = RUNS / f"{Path(video.source).stem}.jsonl"
        path.unlink(missing_ok=True)
        with PredictionWriter(path, header) as out:
            for frame, tracks in enumerate(found(video, np.random.default_rng(number))):
                out.write(frame, frame / 10, tracks)


def numbers() -> dict[str, Any]:
    """What ``vodkit eval`` says of the files."""
    dataset = read_dataset(TRUTH)
    given = read_predictions(sorted(RUNS.glob("*.jsonl")), dataset)
    settings = EvalSettings(bootstrap=BootstrapSettings(resamples=100))
    evaluation = evaluate(dataset, given.tables, settings=settings)
    told: dict[str, Any] = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    return told


if __name__ == "__main__":
    whole = truth()
    for path in (
        TRUTH,
        *RUNS.glob("*.jsonl"),
    ):  # vodkit replaces no file that it did not write here
        path.unlink(missing_ok=True)
    write_dataset(whole, TRUTH)
    write_runs(whole)
    NUMBERS.write_text(json.dumps(numbers(), indent=1) + "\n", encoding="utf-8")
