"""Which device work runs on: one probe of the GPU that every choice of a device asks.

``auto`` means the GPU where one works, and the CPU otherwise. A GPU counts as working only after
a small convolution has run on it: a driver that is too old, a card that this build of torch has no
code for, or a full memory shows up there, not in the middle of a job. Apple's MPS is used only
when it is named (docs/reference/platforms.md).
"""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

from vodkit.ground.errors import SettingsError

if TYPE_CHECKING:
    import torch

AUTO, CPU = "auto", "cpu"
# NVIDIA on Linux, WSL and Jetson; AMD's ROCm. On Windows the driver installs nvidia-smi.
_DRIVER_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/nvmap", "/dev/kfd")


@dataclass(frozen=True)
class Gpu:
    """What the probe found."""

    device: str = ""
    """as ``--device`` calls it (``cuda:0``); empty: no GPU can be used"""
    fault: str = ""
    """why a GPU that is installed cannot be used; empty: it can, or none is installed"""

    @property
    def line(self) -> str:
        """One line for people; empty when there is nothing to report.

        >>> Gpu(fault="CUDA error: no kernel image").line
        'the GPU cannot be used (CUDA error: no kernel image); running on the CPU'
        """
        return f"the GPU cannot be used ({self.fault}); running on the CPU" if self.fault else ""


@cache
def usable_gpu() -> Gpu:
    """The GPU that ``auto`` means, tested once a process with a small convolution."""
    if "torch" not in sys.modules and not _has_driver():
        return Gpu()  # without a driver, importing torch (seconds) would be for nothing
    import torch

    with warnings.catch_warnings(record=True) as caught:  # torch warns of drivers that are too old
        warnings.simplefilter("always")
        is_available = torch.cuda.is_available()
    if is_available:
        fault = _fault_of(torch.device("cuda"))
        return Gpu(fault=fault) if fault else Gpu(f"cuda:{torch.cuda.current_device()}")
    is_hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0") in {"", "-1"}
    if is_hidden or not _has_driver():
        return Gpu()
    if torch.version.cuda is None and torch.version.hip is None:
        return Gpu(fault=f"torch {torch.__version__} is built for CPUs only")
    told = _first_line(str(caught[0].message)) if caught else "torch finds no usable driver"
    return Gpu(fault=told)


def device_of(name: str) -> "torch.device":
    """The torch device of a ``--device`` word.

    Args:
        name: ``auto`` (the GPU if it works, else the CPU), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.

    Raises:
        SettingsError: no such device, or it does not work; the reason is given.
    """
    import torch

    if name == AUTO:
        return torch.device(usable_gpu().device or CPU)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        allowed = "auto, cpu, cuda, cuda:1, ..., mps"
        raise SettingsError(f"device is {name!r}; allowed: {allowed}") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        why = f" ({usable_gpu().fault})" if usable_gpu().fault else ""
        seen = f"device is {name!r}, but torch finds no CUDA GPU{why}"
        raise SettingsError(f"{seen}; allowed: auto, cpu")
    fault = _fault_of(device)
    if fault:
        raise SettingsError(f"device is {name!r}, which is not usable: {fault}")
    return device


def on_gpu(name: str) -> bool:
    """Whether a ``--device`` word means another device than the CPU on this machine."""
    return bool(usable_gpu().device) if name == AUTO else name != CPU


@contextmanager
def exact_float32(device: "torch.device") -> Iterator[None]:
    """Within, convolutions and matrix products on a GPU are float32, without TF32.

    TF32 rounds inputs to 10 bits (boxes move by up to 0.1 px), and torch turns it on for
    convolutions by default. All runtimes turn it off, so that their outputs match.
    """
    import torch

    if device.type != "cuda":
        yield
        return
    cudnn, before = torch.backends.cudnn, torch.get_float32_matmul_precision()
    own = {"benchmark": cudnn.benchmark, "deterministic": cudnn.deterministic}
    torch.set_float32_matmul_precision("highest")
    try:
        with cudnn.flags(enabled=True, allow_tf32=False, **own):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def missing_on_mps(error: NotImplementedError) -> str:
    """One line about an operator or a number type that Apple's GPUs lack."""
    seen = _first_line(str(error))[:200]
    return f"device is mps: {seen}; allowed: cpu, or PYTORCH_ENABLE_MPS_FALLBACK=1 before the start"


def _has_driver() -> bool:
    return any(Path(file).exists() for file in _DRIVER_FILES) or which("nvidia-smi") is not None


def _fault_of(device: "torch.device") -> str:
    """Why a small convolution does not run on a device; empty: it does."""
    import torch

    try:
        with torch.no_grad():
            picture = torch.ones((1, 3, 8, 8), device=device)
            kernel = torch.ones((4, 3, 3, 3), device=device)
            total = float(torch.nn.functional.conv2d(picture, kernel).sum().cpu())
    except (RuntimeError, ImportError, AssertionError, NotImplementedError) as error:
        return _first_line(str(error)) or type(error).__name__
    expected = 36 * 4 * 27.0  # 6 x 6 places, 4 kernels, 27 products each
    return "" if total == expected else f"a convolution gives {total}, not {expected}"


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
