"""Several processes of one training: how they begin, and who of them speaks."""

import os
from collections.abc import Callable
from typing import TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor

from vodkit.ground.errors import ToldElsewhereError, VodkitError
from vodkit.train.settings import PRECISIONS, TrainSettings

Made = TypeVar("Made")


def launched(settings: TrainSettings) -> Fabric:
    """One device, or under ``torchrun`` all processes it started."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    fabric = Fabric(
        accelerator=settings.device,
        devices=processes,
        num_nodes=int(os.environ.get("WORLD_SIZE", "1")) // processes,
        strategy="ddp" if "LOCAL_WORLD_SIZE" in os.environ else "auto",
        precision=PRECISIONS[settings.precision],
    )
    fabric.launch()
    return fabric


def agreed(fabric: Fabric, work: Callable[[], Made]) -> Made:
    """What ``work`` makes, where it can be done in every process; all wait for each other.

    Else none goes on: the first one that cannot raises its error, and all others
    ToldElsewhereError, so that one mistake of the user's is told once.
    """
    made: Made | None = None
    error: VodkitError | None = None
    try:
        made = work()
    except VodkitError as fault:
        error = fault
    own = torch.tensor([error.exit_code if error else 0], device=fabric.device)
    codes = fabric.all_gather(own)
    assert isinstance(codes, Tensor)
    failed = codes.flatten().nonzero().flatten().tolist()
    if not failed:
        return made  # type: ignore[return-value]  # None only where that is what work makes
    if error is not None and failed[0] == fabric.global_rank:
        raise error
    raise ToldElsewhereError(int(codes.flatten()[failed[0]])) from error
