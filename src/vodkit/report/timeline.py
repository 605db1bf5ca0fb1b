"""A video as bands over time: who is there, who was found, what is wrong, as inline SVG.

One band a truth track, dark where it was found, pale where it was missed, striped below where it
is hidden; a tick where its id changes. The last band counts false alarms in each frame.
"""

from html import escape

import numpy as np

from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.records import NO_ID
from vodkit.metrics.clips import Clip
from vodkit.metrics.detection.frames import FrameMatches, match_frames
from vodkit.metrics.detection.match import UNMATCHED
from vodkit.report.failures import runs_of

WIDTH, LEFT, BAND, GAP = 900, 74, 14, 4
HIDDEN_BELOW = 0.5
MAX_BANDS = 40


def timeline(clip: Clip, *, min_score: float, title: str) -> str:
    """The bands of one video as SVG text."""
    matches = match_frames(clip, min_score=min_score)
    ids = np.unique(clip.truth.ids[clip.truth.ids != NO_ID])
    shown = ids[:MAX_BANDS]
    parts = [_band(matches, int(identity), k) for k, identity in enumerate(shown)]
    below = len(shown) * (BAND + GAP)
    parts.append(_false_alarms(matches, below))
    height = below + BAND + GAP + 22
    parts.append(_clock(clip, height - 8))
    label = f"Time line of {title}: {len(ids)} labelled tracks over {len(clip.frames)} frames"
    if len(ids) > MAX_BANDS:
        label += f", the first {MAX_BANDS} shown"
        parts.append(f'<text x="0" y="{height + 10}">{len(ids) - MAX_BANDS} more not shown</text>')
        height += 18
    opening = (
        f'<svg role="img" class="timeline" viewBox="0 0 {WIDTH} {height}" '
        f'aria-label="{escape(label, quote=True)}">'
    )
    return "".join([opening, *parts, "</svg>"])


def _x(places: IntArray | FloatArray, num_frames: int) -> FloatArray:
    return np.asarray(LEFT + (WIDTH - LEFT) * np.asarray(places) / max(num_frames, 1))


def _band(matches: FrameMatches, identity: int, row: int) -> str:
    truth = matches.clip.truth
    rows = np.flatnonzero(truth.ids == identity)
    places, found = matches.truth_frame[rows], matches.found_of_truth[rows]
    top = row * (BAND + GAP)
    parts = [f'<text x="0" y="{top + 11}">object {identity}</text>']
    hidden = truth.visibility[rows] < HIDDEN_BELOW
    hit = found != UNMATCHED
    num_frames = len(matches.clip.frames)
    for style, mask, y, high in (
        ("hit", hit, top, BAND - 4),
        ("missed", ~hit, top, BAND - 4),
        ("hidden", hidden, top + BAND - 3, 3),
    ):
        for first, last in runs_of(mask):
            x1, x2 = _x(np.array([places[first], places[last] + 1]), num_frames)
            box = f'x="{x1:.1f}" y="{y}" width="{max(x2 - x1, 0.5):.1f}" height="{high}"'
            parts.append(f'<rect class="{style}" {box}/>')
    hits = np.flatnonzero(hit)
    changes = hits[1:][np.diff(matches.clip.found.ids[found[hits]]) != 0]
    ticks = _x(places[changes], num_frames)
    parts += [f'<path class="switch" d="M{x:.1f} {top - 2}v{BAND + 2}"/>' for x in ticks]
    return "".join(parts)


def _false_alarms(matches: FrameMatches, top: int) -> str:
    wrong = matches.found_frame[matches.truth_of_found == UNMATCHED]
    counts = np.bincount(wrong, minlength=len(matches.clip.frames))
    parts = [f'<text x="0" y="{top + 11}">false alarms</text>']
    most = max(int(counts.max(initial=0)), 1)
    for first, last in runs_of(counts > 0):
        high = BAND * int(counts[first : last + 1].max()) / most
        x1, x2 = _x(np.array([first, last + 1]), len(matches.clip.frames))
        box = f'x="{x1:.1f}" y="{top + BAND - high:.1f}" width="{x2 - x1:.1f}"'
        parts.append(f'<rect class="alarm" {box} height="{high:.1f}"/>')
    return "".join(parts)


def _clock(clip: Clip, y: int) -> str:
    """The container's times, in seconds, below the bands."""
    if not len(clip.frames):
        return ""
    marks = np.linspace(0, len(clip.frames) - 1, 6).astype(np.int64)
    seconds = clip.times_s(clip.frames[marks])
    places = zip(_x(marks, len(clip.frames)), seconds, strict=True)
    last = WIDTH - 46  # so that the last one fits in
    return "".join(
        f'<text class="clock" x="{min(x, last):.1f}" y="{y}">{s:.1f} s</text>' for x, s in places
    )
