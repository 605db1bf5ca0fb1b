"""The best one-to-one choice among pairs, in time that grows with the pairs, not with all pairs."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from vodkit.ground.arrays import BoolArray, FloatArray, IntArray

DENSE = 40_000
"""entries of a matrix of scores up to which it is assigned as a whole"""


def best_pairs(
    rows: IntArray, columns: IntArray, scores: FloatArray, shape: tuple[int, int]
) -> IntArray:
    """Places (M,) of the pairs of the one-to-one choice with the largest sum of scores.

    Args:
        rows: (P,) below ``shape[0]``.
        columns: (P,) below ``shape[1]``; no pair of row and column stands twice.
        scores: (P,) above 0; every other pair has 0, and is never chosen.
        shape: of the matrix of scores.

    Returns:
        The choice of one Hungarian assignment of the whole matrix where that is small, as TrackEval
        makes it, and of one for each connected part where it is not. The sums are the same; of
        several choices with the same sum another one may be taken.
    """
    if not len(rows):
        return rows
    if shape[0] * shape[1] <= DENSE:
        return _assigned(rows, columns, scores, np.arange(len(rows)), shape)
    graph = coo_array((np.ones(len(rows)), (rows, columns + shape[0])), shape=(sum(shape),) * 2)
    part_of = connected_components(graph, directed=False)[1][rows]
    star = _is_star(part_of, rows, columns)
    best = np.lexsort((-scores, part_of))
    best = best[star[best]]
    chosen = [best[np.unique(part_of[best], return_index=True)[1]]]
    order = np.argsort(part_of, kind="stable")
    order = order[~star[order]]
    cuts = np.flatnonzero(np.diff(part_of[order])) + 1
    for places in np.split(order, cuts) if len(order) else []:
        known_rows, row = np.unique(rows[places], return_inverse=True)
        known_columns, column = np.unique(columns[places], return_inverse=True)
        small = (len(known_rows), len(known_columns))
        chosen.append(_assigned(row, column, scores[places], places, small))
    return np.sort(np.concatenate(chosen))


def _is_star(part_of: IntArray, rows: IntArray, columns: IntArray) -> BoolArray:
    """(P,) whether all pairs of a pair's connected part share a row, or all share a column."""
    star = np.zeros(len(rows), bool)
    for side in (rows, columns):
        order = np.lexsort((side, part_of))
        fresh = np.diff(part_of[order], prepend=-1) != 0
        others = ~fresh & (np.diff(side[order], prepend=-1) != 0)
        several = np.bincount(part_of[order], weights=others, minlength=part_of.max() + 1) > 0
        star |= ~several[part_of]
    return star


def _assigned(
    rows: IntArray,
    columns: IntArray,
    scores: FloatArray,
    places: IntArray,
    shape: tuple[int, int],
) -> IntArray:
    matrix, number = np.zeros(shape), np.full(shape, -1)
    matrix[rows, columns], number[rows, columns] = scores, places
    taken = number[linear_sum_assignment(-matrix)]
    return np.sort(taken[taken >= 0])
