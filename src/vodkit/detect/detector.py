"""The detector that all families and runtimes share: place, run, decode, finish."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle, groupby, islice

import numpy as np

from vodkit.detect.base import Choice, Detector, ModelCard, by_batches
from vodkit.detect.decode import DECODINGS
from vodkit.detect.embed import Pooled
from vodkit.detect.postprocess import Candidates, finish
from vodkit.detect.preprocess import Placement, place
from vodkit.detect.runtimes.base import Runtime, StreamRuntime
from vodkit.detect.temporal_head import Keys
from vodkit.ground.arrays import ByteArray, FloatArray
from vodkit.ground.errors import SettingsError, WeightsError
from vodkit.ground.lookup import pick, unknown
from vodkit.ground.records import Detections, Frame


class GraphDetector(Detector):
    """A network in a runtime, from frames to Detections in source pixels."""

    def __init__(
        self,
        card: ModelCard,
        runtime: Runtime,
        *,
        score_threshold: float,
        max_detections: int | None,
        classes: Sequence[str] | None,
        choice: Choice | None = None,
        pooled: Pooled | None = None,
        keys: Keys | None = None,
    ) -> None:
        """``classes`` keeps only these, numbered in this order; None keeps all of the card's.

        ``choice`` says how the runtime was chosen; None: it was named. ``pooled`` makes embeddings,
        ``keys`` features for temporal memory, of the maps that the runtime then gives after the
        network's own outputs: one for each of ``stages_of(pooled, keys)``.
        """
        if not 0 <= score_threshold <= 1:
            raise SettingsError(f"score_threshold is {score_threshold}; allowed: 0 to 1")
        if max_detections is not None and max_detections < 1:
            raise SettingsError(f"max_detections is {max_detections}; allowed: above 0, or none")
        self.card = card
        self.classes = _known(card, classes)
        self.runs_on = runtime.runs_on
        self.choice = choice
        self._pooled, self._keys = pooled, keys
        self._stages = card.output.maps or stages_of(pooled, keys)
        self._runtime = runtime
        self._decode = pick(DECODINGS, card.output.decoding, "output.decoding")
        self._score_threshold = score_threshold
        self._max_detections = max_detections

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """See Detector."""
        placed = [place(frame, self.card.preprocessing) for frame in frames]
        found: list[Detections] = []
        for _, group in groupby(placed, key=lambda pair: pair[0].shape):
            pairs = list(group)
            outputs = self._runtime.run([picture for picture, _ in pairs])
            found += [
                self._finish(picture.shape, placement, out)
                for (picture, placement), out in zip(pairs, outputs, strict=True)
            ]
        return found

    def stream(
        self, frames: Iterable[Frame | None], batch_size: int
    ) -> Iterator[tuple[Frame, Detections]]:
        """See Detector."""
        if not isinstance(self._runtime, StreamRuntime):
            yield from by_batches(self, frames, batch_size)
            return
        begun: deque[tuple[Frame, tuple[int, ...], Placement]] = deque()

        def pictures() -> Iterator[ByteArray | None]:
            canvases: dict[tuple[int, int], ByteArray] = {}  # by size of the source
            for frame in frames:
                if frame is None:
                    yield None
                    continue
                size = (frame.width_px, frame.height_px)
                known = canvases.get(size)
                picture, placement = place(frame, self.card.preprocessing, known)
                if picture is not frame.image:
                    canvases = {size: picture}
                begun.append((frame, picture.shape, placement))
                yield picture

        for outputs in self._runtime.stream(pictures()):
            frame, shape, placement = begun.popleft()
            yield frame, self._finish(shape, placement, outputs)

    def network_alone(self, frames: Sequence[Frame], count: int = 0) -> Callable[[], object]:
        """A call that runs the bare network on these frames, placed beforehand: to measure it.

        ``count``: on so many pictures, which the frames give in turn; 0: one of each. A runtime
        that works in batches takes all frames together.
        """
        pictures = [place(frame, self.card.preprocessing)[0] for frame in frames]
        return partial(_through, self._runtime, pictures, count or len(pictures))

    def _finish(
        self, shape: tuple[int, ...], placement: Placement, outputs: Sequence[FloatArray]
    ) -> Detections:
        """Detections of the outputs of a picture of this shape; nothing in them is kept."""
        height, width = shape[:2]
        num_maps = len(self._stages)
        outputs, maps = outputs[: len(outputs) - num_maps], outputs[len(outputs) - num_maps :]
        candidates = self._decode(outputs, self._score_threshold, (width, height))
        most = self._max_detections
        found = finish(
            self._renumbered(candidates),
            placement,
            nms_iou=self.card.output.nms_iou,
            max_detections=None if most is None else most + 1,
        )
        if most is not None and len(found) > most:
            found = replace(found[:most], truncated=True)
        if self._pooled is None and self._keys is None:
            return found
        # Of graphs that take one picture at a time, maps still have the batch axis.
        maps = [one[0] if one.ndim == 4 else one for one in maps]
        of_stage = dict(zip(self._stages, maps, strict=True))
        looks = features = None
        if self._pooled is not None:
            used = [of_stage[stage] for stage in self._pooled.settings.stages]
            looks = self._pooled.embed(used, found.boxes_xyxy, placement, (width, height))
        if self._keys is not None:
            used = [of_stage[stage] for stage in self._keys.settings.stages]
            rows = self._keys.rows(found.labels, self.classes)
            keys = self._keys.embed(used, found.boxes_xyxy[rows], placement, (width, height))
            features = np.zeros((len(found), keys.shape[1]), np.float32)
            features[rows] = keys
        return replace(found, embeddings=looks, features=features)

    def _renumbered(self, found: Candidates) -> Candidates:
        """Labels as positions in ``classes``, without boxes of classes that are not wanted."""
        labels = found.labels - self.card.output.first_label
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.card.classes):
            seen = f"labels {found.labels.min()} to {found.labels.max()}"
            allowed = f"{len(self.card.classes)} from {self.card.output.first_label}"
            raise WeightsError(f"{self.card.name}: the graph gives {seen}; the card has {allowed}")
        if self.classes == self.card.classes:
            return Candidates(found.boxes_xyxy, found.scores, labels)
        place_of = {self.card.classes.index(name): i for i, name in enumerate(self.classes)}
        new = np.full(len(self.card.classes), -1)
        new[list(place_of)] = list(place_of.values())
        keep = new[labels] >= 0
        return Candidates(found.boxes_xyxy[keep], found.scores[keep], new[labels[keep]])


def stages_of(pooled: Pooled | None, keys: Keys | None) -> tuple[str, ...]:
    """The stages whose maps are needed, each once."""
    ways = [way for way in (pooled, keys) if way is not None]
    return tuple(dict.fromkeys(stage for way in ways for stage in way.settings.stages))


def _through(runtime: Runtime, pictures: Sequence[ByteArray], count: int) -> None:
    if isinstance(runtime, StreamRuntime):
        for _ in runtime.stream(islice(cycle(pictures), count)):
            pass
        return
    for done in range(0, count, len(pictures)):
        for _, group in groupby(pictures[: count - done], key=np.shape):
            runtime.run(list(group))


def _known(card: ModelCard, classes: Sequence[str] | None) -> tuple[str, ...]:
    if classes is None:
        return card.classes
    for name in classes:
        if name not in card.classes:
            error = unknown(name, card.classes, f"class of {card.name}")
            raise SettingsError(f"{error}; for any other class: --prompt 'a {name}={name}'")
    if not classes or len(set(classes)) < len(classes):
        raise SettingsError(f"classes is {list(classes)}; allowed: one or more, each once")
    return tuple(classes)
