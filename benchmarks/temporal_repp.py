"""REPP (Sabater, Montesano and Murillo 2020, arXiv 2009.11050), refitted: a baseline.

Written from the paper. A logistic regression says of two boxes of consecutive frames whether they
are of one object, from their overlap, the distance of their centres, the ratios of their widths
and heights, and the product of their scores (the paper's class vectors, of one class). Pairs are
linked greedily, best first, into tubelets. Each box then has the mean score of its tubelet, and its
corners are smoothed along it with a Gaussian. It needs the complete video. Fitted on other videos
than it is run on; the Gaussian's width and the least probability of a link are chosen there, too.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import minimize

from temporal_links import Recorded, Video, ap
from vodkit.ground.boxes import iou, to_cxcywh
from vodkit.ground.records import Detections

LEAST = (0.2, 0.5)
SIGMAS = (0.0, 0.6, 1.2)
"""frames; 0: boxes stay where they are"""
_NEAR = 2.0  # sizes; boxes further apart are no pair


@dataclass(frozen=True, kw_only=True)
class Repp:
    """What was fitted and chosen."""

    weights: np.ndarray
    """of the features, and a constant"""
    least: float = 0.5
    sigma: float = 0.6


class Pairs(NamedTuple):
    """Boxes of two frames that are near to each other."""

    rows: np.ndarray
    columns: np.ndarray
    features: np.ndarray


def pairs(a: Detections, b: Detections) -> Pairs:
    """All near pairs and their features (n, 6)."""
    one, two = (to_cxcywh(x.boxes_xyxy) for x in (a, b))
    size = np.sqrt(one[:, 2] * one[:, 3])
    away = np.linalg.norm(one[:, None, :2] - two[None, :, :2], axis=2)
    away /= np.maximum(size, 1)[:, None]
    rows, columns = np.nonzero(away < _NEAR)
    sides = [
        np.minimum(one[rows, k], two[columns, k]) / np.maximum(one[rows, k], two[columns, k])
        for k in (2, 3)
    ]
    overlap = iou(a.boxes_xyxy, b.boxes_xyxy)[rows, columns]
    scores = a.scores[rows] * b.scores[columns]
    ones = np.ones(len(rows))
    return Pairs(
        rows, columns, np.stack([overlap, away[rows, columns], *sides, scores, ones], axis=1)
    )


def objects_of(video: Recorded, found: Sequence[Detections]) -> list[np.ndarray]:
    """The truth's id of each box, -1: none; of each frame."""
    truth, ids = video.truth, []
    for number, one in enumerate(found):
        rows = np.flatnonzero(truth.frames == number)
        mine = np.full(len(one), -1)
        if len(rows) and len(one):
            overlap = iou(one.boxes_xyxy, truth.boxes_xyxy[rows])
            best = overlap.argmax(axis=1)
            mine = np.where(overlap.max(axis=1) >= 0.5, truth.ids[rows][best], -1)
        ids.append(mine)
    return ids


def fitted(videos: Sequence[Recorded]) -> Repp:
    """The regression on pairs of these videos; pairs without an object take no part."""
    features, same = [], []
    for video in videos:
        found = [one for _, one in video.frames]
        ids = objects_of(video, found)
        for n in range(1, len(found), 2):
            near = pairs(found[n - 1], found[n])
            a, b = ids[n - 1][near.rows], ids[n][near.columns]
            known = (a >= 0) | (b >= 0)
            features.append(near.features[known])
            same.append((a == b)[known])
    x, y = np.concatenate(features), np.concatenate(same).astype(float)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = x @ w
        p = 1 / (1 + np.exp(-z))
        cost = np.logaddexp(0, z) - y * z
        return float(cost.mean() + 1e-4 * (w @ w)), x.T @ (p - y) / len(y) + 2e-4 * w

    found_w = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x
    return Repp(weights=found_w)


def chosen(videos: Sequence[Recorded]) -> Repp:
    """Fitted, with the Gaussian and the least probability that are best on the same videos."""
    best, most = fitted(videos), -1.0
    start = best
    for least, sigma in itertools.product(LEAST, SIGMAS):
        one = replace(start, least=least, sigma=sigma)
        value = float(np.mean([ap(video.clip(rescored(one, video.frames)))[0] for video in videos]))
        if value > most:
            best, most = one, value
    return best


def rescored(repp: Repp, video: Video) -> list[Detections]:
    """The video's boxes with scores and corners of their tubelets."""
    found = [one for _, one in video]
    tubelets: list[list[tuple[int, int]]] = []
    of_box: list[dict[int, int]] = [{} for _ in found]
    for frame, one in enumerate(found):
        before = _linked(repp, found[frame - 1], one) if frame else {}
        for row in range(len(one)):
            number = of_box[frame - 1].get(before.get(row, -1), -1)
            if number < 0:
                number = len(tubelets)
                tubelets.append([])
            tubelets[number].append((frame, row))
            of_box[frame][row] = number
    scores = [np.array(one.scores) for one in found]
    boxes = [np.array(one.boxes_xyxy) for one in found]
    for places in tubelets:
        mean = float(np.mean([found[f].scores[r] for f, r in places]))
        corners = np.array([found[f].boxes_xyxy[r] for f, r in places])
        if repp.sigma and len(places) > 1:
            corners = gaussian_filter1d(corners, repp.sigma, axis=0, mode="nearest")
        for (f, r), box in zip(places, corners, strict=True):
            scores[f][r], boxes[f][r] = mean, box
    return [
        replace(one, scores=s, boxes_xyxy=b) for one, s, b in zip(found, scores, boxes, strict=True)
    ]


def _linked(repp: Repp, before: Detections, now: Detections) -> dict[int, int]:
    """Row before by row now: the likeliest pairs first, each box once."""
    near = pairs(before, now)
    likely = 1 / (1 + np.exp(-near.features @ repp.weights))
    links: dict[int, int] = {}
    taken: set[int] = set()
    for place in np.argsort(-likely, kind="stable"):
        if likely[place] < repp.least:
            break
        row, column = int(near.rows[place]), int(near.columns[place])
        if column not in links and row not in taken:
            links[column] = row
            taken.add(row)
    return links
