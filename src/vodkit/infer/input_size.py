"""``--size auto``: which input size finds the objects of some videos best, on sample frames.

A few frames are detected at the network's own input size and at larger ones. The objects that any
of the sizes finds are the sample; a size is worth the mean of its scores of them, with 0 for those
that it misses. The smallest size within 3 % of the best is taken: small objects call for a larger
input, and where all are large, the network's own does.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vodkit.detect.base import Detector, ModelCard
from vodkit.detect.defaults import NETWORK
from vodkit.detect.input_size import SizeTrial, best_size, card_at, label, scaled, why_fixed
from vodkit.detect.models import find_card
from vodkit.ground.arrays import FloatArray
from vodkit.ground.boxes import area, iou
from vodkit.ground.errors import SettingsError, VideoError
from vodkit.ground.records import Detections, Frame
from vodkit.infer.settings import OFF, InferSettings
from vodkit.video.reader import Source, is_live, open_video

FACTORS = (1.0, 1.5, 2.0)
_NUM_FRAMES = 8
_MOST_SOURCES = 8
_LEAST_SCORE = 0.3
"""an object counts if a size gives it this score"""
_SAME_IOU = 0.5


@dataclass(frozen=True, kw_only=True)
class SizeChoice:
    """The input size that ``auto`` means for some videos, and why."""

    size: str
    """as ``--size`` has it"""
    why: str = ""
    """where there was nothing to choose"""
    trials: tuple[SizeTrial, ...] = ()
    num_frames: int = 0
    num_objects: int = 0

    def line(self) -> str:
        """One line for people.

        >>> trials = [SizeTrial(size="416", score=0.5, object_px=20), \
                      SizeTrial(size="832", score=0.7, object_px=40)]
        >>> SizeChoice(size="832", trials=tuple(trials), num_frames=8, num_objects=31).line()
        'size: 832 (mean score of 31 objects on 8 frames: 0.50 at 416, where they have 20 px; 0.70 \
at 832, 40 px)'
        """
        if not self.trials:
            return f"size: {self.size} ({self.why})"
        first, *others = self.trials
        told = [f"{first.score:.2f} at {first.size}, where they have {first.object_px:.0f} px"]
        told += [f"{one.score:.2f} at {one.size}, {one.object_px:.0f} px" for one in others]
        of = f"mean score of {self.num_objects} objects on {self.num_frames} frames"
        return f"size: {self.size} ({of}: {'; '.join(told)})"


def choose_size(
    settings: InferSettings,
    sources: Sequence[Source],
    make: Callable[[InferSettings], Detector],
) -> SizeChoice:
    """The input size for these videos.

    Args:
        settings: of the run; ``size`` does not count.
        sources: files, or folders of pictures.
        make: makes the detector of settings.

    Raises:
        SettingsError: a source is live; VideoError: no source has frames.
    """
    live = [source for source in sources if is_live(str(source))]
    if live:
        raise SettingsError(f"size is auto, {live[0]} is live; allowed: {NETWORK}, or pixels")
    card, path = find_card(settings.model)
    own = label(card)
    if reason := why_fixed(card, path):
        return SizeChoice(size=own, why=f"{card.name} {reason}")
    sizes = [own, *(scaled(card, factor) for factor in FACTORS[1:])]
    plain = replace(settings, appearance="", temporal=OFF, tiles="", batch_size=0)
    frames = list(_sample(sources, settings))
    cards = [card_at(card, size, path) for size in sizes]
    found = [make(replace(plain, size=size)).detect(frames) for size in sizes]
    pairs = zip(frames, zip(*found, strict=True), strict=True)
    tables = [_scores(frame, of_frame, cards) for frame, of_frame in pairs]
    scores, sides_px = (np.concatenate(part, axis=1) for part in zip(*tables, strict=True))
    num_objects = scores.shape[1]
    if not num_objects:
        return SizeChoice(size=own, why=f"nothing was found on {len(frames)} sample frames")
    trials = tuple(
        SizeTrial(size=size, score=float(of.mean()), object_px=float(np.median(px)))
        for size, of, px in zip(sizes, scores, sides_px, strict=True)
    )
    chosen = best_size(trials).size
    return SizeChoice(size=chosen, trials=trials, num_frames=len(frames), num_objects=num_objects)


def _sample(sources: Sequence[Source], settings: InferSettings) -> Iterator[Frame]:
    """Frames from the middle of equal stretches of some of the videos."""
    step = max(len(sources) // _MOST_SOURCES, 1)
    some = sources[::step][:_MOST_SOURCES]
    each = max(_NUM_FRAMES // len(some), 1)
    count = 0
    for source in some:
        with open_video(source, strict=False, picture_rate=settings.rate) as video:
            total = video.info.num_frames or each
            wanted = sorted({int(total * (2 * i + 1) / (2 * each)) for i in range(each)})
            for frame in video.frames_at(wanted):
                count += 1
                yield frame
    if not count:
        raise VideoError("has no frames to choose an input size on", path=str(some[0]))


def _scores(
    frame: Frame, found: Sequence[Detections], cards: Sequence[ModelCard]
) -> tuple[FloatArray, FloatArray]:
    """Each size's scores (S, N) of the objects that any size found, and their sides there in px."""
    boxes = np.concatenate([one.boxes_xyxy for one in found])
    scores = np.concatenate([one.scores for one in found])
    labels = np.concatenate([one.labels for one in found])
    taken: list[int] = []
    for row in np.argsort(-scores, kind="stable"):
        if scores[row] < _LEAST_SCORE:
            break
        same = labels[taken] == labels[row]
        if not (iou(boxes[row : row + 1], boxes[taken])[0][same] > _SAME_IOU).any():
            taken.append(int(row))
    table = np.zeros((len(found), len(taken)))
    for size, one in enumerate(found):
        overlap = iou(boxes[taken], one.boxes_xyxy) > _SAME_IOU
        overlap &= labels[taken][:, None] == one.labels[None, :]
        table[size] = np.where(overlap, one.scores[None, :], 0.0).max(axis=1, initial=0)
    size_px = (frame.width_px, frame.height_px)
    scales = [
        np.sqrt(np.prod(one.preprocessing.resized_px(*size_px)) / np.prod(size_px)) for one in cards
    ]
    return table, np.outer(scales, np.sqrt(area(boxes[taken])))
