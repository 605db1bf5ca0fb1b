"""RUNTIMES, one line each: what ``--runtime`` can be besides ``auto``, and what makes it.

Every maker takes a Runnable (a network of vodkit, or a graph file) and returns a Runtime, or raises
SettingsError with the reason.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from vodkit.detect.base import ModelCard, without_normalisation
from vodkit.detect.decode import UNBATCHED
from vodkit.detect.devices import AUTO, CPU, on_gpu, usable_gpu
from vodkit.detect.runtimes.base import KeptGraphs, Runtime, is_kept
from vodkit.detect.weights import cache_folder, require_trust
from vodkit.ground.errors import SettingsError

if TYPE_CHECKING:
    from torch import nn

GRAPH_SUFFIXES = (".onnx", ".xml", ".pb", ".pt2")


@dataclass(frozen=True, kw_only=True)
class Runnable:
    """A network of ours, or a graph file, with all that a runtime must know of it."""

    card: ModelCard
    device: str
    """a ``--device`` word"""
    graph: "Callable[[], nn.Module] | None" = None
    """makes the torch graph of a network of ours; None: ``file`` is a graph"""
    file: Path | None = None
    kept: bool = True
    """whether what is converted may be kept in the cache (not for random weights)"""

    @property
    def batched(self) -> bool:
        """Whether outputs have a batch axis."""
        return self.card.output.decoding not in UNBATCHED

    def kept_by(self, converter: str) -> KeptGraphs | None:
        """Where what ``converter`` makes of it is kept."""
        if not self.kept:
            return None
        return KeptGraphs(cache_folder() / converter, self.card.sha256, converter)


def _torch(wanted: Runnable, *, compiled: bool) -> Runtime:
    from vodkit.detect.devices import device_of
    from vodkit.detect.runtimes.torch_module import TorchRuntime, read_exported

    name = "compile" if compiled else "torch"
    is_file_for_auto = wanted.graph is None and wanted.device == AUTO
    device = device_of(CPU if is_file_for_auto else wanted.device)  # files were exported there
    if wanted.graph is not None:
        return TorchRuntime(
            wanted.graph(), device=device, batched=wanted.batched, compiled=compiled
        )
    file = _file(wanted, name, (".pt2",))
    require_trust(file)
    return TorchRuntime(
        read_exported(file, device),
        device=device,
        batched=wanted.batched,
        max_batch=1,  # an archive is made for one picture at a time
        compiled=compiled,
    )


def _cuda(wanted: Runnable, *, amp: bool) -> Runtime:
    name = "cuda-amp" if amp else "cuda"
    if wanted.graph is None:
        raise SettingsError(f"runtime {name} runs networks of vodkit, not {_named(wanted)}")
    if wanted.device == "cpu":
        raise SettingsError(f"runtime {name} needs an NVIDIA GPU; device is 'cpu'")
    from vodkit.detect.devices import device_of
    from vodkit.detect.networks import why_not_recorded
    from vodkit.detect.runtimes.cuda_graphs import CudaGraphRuntime

    device = device_of("cuda" if wanted.device == "auto" else wanted.device)
    if reason := why_not_recorded(wanted.card):
        raise SettingsError(f"runtime {name}: {reason}; allowed: torch, compile")
    return CudaGraphRuntime(wanted.graph(), device=device, batched=wanted.batched, amp=amp)


def _openvino(wanted: Runnable, *, precision: str) -> Runtime:
    name = "openvino" if precision == "f32" else f"openvino-{precision}"
    _on_cpu(wanted, name)
    if find_spec("openvino") is None:
        raise SettingsError(f"runtime {name} needs: pip install openvino")
    from vodkit.detect.runtimes.openvino_graph import OpenVINORuntime, converted, foreign

    if wanted.graph is not None:
        make = converted(wanted.graph, wanted.card, wanted.kept_by("openvino"))
        return OpenVINORuntime(make, outputs=(), batched=wanted.batched, precision=precision)
    made = foreign(_file(wanted, name, (".onnx", ".xml", ".pb")), wanted.card.preprocessing)
    names = wanted.card.output.names
    return OpenVINORuntime(made, outputs=names, batched=wanted.batched, precision=precision)


def _onnx(wanted: Runnable) -> Runtime:
    _on_cpu(wanted, "onnx")
    if find_spec("onnxruntime") is None or (wanted.graph and find_spec("onnx") is None):
        raise SettingsError("runtime onnx needs: pip install 'vodkit[onnx]'")
    from vodkit.detect.runtimes.onnx_graph import OnnxRuntime, write_onnx

    if wanted.graph is None:
        path, names = _file(wanted, "onnx", (".onnx",)), wanted.card.output.names
        inside = wanted.card.preprocessing
        return OnnxRuntime(path, inside, outputs=names, batched=wanted.batched)
    kept = wanted.kept_by("torch")
    if kept is None:
        raise SettingsError("runtime onnx needs weights; with random ones use torch or openvino")
    path = replace(kept, folder=cache_folder() / "onnx").path(wanted.card, ".onnx")
    if not is_kept(path):
        made, size = wanted.graph(), wanted.card.preprocessing
        kept.keep(path, lambda passing: write_onnx(made, passing, size))
    inside = without_normalisation(wanted.card.preprocessing)
    return OnnxRuntime(path, inside, outputs=(), batched=wanted.batched)


RUNTIMES: dict[str, Callable[[Runnable], Runtime]] = {
    "torch": partial(_torch, compiled=False),
    "compile": partial(_torch, compiled=True),
    "openvino": partial(_openvino, precision="f32"),
    "openvino-bf16": partial(_openvino, precision="bf16"),
    "onnx": _onnx,
    "cuda": partial(_cuda, amp=False),
    "cuda-amp": partial(_cuda, amp=True),
}
ON_GPU = (AUTO, "torch", "compile", "cuda", "cuda-amp")
"""words for ``--runtime`` that can use a GPU"""
# Runtimes that auto chooses from, the likeliest first; the last one is the reference. Left out:
# those with other outputs (bf16, amp), and compile, which takes minutes to start.
_ON_GPU = ("cuda", "torch")
_ON_CPU = ("openvino", "onnx", "torch")
_NEEDS = {"openvino": ("openvino",), "onnx": ("onnxruntime", "onnx"), "torch": ()}
_BY_SUFFIX = {
    ".onnx": ("openvino", "onnx"),
    ".xml": ("openvino",),
    ".pb": ("openvino",),
    ".pt2": ("torch",),
}


def candidates(wanted: Runnable) -> tuple[str, ...]:
    """The ways to run a network on this machine with matching outputs; the last is the reference.

    Each is a name in RUNTIMES; where a GPU and the CPU compete, with the device: ``cuda on cuda:0``
    (see ``way``).
    """
    if wanted.graph is None:
        assert wanted.file is not None
        names = _BY_SUFFIX[wanted.file.suffix]
        return _installed(names) or names[:1]
    on_cpu = _installed(_ON_CPU)
    gpu = usable_gpu().device if wanted.device == AUTO else ""
    if gpu:
        here = [f"{name} on {gpu}" for name in _on_gpu(wanted)]
        return (*here, *(f"{name} on {CPU}" for name in on_cpu))
    return _on_gpu(wanted) if on_gpu(wanted.device) else on_cpu


def way(label: str, wanted: Runnable) -> tuple[str, Runnable]:
    """The name in RUNTIMES, and what to run on which device, of one of ``candidates``."""
    name, _, device = label.partition(" on ")
    return name, replace(wanted, device=device) if device else wanted


def _on_gpu(wanted: Runnable) -> tuple[str, ...]:
    from vodkit.detect.networks import why_not_recorded

    is_cuda = wanted.device == AUTO or wanted.device.startswith("cuda")
    return _ON_GPU if is_cuda and not why_not_recorded(wanted.card) else ("torch",)


def _installed(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if all(find_spec(needed) for needed in _NEEDS[name]))


def _on_cpu(wanted: Runnable, name: str) -> None:
    if wanted.device not in {"auto", "cpu"}:
        raise SettingsError(
            f"runtime {name} runs on the CPU; allowed on device {wanted.device!r}: torch, cuda"
        )


def _file(wanted: Runnable, name: str, suffixes: tuple[str, ...]) -> Path:
    assert wanted.file is not None
    if wanted.file.suffix in suffixes:
        return wanted.file
    allowed = _BY_SUFFIX[wanted.file.suffix]
    raise SettingsError(
        f"runtime {name} cannot run {wanted.file.name}; allowed: {', '.join(allowed)}"
    )


def _named(wanted: Runnable) -> str:
    return wanted.card.name if wanted.file is None else wanted.file.name
