"""Counts over the video: lines with their sides ``in`` and ``out``, zones, and running numbers."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vodkit.formats.predictions import counted, frames_with
from vodkit.ground.arrays import ByteArray, FloatArray
from vodkit.ground.csv_tables import write_csv
from vodkit.ground.ledger import remove_tree
from vodkit.ground.runs import make_folder
from vodkit.infer.finished import FinishedRun
from vodkit.report.contact_sheet import write_png
from vodkit.report.draw import EDGE, DrawSettings, draw_onto, put_words
from vodkit.report.event_clips import Span, write_clips
from vodkit.report.heat_map import background
from vodkit.track.count import Crossing, Line, Visit, Zone
from vodkit.video.writer import VideoWriter

IN, OUT, AREA = (0, 158, 115), (213, 94, 0), (86, 180, 233)
_ARROW = 0.08  # length of the arrow, in shares of the picture's shorter side
_SLANT = 0.38  # sine of the angle, from which on a direction has two words
COLUMNS = ["event", "place", "direction", "id", "class", "time_s", "leave_s", "dwell_s"]


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Lines and zones of a video, and what happened there."""

    lines: Sequence[Line] = ()
    zones: Sequence[Zone] = ()
    crossings: Sequence[Crossing] = ()
    visits: Sequence[Visit] = ()

    def spans(self, classes: Sequence[str]) -> Iterator[Span]:
        """The times of all crossings and visits."""
        for one in self.crossings:
            way = "in" if one.inwards else "out"
            what = f"{one.line} {way} {classes[one.label]} {one.track_id}"
            yield Span(what=what, begin_s=one.time_s, end_s=one.time_s)
        for stay in self.visits:
            what = f"{stay.zone} {classes[stay.label]} {stay.track_id}"
            yield Span(what=what, begin_s=stay.enter_s, end_s=stay.leave_s)


def write_events(counts: Counts, classes: Sequence[str], path: Path) -> None:
    """Every crossing and every visit as a line of CSV, in order of time."""
    rows: list[tuple[float, list[object]]] = []
    for one in counts.crossings:
        way = "in" if one.inwards else "out"
        about = [one.line, way, one.track_id, classes[one.label]]
        rows.append((one.time_s, ["crossing", *about, f"{one.time_s:.6f}", "", ""]))
    for stay in counts.visits:
        dwell = "" if stay.dwell_s is None else f"{stay.dwell_s:.6f}"
        about = [stay.zone, "", stay.track_id, classes[stay.label]]
        times = [f"{stay.enter_s:.6f}", f"{stay.leave_s:.6f}", dwell]
        rows.append((stay.enter_s, ["visit", *about, *times]))
    ordered = [row for _, row in sorted(rows, key=lambda pair: pair[0])]
    write_csv(path, COLUMNS, ordered)


def write_count_video(run: FinishedRun, counts: Counts, path: Path) -> None:
    """A copy of the video with tracks, lines, zones, and what was counted up to each frame."""
    final = (counted(frame) for frame in run.frames())
    with run.open_video() as video:
        size: dict[str, Any] = {"width_px": video.info.width_px, "height_px": video.info.height_px}
        with VideoWriter(path, **size, rate=video.info.rate) as out:
            for frame, found in frames_with(video.frames(), final):
                draw_onto(frame.image, found, run.header.classes)
                draw_counts(frame.image, counts, frame.time_s)
                out.write(frame.image, frame.time_s)


def count_picture(run: FinishedRun, counts: Counts) -> ByteArray:
    """The scene (H, W, 3) with lines and zones, and all that was counted."""
    with run.open_video() as video:
        scene = background(video, max(run.predictions.clock, default=0) + 1)
    draw_counts(scene, counts, np.inf)
    return scene


def draw_counts(canvas: ByteArray, counts: Counts, time_s: float) -> None:
    """Draw lines and zones with their numbers up to ``time_s`` into ``canvas`` (H, W, 3)."""
    style = DrawSettings().for_picture(*canvas.shape[:2])
    for zone in counts.zones:
        stays = [v for v in counts.visits if v.zone == zone.name and v.enter_s <= time_s]
        now = sum(v.leave_s >= time_s for v in stays)
        inside = "" if np.isinf(time_s) else f"{now} inside, "
        _zone(canvas, zone, f"{zone.name}: {inside}{len(stays)} visits", style)
    for line in counts.lines:
        ways = [c.inwards for c in counts.crossings if c.line == line.name and c.time_s <= time_s]
        _line(canvas, line, (sum(ways), len(ways) - sum(ways)), style)


