"""INT8 by calibration: activations get the ranges they have on pictures of the user's data.

Only convolutions and matrix products are quantised. Decoding boxes and normalising pictures stay
in float32: they are cheap, and boxes of a few hundred pixels do not fit into 8 bits.
"""

import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vodkit.detect.base import Preprocessing
from vodkit.detect.runtimes.onnx_graph import errors_of_onnxruntime, write_onnx
from vodkit.ground.arrays import ByteArray
from vodkit.ground.errors import SettingsError, WeightsError

_ONNX_KINDS = ["Conv", "Gemm", "MatMul"]
# What nncf must leave alone: the arithmetic of boxes.
_NOT_IN_OPENVINO = ["Add", "Subtract", "Multiply", "Divide", "Exp", "Sigmoid", "Softmax"]


class _Pictures:
    """What onnxruntime asks for the next picture to calibrate on."""

    def __init__(self, pictures: Sequence[ByteArray]) -> None:
        self._left = iter(pictures)

    def get_next(self) -> dict[str, ByteArray] | None:
        """The inputs of one run, None at the end."""
        picture = next(self._left, None)
        return None if picture is None else {"pictures": picture[None]}


def write_onnx_int8(
    graph: Any, path: Path, wanted: Preprocessing, pictures: Sequence[ByteArray]
) -> None:
    """The torch graph as an ONNX file with INT8 convolutions (QDQ, weights a range a channel).

    ``pictures`` (H, W, 3) uint8 RGB are resized and filled as ``wanted`` says.
    """
    if find_spec("onnxruntime") is None or find_spec("onnx") is None:
        raise SettingsError("INT8 in .onnx needs: pip install 'vodkit[onnx]'")
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, _silence():
        plain, ready = Path(folder) / "plain.onnx", Path(folder) / "ready.onnx"
        write_onnx(graph, plain, wanted)
        try:
            quant_pre_process(plain, ready, skip_symbolic_shape=True)
            quantize_static(
                ready,
                path,
                _Pictures(pictures),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=_ONNX_KINDS,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        except errors_of_onnxruntime() as error:
            raise WeightsError(f"onnxruntime cannot quantise this network: {error}") from error


def write_openvino_int8(
    graph: Any, path: Path, wanted: Preprocessing, pictures: Sequence[ByteArray]
) -> None:
    """The torch graph as OpenVINO's ``.xml`` and ``.bin`` in INT8.

    By nncf where it is installed (``vodkit[int8]``), which also corrects biases; else what
    onnxruntime quantises, read by OpenVINO.
    """
    from vodkit.detect.runtimes.openvino_graph import convert, read_model, save_model

    if find_spec("nncf") is None:
        with tempfile.TemporaryDirectory() as folder:
            write_onnx_int8(graph, Path(folder) / "int8.onnx", wanted, pictures)
            save_model(read_model(Path(folder) / "int8.onnx"), path)
        return
    model = convert(graph, wanted)
    with _silence():
        import nncf

        nncf.set_log_level(logging.ERROR)
        quantised = nncf.quantize(
            model,
            nncf.Dataset([picture[None] for picture in pictures]),
            subset_size=len(pictures),
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=nncf.IgnoredScope(types=_NOT_IN_OPENVINO, validate=False),
        )
    save_model(quantised, path)


@contextmanager
def _silence() -> Iterator[None]:
    """Neither progress bars nor advice from the quantisers: errors come as errors."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(level)
