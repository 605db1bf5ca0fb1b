"""OpenVINO: mostly the fastest on CPUs. Numbers stay float32 unless bf16 is asked for by name."""

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino.frontend import (
    GeneralFailure,
    InitializationFailure,
    NotImplementedFailure,
    OpConversionFailure,
    OpValidationFailure,
)

from vodkit.detect.base import ModelCard, Preprocessing, RunsOn
from vodkit.detect.finite import bfloat16, is_broken, refuse_not_finite
from vodkit.detect.onnx_files import external_files
from vodkit.detect.preprocess import traced_shape
from vodkit.detect.runtimes.base import KeptGraphs, is_kept
from vodkit.ground.arrays import ByteArray, FloatArray
from vodkit.ground.errors import OutputError, SettingsError, WeightsError, noticing_shortage
from vodkit.ground.lookup import pick
from vodkit.ground.process import threads_asked

# OpenVINO's own errors have no common base but Exception.
_FAILURES = (
    RuntimeError,
    GeneralFailure,
    InitializationFailure,
    NotImplementedFailure,
    OpConversionFailure,
    OpValidationFailure,
)
# Precision of ``--runtime``: what the CPU must be able to do for it. bf16 is faster on some CPUs,
# but its scores are off by up to 0.01: not the same numbers, so never without being asked for.
PRECISIONS = {"f32": "FP32", "bf16": "BF16"}
# Outputs are taken, and pictures given, several at a time: Python, the decoder and the tracker find
# their code and data in the caches from the second on, which the network has emptied of them.
_AT_A_TIME = 8
# Input sizes of which compiled networks are kept: a folder of pictures may have a hundred.
_MOST_SIZES = 4
_WAITING = 2 + _AT_A_TIME  # pictures that lie ready beside those in work: no core waits for Python


# The one core of this process, which never goes. A core's CPU plugin puts a stack for signal
# handlers in place of the one that was there, and at its end puts that one back, although it may be
# gone: of two cores that end in the order they began, the second leaves a stack in unmapped memory,
# and the next signal (Ctrl-C, or the end of a loader's worker) kills the process without a word
# (OpenVINO 2026.4).
CORE = ov.Core()
# Weights are read, not mapped: who writes over a file that is in use would change what is found, or
# kill the process, without a word.
CORE.set_property({ov.properties.enable_mmap: False})


