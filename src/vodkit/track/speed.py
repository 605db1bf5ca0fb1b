"""Speed of tracks: pixels a second, or metres a second with four known points on the ground.

The speed of an object at a sighting is the slope of a straight line that is fitted to where it was
seen within half a window before and after (least squares, times of the container). Predicted and
filled boxes are left out. How far the sightings lie from their lines gives a disc that holds the
velocity, and so the lowest and the highest speed; it does not hold errors that all sightings share,
as of the known points.

A point that jitters has a slope, too, so a standing object has no measured speed of 0: a speed
whose interval begins at 0 cannot be told from standing.

Legend: N sightings, K known points.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import f as fisher

from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.errors import SettingsError
from vodkit.ground.records import NO_ID, State, TrackTable
from vodkit.track.count import ANCHORS, frame_interval_s, inside

_LEAST_SEEN = 3
"""sightings in a window, from which on a line leaves something to judge it by"""
_ROUNDING_S = 1e-6
_FLAT = 1e-3
"""share of their extent by which points have to leave a line"""


@dataclass(frozen=True, kw_only=True)
class SpeedSettings:
    """How speed is measured."""

    window_s: float = 0.5
    """a line is fitted over so many seconds; at least over two frame intervals"""
    anchor: str = "bottom"
    """point of the box: bottom, centre or top; on the ground: bottom"""
    confidence: float = 0.95
    """of the interval from ``low`` to ``high``"""

    def __post_init__(self) -> None:
        """Check the name and ranges."""
        if self.anchor not in ANCHORS:
            raise SettingsError(f"anchor is {self.anchor!r}; allowed: {', '.join(ANCHORS)}")
        if not 0 < self.window_s < np.inf:
            raise SettingsError(f"window_s is {self.window_s}; allowed: above 0")
        if not 0 < self.confidence < 1:
            raise SettingsError(f"confidence is {self.confidence}; allowed: between 0 and 1")


@dataclass(frozen=True, eq=False)
class GroundPlane:
    """From pixels to metres on flat ground, for a camera that does not move."""

    homography: FloatArray
    """(3, 3), pixels to metres"""
    corners_px: FloatArray
    """(K, 2) the known points, in order around their area"""
    rms_m: float
    """how far the known points lie from where the homography puts them; 0 for four points"""

    @classmethod
    def from_points(cls, points_px: FloatArray, points_m: FloatArray) -> "GroundPlane":
        """The plane through known points (direct linear transform, Hartley and Zisserman 2004).

        Args:
            points_px: (K, 2) places in the picture, K >= 4.
            points_m: (K, 2) the same on the ground, in metres.

        Raises:
            SettingsError: fewer than four points, or three of four on one line.
        """
        px, m = np.asarray(points_px, float), np.asarray(points_m, float)
        if px.shape != m.shape or px.ndim != 2 or len(px) < 4:
            raise SettingsError(f"{len(px)} known points; allowed: 4 or more, as x,y=X,Y")
        for points, unit in ((px, "px"), (m, "m")):
            _refuse_lines(points, unit)
        to_px, to_m = _scaled(px), _scaled(m)
        rows = []
        for (x, y), (u, v) in zip(_moved(px, to_px), _moved(m, to_m), strict=True):
            rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y, -u], [0, 0, 0, x, y, 1, -v * x, -v * y, -v]]
        plain = np.linalg.svd(np.array(rows))[2][-1].reshape(3, 3)
        homography = np.linalg.inv(to_m) @ plain @ to_px
        middle = px.mean(axis=0)
        around = np.argsort(np.arctan2(*(px - middle).T[::-1]))
        plane = cls(homography, px[around], 0.0)
        off = np.linalg.norm(plane.to_metres(px)[0] - m, axis=1)
        return cls(plane.homography, plane.corners_px, float(np.sqrt((off**2).mean())))

    def to_metres(self, points_px: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Places (N, 2) on the ground, and which (N,) lie before the horizon, where they have one.

        The others are NaN.
        """
        ones = np.ones((len(points_px), 1))
        found = np.hstack([points_px, ones]) @ self.homography.T
        sign = np.sign(self.homography[2] @ [*self.corners_px.mean(axis=0), 1.0])
        seen = found[:, 2] * sign > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            places = np.where(seen[:, None], found[:, :2] / found[:, 2:], np.nan)
        return places, seen

    def knows(self, points_px: FloatArray) -> BoolArray:
        """Which points (N,) lie between the known ones; elsewhere the plane is extrapolated."""
        return inside(points_px, self.corners_px)


