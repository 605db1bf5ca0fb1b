"""A small appearance head on the user's own labelled tracks: ``vodkit train --appearance``.

The detector stays as it is, bit by bit. Its feature maps are looked at once, in the labelled boxes
of every track (and in copies moved a little, as detections are); on these features a linear layer
(or two layers) is trained so that boxes of one track at different times become alike, and boxes
of tracks that were seen at the same time do not (supervised contrastive loss, Khosla et al. 2020,
arXiv:2004.11362; only pairs certainly of two objects push apart). It begins as a linear
discriminant of the same features, shrunk towards their principal axes, so that it is useful even
with few tracks.

There is no --resume: features are made in one pass, and the head trains in seconds after it.

Legend: R boxes, V views of a box, F pooled features, D numbers of an embedding, T tracks.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vodkit.detect.base import Metric, ModelCard, Output
from vodkit.detect.checkpoint import save_checkpoint
from vodkit.detect.embed import HEAD_FAMILY
from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.errors import InputError, OutputError
from vodkit.ground.runs import MANIFEST, SETTINGS, make_folder, stack, write_atomic, write_json
from vodkit.ground.settings import to_toml
from vodkit.track.appearance import Distinction, distinguish, seen_together
from vodkit.train.appearance_data import AppearanceSettings, Looks, read_looks

CHECKPOINT = "appearance.safetensors"
Watch = Callable[[str, int, int], None]
"""takes what is being done, how much of it is done, and how much there is"""
_HELD_OUT = 4  # without a validation split every fourth track says how good the head is
_FEWEST = 8  # tracks, below which none is held out


@dataclass(frozen=True, kw_only=True)
class AppearanceResult:
    """A trained head, and how well it tells tracks apart that it did not learn from."""

    checkpoint: Path
    raw: Distinction
    """of the detector's features as they are"""
    head: Distinction
    num_tracks: int
    num_boxes: int
    held_out: bool
    """whether ``raw`` and ``head`` are of tracks that were not learnt from"""
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """All of it; what is not defined, as where no two tracks could be compared, is None."""
        shown = {"raw": _defined(self.raw), "head": _defined(self.head)}
        return {**asdict(self), "checkpoint": str(self.checkpoint), **shown}


def _defined(seen: Distinction) -> dict[str, Any]:
    pairs = asdict(seen).items()
    return {name: value if math.isfinite(value) else None for name, value in pairs}


class HeadNetwork(nn.Module):
    """The head while it is trained; ``embed.Head`` is the same for inference."""

    shift: Tensor
    scale: Tensor

    def __init__(self, shift_F: Tensor, scale_F: Tensor, layers: nn.ModuleList) -> None:
        """``shift_F`` and ``scale_F`` standardise the features and are not trained."""
        super().__init__()
        self.register_buffer("shift", shift_F)
        self.register_buffer("scale", scale_F)
        self.layers = layers

    def forward(self, features_RF: Tensor) -> Tensor:
        """Unit embeddings (R, D)."""
        x = (features_RF - self.shift) * self.scale
        for number, layer in enumerate(self.layers):
            x = layer(functional.relu(x) if number else x)
        return functional.normalize(x, dim=1)


