"""The first screen of a report: what it is about, pictures of the result, verdict, four numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vodkit.ground.arrays import ByteArray
from vodkit.ground.errors import VideoError
from vodkit.ground.records import NO_ID, Detections, Tracks, TrackTable
from vodkit.ground.text import counted
from vodkit.metrics.clips import Clip
from vodkit.metrics.evaluation import Evaluation
from vodkit.metrics.headline import DEFINITIONS, shown, shown_span, title_of
from vodkit.report.contact_sheet import as_url
from vodkit.report.draw import draw_found
from vodkit.report.sections import Subject
from vodkit.video.reader import open_video

CELLS, CELL_HEIGHT_PX = 4, 200
TRACKED = ("ap50", "hota", "mota", "idf1")
UNTRACKED = ("ap", "ap50", "frame_accuracy", "exact_frame_accuracy")
_PLACES = {
    "best thresholds": "classes",
    "intervals are over": "numbers",
    "carry no ids": "numbers",
    "occlusion measures": "numbers",
}
"""words of a note -> the numbers that it stands at; other notes stand at the verdict"""


@dataclass(frozen=True, kw_only=True)
class Number:
    """One of the four numbers."""

    title: str
    value: str
    unit: str
    span: str
    """its interval; empty where there is none"""


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What the first screen says of one subject."""

    title: str
    about: tuple[str, ...]
    """date, model, data"""
    verdict: str
    numbers: tuple[Number, ...]


def opening(subject: Subject) -> Opening:
    """The words and numbers of one evaluation's first screen."""
    result = subject.evaluation
    values = {one.name: one for one in result.headline}
    wanted = TRACKED if result.tracking is not None else UNTRACKED
    numbers = [
        Number(
            title=title_of(name, stills=result.data.stills),
            value=shown(name, values[name].value),
            unit="%" if DEFINITIONS[name].percent and values[name].value is not None else "",
            span=shown_span(name, values[name].low, values[name].high),
        )
        for name in wanted
        if name in values
    ]
    return Opening(
        title=subject.title,
        about=_about(result),
        verdict=verdict_of(result),
        numbers=tuple(numbers),
    )


def _about(result: Evaluation) -> tuple[str, ...]:
    data, about = result.data, result.about
    model = about.get("model") or about.get("detector", "")
    tracker = about.get("tracker", "")
    amount = counted(data.num_videos, "image" if data.stills else "video")
    if not data.stills:
        amount += f", {counted(data.num_frames, 'labelled frame')}"
    labels = Path(about["truth"]).name if about.get("truth") else ""
    parts = {
        about.get("date", ""): True,
        f"{model}{f' with tracker {tracker}' if tracker else ''}": bool(model),
        f"{labels + ': ' if labels else ''}{amount}": True,
        f"split {data.split}": bool(data.split),
    }
    return tuple(text for text, known in parts.items() if text and known)


def verdict_of(result: Evaluation) -> str:
    """One sentence on what was found at the score threshold, at IoU 0.5.

    Classes are matched without regard to class, so confusions of classes count as found.
    """
    counts = np.array(result.detection.confusion.counts)
    objects = int(counts[:-1].sum())
    right = int(counts[:-1, :-1].sum())
    wrong = int(counts[-1, :-1].sum())
    if not objects:
        return f"Nothing is labelled; {counted(wrong, 'box was', 'boxes were')} found."
    words = [
        f"{right / objects:.0%} of {counted(objects, 'labelled box', 'labelled boxes')} are found"
    ]
    if right + wrong:
        words.append(f"{wrong / (right + wrong):.0%} of the boxes are false alarms")
    else:
        words.append("no box was predicted")
    if result.tracking is not None and result.tracking.overall.counts is not None:
        switches = result.tracking.overall.counts.clear.idsw
        words.append(f"objects change their id {counted(switches, 'time')}")
    score = f"At a score of {result.detection.confusion.min_score:g} or more"
    return f"{score}: {', '.join(words[:-1])} and {words[-1]}."


def placed(notes: Sequence[str]) -> dict[str, list[str]]:
    """Notes by the numbers that they concern: ``verdict``, ``numbers`` or ``classes``."""
    found: dict[str, list[str]] = {"verdict": [], "numbers": [], "classes": []}
    for note in notes:
        places = [place for words, place in _PLACES.items() if words in note]
        found[places[0] if places else "verdict"].append(note)
    return found


def result_strip(subject: Subject, clips: Sequence[Clip], root: Path) -> str:
    """A few pictures with what was found in them, side by side, as a ``data:`` URL.

    Empty where no picture can be read.
    """
    classes = subject.evaluation.data.classes
    min_score = subject.evaluation.settings.min_score
    cells = []
    for clip, frame in _chosen(clips, min_score):
        try:
            cells.append(_cell(clip, frame, root, classes, min_score))
        except VideoError:
            continue  # the report is made without it; ``eval`` names what cannot be read
    if not cells:
        return ""
    gap = np.full((CELL_HEIGHT_PX, 4, 3), 255, np.uint8)
    parts = [part for cell in cells for part in (gap, cell)][1:]
    return as_url(np.hstack(parts), quality=70)


def _chosen(clips: Sequence[Clip], min_score: float) -> list[tuple[Clip, int]]:
    """Up to four frames with objects: of as many videos as there are, else spread over time.

    Videos in which something was found come before others: of pictures most may have nothing.
    """
    usable = [one for one in clips if len(one.found) and one.found.scores.max() >= min_score]
    usable = usable or [clip for clip in clips if len(clip.truth)]
    if not usable:
        return []
    picked = [usable[k] for k in np.linspace(0, len(usable) - 1, CELLS).round().astype(int)]
    chosen = []
    for clip in dict.fromkeys(one.name for one in picked):
        each = [one for one in picked if one.name == clip]
        frames = np.unique((each[0].truth if len(each[0].truth) else each[0].found).frames)
        share = (np.arange(len(each)) + 0.5) / len(each)
        places = np.unique((share * len(frames)).astype(int))
        chosen += [(each[0], int(frames[place])) for place in places]
    return chosen


def _cell(
    clip: Clip, frame: int, root: Path, classes: Sequence[str], min_score: float
) -> ByteArray:
    import cv2

    path = root / clip.name
    if not path.exists():
        raise VideoError("does not exist", path=path)
    with open_video(path, strict=False) as video:
        (picture,) = video.frames_at([frame])
    found = _found_in(clip.found, frame, min_score)
    drawn = draw_found(picture.image, found, classes)
    width = max(round(drawn.shape[1] * CELL_HEIGHT_PX / drawn.shape[0]), 1)
    small = cv2.resize(drawn, (width, CELL_HEIGHT_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(small)


def _found_in(table: TrackTable, frame: int, min_score: float) -> Detections | Tracks:
    rows = (table.frames == frame) & (table.scores >= min_score)
    here = table[rows]
    columns = (here.boxes_xyxy, here.scores, here.labels)
    if len(here) and (here.ids != NO_ID).all():
        return Tracks(*columns, here.ids, here.states)
    return Detections(*columns)
