"""The device of a training, and the processes of one that runs in several."""

import os
from collections.abc import Callable
from typing import TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor

from vodkit.detect.devices import AUTO, device_of
from vodkit.ground.errors import SettingsError, ToldElsewhereError, VodkitError
from vodkit.ground.process import told_once
from vodkit.train.settings import PRECISIONS, TrainSettings

Made = TypeVar("Made")


def launched(settings: TrainSettings) -> Fabric:
    """One device, or under ``torchrun`` one device for each process that it started.

    Raises:
        SettingsError: the device does not work, lacks the precision, or there are more processes
            than GPUs.
    """
    several = "LOCAL_WORLD_SIZE" in os.environ
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    with told_once():
        device = device_of(settings.device)
        _refuse_precision(settings, device)
        if device.type == "cuda" and several:
            _refuse_too_many(settings, processes)
    index = [device.index or 0] if device.type == "cuda" and not several else processes
    fabric = Fabric(
        accelerator=device.type,
        devices=index,
        num_nodes=int(os.environ.get("WORLD_SIZE", "1")) // processes,
        strategy="ddp" if several else "auto",
        precision=PRECISIONS[settings.precision],
    )
    fabric.launch()
    return fabric


def _refuse_too_many(settings: TrainSettings, processes: int) -> None:
    gpus = torch.cuda.device_count()
    if processes > gpus:
        seen = f"torchrun started {processes} processes on a machine with {gpus} GPUs"
        raise SettingsError(f"{seen}; allowed: --nproc-per-node {gpus} at most, or device=cpu")
    if settings.device not in {AUTO, "cuda"}:
        seen = f"device is {settings.device}, in {processes} processes, each with its own GPU"
        raise SettingsError(f"{seen}; allowed: auto, cuda, cpu")


def _refuse_precision(settings: TrainSettings, device: torch.device) -> None:
    """Fabric would take another precision without an error, or emulate it."""
    precision = settings.precision
    if precision == "32":
        return
    seen = f"precision is {precision}, on {device.type}"
    if device.type == "mps":
        raise SettingsError(f"{seen}, where it is untested; allowed: 32")
    if device.type == "cpu" and precision == "16":
        raise SettingsError(f"{seen}; allowed there: bf16, 32")
    lacks_bf16 = device.type == "cuda" and not torch.cuda.is_bf16_supported(
        including_emulation=False
    )
    if precision == "bf16" and lacks_bf16:
        raise SettingsError(f"{seen}, which would emulate it; allowed there: 16, 32")


def agreed(fabric: Fabric, work: Callable[[], Made]) -> Made:
    """The result of ``work`` if it succeeds in every process; all wait for each other.

    Otherwise the first process that fails raises its error and all others ToldElsewhereError, so
    that one mistake is reported once.
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
