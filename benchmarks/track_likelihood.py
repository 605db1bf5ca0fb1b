"""Contested pairs, decided by the default tracker's sum and by a learnt likelihood ratio.

    python benchmarks/track_likelihood.py

The default tracker runs on every domain. Where a track or a detection has several candidates, the
numbers that speak for each pair are recorded, with the truth: whether both are one object. A
logistic model of these numbers is fitted on all domains but one; on that one the assignments of
both are counted. Prints the wrong ones of all contested matches: present sum, learnt.
"""

import json
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment, minimize

from track_domains import DOMAINS, Scene, scenes
from vodkit.ground.boxes import iou, iou_pairs
from vodkit.ground.records import State
from vodkit.track.appearance_model import MOST
from vodkit.track.assign import LEAST, Pairs, contested, height_iou, match
from vodkit.track.kalman import areas_px, boxes_of, sigma_px
from vodkit.track.matching import same_class, straight_on
from vodkit.track.vodkit import VodkitTracker

UNKNOWN = -1


class Choice(NamedTuple):
    """The contested pairs of one frame."""

    rows: np.ndarray
    """(P,) ids of tracks"""
    cols: np.ndarray
    """(P,) places of detections"""
    features: np.ndarray
    """(P, D), the first one the tracker's own sum"""
    truth: np.ndarray
    """(P,) 1: one object, 0: two, -1: not known"""


class Recorder(VodkitTracker):
    """The default tracker, which keeps what it chose between."""

    pairs = None

    def _claims(self, found):
        pairs, gain, good = super()._claims(found)
        strong = pairs.cols < np.count_nonzero(found.levels >= self.settings.high)
        wanted = good & strong & same_class(self.book, found, pairs)
        kept, self.found = pairs.where(wanted), found
        rivals = contested(kept)
        self.pairs = kept.where(rivals)
        self.ids = self.book.ids[self.pairs.rows]
        self.features = self._numbers(found, self.pairs, gain[wanted][rivals])
        return pairs, gain, good

    def _numbers(self, found, pairs, gain):
        book, (rows, cols) = self.book, pairs
        box, size = found.boxes_xyxy[cols], np.sqrt(areas_px(book.mean))[rows, 0]
        expected, looks = book.expected_xyxy[rows], self.evidence.of(book, found, pairs)
        says = straight_on(book, found, pairs, span_s=self.settings.momentum_s,
                           noise=self.settings.quick.centre_noise)  # fmt: skip
        middle = (expected[:, :2] + expected[:, 2:] - box[:, :2] - box[:, 2:]) / 2
        away = np.hypot(*middle.T) / size
        ours, theirs = (np.maximum(one[:, 2:] - one[:, :2], 1.0) for one in (expected, box))
        lost = (book.missed[rows] > 1).astype(float)
        overlap = iou_pairs(expected, box)
        return np.column_stack([
            np.maximum(gain, LEAST) + self.settings.momentum * says
            + self.settings.looks / MOST * looks,
            gain, overlap, iou_pairs(boxes_of(book.mean)[rows], box),
            iou_pairs(boxes_of(book.quick_mean)[rows], box), iou_pairs(book.seen_xyxy[rows], box),
            height_iou(expected, box), says, away,
            away / np.hypot(sigma_px(book.cov)[rows] / size, 0.1),
            np.abs(np.log(theirs / ours)), lost, np.log1p(book.now_s - book.seen_s[rows]),
            found.levels[cols], np.abs(found.levels[cols] - book.levels[rows]), looks,
            lost * overlap, lost * gain, lost * away,
        ])  # fmt: skip


