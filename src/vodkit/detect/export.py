"""A network as a file for elsewhere, with a certificate of how far it is from the original.

The exported graph takes (1, H, W, 3) uint8 RGB, resized and filled: normalisation is inside. H and
W are free where the network's input follows the shape of the picture (``fit``). A card is written
beside it, so ``load_detector`` takes the file like any other model. Before anything gets its final
name, original and export are run on the same pictures of several shapes and compared; INT8, whose
numbers cannot be the same, is judged by AP and HOTA on labelled videos.
"""

import io
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from vodkit.detect.base import ModelCard, Preprocessing, without_normalisation, write_card
from vodkit.detect.decode import UNBATCHED
from vodkit.detect.defaults import NETWORK
from vodkit.detect.detector import GraphDetector
from vodkit.detect.models import build_network, load_detector
from vodkit.detect.parity import LEAST_SCORE, Differences, compare, together
from vodkit.detect.preprocess import input_px, place, traced_shape
from vodkit.detect.runtimes.base import versions, write_whole
from vodkit.detect.weights import digest, parts, trust
from vodkit.ground.arrays import ByteArray
from vodkit.ground.errors import OutputError, SettingsError, WeightsError
from vodkit.ground.lookup import pick
from vodkit.ground.records import Frame
from vodkit.ground.runs import write_atomic, write_json
from vodkit.ground.settings import bounded, check_ranges

if TYPE_CHECKING:
    from torch import nn

_CUT_EVERY = 4
_CUTS = ((4, 3), (3, 4), (1, 1))
"""width to height of what is cut out of every fourth frame: landscape, portrait and square"""


@dataclass(frozen=True, kw_only=True)
class Tolerances:
    """How much an export may differ from its original."""

    px: float | None = bounded(0.5, low=0)
    """of a corner, in source pixels; None: any (INT8)"""
    score: float | None = bounded(1e-3, low=0)
    """None: any (INT8)"""
    ap: float = bounded(0.002, low=0)
    """AP that may be lost on labelled data"""
    hota: float = bounded(0.002, low=0)
    """HOTA that may be lost there"""

    def __post_init__(self) -> None:
        """No tolerance is below zero."""
        check_ranges(self, prefix="tolerance_")


INT8 = Tolerances(px=None, score=None, ap=0.02, hota=0.03)
"""of INT8: two points of AP and three of HOTA"""


@dataclass(frozen=True, kw_only=True)
class OnData:
    """Original and export on the same labelled videos."""

    data: str
    num_videos: int
    num_frames: int
    """labelled ones"""
    ap: tuple[float, float]
    """of the detections, over IoU 0.50 to 0.95: original, export"""
    hota: tuple[float, float] | None
    """of the tracks made from them; None: the labels carry no ids"""

    @property
    def lost_ap(self) -> float:
        """What the export has less."""
        return self.ap[0] - self.ap[1]

    @property
    def lost_hota(self) -> float:
        """What the export has less; 0 where there is no HOTA."""
        return 0.0 if self.hota is None else self.hota[0] - self.hota[1]