def _refuse_lines(points: FloatArray, unit: str) -> None:
    """SettingsError where three of four points lie on one line, or all of more."""
    groups = [np.delete(points, k, axis=0) for k in range(4)] if len(points) == 4 else [points]
    for group in groups:
        extent, width = np.linalg.svd(group - group.mean(axis=0), compute_uv=False)
        if not width > _FLAT * extent:
            seen = ", ".join(f"{x:g},{y:g}" for x, y in group)
            message = f"known points {seen} ({unit}) lie on one line; allowed: corners of an area"
            raise SettingsError(message)


def _scaled(points: FloatArray) -> FloatArray:
    """What moves points to mean 0 and mean distance sqrt(2): the transform is well conditioned."""
    middle = points.mean(axis=0)
    scale = np.sqrt(2) / np.linalg.norm(points - middle, axis=1).mean()
    return np.array([[scale, 0, -scale * middle[0]], [0, scale, -scale * middle[1]], [0, 0, 1]])


def _moved(points: FloatArray, by: FloatArray) -> FloatArray:
    return points @ by[:2, :2].T + by[:2, 2]


@dataclass(frozen=True, eq=False)
class Speeds:
    """Speed at each sighting that has one, in ``unit``."""

    frames: IntArray
    times_s: FloatArray
    ids: IntArray
    labels: IntArray
    speed: FloatArray
    low: FloatArray
    """of the confidence interval; 0: the object may be standing"""
    high: FloatArray
    num_seen: IntArray
    """sightings that the line was fitted to"""
    extrapolated: BoolArray
    """the place is not between the known points of the ground"""
    unit: str
    """px/s or m/s"""
    window_s: float
    """that lines were fitted over"""
    num_without: int
    """sightings without a speed: too few others within the window, or beyond the horizon"""

    def __len__(self) -> int:
        """The number of speeds."""
        return len(self.frames)


@dataclass(frozen=True, kw_only=True)
class TrackSpeed:
    """The speeds of one track, in short."""

    track_id: int
    label: int
    begin_s: float
    end_s: float
    median: float
    low: float
    """median of the lower ends"""
    high: float
    fastest: float
    """95th percentile: a maximum would be the largest error"""


def measure_speeds(
    table: TrackTable,
    settings: SpeedSettings | None = None,
    *,
    ground: GroundPlane | None = None,
    interval_s: float | None = None,
) -> Speeds:
    """The speed of every track at every sighting.

    Args:
        table: tracks of one video; predicted and filled rows are left out.
        settings: window, anchor and confidence.
        ground: measure in m/s on this plane; None: px/s.
        interval_s: the usual time between processed frames; default: between frames with boxes.

    Returns:
        Speeds by track and time.
    """
    s = settings or SpeedSettings()
    assert table.states is not None
    seen = table[(table.states == State.OBSERVED) & (table.ids != NO_ID)]
    seen = seen[np.lexsort((seen.times_s, seen.ids))] if len(seen) else seen
    step_s = frame_interval_s(seen) if interval_s is None else interval_s
    window_s = max(s.window_s, 2 * step_s) if np.isfinite(step_s) else s.window_s
    across, down = ANCHORS[s.anchor]
    size = seen.boxes_xyxy[:, 2:] - seen.boxes_xyxy[:, :2]
    points = seen.boxes_xyxy[:, :2] + size * [across, down]
    known = np.ones(len(seen), np.bool_) if ground is None else ground.knows(points)
    places = points if ground is None else ground.to_metres(points)[0]
    kept = np.isfinite(places).all(axis=1)
    rows = np.flatnonzero(kept)
    parts = [
        _of_track(rows[seen.ids[rows] == one], seen.times_s, places, window_s, s.confidence)
        for one in np.unique(seen.ids[rows])
    ]
    found = np.vstack([*parts, np.empty((0, 5))])
    at = found[:, 0].astype(np.int64)
    return Speeds(
        frames=seen.frames[at],
        times_s=seen.times_s[at],
        ids=seen.ids[at],
        labels=seen.labels[at],
        speed=found[:, 1],
        low=found[:, 2],
        high=found[:, 3],
        num_seen=found[:, 4].astype(np.int64),
        extrapolated=~known[at],
        unit="px/s" if ground is None else "m/s",
        window_s=window_s,
        num_without=len(seen) - len(at),
    )


