"""Pretended CUDA: tensors that report ``cuda:0`` and compute on the CPU.

Within ``pretending()`` torch believes that it has a GPU. Operators refuse tensors on two devices,
as CUDA does; every copy between the devices and every synchronisation is noted in ``EVENTS`` with
its place in the code, and within ``capturing()`` it raises, as in the recording of a CUDA graph.
Backward passes are not possible (autograd wants a real device): ``backward`` fills gradients with
random numbers. Speed, NCCL, memory, and the numbers of a real GPU are out of reach.
"""

import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, Self
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from vodkit.detect.devices import usable_gpu

CUDA = torch.device("cuda", 0)
EVENTS: list[tuple[str, str, str]] = []
"""kind (H2D, D2H, sync, generator), operator, place"""
_STATE = {"capturing": False}
_TAPE: list[tuple[Any, Any, Any, Any]] = []
"""operators, arguments and outputs since capturing began"""
_LEARNING: list[Any] = []
_PLACES = ("/vodkit/", "torchvision/", "transformers/", "lightning_fabric")
_SYNCS = {
    "aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select",
    "aten::unique_consecutive", "aten::_unique2", "aten::equal", "aten::is_nonzero",
    "torchvision::nms", "aten::repeat_interleave.Tensor",
}  # fmt: skip
_INDEXING = {
    "aten::index", "aten::index_put_", "aten::index_put", "aten::_unsafe_index",
    "aten::_index_put_impl_",
}  # fmt: skip


def _where() -> str:
    places = [
        f"{frame.filename.rpartition('site-packages/')[2].rpartition('src/')[2]}:{frame.lineno}"
        for frame in traceback.extract_stack()[:-3]
        if any(part in frame.filename for part in _PLACES)
    ]
    return " < ".join(places[::-1][:4])


def _note(kind: str, operator: object) -> None:
    EVENTS.append((kind, str(operator), _where()))
    if _STATE["capturing"]:
        raise RuntimeError(f"not permitted while a CUDA graph is recorded: {kind} {EVENTS[-1][1:]}")


