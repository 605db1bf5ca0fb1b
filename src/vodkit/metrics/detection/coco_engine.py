"""The COCO engine behind one door: hotcoco, or any other package with pycocotools' interface.

All give the same grid of numbers; hotcoco is the fastest. Annotations are numbered from 1,
because pycocotools takes a match with annotation 0 for a miss (cocoapi issue 664).
"""

import contextlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import SettingsError
from vodkit.ground.lookup import pick
from vodkit.metrics.detection.columns import BoxColumns, exact_xywh, rank_in_group, spread_ignore

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MAX_FOUND = (1, 10, 100)

Classes: TypeAlias = tuple[Any, Any]


@dataclass(frozen=True, eq=False)
class CocoGrid:
    """pycocotools' arrays; -1 where there is nothing to be found.

    T IoU thresholds, R recalls, K classes, A areas (all, small, medium, large), M = 1, 10, 100
    detections a picture.
    """

    precision: FloatArray
    """(T, R, K, A, M)"""
    recall: FloatArray
    """(T, K, A, M)"""
    scores: FloatArray
    """(T, R, K, A, M): the score at which each recall is reached"""
    engine: str


def evaluate_grid(
    truth: BoxColumns,
    found: BoxColumns,
    *,
    num_images: int,
    num_classes: int,
    engine: str = "auto",
) -> CocoGrid:
    """COCO's precision, recall and score grids for numbered pictures and classes.

    Ignore rows of ``truth`` are crowds. ``engine`` is a key of ENGINES, or ``auto``: the first
    that is installed.
    """
    if num_classes == 0:
        nothing = np.full((10, 101, 0, 4, 3), -1.0)
        return CocoGrid(nothing, nothing[:, 0], nothing, "none")
    name, (coco, coco_eval) = _load(engine)
    build = _hotcoco_pair if name == "hotcoco" else _dict_pair
    crowds = spread_ignore(truth, num_classes)
    # What is beyond the 100 best of its picture and class never counts, but takes time.
    group = found.images * num_classes + found.labels
    found = found[rank_in_group(group, found.scores) < MAX_FOUND[-1]]
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pair = build(coco, crowds, found, num_images, num_classes)
        run = coco_eval(*pair, "bbox")
        run.params.imgIds = list(range(1, num_images + 1))
        run.params.catIds = list(range(1, num_classes + 1))
        run.evaluate()
        run.accumulate()
    grid = run.eval
    return CocoGrid(grid["precision"], grid["recall"], grid["scores"], name)


def _hotcoco() -> Classes:
    from hotcoco import COCO, COCOeval

    return COCO, COCOeval


def _faster_coco_eval() -> Classes:
    from faster_coco_eval import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
        COCO,
        COCOeval_faster,
    )

    return COCO, COCOeval_faster


def _pycocotools() -> Classes:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    return COCO, COCOeval


ENGINES: dict[str, Callable[[], Classes]] = {
    "hotcoco": _hotcoco,
    "faster-coco-eval": _faster_coco_eval,
    "pycocotools": _pycocotools,
}


def _load(engine: str) -> tuple[str, Classes]:
    if engine != "auto":
        return engine, pick(ENGINES, engine, "COCO engine")()
    for name, load in ENGINES.items():
        with contextlib.suppress(ImportError):
            return name, load()
    raise SettingsError(f"no COCO engine is installed; install one of: {', '.join(ENGINES)}")


def _hotcoco_pair(
    coco: Any, truth: BoxColumns, found: BoxColumns, num_images: int, num_classes: int
) -> tuple[Any, Any]:
    images = [{"id": n + 1, "width": 0, "height": 0} for n in range(num_images)]
    categories = [{"id": n + 1, "name": str(n)} for n in range(num_classes)]
    there = coco.from_arrays(
        images,
        categories,
        truth.images + 1,
        truth.labels + 1,
        exact_xywh(truth.boxes_xyxy),
        ids=np.arange(1, len(truth) + 1),
        area=truth.areas,
        iscrowd=truth.ignore.astype(np.int64),
    )
    rows = np.column_stack(
        [
            found.images + 1.0,
            exact_xywh(found.boxes_xyxy),
            found.scores,
            found.labels + 1,
        ]
    )
    return there, there.loadRes(rows)


def _dict_pair(
    coco: Any, truth: BoxColumns, found: BoxColumns, num_images: int, num_classes: int
) -> tuple[Any, Any]:
    """Two datasets of dicts; ``loadRes`` is passed by, as it refuses an empty list."""
    frame = {
        "info": {},
        "images": [{"id": n + 1, "width": 0, "height": 0} for n in range(num_images)],
        "categories": [{"id": n + 1, "name": str(n)} for n in range(num_classes)],
    }
    made = []
    for columns in (truth, found):
        one = coco()
        one.dataset = {**frame, "annotations": _annotations(columns)}
        one.createIndex()
        made.append(one)
    return made[0], made[1]


def _annotations(columns: BoxColumns) -> list[dict[str, Any]]:
    rows = zip(
        columns.images.tolist(),
        columns.labels.tolist(),
        exact_xywh(columns.boxes_xyxy).tolist(),
        columns.areas.tolist(),
        columns.ignore.tolist(),
        columns.scores.tolist(),
        strict=True,
    )
    return [
        {
            "id": number,
            "image_id": image + 1,
            "category_id": label + 1,
            "bbox": box,
            "area": size,
            "iscrowd": int(crowd),
            "score": score,
        }
        for number, (image, label, box, size, crowd, score) in enumerate(rows, 1)
    ]
