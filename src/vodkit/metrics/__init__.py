"""Numbers that can be believed: every standard one, equal to its reference, with its uncertainty.

evaluation   one run gives all of the following; record Evaluation, written as metrics.json
ap           COCO AP and AR (coco_engine: hotcoco, or any package with pycocotools' interface)
vid, voc     ImageNet VID in its protocols, slow/medium/fast;  Pascal VOC
frame_accuracy, curves, errors      frames that are right; P/R/F1, thresholds, calibration; TIDE
mot/         HOTA, CLEAR, IDF1 and the MOTChallenge preprocessing
stability, delay, occlusion, streaming      what a single frame cannot show
bootstrap, compare                  95 % intervals over videos; is B better than A?
validate, clips, columns, match     what goes in, checked;  who is matched to whom
accumulate   update/compute for a training loop

Only numpy and scipy are needed, and a COCO engine for ``ap``; torch is never imported.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vodkit.metrics.accumulate import MetricAccumulator as MetricAccumulator
    from vodkit.metrics.bootstrap import BootstrapSettings as BootstrapSettings
    from vodkit.metrics.compare import compare_all as compare_all
    from vodkit.metrics.compare import load_runs as load_runs
    from vodkit.metrics.detection.ap import average_precision as average_precision
    from vodkit.metrics.detection.ap import table_average_precision as table_average_precision
    from vodkit.metrics.detection.errors import find_errors as find_errors
    from vodkit.metrics.detection.frame_accuracy import evaluate_frames as evaluate_frames
    from vodkit.metrics.detection.vid import vid_average_precision as vid_average_precision
    from vodkit.metrics.detection.voc import voc_average_precision as voc_average_precision
    from vodkit.metrics.evaluation import EvalSettings as EvalSettings
    from vodkit.metrics.evaluation import Evaluation as Evaluation
    from vodkit.metrics.evaluation import evaluate as evaluate
    from vodkit.metrics.tracking.clear import clear_counts as clear_counts
    from vodkit.metrics.tracking.clear import clear_scores as clear_scores
    from vodkit.metrics.tracking.hota import hota_counts as hota_counts
    from vodkit.metrics.tracking.hota import hota_scores as hota_scores
    from vodkit.metrics.tracking.identity import identity_counts as identity_counts
    from vodkit.metrics.tracking.identity import identity_scores as identity_scores

# One line a public name: where it lives.
_HOMES = {
    "evaluate": "vodkit.metrics.evaluation",
    "EvalSettings": "vodkit.metrics.evaluation",
    "Evaluation": "vodkit.metrics.evaluation",
    "average_precision": "vodkit.metrics.detection.ap",
    "table_average_precision": "vodkit.metrics.detection.ap",
    "voc_average_precision": "vodkit.metrics.detection.voc",
    "vid_average_precision": "vodkit.metrics.detection.vid",
    "evaluate_frames": "vodkit.metrics.detection.frame_accuracy",
    "find_errors": "vodkit.metrics.detection.errors",
    "hota_counts": "vodkit.metrics.tracking.hota",
    "hota_scores": "vodkit.metrics.tracking.hota",
    "clear_counts": "vodkit.metrics.tracking.clear",
    "clear_scores": "vodkit.metrics.tracking.clear",
    "identity_counts": "vodkit.metrics.tracking.identity",
    "identity_scores": "vodkit.metrics.tracking.identity",
    "BootstrapSettings": "vodkit.metrics.bootstrap",
    "compare_all": "vodkit.metrics.compare",
    "load_runs": "vodkit.metrics.compare",
    "MetricAccumulator": "vodkit.metrics.accumulate",
}
__all__ = [*_HOMES]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> object:
    """A public name, imported from its home at first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vodkit.metrics' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names, for completion in a shell."""
    return sorted(_HOMES)
