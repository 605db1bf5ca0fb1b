"""Whether videos that look alike are the same footage, or one place at two times.

Moments of one video in which something moves are looked for in every frame of the other. Only the
pixels count that something covers just now, unlike half a second before and after: a copy has them
alike to the pixel, however it was coded, scaled, cropped, mirrored or sped up; another time of the
same place has not. Where nothing moves, nothing is decided.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from vodkit.data.audit.video_scan import small_size, to_grey
from vodkit.ground.arrays import ByteArray, FloatArray, IntArray
from vodkit.ground.errors import VideoError
from vodkit.video.reader import open_video

WIDTH_PX = 320
"""moments are looked at this wide: a fly of a picture of 1024 px still covers some pixels"""
APART_S = 0.5
"""what is neither there so much before nor so much after, moves"""
MOVED = 12.0
"""grey levels by which a pixel must differ from both"""
FEWEST, POINTS = 16, 256
"""moving pixels that a moment needs, and how many of them are compared"""
FOUND = 0.25
"""a moment is found where its pixels differ by at most this share of what they changed: most of a
copy's differ by 0.00 to 0.2; of other times of one place the nearest by 0.34 and more, or 0.27
where bottles that are all alike go by"""
OTHER = 0.5
"""moments are others where, in the middle case, they differ by more than this share: copies by up
to 0.4, where they were cropped or shrunk; other times of one place by 0.7 and more, or 0.57
(bottles)"""
SHRUNK = np.arange(1.0, 0.59, -0.02)
"""how much smaller the part of a picture may be that a crop has kept"""


@dataclass(frozen=True)
class Stretch:
    """A video, or a part of it."""

    path: Path
    picture_rate: Fraction
    """of a folder of pictures"""
    first: int
    last: int
    """frames, both inside"""


@dataclass(frozen=True)
class Question:
    """Whether ``one`` is in ``two``."""

    one: Stretch
    moving: tuple[int, ...]
    """frames of ``one`` in which most moves"""
    two: Stretch
    alike: tuple[int, int]
    """a frame of each that look alike: from them follows how the pictures fit"""


@dataclass(frozen=True)
class Verdict:
    """How many moments of ``one`` are in ``two``."""

    tested: int
    """moments in which enough moves"""
    found: tuple[tuple[int, int], ...] = ()
    """frames of both"""
    typical: float = 0.0
    """the median of what ``FOUND`` and ``OTHER`` are limits of"""


@dataclass(frozen=True, eq=False)
class _Moment:
    """What moves in a frame, where the other video should show it."""

    frame: int
    points: FloatArray
    """(P, 2) x, y in the other video's small picture"""
    looks: FloatArray
    """(P,) levels"""
    changed: float
    """root mean square by which they differ from before and after"""


def answer(questions: Sequence[Question]) -> list[Verdict]:
    """A verdict for each; every video is read once more, whoever is looked for in it.

    What cannot be read any more is untested.
    """
    pictures = {one: _moving_pictures(one, moving) for one, moving in _asked(questions).items()}
    verdicts: dict[Question, Verdict] = {}
    for two in dict.fromkeys(question.two for question in questions):
        here = [question for question in questions if question.two == two]
        try:
            sought = [_moments(question, pictures[question.one]) for question in here]
            found = _search([one for moments in sought for one in moments], two)
        except VideoError:  # said by the pass over the whole video already
            continue
        for question, moments in zip(here, sought, strict=True):
            nearest, found = found[: len(moments)], found[len(moments) :]
            verdicts[question] = _verdict(moments, nearest)
    return [verdicts.get(question, Verdict(0)) for question in questions]


def _verdict(moments: Sequence[_Moment], nearest: Sequence[tuple[float, int]]) -> Verdict:
    """Of the ways in which the pictures may fit, the best one counts for each moment."""
    best: dict[int, tuple[float, int]] = {}
    for one, near in zip(moments, nearest, strict=True):
        best[one.frame] = min(near, best.get(one.frame, near))
    found = tuple((frame, at) for frame, (apart, at) in best.items() if apart <= FOUND)
    typical = float(np.median([apart for apart, _ in best.values()])) if best else 0.0
    return Verdict(len(best), found, typical)