def train_appearance(
    settings: AppearanceSettings,
    *,
    overwrite: bool = False,
    watch: Watch = lambda _what, _done, _total: None,
) -> AppearanceResult:
    """Train a head and write it; the same data, settings and machine give the same bytes.

    Raises InputError when no two tracks are ever seen together, and OutputError when a head is
    there already and ``overwrite`` does not allow to replace it.
    """
    started = time.monotonic()
    out = make_folder(Path(settings.out))
    checkpoint = out / CHECKPOINT
    for there in (checkpoint, out / MANIFEST):  # which a detector's training may have written
        if there.exists() and not overwrite:
            raise OutputError("exists already; --overwrite starts over", path=there)
    looks, card = read_looks(settings, settings.train_split, watch)
    learnt, judged, held_out = _parted(settings, looks, watch)
    rivals = _rivals(learnt)
    if not rivals.any():
        raise InputError(f"{settings.data}: no two tracks are seen together; nothing to learn from")
    network = _fit(settings, learnt, rivals, watch)
    raw, head = _judge(judged, None), _judge(judged, network)
    made = _card(settings, card, head)
    state = {name: value.detach() for name, value in network.state_dict().items()}
    write_atomic(out / SETTINGS, to_toml(settings))
    save_checkpoint(state, made, checkpoint)
    result = AppearanceResult(
        checkpoint=checkpoint,
        raw=raw,
        head=head,
        num_tracks=learnt.num_tracks,
        num_boxes=len(learnt.tracks),
        held_out=held_out,
        seconds=time.monotonic() - started,
    )
    write_json(out / MANIFEST, {**result.to_json(), "checkpoint": CHECKPOINT, "stack": stack()})
    return result


def _parted(settings: AppearanceSettings, looks: Looks, watch: Watch) -> tuple[Looks, Looks, bool]:
    """What to learn from, what to judge on, and whether the latter is unseen."""
    if settings.val_split:
        judged, _ = read_looks(replace(settings, views=1), settings.val_split, watch)
        return looks, judged, True
    if looks.num_tracks < _FEWEST:
        return looks, looks, False
    held = looks.tracks % _HELD_OUT == _HELD_OUT - 1
    return looks.where(~held), looks.where(held), True


def _rivals(looks: Looks) -> Tensor:
    return torch.from_numpy(seen_together(looks.tracks, looks.frames, looks.videos))


def _fit(settings: AppearanceSettings, looks: Looks, rivals: Tensor, watch: Watch) -> HeadNetwork:
    """The head, trained from its closed form."""
    network = _begun(settings, looks)
    start = [p.detach().clone() for p in network.layers.parameters()]
    optimizer = torch.optim.AdamW(network.layers.parameters(), lr=settings.lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(settings.steps, 1))
    rng = np.random.default_rng(settings.seed)
    features = torch.from_numpy(looks.features)
    for step in range(settings.steps):
        rows = draw(looks, rng, settings.tracks_per_step, settings.boxes_per_track)
        views = rng.integers(0, features.shape[1], len(rows))
        found = network(features[rows, views])
        loss = contrastive_loss(
            found, torch.from_numpy(looks.tracks[rows]), rivals, temperature=settings.temperature
        )
        moved = sum(
            ((p - q).square().sum() / q.square().sum().clamp(min=1.0)
             for p, q in zip(network.layers.parameters(), start, strict=True)),
            torch.zeros(()),
        )  # fmt: skip
        optimizer.zero_grad()
        (loss + settings.stay * moved).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        watch("head", step + 1, settings.steps)
    return network.eval()


def contrastive_loss(
    embeddings_RD: Tensor, tracks_R: Tensor, rivals_TT: Tensor, *, temperature: float
) -> Tensor:
    """Supervised contrastive loss of unit embeddings.

    A pair of one track is to be more alike than what stands against it: pairs of tracks that
    ``rivals_TT`` (bool) says are two objects. Pairs of which nobody knows do not count.
    """
    likeness = embeddings_RD @ embeddings_RD.T / temperature
    myself = torch.eye(len(tracks_R), dtype=torch.bool)
    same = (tracks_R[:, None] == tracks_R) & ~myself
    other = rivals_TT[tracks_R[:, None], tracks_R]
    against = likeness.masked_fill(~other, -torch.inf).logsumexp(dim=1, keepdim=True)
    useful = same & other.any(dim=1, keepdim=True)
    if not useful.any():
        return likeness.sum() * 0
    return functional.softplus((against - likeness)[useful]).mean()


