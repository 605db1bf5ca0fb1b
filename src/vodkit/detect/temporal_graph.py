"""Temporal heads as graphs: written for elsewhere, and run like the head they were made from.

Two files: ``NAME.onnx`` takes the arrays of ``temporal.recall.Views`` and gives new logits and
changes of corners; ``NAME.keys.onnx`` makes keys of pooled features. A head without features has
the first alone. All shapes are fixed (docs/reference/graphs.md), so one call is one frame.

Legend: N candidates, F pooled features, D numbers of a key, L slots, K remembered candidates.
"""

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vodkit.ground.errors import SettingsError, WeightsError
from vodkit.temporal.recall import RecallSettings, Views, empty_views, recalled

if TYPE_CHECKING:
    from torch import nn

Run = Callable[[Sequence[np.ndarray]], list[np.ndarray]]
"""takes a graph's inputs and gives its outputs, each in the graph's order"""
OUTPUTS = ("logits", "moved")
KEYS = "keys"
_KEY_NAMES = ("keys", "there_keys")
_OPSET = 17


def view_names(*, uses_features: bool) -> tuple[str, ...]:
    """The inputs of a head's graph, fields of ``Views``.

    >>> view_names(uses_features=False)[-3:]
    ('there_logits', 'there_labels', 'lags_s')
    """
    names = tuple(Views.__dataclass_fields__)
    return tuple(name for name in names if uses_features or name not in _KEY_NAMES)


def write_head_graph(
    weights: Mapping[str, np.ndarray], shape: RecallSettings, key_size: int, path: Path
) -> None:
    """The head as ``.onnx`` or ``.xml``; ``key_size``: D, 0 without features."""
    names = view_names(uses_features=key_size > 0)
    empty = empty_views(shape, key_size)
    examples = {name: getattr(empty, name) for name in names}
    _write(_head_module(weights, names), examples, OUTPUTS, path)


def write_keys_graph(weights: Mapping[str, np.ndarray], most: int, path: Path) -> None:
    """What makes keys (N, D) of features (N, F); ``weights``: shift, scale, weight."""
    shift, scale, weight = weights.values()
    example = np.zeros((most, len(shift)), np.float32)
    _write(_keys_module(shift, scale, weight), {"features": example}, (KEYS,), path)


def _head_module(weights: Mapping[str, np.ndarray], names: Sequence[str]) -> "nn.Module":
    import torch

    class HeadGraph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, value in weights.items():
                self.register_buffer(name.replace(".", "_"), torch.from_numpy(np.array(value)))

        def forward(self, *arrays: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            given = dict(zip(names, arrays, strict=True))
            for known, one in (("logits", "keys"), ("there_logits", "there_keys")):
                given.setdefault(one, torch.zeros_like(given[known])[..., None])
            own = {name: self.get_buffer(name.replace(".", "_")) for name in weights}
            found: tuple[torch.Tensor, torch.Tensor] = recalled(torch, own, Views(**given))
            return found

    return HeadGraph().eval()


def _keys_module(shift: np.ndarray, scale: np.ndarray, weight: np.ndarray) -> "nn.Module":
    import torch

    class KeysGraph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, value in (("shift", shift), ("scale", scale), ("weight", weight)):
                self.register_buffer(name, torch.from_numpy(np.array(value)))

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            shift, scale, weight = map(self.get_buffer, ("shift", "scale", "weight"))
            keys = ((features - shift) * scale) @ weight.T
            return torch.nn.functional.normalize(keys, dim=-1)

    return KeysGraph().eval()


def _write(
    module: "nn.Module", examples: Mapping[str, np.ndarray], outputs: Sequence[str], path: Path
) -> None:
    import torch

    arrays = tuple(torch.from_numpy(one) for one in examples.values())
    # Exporters by tracing are announced to go, but are the ones that know all that is used here.
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        if path.suffix == ".xml":
            _write_openvino(module, arrays, [*examples], outputs, path)
            return
        if find_spec("onnxruntime") is None or find_spec("onnx") is None:
            raise SettingsError("export to .onnx needs: pip install 'vodkit[onnx]'")
        torch.onnx.export(
            module,
            arrays,
            str(path),
            input_names=[*examples],
            output_names=[*outputs],
            opset_version=_OPSET,
            dynamo=False,
        )


def _write_openvino(
    module: "nn.Module", arrays: Any, names: Sequence[str], outputs: Sequence[str], path: Path
) -> None:
    import openvino as ov

    from vodkit.detect.runtimes.openvino_graph import save_model

    model = ov.convert_model(
        module, example_input=arrays, input=[tuple(one.shape) for one in arrays]
    )
    for ports, told in ((model.inputs, names), (model.outputs, outputs)):
        for port, name in zip(ports, told, strict=True):
            port.get_tensor().set_names({name})
    save_model(model, path)


def read_graph(path: Path) -> Run:
    """A graph of this module, on the CPU: ``.onnx`` in onnxruntime if installed, else OpenVINO.

    Raises:
        WeightsError: the file is missing, is no graph, or gives something else.
    """
    if not path.is_file():
        raise WeightsError(f"{path} is missing; a temporal head of vodkit export has it")
    if path.suffix == ".onnx" and find_spec("onnxruntime") is not None:
        from vodkit.detect.runtimes.onnx_graph import errors_of_onnxruntime, session

        opened = session(path)
        names = [one.name for one in opened.get_inputs()]

        def run_onnx(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
            try:
                found: list[np.ndarray] = opened.run(None, dict(zip(names, arrays, strict=True)))
            except errors_of_onnxruntime() as error:
                raise _unfit(path, error) from error
            return found

        return run_onnx
    from vodkit.detect.runtimes.openvino_graph import CORE, read_model

    compiled = CORE.compile_model(
        read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    )

    def run_openvino(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        try:
            outputs = compiled(dict(enumerate(arrays)))
            return [np.array(outputs[number]) for number in range(len(outputs))]
        except (RuntimeError, ValueError) as error:
            raise _unfit(path, error) from error

    return run_openvino


def _unfit(path: Path, error: BaseException) -> WeightsError:
    reason = str(error).strip().splitlines()[0]
    return WeightsError(f"{path}: no graph of a temporal head: {reason}")