def _asked(questions: Iterable[Question]) -> dict[Stretch, set[int]]:
    asked: dict[Stretch, set[int]] = {}
    for question in questions:
        asked.setdefault(question.one, set()).update(question.moving)
    return asked


def _moving_pictures(one: Stretch, moving: set[int]) -> dict[int, tuple[ByteArray, ...]]:
    """Of each frame: its picture, and those of before and after."""
    try:
        with open_video(one.path, strict=False, picture_rate=one.picture_rate) as video:
            apart = max(1, round(APART_S * float(video.info.rate)))
            inside = [
                at for at in sorted(moving) if one.first <= at - apart and at + apart <= one.last
            ]
            wanted = {at: (at, at - apart, at + apart) for at in inside}
            frames = sorted({frame for triple in wanted.values() for frame in triple})
            size = small_size(video.info, WIDTH_PX)
            seen = {f.index: _soft(f.image) for f in video.frames_at(frames, size_px=size)}
    except VideoError:  # said by the pass over the whole video already
        return {}
    return {at: tuple(seen[frame] for frame in triple) for at, triple in wanted.items()}


def _moments(question: Question, pictures: dict[int, tuple[ByteArray, ...]]) -> list[_Moment]:
    wanted = [at for at in question.moving if at in pictures]
    if not wanted:
        return []
    here, there = (
        _picture(where, frame)
        for where, frame in zip((question.one, question.two), question.alike, strict=True)
    )
    ways = [(fit, _light(here, there, fit)) for fit in fits(here, there)]
    made = (_moment(at, pictures[at], *way, there.shape) for at in wanted for way in ways)
    return [one for one in made if one is not None]


def _picture(where: Stretch, frame: int) -> ByteArray:
    with open_video(where.path, strict=False, picture_rate=where.picture_rate) as video:
        (seen,) = video.frames_at([frame], size_px=small_size(video.info, WIDTH_PX))
        return _soft(seen.image)


def fits(one: ByteArray, two: ByteArray) -> list[FloatArray]:
    """Affine maps (2, 3) from points of picture ``one`` to points of ``two`` that may be right.

    As it is; mirrored; and as one of them is best found in the other, or in its mirror image.
    """
    mirror = np.array([[-1.0, 0, one.shape[1] - 1], [0, 1, 0], [0, 0, 1]])
    scaled = np.diag([two.shape[1] / one.shape[1], two.shape[0] / one.shape[0], 1])[:2]
    turned = np.ascontiguousarray(one[:, ::-1])
    _, best = max(
        ((found[0], found[1] @ before) for picture, before in ((one, np.eye(3)), (turned, mirror))
         for found in _cropped(picture, two)),
        key=lambda found: found[0],
    )  # fmt: skip
    return [scaled, scaled @ mirror, _refined(one, two, best)]


def _cropped(one: ByteArray, two: ByteArray) -> Iterator[tuple[float, FloatArray]]:
    """How well one picture fits into the other at every size, and the map of it."""
    for shrunk in SHRUNK.tolist():
        correlation, scale, (x, y) = _find(one, two, shrunk)
        yield correlation, np.array([[scale, 0, x], [0, scale, y]])
        correlation, scale, (x, y) = _find(two, one, shrunk)
        yield correlation, np.array([[1, 0, -x], [0, 1, -y]]) / scale


def _find(part: ByteArray, whole: ByteArray, shrunk: float) -> tuple[float, float, tuple[int, int]]:
    """How well ``part``, as wide as a share of ``whole``, fits into it; its scale; where."""
    scale = whole.shape[1] * shrunk / part.shape[1]
    size = (round(part.shape[1] * scale), round(part.shape[0] * scale))
    if size[0] > whole.shape[1] or size[1] > whole.shape[0]:
        return -1.0, scale, (0, 0)
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    _, best, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(whole, small, cv2.TM_CCOEFF_NORMED))
    return best, scale, (x, y)