class OpenVINORuntime:
    """Runs a model per input size: one picture with all cores, several with a core each.

    These are OpenVINO's latency and throughput modes; which one serves is told by the number of
    pictures in a call. An INT8 file runs in INT8 in either.
    """

    def __init__(
        self,
        make: Callable[[int, int], ov.Model],
        *,
        outputs: Sequence[str],
        batched: bool,
        precision: str = "f32",
    ) -> None:
        """``make(height_px, width_px)`` gives a model that takes (1, H, W, 3) uint8 RGB.

        ``outputs`` names its outputs in the order wanted; empty: its own order. ``batched``:
        they have a batch axis, which is then taken off. ``precision``: a name in PRECISIONS;
        SettingsError where the CPU lacks it.
        """
        self.runs_on = RunsOn(f"openvino{'' if precision == 'f32' else '-' + precision}", "cpu")
        self._precision = _supported(precision)
        self._make = make
        self._outputs = tuple(outputs)
        self._batched = batched
        self._models: dict[tuple[int, int], ov.Model] = {}
        self._single: dict[tuple[int, int], _Seat] = {}
        self._several: dict[tuple[int, int], Any] = {}

    def run(self, pictures: Sequence[ByteArray]) -> list[tuple[FloatArray, ...]]:
        """See Runtime."""
        if len(pictures) == 1:
            seat = self._seat(pictures[0].shape[:2])
            seat.start(pictures[0])
            return [_copied(seat.outputs())]
        return [_copied(outputs) for outputs in self.stream(pictures)]

    def stream(self, pictures: Iterable[ByteArray | None]) -> Iterator[tuple[FloatArray, ...]]:
        """See StreamRuntime."""
        taken: deque[_Seat] = deque()
        free: list[_Seat] = []
        size = (0, 0)
        try:
            for picture in pictures:
                if picture is None:  # one is needed before there can be another picture
                    yield from _ended(taken, free, most=1)
                    continue
                if picture.shape[:2] != size:
                    yield from _ended(taken, free)
                    size = (picture.shape[0], picture.shape[1])
                    if size not in self._several:
                        self._several[size] = self._compile(size, "THROUGHPUT")
                    compiled = self._several[size]
                    at_once = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
                    free = [self._seat_of(compiled) for _ in range(at_once + _WAITING)]
                elif not free:
                    yield from _ended(taken, free, most=_AT_A_TIME)
                taken.append(free.pop())
                taken[-1].start(picture)
            yield from _ended(taken, free)
        finally:  # left early: nothing may compute on when its memory goes
            for seat in taken:
                with suppress(RuntimeError):
                    seat.outputs()

    def _seat(self, size: tuple[int, int]) -> "_Seat":
        if size not in self._single:
            self._single[size] = self._seat_of(self._compile(size, "LATENCY"))
        return self._single[size]

    @noticing_shortage()
    def _seat_of(self, compiled: Any) -> "_Seat":
        return _Seat(compiled.create_infer_request(), self._outputs, batched=self._batched)

    @noticing_shortage()
    def _compile(self, size: tuple[int, int], hint: str) -> Any:
        if size not in self._models:
            if len(self._models) >= _MOST_SIZES:
                oldest = next(iter(self._models))
                for known in (self._models, self._single, self._several):
                    known.pop(oldest, None)
            self._models[size] = self._make(*size)
        return CORE.compile_model(
            self._models[size],
            "CPU",
            {
                "PERFORMANCE_HINT": hint,
                "INFERENCE_PRECISION_HINT": self._precision,
                "INFERENCE_NUM_THREADS": threads_asked(),  # 0: as many as there are cores
            },
        )


class _Seat:
    """A request of a compiled model, with memory of its own for one picture and its outputs."""

    def __init__(self, request: Any, names: Sequence[str], *, batched: bool) -> None:
        self._request = request
        self._names = names
        self._batched = batched
        self._input = request.get_input_tensor().data[0]
        ports = request.model_outputs
        self._fixed = (
            self._tensors() if not any(one.partial_shape.is_dynamic for one in ports) else ()
        )

    def start(self, picture: ByteArray) -> None:
        """Begin with a picture, which is copied: OpenVINO's own ways of taking it cost more."""
        self._input[...] = picture
        self._request.start_async()

    def outputs(self) -> tuple[FloatArray, ...]:
        """The outputs, once they are there, in the request's own memory."""
        self._request.wait()
        tensors = self._fixed or self._tensors()
        return tuple(tensor.data[0] if self._batched else tensor.data for tensor in tensors)

    def _tensors(self) -> tuple[Any, ...]:
        if self._names:
            return tuple(self._request.get_tensor(name) for name in self._names)
        return tuple(self._request.output_tensors)


def _ended(
    taken: deque[_Seat], free: list[_Seat], *, most: int | None = None
) -> Iterator[tuple[FloatArray, ...]]:
    """The outputs of the oldest seats, ``most`` of them (None: all), which are free after it."""
    for _ in range(len(taken) if most is None else min(most, len(taken))):
        yield taken[0].outputs()
        free.append(taken.popleft())


def _copied(outputs: Sequence[FloatArray]) -> tuple[FloatArray, ...]:
    return tuple(np.array(output) for output in outputs)


@noticing_shortage()
def _supported(precision: str) -> str:
    """The precision, if this CPU has it; OpenVINO would silently take another."""
    able = CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if pick(PRECISIONS, precision, "precision") not in able:
        raise SettingsError(f"this CPU has no {precision}; OpenVINO finds {', '.join(able)}")
    return precision