def _of_track(
    rows: IntArray, times_s: FloatArray, places: FloatArray, window_s: float, confidence: float
) -> FloatArray:
    """Row, speed, low, high and sightings (N, 5) of a track, whose rows are in order of time."""
    late, where = times_s[rows], places[rows]
    half_s = window_s / 2 + _ROUNDING_S
    first = np.searchsorted(late, late - half_s)
    last = np.searchsorted(late, late + half_s, side="right")
    lines = [
        (k, *_line(late[a:b] - now_s, where[a:b]), b - a)
        for k, (now_s, a, b) in enumerate(zip(late, first, last, strict=True))
        if b - a >= _LEAST_SEEN
    ]
    if not lines:
        return np.empty((0, 5))
    off = sum(one[3] for one in lines)
    freedom = sum(2 * (one[4] - 2) for one in lines)
    # Windows overlap: so many residuals are as good as one from each sighting beyond two a window.
    independent = max(2.0, freedom * len(rows) / sum(one[4] for one in lines))
    # The velocity lies in a disc of this radius (times 1 / sqrt of the spread of the times).
    wide = np.sqrt(2 * float(fisher.ppf(confidence, 2, independent)) * off / freedom)
    found = []
    for k, slope, spread_s2, _, num in lines:
        speed, error = float(np.linalg.norm(slope)), wide / np.sqrt(spread_s2)
        found.append((rows[k], speed, max(0.0, speed - error), speed + error, num))
    return np.array(found, float)


def _line(times_s: FloatArray, places: FloatArray) -> tuple[FloatArray, float, float]:
    """Slope (2,) of the fitted line, sum of squared times, and sum of squared residuals."""
    t = times_s - times_s.mean()
    spread_s2 = float(t @ t)
    slope = t @ places / spread_s2
    rest = places - places.mean(axis=0) - np.outer(t, slope)
    return slope, spread_s2, float((rest**2).sum())


def by_track(speeds: Speeds) -> list[TrackSpeed]:
    """The speeds of each track in short, in the order of their begin."""
    found = []
    for track_id in np.unique(speeds.ids).tolist():
        own = np.flatnonzero(speeds.ids == track_id)
        found.append(
            TrackSpeed(
                track_id=track_id,
                label=int(np.bincount(speeds.labels[own]).argmax()),
                begin_s=float(speeds.times_s[own[0]]),
                end_s=float(speeds.times_s[own[-1]]),
                median=float(np.median(speeds.speed[own])),
                low=float(np.median(speeds.low[own])),
                high=float(np.median(speeds.high[own])),
                fastest=float(np.quantile(speeds.speed[own], 0.95)),
            )
        )
    return sorted(found, key=lambda one: (one.begin_s, one.track_id))


def parse_points(texts: Sequence[str]) -> GroundPlane:
    """The plane of words ``x,y=X,Y``: a pixel, and its place on the ground in metres.

    Raises:
        SettingsError: a word of another form, or points that make no plane.

    >>> plane = parse_points(["0,0=0,0", "100,0=10,0", "100,100=10,10", "0,100=0,10"])
    >>> plane.to_metres(np.array([[50.0, 20.0]]))[0].round(6)
    array([[5., 2.]])
    """
    px, m = [], []
    for text in texts:
        try:
            (x, y), (u, v) = (map(float, half.split(",")) for half in text.split("="))
        except ValueError as error:
            message = f"--ground {text!r}: expected x,y=X,Y, a pixel and its place in metres"
            raise SettingsError(message) from error
        if not np.isfinite([x, y, u, v]).all():
            raise SettingsError(f"--ground {text!r}: its numbers have to be finite")
        px.append((x, y))
        m.append((u, v))
    return GroundPlane.from_points(np.array(px).reshape(-1, 2), np.array(m).reshape(-1, 2))
