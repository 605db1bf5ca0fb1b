"""Objects that look like labelled ones and carry no label.

Two kinds of evidence. A track that pauses or ends in mid-picture although what it showed goes on
being there: its last look and an earlier one are searched for around the place where it should be
next (normalised cross-correlation). And confident predictions of a detector where no label is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vodkit.data.audit.findings import Finding, Grade
from vodkit.formats.rows import labelled_frames
from vodkit.ground.arrays import ByteArray, FloatArray, IntArray
from vodkit.ground.boxes import area, intersection
from vodkit.ground.errors import VideoError
from vodkit.ground.records import NO_ID, LabelledVideo, TrackTable
from vodkit.ground.settings import bounded, check_ranges
from vodkit.video.reader import open_video


@dataclass(frozen=True, kw_only=True)
class LookalikeSearch:
    """When something without a label is probably an object."""

    most_edges: int = bounded(60, low=1)
    """track ends looked at in a video, evenly over it"""
    reach_s: float = bounded(0.25, above=0)
    """how far from the end of a track it is looked for"""
    frames: int = bounded(2, low=1)
    """labelled frames in a row in which the object must be found"""
    alike: float = bounded(0.75, above=0, high=1)
    """correlation from which on a place looks like the last labelled box"""
    alike_before: float = bounded(0.6, above=0, high=1)
    """the same for the look of ``reach_s`` before: it tells the object from its background"""
    covered: float = bounded(0.3, above=0, high=1)
    """share of a place that another label may cover"""
    margin: float = bounded(0.02, low=0, below=0.5)
    """a box that comes so near the picture's edge, as a share of its side, may have left it"""
    min_score: float = bounded(0.6, above=0, high=1)
    """predictions from this score on should carry a label"""
    width_px: int = bounded(480, low=32)
    """pictures are looked at this wide"""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self)


@dataclass(frozen=True)
class Edge:
    """Where a track stops or begins although labelled frames go on."""

    row: int
    """its last (or first) box"""
    before: int
    """an earlier (or later) box of the same track"""
    nexts: tuple[int, ...]
    """labelled frames in which it has no box any more (or not yet)"""


def find_edges(video: LabelledVideo, search: LookalikeSearch) -> list[Edge]:
    """Ends, beginnings and pauses of tracks inside the picture and inside the labelled time."""
    table = video.tracks
    assert table is not None
    listed = np.array(labelled_frames(video), np.int64)
    reach = max(1, int(search.reach_s * video.info.rate))
    found: list[Edge] = []
    for track_id in np.unique(table.ids[table.ids != NO_ID]):
        rows = np.flatnonzero(table.ids == track_id)
        for way in (1, -1):
            found += _edges(
                table, rows[::way], listed[::way], way=way, reach=reach, count=search.frames
            )
    inside = [edge for edge in found if _well_inside(video, edge.row, search.margin)]
    inside.sort(key=lambda edge: int(table.frames[edge.row]))
    chosen = np.linspace(0, len(inside) - 1, min(search.most_edges, len(inside)))
    return [inside[int(number)] for number in chosen.round()]


def _edges(
    table: TrackTable, rows: IntArray, listed: IntArray, *, way: int, reach: int, count: int
) -> Iterator[Edge]:
    """Edges of one track, walked through forwards or (``way`` -1) backwards."""
    at = table.frames[rows] * way
    places = np.searchsorted(listed * way, at)
    for number, (row, place) in enumerate(zip(rows.tolist(), places.tolist(), strict=True)):
        follows = at[number + 1] if number + 1 < len(rows) else np.inf
        near = listed[place + 1 : place + 1 + count] * way
        nexts = near[(near < follows) & (near <= at[number] + reach)]
        if len(nexts) < count or number == 0:
            continue
        far = int(np.searchsorted(at, at[number] - reach))
        yield Edge(row, int(rows[min(far, number - 1)]), tuple((nexts * way).tolist()))


def _well_inside(video: LabelledVideo, row: int, margin: float) -> bool:
    table = video.tracks
    assert table is not None
    size = np.array([video.info.width_px, video.info.height_px], float)
    x1, y1, x2, y2 = table.boxes_xyxy[row] / np.tile(size, 2)
    hidden = table.visibility[row] < 0.7 or bool(table.ignore[row])
    return not hidden and min(x1, y1) > margin and max(x2, y2) < 1 - margin


