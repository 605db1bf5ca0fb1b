"""Causes in the tracks of one video, without labels: blinking, broken tracks, small objects."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from vodkit.doctor.causes import Cause, share_of
from vodkit.doctor.dataset import Input, input_sides, motion_cause, step_overlaps, tiny_cause
from vodkit.formats.predictions import Predictions
from vodkit.ground.records import NO_ID, State, TrackTable
from vodkit.infer.manifest import Ended, Manifest

GAP_S = 2.0
"""seconds in which a track that begins near where another one ended probably continues it"""
NEAR = 2.0
"""distance of these places, in sides of the box"""
MIDDLE = 0.05
"""share of the picture at its rim in which objects enter and leave"""


def tracks_causes(
    given: Predictions, manifest: Manifest | None, network: Input | None
) -> tuple[list[Cause], dict[str, Any]]:
    """Causes and the numbers they come from.

    Args:
        given: The final rows of a predictions file, hidden objects included.
        manifest: How the run ended, where that is known.
        network: The input of the detector that ran; None: sizes are not judged.
    """
    table, info = given.table, given.header.info
    owned = table[table.ids != NO_ID]
    facts: dict[str, Any] = {
        "frames": len(given.clock),
        "tracks": len(np.unique(owned.ids)),
        "boxes": len(table),
    }
    causes = [
        *_nothing(given, manifest),
        *_states(owned, facts),
        *_scores(table, facts),
        *_ended(manifest),
    ]
    causes += motion_cause(step_overlaps(_observed(owned)), facts)
    causes += _broken(owned, info.width_px, info.height_px, facts)
    if network is not None:
        sides = input_sides(table.boxes_xyxy, network.scale(info.width_px, info.height_px))
        causes += tiny_cause(sides, network, facts)
    return causes, facts


def _observed(table: TrackTable) -> TrackTable:
    states = table.states
    return table if states is None else table[states == State.OBSERVED]


def _nothing(given: Predictions, manifest: Manifest | None) -> Iterator[Cause]:
    if len(given.table) or not given.clock:
        return
    model = given.header.detector or (manifest.model.get("name", "") if manifest else "")
    yield Cause(
        code="nothing-found",
        weight=1.0,
        seen=f"no box in {len(given.clock)} frames; {model or 'the model'} detects "
        f"{', '.join(given.header.classes[:8])}",
        advice="a model of your class (vodkit models; --prompt 'a fly'; train an own one), a lower "
        "--score-threshold, --tiles auto for small objects",
    )


def _states(table: TrackTable, facts: dict[str, Any]) -> Iterator[Cause]:
    if table.states is None or not len(table):
        return
    hidden = float((table.states == State.PREDICTED).mean())
    facts["share_predicted"] = round(hidden, 3)
    if hidden > 0.25:
        yield Cause(
            code="blinking",
            weight=share_of(hidden, 0.1, 0.6),
            seen=f"{hidden:.0%} of the boxes are predicted: the detector missed the object there",
            advice="--temporal links, a lower --score-threshold, or a better detector",
        )


def _scores(table: TrackTable, facts: dict[str, Any]) -> Iterator[Cause]:
    scores = table.scores
    if scores is None or len(table) < 10:
        return
    median = float(np.median(scores))
    facts["median_score"] = round(median, 3)
    if median < 0.35:
        yield Cause(
            code="low-scores",
            weight=share_of(median, 0.5, 0.05),
            seen=f"the median score of tracked boxes is {median:.2f}",
            advice="the detector does not fit this video: fine-tune it on some of its frames",
        )


def _ended(manifest: Manifest | None) -> Iterator[Cause]:
    if manifest is None:
        return
    if manifest.ended in {Ended.PARTIAL, Ended.BROKEN, Ended.RUNNING}:
        yield Cause(
            code="incomplete",
            weight=0.8,
            seen=f"the run is {manifest.ended.value}: {manifest.reason or 'not at its end'}",
            advice="--resume; a damaged video: --lenient, or repair it",
        )
    cut = int((manifest.summary or {}).get("num_truncated", 0))
    if cut:
        yield Cause(
            code="truncated",
            weight=0.5,
            seen=f"{cut} frames have more detections than are kept",
            advice="a larger --max-detections, or a higher --score-threshold",
        )


def _broken(
    table: TrackTable, width_px: int, height_px: int, facts: dict[str, Any]
) -> Iterator[Cause]:
    """Tracks that end inside the picture where, soon after, another one of its class begins."""
    spans = _spans(table)
    if len(spans) < 2:
        return
    continued = sum(
        any(_continues(one, other) for other in spans if other is not one)
        for one in spans
        if _inside(one["last_box"], width_px, height_px)
    )
    share = continued / len(spans)
    facts["share_continued_by_another"] = round(share, 3)
    if continued > 1 and share > 0.2:
        yield Cause(
            code="broken-tracks",
            weight=share_of(share, 0.1, 0.7),
            seen=(
                f"{continued} of {len(spans)} tracks end in mid-picture, and another one begins "
                f"there within {GAP_S:g} s"
            ),
            advice="vodkit refine; --set life.lost_s=4; --appearance roi",
        )


def _spans(table: TrackTable) -> list[dict[str, Any]]:
    order = np.lexsort((table.frames, table.ids))
    ids = table.ids[order]
    firsts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]]) if len(ids) else np.zeros(0, int)
    lasts = np.r_[firsts[1:] - 1, len(ids) - 1] if len(ids) else firsts
    times, boxes, labels = table.times_s[order], table.boxes_xyxy[order], table.labels[order]
    return [
        {
            "began": times[first], "ended": times[last], "label": labels[first],
            "first_box": boxes[first], "last_box": boxes[last],
        }
        for first, last in zip(firsts, lasts, strict=True)
    ]  # fmt: skip


def _continues(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether ``other`` begins soon after and near where ``one`` ended, with about its size."""
    wait = other["began"] - one["ended"]
    if not 0 < wait <= GAP_S or other["label"] != one["label"]:
        return False
    a, b = one["last_box"], other["first_box"]
    side_a, side_b = (np.sqrt(max((x[2] - x[0]) * (x[3] - x[1]), 1.0)) for x in (a, b))
    away = np.hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]) / 2
    alike = 0.5 < side_a / side_b < 2
    return bool(alike and away < NEAR * max(side_a, side_b))


def _inside(box: Any, width_px: int, height_px: int) -> bool:
    rim_x, rim_y = MIDDLE * width_px, MIDDLE * height_px
    return bool(
        box[0] > rim_x
        and box[1] > rim_y
        and box[2] < width_px - rim_x
        and box[3] < height_px - rim_y
    )
