"""A made-up street of walking people, as boxes: truth, and what a mediocre detector says of it.

No pixels: it is for developing trackers without looking at test data. People walk on level
ground with changing speed, hide each other and vanish behind posts; the detector misses what is
hidden, shrinks to the visible part, jitters, doubles, and sees ghosts that stay for a while.
"""

from dataclasses import dataclass

import numpy as np

from vodkit.ground.boxes import intersection, iou
from vodkit.ground.records import Detections, Frame, TrackTable


@dataclass(frozen=True, kw_only=True)
class World:
    """What is made up; one seed is one video."""

    seed: int = 0
    num_people: int = 16
    num_posts: int = 2
    seconds: float = 30.0
    rate: float = 15.0
    width_px: int = 960
    height_px: int = 540
    jitter: float = 0.05
    """of the boxes' edges, in sizes; half of it drifts, half is new in each frame"""
    miss: float = 0.12
    """chance to miss a person in full view; misses come in runs"""
    ghosts: float = 1.0
    """mean number of false boxes in a frame; they stay about half a second"""
    doubles: float = 0.0
    """chance of a second, badly placed box on a person that was found"""
    slips: float = 0.0
    """chance that a box is off by three times the usual jitter"""
    suppress_iou: float = 1.0
    """of two boxes that overlap by more the better one stays, as in every real detector"""
    shake: float = 0.0
    """speed of the camera's swaying, in picture widths per second"""


def walk(world: World) -> tuple[TrackTable, list[tuple[Frame, Detections]]]:
    """The truth (visible share at least 0.1) and every frame with its detections."""
    rng = np.random.default_rng(world.seed)
    habit = np.random.default_rng(world.seed + 1_000_000)
    n, dt = world.num_people, 1 / world.rate
    place = np.column_stack([rng.uniform(0, world.width_px, n), rng.uniform(0.4, 1.1, n)])
    speed = rng.choice([-1, 1], n) * rng.uniform(0.25, 0.9, n)  # heights per second
    drift = rng.normal(0, 0.02, n)
    tall = rng.uniform(0.9, 1.1, n)
    wide = rng.uniform(0.33, 0.45, n)
    posts = np.column_stack([rng.uniform(0.1, 0.9, world.num_posts) * world.width_px] * 2)
    posts[:, 1] += rng.uniform(20, 90, world.num_posts)
    ids, next_id = np.arange(1, n + 1), n + 1
    error, missing = rng.normal(0, 1, (n, 4)), np.zeros(n, bool)
    ghosts = np.zeros((0, 5))
    truth, steps = [], []
    for index in range(int(world.seconds * world.rate)):
        height = 0.42 * world.height_px * place[:, 1] ** 1.5 * tall
        pan = world.shake * world.width_px * np.sin(index * dt * 1.7) / 1.7
        foot = np.column_stack([place[:, 0] + pan, place[:, 1] * 0.8 * world.height_px])
        gait = 1 + 0.12 * np.sin(index * dt * 12 + ids)
        half = (height * wide * gait / 2)[:, None]
        boxes = np.hstack([foot[:, :1] - half, foot[:, 1:] - height[:, None],
                           foot[:, :1] + half, foot[:, 1:]])  # fmt: skip
        screens = np.column_stack(
            [posts[:, 0] + pan, np.zeros(len(posts)), posts[:, 1] + pan,
             np.full(len(posts), 0.75 * world.height_px)]
        )  # fmt: skip
        seen = visible(boxes, screens, world)
        shown = seen >= 0.1
        truth.append((index, ids[shown], boxes[shown], seen[shown]))
        # what the detector says
        flip = rng.random(n)
        missing = np.where(missing, flip > dt / 0.15, flip < world.miss * dt / 0.15)
        error = error * np.exp(-dt / 0.3) + rng.normal(0, 1, (n, 4)) * np.sqrt(
            1 - np.exp(-dt / 0.15)
        )
        sure = rng.random(n) < np.clip((seen - 0.15) / 0.5, 0, 1)
        hit = sure & ~missing & (seen > 0.1)
        size = np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))[:, None]
        noisy = boxes + size * world.jitter * (error + rng.normal(0, 1, (n, 4))) / np.sqrt(2)
        score = np.clip(rng.normal(0.55 + 0.4 * seen, 0.12), 0.05, 0.99)
        ghosts = ghosts[rng.random(len(ghosts)) < np.exp(-dt / 0.5)]
        more = rng.poisson(world.ghosts * dt / 0.5)
        at = rng.uniform(0.4, 1.1, more)
        tall_px = 0.42 * world.height_px * at**1.5
        x, y = rng.uniform(0, world.width_px, more), at * 0.8 * world.height_px
        strength = rng.uniform(0.2, 0.85, more)
        new = np.column_stack([x - 0.2 * tall_px, y - tall_px, x + 0.2 * tall_px, y, strength])
        ghosts = np.vstack([ghosts, new])
        blink = rng.random(len(ghosts)) < 0.8
        trembling = ghosts[blink, :4] + rng.normal(0, 2, (int(blink.sum()), 4))
        all_boxes = np.vstack([noisy[hit], trembling])
        all_boxes[:, 2:] = np.maximum(all_boxes[:, 2:], all_boxes[:, :2] + 1)
        scores = np.concatenate([score[hit], ghosts[blink, 4]])
        all_boxes, scores = habits(all_boxes, scores, int(hit.sum()), world, habit)
        frame = Frame.unseen(index, index * dt, width_px=world.width_px, height_px=world.height_px)
        steps.append((frame, Detections(all_boxes, scores, np.zeros(len(scores), int))))
        # the world goes on
        speed = np.clip(speed + rng.normal(0, 0.25, n) * np.sqrt(dt), -1.1, 1.1)
        drift = 0.98 * drift + rng.normal(0, 0.02, n) * np.sqrt(dt)
        place[:, 0] += speed * height * dt
        place[:, 1] = np.clip(place[:, 1] + drift * dt, 0.35, 1.15)
        gone = (place[:, 0] < -0.1 * world.width_px) | (place[:, 0] > 1.1 * world.width_px)
        for i in np.flatnonzero(gone):
            side = rng.choice([0, 1])
            place[i] = (side * 1.16 - 0.08) * world.width_px, rng.uniform(0.4, 1.1)
            speed[i] = (1 - 2 * side) * rng.uniform(0.25, 0.9)
            tall[i], wide[i] = rng.uniform(0.9, 1.1), rng.uniform(0.33, 0.45)
            ids[i], next_id = next_id, next_id + 1
    counts = [len(i) for _, i, _, _ in truth]
    frames = np.repeat([index for index, *_ in truth], counts)
    table = TrackTable(
        frames=frames, times_s=frames * dt, ids=np.concatenate([t[1] for t in truth]),
        boxes_xyxy=np.concatenate([t[2] for t in truth]), labels=np.zeros(len(frames), int),
        visibility=np.concatenate([t[3] for t in truth]),
    )  # fmt: skip
    return table, steps


