"""The detections of a run on disk: not detected again when it is resumed (decision 0006)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from vodkit.detect.base import Detector, in_stream
from vodkit.formats.camera_motion import line_of
from vodkit.formats.embeddings import EmbeddingFile
from vodkit.formats.predictions import PredictionWriter, read_frames
from vodkit.ground import ledger, runs
from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import OutputError
from vodkit.ground.records import Detections, Frame, Tracks
from vodkit.infer.follow import has_features
from vodkit.infer.settings import InferSettings
from vodkit.track.base import Tracker


class Recording(Detector):
    """The detector of a run: frames on disk are read back, the others are detected and appended.

    Frames must come in order; recorded frames are the first ones.
    """

    def __init__(
        self, raw: PredictionWriter, rows: Mapping[str, EmbeddingFile], detector: Detector
    ) -> None:
        """``raw`` is the file of boxes, ``rows`` are those of other columns, by name; all grow."""
        self.card, self.classes = detector.card, detector.classes
        self.runs_on, self.batch_size = detector.runs_on, detector.batch_size
        self._raw, self._rows, self._detector = raw, rows, detector
        self._recorded = raw.last_frame
        self._known = read_frames(raw.path) if raw.last_frame >= 0 else iter(())

    def decode_px(self, width_px: int, height_px: int) -> tuple[int, int] | None:
        """See Detector."""
        return self._detector.decode_px(width_px, height_px)

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """See Detector."""
        before = [frame for frame in frames if frame.index <= self._recorded]
        found = [self._recall(frame) for frame in before]
        fresh = frames[len(before) :]
        for frame, detections in zip(
            fresh, self._detector.detect(fresh) if fresh else [], strict=True
        ):
            self._put(frame, detections)
            found.append(detections)
        return found

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
        for fresh, detections in in_stream(self._detector, frames, batch_size):
            self._put(fresh, detections)
            yield fresh, detections

    def _put(self, frame: Frame, detections: Detections) -> None:
        append_rows(self._rows, detections)
        self._raw.write(frame.index, frame.time_s, detections)

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


class MotionLog:
    """A tracker whose camera motion is written to a file, so that replays use the same.

    Satisfies track.base.Tracker. The file is begun anew: a resumed run tracks from the first frame.
    """

    def __init__(self, tracker: Tracker, path: Path) -> None:
        """``path``: see ``formats.camera_motion``; it appears with the first motion.

        OutputError where there is a file that vodkit did not write.
        """
        self._tracker, self._path = tracker, path
        ledger.claim(path)
        path.unlink(missing_ok=True)

    def step(
        self,
        frame: Frame,
        detections: Detections,
        *,
        embeddings: FloatArray | None = None,
        camera_motion: FloatArray | None = None,
    ) -> Tracks:
        """See Tracker."""
        tracks = self._tracker.step(
            frame, detections, embeddings=embeddings, camera_motion=camera_motion
        )
        affine = getattr(self._tracker, "last_motion", None)
        if affine is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line_of(frame.index, affine))
        return tracks

    def notice_cut(self) -> None:
        """See Tracker."""
        self._tracker.notice_cut()

    def state_dict(self) -> dict[str, np.ndarray]:
        """See Tracker."""
        return self._tracker.state_dict()

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """See Tracker."""
        self._tracker.load_state(state)
