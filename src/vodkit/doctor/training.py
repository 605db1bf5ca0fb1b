"""Causes in a training: its curve, its loss, its time and memory."""

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vodkit.doctor.causes import Cause, share_of
from vodkit.ground.errors import FormatError

RISING = 0.01
"""gain of AP in the last third of the validations, above which more epochs would help"""
FELL = 0.03
WAITED = 0.3


def read_log(path: Path) -> list[dict[str, float]]:
    """The rows of ``log.csv``; empty cells are left out.

    Raises:
        FormatError: It cannot be read as such a file.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [
                {name: float(value) for name, value in row.items() if value}
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise FormatError(f"not the log of a training: {error}", path=path) from error
    if not rows:
        raise FormatError("the training has not finished an epoch", path=path)
    return rows


def training_causes(rows: list[dict[str, float]]) -> tuple[list[Cause], dict[str, Any]]:
    """Causes in the log of a training, one row an epoch."""
    curve = [(int(row["epoch"]), row["ap"]) for row in rows if "ap" in row]
    waits = [row["wait"] for row in rows if "wait" in row]
    facts: dict[str, Any] = {
        "epochs": len(rows),
        "ap": [round(ap, 4) for _, ap in curve],
        "wait": round(sum(waits) / len(waits), 3) if waits else None,
    }
    causes = [*_curve(curve), *_loss(rows), *_machine(rows, facts["wait"])]
    if curve:
        best = max(rows, key=lambda row: row.get("ap", -1.0))
        causes += loose(best["ap"], best.get("ap50"), "validation")
    return causes, facts


def _curve(curve: list[tuple[int, float]]) -> Iterator[Cause]:
    if len(curve) < 3:
        return
    aps = [ap for _, ap in curve]
    best = max(aps)
    earlier = max(aps[: max(len(aps) * 2 // 3, 1)])
    gain = best - earlier
    if best in aps[-2:] and gain > max(RISING, 0.02 * best):
        yield Cause(
            code="still-rising",
            weight=max(share_of(gain, 0, 0.15), 0.3),
            seen=f"AP rose from {earlier:.3f} to {best:.3f} in the last third of the epochs",
            advice="more epochs (--epochs), or a higher rate (--set lr=...)",
        )
    place = aps.index(best)
    if place <= len(aps) // 2 and best - aps[-1] > FELL:
        yield Cause(
            code="overfit",
            weight=max(share_of(best - aps[-1], 0, 0.2), 0.3),
            seen=f"AP fell from {best:.3f} (epoch {curve[place][0]}) to {aps[-1]:.3f} at the end",
            advice="more labels, stronger --set augment.*, fewer epochs or a lower lr",
        )


def _loss(rows: list[dict[str, float]]) -> Iterator[Cause]:
    losses = [row["loss"] for row in rows if "loss" in row]
    broken = [one for one in losses if not math.isfinite(one)]
    if broken or (len(losses) > 2 and losses[-1] > 1.1 * losses[0]):
        yield Cause(
            code="diverged",
            weight=1.0 if broken else 0.9,
            seen=f"the loss went from {losses[0]:.3g} to {losses[-1]:.3g}",
            advice="a lower rate: --set lr=5e-4; --set clip_norm=1",
        )


def _machine(rows: list[dict[str, float]], wait: float | None) -> Iterator[Cause]:
    if wait is not None and wait > WAITED:
        yield Cause(
            code="waiting",
            weight=share_of(wait, 0, 1) / 2,
            seen=f"{wait:.0%} of the time of steps was spent waiting for data",
            advice="--set workers=2, a local copy of the videos, or stored features",
        )
    halved = max(row.get("halvings", 0.0) for row in rows)
    if halved:
        yield Cause(
            code="memory",
            weight=0.2,
            seen=f"parts of steps were halved {halved:.0f} times",
            advice="--set accumulate=2, or a smaller --batch-size",
        )


def loose(ap: float | None, ap50: float | None, where: str) -> Iterator[Cause]:
    """Whether boxes are found at IoU 0.5 and not much above it."""
    if ap is None or ap50 is None or ap50 < 0.5:
        return
    if ap / ap50 < 0.5:
        yield Cause(
            code="loose-boxes",
            weight=share_of(ap / ap50, 0.6, 0.2),
            seen=f"{where}: AP50 is {ap50:.3f}, AP {ap:.3f}",
            advice="tighter labels (vodkit data preview), --freeze none, or a larger input",
        )