def draw(looks: Looks, rng: np.random.Generator, num_tracks: int, num_boxes: int) -> IntArray:
    """Rows of a batch: tracks that are there at one moment first, then others; at any times."""
    moment = int(rng.integers(len(looks.tracks)))
    now = (looks.frames == looks.frames[moment]) & (looks.videos == looks.videos[moment])
    here = rng.permutation(np.unique(looks.tracks[now]))
    rest = rng.permutation(np.setdiff1d(np.unique(looks.tracks), here))
    chosen = np.concatenate([here, rest])[:num_tracks]
    rows = [
        rng.choice(np.flatnonzero(looks.tracks == track), num_boxes, replace=True)
        for track in chosen.tolist()
    ]
    return np.concatenate(rows)


def _begun(settings: AppearanceSettings, looks: Looks) -> HeadNetwork:
    torch.manual_seed(settings.seed)
    flat = looks.features.reshape(-1, looks.features.shape[2]).astype(np.float64)
    shift, scale = flat.mean(axis=0), 1 / (flat.std(axis=0) + 1e-3)
    standard = (flat - shift) * scale
    groups = np.repeat(looks.tracks, looks.features.shape[1])
    axes = discriminant(standard, groups, settings.size)
    size, width = axes.shape
    if settings.hidden:
        layers = nn.ModuleList(
            [nn.Linear(width, settings.hidden), nn.Linear(settings.hidden, size)]
        )
    else:
        linear = nn.Linear(width, size)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(axes))
            linear.bias.zero_()
        layers = nn.ModuleList([linear])
    return HeadNetwork(torch.from_numpy(shift).float(), torch.from_numpy(scale).float(), layers)


def discriminant(
    features: FloatArray, groups: IntArray, size: int, *, shrink: float = 0.5
) -> FloatArray:
    """Axes (D, F) along which groups differ more than they vary: whitened principal axes.

    Within-group covariance, shrunk by ``shrink`` towards its mean variance, is made white; then
    the ``size`` principal axes are kept (fewer where there are fewer features).
    """
    _, group = np.unique(groups, return_inverse=True)
    counts = np.bincount(group).astype(np.float64)
    means = np.zeros((len(counts), features.shape[1]))
    np.add.at(means, group, features)
    within = features - (means / counts[:, None])[group]
    covariance = within.T @ within / max(len(features) - len(counts), 1)
    floor = np.trace(covariance) / len(covariance) + 1e-9
    covariance = (1 - shrink) * covariance + shrink * floor * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(covariance)
    whiten = vectors / np.sqrt(values) @ vectors.T
    _, _, axes = np.linalg.svd((features - features.mean(axis=0)) @ whiten, full_matrices=False)
    return np.asarray(axes[:size] @ whiten)


def _judge(looks: Looks, network: HeadNetwork | None) -> Distinction:
    found = looks.features[:, 0]
    if network is not None:
        with torch.inference_mode():
            found = network(torch.from_numpy(found)).numpy()
    rivals = seen_together(looks.tracks, looks.frames, looks.videos)
    return distinguish(found, looks.tracks, looks.times_s, rivals=rivals)


def _card(settings: AppearanceSettings, card: ModelCard, head: Distinction) -> ModelCard:
    expected = tuple(
        Metric(
            name=name, value=round(float(value), 4), data=f"tracks of {Path(settings.data).name}"
        )
        for name, value in (("AUC", head.auc), ("rank-1", head.rank1))
        if np.isfinite(value)
    )
    likeness = head.likeness_at_1pct
    threshold = round(float(np.clip(likeness, 0.2, 0.98)), 3) if np.isfinite(likeness) else 0.7
    return ModelCard(
        name=Path(settings.out).resolve().name,
        family=HEAD_FAMILY,
        classes=card.classes,
        licence=card.licence,
        source=f"trained on {Path(settings.data).name} with vodkit, for {card.name}",
        preprocessing=card.preprocessing,
        output=Output(decoding="embedding"),
        architecture={
            "detector": card.name,
            "detector_sha256": card.sha256,
            "stages": list(settings.stages),
            "bins": list(settings.bins),
            "size": settings.size,
            "threshold": threshold,
        },
        expected=expected,
    )
