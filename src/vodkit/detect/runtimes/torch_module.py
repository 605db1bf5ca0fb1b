"""Torch: as it is (the reference for all other runtimes), and compiled."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from shutil import which
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn

from vodkit.detect.base import RunsOn
from vodkit.detect.devices import exact_float32, missing_on_mps
from vodkit.detect.finite import is_broken, refuse_not_finite
from vodkit.detect.memory import free_gpu_memory, is_out_of_memory
from vodkit.detect.weights import UNREADABLE, cache_folder
from vodkit.ground.arrays import ByteArray, FloatArray
from vodkit.ground.errors import InputError, SettingsError, WeightsError

_COMPILED_BATCH = 8  # batches are cut into 8, 4, 2, 1, so that only four shapes are compiled


class TorchRuntime:
    """Runs a graph from ``networks.deployed``, or one that torch has exported.

    On a GPU in float32 without TF32. A batch that does not fit into memory is halved.
    """

    def __init__(
        self,
        graph: nn.Module,
        *,
        device: torch.device,
        batched: bool,
        max_batch: int = 64,
        compiled: bool = False,
    ) -> None:
        """``batched``: outputs have a batch axis; without, pictures go one at a time.

        ``compiled`` runs it through torch.compile, which takes a while at the first picture of
        each size. SettingsError when there is no C++ compiler for that.
        """
        self.runs_on = RunsOn("compile" if compiled else "torch", str(device))
        graph = graph.to(device).to(memory_format=torch.channels_last)
        self._graph: Callable[[Tensor], Any] = _compiled(graph) if compiled else graph
        self._device = device
        self._batched = batched
        self._compiled = compiled
        self._max_batch = max_batch if batched else 1

    @torch.inference_mode()
    def run(self, pictures: Sequence[ByteArray]) -> list[tuple[FloatArray, ...]]:
        """See Runtime."""
        found: list[tuple[FloatArray, ...]] = []
        while len(found) < len(pictures):
            count = min(len(pictures) - len(found), self._max_batch)
            count = even_batch(count) if self._compiled else count
            outputs = self._outputs(pictures[len(found) : len(found) + count])
            if outputs is None:
                self._max_batch = count // 2
                free_gpu_memory()
            elif self._batched:
                found += [tuple(output[i] for output in outputs) for i in range(count)]
            else:
                found.append(outputs)
        return found

    def _outputs(self, pictures: Sequence[ByteArray]) -> tuple[FloatArray, ...] | None:
        """The graph's outputs of a batch; None if there is no memory for so many pictures."""
        try:
            with exact_float32(self._device):
                return as_arrays(self._run(torch.from_numpy(np.stack(pictures)).to(self._device)))
        except (RuntimeError, MemoryError) as error:
            if len(pictures) == 1 or not is_out_of_memory(error):
                raise
            return None

    def _run(self, pictures_BHW3: Tensor) -> Any:
        try:
            return self._graph(pictures_BHW3)
        except NotImplementedError as error:
            if self._device.type != "mps":
                raise
            raise SettingsError(missing_on_mps(error)) from error
        except AssertionError as error:
            if not str(error).startswith("Guard failed"):
                raise
            height, width = pictures_BHW3.shape[1:3]
            seen = f"torch.export left no way for an input of {width}x{height} px ({error})"
            raise InputError(f"{seen}; allowed: the same exported to .onnx or .xml") from error


def even_batch(left: int) -> int:
    """The largest of 8, 4, 2, 1 that is not above ``left``, so that few shapes are compiled.

    >>> [even_batch(n) for n in (1, 3, 7, 64)]
    [1, 2, 4, 8]
    """
    return min(1 << (left.bit_length() - 1), _COMPILED_BATCH)


def as_arrays(outputs: Tensor | Sequence[Tensor]) -> tuple[FloatArray, ...]:
    """A graph's output or outputs as arrays on the CPU, the caller's to keep."""
    parts = tuple(outputs) if isinstance(outputs, tuple | list) else (outputs,)
    return tuple(part.cpu().numpy() for part in parts)


def cpp_compiler() -> str | None:
    """The C++ compiler that torch.compile would call: ``CXX``, g++ or clang++; None: none."""
    named = os.environ.get("CXX")
    names = (named,) if named else ("g++", "clang++", "cl")
    return next((found for name in names if (found := which(name))), None)


def _compiled(graph: nn.Module) -> Callable[[Tensor], Any]:
    if cpp_compiler() is None:
        named = os.environ.get("CXX")
        seen = (
            f"CXX is {named!r}, which does not exist" if named else "neither g++ nor clang++ found"
        )
        raise SettingsError(f"runtime compile needs a C++ compiler: {seen}; allowed: torch, ...")
    # Kept between processes: compiling takes minutes.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "compile"))
    return torch.compile(graph, dynamic=False)


def _broken(tensors: Mapping[str, Tensor]) -> Iterator[str]:
    for name, value in tensors.items():
        if value.is_floating_point() and is_broken(value.detach().float().numpy()):
            yield name


def read_exported(path: Path, device: torch.device | None = None) -> nn.Module:
    """The module in a ``.pt2`` archive. Torch unpickles it: only for trusted files.

    The archive names the device that it was exported on in every operator that makes a tensor;
    these are rewritten for ``device``.
    """
    from torch.export.passes import move_to_device_pass

    log = logging.getLogger("torch.export")
    level = log.level
    log.setLevel(logging.CRITICAL)  # torch tells a broken archive with a whole traceback
    try:
        program = torch.export.load(path)
        held = {**program.state_dict, **program.constants}
        tensors = {name: value for name, value in held.items() if isinstance(value, Tensor)}
        refuse_not_finite(_broken(tensors), path)
        if device is not None and device.type != "cpu":
            program = move_to_device_pass(program, device)
        return program.module()
    except (*UNREADABLE, BadZipFile) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{path}: torch cannot read the archive: {reason}") from error
    finally:
        log.setLevel(level)
