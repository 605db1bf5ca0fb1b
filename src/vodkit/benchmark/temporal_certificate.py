"""A temporal head exported beside its detector, with a certificate made on a clip.

The detector is exported with its feature maps (``detect.export``), the head as graphs
(``detect.temporal_graph``). A clip is run through the original in torch with its head, and through
the exported files, with a memory each; all detections of every frame are compared.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from vodkit.detect.base import Detector, ModelCard, by_batches, write_card
from vodkit.detect.defaults import BATCH_SIZE, NETWORK
from vodkit.detect.export import HEAD_FORMATS, Tolerances
from vodkit.detect.models import load_detector
from vodkit.detect.parity import LEAST_SCORE, compare
from vodkit.detect.runtimes.base import versions, write_whole
from vodkit.detect.temporal_graph import write_head_graph, write_keys_graph
from vodkit.detect.temporal_head import KEY_NAMES, TemporalHead, keys_file, load_head
from vodkit.detect.weights import digest, parts
from vodkit.ground.errors import OutputError, SettingsError
from vodkit.ground.records import Detections, Frame
from vodkit.ground.runs import write_json
from vodkit.infer.follow import Follower, make_memory
from vodkit.infer.settings import InferSettings
from vodkit.temporal.recall import RecallSettings

NUM_FRAMES = 48
"""frames of the clip: at 10 to 30 frames a second longer than the memory's first lags"""


@dataclass(frozen=True, kw_only=True)
class ClipCertificate:
    """How far an exported detector with its head is from the original, frame by frame."""

    head: str
    """what was exported"""
    model: str
    files: dict[str, str]
    """sha256 of what was written, by file"""
    num_frames: int
    """of the clip, one after the other"""
    num_remembered: int
    """frames whose detections memory changed"""
    num_boxes: int
    """boxes of the original that were found again"""
    num_unpaired: int
    max_box_difference_px: float
    """of a corner, in source pixels"""
    max_score_difference: float
    first_is_still: bool
    """whether the clip's first frame, which has no memory, is what the exported detector alone
    gives, bit for bit"""
    tolerances: Tolerances
    versions: dict[str, str]

    def failures(self) -> list[str]:
        """Why the export may not stand for the original; empty: it may."""
        allowed = self.tolerances
        assert allowed.px is not None
        assert allowed.score is not None
        faults = {
            "nothing was found in the clip, so nothing could be compared": not self.num_boxes,
            "memory changed no frame of the clip": not self.num_remembered,
            f"corners {self.max_box_difference_px:.3g} px, allowed: {allowed.px:g} px": (
                self.max_box_difference_px > allowed.px
            ),
            f"scores {self.max_score_difference:.3g}, allowed: {allowed.score:g}": (
                self.max_score_difference > allowed.score
            ),
            f"{self.num_unpaired} boxes unpaired, allowed: none": self.num_unpaired > 0,
            "a frame without memory differs from the detector alone": not self.first_is_still,
        }
        return [text for text, is_fault in faults.items() if is_fault]


def head_path(out: Path) -> Path:
    """Where the head of an exported detector is written.

    >>> head_path(Path("street.onnx")).name
    'street.temporal.onnx'
    """
    return out.with_name(f"{out.stem}.temporal{out.suffix}")


def stages_for(head: Path, out: Path, card: ModelCard, *, is_exact: bool) -> tuple[str, ...]:
    """The stages whose maps a trained head needs of its detector, once exported.

    Args:
        head: checked to be of this detector.
        out: what the detector is to be exported to.
        card: of the detector as it is loaded, with the digest of its weights.
        is_exact: in float32, not INT8.

    Raises:
        SettingsError: it cannot be exported in this form.
        WeightsError: the head is of another detector.
    """
    if out.suffix not in HEAD_FORMATS or not is_exact:
        seen = "--int8" if out.suffix in HEAD_FORMATS else out.name
        allowed = f"{' or '.join(HEAD_FORMATS)}, in float32"
        raise SettingsError(f"--temporal with {seen}; allowed: {allowed}")
    found = load_head(head, card)
    if not found.weights:
        raise SettingsError(f"{head} is an exported head; allowed: a trained one (.safetensors)")
    return () if found.keys is None else found.keys.settings.stages