def habits(
    boxes: np.ndarray, scores: np.ndarray, num_real: int, world: World, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and scores after slips, doubles and suppression; the first ``num_real`` are people."""
    size = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))[:, None]
    slip = rng.random(len(boxes)) < world.slips
    boxes = boxes + slip[:, None] * size * rng.normal(0, 3 * world.jitter, boxes.shape)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    twice = np.flatnonzero(rng.random(num_real) < world.doubles)
    centre = (boxes[twice, :2] + boxes[twice, 2:]) / 2 + size[twice] * rng.normal(
        0, 0.2, (len(twice), 2)
    )
    half = (boxes[twice, 2:] - boxes[twice, :2]) / 2 * rng.uniform(0.65, 1.3, (len(twice), 2))
    second = np.clip(scores[twice] - np.abs(rng.normal(0, 0.2, len(twice))), 0.05, 1)
    boxes = np.vstack([boxes, np.hstack([centre - half, centre + half])])
    scores = np.concatenate([scores, second])
    order = np.argsort(-scores, kind="stable")
    boxes, scores = boxes[order], scores[order]
    overlap, stays = iou(boxes, boxes) > world.suppress_iou, np.ones(len(boxes), bool)
    for row in range(len(boxes)):
        if stays[row]:
            stays[row + 1 :] &= ~overlap[row, row + 1 :]
    return boxes[stays], scores[stays]


def visible(boxes: np.ndarray, screens: np.ndarray, world: World) -> np.ndarray:
    """Share of each box that is in the picture and not behind a nearer one or a post."""
    size = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1e-9)
    picture = np.array([[0, 0, world.width_px, world.height_px]])
    inside = intersection(boxes, picture)[:, 0] / size
    nearer = boxes[None, :, 3] > boxes[:, None, 3]
    hidden = (intersection(boxes, boxes) * nearer).max(axis=1, initial=0) / size
    behind = boxes[:, 3] < 0.75 * world.height_px
    hidden = np.maximum(hidden, behind * intersection(boxes, screens).max(axis=1, initial=0) / size)
    return np.clip(inside - hidden, 0, 1)
