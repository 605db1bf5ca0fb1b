"""Batch norms of the averaged weights, measured on training pictures before they are needed.

Moving statistics are late: with the momentum of 0.03 that YOLOX and SSDLite use they still hold a
twentieth of where they began after 100 steps. In a network that begins with random weights, whose
activations are far smaller than 1, that is enough for evaluation to find nothing at all; and
averaged weights have statistics of their own, which no average of statistics is (Wu and Johnson,
2021, arXiv:2105.07576, section 3). So they are measured, with the weights that are kept.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from vodkit.data.loader import TrainingViews
from vodkit.detect import networks
from vodkit.detect.base import ModelCard
from vodkit.train.batches import Batch, CachedViews, from_examples, run_graph

_PICTURES = 64  # to measure on


def learning_norms(module: nn.Module) -> tuple[str, ...]:
    """Names of the batch norms that follow the data: those in training mode."""
    parts = module.named_modules()
    return tuple(name for name, part in parts if isinstance(part, _BatchNorm) and part.training)


@torch.no_grad()
def measure_norms(
    module: nn.Module,
    card: ModelCard,
    names: Sequence[str],
    batches: Iterable[Batch],
    cuts: Sequence[str] = (),
) -> None:
    """Give these norms of a network in evaluation mode the statistics they see on ``batches``.

    All else stays as it is. ``cuts`` are those whose features the batches hold.
    """
    graph = networks.deployed(module, card)
    norms = [module.get_submodule(name) for name in names]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        assert isinstance(norm, _BatchNorm)
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    try:
        for batch in batches:
            run_graph(graph, batch, cuts)
    finally:  # out of memory, they are measured again on smaller batches
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()


def plain_batches(
    views: TrainingViews, cached: CachedViews | None, *, size: int, device: torch.device
) -> Iterator[Batch]:
    """About 64 pictures as they are, from all over the training data, in whole batches.

    Pictures of a batch stand far apart, as they do in training: the spread within a batch is what
    norms measure.
    """
    count = max(_PICTURES // size, 1)
    where = np.linspace(0, len(views.frames) - 1, count * size).round().astype(int)
    rows = [where[start::count].tolist() for start in range(count)]
    if cached is not None:
        for indices in rows:
            yield cached.batch(indices, [0] * size, device)
        return
    unique = sorted(set(where.tolist()))
    examples = {index: views.view(index, 0) for index in unique}  # decoded in order
    for indices in rows:
        yield from_examples([examples[index] for index in indices], device)
