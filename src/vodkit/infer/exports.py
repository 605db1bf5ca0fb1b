"""Other forms of a run's predictions, made from ``predictions.jsonl`` frame by frame.

The JSON Lines file is the one truth of a run; these are written from it afterwards, so a run
that was killed and went on gives the same files, and memory does not depend on the length.

First detections are not lost: a track is tentative until it is confirmed, and once it is, its
tentative boxes are given out with the rest. Tracks that never were confirmed are left out.
"""

import csv
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np

from vodkit.formats.predictions import Header, PredictedFrame, read_frames, read_header
from vodkit.ground import boxes, runs
from vodkit.ground.errors import OutputError
from vodkit.ground.records import NO_ID, STATE_NAMES, Detections, Tracks, TrackTable

CSV_COLUMNS = (
    "frame", "time_s", "id", "class", "score", "x1", "y1", "x2", "y2", "state", "hidden_s",
    "hidden_behind",
)  # fmt: skip


def confirmed_ids(predictions: Path) -> set[int]:
    """The ids of all tracks that were confirmed at some time."""
    ids: set[int] = set()
    for frame in read_frames(predictions):
        if isinstance(frame.found, Tracks):
            assert frame.found.tentative is not None
            ids.update(frame.found.ids[~frame.found.tentative].tolist())
    return ids


def final_frames(predictions: Path) -> Iterator[PredictedFrame]:
    """The frames of a run with the boxes that count: without tracks that were never confirmed."""
    ids = np.array(sorted(confirmed_ids(predictions)), np.int64)
    for frame in read_frames(predictions):
        found = frame.found
        if isinstance(found, Tracks):
            found = found[np.isin(found.ids, ids)]
        yield PredictedFrame(frame.index, frame.time_s, found)


def final_tracks(predictions: Path) -> TrackTable:
    """The boxes of ``final_frames``: of tracks that were confirmed, from their first one on."""
    return TrackTable.from_frames([(f.index, f.time_s, f.found) for f in final_frames(predictions)])


def write_csv(predictions: Path, path: Path) -> None:
    """One line a box, with a header line; ids are empty for plain detections."""
    header = read_header(predictions)
    with _whole_file(path) as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(CSV_COLUMNS)
        for frame in final_frames(predictions):
            out.writerows(_csv_rows(frame, header))


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
        assert found.hidden_s is not None
        assert found.hidden_behind is not None
        known = found.hidden_s.tolist(), found.hidden_behind.tolist()
        return found.ids.tolist(), found.states.tolist(), *known
    count = len(found)
    return [NO_ID] * count, [0] * count, [0.0] * count, [0] * count


def write_mot(predictions: Path, path: Path) -> None:
    """MOTChallenge lines: frame (from 1), id, left, top, width, height, score, class, visibility.

    The class is from 1, the visibility -1 (not known), as the challenge's result files have it.
    """
    with _whole_file(path) as file:
        for frame in final_frames(predictions):
            ids, *_ = _identity(frame.found)
            left_top_size = boxes.to_xywh(frame.found.boxes_xyxy)
            for row, box in enumerate(left_top_size):
                numbers = ",".join(f"{value:.2f}" for value in box)
                score, label = frame.found.scores[row], frame.found.labels[row] + 1
                file.write(f"{frame.index + 1},{ids[row]},{numbers},{score:.4f},{label},-1\n")


def write_coco(predictions: Path, path: Path) -> None:
    """COCO results: image_id is the frame index + 1, category_id the label + 1.

    ``frame_id`` and ``category_name`` say so: readers need not guess whose ids these are.
    """
    classes = read_header(predictions).classes
    with _whole_file(path) as file:
        separator = "[\n"
        for frame in final_frames(predictions):
            left_top_size = boxes.to_xywh(frame.found.boxes_xyxy)
            for row, box in enumerate(left_top_size):
                entry = {
                    "image_id": frame.index + 1,
                    "frame_id": frame.index,
                    "category_id": int(frame.found.labels[row]) + 1,
                    "category_name": classes[int(frame.found.labels[row])],
                    "bbox": [round(float(value), 2) for value in box],
                    "score": round(float(frame.found.scores[row]), 5),
                }
                if isinstance(frame.found, Tracks):
                    entry["track_id"] = int(frame.found.ids[row])
                file.write(separator + json.dumps(entry))
                separator = ",\n"
        file.write("[]\n" if separator == "[\n" else "\n]\n")


# name of the option: (file name in the run folder, writer)
OUTPUTS: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "csv": ("predictions.csv", write_csv),
    "mot": ("predictions.mot.txt", write_mot),
    "coco": ("predictions.coco.json", write_coco),
}


def made_in(folder: Path) -> list[Path]:
    """What runs, and commands that look at them, left in a run folder: settings apart.

    Also numbered parts of live runs, and what a kill left half written. The manifest is the last:
    while there is one, it is known of which video the rest is.
    """
    names = [runs.PREDICTIONS, runs.DETECTIONS, runs.EMBEDDINGS, runs.TRACKER, runs.REFINED]
    names += [runs.ANNOTATED, runs.METRICS, runs.REPORT, *(name for name, _ in OUTPUTS.values())]
    found = []
    for name in map(Path, [*names, runs.MANIFEST]):
        numbered = rf"{re.escape(name.stem)}(-\d{{4,}})?{re.escape(name.suffix)}"
        form = re.compile(rf"{numbered}|\.{numbered}\.(part|\w{{8}})")
        found += [path for path in folder.iterdir() if form.fullmatch(path.name) and path.is_file()]
    return found


def discard(folder: Path, *, but: Sequence[str] = ()) -> None:
    """Delete all that ``made_in`` finds in a folder, ``but`` these."""
    for path in made_in(folder):
        if path.name in but:
            continue
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot be deleted: {error.strerror}", path=path) from error


@contextmanager
def _whole_file(path: Path) -> Iterator[TextIO]:
    """A text file that takes its name only when it is whole."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise OutputError(f"cannot write: {error.strerror}", path=path) from error
    try:
        with io.TextIOWrapper(os.fdopen(descriptor, "wb"), encoding="utf-8", newline="") as file:
            yield file
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError as error:
        raise OutputError(f"cannot write: {error.strerror}", path=path) from error
    finally:
        Path(name).unlink(missing_ok=True)
