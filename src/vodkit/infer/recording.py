"""The detections of a run on disk: not detected again when it is resumed (decision 0006)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from vodkit.detect.base import Around, Detector
from vodkit.formats.embeddings import EmbeddingFile
from vodkit.formats.predictions import PredictionWriter, read_frames
from vodkit.ground import runs
from vodkit.ground.errors import OutputError
from vodkit.ground.records import Detections, Frame
from vodkit.infer.follow import has_features
from vodkit.infer.settings import InferSettings


class Recording(Around):
    """The detector of a run: frames on disk are read back, the others are detected and appended.

    Frames must come in order; recorded frames are the first ones.
    """

    def __init__(
        self, raw: PredictionWriter, rows: Mapping[str, EmbeddingFile], detector: Detector
    ) -> None:
        """``raw`` is the file of boxes, ``rows`` are those of other columns, by name; all grow."""
        super().__init__(detector)
        self._raw, self._rows = raw, rows
        self._recorded = raw.last_frame
        self._known = read_frames(raw.path) if raw.last_frame >= 0 else iter(())

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """See Detector."""
        before = [frame for frame in frames if frame.index <= self._recorded]
        fresh = frames[len(before) :]
        return [*map(self._recall, before), *(super().detect(fresh) if fresh else [])]

    def stream(
        self, frames: Iterable[Frame | None], batch_size: int
    ) -> Iterator[tuple[Frame, Detections]]:
        """See Detector."""
        frames = iter(frames)
        for frame in frames:
            if frame is not None and frame.index > self._recorded:
                frames = chain([frame], frames)
                break
            if frame is not None:
                yield frame, self._recall(frame)
        yield from super().stream(frames, batch_size)

    def changed(self, frame: Frame, found: Detections) -> Detections:
        """The same; it is on disk then."""
        append_rows(self._rows, found)
        self._raw.write(frame.index, frame.time_s, found)
        return found

    def _recall(self, frame: Frame) -> Detections:
        known = next(self._known)
        if frame.index != known.index:
            seen = f"has frame {known.index} where the video has {frame.index}"
            message = f"{seen}: lines are missing, or the video changed; --overwrite starts over"
            raise OutputError(message, path=self._raw.path)
        assert isinstance(known.found, Detections)
        count = len(known.found)
        rows: dict[str, Any] = {name: file.take(count) for name, file in self._rows.items()}
        return replace(known.found, **rows)

    def require_all_used(self, last: Frame | None) -> None:
        """OutputError when the video ends before the recorded frames do."""
        if self._recorded > (-1 if last is None else last.index):
            message = f"has frame {self._recorded} where the video ends; the video changed"
            raise OutputError(message, path=self._raw.path)


def row_files(settings: InferSettings) -> dict[str, str]:
    """Columns of detections that are recorded beside their boxes, and the files for them."""
    kept = {"embeddings": bool(settings.appearance), "features": has_features(settings)}
    files = {"embeddings": runs.EMBEDDINGS, "features": runs.FEATURES}
    return {name: files[name] for name, is_kept in kept.items() if is_kept}


def append_rows(rows: Mapping[str, EmbeddingFile], found: Detections) -> None:
    """Append these columns of a frame's detections."""
    for name, file in rows.items():
        file.append(getattr(found, name))
