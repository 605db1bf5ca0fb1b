"""vodkit turns labelled video into an object detector and tracker that you can trust.

The public names are loaded when they are first used, so that importing vodkit costs nothing
and never imports torch::

    import vodkit

    for frame, detections, tracks in vodkit.track_video("plaza.mp4"):
        print(frame.time_s, tracks.ids, tracks.boxes_xyxy)

Frames and clips of labelled video for a training loop of your own are in ``vodkit.data.loader``
(PyTorch data sets; samplers of PyTorchVideo fit), fine-tuning is ``vodkit.train.loop.train``.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vodkit.detect.models import load_detector as load_detector
    from vodkit.formats.table import read_dataset as read_dataset
    from vodkit.formats.table import write_dataset as write_dataset
    from vodkit.ground.errors import VodkitError as VodkitError
    from vodkit.ground.records import Dataset as Dataset
    from vodkit.ground.records import Detections as Detections
    from vodkit.ground.records import Frame as Frame
    from vodkit.ground.records import LabelledVideo as LabelledVideo
    from vodkit.ground.records import State as State
    from vodkit.ground.records import Tracks as Tracks
    from vodkit.ground.records import TrackTable as TrackTable
    from vodkit.ground.records import VideoInfo as VideoInfo
    from vodkit.infer.flow import detect_video as detect_video
    from vodkit.infer.flow import track_video as track_video
    from vodkit.infer.folder import open_run as open_run
    from vodkit.infer.settings import InferSettings as InferSettings
    from vodkit.metrics.evaluation import evaluate as evaluate
    from vodkit.track.table import make_tracker as make_tracker
    from vodkit.video.reader import open_video as open_video

# One line a public name: where it lives.
_HOMES = {
    "load_detector": "vodkit.detect.models",
    "VodkitError": "vodkit.ground.errors",
    "read_dataset": "vodkit.formats.table",
    "write_dataset": "vodkit.formats.table",
    "evaluate": "vodkit.metrics.evaluation",
    "detect_video": "vodkit.infer.flow",
    "track_video": "vodkit.infer.flow",
    "open_run": "vodkit.infer.folder",
    "InferSettings": "vodkit.infer.settings",
    "Dataset": "vodkit.ground.records",
    "Detections": "vodkit.ground.records",
    "Frame": "vodkit.ground.records",
    "LabelledVideo": "vodkit.ground.records",
    "State": "vodkit.ground.records",
    "Tracks": "vodkit.ground.records",
    "TrackTable": "vodkit.ground.records",
    "VideoInfo": "vodkit.ground.records",
    "make_tracker": "vodkit.track.table",
    "open_video": "vodkit.video.reader",
}
__all__ = [*_HOMES]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> object:
    """A public name, imported from its home at first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        return version("vodkit")
    if name not in _HOMES:
        raise AttributeError(f"module 'vodkit' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names, for completion in a shell."""
    return sorted([*_HOMES, "__version__"])
