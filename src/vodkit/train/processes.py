"""The device of a training, and the processes of one that runs in several."""

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.distributed.distributed_c10d import _get_default_store as _default_store

from vodkit.detect.devices import AUTO, device_of
from vodkit.ground.errors import SettingsError, ToldElsewhereError, TrainingError, VodkitError
from vodkit.ground.process import is_first_here, told_once
from vodkit.ground.runs import make_folder
from vodkit.train.settings import PRECISIONS, TrainSettings

Made = TypeVar("Made")
_PATIENCE_S = 8.0  # network disks show a new file of another machine some seconds late
_ERROR = "vodkit-error"
"""key, in the store that the processes share, of the error of the one that failed"""
_LOST = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "Broken pipe")
"""what torch reports when a process that it talks to has ended"""


def num_nodes() -> int:
    """Machines that take part in the training."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return int(os.environ.get("WORLD_SIZE", "1")) // processes


def was_restarted() -> bool:
    """Whether ``torchrun --max-restarts`` started this process anew, after one that ended."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def restart_notes() -> tuple[str, ...]:
    """What to set where torchrun restarts processes that may then not find each other.

    In one store for all attempts (PyTorch 2.15) a restarted process may read the address of one
    that has ended, and wait for it until its timeout.
    """
    shared = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if not shared or os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") == "0":
        return ()
    wait = "restarted processes may wait for each other for up to 30 minutes"
    return (f"{wait}; start torchrun with TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1",)


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
        num_nodes=num_nodes(),
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


def require_shared(fabric: Fabric, folder: Path) -> None:
    """Refuse, in a training on several machines, a folder that they do not share.

    The state, the best weights and what is resumed are read there by every process. The first one
    writes a file with a random name, which all others must see.

    Raises:
        SettingsError: in the first process of each machine, which names those that do not see it.
        ToldElsewhereError: in their other processes.
    """
    if num_nodes() == 1:
        return
    mark = folder / f".shared-{fabric.broadcast(secrets.token_hex(8))}"
    is_written = not fabric.is_global_zero or _written(mark)
    fabric.barrier()
    sees = is_written and _appears(mark)
    seen = fabric.all_gather(torch.tensor([sees], dtype=torch.int64, device=fabric.device))
    assert isinstance(seen, Tensor)
    fabric.barrier()
    if fabric.is_global_zero:
        mark.unlink(missing_ok=True)
    blind = (seen.flatten() == 0).nonzero().flatten().tolist()
    if not blind:
        return
    if not is_first_here():
        raise ToldElsewhereError(SettingsError.exit_code)
    ranks = ", ".join(map(str, blind))
    message = f"out is {folder}, which the machines do not share (not seen by rank {ranks})"
    here = f"this is {socket.gethostname()}, rank {fabric.global_rank}"
    raise SettingsError(f"{message}; give a folder on a network disk to all of them; {here}")


def _written(mark: Path) -> bool:
    try:
        make_folder(mark.parent)
        mark.touch()
    except (OSError, VodkitError):
        return False
    return True


def _appears(mark: Path) -> bool:
    end_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end_s:
        if mark.parent.is_dir() and mark.name in os.listdir(mark.parent):  # noqa: PTH208 - refreshes
            return True
        time.sleep(0.2)
    return False


@contextmanager
def noticing_lost_processes() -> Iterator[None]:
    """Within, torch's words for a process that ended are one sentence, on each machine once.

    The sentence contains the error of that process, if it had one. On one machine alone the
    process that failed, or ``torchrun``, reports why.
    """
    try:
        yield
    except TrainingError as error:
        with suppress(RuntimeError, ValueError):  # the machine with the store may be gone
            _default_store().set(_ERROR, str(error))
        raise
    except RuntimeError as error:
        if "WORLD_SIZE" not in os.environ or not any(sign in str(error) for sign in _LOST):
            raise
        if num_nodes() == 1 or not is_first_here():
            raise ToldElsewhereError(TrainingError.exit_code) from error
        message = "another process of the training has ended"
        known = _error_elsewhere()
        if known:
            raise TrainingError(f"{message}: {known}") from error
        message += " (see the log of its machine)"
        raise TrainingError(f"{message}; start all again with --resume to continue") from error


def _error_elsewhere() -> str:
    """The error with which another process ended; empty: it had none, as one that was killed."""
    with suppress(RuntimeError, ValueError):  # it is there before that process ends: no waiting
        store = _default_store()
        if store.check([_ERROR]):
            return str(store.get(_ERROR).decode())
    return ""
