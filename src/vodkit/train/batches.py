"""What a training step takes: a batch of pictures, or of stored features, with its truth.

Legend: B pictures, H W of the network's input.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vodkit.data.feature_cache import FeatureCache, Layout, is_finished
from vodkit.data.loader import Example, TrainingViews, batches
from vodkit.data.sampling import chunks
from vodkit.detect import networks
from vodkit.detect.base import ModelCard
from vodkit.detect.memory import fitting
from vodkit.detect.motion import branch_of
from vodkit.detect.targets import Target
from vodkit.ground.arrays import IntArray
from vodkit.ground.errors import SettingsError
from vodkit.train.frozen_features import Tree, cut_points, leaves, rebuilt, record, replaying

_BATCHES_PER_CHUNK = 8  # made together: enough for neighbours to be decoded together


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures (or their features) and truth."""

    images: Tensor
    """(B, 3, H, W) uint8 RGB, black where features stand in for them; and L planes of motion"""
    targets: list[Target]
    indices: list[int]
    """sample numbers, to name the one that breaks a step"""
    features: list[Tree] | None = None
    """outputs of the network's cut points"""

    def rows(self, rows: Sequence[int]) -> "Batch":
        """A batch of these samples of this one."""
        chosen = list(rows)
        features = None
        if self.features is not None:
            features = rebuilt(self.features, iter([x[chosen] for x in leaves(self.features)]))
        targets = [self.targets[row] for row in chosen]
        return Batch(self.images[chosen], targets, [self.indices[row] for row in chosen], features)

    def pieces(self, count: int) -> list["Batch"]:
        """The batch in so many parts of nearly equal size, or as many as it has samples."""
        if count == 1:
            return [self]
        rows = np.array_split(np.arange(len(self.indices)), min(count, len(self.indices)))
        return [self.rows(part.tolist()) for part in rows]


def from_examples(examples: Sequence[Example], device: torch.device) -> Batch:
    """Examples of one size on the device."""
    images = torch.stack([example.image for example in examples])
    truth = [(one.boxes_xyxy, one.labels, one.ignore) for one in examples]
    return Batch(_sent(images, device), _targets(truth, device), [e.index for e in examples])


def _targets(truth: Sequence[tuple[Tensor, ...]], device: torch.device) -> list[Target]:
    """Boxes, labels and ignored flags of each picture; three copies to the device in all."""
    counts = [len(boxes) for boxes, *_ in truth]
    columns = zip(*truth, strict=True)
    sent = (torch.split(_sent(torch.cat(column), device), counts) for column in columns)
    return [Target(*row) for row in zip(*sent, strict=True)]


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    """On the device; to a GPU from pinned memory, so that the copy overlaps with its work."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def run_graph(graph: nn.Module, batch: Batch, cuts: Sequence[str]) -> tuple[Tensor, ...]:
    """Outputs of a deployed graph; features of ``cuts``, where the batch has them, are replayed."""
    pictures = batch.images.permute(0, 2, 3, 1)
    if batch.features is None:
        out = graph(pictures)
    else:
        # The graph shares the network as ``inner.module``.
        with replaying(graph, [f"inner.module.{name}" for name in cuts], batch.features):
            out = graph(pictures)
    return out if isinstance(out, tuple) else (out,)


class CachedViews:
    """Several fixed views of every sample, as features of the network's frozen part."""

    def __init__(
        self, store: FeatureCache, cuts: tuple[str, ...], form: list[Tree], views: int
    ) -> None:
        """``form`` is an example of what the cut points give.

        Planes of motion, where there are any, are stored after it.
        """
        self.cuts = cuts
        self.views = views
        self._store = store
        self._form = form
        self._truth: list[tuple[Tensor, Tensor, Tensor]] = []
        self._size: tuple[int, int] = (0, 0)

    def close(self) -> None:
        """Let go of the file, so that it can be deleted (Windows keeps open files)."""
        self._store.close()

    def fill(
        self,
        module: nn.Module,
        card: ModelCard,
        source: TrainingViews,
        *,
        device: torch.device,
        watch: Callable[[int, int], None],
        made_from: dict[str, Any],
    ) -> None:
        """Compute what is not there yet; the truth of each view is kept in memory."""
        width, height = source.canvas_px
        self._size = (height, width)
        there = is_finished(self._store.path, made_from)
        slots = [(i, view) for i in range(len(source.frames)) for view in range(self.views)]

        def features(part: range) -> list[tuple[Tensor, Tensor, Tensor]]:
            examples = [source.view(*slots[slot]) for slot in part]
            if not there:
                batch = from_examples(examples, device)
                colours, planes = batch.images[:, :3], batch.images[:, 3:]
                outputs = leaves(record(module, self.cuts, networks.normalise(colours, card)))
                self._store.write(part, [*outputs, planes] if planes.shape[1] else outputs)
            return [(e.boxes_xyxy, e.labels, e.ignore) for e in examples]

        for part, truth in fitting(features, len(slots), most=8):
            self._truth += truth
            watch(part.stop, len(slots))
        if not there:
            self._store.finish(made_from)

    def batch(self, indices: Sequence[int], views: Sequence[int], device: torch.device) -> Batch:
        """Given views of given samples."""
        slots = [i * self.views + view for i, view in zip(indices, views, strict=True)]
        stored = iter([_sent(part, device) for part in self._store.read(slots)])
        features = rebuilt(self._form, stored)
        targets = _targets([self._truth[slot] for slot in slots], device)
        black = torch.zeros((), dtype=torch.uint8, device=device)
        images = black.expand(len(slots), 3, *self._size)
        for planes in stored:
            images = torch.cat([images, planes.to(torch.uint8)], dim=1)
        return Batch(images, targets, list(indices), features)


