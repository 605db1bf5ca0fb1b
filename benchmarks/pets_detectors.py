"""AP of person detection on PETS09-S2L1 and TUD-Campus (held out: never train or tune on them).

python benchmarks/pets_detectors.py --model vodkit-street --data FOLDER
FOLDER holds vtest.avi and gt.txt, or is a sequence of MOTChallenge (img1, gt/gt.txt).
Prints one JSON line: AP50, AP (IoU 0.50:0.95), frames, milliseconds a frame, versions.
"""

import argparse
import contextlib
import io
import json
import time
from pathlib import Path

import av
import numpy as np
from hotcoco import COCO, COCOeval

from vodkit.detect.models import load_detector
from vodkit.ground.records import Detections, Frame
from vodkit.ground.runs import stack

FPS = 7  # of PETS09-S2L1; detectors do not mind


def frames_of(folder: Path) -> list[Frame]:
    files = sorted((folder / "img1").glob("*.jpg")) or [folder / "vtest.avi"]
    frames: list[Frame] = []
    for file in files:
        with av.open(str(file)) as container:
            for decoded in container.decode(video=0):
                frames.append(
                    Frame(len(frames), len(frames) / FPS, decoded.to_ndarray(format="rgb24"))
                )
    return frames


def truth_of(folder: Path) -> np.ndarray:
    """Rows (frame 0-based, left, top, width, height) of the boxes that count."""
    path = folder / "gt" / "gt.txt" if (folder / "gt").is_dir() else folder / "gt.txt"
    rows = np.loadtxt(path, delimiter=",", ndmin=2)
    rows = rows[rows[:, 6] != 0]
    return np.column_stack([rows[:, 0] - 1, rows[:, 2:6]])


def average_precision(truth: np.ndarray, found: list[Detections], label: int) -> dict[str, float]:
    boxes = [
        {
            "id": i + 1,
            "image_id": int(row[0]) + 1,
            "category_id": 1,
            "bbox": row[1:].tolist(),
            "area": float(row[3] * row[4]),
            "iscrowd": 0,
        }
        for i, row in enumerate(truth)
    ]
    images = [{"id": i + 1, "width": 768, "height": 576} for i in range(len(found))]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "person"}]}
    guesses = []
    for image, detections in enumerate(found):
        some = detections[detections.labels == label]
        for box, score in zip(some.boxes_xyxy.tolist(), some.scores.tolist(), strict=True):
            left, top, right, bottom = box
            guesses.append(
                {
                    "image_id": image + 1,
                    "category_id": 1,
                    "bbox": [left, top, right - left, bottom - top],
                    "score": score,
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(content)
        engine = COCOeval(coco, coco.load_res(guesses), "bbox")
        engine.evaluate()
        engine.accumulate()
        engine.summarize()
    return {"AP50": round(float(engine.stats[1]), 4), "AP": round(float(engine.stats[0]), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--weights", default="default")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--max-frames", type=int, default=None)
    options = parser.parse_args()
    frames = frames_of(options.data)[: options.max_frames]
    truth = truth_of(options.data)
    truth = truth[truth[:, 0] < len(frames)]
    detector = load_detector(
        options.model,
        runtime=options.runtime,
        weights=options.weights,
        score_threshold=0.01,
        max_detections=None,
    )
    detector.detect(frames[: options.batch])  # compile before the clock starts
    started = time.perf_counter()
    found: list[Detections] = []
    for start in range(0, len(frames), options.batch):
        found += detector.detect(frames[start : start + options.batch])
    took = (time.perf_counter() - started) / len(frames)
    numbers = average_precision(truth, found, detector.classes.index("person"))
    line = {"model": options.model, "runtime": str(detector.runs_on), **numbers}
    line |= {"frames": len(frames), "ms_per_frame": round(took * 1e3, 2), "versions": stack()}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