def lookalikes(video: LabelledVideo, path: Path, search: LookalikeSearch) -> list[Finding]:
    """Findings about ends of tracks whose object is still there; none where nothing can be read."""
    table = video.tracks
    edges = [] if table is None else find_edges(video, search)
    if not edges:
        return []
    assert table is not None
    width = min(search.width_px, video.info.width_px) // 2 * 2
    height = max(2, round(video.info.height_px * width / video.info.width_px) // 2 * 2)
    missed = []
    try:
        with open_video(path, picture_rate=video.info.rate) as opened:
            for edge in edges:
                own = (int(table.frames[edge.row]), int(table.frames[edge.before]))
                seen = opened.frames_at([*own, *edge.nexts], size_px=(width, height))
                pictures = [cv2.cvtColor(one.image, cv2.COLOR_RGB2GRAY) for one in seen]
                score = _still_there(video, edge, pictures, search)
                if score is not None:
                    missed.append((edge, score))
    except VideoError:  # said by the pass over the whole video already
        return []
    return _told(video, missed)


def _told(video: LabelledVideo, missed: Sequence[tuple[Edge, float]]) -> list[Finding]:
    if not missed:
        return []
    table = video.tracks
    assert table is not None
    places = tuple(
        f"frame {edge.nexts[0]}: like id {table.ids[edge.row]} in frame "
        f"{table.frames[edge.row]} (correlation {score:.2f})"
        for edge, score in sorted(missed, key=lambda one: -one[1])[:5]
    )
    message = "tracks stop or begin in mid-picture, but the object continues without a label"
    first = missed[0][0].nexts[0]
    return [
        Finding(
            code="unlabelled",
            grade=Grade.WARNING,
            message=message,
            video=video.source,
            frame=first,
            time_s=float(first / video.info.rate),
            count=len(missed),
            evidence=places,
        )
    ]


def _still_there(
    video: LabelledVideo, edge: Edge, pictures: Sequence[ByteArray], search: LookalikeSearch
) -> float | None:
    """How well the object is found again in all of the next frames; None where it is not."""
    table = video.tracks
    assert table is not None
    scale = pictures[0].shape[1] / video.info.width_px
    last, before = table.boxes_xyxy[[edge.row, edge.before]] * scale
    ends, sooner = table.frames[[edge.row, edge.before]].tolist()
    step = (_centre(last) - _centre(before)) / (ends - sooner)
    looks = [_cut(pictures[0], last), _cut(pictures[1], before)]
    if any(min(look.shape) < 6 or look.std() < 4 for look in looks):
        return None
    worst = 1.0
    for frame, picture in zip(edge.nexts, pictures[2:], strict=True):
        guess = last + np.tile(step * (frame - ends), 2)
        score, place = _search(picture, looks[0], guess)
        earlier, _ = _search(picture, looks[1], place)
        free = _covered(table, frame, place / scale) <= search.covered
        if score < search.alike or earlier < search.alike_before or not free:
            return None
        worst = min(worst, score)
    return worst


def _centre(box: FloatArray) -> FloatArray:
    return (box[:2] + box[2:]) / 2


def _cut(picture: ByteArray, box: FloatArray) -> ByteArray:
    height, width = picture.shape
    x1, y1, x2, y2 = np.clip(box.round().astype(int), 0, (width, height, width, height))
    return picture[y1:y2, x1:x2]


def _search(picture: ByteArray, look: ByteArray, guess: FloatArray) -> tuple[float, FloatArray]:
    """The best correlation near ``guess``, and the box (4,) there; -1 where it cannot be."""
    height, width = look.shape
    reach = 4 + 0.35 * max(height, width)
    corner = _centre(guess) - (width / 2, height / 2)
    low = np.clip(np.floor(corner - reach), 0, None).astype(int)
    high = np.ceil(corner + reach + (width, height)).astype(int)
    region = picture[low[1] : high[1], low[0] : high[0]]
    if region.shape[0] < height or region.shape[1] < width:
        return -1.0, guess
    scores = cv2.matchTemplate(region, look, cv2.TM_CCOEFF_NORMED)
    _, best, _, (x, y) = cv2.minMaxLoc(scores)
    x1, y1 = int(low[0]) + x, int(low[1]) + y
    return float(best), np.array([x1, y1, x1 + width, y1 + height], float)


def _covered(table: TrackTable, frame: int, place: FloatArray) -> float:
    """The largest share of ``place`` that one label of the frame covers, ignore regions too."""
    rows = slice(*np.searchsorted(table.frames, [frame, frame + 1]))
    shared = intersection(place[None], table.boxes_xyxy[rows])
    return float(shared.max(initial=0.0) / max(float(area(place[None])[0]), 1e-9))


def unlabelled_predictions(
    video: LabelledVideo, predictions: TrackTable, search: LookalikeSearch
) -> list[Finding]:
    """A finding about confident predictions in labelled frames that no label covers."""
    table = video.tracks
    if table is None:
        return []
    sure = np.isin(predictions.frames, labelled_frames(video))
    sure &= predictions.scores >= search.min_score
    free = [
        row
        for row in np.flatnonzero(sure).tolist()
        if _covered(table, int(predictions.frames[row]), predictions.boxes_xyxy[row])
        <= search.covered
    ]
    if not free:
        return []
    best = sorted(free, key=lambda row: -float(predictions.scores[row]))[:5]
    places = tuple(
        f"frame {predictions.frames[row]}: score {predictions.scores[row]:.2f} at "
        f"({', '.join(f'{value:.0f}' for value in predictions.boxes_xyxy[row])})"
        for row in best
    )
    return [
        Finding(
            code="unlabelled",
            grade=Grade.WARNING,
            message=f"predictions with a score from {search.min_score:g} on where no label is",
            video=video.source,
            frame=int(predictions.frames[free[0]]),
            time_s=float(predictions.times_s[free[0]]),
            count=len(free),
            evidence=places,
        )
    ]
