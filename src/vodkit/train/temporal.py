"""A learnt memory of candidates on a frozen detector: ``vodkit train --temporal``.

The detector stays as it is, bit by bit. Its candidates are stored in one pass
(``temporal_data.py``); from these a head (``temporal/recall.py``) is trained so that the new scores
rank found objects above all else: binary cross entropy, where each object is found by the best
scored candidate that overlaps it by half, as average precision counts. It begins as ``links`` and
its small network as zero, so that few labels change little.

There is no --resume: the pass takes tens of milliseconds a frame, the training a minute or two.

Legend: B keys (labelled frames) in a step, N candidates of a key, F pooled features, D numbers of
a projected key.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vodkit.detect.base import Metric, ModelCard, Output
from vodkit.detect.checkpoint import save_checkpoint
from vodkit.detect.temporal_head import HEAD_FAMILY, KEY_NAMES
from vodkit.ground.arrays import BoolArray, FloatArray
from vodkit.ground.errors import InputError, OutputError
from vodkit.ground.runs import MANIFEST, SETTINGS, make_folder, stack, write_atomic, write_json
from vodkit.ground.settings import to_toml
from vodkit.metrics.detection.ap import average_precision
from vodkit.metrics.detection.columns import BoxColumns
from vodkit.temporal.memory import Remembered, asked_of, probability
from vodkit.temporal.recall import VIEW_NAMES, RecallSettings, Views, first_weights, recalled, views
from vodkit.train.temporal_data import (
    MATCH_IOU,
    Key,
    Material,
    TemporalSettings,
    Watch,
    read_material,
)

CHECKPOINT = "temporal.safetensors"
_HELD_OUT = 0.25  # of each video, its end, where no split is named
_SEARCHED = {"lr": (5e-4, 8e-3), "stay": (0.01, 0.3), "degraded": (0.15, 0.6)}
"""what a search tries: lowest and highest, drawn evenly in their logarithms"""
_BOX_SHARE = 0.5  # of the loss of boxes
_AS_GOOD = 0.003  # AP50 that a head may be below the detector alone


@dataclass(frozen=True, kw_only=True)
class TemporalResult:
    """A trained head, and AP50 of keys that it did not learn from."""

    checkpoint: Path
    ap50: dict[str, float | None]
    """still, links, head; and of degraded frames: still_degraded, links_degraded, head_degraded"""
    num_frames: int
    """labelled frames that were learnt from"""
    num_held_out: int
    seconds: float
    trials: tuple[str, ...] = ()
    """of a search: what was tried, and what came of it"""

    @property
    def is_better(self) -> bool:
        """Whether the head is better than its untrained start, over both kinds of frames."""
        gains = [
            (self.ap50[f"head{kind}"] or 0) - (self.ap50[f"links{kind}"] or 0)
            for kind in ("", "_degraded")
        ]
        return sum(gains) > 0

    @property
    def worse_on(self) -> tuple[str, ...]:
        """Kinds of frames (clean, degraded) on which the detector alone is better."""
        kinds = {"clean": "", "degraded": "_degraded"}
        return tuple(
            name
            for name, kind in kinds.items()
            if (self.ap50[f"head{kind}"] or 0) < (self.ap50[f"still{kind}"] or 0) - _AS_GOOD
        )

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        more = {"checkpoint": str(self.checkpoint), "is_better_than_links": self.is_better}
        return {**asdict(self), **more, "worse_than_detector_on": self.worse_on}


def train_temporal(
    settings: TemporalSettings,
    *,
    trials: int = 0,
    overwrite: bool = False,
    watch: Watch = lambda _what, _done, _total: None,
) -> TemporalResult:
    """Train a head and write it; the same data, settings and machine give the same bytes.

    Args:
        settings: what to do; written to the run folder.
        trials: settings to try before, on parts of what is learnt from; 0: none.
        overwrite: discard the head in ``settings.out``.
        watch: see ``Watch``.

    Raises:
        InputError: nothing labelled to learn from.
        SettingsError: the detector was trained on these labels.
        OutputError: a head exists already and ``overwrite`` does not allow to replace it.
    """
    started = time.monotonic()
    out = make_folder(Path(settings.out))
    checkpoint = out / CHECKPOINT
    for there in (checkpoint, out / MANIFEST):
        if there.exists() and not overwrite:
            raise OutputError("exists already; --overwrite starts over", path=there)
    material = read_material(settings, settings.train_split, watch)
    parts, judged = _parted(settings, material, watch)
    tried: list[Trial] = []
    if trials:
        tried = search(settings, parts, trials, watch)
        settings = max(tried, key=lambda one: one.score).settings
    learnt = [key for keys in parts for key in keys]
    head = fit(settings, learnt, watch)
    ap50 = measure(settings, judged, head)
    made = _card(settings, material, ap50)
    write_atomic(out / SETTINGS, to_toml(settings))
    save_checkpoint(head.weights(), made, checkpoint)
    result = TemporalResult(
        checkpoint=checkpoint,
        ap50=ap50,
        num_frames=len(learnt),
        num_held_out=len(judged),
        trials=tuple(one.line() for one in tried),
        seconds=time.monotonic() - started,
    )
    write_json(out / MANIFEST, {**result.to_json(), "checkpoint": CHECKPOINT, "stack": stack()})
    return result


def _parted(
    settings: TemporalSettings, material: Material, watch: Watch
) -> tuple[list[Sequence[Key]], list[Key]]:
    """What to learn from, by video, and what to measure on."""
    if settings.val_split:
        other = read_material(settings, settings.val_split, watch)
        return [*material.videos], [key for keys in other.videos for key in keys]
    return _ends_off(material.videos)


def _ends_off(videos: Sequence[Sequence[Key]]) -> tuple[list[Sequence[Key]], list[Key]]:
    """Each video without its end, and all the ends."""
    cuts = [len(keys) - int(len(keys) * _HELD_OUT) for keys in videos]
    ends = [key for keys, cut in zip(videos, cuts, strict=True) for key in keys[cut:]]
    return [keys[:cut] for keys, cut in zip(videos, cuts, strict=True)], ends


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Settings that a search tried."""

    settings: TemporalSettings
    score: float
    """mean AP50 of frames as they are and degraded, which this trial did not learn from"""

    def line(self) -> str:
        """For people."""
        named = ", ".join(f"{name} {getattr(self.settings, name):.3g}" for name in _SEARCHED)
        return f"AP50 {self.score:.4f} ({named})"