Judge = Callable[[GraphDetector, GraphDetector], OnData]
"""measures original and export on labelled data (``vodkit.benchmark.certificates``)"""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """How far an exported file is from its original, on which frames, with which versions."""

    model: str
    file: str
    sha256: str
    precision: str
    """f32 or int8"""
    num_pictures: int
    """the frames given, and landscape, portrait and square cuts of some of them"""
    num_boxes: int
    """boxes of the original that were found again"""
    num_unpaired: int
    """boxes that only one of the two gives, where the score is not just at the threshold"""
    max_box_difference_px: float
    """of a corner, in source pixels"""
    max_score_difference: float
    by_input: dict[str, Differences]
    """the same four numbers by the size of the network's input, ``WIDTHxHEIGHT``"""
    num_calibrated: int
    """pictures that INT8 was calibrated on"""
    on_data: OnData | None
    """None: no labelled data was given"""
    tolerances: Tolerances
    versions: dict[str, str]

    def failures(self) -> list[str]:
        """Why the export may not stand for the original; empty: it may."""
        allowed, found = self.tolerances, []
        if self.num_boxes == 0 and self.num_unpaired == 0:
            found.append("nothing was found in the frames, so nothing could be compared")
        off_px, off_score = self.max_box_difference_px, self.max_score_difference
        if allowed.px is not None and off_px > allowed.px:
            at = self._worst_at("max_box_px")
            found.append(f"corners {off_px:.3g} px{at}, allowed: {allowed.px:g} px")
        if allowed.score is not None and off_score > allowed.score:
            at = self._worst_at("max_score")
            found.append(f"scores {off_score:.3g}{at}, allowed: {allowed.score:g}")
        if allowed.px is not None and self.num_unpaired:
            at = self._worst_at("num_unpaired")
            found.append(f"{self.num_unpaired} boxes unpaired{at}, allowed: none")
        if self.on_data is None:
            return found if allowed.px is not None else [*found, "no labelled data to judge it on"]
        if allowed.px is None and self.on_data.ap[0] <= allowed.ap:
            seen = f"AP of the original is {self.on_data.ap[0]:.4f}"
            found.append(f"{seen}, no more than may be lost: {allowed.ap:g}")
        exact = allowed.px is not None  # then a gain, too, means that the boxes are others
        for name, lost, limit in (
            ("AP", self.on_data.lost_ap, allowed.ap),
            ("HOTA", self.on_data.lost_hota, allowed.hota),
        ):
            if (abs(lost) if exact else lost) > limit:
                found.append(f"{name} {lost:+.4f} lost, allowed: {limit:g}")
        return found

    def _worst_at(self, number: str) -> str:
        """Which of several input sizes has the largest of these numbers."""
        if len(self.by_input) < 2:
            return ""
        worst = max(self.by_input, key=lambda size: float(getattr(self.by_input[size], number)))
        return f" (most at an input of {worst})"

    @property
    def passes(self) -> bool:
        """Whether the export may stand for the original."""
        return not self.failures()


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is written: a graph, its input, and the pictures INT8 is calibrated on."""

    graph: "nn.Module"
    preprocessing: Preprocessing
    pictures: Sequence[ByteArray]
    """empty: float32"""


def write_onnx(wanted: Wanted, path: Path) -> None:
    """ONNX, by tracing."""
    if find_spec("onnxruntime") is None or find_spec("onnx") is None:
        raise SettingsError("export to .onnx needs: pip install 'vodkit[onnx]'")
    from vodkit.detect.runtimes import onnx_graph, quantise

    if wanted.pictures:
        quantise.write_onnx_int8(wanted.graph, path, wanted.preprocessing, wanted.pictures)
    else:
        onnx_graph.write_onnx(wanted.graph, path, wanted.preprocessing)


def write_openvino(wanted: Wanted, path: Path) -> None:
    """OpenVINO's ``.xml`` and ``.bin``, in float32 or INT8."""
    from vodkit.detect.runtimes import quantise
    from vodkit.detect.runtimes.openvino_graph import convert, save_model

    if wanted.pictures:
        quantise.write_openvino_int8(wanted.graph, path, wanted.preprocessing, wanted.pictures)
    else:
        save_model(convert(wanted.graph, wanted.preprocessing), path)


