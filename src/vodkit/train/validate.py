"""How good the network is now: its boxes on the validation frames, counted as COCO does.

The same graph, decoding and suppression as at inference, on the same pixels.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from vodkit.data.loader import FrameDataset, TrainingViews
from vodkit.data.transforms import Picture
from vodkit.detect import networks
from vodkit.detect.base import ModelCard
from vodkit.detect.decode import DECODINGS, UNBATCHED
from vodkit.detect.devices import exact_float32
from vodkit.detect.memory import fitting
from vodkit.detect.postprocess import finish
from vodkit.detect.preprocess import Placement
from vodkit.ground.arrays import FloatArray
from vodkit.ground.records import Dataset, Detections, LabelledVideo, TrackTable
from vodkit.metrics.detection.ap import CocoResult, table_average_precision
from vodkit.track.score_scale import typical_scores
from vodkit.train.batches import Batch, CachedViews, from_examples, run_graph

_THRESHOLD, _MOST = 0.01, 100
_MOST_PICTURES = 8  # through the network at once


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Frames to validate on, and their features where those are kept."""

    views: TrainingViews
    cached: CachedViews | None = None

    @property
    def frames(self) -> FrameDataset:
        """The frames, in order."""
        return self.views.frames

    @property
    def num_boxes(self) -> int:
        """Boxes in these frames."""
        videos = self.frames.dataset.videos
        frames = [
            [key.frame for key in self.frames.keys if key.video == number]
            for number in range(len(videos))
        ]
        return sum(
            0 if video.tracks is None else int(np.isin(video.tracks.frames, chosen).sum())
            for video, chosen in zip(videos, frames, strict=True)
        )

    @property
    def size(self) -> str:
        """How much it is, as ``41 frames, 120 boxes``."""
        return f"{len(self.frames)} frames, {self.num_boxes} boxes"


@dataclass(frozen=True, eq=False)
class Shown:
    """A validation frame with what is there and what was found, for people to look at."""

    name: str
    """source and frame"""
    picture: Picture
    """pixels and truth, as the network gets them"""
    found: Detections
    """boxes in pixels of the picture"""


@dataclass(frozen=True, eq=False)
class Validated:
    """What a validation gave."""

    result: CocoResult
    typical: dict[str, float]
    """score of each class that is typical here"""
    shown: tuple[Shown, ...]
    """of the frames that were asked for"""


def validate(
    module: nn.Module, card: ModelCard, against: Validation, *, num_shown: int = 0
) -> Validated:
    """COCO's numbers of a network (in evaluation mode) on the validation frames.

    ``num_shown`` frames, spread evenly and always the same, come with what was found in them.
    """
    device = next(module.parameters()).device
    rows: dict[int, list[tuple[int, float, Detections]]] = defaultdict(list)
    count = len(against.frames)
    chosen = set(np.linspace(0, count - 1, min(num_shown, count)).round().astype(int).tolist())
    shown = []
    for index, found in _found(module, card, against, device):
        key = against.frames.keys[index]
        rows[key.video].append((key.frame, 0.0, found))
        if index in chosen:
            shown.append(_shown(against.frames, index, found))
    every = (found for of_video in rows.values() for _, _, found in of_video)
    typical = typical_scores(every, card.classes)
    return Validated(_scores(against.frames, rows), typical, tuple(shown))


def _shown(frames: FrameDataset, index: int, found: Detections) -> Shown:
    picture = frames.pictures([index])[0]
    info = frames.dataset.videos[frames.keys[index].video].info
    height, width = picture.image.shape[:2]
    scale = np.tile([width / info.width_px, height / info.height_px], 2)
    return Shown(frames.name(index), picture, replace(found, boxes_xyxy=found.boxes_xyxy * scale))


def _scores(
    frames: FrameDataset, rows: Mapping[int, list[tuple[int, float, Detections]]]
) -> CocoResult:
    predictions = {
        frames.dataset.videos[number].source: TrackTable.from_frames(of_video)
        for number, of_video in rows.items()
    }
    return table_average_precision(_looked_at(frames), predictions)


@torch.inference_mode()
def _found(
    module: nn.Module, card: ModelCard, against: Validation, device: torch.device
) -> Iterator[tuple[int, Detections]]:
    graph = networks.deployed(module, card)
    cuts = () if against.cached is None else against.cached.cuts
    batched = card.output.decoding not in UNBATCHED

    def outputs(part: range) -> list[FloatArray]:
        with exact_float32(device):  # as at inference
            given = run_graph(graph, _batch(against, device, part), cuts)
        return [one.float().cpu().numpy() for one in given]

    for part, arrays in fitting(
        outputs, len(against.frames), most=_MOST_PICTURES if batched else 1
    ):
        for row, index in enumerate(part):
            one = [array[row] for array in arrays] if batched else arrays
            yield index, _finish(one, card, against, index)


def _batch(against: Validation, device: torch.device, indices: range) -> Batch:
    if against.cached is not None:
        return against.cached.batch(indices, [0] * len(indices), device)
    return from_examples([against.views.view(i, 0) for i in indices], device)


def _finish(
    outputs: list[FloatArray],
    card: ModelCard,
    against: Validation,
    index: int,
) -> Detections:
    number = against.frames.keys[index].video
    info, new = against.frames.dataset.videos[number].info, against.frames.reader.size_of(number)
    placement = Placement(
        info.width_px, info.height_px, info.width_px / new[0], info.height_px / new[1]
    )
    decode = DECODINGS[card.output.decoding]
    candidates = decode(outputs, _THRESHOLD, against.views.canvas_px)
    return finish(candidates, placement, nms_iou=card.output.nms_iou, max_detections=_MOST)


def _looked_at(frames: FrameDataset) -> Dataset:
    """The dataset with only those frames labelled that were looked at."""
    videos = []
    for number, video in enumerate(frames.dataset.videos):
        chosen = [key.frame for key in frames.keys if key.video == number]
        if chosen:
            videos.append(_only(video, chosen))
    return Dataset(classes=frames.dataset.classes, videos=tuple(videos))


def _only(video: LabelledVideo, frames: list[int]) -> LabelledVideo:
    assert video.tracks is not None
    return LabelledVideo(
        source=video.source,
        info=video.info,
        tracks=video.tracks[np.isin(video.tracks.frames, frames)],
        labelled_frames=np.asarray(frames),
    )