def search(
    settings: TemporalSettings, videos: Sequence[Sequence[Key]], trials: int, watch: Watch
) -> list[Trial]:
    """Settings tried on the beginnings of videos and measured on their ends, the given ones first.

    The frames that the head is measured on afterwards take no part.

    Raises:
        InputError: the videos are too short to be parted.
    """
    parts, ends = _ends_off(videos)
    learnt = [key for keys in parts for key in keys]
    if not ends or not learnt:
        raise InputError("search needs four labelled frames or more in a video, to compare on")
    rng = np.random.default_rng(settings.seed)
    tried: list[Trial] = []
    for number in range(trials):
        watch("search", number, trials)
        draws = {
            name: float(low * (high / low) ** rng.random())
            for name, (low, high) in _SEARCHED.items()
        }
        wanted = replace(settings, **draws) if number else settings  # type: ignore[arg-type]
        head = fit(wanted, learnt, lambda _what, _done, _total: None)
        found = measure(settings, ends, head)
        score = ((found["head"] or 0.0) + (found["head_degraded"] or 0.0)) / 2
        tried.append(Trial(settings=wanted, score=score))
    watch("search", trials, trials)
    return tried


class HeadNetwork(nn.Module):
    """The head while it is trained; ``temporal.recall`` runs the same functions in numpy."""

    def __init__(self, keys: dict[str, FloatArray], seed: int) -> None:
        """``keys``: shift (F,), scale (F,) and weight (D, F); empty without features."""
        super().__init__()
        torch.manual_seed(seed)
        first = {name: torch.from_numpy(value) for name, value in first_weights().items()}
        nn.init.normal_(first["hidden.weight"], std=first["hidden.weight"].shape[1] ** -0.5)
        self._names = {name: name.replace(".", "_") for name in (*first, *keys)}
        fixed = KEY_NAMES[:2]
        for name, value in first.items():
            self.register_parameter(self._names[name], nn.Parameter(value))
        for name, array in keys.items():
            value = torch.from_numpy(array)
            if name in fixed:
                self.register_buffer(self._names[name], value)
            else:
                self.register_parameter(self._names[name], nn.Parameter(value))
        self.has_keys = bool(keys)

    def weights(self) -> dict[str, Tensor]:
        """All tensors by the names of the checkpoint."""
        return {name: getattr(self, own).detach() for name, own in self._names.items()}

    def forward(self, seen: Views) -> tuple[Tensor, Tensor]:
        """New logits (B, N) and changes of corners (B, N, 4); ``seen`` has features for keys."""
        weights = {name: getattr(self, own) for name, own in self._names.items()}
        if self.has_keys:
            seen = replace(seen, keys=self._keys(seen.keys), there_keys=self._keys(seen.there_keys))
        found: tuple[Tensor, Tensor] = recalled(torch, weights, seen)
        return found

    def _keys(self, features: Tensor) -> Tensor:
        shift, scale, weight = (getattr(self, self._names[name]) for name in KEY_NAMES)
        return functional.normalize(((features - shift) * scale) @ weight.T, dim=-1)