def _refined(one: ByteArray, two: ByteArray, fit: FloatArray) -> FloatArray:
    """The map to parts of a pixel; as it was where that does not converge."""
    start = fit.astype(np.float32)
    try:
        _, better = cv2.findTransformECC(one, two, start, cv2.MOTION_AFFINE)
    except cv2.error:
        return fit
    return np.asarray(better, np.float64)


def _light(one: ByteArray, two: ByteArray, fit: FloatArray) -> tuple[float, float]:
    """Contrast and brightness that levels of ``one`` have in ``two``, by what both show."""
    size, flags = one.shape[::-1], cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    there = cv2.warpAffine(two, fit, size, flags=flags)
    both = cv2.warpAffine(np.ones_like(two), fit, size, flags=flags) > 0
    if both.sum() < FEWEST:
        return 1.0, 0.0
    contrast = float(there[both].std() / max(one[both].std(), 1.0))
    return contrast, float(there[both].mean() - contrast * one[both].mean())


def _moment(
    frame: int,
    pictures: tuple[ByteArray, ...],
    fit: FloatArray,
    light: tuple[float, float],
    shape: tuple[int, ...],
) -> _Moment | None:
    contrast, brightness = light
    now, *others = (contrast * picture.astype(np.float32) + brightness for picture in pictures)
    moved = np.minimum(*(np.abs(now - other) for other in others))
    rows, columns = np.nonzero(moved > MOVED * contrast)
    points = np.stack([columns, rows, np.ones(len(rows))], axis=1) @ fit.T
    inside = np.flatnonzero(((points >= 0) & (points <= np.array(shape[::-1]) - 1)).all(axis=1))
    if len(inside) < FEWEST:
        return None
    chosen = inside[np.linspace(0, len(inside) - 1, POINTS).round().astype(int)]
    at = rows[chosen], columns[chosen]
    changed = min(_rms(now[at] - other[at]) for other in others)
    return _Moment(frame, points[chosen].astype(np.float32), now[at], float(changed))


def _search(moments: Sequence[_Moment], two: Stretch) -> list[tuple[float, int]]:
    """How far from each moment its nearest frame is, as a share of what changed; which frame."""
    if not moments:
        return []
    points = np.stack([one.points for one in moments])
    looks = np.stack([one.looks for one in moments])
    least, places = np.full(len(moments), np.inf), np.zeros(len(moments), np.int64)
    with open_video(two.path, strict=False, picture_rate=two.picture_rate) as video:
        for frame in video.frames(size_px=small_size(video.info, WIDTH_PX)):
            if not two.first <= frame.index <= two.last:
                continue
            picture = _soft(frame.image).astype(np.float32)
            seen = cv2.remap(picture, points[..., 0], points[..., 1], cv2.INTER_LINEAR)
            apart = _rms(seen - looks)
            nearer = apart < least
            least[nearer], places[nearer] = apart[nearer], frame.index
    shares = least / np.array([one.changed for one in moments])
    return list(zip(shares.tolist(), places.tolist(), strict=True))


def _rms(values: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(np.mean(values**2, axis=-1)))


def _soft(image: ByteArray) -> ByteArray:
    """Grey levels without what coding adds."""
    return np.asarray(cv2.blur(to_grey(image), (3, 3)).round().astype(np.uint8))


def most_moving(changes: FloatArray, allowed: IntArray, count: int) -> tuple[int, ...]:
    """Of ``count`` parts of the ``allowed`` frames, each one's that changes most.

    >>> most_moving(np.array([0, 3, 1, 0, 2, 5.0]), np.arange(6), 2)
    (1, 5)
    """
    parts = np.array_split(allowed, min(count, len(allowed)) or 1)
    return tuple(int(part[np.argmax(changes[part])]) for part in parts if len(part))
