"""Stitching with looks: what motion leaves open, they decide; what they cannot tell, they leave."""

import numpy as np

from vodkit.ground.records import TrackTable
from vodkit.track.refine import RefineSettings, refine
from vodkit.track.tracklet_linking import StitchSettings

RATE = 10.0
ALONE = RefineSettings(stitch=StitchSettings(looks=0))


def scene(seed=0):
    """Two people side by side who are hidden for 1.5 s, and cross meanwhile; two who only pass.

    Each piece has an id of its own. Gives the table, and for each row who it is.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for f in range(80):
        if not 30 <= f < 45:
            after = f >= 45
            # where one went on straight, the other one comes out
            upper, lower = (200, 260) if not after else (260, 200)
            rows += [
                (f, 1 + 10 * after, 100 + 5 * f, upper),
                (f, 2 + 10 * after, 100 + 5 * f, lower),
            ]
        rows += [(f, 3, 900, 300), (f, 4, 1000, 300)]
    frames, ids, x, y = np.array(rows, float).T
    boxes = np.column_stack([x - 20, y - 100, x + 20, y]) + rng.normal(0, 0.5, (len(x), 4))
    table = TrackTable(
        frames=frames, times_s=frames / RATE, ids=ids, boxes_xyxy=boxes,
        labels=np.zeros(len(ids)), scores=np.full(len(ids), 0.9),
    )  # fmt: skip
    return table, table.ids % 10 - 1


def looks_of(people, own, seed=0):
    looks = np.zeros((len(people), 8))
    looks[:, 0] = 2
    looks[np.arange(len(people)), 1 + people] = own
    return looks + np.random.default_rng(seed).normal(0, 0.1, looks.shape)


def partner(result, first):
    """The way on of piece ``first``: 11 or 12, by where it is at the end."""
    own = result[(result.ids == first) & (result.frames == 79)]
    return None if len(own) == 0 else {260: 11, 200: 12}[round(float(own.boxes_xyxy[0, 3]), -1)]


def test_by_motion_alone_who_goes_straight_on_is_taken():
    table, _ = scene()
    result = refine(table, ALONE)
    assert (partner(result, 1), partner(result, 2)) == (12, 11)


def test_looks_find_out_that_they_crossed():
    table, people = scene()
    result = refine(table, looks=looks_of(people, own=1.0))
    assert (partner(result, 1), partner(result, 2)) == (11, 12)


def test_looks_that_tell_nothing_and_looks_that_are_unknown_change_nothing():
    table, people = scene()
    alone = refine(table, ALONE)
    for looks in (looks_of(people, own=0.0), np.zeros((len(table), 8)), np.zeros((len(table), 0))):
        np.testing.assert_array_equal(refine(table, looks=looks).ids, alone.ids)
