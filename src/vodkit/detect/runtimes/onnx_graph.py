"""ONNX files with onnxruntime: the second opinion, and for places without OpenVINO."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vodkit.arrays import ByteArray, FloatArray
from vodkit.detect.base import Preprocessing
from vodkit.errors import SettingsError, WeightsError


class OnnxRuntime:
    """Runs a foreign ONNX file, one picture at a time, on the CPU."""

    def __init__(self, path: Path, wanted: Preprocessing, *, outputs: Sequence[str]) -> None:
        """``outputs`` names the graph's outputs in the order wanted; empty: its own order."""
        try:
            import onnxruntime
        except ImportError as error:
            raise SettingsError("runtime onnx needs: pip install 'vodkit[onnx]'") from error
        self.name = "onnx on cpu"
        self._wanted = wanted
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except (RuntimeError, ValueError) as error:
            raise WeightsError(f"{path}: onnxruntime cannot read the graph: {error}") from error
        self._input = self._session.get_inputs()[0].name
        self._outputs = list(outputs) or None

    def run(self, pictures: Sequence[ByteArray]) -> list[tuple[FloatArray, ...]]:
        """See Runtime."""
        return [self._one(picture) for picture in pictures]

    def _one(self, picture: ByteArray) -> tuple[FloatArray, ...]:
        outputs = self._session.run(self._outputs, {self._input: normalised(picture, self._wanted)})
        return tuple(x[0] if x.ndim and x.shape[0] == 1 else x for x in outputs)


def normalised(picture: ByteArray, wanted: Preprocessing) -> FloatArray:
    """A picture (H, W, 3) uint8 RGB as the graph's own input with a batch axis."""
    x = picture[None] if wanted.channels == "rgb" else picture[None, ..., ::-1]
    if wanted.dtype == "float32":
        x = x.astype(np.float32)
        x = (x * np.float32(wanted.scale) - np.array(wanted.mean, np.float32)) / np.array(
            wanted.std, np.float32
        )
    return np.ascontiguousarray(x if wanted.layout == "nhwc" else x.transpose(0, 3, 1, 2))