def plan_cache(
    module: nn.Module,
    card: ModelCard,
    source: TrainingViews,
    path: Path,
    *,
    views: int,
    most_bytes: int,
    device: torch.device,
) -> CachedViews | str:
    """A cache that fits ``most_bytes``, still empty; or the reason why there can be none."""
    reason = networks.why_not_cached(module, card)
    if reason:
        return reason
    width, height = source.canvas_px
    # Asked of a copy, as at inference: a pass in training mode would move the norms' statistics.
    copied = deepcopy(module)
    graph = networks.deployed(copied, card)
    num_planes, branch = card.preprocessing.num_planes, branch_of(module)
    picture = torch.zeros(1, height, width, num_planes, dtype=torch.uint8, device=device)
    until = "" if branch is None else branch.place
    with torch.no_grad():
        cuts = cut_points(copied, lambda: graph(picture), until=until)
    if not cuts:
        return "no frozen part that pictures go through first"
    form = record(module, cuts, networks.normalise(picture.permute(0, 3, 1, 2)[:, :3], card))
    shapes = tuple(tuple(leaf.shape[1:]) for leaf in leaves(form))
    if num_planes > 3:
        shapes += ((num_planes - 3, height, width),)
    fitting = most_bytes // Layout(shapes, len(source.frames)).num_bytes
    if fitting < 1:
        needed = Layout(shapes, len(source.frames)).num_bytes / 2**30
        return f"{len(source.frames)} pictures need {needed:.1f} GiB"
    views = min(views, fitting)
    store = FeatureCache(path, Layout(shapes, len(source.frames) * views))
    return CachedViews(store, cuts, form, views)


@dataclass(frozen=True, kw_only=True)
class Share:
    """Which part of the work is this process's, and how it is cut."""

    rank: int
    world: int
    batch_size: int
    """over all processes"""
    accumulate: int
    """parts that this process's share of a batch is worked on one after the other"""

    @property
    def size(self) -> int:
        """Samples that go through the network at once."""
        return self.batch_size // self.world // self.accumulate

    def __post_init__(self) -> None:
        """Batches must come out even."""
        if self.batch_size % (self.world * self.accumulate):
            seen = f"batch_size is {self.batch_size}"
            allowed = f"{self.world} processes x accumulate {self.accumulate}"
            raise SettingsError(f"{seen}; allowed: a multiple of {allowed}")


def views_in_turn(order: IntArray, *, count: int, seed: int, epoch: int) -> IntArray:
    """For each sample of an epoch's order, which of its ``count`` views comes.

    Each in turn, from a random one on: drawn anew in every epoch, some would come twice before
    others came once. Samples that stand in the order several times come in different views.

    >>> [views_in_turn(np.array([0, 1, 1]), count=4, seed=0, epoch=e).tolist() for e in (0, 1)]
    [[3, 2, 3], [0, 3, 0]]
    """
    first = np.random.default_rng(seed).integers(count, size=int(order.max(initial=0)) + 1)
    by_sample = order.argsort(kind="stable")
    ordered = order[by_sample]
    before = np.empty_like(order)
    before[by_sample] = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    return np.asarray((first[order] + epoch + before) % count)


def cached_batches(
    cached: CachedViews,
    order: IntArray,
    share: Share,
    *,
    skip: int,
    seed: int,
    epoch: int,
    plain: bool,
    device: torch.device,
) -> Iterator[Batch]:
    """An epoch from the cache, from batch ``skip`` on; ``plain``: only pictures as they are."""
    # As from pictures: changed ones, until the plain epochs. View 0 is the picture as it is.
    first_view = 0 if plain or cached.views == 1 else 1
    count = 1 if plain else cached.views - first_view
    views = first_view + views_in_turn(order, count=count, seed=seed, epoch=epoch)
    own = share.batch_size // share.world
    for batch in range(skip * share.batch_size, len(order), share.batch_size):
        first = batch + share.rank * own
        for start in range(first, first + own, share.size):
            part = slice(start, start + share.size)
            yield cached.batch(order[part].tolist(), views[part].tolist(), device)


def pixel_batches(
    views: TrainingViews,
    order: IntArray,
    share: Share,
    *,
    epoch: int,
    skip: int,
    workers: int,
    device: torch.device,
) -> Iterator[Batch]:
    """An epoch from the videos, from batch ``skip`` on."""
    parts = chunks(
        order,
        epoch=epoch,
        batch_size=share.batch_size,
        batches_per_chunk=_BATCHES_PER_CHUNK,
        skip_batches=skip,
        rank=share.rank,
        world=share.world,
    )
    for examples in batches(views, list(parts), batch_size=share.size, workers=workers):
        yield from_examples(examples, device)
