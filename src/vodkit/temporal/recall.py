"""Recall: a learnt memory of candidates, on top of any frozen detector.

Each candidate of a frame attends to those of remembered frames, one frame at a time: by place and
size (as ``links``: moved along with the remembered candidate's own velocity, in units that grow
with the lag), and by the likeness of its features. Attention includes an answer "none of them". The
logits that it gathers are averaged with the candidate's own. A small network sees how well the
candidate is remembered and how the whole frame compares with the remembered ones. It decides how
much memory counts (a blurred frame is trusted less), whether the score is raised or lowered beyond
that, and how much boxes are steadied. Its last layer begins as zero, so an untrained head is
``links``. It is given nothing that is of one camera: no sizes, no numbers of objects, no features,
no sums over frames; with these, heads were better on the cameras that they were trained on and
worse than no memory on others (docs/benchmarks/temporal.md).

Aggregating candidates instead of maps follows YOLOV (Shi et al. 2023, arXiv 2208.09686); attending
by place and time as well as by appearance, its successor (arXiv 2412.19467).

The same code runs in numpy here and in torch where heads are trained (``train/temporal.py``): every
function takes the module of array functions ``xp``. Shapes are fixed, with masks, so that numbers
do not depend on how full the memory is.

Legend: N candidates of a frame, L slots (lags), K candidates of a remembered frame, D numbers of a
key, S statistics. Training puts a batch axis in front of all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np

from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.errors import SettingsError
from vodkit.ground.records import Detections
from vodkit.temporal.links import LinkSettings, with_velocities
from vodkit.temporal.memory import Asked, Remembered, geometry, probability

STRENGTH, FADE, PLACE, PLACE_PER_S, SIZE, SIZE_PER_S, NO_LINK, RIVALRY, STEADINESS = range(9)
"""positions in ``logs``, the logarithms of the settings of links"""
NUM_OUTPUTS = 3
"""how much memory counts (logarithm), what is added to the logit, how much boxes are steadied"""
NUM_STATISTICS = 11
"""S: what the small network is given of a candidate"""
HIDDEN = 16
_TINY = 1e-9
_KNOWN = 0.1  # mass of links at which half of what the head adds to a score counts
_FIRST_LIKENESS = 8.0


@dataclass(frozen=True, kw_only=True)
class RecallSettings:
    """The shape of a memory of candidates."""

    lags_s: tuple[float, ...] = LinkSettings().lags_s
    """lags, in seconds, of the frames that are compared; for each the nearest within half of it"""
    most: int = 32
    """candidates of a frame that memory may change, best first; the others stay as they are"""
    remembered: int = 16
    """candidates of a remembered frame, best first"""
    both: bool = False
    """use frames after a frame as well as those before it; for files"""

    def __post_init__(self) -> None:
        """Check ranges."""
        LinkSettings(lags_s=self.lags_s)
        for name in ("most", "remembered"):
            if not 1 <= getattr(self, name) <= 300:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: 1 to 300")

    @property
    def slots(self) -> int:
        """Remembered frames that a frame is compared with, at most."""
        return len(self.lags_s) * (2 if self.both else 1)


@dataclass(frozen=True, eq=False)
class Views:
    """A frame's candidates beside the remembered ones, in fixed shapes; numpy or torch."""

    centres: Any
    """(N, 2) px"""
    log_sides: Any
    """(N, 2)"""
    logits: Any
    """(N,)"""
    labels: Any
    """(N,); -1: no candidate"""
    keys: Any
    """(N, D)"""
    there_centres: Any
    """(L, K, 2) px, where the remembered candidates would be now"""
    there_log_sides: Any
    """(L, K, 2)"""
    there_logits: Any
    """(L, K)"""
    there_labels: Any
    """(L, K); -1: no candidate"""
    there_keys: Any
    """(L, K, D)"""
    lags_s: Any
    """(L,) above 0; 0: there is no frame"""


VIEW_NAMES = tuple(spec.name for spec in fields(Views))
Network = Callable[[Views], tuple[FloatArray, FloatArray]]
"""what a head does with a frame: ``recalled`` with its weights, or an exported graph"""


