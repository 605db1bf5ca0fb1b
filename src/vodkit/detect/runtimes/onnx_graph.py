"""ONNX with onnxruntime: the second opinion, and for places without OpenVINO."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vodkit.detect.base import Preprocessing, RunsOn
from vodkit.detect.finite import refuse_not_finite
from vodkit.detect.onnx_files import broken_tensors, external_files
from vodkit.detect.preprocess import traced_shape
from vodkit.ground.arrays import ByteArray, FloatArray
from vodkit.ground.errors import WeightsError, noticing_shortage
from vodkit.ground.process import threads_asked

_OPSET = 17


class OnnxRuntime:
    """Runs an ONNX file, one picture at a time, on the CPU."""

    def __init__(
        self, path: Path, wanted: Preprocessing, *, outputs: Sequence[str], batched: bool
    ) -> None:
        """``wanted`` says what its input is.

        ``outputs`` names the graph's outputs in the order wanted; empty: its own order.
        ``batched``: they have a batch axis, which is then taken off.
        """
        self.runs_on = RunsOn("onnx", "cpu")
        self._session = session(path)
        _check_input(self._session.get_inputs(), wanted, path)
        self._wanted = wanted
        self._batched = batched
        self._outputs = list(outputs) or None

    def run(self, pictures: Sequence[ByteArray]) -> list[tuple[FloatArray, ...]]:
        """See Runtime."""
        found = [self._one(normalised(picture, self._wanted)) for picture in pictures]
        return [tuple(x[0] if self._batched else x for x in outputs) for outputs in found]

    def _one(self, picture: FloatArray) -> list[FloatArray]:
        name = self._session.get_inputs()[0].name
        try:
            outputs: list[FloatArray] = self._session.run(self._outputs, {name: picture})
        except errors_of_onnxruntime() as error:
            reason = str(error).strip().splitlines()[0]
            raise WeightsError(f"onnxruntime cannot run the graph: {reason}") from error
        return outputs


@noticing_shortage()
def session(path: Path) -> Any:
    """An ONNX file opened, on the CPU; WeightsError for a file that is none, or is hostile."""
    import onnxruntime

    external_files(path)  # refuses paths that lead out of the folder
    refuse_not_finite(broken_tensors(path), path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong comes as an error, once
    options.intra_op_num_threads = threads_asked()
    try:
        # There is nothing to fall back to, of which it would tell on stdout.
        return onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"], enable_fallback=False
        )
    except errors_of_onnxruntime() as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(f"{path}: onnxruntime cannot read the graph: {reason}") from error


def _check_input(inputs: Sequence[Any], wanted: Preprocessing, path: Path) -> None:
    """WeightsError where the pictures that a card promises do not fit the graph."""
    sides = ("any", "any") if wanted.any_size else (wanted.height_px, wanted.width_px)
    planes = wanted.num_planes
    shape = [1, *sides, planes] if wanted.layout == "nhwc" else [1, planes, *sides]
    kind = {"float32": "tensor(float)", "uint8": "tensor(uint8)"}[wanted.dtype]
    (entry, *more) = inputs or [None]
    fits = entry is not None and not more and entry.type == kind
    if fits and entry.shape:  # sides that are free have a name, or None
        fits = len(entry.shape) == len(shape) and all(
            not isinstance(there, int) or there == side
            for there, side in zip(entry.shape, shape, strict=True)
        )
    if not fits:
        seen = " and ".join(f"{one.type} {one.shape}" for one in inputs) or "nothing"
        allowed = f"{kind} {shape} (preprocessing.dtype, layout, resize, width_px, height_px)"
        raise WeightsError(f"{path}: the graph takes {seen}; its card says {allowed}")


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


def write_onnx(graph: Any, path: Path, wanted: Preprocessing) -> None:
    """The torch graph (evaluation mode, CPU) as a file that takes (1, H, W, 3) uint8 RGB.

    H and W are free where the input's size follows the picture's.
    """
    import torch

    example = torch.zeros(1, *traced_shape(wanted), dtype=torch.uint8)
    with warnings.catch_warnings():
        # The exporter by tracing is announced to go, but is the one that knows torchvision's ops.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            (example,),
            str(path),
            input_names=["pictures"],
            dynamic_axes={"pictures": {1: "height", 2: "width"}} if wanted.any_size else None,
            opset_version=_OPSET,
            dynamo=False,
        )
