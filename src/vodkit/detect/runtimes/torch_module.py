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

    def __init__(
        self, graph: nn.Module, *, device: torch.device, batched: bool, max_batch: int = 64
    ) -> None:
        """``batched``: outputs have a batch axis; without, pictures go one at a time."""
        self.name = f"torch on {device}"
        self._graph = graph.to(device).to(memory_format=torch.channels_last)
        self._device = device
        self._batched = batched
        self._max_batch = max_batch if batched else 1

    @torch.inference_mode()
    def run(self, pictures: Sequence[ByteArray]) -> list[tuple[FloatArray, ...]]:
        """See Runtime."""
        found: list[tuple[FloatArray, ...]] = []
        for start in range(0, len(pictures), self._max_batch):
            some = pictures[start : start + self._max_batch]
            outputs = _arrays(self._graph(self._batch(some)))
            if self._batched:
                found += [tuple(output[i] for output in outputs) for i in range(len(some))]
            else:
                found.append(outputs)
        return found

    def _batch(self, pictures: Sequence[ByteArray]) -> Tensor:
        return torch.from_numpy(np.stack(pictures)).to(self._device)


def _arrays(outputs: Tensor | tuple[Tensor, ...]) -> tuple[FloatArray, ...]:
    parts = tuple(outputs) if isinstance(outputs, tuple | list) else (outputs,)
    return tuple(part.cpu().numpy() for part in parts)
