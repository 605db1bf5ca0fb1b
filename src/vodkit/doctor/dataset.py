"""Causes in a dataset: too few labels, too few recordings, small objects, uneven sides."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from vodkit.doctor.causes import Cause, share_of
from vodkit.ground.arrays import FloatArray
from vodkit.ground.boxes import iou_pairs
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo, TrackTable

ENOUGH_BOXES = 300
"""labelled boxes of a class in training, above which their number is no cause"""
ENOUGH_RECORDINGS = 3
TINY_PX = 16.0
"""side of a box at the network's input, below which detectors with a stride of 8 miss most objects
(two cells of the finest map)"""
RARE = 0.05
"""boxes of a class beside those of the most frequent one"""
TEST_BOXES = 30
MOVED_IOU = 0.5
"""median overlap of an object with itself one frame later, below which association is ambiguous"""


@dataclass(frozen=True, kw_only=True)
class Input:
    """The size of a network's input, and what pictures lose on the way to it."""

    model: str
    width_px: int
    height_px: int

    def scale(self, width_px: int, height_px: int) -> float:
        """Factor from pixels of a picture to pixels of the input, the aspect kept."""
        return min(self.width_px / width_px, self.height_px / height_px)


def dataset_causes(dataset: Dataset, network: Input | None) -> tuple[list[Cause], dict[str, Any]]:
    """Causes and the numbers they come from.

    Args:
        dataset: With its splits, where it has some.
        network: The input of the detector to train; None: sizes are not judged.
    """
    sides = {video.split for video in dataset.videos}
    training = [one for one in dataset.videos if one.split == "train" or sides == {""}]
    counts = {name: _count(training, label) for label, name in enumerate(dataset.classes)}
    facts: dict[str, Any] = {
        "boxes_in_training": {name: boxes for name, (boxes, _) in counts.items()},
        "recordings_in_training": {name: videos for name, (_, videos) in counts.items()},
    }
    causes = [
        *_few(counts),
        *_sides(dataset, counts),
        *_leaks(dataset),
        *_skipped(dataset),
        *_motion(dataset, facts),
    ]
    if network is not None:
        causes += _tiny(training, network, facts)
    return causes, facts


def _rows(video: LabelledVideo) -> TrackTable | None:
    """The boxes of a video that are no ignore regions."""
    table = video.tracks
    return None if table is None else table[~np.asarray(table.ignore, dtype=bool)]


def _count(videos: list[LabelledVideo], label: int) -> tuple[int, int]:
    """Boxes of a class, and recordings that have some."""
    found = [
        int((rows.labels == label).sum()) for one in videos if (rows := _rows(one)) is not None
    ]
    return sum(found), sum(count > 0 for count in found)


def _few(counts: dict[str, tuple[int, int]]) -> Iterator[Cause]:
    most = max((boxes for boxes, _ in counts.values()), default=0)
    for name, (boxes, recordings) in counts.items():
        if not boxes:
            continue  # see _sides
        if boxes < ENOUGH_BOXES:
            yield Cause(
                code="few-labels",
                weight=share_of(boxes, ENOUGH_BOXES, 0),
                seen=f"{name}: {boxes} boxes to learn from",
                advice=f"label {ENOUGH_BOXES} or more, in other recordings: vodkit data sample",
            )
        if recordings < ENOUGH_RECORDINGS:
            yield Cause(
                code="few-recordings",
                weight=0.6 if recordings == 1 else 0.4,
                seen=f"{name}: in {recordings} recording{'s' * (recordings > 1)}",
                advice=f"label {ENOUGH_RECORDINGS} or more recordings: other places, light, days",
            )
        if boxes < RARE * most:
            yield Cause(
                code="rare-class",
                weight=share_of(boxes / most, RARE, 0),
                seen=f"{name}: {boxes} boxes, the most frequent class has {most}",
                advice="vodkit train --set rare_share=0.1, or more labels of it",
            )


def _sides(dataset: Dataset, counts: dict[str, tuple[int, int]]) -> Iterator[Cause]:
    for side in ("val", "test"):
        videos = [one for one in dataset.videos if one.split == side]
        if not videos:
            continue
        total = 0
        for label, name in enumerate(dataset.classes):
            boxes, _ = _count(videos, label)
            total += boxes
            if boxes and not counts[name][0]:
                yield Cause(
                    code="new-class",
                    weight=0.95,
                    seen=f"{name}: {boxes} boxes in {side}, none in train",
                    advice="split again (vodkit data split), or merge classes that are one",
                )
        if total < TEST_BOXES:
            yield Cause(
                code="few-test-labels",
                weight=share_of(total, 2 * TEST_BOXES, 0),
                seen=f"{side}: {total} boxes",
                advice="label more of this side: a figure from so few boxes is mostly chance",
            )