class CudaLike(torch.Tensor):
    """A tensor on the pretended GPU; ``inner`` has the numbers."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor, requires_grad: bool = False) -> Self:
        made: Any = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            device=CUDA,
            dtype=inner.dtype,
            layout=inner.layout,
            requires_grad=requires_grad,
        )
        return made

    def __init__(self, inner: torch.Tensor, requires_grad: bool = False) -> None:
        self.inner = inner

    def __repr__(self, **_: Any) -> str:
        return f"CudaLike({self.inner!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) in memo:
            return memo[id(self)]
        with torch.no_grad():
            copied = self.detach().clone()
        copied.requires_grad_(self.requires_grad)
        if getattr(self, "_is_param", False):
            copied._is_param = True
        memo[id(self)] = copied
        return copied

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.inner.detach().clone().__reduce_ex__(protocol)

    def numpy(self, **_: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.numpy()

    def tolist(self) -> Any:
        _note("sync", "tolist")
        return self.inner.detach().tolist()

    def backward(self, *_: Any, **__: Any) -> None:
        """Random gradients for all parameters whose gradients were last set to zero."""
        for parameter in _LEARNING:
            if parameter.requires_grad:
                parameter.grad = CudaLike(torch.randn_like(parameter.inner) * 1e-3)


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, CudaLike) else value


def _outer(value: Any) -> Any:
    plain = isinstance(value, torch.Tensor) and not isinstance(value, CudaLike)
    return CudaLike(value) if plain else value


def _check_index(func: Any, args: Any) -> list[torch.Tensor]:
    """Tensors on the wrong device of an operator that takes indices, which may be on the CPU."""
    indices = [index for index in args[1] or [] if isinstance(index, torch.Tensor)]
    if not isinstance(args[0], CudaLike) and any(isinstance(one, CudaLike) for one in indices):
        raise RuntimeError("indices should be on the same device as the indexed tensor (cpu)")
    value = args[2] if len(args) > 2 else None
    if any(index.dtype in (torch.bool, torch.uint8) for index in indices) and not (
        func._schema.name.startswith("aten::index_put") and value is not None and value.dim() == 0
    ):
        _note("sync", f"{func} bool mask")
    if any(not isinstance(index, CudaLike) for index in indices):
        _note("H2D", f"{func} cpu index")
    return [] if value is None or isinstance(value, CudaLike) or value.dim() == 0 else [value]


def _copied(func: Any, args: Any, kwargs: dict[str, Any], to_cuda: bool | None) -> Any:
    comes_from = isinstance(args[0], CudaLike)
    goes_to = comes_from if to_cuda is None else to_cuda
    if comes_from != goes_to:
        _note("H2D" if goes_to else "D2H", func)
    for word in ("non_blocking", "pin_memory"):
        kwargs.pop(word, None)
    out = _computed(func, args, kwargs)
    return _outer(out) if goes_to else out


def _computed(func: Any, args: Any, kwargs: Any) -> Any:
    args, kwargs = tree_map(_inner, args), tree_map(_inner, kwargs)
    out = func(*args, **kwargs)
    if _STATE["capturing"]:
        _TAPE.append((func, args, kwargs, out))
    return out


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = func._schema.name
    flat, _ = tree_flatten((args, kwargs))
    tensors = [value for value in flat if isinstance(value, torch.Tensor)]
    ours = [value for value in tensors if isinstance(value, CudaLike)]
    wrong = [value for value in tensors if not isinstance(value, CudaLike) and value.dim() > 0]
    kwargs, to_cuda = dict(kwargs), None
    if kwargs.get("device") is not None:
        to_cuda = torch.device(kwargs["device"]).type == "cuda"
        kwargs["device"] = torch.device("cpu") if to_cuda else kwargs["device"]
    if kwargs.get("pin_memory"):
        kwargs["pin_memory"] = False
    if not ours and not to_cuda:
        return func(*args, **kwargs)
    if name == "aten::_to_copy":
        return _copied(func, args, kwargs, to_cuda)
    if name == "aten::copy_":
        if isinstance(args[0], CudaLike) != isinstance(args[1], CudaLike):
            _note("H2D" if isinstance(args[0], CudaLike) else "D2H", func)
        _computed(func, args, kwargs)
        return args[0]
    if name in _INDEXING:
        wrong = _check_index(func, args)
    if ours and wrong:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"cuda:0 and cpu! ({func} at {_where()})"
        )
    if name in _SYNCS:
        _note("sync", func)
    if any(isinstance(value, torch.Generator) for value in flat):
        _note("generator", func)
    out = _computed(func, args, kwargs)
    if name in ("aten::_local_scalar_dense", "aten::equal"):
        return out
    written = _written_to(func, args, kwargs)
    return tree_map(_outer, out) if written is None else written


def _written_to(func: Any, args: Any, kwargs: dict[str, Any]) -> CudaLike | None:
    """The argument that an operator in place gives back."""
    schema = func._schema
    returns = schema.returns
    if len(returns) != 1 or returns[0].alias_info is None or not returns[0].alias_info.is_write:
        return None
    for number, argument in enumerate(schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[number] if number < len(args) else kwargs.get(argument.name)
            return value if isinstance(value, CudaLike) else None
    return None


class _Pretend(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class FakeGraph:
    """In place of ``torch.cuda.CUDAGraph``: replays what was computed within ``capturing``."""

    def __init__(self) -> None:
        self.tape: list[tuple[Any, Any, Any, Any]] = []

    def replay(self) -> None:
        """Into the same tensors, as a recorded graph does."""
        for func, args, kwargs, out in self.tape:
            old, new = tree_flatten(out)[0], tree_flatten(func(*args, **kwargs))[0]
            for one, other in zip(old, new, strict=True):
                if isinstance(one, torch.Tensor):
                    one.copy_(other)


class _Stream:
    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def wait_stream(self, _other: Any) -> None:
        pass


class _Properties(NamedTuple):
    major: int = 9
    minor: int = 0
    total_memory: int = 2**36
    name: str = "Pretended GPU"
    multi_processor_count: int = 100


@contextmanager
def capturing(graph: FakeGraph | None = None, **_: Any) -> Iterator[None]:
    """Within, what a CUDA graph cannot record raises RuntimeError; the rest is recorded."""
    _STATE["capturing"] = True
    _TAPE.clear()
    try:
        yield
    finally:
        _STATE["capturing"] = False
    if graph is not None:
        graph.tape = _TAPE.copy()


@contextmanager
def pretending() -> Iterator[None]:
    """Within, torch has a GPU (number 0), and ``EVENTS`` begins empty."""
    cuda = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "is_current_stream_capturing": lambda: _STATE["capturing"],
        "get_device_name": lambda _device=0: "Pretended GPU",
        "get_device_capability": lambda _device=0: (9, 0),
        "get_device_properties": lambda _device=None: _Properties(),
        "is_bf16_supported": lambda **_: True,
        "set_device": lambda _device: None,
        "empty_cache": lambda: None,
        "synchronize": lambda _device=None: None,
        "get_rng_state_all": lambda: [torch.zeros(16, dtype=torch.uint8)],
        "set_rng_state_all": lambda _states: None,
        "current_stream": lambda _device=None: _Stream(),
        "Stream": _Stream,
        "stream": _nothing,
        "device": _nothing,
        "graph": capturing,
        "graph_pool_handle": lambda: (0, 0),
        "CUDAGraph": FakeGraph,
    }
    torch._C._ensureCUDADeviceGuardSet()
    overwritten = torch.__future__.get_overwrite_module_params_on_conversion()
    cudnn = torch._C._get_cudnn_enabled()
    with ExitStack() as stack:
        for name, value in cuda.items():
            stack.enter_context(patch.object(torch.cuda, name, value))
        mode = torch.autograd.grad_mode.inference_mode  # its tensors cannot be wrapped
        stack.enter_context(patch.object(mode, "__enter__", _enter_no_grad))
        stack.enter_context(patch.object(mode, "__exit__", _leave_no_grad))
        torch._C._set_cudnn_enabled(False)  # noqa: FBT003 - takes no names
        stack.callback(torch._C._set_cudnn_enabled, cudnn)
        torch._C._set_only_lift_cpu_tensors(True)  # noqa: FBT003
        stack.callback(torch._C._set_only_lift_cpu_tensors, False)  # noqa: FBT003
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwritten)
        stack.enter_context(patch.object(torch._C, "_set_cudnn_enabled", lambda _on: None))
        stack.enter_context(patch.object(torch._C, "_cuda_init", lambda: None, create=True))
        stack.enter_context(patch.object(torch.nn.Module, "to", _moved))
        stack.enter_context(patch.object(torch.optim.Optimizer, "zero_grad", _noting_parameters))
        stack.callback(_LEARNING.clear)
        stack.enter_context(patch.object(torch.Tensor, "pin_memory", lambda self, *_: self))
        usable_gpu.cache_clear()
        stack.callback(usable_gpu.cache_clear)
        EVENTS.clear()
        with _Pretend():
            yield


@contextmanager
def _nothing(*_: Any, **__: Any) -> Iterator[None]:
    yield


def _enter_no_grad(self: Any) -> None:
    self._before = torch.is_grad_enabled()
    torch.set_grad_enabled(not self.mode and self._before)


def _leave_no_grad(self: Any, *_: object) -> None:
    torch.set_grad_enabled(self._before)


_REAL_TO = torch.nn.Module.to
_REAL_ZERO_GRAD = torch.optim.Optimizer.zero_grad


def _noting_parameters(self: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> None:
    _LEARNING[:] = [one for group in self.param_groups for one in group["params"]]
    _REAL_ZERO_GRAD(self, *args, **kwargs)


def _moved(self: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.nn.Module:
    """``Module.to``, which for wrapped parameters that are in place already has nothing to do."""
    tensors = [*self.parameters(), *self.buffers()]
    settled = tensors and all(isinstance(tensor, CudaLike) for tensor in tensors)
    if settled and len(args) == 1 and not kwargs:
        return self
    return _REAL_TO(self, *args, **kwargs)
