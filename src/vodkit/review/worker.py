"""The process behind ``jobs``: reads one task as JSON, reports progress as JSON lines.

Run as ``python -m vodkit.review.worker``; it may be killed at any moment.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from vodkit.detect.base import Detector
from vodkit.detect.defaults import AUTO, NETWORK
from vodkit.detect.mask_tracker import MaskTracker
from vodkit.detect.models import load_detector
from vodkit.detect.published import MODELS
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground import process
from vodkit.ground.arrays import FloatArray
from vodkit.ground.boxes import iou
from vodkit.ground.errors import VodkitError
from vodkit.ground.records import Dataset, Frame, LabelledVideo, TrackTable, VideoInfo
from vodkit.infer.flow import make_detector, track_video, with_size
from vodkit.infer.settings import InferSettings
from vodkit.metrics.evaluation import evaluate
from vodkit.review.appearance import Appearance
from vodkit.review.curve import Known
from vodkit.review.edits import HIDDEN_S
from vodkit.track.appearance import colours
from vodkit.track.refine import refine
from vodkit.video.reader import open_video

if TYPE_CHECKING:
    from vodkit.train.settings import TrainSettings

_REPORT_S = 1.0
_LOST_S = 0.5
_LEAST_SCORE = 0.02  # of a candidate near the expected place
_FOLLOW_IOU = 0.3
_BATCH = 8
_MOST_FRAMES = 160
"""accepted frames to learn from; of more, every second, third, ... is left out"""
_FEW_FRAMES = 50
"""held-back frames for which finding the fastest runtime takes longer than it saves"""
_RIGHT, _ON = 0.7, 0.3
"""IoU of a box that nobody corrects, and of one that is on the object at all"""
_SCORES = np.arange(0.1, 0.9, 0.1)


def say(**content: Any) -> None:
    """One line for the server."""
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def prelabel(task: dict[str, Any]) -> None:
    """Detect and track a whole video; refined tracks, detections and appearance go to files."""
    settings = sharp(task["model"], [task["video"]])
    detector = make_detector(settings)
    tracked, detected, seen, said = [], [], [], time.monotonic()
    total = _info(task["video"]).num_frames
    for frame, detections, tracks in track_video(task["video"], detector, settings=settings):
        tracked.append((frame.index, frame.time_s, tracks))
        detected.append((frame.index, frame.time_s, detections))
        known = detections.embeddings
        seen.append(colours(frame, detections.boxes_xyxy) if known is None else known)
        if time.monotonic() - said > _REPORT_S:
            said = time.monotonic()
            say(progress=f"frame {frame.index} of {total or '?'}")
    out = Path(task["out"])
    out.mkdir(exist_ok=True)
    info = _info(task["video"])
    for name, table in (
        ("tracks", refine(TrackTable.from_frames(tracked))),
        ("detections", TrackTable.from_frames(detected)),
    ):
        video = LabelledVideo(source="video", info=info, tracks=table)
        write_dataset(Dataset(classes=detector.classes, videos=(video,)), out / f"{name}.json")
    if detected:
        frames = np.repeat([index for index, _, _ in detected], [len(x) for _, _, x in detected])
        boxes = np.concatenate([found.boxes_xyxy for _, _, found in detected])
        Appearance.of(frames, boxes, np.concatenate(seen)).save(out / "appearance.npz")
    say(done=True)


def sharp(model: str, videos: Sequence[str | Path]) -> InferSettings:
    """The settings of prelabelling: at the size of picture at which a published model finds most.

    It takes longer than the network's own size, in the background, and saves a person more. Other
    models, those learnt here too, keep the size that they were trained at: at a larger one they
    find objects twice.
    """
    size = AUTO if model in MODELS else NETWORK
    return with_size(InferSettings(model=model, lenient=True, size=size), videos)


def _info(path: str) -> VideoInfo:
    with open_video(path, strict=False) as video:
        return video.info


def follow(task: dict[str, Any]) -> None:
    """One object from one box, by a video predictor or by the detector's candidates near it."""
    where = (task["video"], int(task["frame"]), np.array(task["box"]))
    if task["follow"]:
        rows, why = followed_by_mask(MaskTracker(Path(task["follow"])), *where, tell=say)
    else:
        detector = load_detector(task["model"], score_threshold=_LEAST_SCORE)
        rows, why = followed(detector, *where, tell=say)
    say(base=rows, why=why)


