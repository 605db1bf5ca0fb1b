"""A network as a file for elsewhere, with a certificate that it says the same as the original.

The exported graph takes (1, H, W, 3) uint8 RGB, resized and filled: normalisation is inside. A
card is written beside it, so ``load_detector`` takes the file like any other model. Before
anything gets its final name, original and export are run on the same frames and compared; INT8,
whose numbers cannot be the same, is judged by AP and HOTA on labelled videos.
"""

import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vodkit.arrays import ByteArray
from vodkit.detect.base import ModelCard, Preprocessing, without_normalisation, write_card
from vodkit.detect.decode import UNBATCHED
from vodkit.detect.detector import GraphDetector
from vodkit.detect.models import build_network, load_detector
from vodkit.detect.parity import LEAST_SCORE, compare
from vodkit.detect.preprocess import place
from vodkit.detect.runtimes.base import versions
from vodkit.detect.weights import digest, parts, trust
from vodkit.errors import OutputError, SettingsError
from vodkit.lookup import pick
from vodkit.records import Frame
from vodkit.runs import make_folder, write_json

if TYPE_CHECKING:
    from torch import nn

_MULTIPLE = 32


@dataclass(frozen=True, kw_only=True)
class Tolerances:
    """How much an export may differ from its original."""

    px: float | None = 0.5
    """of a corner, in source pixels; None: any (INT8)"""
    score: float | None = 1e-3
    """None: any (INT8)"""
    ap: float = 0.002
    """AP that may be lost on labelled data"""
    hota: float = 0.002
    """HOTA that may be lost there"""

    def __post_init__(self) -> None:
        """No tolerance is below zero."""
        for name in ("px", "score", "ap", "hota"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise SettingsError(f"tolerance_{name} is {value}; allowed: 0 or more")


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
"""measures original and export on labelled data (``vodkit.certify``)"""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """How far an exported file is from its original, on which frames, with which versions."""

    model: str
    file: str
    sha256: str
    precision: str
    """f32 or int8"""
    num_frames: int
    num_boxes: int
    """boxes of the original that were found again"""
    num_unpaired: int
    """boxes that only one of the two gives, where the score is not just at the threshold"""
    max_box_difference_px: float
    """of a corner, in source pixels"""
    max_score_difference: float
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
        if allowed.px is not None and self.max_box_difference_px > allowed.px:
            found.append(f"corners {self.max_box_difference_px:.3g} px, allowed: {allowed.px:g} px")
        if allowed.score is not None and self.max_score_difference > allowed.score:
            found.append(f"scores {self.max_score_difference:.3g}, allowed: {allowed.score:g}")
        if allowed.px is not None and self.num_unpaired:
            found.append(f"{self.num_unpaired} boxes unpaired, allowed: none")
        if self.on_data is None:
            return found if allowed.px is not None else [*found, "no labelled data to judge it on"]
        exact = allowed.px is not None  # then a gain, too, means that the boxes are others
        for name, lost, limit in (
            ("AP", self.on_data.lost_ap, allowed.ap),
            ("HOTA", self.on_data.lost_hota, allowed.hota),
        ):
            if (abs(lost) if exact else lost) > limit:
                found.append(f"{name} {lost:+.4f} lost, allowed: {limit:g}")
        return found

    @property
    def passes(self) -> bool:
        """Whether the export may stand for the original."""
        return not self.failures()


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is written: a graph, its fixed input, and the pictures INT8 is calibrated on."""

    graph: "nn.Module"
    size: Preprocessing
    pictures: Sequence[ByteArray]
    """empty: float32"""


def write_onnx(wanted: Wanted, path: Path) -> None:
    """ONNX, by tracing at the fixed input size."""
    from vodkit.detect.runtimes import onnx_graph, quantise

    if wanted.pictures:
        quantise.write_onnx_int8(wanted.graph, path, wanted.pictures)
    else:
        onnx_graph.write_onnx(wanted.graph, path, wanted.size.height_px, wanted.size.width_px)


def write_openvino(wanted: Wanted, path: Path) -> None:
    """OpenVINO's ``.xml`` and ``.bin``, in float32 or INT8."""
    from vodkit.detect.runtimes import quantise
    from vodkit.detect.runtimes.openvino_graph import convert, save_model

    if wanted.pictures:
        quantise.write_openvino_int8(wanted.graph, path, wanted.pictures)
    else:
        save_model(convert(wanted.graph, wanted.size.height_px, wanted.size.width_px), path)


def write_torch_export(wanted: Wanted, path: Path) -> None:
    """The ``.pt2`` archive of ``torch.export``, in float32."""
    import torch

    if wanted.pictures:
        raise SettingsError("INT8 is written to .onnx and .xml, not to .pt2")
    size = wanted.size
    example = torch.zeros(1, size.height_px, size.width_px, 3, dtype=torch.uint8)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # notes on constants of the graph
        torch.export.save(torch.export.export(wanted.graph, (example,)), path)


# file ending: what writes it
FORMATS: dict[str, Callable[[Wanted, Path], None]] = {
    ".onnx": write_onnx,
    ".xml": write_openvino,
    ".pt2": write_torch_export,
}


def export_detector(
    name_or_path: str | Path,
    path: Path,
    *,
    frames: Sequence[Frame],
    weights: str | Path = "default",
    calibrate_on: Sequence[Frame] = (),
    judge: Judge | None = None,
    tolerances: Tolerances | None = None,
) -> Certificate:
    """Write ``path`` (its ending says the format), its card and its ``.parity.json``.

    Args:
        name_or_path: a network of vodkit, by name or checkpoint.
        path: ends in ``.onnx``, ``.xml`` or ``.pt2``.
        frames: original and export are compared on these.
        weights: as in ``load_detector``.
        calibrate_on: frames that say which ranges INT8 must hold; empty: float32.
        judge: measures both on labelled data; INT8 needs one.
        tolerances: None takes ``Tolerances()``, or ``INT8`` for INT8.

    Raises OutputError, and leaves nothing behind, when the export differs from the original by
    more than the tolerances, or when nothing was found in ``frames`` to compare.
    """
    from vodkit.detect import networks

    writer = pick(FORMATS, path.suffix, "export format (the file's ending)")
    if not frames:
        raise SettingsError("export needs frames to compare original and export on")
    if calibrate_on and judge is None:
        raise SettingsError("INT8 changes every number: give labelled data to judge it on (--data)")
    module, card = build_network(name_or_path, weights=weights)
    fixed = replace(card, preprocessing=fixed_size(card.preprocessing))
    graph = networks.deployed(module, fixed)
    pictures = [place(frame, fixed.preprocessing)[0] for frame in calibrate_on]
    make_folder(path.parent)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        passing = Path(folder) / path.name
        writer(Wanted(graph=graph, size=fixed.preprocessing, pictures=pictures), passing)
        exported = graph_card(fixed, passing)
        write_card(exported, _beside(passing, ".card.json"))
        pair = _in_torch(graph, fixed), _read_back(passing, exported)
        certificate = _certificate(
            pair, passing, frames, judge, tolerances, num_calibrated=len(pictures)
        )
        if not certificate.passes:
            raise OutputError(f"not exported: {'; '.join(certificate.failures())}", path=path)
        write_json(_beside(passing, ".parity.json"), asdict(certificate))
        for made in Path(folder).iterdir():
            made.replace(path.parent / made.name)
    if path.suffix == ".pt2":
        trust(path)
    return certificate


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
    found = compare(original, exported, frames)
    return Certificate(
        model=original.card.name,
        file=path.name,
        sha256=exported.card.sha256,
        precision="int8" if num_calibrated else "f32",
        num_frames=len(frames),
        num_boxes=found.num_boxes,
        num_unpaired=found.num_unpaired,
        max_box_difference_px=found.max_box_px,
        max_score_difference=found.max_score,
        num_calibrated=num_calibrated,
        on_data=None if judge is None else judge(original, exported),
        tolerances=tolerances or (INT8 if num_calibrated else Tolerances()),
        versions=versions(),
    )


def fixed_size(wanted: Preprocessing) -> Preprocessing:
    """Exported graphs have one input size: ``fit`` becomes a letterbox that holds it."""
    if wanted.resize != "fit":
        return wanted
    width, height = (
        -(-side // _MULTIPLE) * _MULTIPLE for side in (wanted.width_px, wanted.height_px)
    )
    return replace(wanted, resize="letterbox", width_px=width, height_px=height)


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
    from vodkit.detect.runtimes.torch_module import TorchRuntime, device_of

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