def export_head(
    model: str,
    head: Path,
    out: Path,
    *,
    clip: Sequence[Frame],
    weights: str = "default",
    size: str = NETWORK,
    tolerances: Tolerances | None = None,
) -> ClipCertificate:
    """Write the head of an exported detector beside it, with card and certificate.

    Args:
        model: the detector as it was, by name or checkpoint.
        head: a trained head for it.
        out: the exported detector, made with the head's feature maps.
        clip: frames one after the other, on which both are compared.
        weights: as in ``load_detector``.
        size: of the network's input, as in ``load_detector``.
        tolerances: corners in pixels, and scores; None: ``Tolerances()``.

    Raises:
        OutputError: the export differs by more than the tolerances; nothing is left behind.
    """
    allowed = tolerances or Tolerances()
    runtime = "onnx" if out.suffix == ".onnx" else "openvino"
    original = load_detector(
        model, runtime="torch", device="cpu", score_threshold=LEAST_SCORE, max_detections=None,
        weights=weights, temporal=head, size=size,
    )  # fmt: skip
    trained = load_head(head, original.card)

    def write(passing: Path) -> ClipCertificate:
        alone = load_detector(
            out, runtime=runtime, score_threshold=LEAST_SCORE, max_detections=None
        )
        _write_graphs(trained, passing, alone.card)
        exported = load_detector(
            out, runtime=runtime, score_threshold=LEAST_SCORE, max_detections=None,
            temporal=passing,
        )  # fmt: skip
        before = _followed(original, head, clip)
        after = _followed(exported, passing, clip)
        seen = compare(_Given(before), _Given(after), clip)
        still = [found for _, found in by_batches(alone, clip, BATCH_SIZE)]
        changed = [one != other for one, other in zip(after, still, strict=True)]
        made = ClipCertificate(
            head=head.name,
            model=original.card.name,
            files={one.name: digest(one) for one in _graphs(passing)},
            num_frames=len(clip),
            num_remembered=sum(changed),
            num_boxes=seen.num_boxes,
            num_unpaired=seen.num_unpaired,
            max_box_difference_px=seen.max_box_px,
            max_score_difference=seen.max_score,
            first_is_still=trained.both or not changed[0],
            tolerances=allowed,
            versions=versions(),
        )
        if faults := made.failures():
            raise OutputError(f"not exported: {'; '.join(faults)}", path=head_path(out))
        write_json(passing.with_name(f"{passing.name}.parity.json"), asdict(made))
        return made

    return write_whole(head_path(out), write)


class _Given:
    """Detections that are known already, as a detector of ``parity.compare``."""

    def __init__(self, found: list[Detections]) -> None:
        self._found = found

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """See ``parity.Finds``."""
        assert len(frames) == len(self._found)
        return self._found


def _followed(detector: Detector, head: Path, clip: Sequence[Frame]) -> list[Detections]:
    """What ``detect --temporal`` finds in the frames of a clip."""
    settings = InferSettings(temporal=str(head), score_threshold=LEAST_SCORE)
    follower = Follower(memory=make_memory(settings, detector.classes))
    found = by_batches(detector, clip, BATCH_SIZE)
    return [step.detections for step in follower.steps(found)]


def _write_graphs(head: TemporalHead, path: Path, detector: ModelCard) -> None:
    """The head's graphs, and a card that names the exported detector as its own."""
    weights = {name: value for name, value in head.weights.items() if name not in KEY_NAMES}
    keys = {name: head.weights[name] for name in KEY_NAMES if name in head.weights}
    shape = RecallSettings(
        lags_s=head.lags_s, most=head.most, remembered=head.remembered, both=head.both
    )
    size = len(keys["keys.weight"]) if keys else 0
    write_head_graph(weights, shape, size, path)
    more = {}
    if keys:
        write_keys_graph(keys, head.most, keys_file(path))
        more = {"keys_sha256": digest(keys_file(path))}
    about = {"detector": detector.name, "detector_sha256": detector.sha256}
    card = replace(
        head.card,
        preprocessing=detector.preprocessing,
        architecture={**head.card.architecture, **about, **more},
        source=f"exported from {head.card.name}; {head.card.source}",
        sha256=digest(path),
        size_bytes=sum(part.stat().st_size for part in parts(path)),
    )
    write_card(card, path.with_name(f"{path.stem}.card.json"))


def _graphs(path: Path) -> list[Path]:
    """The graphs of an exported head."""
    return [one for one in (path, keys_file(path)) if one.is_file()]