def key_weights(keys: Sequence[Key], size: int) -> dict[str, FloatArray]:
    """Standardised principal axes of the candidates' features, by which keys begin."""
    rows = np.concatenate([k.versions[v].keys for k in keys for v in (0, 1)]).astype(np.float64)
    if not rows.shape[1] or not len(rows):
        return {}
    shift, scale = rows.mean(axis=0), 1 / (rows.std(axis=0) + 1e-3)
    standard = (rows - shift) * scale
    _, axes = np.linalg.eigh(standard.T @ standard)
    weight = axes[:, ::-1][:, :size].T
    found = {"keys.shift": shift, "keys.scale": scale, "keys.weight": weight}
    return {name: np.ascontiguousarray(v, np.float32) for name, v in found.items()}


def fit(settings: TemporalSettings, keys: Sequence[Key], watch: Watch) -> HeadNetwork:
    """The head, trained from ``links``."""
    head = HeadNetwork(key_weights(keys, settings.size), settings.seed)
    anchors = {name: head.weights()[name].clone() for name in ("logs", "likeness")}
    optimizer = torch.optim.AdamW(head.parameters(), lr=settings.lr, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(settings.steps, 1))
    rng = np.random.default_rng(settings.seed)
    for step in range(settings.steps):
        batch = [
            _sample(keys[int(i)], rng, settings)
            for i in rng.integers(0, len(keys), settings.batch_size)
        ]
        seen = stacked([one.seen for one in batch])
        logits, moved = head(seen)
        loss = _score_loss(logits, batch) + _BOX_SHARE * _box_loss(moved, seen, batch)
        strayed = sum(
            ((head.get_parameter(name) - v).square().sum() for name, v in anchors.items()),
            torch.zeros(()),
        )
        optimizer.zero_grad()
        (loss + settings.stay * strayed).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        watch("head", step + 1, settings.steps)
    return head.eval()


@dataclass(frozen=True, eq=False)
class Sample:
    """A key beside one memory."""

    seen: Views
    overlaps: FloatArray
    counts: BoolArray
    truth_xyxy: FloatArray
    corners: FloatArray
    """(n, 4) of the candidates"""


def _sample(key: Key, rng: np.random.Generator, settings: TemporalSettings) -> Sample:
    """A key and the frames around, each as it is or degraded; some are withheld."""
    version = int(rng.random() < max(settings.degraded, 0.0) + 0.2 * (settings.degraded > 0))
    share = settings.degraded * rng.random() * 2
    around = [
        pair[int(rng.random() < share)] for pair in key.around if rng.random() >= settings.forget
    ]
    return sample_of(key, version, around, settings.shape)


def sample_of(
    key: Key, version: int, around: Sequence[Remembered], shape: RecallSettings
) -> Sample:
    """A version of a key beside the remembered frames."""
    here = key.versions[version]
    asked = asked_of(around, here.time_s, shape.lags_s, both=shape.both) if around else []
    return Sample(
        views(here, asked, shape),
        key.overlaps[version][: shape.most],
        key.counts[version][: shape.most],
        key.truth_xyxy,
        here.corners_at(here.time_s)[: shape.most],
    )


def stacked(seen: Sequence[Views]) -> Views:
    """Views with a batch axis in front, as tensors."""
    return Views(
        *(torch.from_numpy(np.stack([getattr(one, name) for one in seen])) for name in VIEW_NAMES)
    )


def matched(overlaps: FloatArray, scores: FloatArray) -> dict[int, int]:
    """Truth by candidate: best score first, each takes the free object it overlaps most.

    >>> matched(np.array([[0.9], [0.8]]), np.array([0.1, 0.7]))
    {1: 0}
    """
    free = np.ones(overlaps.shape[1], bool)
    found: dict[int, int] = {}
    if not overlaps.size:
        return found
    for row in np.argsort(-scores, kind="stable").tolist():
        best = int(np.argmax(np.where(free, overlaps[row], 0)))
        if free[best] and overlaps[row, best] >= MATCH_IOU:
            free[best] = False
            found[row] = best
    return found


def _score_loss(logits_BN: Tensor, batch: Sequence[Sample]) -> Tensor:
    """Cross entropy of the candidates that count, for each found object."""
    target, weight = torch.zeros_like(logits_BN), torch.zeros_like(logits_BN)
    scores = logits_BN.detach().numpy()
    for row, one in enumerate(batch):
        n = len(one.counts)
        weight[row, :n] = torch.from_numpy(one.counts).float()
        for candidate in matched(one.overlaps, scores[row, :n]):
            target[row, candidate] = 1
            weight[row, candidate] = 1
    loss = functional.binary_cross_entropy_with_logits(
        logits_BN, target, weight=weight, reduction="sum"
    )
    return loss / (target.sum() + 1)


