"""Torch as it is: the reference for all other runtimes, and the one for GPUs."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from vodkit.arrays import ByteArray, FloatArray
from vodkit.errors import SettingsError


def device_of(name: str) -> torch.device:
    """The torch device of a ``--device`` word: auto takes a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingsError(f"device is {name!r}; allowed: auto, cpu, cuda, cuda:1, ...") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SettingsError(f"device is {name!r}, but torch finds no CUDA GPU; allowed: auto, cpu")
    return device


class TorchRuntime:
    """Runs a graph from ``networks.deployed``."""

    def __init__(self, graph: nn.Module, *, device: torch.device, one_at_a_time: bool) -> None:
        """``one_at_a_time``: the number of boxes differs from picture to picture."""
        self.name = f"torch on {device}"
        self._graph = graph.to(device).to(memory_format=torch.channels_last)
        self._device = device
        self._one_at_a_time = one_at_a_time

    @torch.inference_mode()
    def run(self, pictures: Sequence[ByteArray]) -> list[tuple[FloatArray, ...]]:
        """See Runtime."""
        if self._one_at_a_time:
            return [_arrays(self._graph(self._batch([picture]))) for picture in pictures]
        outputs = _arrays(self._graph(self._batch(pictures)))
        return [tuple(output[i] for output in outputs) for i in range(len(pictures))]

    def _batch(self, pictures: Sequence[ByteArray]) -> Tensor:
        return torch.from_numpy(np.stack(pictures)).to(self._device)


def _arrays(outputs: Tensor | tuple[Tensor, ...]) -> tuple[FloatArray, ...]:
    parts = outputs if isinstance(outputs, tuple) else (outputs,)
    return tuple(part.cpu().numpy() for part in parts)