def write_torch_export(wanted: Wanted, path: Path) -> None:
    """The ``.pt2`` archive of ``torch.export``, in float32."""
    import torch
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

    if wanted.pictures:
        raise SettingsError("INT8 is written to .onnx and .xml, not to .pt2")
    example = torch.zeros(1, *traced_shape(wanted.preprocessing), dtype=torch.uint8)
    free = {1: 32 * torch.export.Dim("rows"), 2: 32 * torch.export.Dim("columns")}
    # What it cannot take is told with the whole graph, on stderr.
    with warnings.catch_warnings(), torch.no_grad(), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")  # notes on constants of the graph
        try:
            made = torch.export.export(
                wanted.graph,
                (example,),
                dynamic_shapes=(free,) if wanted.preprocessing.any_size else None,
            )
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            if isinstance(error, GuardOnDataDependentSymNode):  # of a two-stage network
                reason = f"what it does hangs on how many boxes it finds ({reason})"
            allowed = "allowed: .onnx, .xml"
            raise WeightsError(f"torch.export cannot take it: {reason}; {allowed}") from error
    archive = io.BytesIO()  # torch ends the process where a disk is full
    torch.export.save(made, archive)
    write_atomic(path, archive.getvalue())


# file ending: what writes it
FORMATS: dict[str, Callable[[Wanted, Path], None]] = {
    ".onnx": write_onnx,
    ".xml": write_openvino,
    ".pt2": write_torch_export,
}


HEAD_FORMATS = (".onnx", ".xml")
"""of temporal heads, and of detectors for them"""


def export_detector(
    name_or_path: str | Path,
    path: Path,
    *,
    frames: Sequence[Frame],
    weights: str | Path = "default",
    size: str = NETWORK,
    calibrate_on: Sequence[Frame] = (),
    judge: Judge | None = None,
    tolerances: Tolerances | None = None,
    maps: Sequence[str] = (),
) -> Certificate:
    """Write ``path`` (its ending says the format), its card and its ``.parity.json``.

    Args:
        name_or_path: a network of vodkit, by name or checkpoint.
        path: ends in ``.onnx``, ``.xml`` or ``.pt2``.
        frames: original and export are compared on these.
        weights: as in ``load_detector``.
        size: of the network's input, as in ``load_detector``.
        calibrate_on: frames that say which ranges INT8 must hold; empty: float32.
        judge: measures both on labelled data; INT8 needs one.
        tolerances: None takes ``Tolerances()``, or ``INT8`` for INT8.
        maps: stages whose feature maps the graph gives as well, see ``Output.maps``.

    Raises OutputError, and leaves nothing behind, when the export differs from the original by
    more than the tolerances, or when nothing was found in ``frames`` to compare.
    """
    from vodkit.detect import networks

    writer = pick(FORMATS, path.suffix, "export format (the file's ending)")
    if not frames:
        raise SettingsError("export needs frames to compare original and export on")
    if calibrate_on and judge is None:
        raise SettingsError("INT8 changes every number: give labelled data to judge it on (--data)")
    module, card = build_network(name_or_path, weights=weights, size=size)
    graph: nn.Module = networks.deployed(module, card)
    if maps:
        graph, card = _with_maps(graph, card, maps, path)
    pictures = [place(frame, card.preprocessing)[0] for frame in calibrate_on]

    def write(passing: Path) -> Certificate:
        writer(Wanted(graph=graph, preprocessing=card.preprocessing, pictures=pictures), passing)
        exported = graph_card(card, passing)
        write_card(exported, _beside(passing, ".card.json"))
        pair = _in_torch(graph, card), _read_back(passing, exported)
        certificate = _certificate(
            pair, passing, frames, judge, tolerances, num_calibrated=len(pictures)
        )
        if not certificate.passes:
            raise OutputError(f"not exported: {'; '.join(certificate.failures())}", path=path)
        write_json(_beside(passing, ".parity.json"), asdict(certificate))
        if path.suffix == ".pt2":
            trust(passing)
        return certificate

    return write_whole(path, write)


def _with_maps(
    graph: "nn.Module", card: ModelCard, maps: Sequence[str], path: Path
) -> "tuple[nn.Module, ModelCard]":
    from vodkit.detect.maps import with_maps

    if path.suffix not in HEAD_FORMATS:
        allowed = ", ".join(HEAD_FORMATS)
        raise SettingsError(f"{path.name} with feature maps; allowed: {allowed}")
    output = replace(card.output, maps=tuple(maps))
    return with_maps(graph, card, maps), replace(card, output=output)