def followed_by_mask(
    tracker: MaskTracker,
    source: str,
    start: int,
    box: FloatArray,
    *,
    tell: Callable[..., None] = lambda **_words: None,
) -> tuple[list[list[Any]], str]:
    """As ``followed``, by the boxes around a video predictor's masks.

    Ends where the object is not seen for ``HIDDEN_S``; frames before that are bridged.
    """
    rows: list[list[Any]] = []
    seen_s, said = None, time.monotonic()
    with open_video(source, strict=False) as video:
        for found in tracker.follow(video.frames(start=start), box):
            seen_s = found.time_s if seen_s is None or found.box_xyxy is not None else seen_s
            if found.box_xyxy is not None:
                rows.append([found.index, *(round(float(v), 2) for v in found.box_xyxy),
                             round(found.score, 3), int(Known.OBSERVED), None])  # fmt: skip
            elif found.time_s - seen_s > HIDDEN_S:
                return rows, "lost"
            if time.monotonic() - said > _REPORT_S:
                said = time.monotonic()
                tell(progress=f"frame {found.index}")
    return rows, "end of the video"


def followed(
    detector: Detector,
    source: str,
    start: int,
    box: FloatArray,
    *,
    tell: Callable[..., None] = lambda **_words: None,
) -> tuple[list[list[Any]], str]:
    """Knots (as in ``curve.to_json``) from frame ``start`` on, and why they end there.

    The box moves with the speed of the last found ones; the class of a candidate does not matter,
    its overlap with the expected box and its score do. Ends where nothing fits for half a second,
    or at the edge of the picture.
    """
    place, speed = box.astype(float), np.zeros(4)
    rows: list[list[Any]] = []
    found_s, said = -1.0, time.monotonic()
    why, previous_s = "end of the video", 0.0
    with open_video(source, strict=False) as video:
        width, height = video.info.width_px, video.info.height_px
        for frame in video.frames(start=start):
            dt = frame.time_s - previous_s if rows or found_s >= 0 else 0.0
            previous_s = frame.time_s
            expected = place + speed * dt
            best = _candidate(detector, frame, expected)
            if best is None:
                found_s = frame.time_s if found_s < 0 else found_s
                place = expected
                if frame.time_s - found_s > _LOST_S:
                    why = "lost"
                    break
                continue
            seen, score = best
            if dt > 0 and rows:
                moved = (seen - np.array(rows[-1][1:5])) / (frame.time_s - found_s)
                speed = 0.7 * speed + 0.3 * moved
            place, found_s = seen, frame.time_s
            rows.append([frame.index, *(round(float(v), 2) for v in seen), round(score, 3),
                         int(Known.OBSERVED), None])  # fmt: skip
            if min(seen[0], seen[1]) <= 0 or seen[2] >= width or seen[3] >= height:
                outside = np.any(expected[2:] < 0) or expected[0] > width or expected[1] > height
                if outside:
                    why = "it left the picture"
                    break
            if time.monotonic() - said > _REPORT_S:
                said = time.monotonic()
                tell(progress=f"frame {frame.index}")
    return rows, why


def _candidate(
    detector: Detector, frame: Frame, expected: FloatArray
) -> tuple[FloatArray, float] | None:
    found = detector.detect([frame])[0]
    if not len(found):
        return None
    overlap = iou(found.boxes_xyxy.astype(float), expected[None])[:, 0]
    value = np.where(overlap >= _FOLLOW_IOU, overlap + 0.3 * found.scores, -1)
    best = int(value.argmax())
    if value[best] < 0:
        return None
    return found.boxes_xyxy[best].astype(float), float(found.scores[best])


def learn(task: dict[str, Any]) -> None:
    """Fine-tune on accepted frames; what is left to correct on the held-back ones, and AP50."""
    from vodkit.train.loop import train
    from vodkit.train.progress import Progress

    dataset = read_dataset(task["data"])
    held, root = dataset.only("val"), Path(task["data"]).parent
    before = checked(task["model"], held, root)
    said = time.monotonic()

    def watch(progress: Progress) -> None:
        nonlocal said
        if time.monotonic() - said > _REPORT_S:
            said = time.monotonic()
            epochs = f", epoch {progress.epoch + 1} of {progress.num_epochs}"
            say(progress=f"{progress.what}{epochs if progress.num_epochs else ''}")

    known = set(dataset.classes) <= set(load_detector(task["model"]).classes)
    settings = learning(task, dataset, known=known)
    checkpoint = str(train(settings, overwrite=True, watch=watch).checkpoint)
    after, frames = checked(checkpoint, held, root), _num_labelled(held)
    say(checkpoint=checkpoint, before=before, after=after, frames=frames)


