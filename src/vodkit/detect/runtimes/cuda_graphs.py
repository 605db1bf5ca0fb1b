"""An NVIDIA GPU: the whole network as one recorded CUDA graph, so that Python launches nothing.

For each batch and input size the network is recorded once and then replayed on fixed memory.
``cuda`` computes in float32 without TF32; ``cuda-amp`` computes in float16 where torch's autocast
considers it safe, so its outputs differ, and it runs only when it is named.
"""

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vodkit.detect.base import RunsOn
from vodkit.detect.devices import exact_float32
from vodkit.detect.memory import free_gpu_memory, is_out_of_memory
from vodkit.detect.runtimes.torch_module import as_arrays, even_batch
from vodkit.ground.arrays import ByteArray, FloatArray
from vodkit.ground.errors import SettingsError

_WARM_UPS = 3  # torch's own advice: cuDNN chooses its algorithms before anything is recorded
_MOST_GRAPHS = 8  # two input sizes in batches of 8, 4, 2 and 1
_NO_CHECKS = "TRANSFORMERS_DISABLE_TORCH_CHECK"


@dataclass(frozen=True, eq=False)
class _Recorded:
    graph: torch.cuda.CUDAGraph
    host: Tensor
    """pinned memory (B, H, W, 3) uint8, from which copying does not wait"""
    device: Tensor
    outputs: Any


class CudaGraphRuntime:
    """Runs a graph from ``networks.deployed`` on a GPU, channels last.

    At most eight graphs are kept, in one pool of memory. When they are all in use, a picture of
    another size is run without recording, and recorded when the next one has that size, too. A
    batch that does not fit into memory is halved.
    """

    def __init__(self, graph: nn.Module, *, device: torch.device, batched: bool, amp: bool) -> None:
        """``amp``: float16 where autocast considers it safe. ``device`` is a CUDA device."""
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
        self._max_batch = 8
        self._recorded: OrderedDict[tuple[int, ...], _Recorded] = OrderedDict()
        self._pool: Any = None
        self._unrecorded: tuple[int, ...] = ()
        """shape of the last batch that was run without recording"""

    @torch.inference_mode()
    def run(self, pictures: Sequence[ByteArray]) -> list[tuple[FloatArray, ...]]:
        """See Runtime."""
        found: list[tuple[FloatArray, ...]] = []
        with torch.cuda.device(self._device):
            while len(found) < len(pictures):
                count = min(even_batch(len(pictures) - len(found)), self._max_batch)
                outputs = self._outputs(np.stack(pictures[len(found) : len(found) + count]))
                if outputs is None:
                    self._max_batch = count // 2
                    self._recorded.clear()
                    free_gpu_memory()
                    continue
                found += [tuple(output[i] for output in outputs) for i in range(count)]
        return found

    def _outputs(self, pictures_BHW3: ByteArray) -> tuple[FloatArray, ...] | None:
        """The graph's outputs of a batch; None if there is no memory for so many pictures."""
        try:
            if self._is_passing(pictures_BHW3.shape):
                return as_arrays(self._forward(torch.from_numpy(pictures_BHW3).to(self._device)))
            return self._replay(pictures_BHW3)
        except (RuntimeError, MemoryError) as error:
            if len(pictures_BHW3) == 1 or not is_out_of_memory(error):
                raise
            return None

    def _is_passing(self, shape: tuple[int, ...]) -> bool:
        """Whether recording a graph of this shape would push out one that is in use."""
        if shape in self._recorded or len(self._recorded) < _MOST_GRAPHS:
            return False
        is_new, self._unrecorded = shape != self._unrecorded, shape
        return is_new

    def _replay(self, pictures_BHW3: ByteArray) -> tuple[FloatArray, ...]:
        shape = pictures_BHW3.shape
        if shape not in self._recorded:
            if len(self._recorded) >= _MOST_GRAPHS:
                self._recorded.popitem(last=False)
            self._recorded[shape] = self._record(shape)
        self._recorded.move_to_end(shape)
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
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        try:
            # One pool serves all graphs: outputs are on the CPU before another one is replayed.
            with _without_checks(), torch.cuda.graph(graph, pool=self._pool):
                outputs = self._forward(device)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            reason = str(error).strip().partition("\n")[0][:200]
            seen = f"runtime {self.runs_on}: this network cannot be recorded ({reason})"
            raise SettingsError(f"{seen}; allowed: torch, compile") from error
        return _Recorded(graph, host, device, outputs)

    def _forward(self, pictures_BHW3: Tensor) -> Any:
        # Weights that autocast has turned to float16 must not be cached across recordings.
        cast = torch.autocast("cuda", dtype=torch.float16, enabled=self._amp, cache_enabled=False)
        with cast, exact_float32(self._device):
            return self._graph(pictures_BHW3)


@contextmanager
def _without_checks() -> Iterator[None]:
    """Within, transformers does not check values of tensors, which would read them on the CPU."""
    before = os.environ.get(_NO_CHECKS)
    os.environ[_NO_CHECKS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_NO_CHECKS]
        else:
            os.environ[_NO_CHECKS] = before
