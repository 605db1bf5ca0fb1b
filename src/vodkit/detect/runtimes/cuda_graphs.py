"""An NVIDIA GPU: the whole network as one recorded CUDA graph, so that Python launches nothing.

For each batch and input size the network is recorded once and then replayed on fixed memory.
``cuda`` keeps float32 (without TF32); ``cuda-amp`` computes in float16 where torch's autocast
deems it safe, which is not the same numbers and therefore only done when asked for by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vodkit.detect.base import RunsOn
from vodkit.detect.runtimes.torch_module import as_arrays, even_batch
from vodkit.ground.arrays import ByteArray, FloatArray
from vodkit.ground.errors import SettingsError

_WARM_UPS = 3  # torch's own advice: cuDNN chooses its algorithms before anything is recorded


@dataclass(frozen=True, eq=False)
class _Recorded:
    graph: torch.cuda.CUDAGraph
    host: Tensor
    """pinned memory (B, H, W, 3) uint8, from which copying does not wait"""
    device: Tensor
    outputs: Any


class CudaGraphRuntime:
    """Runs a graph from ``networks.deployed`` on a GPU, channels last."""

    def __init__(self, graph: nn.Module, *, device: torch.device, batched: bool, amp: bool) -> None:
        """``amp``: float16 where autocast deems it safe. ``device`` is a CUDA device."""
        name = "cuda-amp" if amp else "cuda"
        if device.type != "cuda":
            raise SettingsError(f"runtime {name} needs an NVIDIA GPU; device is {device}")
        if not batched:
            raise SettingsError(
                f"runtime {name}: a two-stage network's outputs vary in length, which a CUDA graph"
                " cannot record; allowed: torch"
            )
        self.runs_on = RunsOn(name, str(device))
        self._graph = graph.to(device).to(memory_format=torch.channels_last)
        self._device = device
        self._amp = amp
        self._recorded: dict[tuple[int, ...], _Recorded] = {}

    @torch.inference_mode()
    def run(self, pictures: Sequence[ByteArray]) -> list[tuple[FloatArray, ...]]:
        """See Runtime."""
        found: list[tuple[FloatArray, ...]] = []
        with torch.cuda.device(self._device):
            while len(found) < len(pictures):
                count = even_batch(len(pictures) - len(found))
                some = np.stack(pictures[len(found) : len(found) + count])
                outputs = self._replay(some)
                found += [tuple(output[i] for output in outputs) for i in range(count)]
        return found

    def _replay(self, pictures_BHW3: ByteArray) -> tuple[FloatArray, ...]:
        shape = pictures_BHW3.shape
        if shape not in self._recorded:
            self._recorded[shape] = self._record(shape)
        recorded = self._recorded[shape]
        recorded.host.copy_(torch.from_numpy(pictures_BHW3))
        recorded.device.copy_(recorded.host, non_blocking=True)
        recorded.graph.replay()
        return as_arrays(recorded.outputs)  # copying to the CPU waits for the replay

    def _record(self, shape: tuple[int, ...]) -> _Recorded:
        host = torch.zeros(shape, dtype=torch.uint8, pin_memory=True)
        device = torch.zeros(shape, dtype=torch.uint8, device=self._device)
        side: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                self._forward(device)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = self._forward(device)
        return _Recorded(graph, host, device, outputs)

    def _forward(self, pictures_BHW3: Tensor) -> Any:
        # Weights that autocast has turned to float16 must not be cached across recordings.
        cast = torch.autocast("cuda", dtype=torch.float16, enabled=self._amp, cache_enabled=False)
        with cast, torch.backends.cudnn.flags(enabled=True, allow_tf32=self._amp):
            return self._graph(pictures_BHW3)