def _box_loss(moved_BN4: Tensor, seen: Views, batch: Sequence[Sample]) -> Tensor:
    """Distance of found objects' corners from the truth, in sizes of the object."""
    losses = []
    for row, one in enumerate(batch):
        n = len(one.counts)
        pairs = matched(one.overlaps, seen.logits[row, :n].numpy())
        if not pairs:
            continue
        rows = list(pairs)
        truth = one.truth_xyxy[list(pairs.values())]
        size = np.sqrt(np.prod(np.maximum(truth[:, 2:] - truth[:, :2], 1), axis=1))
        off = (truth - one.corners[rows]) / size[:, None]
        away = moved_BN4[row, rows] / torch.from_numpy(size)[:, None] - torch.from_numpy(off)
        losses.append(functional.smooth_l1_loss(away, torch.zeros_like(away), beta=0.05))
    return torch.stack(losses).mean().float() if losses else torch.zeros(())


def measure(
    settings: TemporalSettings, keys: Sequence[Key], head: HeadNetwork
) -> dict[str, float | None]:
    """AP50 of the still detector, untrained links and the head; also where keys are degraded."""
    untrained = HeadNetwork({}, settings.seed)
    found: dict[str, float | None] = {}
    for version, kind in ((0, ""), (1, "_degraded")):
        rng = np.random.default_rng(settings.seed)
        samples = []
        for key in keys:
            around = [
                pair[int(version and rng.random() < settings.degraded)] for pair in key.around
            ]
            samples.append(sample_of(key, version, around, settings.shape))
        for name, network in (("still", None), ("links", untrained), ("head", head)):
            found[name + kind] = _ap50(samples, keys, network)
    return found


@torch.inference_mode()
def _ap50(samples: Sequence[Sample], keys: Sequence[Key], head: HeadNetwork | None) -> float | None:
    rows: list[tuple[FloatArray, ...]] = []
    for number, one in enumerate(samples):
        n = len(one.counts)
        logits, corners = one.seen.logits[:n], one.corners
        if head is not None and (one.seen.lags_s > 0).any():
            seen = one.seen
            if not head.has_keys:
                seen = replace(seen, keys=seen.keys[:, :0], there_keys=seen.there_keys[..., :0])
            new, moved = head(stacked([seen]))
            logits, corners = new[0, :n].numpy(), corners + moved[0, :n].numpy()
            corners = np.concatenate(
                [np.minimum(corners[:, :2], corners[:, 2:]), corners[:, 2:]], axis=1
            )
        keep = one.counts
        columns = (corners, probability(logits), one.seen.labels[:n])
        rows.append((np.full(int(keep.sum()), number), *(column[keep] for column in columns)))
    if not rows:
        return None
    images, boxes, scores, labels = map(np.concatenate, zip(*rows, strict=True))
    truth = BoxColumns(
        images=np.repeat(np.arange(len(keys)), [len(k.truth_xyxy) for k in keys]),
        boxes_xyxy=np.concatenate([k.truth_xyxy for k in keys]),
        labels=np.concatenate([k.truth_labels for k in keys]),
    )
    guessed = BoxColumns(images=images, boxes_xyxy=boxes, labels=labels, scores=scores)
    classes = tuple(
        map(str, range(int(max(labels.max(initial=0), truth.labels.max(initial=0))) + 1))
    )
    result = average_precision(truth, guessed, num_images=len(keys), classes=classes)
    return result.overall.ap50


def _card(
    settings: TemporalSettings, material: Material, ap50: dict[str, float | None]
) -> ModelCard:
    card, data = material.card, Path(settings.data).name
    alone, helped = "the detector alone", "with the head"
    shown = {
        "still": alone, "head": helped, "still_degraded": alone, "head_degraded": helped,
    }  # fmt: skip
    expected = tuple(
        Metric(
            name="AP50",
            value=round(float(value), 4),
            data=f"{shown[name]}, {'degraded ' if 'degraded' in name else ''}frames of {data}",
        )
        for name, value in ap50.items()
        if name in shown and value is not None
    )
    return ModelCard(
        name=Path(settings.out).resolve().name,
        family=HEAD_FAMILY,
        classes=material.classes,
        licence=card.licence,
        source=f"trained on {data} with vodkit, for {card.name}",
        preprocessing=card.preprocessing,
        output=Output(decoding="temporal"),
        architecture={
            "detector": card.name,
            "detector_sha256": card.sha256,
            "mode": settings.mode,
            "lags_s": list(settings.lags_s),
            "stages": list(material.stages),
            "bins": list(settings.bins),
            "most": settings.most,
            "remembered": settings.remembered,
        },
        expected=expected,
    )