def _line(canvas: ByteArray, line: Line, numbers: tuple[int, int], style: DrawSettings) -> None:
    """The line, an arrow to its side ``in``, and both numbers on their own sides."""
    import cv2

    start, end = np.array(line.start_px, float), np.array(line.end_px, float)
    length_px = _ARROW * min(canvas.shape[:2])
    towards = inward(line) * length_px
    middle = _visible_middle(start, end, canvas)
    for colour, width in ((EDGE, style.line_px + 3), ((255, 255, 255), style.line_px + 1)):
        cv2.line(canvas, _pixel(start), _pixel(end), colour, width, cv2.LINE_AA)
        tip = _pixel(middle + towards)
        cv2.arrowedLine(canvas, _pixel(middle), tip, colour, width, cv2.LINE_AA, 0, 0.35)
    texts = (
        (f"{line.name} in: {numbers[0]}", IN, towards),
        (f"{line.name} out: {numbers[1]}", OUT, -towards),
    )
    for text, colour, away in texts:
        _plate(canvas, text, middle + away, away / length_px, colour=colour, style=style)


def inward(line: Line) -> FloatArray:
    """The unit vector (2,) across the line to its side ``in``: right of start to end."""
    along = np.subtract(line.end_px, line.start_px)
    return np.array([-along[1], along[0]]) / np.linalg.norm(along)


def _visible_middle(start: FloatArray, end: FloatArray, canvas: ByteArray) -> FloatArray:
    """The middle (2,) of the part of a line that is in the picture; its own where none is."""
    size = np.array(canvas.shape[1::-1], float)
    share = np.linspace(0, 1, 201)[:, None]
    points = start + share * (end - start)
    seen = points[((points >= 0) & (points < size)).all(axis=1)]
    return np.asarray(seen.mean(axis=0) if len(seen) else (start + end) / 2)


def _zone(canvas: ByteArray, zone: Zone, text: str, style: DrawSettings) -> None:
    import cv2

    corners = np.round(np.array(zone.corners_px)).astype(np.int32)
    tinted = canvas.copy()
    cv2.fillPoly(tinted, [corners], AREA)
    cv2.addWeighted(tinted, 0.2, canvas, 0.8, 0, canvas)
    for colour, width in ((EDGE, style.line_px + 2), (AREA, style.line_px)):
        cv2.polylines(canvas, [corners], True, colour, width, cv2.LINE_AA)  # noqa: FBT003
    top = corners[corners[:, 1].argmin()].astype(float)
    _plate(canvas, text, top, np.array([0.0, -1.0]), colour=AREA, style=style)


def _plate(
    canvas: ByteArray,
    text: str,
    place: FloatArray,
    away: FloatArray,
    *,
    colour: tuple[int, int, int],
    style: DrawSettings,
) -> None:
    """Words whose plate begins at ``place`` (2,) and lies in the direction ``away`` (2,) of it."""
    import cv2

    thick = max(1, round(style.text_scale / 0.6))
    (wide, tall), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, style.text_scale, thick)
    size = np.array([wide + 6, tall + below + 4])
    reach = (np.abs(away) * size).sum() / 2 + 2
    low = place + away * reach - size / 2
    room = np.maximum(np.array(canvas.shape[1::-1]) - size, 0)
    x, y = np.clip(low, 0, room)
    under = y + size[1]  # words stand above the box that they are given
    put_words(canvas, text, np.array([x, under, x + 1, under + 1]), colour, scale=style.text_scale)


def _pixel(point: FloatArray) -> tuple[int, int]:
    x, y = np.clip(point, -1e6, 1e6).round().astype(int)
    return int(x), int(y)


FILES = {"csv": "counts.csv", "picture": "counts.png", "video": "counts.mp4", "clips": "events"}


def write_counts(
    run: FinishedRun,
    counts: Counts,
    wanted: Collection[str],
    folder: Path,
    *,
    around_s: float = 1.0,
) -> list[Path]:
    """Write what is wanted (``FILES``) of counts into a folder; the paths.

    Args:
        run: what was counted, and the video.
        counts: lines, zones and events.
        wanted: csv, picture, video, clips.
        folder: made if it does not exist.
        around_s: seconds of a clip before and after its event.
    """
    files = {name: folder / file for name, file in FILES.items() if name in wanted}
    if files:
        make_folder(folder)
    if "csv" in files:
        write_events(counts, run.header.classes, files["csv"])
    if "picture" in files:
        write_png(count_picture(run, counts), files["picture"])
    if "video" in files:
        write_count_video(run, counts, files["video"])
    if "clips" in files:
        remove_tree(files["clips"])
        spans = counts.spans(run.header.classes)
        write_clips(run, spans, make_folder(files["clips"]), around_s=around_s)
    return [*files.values()]


def direction(line: Line) -> str:
    """Where the side ``in`` of a line is, in words.

    >>> direction(Line(name="a", start_px=(0, 0), end_px=(9, 0)))
    'down'
    """
    across, down = inward(line)
    words = [] if abs(down) < _SLANT else ["down" if down > 0 else "up"]
    words += [] if abs(across) < _SLANT else ["right" if across > 0 else "left"]
    return " and ".join(words)