def learning(task: Mapping[str, Any], dataset: Dataset, *, known: bool) -> "TrainSettings":
    """A training of at most three minutes on two idle cores.

    Where the model knows all classes, the head alone learns, for a few steps: on another video this
    saves as many corrections as many steps with the neck do (docs/benchmarks/labelling.md). For a
    new class the neck learns, too.
    """
    from vodkit.train.settings import TrainSettings

    every = max(1, -(-_num_labelled(dataset.only("train")) // _MOST_FRAMES))
    frames = -(-_num_labelled(dataset.only("train")) // every)
    steps, most = (40, 20) if known else (80, 40)
    epochs = min(max(-(-steps // -(-frames // _BATCH)), 4), most)
    return TrainSettings(
        data=task["data"],
        out=task["out"],
        model=task["model"],
        val_split="",
        batch_size=_BATCH,
        epochs=task["epochs"] or epochs,
        every=every,
        still_iou=1.0,
        ema_decay=0.98,
        freeze="head-only" if known else "backbone",
        save_every_s=math.inf,
    )


def _num_labelled(dataset: Dataset) -> int:
    return sum(len(v.labelled_frames) for v in dataset.videos if v.labelled_frames is not None)


def checked(model: str, held: Dataset, root: Path) -> tuple[int, float]:
    """Boxes to correct, and AP50, of a model's detections on the labelled frames.

    A label without a detection of IoU 0.7 is to be corrected, and a detection that is on no label
    is to be removed. The score from which detections count is the best for the model: the tracker
    adapts to a model's scores. Pictures have the size that prelabelling uses.
    """
    size = sharp(model, [root / video.source for video in held.videos]).size
    runtime = "torch" if _num_labelled(held) <= _FEW_FRAMES else AUTO
    detector = load_detector(model, score_threshold=0.01, size=size, runtime=runtime)
    ours = {k: held.classes.index(n) for k, n in enumerate(detector.classes) if n in held.classes}
    if not ours:
        return _num_boxes(held), 0.0  # it knows none of the classes yet
    tables = {}
    for video in held.videos:
        rows = []
        assert video.labelled_frames is not None
        with open_video(root / video.source, strict=False) as opened:
            for frame in opened.frames_at(video.labelled_frames.tolist()):
                found = detector.detect([frame])[0]
                known = found[np.isin(found.labels, list(ours))]
                rows.append((frame.index, frame.time_s, known))
        table = TrackTable.from_frames(rows)
        labels = np.array([ours[int(x)] for x in table.labels], np.int64)
        tables[video.source] = replace(table, labels=labels)
    ap50 = evaluate(held, tables).detection.coco.overall.ap50
    return to_correct(held, tables), float(ap50 or 0.0)


def _num_boxes(held: Dataset) -> int:
    return sum(len(video.tracks) for video in held.videos if video.tracks is not None)


def to_correct(held: Dataset, found: Mapping[str, TrackTable]) -> int:
    """Boxes to correct at the score threshold that leaves the fewest."""
    counts = np.zeros(len(_SCORES), int)
    for video in held.videos:
        truth, given = video.tracks or TrackTable.empty(), found[video.source]
        scores, ignored = given.scores, truth.ignore
        assert scores is not None
        assert ignored is not None
        assert video.labelled_frames is not None
        for frame in video.labelled_frames.tolist():
            mine = truth[(truth.frames == frame) & ~ignored]
            there = given[given.frames == frame]
            overlap = iou(there.boxes_xyxy, mine.boxes_xyxy)
            overlap[there.labels[:, None] != mine.labels] = 0
            for place, least in enumerate(_SCORES):
                sure = scores[given.frames == frame] >= least
                counts[place] += _wrong(overlap[sure])
    return int(counts.min())


def _wrong(overlap: FloatArray) -> int:
    """Labels (columns) without a right box, and boxes (rows) that are on no label."""
    rows, columns = linear_sum_assignment(-overlap)
    right = np.count_nonzero(overlap[rows, columns] >= _RIGHT)
    return int(overlap.shape[1] - right + np.count_nonzero(overlap.max(axis=1, initial=0) < _ON))


TASKS = {"prelabel": prelabel, "follow": follow, "learn": learn}


def main() -> int:
    """Carry out the task on standard input."""
    process.settle()
    task = json.load(sys.stdin)
    try:
        TASKS[task["do"]](task)
    except VodkitError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
