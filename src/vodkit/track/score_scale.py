"""How high a detector's scores are in this video, so that thresholds fit every detector.

Detectors differ in what a score means: one gives its objects 0.95, another 0.6. A *level* is a
score divided by the typical score of its class in the video so far: the Lehmer mean
sum(s^4) / sum(s^3), which clear objects dominate, however many low-score boxes there are. Scores
that are all halved give equal levels. A detector whose card says what is typical (a training
measures it on its validation frames) has that to begin with, and a video corrects it.

Temporal memory changes scores (``Detections.still_scores``): it lowers an object that just came
into view and raises one that is half hidden. Levels are to show what a frame shows of an object, so
they are those of the frame by itself. What memory is for is kept: a detection below the level of
matching to any track may be raised up to that, never above.

Legend: C classes, N detections.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.errors import InputError
from vodkit.ground.records import Detections

REFERENCE = 0.9
"""the typical score of a detector whose levels equal its scores"""
LEAST_TYPICAL = 0.3
"""a class whose best scores are lower has not been seen yet: these are false alarms"""
KNOWN_BOXES = 20
"""boxes in a video that weigh as much as what a card says is typical"""


class ScoreScale:
    """The typical score of each class in one video."""

    def __init__(self, known: Sequence[float] = ()) -> None:
        """``known`` (C,): typical scores from the detector's card; 0: of this class none."""
        typical = np.asarray(known, np.float64)
        self.sums: FloatArray = KNOWN_BOXES * np.stack([typical**3, typical**4])

    def step(self, detections: Detections, *, high: float = 1.0) -> FloatArray:
        """Learn from a frame's detections; gives their levels (N,), from 0 to 1.

        Args:
            detections: of the frame.
            high: memory raises no level up to this, nor changes one that is as high.
        """
        still = detections.still_scores
        if still is None:
            self.learn(detections)
            return self._levels(detections.scores, detections.labels)
        self.learn(replace(detections, scores=still))
        levels = self._levels(still, detections.labels)
        remembered = self._levels(detections.scores, detections.labels)
        raised = np.minimum(np.maximum(levels, remembered), np.nextafter(high, 0))
        return np.where(levels >= high, levels, raised)

    def _levels(self, scores: FloatArray, labels: IntArray) -> FloatArray:
        levels = scores * (REFERENCE / self.typical()[labels])
        return np.asarray(np.minimum(levels, 1.0), np.float64)

    def learn(self, detections: Detections) -> None:
        """Take in the scores of a frame."""
        scores, labels = detections.scores.astype(np.float64), detections.labels
        more = int(labels.max(initial=-1)) + 1 - self.sums.shape[1]
        if more > 0:
            self.sums = np.hstack([self.sums, np.zeros((2, more))])
        cubes, count = scores**3, self.sums.shape[1]
        self.sums[0] += np.bincount(labels, cubes, minlength=count)
        self.sums[1] += np.bincount(labels, cubes * scores, minlength=count)

    def typical(self) -> FloatArray:
        """The typical score (C,) of each class."""
        known = self.sums[0] > 0
        mean = np.divide(self.sums[1], self.sums[0], out=np.zeros(len(known)), where=known)
        return np.asarray(np.maximum(mean, LEAST_TYPICAL))

    def state_dict(self) -> dict[str, np.ndarray]:
        """What was learnt."""
        return {"score_sums": self.sums.copy()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue where ``state_dict`` was taken."""
        if "score_sums" not in state:
            raise InputError("tracker state lacks score_sums; saved by another version?")
        self.sums = np.array(state["score_sums"], np.float64)


def typical_scores(frames: Iterable[Detections], classes: Sequence[str]) -> dict[str, float]:
    """What is typical in frames of a detector, for its card; of classes seen clearly alone.

    Args:
        frames: detections of each frame.
        classes: names of their labels.

    Returns:
        The typical score of each class, rounded to four digits.
    """
    scale = ScoreScale()
    for detections in frames:
        scale.learn(detections)
    typical = zip(classes, scale.typical().tolist(), strict=False)
    return {name: round(score, 4) for name, score in typical if score > LEAST_TYPICAL}