def _leaks(dataset: Dataset) -> Iterator[Cause]:
    """What the split warned of, and one source on several sides."""
    sides: dict[str, set[str]] = {}
    for video in dataset.videos:
        sides.setdefault(video.source, set()).add(video.split)
    shared = sorted(source for source, found in sides.items() if len(found) > 1)
    warned = sorted({dict(one.tags).get("split_warning", "") for one in dataset.videos} - {""})
    if shared or warned:
        yield Cause(
            code="leak",
            weight=0.7,
            seen="; ".join([*(f"{one} is on several sides" for one in shared), *warned]),
            advice="measure on another recording; vodkit data audit finds shared footage",
        )


def _skipped(dataset: Dataset) -> Iterator[Cause]:
    contained = sum(one.contained for one in dataset.accounts)
    skipped = sum(one.num_skipped for one in dataset.accounts)
    if contained and skipped / contained > 0.02:
        yield Cause(
            code="skipped-labels",
            weight=share_of(skipped / contained, 0, 0.5),
            seen=f"{skipped} of {contained} objects of the label files have no box",
            advice="vodkit data import prints the reasons; see --box-size",
        )


def _tiny(videos: list[LabelledVideo], network: Input, facts: dict[str, Any]) -> Iterator[Cause]:
    sides = [_sides_px(video, network) for video in videos]
    yield from tiny_cause(np.concatenate([np.zeros(0), *sides]), network, facts)


def _sides_px(video: LabelledVideo, network: Input) -> FloatArray:
    rows = _rows(video)
    if rows is None:
        return np.zeros(0)
    info = video.info
    return input_sides(rows.boxes_xyxy, network.scale(info.width_px, info.height_px))


def input_sides(boxes_xyxy: FloatArray, scale: float) -> FloatArray:
    """Square root of the area of each box at the network's input, in its pixels."""
    size = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    return np.sqrt(np.maximum(size[:, 0] * size[:, 1], 0.0)) * scale


def tiny_cause(sides_px: FloatArray, network: Input, facts: dict[str, Any]) -> Iterator[Cause]:
    """Whether a share of the objects is too small at the network's input."""
    if not len(sides_px):
        return
    tiny = float((sides_px < TINY_PX).mean())
    median = float(np.median(sides_px))
    facts["input_px"] = [network.width_px, network.height_px]
    facts["median_side_at_input_px"] = round(median, 1)
    facts["share_tiny"] = round(tiny, 3)
    if tiny > 0.2:
        factor = min(max(1.5 * TINY_PX / max(median, 1.0), 1.5), 3.0)
        larger = 32 * round(factor * network.width_px / 32)
        yield Cause(
            code="tiny-objects",
            weight=share_of(tiny, 0.1, 0.9),
            seen=(
                f"{tiny:.0%} of the boxes are below {TINY_PX:g} px at the input of "
                f"{network.model} ({network.width_px}x{network.height_px}); median {median:.0f} px"
            ),
            advice=f"train with --set width_px={larger} --set height_px={larger}, or use --tiles",
        )


def _motion(dataset: Dataset, facts: dict[str, Any]) -> Iterator[Cause]:
    overlaps = [
        step_overlaps(rows) for video in dataset.videos if (rows := _rows(video)) is not None
    ]
    yield from motion_cause(np.concatenate([np.zeros(0), *overlaps]), facts)


def step_overlaps(rows: TrackTable) -> FloatArray:
    """IoU of each tracked box with the box of the same id in the next frame that has one."""
    owned = rows[rows.ids != NO_ID]
    order = np.lexsort((owned.frames, owned.ids))
    ids, boxes = owned.ids[order], owned.boxes_xyxy[order]
    same = ids[1:] == ids[:-1]
    if not same.any():
        return np.zeros(0)
    return iou_pairs(boxes[1:][same], boxes[:-1][same])


def motion_cause(overlaps: FloatArray, facts: dict[str, Any]) -> Iterator[Cause]:
    """Whether objects leave their own box from one frame to the next."""
    if len(overlaps) < 10:
        return
    median = float(np.median(overlaps))
    facts["median_step_iou"] = round(median, 3)
    if median < MOVED_IOU:
        yield Cause(
            code="low-frame-rate",
            weight=share_of(median, MOVED_IOU + 0.2, 0),
            seen=f"the median overlap of an object with itself one frame later is {median:.2f}",
            advice="label and track more frames a second; no --every; --tracker vodkit",
        )
