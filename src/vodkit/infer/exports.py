"""Other forms of a run's predictions: sinks of one pass over ``predictions.jsonl``.

The JSON Lines file is the one truth of a run. Exports are written from it afterwards, so a run that
was killed and resumed gives the same files, and memory does not depend on the length. However many
forms are wanted, the predictions are parsed once and the video is decoded at most once.

Which rows are final, and which count, is the rule of ``formats.predictions``.
"""

import json
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TextIO

from vodkit.formats.predictions import (
    Header,
    PredictedFrame,
    counted,
    final_frames,
    frames_with,
    open_predictions,
)
from vodkit.ground import boxes, ledger
from vodkit.ground.csv_tables import write_metadata
from vodkit.ground.errors import OutputError, PartialError, SettingsError, VodkitError
from vodkit.ground.paths import put_in_place
from vodkit.ground.records import NO_ID, STATE_NAMES, Detections, Tracks
from vodkit.ground.runs import part_beside
from vodkit.ground.text import csv_text
from vodkit.infer.filming import Drawing, Film
from vodkit.video.prefetch import ahead, depth_here
from vodkit.video.reader import open_video

CSV_COLUMNS = (
    "frame", "time_s", "id", "class", "score", "x1", "y1", "x2", "y2", "state", "hidden_s",
    "hidden_behind",
)  # fmt: skip

Sink = Generator[None, PredictedFrame | None, None]
"""takes one final frame after the other by ``send``; None ends and names the file"""


def csv_sink(path: Path, header: Header) -> Sink:
    """One line a box, with a header line and its metadata; ids are empty for plain detections."""
    with _whole_file(path) as file:
        file.write(csv_text([CSV_COLUMNS]))
        while (frame := (yield)) is not None:
            file.write(csv_text(_csv_rows(frame, header)))
    write_metadata(path, CSV_COLUMNS)


def _csv_rows(frame: PredictedFrame, header: Header) -> Iterator[list[object]]:
    found = frame.found
    ids, states, hidden_s, behind = _identity(found)
    for row in range(len(found)):
        corners = [f"{value:.2f}" for value in found.boxes_xyxy[row]]
        name = header.classes[found.labels[row]]
        place = [frame.index, f"{frame.time_s:.6f}", "" if ids[row] == NO_ID else ids[row]]
        known = [STATE_NAMES[states[row]], f"{hidden_s[row]:.3f}", behind[row] or ""]
        yield [*place, name, f"{found.scores[row]:.4f}", *corners, *known]


def _identity(found: Detections | Tracks) -> tuple[list[int], list[int], list[float], list[int]]:
    if isinstance(found, Tracks):
        known = found.hidden_s.tolist(), found.hidden_behind.tolist()
        return found.ids.tolist(), found.states.tolist(), *known
    count = len(found)
    return [NO_ID] * count, [0] * count, [0.0] * count, [0] * count


def mot_sink(path: Path, header: Header) -> Sink:
    """MOTChallenge lines: frame (from 1), id, left, top, width, height, score, class, visibility.

    The class is from 1, the visibility -1 (not known), as the challenge's result files have it.
    """
    del header
    with _whole_file(path) as file:
        while (frame := (yield)) is not None:
            ids, *_ = _identity(frame.found)
            for row, box in enumerate(boxes.to_xywh(frame.found.boxes_xyxy)):
                numbers = ",".join(f"{value:.2f}" for value in box)
                score, label = frame.found.scores[row], frame.found.labels[row] + 1
                file.write(f"{frame.index + 1},{ids[row]},{numbers},{score:.4f},{label},-1\n")


def coco_sink(path: Path, header: Header) -> Sink:
    """COCO results: image_id is the frame index + 1, category_id the label + 1.

    ``frame_id`` and ``category_name`` say so: readers need not guess whose ids these are.
    """
    with _whole_file(path) as file:
        separator = "[\n"
        while (frame := (yield)) is not None:
            for row, box in enumerate(boxes.to_xywh(frame.found.boxes_xyxy)):
                entry = {
                    "image_id": frame.index + 1,
                    "frame_id": frame.index,
                    "category_id": int(frame.found.labels[row]) + 1,
                    "category_name": header.classes[int(frame.found.labels[row])],
                    "bbox": [round(float(value), 2) for value in box],
                    "score": round(float(frame.found.scores[row]), 5),
                }
                if isinstance(frame.found, Tracks):
                    entry["track_id"] = int(frame.found.ids[row])
                file.write(separator + json.dumps(entry))
                separator = ",\n"
        file.write("[]\n" if separator == "[\n" else "\n]\n")