def views(here: Remembered, asked: Sequence[Asked], settings: RecallSettings) -> Views:
    """The arrays of a frame and of the remembered frames that it is compared with, in numpy."""
    made = empty_views(settings, here.keys.shape[1])
    *columns, lags_s = (getattr(made, name) for name in VIEW_NAMES)
    mine, others = columns[: len(columns) // 2], columns[len(columns) // 2 :]
    _put(mine, here, (), here.time_s)
    for slot, frame in asked:
        _put(others, frame, (slot,), here.time_s)
        lags_s[slot] = abs(frame.time_s - here.time_s)
    return made


def empty_views(settings: RecallSettings, key_size: int) -> Views:
    """The arrays of a frame without candidates."""
    mine = _empty((settings.most,), key_size)
    others = _empty((settings.slots, settings.remembered), key_size)
    columns: list[Any] = [*mine, *others, np.zeros(settings.slots, np.float32)]
    return Views(*columns)


def _empty(shape: tuple[int, ...], key_size: int) -> list[np.ndarray]:
    """Centres, log sides, logits, labels and keys of no candidates."""
    return [
        np.zeros((*shape, 2), np.float32), np.zeros((*shape, 2), np.float32),
        np.zeros(shape, np.float32), np.full(shape, -1, np.int64),
        np.zeros((*shape, key_size), np.float32),
    ]  # fmt: skip


def _put(
    columns: Sequence[np.ndarray], frame: Remembered, at: tuple[int, ...], time_s: float
) -> None:
    """Write the first candidates of a frame, where they would be at a time."""
    n = min(len(frame.labels), columns[0].shape[-2])
    if not n:
        return
    values = (frame.centres_at(time_s), frame.log_sides, frame.logits, frame.labels, frame.keys)
    for column, value in zip(columns, values, strict=True):
        column[at][:n] = value[:n]


def first_weights() -> dict[str, FloatArray]:
    """The weights of an untrained head, which is ``links``."""
    links = LinkSettings()
    logs = np.log([
        links.strength, links.fade_s, links.place, links.place_per_s, links.size,
        links.size_per_s, links.no_link, links.rivalry, links.steadiness,
    ])  # fmt: skip
    return {
        "logs": logs.astype(np.float32),
        "likeness": np.array([0.0, _FIRST_LIKENESS], np.float32),
        "hidden.weight": np.zeros((HIDDEN, NUM_STATISTICS), np.float32),
        "hidden.bias": np.zeros(HIDDEN, np.float32),
        "out.weight": np.zeros((NUM_OUTPUTS, HIDDEN), np.float32),
        "out.bias": np.zeros(NUM_OUTPUTS, np.float32),
    }


def recalled(xp: Any, weights: Mapping[str, Any], seen: Views) -> tuple[Any, Any]:
    """New logits (N,) and changes of the corners (N, 4) px.

    Args:
        xp: numpy, or torch.
        weights: see ``first_weights``; arrays of ``xp``.
        seen: arrays of ``xp``, batch axes in front allowed.
    """
    logs = xp.exp(weights["logs"])
    likeness = weights["likeness"]
    alike = _cosines(xp, seen)  # (L, N, K)
    same = (seen.labels[..., None, :, None] == seen.there_labels[..., :, None, :]) & (
        seen.labels[..., None, :, None] >= 0
    )
    links = _links(xp, logs, likeness[0] * alike, same, seen)  # (L, N, K)
    fades = logs[STRENGTH] * xp.exp(-seen.lags_s / logs[FADE]) * (seen.lags_s > 0)
    links = links * fades[..., :, None, None]
    sure = _sigmoid(xp, seen.there_logits)  # (L, K)
    corners = _corners(xp, seen.there_centres, seen.there_log_sides)
    summands = (xp.ones_like(sure), sure, seen.there_logits, sure * seen.there_logits)
    columns = xp.concatenate([xp.stack(summands, -1), sure[..., None] * corners], -1)
    by_slot = links @ columns  # (L, N, 8): matrix products are quicker than sums
    gained = by_slot.sum(-3)  # (N, 8)
    mass, certainty, gathered = gained[..., 0], gained[..., 1], gained[..., 2]
    here = _corners(xp, seen.centres, seen.log_sides)
    corners_off = gained[..., 4:] - certainty[..., None] * here
    linked = (seen.logits + gathered) / (1 + mass)
    read, most_alike = _read(xp, likeness[1] * alike, same, seen)
    # By how much the frame's logits are below those of their links, in the mean.
    below = (gained[..., 3] - certainty * seen.logits).sum(-1)
    drop = below / (certainty.sum(-1) + 0.1)
    # Shares, not sums, and nothing of sizes or numbers of objects: what holds for one camera and
    # frame rate is to hold for others.
    possible = fades.sum(-1)[..., None] + _TINY
    statistics = xp.stack(
        (
            seen.logits / 4, linked / 4, (linked - seen.logits) / 2, mass / possible,
            certainty / possible, certainty / (mass + _TINY), read / 4, most_alike,
            xp.ones_like(seen.logits) * drop[..., None] / 2, *_covered(xp, here, seen),
        ),
        -1,
    )  # fmt: skip
    hidden = xp.tanh(statistics @ weights["hidden.weight"].T + weights["hidden.bias"])
    outputs = hidden @ weights["out.weight"].T + weights["out.bias"]
    trust, steadied = xp.exp(outputs[..., 0]), xp.exp(outputs[..., 2])
    known = mass / (mass + _KNOWN)  # what memory does not know keeps its score
    logits = (seen.logits + trust * gathered) / (1 + trust * mass) + known * outputs[..., 1]
    own = _sigmoid(xp, seen.logits) / logs[STEADINESS]
    return logits, (steadied / (own + steadied * certainty + _TINY))[..., None] * corners_off


def _sigmoid(xp: Any, logits: Any) -> Any:
    return 1 / (1 + xp.exp(-logits))


def _cosines(xp: Any, seen: Views) -> Any:
    """(L, N, K) of unit keys."""
    keys = xp.swapaxes(seen.there_keys, -1, -2)
    return seen.keys[..., None, :, :] @ keys


def _links(xp: Any, logs: Any, bonus: Any, same: Any, seen: Views) -> Any:
    """(L, N, K): how much each remembered candidate counts; rows of a slot add up to below 1."""
    lags_s = seen.lags_s[..., :, None]
    sizes = xp.exp(seen.there_log_sides.sum(-1) / 2) * (logs[PLACE] + logs[PLACE_PER_S] * lags_s)
    spread = logs[SIZE] + logs[SIZE_PER_S] * lags_s
    away = 0.0
    for axis in (0, 1):  # a sum over an axis of two would take most of the time
        off = _apart(seen.centres[..., axis], seen.there_centres[..., axis], sizes)
        grown = _apart(seen.log_sides[..., axis], seen.there_log_sides[..., axis], spread)
        away = away + off * off + grown * grown
    fit = xp.exp(bonus - 0.5 * away) * same
    best = xp.amax(fit, -2)[..., None, :]
    share = (fit + _TINY) / (best + _TINY)
    total = fit.sum(-1)[..., None] + logs[NO_LINK]
    return fit * xp.exp(logs[RIVALRY] * xp.log(share)) / total


def _apart(here: Any, there: Any, unit: Any) -> Any:
    """(L, N, K): differences of (N,) to (L, K), in units (L, K) or (L, 1)."""
    return (here[..., None, :, None] - there[..., :, None, :]) / unit[..., :, None, :]


def _corners(xp: Any, centres: Any, log_sides: Any) -> Any:
    half = xp.exp(log_sides) / 2
    return xp.concatenate([centres - half, centres + half], -1)


def _read(xp: Any, alike: Any, same: Any, seen: Views) -> tuple[Any, Any]:
    """(N,) mean logit of what is alike anywhere in memory, and the greatest likeness (-1 to 1)."""
    weights = xp.exp(alike - 4.0) * same
    logits = seen.there_logits
    sums = (weights @ xp.stack((xp.ones_like(logits), logits), -1)).sum(-3)
    sums = sums / ((seen.lags_s > 0).sum(-1)[..., None, None] + _TINY)
    total = sums[..., 0] + 0.2
    read = sums[..., 1] / total
    return read, xp.log(total) / 4


def _covered(xp: Any, corners: Any, seen: Views) -> tuple[Any, Any]:
    """(N,) the most that a better candidate overlaps each: IoU, and share of its own area.

    Parts of an object recur like objects do; a better box around them tells them apart.
    """
    labels, logits = seen.labels, seen.logits
    areas = xp.exp(seen.log_sides.sum(-1))
    inside = 1.0
    for axis in (0, 1):
        low, high = corners[..., axis], corners[..., axis + 2]
        begin = xp.maximum(low[..., :, None], low[..., None, :])
        end = xp.minimum(high[..., :, None], high[..., None, :])
        inside = inside * (end - begin) * (end > begin)
    better = (logits[..., None, :] > logits[..., :, None]) & (
        labels[..., None, :] == labels[..., :, None]
    )
    inside = inside * better
    iou = inside / (areas[..., :, None] + areas[..., None, :] - inside)
    return xp.amax(iou, -1), xp.amax(inside, -1) / areas


def network_of(weights: Mapping[str, FloatArray]) -> Network:
    """The network of a head with these weights, see ``first_weights``."""
    return partial(recalled, np, weights)


class Recall:
    """The rule of a trained head; see ``memory.Rule``."""

    def __init__(
        self,
        settings: RecallSettings,
        network: Network,
        labels: Sequence[int] | None = None,
        *,
        uses_features: bool = True,
    ) -> None:
        """A head at work.

        Args:
            settings: the shape of the memory.
            network: see ``network_of``.
            labels: that it has learnt, others are not touched; None: all.
            uses_features: compare what candidates look like, too.
        """
        self.settings, self.lags_s, self._labels = settings, settings.lags_s, labels
        self._network = network
        self._links = LinkSettings()
        self._uses_features = uses_features

    def remember(
        self, time_s: float, candidates: Detections, before: Remembered | None
    ) -> Remembered:
        """See Rule; the best candidates only."""
        return with_velocities(self._here(time_s, candidates), before, self._links)

    def conclude(
        self, candidates: Detections, here: Remembered, asked: Sequence[Asked]
    ) -> Detections:
        """See Rule; without memory, and beyond the best, candidates stay as they are."""
        rows = self._best(candidates)
        if not len(rows) or not asked:
            return candidates
        logits, moved = self._network(views(here, asked, self.settings))
        scores, boxes = np.array(candidates.scores), np.array(candidates.boxes_xyxy)
        scores[rows] = probability(logits[: len(rows)])
        corners = boxes[rows] + moved[: len(rows)]
        upright = (corners[:, 2:] >= corners[:, :2]).all(axis=1)
        boxes[rows[upright]] = corners[upright]
        # The tracker has no use for features.
        return replace(candidates, boxes_xyxy=boxes, scores=scores, features=None)

    def _here(self, time_s: float, candidates: Detections) -> Remembered:
        """The best candidates, with keys where the head uses them."""
        rows = self._best(candidates)
        here = geometry(time_s, candidates, rows=rows)
        if not self._uses_features:
            return replace(here, keys=np.zeros((len(rows), 0), np.float32))
        if candidates.features is None and len(rows):
            seen = "detections have no features, which the temporal head uses"
            raise SettingsError(f"{seen}; allowed: those of load_detector(temporal=...)")
        return here

    def _best(self, candidates: Detections) -> IntArray:
        """Rows of the best candidates of the classes that are known."""
        order = np.argsort(-candidates.scores, kind="stable")
        if self._labels is not None:
            order = order[np.isin(candidates.labels[order], self._labels)]
        return order[: self.settings.most]
