"""ONNX with onnxruntime: the second opinion, and for places without OpenVINO."""

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vodkit.arrays import ByteArray, FloatArray
from vodkit.detect.base import Preprocessing
from vodkit.detect.onnx_files import external_files
from vodkit.errors import SettingsError, WeightsError

_OPSET = 17
_MOST_SESSIONS = 4  # kept open: networks whose input follows the picture have one for each size


class OnnxRuntime:
    """Runs ONNX files, one picture at a time, on the CPU."""

    def __init__(
        self,
        make: Callable[[int, int], Path],
        wanted: Preprocessing,
        *,
        outputs: Sequence[str],
        batched: bool,
    ) -> None:
        """``make(height_px, width_px)`` gives a file for that size, or the one for all sizes.

        ``wanted`` says what its input is.

        ``outputs`` names the graph's outputs in the order wanted; empty: its own order.
        ``batched``: they have a batch axis, which is then taken off.
        """
        _onnxruntime()
        self.name = "onnx on cpu"
        self._make = make
        self._wanted = wanted
        self._batched = batched
        self._outputs = list(outputs) or None
        self._paths: dict[tuple[int, int], Path] = {}
        self._sessions: dict[Path, Any] = {}

    def run(self, pictures: Sequence[ByteArray]) -> list[tuple[FloatArray, ...]]:
        """See Runtime."""
        size = pictures[0].shape[:2]
        if size not in self._paths:
            self._paths[size] = self._make(*size)
        path = self._paths[size]
        if path not in self._sessions:
            if len(self._sessions) >= _MOST_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[path] = _session(path)
        session = self._sessions[path]
        found = [self._one(session, normalised(picture, self._wanted)) for picture in pictures]
        return [tuple(x[0] if self._batched else x for x in outputs) for outputs in found]

    def _one(self, session: Any, picture: FloatArray) -> list[FloatArray]:
        name = session.get_inputs()[0].name
        try:
            outputs: list[FloatArray] = session.run(self._outputs, {name: picture})
        except errors_of_onnxruntime() as error:
            reason = str(error).strip().splitlines()[0]
            raise WeightsError(f"onnxruntime cannot run the graph: {reason}") from error
        return outputs


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise SettingsError("runtime onnx needs: pip install 'vodkit[onnx]'") from error
    return onnxruntime


def _session(path: Path) -> Any:
    onnxruntime = _onnxruntime()
    external_files(path)  # refuses paths that lead out of the folder
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong comes as an error, once
    options.intra_op_num_threads = _threads()
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except errors_of_onnxruntime() as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(f"{path}: onnxruntime cannot read the graph: {reason}") from error


def _threads() -> int:
    """``OMP_NUM_THREADS`` holds for onnxruntime too; 0: as many as there are cores."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() else 0


def errors_of_onnxruntime() -> tuple[type[BaseException], ...]:
    """What onnxruntime raises: its own errors have no common base but Exception."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [kind for kind in vars(state).values() if isinstance(kind, type)]
    raised = [kind for kind in own if issubclass(kind, Exception)]
    return (*raised, RuntimeError, ValueError, OSError)


def normalised(picture: ByteArray, wanted: Preprocessing) -> FloatArray:
    """A picture (H, W, 3) uint8 RGB as the graph's own input with a batch axis."""
    x = picture[None] if wanted.channels == "rgb" else picture[None, ..., ::-1]
    if wanted.dtype == "float32":
        mean, std = np.array(wanted.mean, np.float32), np.array(wanted.std, np.float32)
        x = (x.astype(np.float32) * np.float32(wanted.scale) - mean) / std
    return np.ascontiguousarray(x if wanted.layout == "nhwc" else x.transpose(0, 3, 1, 2))


def write_onnx(
    graph: Any, path: Path, height_px: int, width_px: int, *, any_size: bool = False
) -> None:
    """The torch graph (evaluation mode, CPU) as a file that takes (1, H, W, 3) uint8 RGB.

    ``any_size``: of every size that the network takes; it is traced at this one.
    """
    import torch

    example = torch.zeros(1, height_px, width_px, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        # The exporter by tracing is announced to go, but is the one that knows torchvision's ops.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            (example,),
            str(path),
            input_names=["pictures"],
            dynamic_axes={"pictures": {1: "height", 2: "width"}} if any_size else None,
            opset_version=_OPSET,
            dynamo=False,
        )
