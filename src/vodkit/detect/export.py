"""A network as a file for elsewhere, with a certificate that it says the same as the original.

The exported graph takes (1, H, W, 3) uint8 RGB, resized and filled: normalisation is inside. A
card is written beside it, so ``load_detector`` takes the file like any other model. Before
anything gets its final name, original and export are run on the same frames and compared.
"""

import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy.optimize import linear_sum_assignment

from vodkit import boxes
from vodkit.detect.base import ModelCard, Preprocessing, without_normalisation, write_card
from vodkit.detect.decode import UNBATCHED
from vodkit.detect.detector import GraphDetector
from vodkit.detect.models import build_network, load_detector
from vodkit.detect.weights import digest, parts
from vodkit.errors import OutputError, SettingsError
from vodkit.lookup import pick
from vodkit.records import Detections, Frame
from vodkit.runs import make_folder, stack, write_json

if TYPE_CHECKING:
    from torch import nn

_SCORE = 0.01  # compare even very uncertain boxes
_MULTIPLE = 32
_NEVER = 1e6


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """How far an exported file is from its original, on which frames, with which versions."""

    model: str
    file: str
    sha256: str
    num_frames: int
    num_boxes: int
    """boxes of the original that were found again"""
    num_unpaired: int
    """boxes that only one of the two gives, where the score is not just at the threshold"""
    max_box_difference_px: float
    """of a corner, in source pixels"""
    max_score_difference: float
    tolerance_px: float
    tolerance_score: float
    versions: dict[str, str]

    @property
    def passes(self) -> bool:
        """Whether the export may stand for the original."""
        return (
            self.num_boxes > 0
            and self.num_unpaired == 0
            and self.max_box_difference_px <= self.tolerance_px
            and self.max_score_difference <= self.tolerance_score
        )


def write_onnx(graph: "nn.Module", path: Path, wanted: Preprocessing) -> None:
    """ONNX, by tracing at the fixed input size."""
    from vodkit.detect.runtimes import onnx_graph

    onnx_graph.write_onnx(graph, path, wanted.height_px, wanted.width_px)


def write_openvino(graph: "nn.Module", path: Path, wanted: Preprocessing) -> None:
    """OpenVINO's ``.xml`` and ``.bin``, in float32."""
    from vodkit.detect.runtimes.openvino_graph import convert, save_model

    save_model(convert(graph, wanted.height_px, wanted.width_px), path)


def write_torch_export(graph: "nn.Module", path: Path, wanted: Preprocessing) -> None:
    """The ``.pt2`` archive of ``torch.export``."""
    import torch

    example = torch.zeros(1, wanted.height_px, wanted.width_px, 3, dtype=torch.uint8)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # notes on constants of the graph
        torch.export.save(torch.export.export(graph, (example,)), path)


# file ending: what writes it
FORMATS: dict[str, Callable[["nn.Module", Path, Preprocessing], None]] = {
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
    tolerance_px: float = 0.5,
    tolerance_score: float = 1e-3,
) -> Certificate:
    """Write ``path`` (its ending says the format), its card and its ``.parity.json``.

    Raises OutputError, and leaves nothing behind, when the export differs from the original by
    more than the tolerances on ``frames``, or when nothing was found there to compare.
    """
    from vodkit.detect import networks

    writer = pick(FORMATS, path.suffix, "export format (the file's ending)")
    if not frames:
        raise SettingsError("export needs frames to compare original and export on")
    module, card = build_network(name_or_path, weights=weights)
    fixed = replace(card, preprocessing=fixed_size(card.preprocessing))
    graph = networks.deployed(module, fixed)
    make_folder(path.parent)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        passing = Path(folder) / path.name
        writer(graph, passing, fixed.preprocessing)
        exported = graph_card(fixed, passing)
        write_card(exported, _beside(passing, ".card.json"))
        found = compare(_in_torch(graph, fixed), _read_back(passing, exported), frames)
        certificate = Certificate(
            model=card.name,
            file=path.name,
            sha256=exported.sha256,
            num_frames=len(frames),
            num_boxes=found.num_boxes,
            num_unpaired=found.num_unpaired,
            max_box_difference_px=found.max_box_px,
            max_score_difference=found.max_score,
            tolerance_px=tolerance_px,
            tolerance_score=tolerance_score,
            versions=stack(),
        )
        if not certificate.passes:
            raise OutputError(_refusal(certificate), path=path)
        write_json(_beside(passing, ".parity.json"), asdict(certificate))
        for made in Path(folder).iterdir():
            made.replace(path.parent / made.name)
    return certificate


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
    return GraphDetector(card, runtime, score_threshold=_SCORE, max_detections=None, classes=None)


def _read_back(path: Path, card: ModelCard) -> GraphDetector:
    """The exported file as it will be used. A ``.pt2`` can be read here: it is our own."""
    if path.suffix != ".pt2":
        return load_detector(path, score_threshold=_SCORE, max_detections=None)
    import torch

    return _in_torch(torch.export.load(path).module(), card)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _refusal(seen: Certificate) -> str:
    if seen.num_boxes == 0 and seen.num_unpaired == 0:
        return "not exported: nothing was found in the frames, so nothing could be compared"
    return (
        f"not exported: the export differs from the original by {seen.max_box_difference_px:.3g} px"
        f" and {seen.max_score_difference:.3g} in score, {seen.num_unpaired} boxes unpaired;"
        f" allowed: {seen.tolerance_px:g} px, {seen.tolerance_score:g}, none"
    )