def _certificate(
    pair: tuple[GraphDetector, GraphDetector],
    path: Path,
    frames: Sequence[Frame],
    judge: Judge | None,
    tolerances: Tolerances | None,
    *,
    num_calibrated: int,
) -> Certificate:
    original, exported = pair
    by_input = _compared(original, exported, [*frames, *cuts(frames[::_CUT_EVERY])])
    found = together(by_input.values())
    return Certificate(
        model=original.card.name,
        file=path.name,
        sha256=exported.card.sha256,
        precision="int8" if num_calibrated else "f32",
        num_pictures=len(frames) + len(_CUTS) * len(frames[::_CUT_EVERY]),
        num_boxes=found.num_boxes,
        num_unpaired=found.num_unpaired,
        max_box_difference_px=found.max_box_px,
        max_score_difference=found.max_score,
        by_input=by_input,
        num_calibrated=num_calibrated,
        on_data=None if judge is None else judge(original, exported),
        tolerances=tolerances or (INT8 if num_calibrated else Tolerances()),
        versions=versions(),
    )


def cuts(frames: Sequence[Frame]) -> list[Frame]:
    """The largest landscape, portrait and square picture in the middle of each frame."""
    found = []
    for frame in frames:
        height, width = frame.image.shape[:2]
        for across, down in _CUTS:
            w = max(min(width, height * across // down), 1)
            h = max(min(height, width * down // across), 1)
            x, y = (width - w) // 2, (height - h) // 2
            found.append(Frame(frame.index, frame.time_s, frame.image[y : y + h, x : x + w]))
    return found


def _compared(
    original: GraphDetector, exported: GraphDetector, pictures: Sequence[Frame]
) -> dict[str, Differences]:
    """Differences by input size: what a user of each would see, each at its own size."""
    groups: dict[str, list[Frame]] = {}
    for one in pictures:
        size = input_px(one.width_px, one.height_px, original.card.preprocessing)
        groups.setdefault(f"{size[0]}x{size[1]}", []).append(one)
    found = {}
    for size_px, group in groups.items():
        try:
            found[size_px] = compare(original, exported, group)
        except (RuntimeError, AssertionError) as error:  # a graph that was made for another size
            reason = str(error).strip().splitlines()[0]
            where = f"{exported.card.name}, exported, at an input of {size_px}"
            raise WeightsError(f"{where}: does not run: {reason}") from error
    return found


def graph_card(card: ModelCard, path: Path) -> ModelCard:
    """The card of an exported file: its input needs no normalisation any more."""
    return replace(
        card,
        family="graph",
        architecture={},
        preprocessing=without_normalisation(card.preprocessing),
        source=f"exported from {card.name}; {card.source}",
        sha256=digest(path),
        size_bytes=sum(part.stat().st_size for part in parts(path)),
        url="",
    )


def _in_torch(graph: "nn.Module", card: ModelCard) -> GraphDetector:
    from vodkit.detect.devices import device_of
    from vodkit.detect.runtimes.torch_module import TorchRuntime

    batched = card.output.decoding not in UNBATCHED
    runtime = TorchRuntime(graph, device=device_of("cpu"), batched=batched, max_batch=1)
    return GraphDetector(
        card, runtime, score_threshold=LEAST_SCORE, max_detections=None, classes=None
    )


def _read_back(path: Path, card: ModelCard) -> GraphDetector:
    """The exported file as it will be used. A ``.pt2`` can be read here: it is our own."""
    if path.suffix == ".pt2":
        from vodkit.detect.runtimes.torch_module import read_exported

        return _in_torch(read_exported(path), card)
    runtime = "onnx" if path.suffix == ".onnx" else "openvino"
    return load_detector(path, runtime=runtime, score_threshold=LEAST_SCORE, max_detections=None)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
