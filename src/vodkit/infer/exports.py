"""Other forms of a run's predictions: sinks of one pass over ``predictions.jsonl``.

The JSON Lines file is the one truth of a run. Exports are written from it afterwards, so a run that
was killed and resumed gives the same files, and memory does not depend on the length. However many
forms are wanted, the predictions are parsed once and the video is decoded at most once.

Which rows are final, and which count, is the rule of ``formats.predictions``.
"""

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TextIO

from vodkit.formats.predictions import (
    Header,
    PredictedFrame,
    counted,
    final_frames,
    open_predictions,
)
from vodkit.ground import boxes, ledger
from vodkit.ground.csv_tables import write_metadata
from vodkit.ground.errors import OutputError, PartialError, SettingsError, VodkitError
from vodkit.ground.paths import put_in_place
from vodkit.ground.records import NO_ID, STATE_NAMES, Detections, Tracks
from vodkit.ground.runs import part_beside
from vodkit.ground.text import csv_text
from vodkit.infer.filming import Film
from vodkit.video.prefetch import ahead, depth_here
from vodkit.video.reader import open_video

CSV_COLUMNS = (
    "frame", "time_s", "id", "class", "score", "x1", "y1", "x2", "y2", "state", "hidden_s",
    "hidden_behind",
)  # fmt: skip

Sink = Generator[None, PredictedFrame | None, Sequence[str]]
"""takes one final frame after the other by ``send``; None ends and names the file; gives notes"""


@dataclass(frozen=True, kw_only=True)
class Order:
    """One file to write."""

    path: Path
    header: Header
    source: str | Path
    """the video that the predictions are of"""
    film: Film | None
    """what draws into it"""
    include_predicted: bool

    def rows(self, frame: PredictedFrame) -> PredictedFrame:
        """The frame with the rows that are wanted."""
        return frame if self.include_predicted else counted(frame)


def csv_sink(order: Order) -> Sink:
    """One line a box, with a header line and its metadata; ids are empty for plain detections."""
    with _whole_file(order.path) as file:
        file.write(csv_text([CSV_COLUMNS]))
        while (frame := (yield)) is not None:
            file.write(csv_text(_csv_rows(order.rows(frame), order.header)))
    write_metadata(order.path, CSV_COLUMNS)
    return ()


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


def mot_sink(order: Order) -> Sink:
    """MOTChallenge lines: frame (from 1), id, left, top, width, height, score, class, visibility.

    The class is from 1, the visibility -1 (not known), as the challenge's result files have it.
    """
    with _whole_file(order.path) as file:
        while (frame := (yield)) is not None:
            found = order.rows(frame).found
            ids, *_ = _identity(found)
            for row, box in enumerate(boxes.to_xywh(found.boxes_xyxy)):
                numbers = ",".join(f"{value:.2f}" for value in box)
                score, label = found.scores[row], found.labels[row] + 1
                file.write(f"{frame.index + 1},{ids[row]},{numbers},{score:.4f},{label},-1\n")
    return ()


def coco_sink(order: Order) -> Sink:
    """COCO results: image_id is the frame index + 1, category_id the label + 1.

    ``frame_id`` and ``category_name`` say so: readers need not guess whose ids these are.
    """
    with _whole_file(order.path) as file:
        separator = "[\n"
        while (frame := (yield)) is not None:
            found = order.rows(frame).found
            for row, box in enumerate(boxes.to_xywh(found.boxes_xyxy)):
                entry = {
                    "image_id": frame.index + 1,
                    "frame_id": frame.index,
                    "category_id": int(found.labels[row]) + 1,
                    "category_name": order.header.classes[int(found.labels[row])],
                    "bbox": [round(float(value), 2) for value in box],
                    "score": round(float(found.scores[row]), 5),
                }
                if isinstance(found, Tracks):
                    entry["track_id"] = int(found.ids[row])
                file.write(separator + json.dumps(entry))
                separator = ",\n"
        file.write("[]\n" if separator == "[\n" else "\n]\n")
    return ()


def video_sink(order: Order) -> Sink:
    """All frames of the video, with all boxes drawn in; decoding runs ahead of the drawing."""
    if order.film is None:
        raise SettingsError("video is not available here; allowed: csv, mot, coco")
    rate = order.header.info.rate
    with (
        closing(order.film(order.path, order.header, str(order.source))) as drawing,
        open_video(order.source, strict=False, picture_rate=rate) as video,
        closing(ahead(video.frames(), depth_here())) as pictures,
    ):
        drawing.send(None)
        frame = yield
        for picture in pictures:
            while frame is not None and frame.index < picture.index:
                frame = yield
            here = frame is not None and frame.index == picture.index
            drawing.send((picture, frame.found if frame and here else Detections.empty()))
        try:
            drawing.send(None)
        except StopIteration as ended:
            notes: Sequence[str] = ended.value
        while frame is not None:  # lines of frames that the video lacks
            frame = yield
    return notes


SINKS: dict[str, Callable[[Order], Sink]] = {
    "csv": csv_sink,
    "mot": mot_sink,
    "coco": coco_sink,
    "video": video_sink,
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
        files: what to write, by name (``SINKS``), and where.
        film: what draws ``video`` (``report.annotate.film``).
        source: the video, which ``video`` is drawn into.
        include_predicted: also write boxes of hidden objects; the video has them always.

    Returns:
        The files that were written, the errors of those that were not (or not wholly), and notes.
        One that fails stops no other, and leaves no file.

    Raises:
        FormatError: the predictions cannot be read.
    """
    errors: dict[str, VodkitError] = {}
    notes: list[str] = []
    with open_predictions(predictions) as (header, frames), ExitStack() as opened:
        sinks: dict[str, Sink] = {}
        for name, path in files.items():
            order = Order(
                path=path,
                header=header,
                source=source,
                film=film,
                include_predicted=include_predicted,
            )
            sinks[name] = opened.enter_context(closing(SINKS[name](order)))
        for frame in chain([None], final_frames(frames), [None]):
            for name, sink in [*sinks.items()]:
                try:
                    sink.send(frame)
                    continue
                except StopIteration as ended:
                    notes += ended.value
                except VodkitError as error:
                    errors[name] = error
                del sinks[name]
    written = [
        path for name, path in files.items() if isinstance(errors.get(name), PartialError | None)
    ]
    return written, [errors[name] for name in files if name in errors], notes


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
