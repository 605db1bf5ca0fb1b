"""Predictions made ready for correction by hand: the least certain tracks first.

A person who corrects predictions has little time; it is best spent where the model doubts. Tracks
are numbered anew in the order of doubt, and labelling tools list them in that order.
"""

from dataclasses import replace

import numpy as np

from vodkit.data.settings import PrelabelSettings
from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.records import NO_ID, State, TrackTable


def doubts(table: TrackTable) -> tuple[IntArray, FloatArray]:
    """Track ids (K,) and how doubtful each is (K,), 0 to 1, the most doubtful first.

    Half of the doubt is one minus the median score, half is the share of boxes that no detection
    supports.
    """
    ids = np.unique(table.ids[table.ids != NO_ID])
    values = []
    for track_id in ids:
        rows = table.ids == track_id
        seen = rows & (table.states == State.OBSERVED)
        score = float(np.median(table.scores[seen])) if seen.any() else 0.0
        values.append((1 - score) / 2 + (1 - seen.sum() / rows.sum()) / 2)
    order = np.argsort(-np.array(values), kind="stable") if len(ids) else np.empty(0, np.int64)
    return ids[order], np.array(values)[order]


def for_correction(table: TrackTable, settings: PrelabelSettings | None = None) -> TrackTable:
    """The tracks worth correcting, renumbered from 1 in the order of doubt."""
    chosen = settings or PrelabelSettings()
    rows = np.ones(len(table), np.bool_) if chosen.hidden else table.states != State.PREDICTED
    kept = table[rows & (table.ids != NO_ID)]
    ids, counts = np.unique(kept.ids, return_counts=True)
    kept = kept[np.isin(kept.ids, ids[counts >= chosen.shortest])]
    ranked, _ = doubts(kept)
    places = {int(track_id): place for place, track_id in enumerate(ranked, 1)}
    renumbered = replace(kept, ids=np.array([places[int(i)] for i in kept.ids], np.int64))
    return replace(renumbered, ignore=_unsure(renumbered, chosen.unsure))


def _unsure(table: TrackTable, least: float) -> BoolArray:
    """Rows (R,) of tracks whose median score, over the boxes that were seen, is below ``least``."""
    out = table.ignore.copy()
    for track_id in np.unique(table.ids):
        rows = table.ids == track_id
        seen = rows & (table.states == State.OBSERVED)
        out[rows] |= float(np.median(table.scores[seen if seen.any() else rows])) < least
    return out