def record(job: tuple[str, int]) -> tuple[str, list[Choice]]:
    """The choices in one scene."""
    domain, place = job
    scene, tracker, identity, choices = scenes(domain)[place], Recorder(), {}, []
    for frame, found in scene.steps:
        tracker.pairs = None
        tracks = tracker.step(frame, found, embeddings=found.embeddings)
        if tracker.pairs is not None and len(tracker.pairs.rows):
            known = np.array([identity.get(one, UNKNOWN) for one in tracker.ids.tolist()])
            seen = identities(scene, frame.index, tracker.found.boxes_xyxy)[tracker.pairs.cols]
            truth = np.where((known < 0) | (seen < 0), UNKNOWN, known == seen)
            choices.append(Choice(tracker.ids, tracker.pairs.cols, tracker.features, truth))
        observed = tracks[tracks.states == State.OBSERVED]
        names = identities(scene, frame.index, observed.boxes_xyxy)
        pairs = zip(observed.ids.tolist(), names.tolist(), strict=True)
        identity |= {track: name for track, name in pairs if name != UNKNOWN}
    return domain, choices


def identities(scene: Scene, frame: int, boxes_xyxy: np.ndarray) -> np.ndarray:
    """(N,) who is in each box, by the best matching at IoU 0.5; -1: not known."""
    if scene.rules == "kitti":
        here = scene.kitti_rows[scene.kitti_rows[:, 0] == frame]
        boxes, ids = here[:, 5:9], here[:, 1].astype(int)
    else:
        here = scene.truth[scene.truth.frames == frame]
        boxes, ids = here.boxes_xyxy, here.ids
    overlap = iou(np.asarray(boxes_xyxy, float), np.asarray(boxes, float))
    rows, cols = linear_sum_assignment(-np.where(overlap >= 0.5, overlap, 0))
    good = overlap[rows, cols] >= 0.5
    names = np.full(len(boxes_xyxy), UNKNOWN)
    names[rows[good]] = ids[cols[good]]
    return names


def fit(choices: list[Choice]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, mean and spread of a logistic model with a little shrinkage."""
    values = np.concatenate([one.features[one.truth >= 0][:, 1:] for one in choices])
    truth = np.concatenate([one.truth[one.truth >= 0] for one in choices])
    mean, spread = values.mean(axis=0), values.std(axis=0) + 1e-9
    design = np.column_stack([np.ones(len(values)), (values - mean) / spread])
    sign = np.where(truth == 1, 1.0, -1.0)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (design @ weights)
        wrong = 1 / (1 + np.exp(margin))
        shrink = np.append(0, weights[1:])
        slope = shrink - design.T @ (sign * wrong)
        return float(np.logaddexp(0, -margin).sum() + shrink @ shrink / 2), slope

    start = np.zeros(design.shape[1])
    return minimize(loss, start, jac=True, method="L-BFGS-B").x, mean, spread


def wrong(choices: list[Choice], gains: list[np.ndarray]) -> tuple[int, int]:
    """Wrong ones and all of the matches whose truth is known."""
    errors = total = 0
    for one, gain in zip(choices, gains, strict=True):
        rows = np.unique(one.rows, return_inverse=True)[1]
        told = match(Pairs(rows, one.cols), np.maximum(gain, LEAST))
        at = {pair: k for k, pair in enumerate(zip(rows.tolist(), one.cols.tolist(), strict=True))}
        truth = [one.truth[at[pair]] for pair in zip(*(x.tolist() for x in told), strict=True)]
        errors += truth.count(0)
        total += len(truth) - truth.count(UNKNOWN)
    return errors, total


def main() -> None:
    jobs = [(domain, place) for domain in DOMAINS for place in range(len(scenes(domain)))]
    by_domain: dict[str, list[Choice]] = {}
    with ProcessPoolExecutor(2) as pool:
        for domain, choices in pool.map(record, jobs):
            by_domain.setdefault(domain, []).extend(choices)
    for domain, own in by_domain.items():
        others = [one for name, some in by_domain.items() if name != domain for one in some]
        weights, mean, spread = fit(others)
        logits = [weights[0] + (o.features[:, 1:] - mean) / spread @ weights[1:] for o in own]
        present = wrong(own, [one.features[:, 0] for one in own])
        learnt = wrong(own, [1 / (1 + np.exp(-one)) for one in logits])
        print(json.dumps({"domain": domain, "present": present, "learnt": learnt}), flush=True)


if __name__ == "__main__":
    main()