SINKS: dict[str, Callable[[Path, Header], Sink]] = {
    "csv": csv_sink,
    "mot": mot_sink,
    "coco": coco_sink,
}
"""by the name of the option; file names are in ``ground.runs.EXPORTS``"""


def export(
    predictions: Path,
    files: Mapping[str, Path],
    *,
    film: Film | None = None,
    source: str | Path = "",
    include_predicted: bool = False,
) -> tuple[list[Path], list[VodkitError], list[str]]:
    """Write other forms of a predictions file in one pass.

    Args:
        predictions: the file to read.
        files: what to write, by name (``SINKS``, or ``video``), and where.
        film: what draws ``video`` (``report.annotate.film``).
        source: the video, which ``video`` is drawn into.
        include_predicted: also write boxes of hidden objects; the video has them always.

    Returns:
        The files that were written, the errors of those that were not (or not wholly), and notes.
        One that fails stops no other.

    Raises:
        FormatError: the predictions cannot be read.
    """
    if "video" in files and film is None:
        raise SettingsError("video is not available here; allowed: csv, mot, coco")
    notes: Sequence[str] = ()
    with open_predictions(predictions) as (header, frames):
        sinks = _Sinks(files, header, include_predicted=include_predicted)
        with closing(sinks.passing(final_frames(frames))) as final:
            if film is not None and "video" in files:
                with sinks.noting("video"):
                    notes = _filmed(
                        film(files["video"], header, str(source)), header, final, source
                    )
            deque(final, maxlen=0)
    if sinks.failure is not None:
        raise sinks.failure
    errors = sinks.errors
    written = [
        path for name, path in files.items() if isinstance(errors.get(name), PartialError | None)
    ]
    return written, [errors[name] for name in files if name in errors], [*notes]


def _filmed(
    drawing: Drawing, header: Header, final: Iterator[PredictedFrame], source: str | Path
) -> Sequence[str]:
    """Draw all frames of the video; notes. Decoding runs ahead while frames are drawn."""
    with (
        closing(drawing),
        open_video(source, strict=False, picture_rate=header.info.rate) as video,
        closing(ahead(video.frames(), depth_here())) as frames,
    ):
        pairs = chain([None], frames_with(frames, final), [None])
        try:
            for pair in pairs:
                drawing.send(pair)
        except StopIteration as ended:
            notes: Sequence[str] = ended.value
            return notes
    raise AssertionError("a drawing ends with None")


class _Sinks:
    """All sinks of one pass; one that fails gets no more, and leaves no file."""

    def __init__(
        self, files: Mapping[str, Path], header: Header, *, include_predicted: bool
    ) -> None:
        self.errors: dict[str, VodkitError] = {}
        self.failure: VodkitError | None = None
        """why the predictions could not be read to their end"""
        self._open: dict[str, Sink] = {}
        self._include_predicted = include_predicted
        for name, path in files.items():
            if name != "video":
                self._open[name] = SINKS[name](path, header)
                self._send(name, None)

    def passing(self, frames: Iterator[PredictedFrame]) -> Generator[PredictedFrame]:
        """The frames, each after every sink has written it."""
        try:
            for frame in frames:
                for name in [*self._open]:
                    self._send(name, frame if self._include_predicted else counted(frame))
                yield frame
            for name in [*self._open]:
                self._send(name, None)
        except VodkitError as error:
            self.failure = error
            raise
        finally:
            for sink in self._open.values():
                sink.close()

    def _send(self, name: str, frame: PredictedFrame | None) -> None:
        with self.noting(name), suppress(StopIteration):
            self._open[name].send(frame)
            return
        del self._open[name]

    @contextmanager
    def noting(self, name: str) -> Iterator[None]:
        """Within, an error is noted; it stops nothing else."""
        try:
            yield
        except VodkitError as error:
            self.errors[name] = error


@contextmanager
def _whole_file(path: Path) -> Iterator[TextIO]:
    """A text file that takes its name only when it is complete."""
    ledger.claim(path)
    part = part_beside(path)
    try:
        with part.open("x", encoding="utf-8", newline="") as file:
            yield file
        put_in_place(part, path)
    except OSError as error:
        raise OutputError(f"cannot write: {error.strerror}", path=path) from error
    finally:
        part.unlink(missing_ok=True)
