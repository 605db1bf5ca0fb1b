"""How much looks say: what cosines of embeddings mean, learnt from the video that is tracked.

A cosine of 0.7 is much with one embedding and nothing with another. But every frame shows what is
what: a track and its own new detection are one object, a track and its neighbour's are two. From
the cosines of both kinds (running means and variances) follows what a cosine says: the logarithm of
how much more often one object looks so much alike than two do. Nobody has to set a threshold, and
an embedding that tells nothing apart says nothing.

``Evidence`` learns while a tracker runs; ``stitch`` learns from the pieces that it has.

Legend: P pairs.
"""

from collections.abc import Mapping

import numpy as np

from vodkit.ground.arrays import BoolArray, FloatArray
from vodkit.track.assign import Pairs, likeness
from vodkit.track.base import Found
from vodkit.track.track_table import Book

MOST = 3.0
"""looks never count for more than this logarithm: two may wear the same coat"""
ENOUGH = 30
"""cosines of either kind before anything is said"""
MOST_TRACKS = 40
"""tracks of a frame to learn from: pairs grow with the square"""
LEAST_VARIANCE = 1e-4
OLDER = 2.0
"""an object looks less like itself after a while than in the next frame: so many times as much"""

SAME, OTHER = 0, 1


class Evidence:
    """The cosines seen so far of one object and of two."""

    def __init__(self, *, memory_s: float = 20.0) -> None:
        """Nothing is known. What was seen fades over about ``memory_s``."""
        self.memory_s = memory_s
        self.sums = np.zeros((2, 3))
        """of one object and of two: number, sum and sum of squares of the cosines"""
        self.now_s = -np.inf

    def learn(self, book: Book, found: Found, told: Pairs) -> None:
        """Look at tracks and the detections they were told to be; call it before they observe."""
        if not _comparable(book, found) or len(told.rows) == 0:
            return
        rows, cols = told.rows[:MOST_TRACKS], told.cols[:MOST_TRACKS]
        at = Pairs(np.repeat(rows, len(cols)), np.tile(cols, len(rows)))
        own = np.eye(len(rows), dtype=bool).ravel()
        known = _known(book, found, at) & (book.labels[at.rows] == found.labels[at.cols])
        cosines = likeness(book.looks[at.rows], found.looks[at.cols])
        self.sums *= np.exp(-(book.now_s - self.now_s) / self.memory_s)
        self.now_s = book.now_s
        for kind, those in ((SAME, known & own), (OTHER, known & ~own)):
            self.sums[kind] += sums_of(cosines[those])

    def of(self, book: Book, found: Found, pairs: Pairs) -> FloatArray:
        """For (above 0) or against (below) each pair (P,) being one object; 0: no idea."""
        if not _comparable(book, found):
            return np.zeros(len(pairs.rows))
        cosines = likeness(book.looks[pairs.rows], found.looks[pairs.cols])
        says = log_ratio(cosines, self.sums, older=OLDER)
        return np.where(_known(book, found, pairs), says, 0.0)

    def state_dict(self) -> dict[str, np.ndarray]:
        """What was learnt."""
        return {"looks_sums": self.sums.copy(), "looks_s": np.array(self.now_s)}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where ``state_dict`` was taken."""
        self.sums, self.now_s = np.array(state["looks_sums"]), float(state["looks_s"])


def sums_of(cosines: FloatArray) -> FloatArray:
    """Number, sum and sum of squares (3,): what means and variances are made of, and adds up."""
    return np.array([len(cosines), cosines.sum(), (cosines**2).sum()])


def log_ratio(cosines: FloatArray, sums: FloatArray, *, older: float = 1.0) -> FloatArray:
    """How much more often one object looks so much alike than two do, as logarithms (P,).

    Args:
        cosines: (P,) to be judged.
        sums: (2, 3) ``sums_of`` cosines of one object, and of two.
        older: so many times wider than these does one object's cosine spread.

    Returns 0 for all while fewer than ``ENOUGH`` of either kind were seen; never beyond ``MOST``.

    >>> same, other = np.linspace(0.8, 1, 50), np.linspace(0, 0.6, 50)
    >>> log_ratio(np.array([0.9, 0.62, 0.3]), np.stack([sums_of(same), sums_of(other)])).round(1)
    array([ 3. ,  0.7, -3. ])
    """
    if sums[:, 0].min() < ENOUGH:
        return np.zeros(len(cosines))
    mean = sums[:, 1] / sums[:, 0]
    spread = np.sqrt(np.maximum(sums[:, 2] / sums[:, 0] - mean**2, LEAST_VARIANCE))
    spread[SAME] *= older
    # Two normal distributions of one width (Fisher's discriminant): a line, which rises with the
    # cosine and is flat where both kinds are equally alike. Two widths would make it turn around.
    slope = max(mean[SAME] - mean[OTHER], 0.0) / (spread**2).mean()
    return np.clip((cosines - mean.mean()) * slope, -MOST, MOST)


def _comparable(book: Book, found: Found) -> bool:
    return bool(found.looks.shape[1]) and found.looks.shape[1] == book.looks.shape[1]


def _known(book: Book, found: Found, pairs: Pairs) -> BoolArray:
    """Whether both of each pair (P,) have looks."""
    ours, theirs = book.looks[pairs.rows], found.looks[pairs.cols]
    return np.asarray(ours.any(axis=1) & theirs.any(axis=1))