def converted(
    graph: Callable[[], Any], card: ModelCard, kept: KeptGraphs | None
) -> Callable[[int, int], ov.Model]:
    """Models of an input size, made from the torch graph that ``graph()`` gives, or kept before.

    One is made, and given the size of the pictures where that is free.
    """

    @cache
    def whole() -> ov.Model:
        path = None if kept is None else kept.path(card, ".xml")
        if path is not None and is_kept(path):
            return read_model(path)
        model = convert(graph(), card.preprocessing)
        if kept is not None and path is not None:
            with suppress(OutputError):  # then it is converted again next time
                kept.keep(path, partial(save_model, model))
        return model

    def make(height_px: int, width_px: int) -> ov.Model:
        model = whole().clone()
        model.reshape([1, height_px, width_px, card.preprocessing.num_planes])
        return model

    return make


@noticing_shortage()
def convert(graph: Any, wanted: Preprocessing) -> ov.Model:
    """The torch graph (evaluation mode, CPU) as a model that takes (1, H, W, 3) uint8 RGB.

    H and W are free where the input's size follows the picture's.
    """
    import torch

    height, width, planes = traced_shape(wanted)
    example = torch.zeros(1, height, width, planes, dtype=torch.uint8)
    with warnings.catch_warnings():
        # torch.jit.trace is announced to go; OpenVINO uses it inside.
        warnings.simplefilter("ignore")
        try:
            size = [-1, -1] if wanted.any_size else [height, width]
            return ov.convert_model(graph, example_input=example, input=[1, *size, planes])
        except _FAILURES as error:
            reason = str(error).strip().splitlines()[-1]
            raise WeightsError(f"OpenVINO cannot convert this network: {reason}") from error


@noticing_shortage()
def read_model(path: Path) -> ov.Model:
    """The model in an ``.xml``, ``.onnx`` or ``.pb`` file. No extension library is loaded."""
    if path.suffix == ".onnx":
        external_files(path)  # refuses paths that lead out of the folder
    try:
        model = CORE.read_model(path)
    except _FAILURES as error:
        reason = str(error).strip().splitlines()[-1]
        raise WeightsError(f"{path}: OpenVINO cannot read the graph: {reason}") from error
    refuse_not_finite(_broken(model), path)
    return model


def _broken(model: ov.Model) -> Iterator[str]:
    """Names of constants that are not finite; of an unnamed one its layer's."""
    for node in model.get_ops():
        if node.get_type_name() != "Constant" or not node.get_element_type().is_real():
            continue
        values = node.data
        if node.get_element_type() == ov.Type.bf16:
            values = bfloat16(values.view(np.uint16))
        if values.dtype.kind == "f" and is_broken(values):
            yield node.get_friendly_name()


def foreign(path: Path, wanted: Preprocessing) -> Callable[[int, int], ov.Model]:
    """Models of a foreign file, with its card's normalisation put into the graph."""

    def make(height_px: int, width_px: int) -> ov.Model:
        model = read_model(path)
        steps = ov.preprocess.PrePostProcessor(model)
        entry = steps.input()
        entry.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
        if not wanted.motion_lags_s:  # an exported graph, whose colours are in their order
            entry.tensor().set_color_format(ov.preprocess.ColorFormat.RGB)
        entry.model().set_layout(ov.Layout(wanted.layout.upper()))
        entry.tensor().set_shape([1, height_px, width_px, wanted.num_planes])
        chain = entry.preprocess()
        if wanted.channels == "bgr":
            chain.convert_color(ov.preprocess.ColorFormat.BGR)
        if wanted.dtype == "float32":
            chain.convert_element_type(ov.Type.f32)
            chain.scale(1 / wanted.scale).mean(list(wanted.mean)).scale(list(wanted.std))
        try:
            return steps.build()
        except _FAILURES as error:
            reason = str(error).strip().splitlines()[-1]
            raise WeightsError(
                f"{path}: the card's preprocessing does not fit: {reason}"
            ) from error

    return make


def save_model(model: ov.Model, path: Path) -> None:
    """Write ``.xml`` and ``.bin``; OutputError where that cannot be."""
    try:
        ov.save_model(model, path, compress_to_fp16=False)
    except _FAILURES as error:
        reason = str(error).strip().splitlines()[-1]
        raise OutputError(f"OpenVINO cannot write the graph: {reason}", path=path) from error
