"""Sparse pairs and assignments give what all pairs and whole matrices give."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from vodkit.metrics import assignment
from vodkit.metrics.assignment import best_pairs
from vodkit.metrics.detection import overlap
from vodkit.metrics.detection.overlap import overlapping


def boxes(rng, num):
    """Boxes of very different sizes, some far away, some on whole pixels, some without area."""
    corner = rng.uniform(-500, 500, (num, 2)) * rng.choice([1, 1, 100], (num, 1))
    size = rng.exponential(1, (num, 2)) * rng.choice([0, 1, 10, 1000], (num, 1))
    made = np.concatenate([corner, corner + size], axis=1)
    return made.round() if rng.random() < 0.3 else made


@pytest.mark.slow
@given(seed=st.integers(0, 10**6), extra_px=st.sampled_from([0.0, 1.0, 2.0]))
@settings(max_examples=60, deadline=None)
def test_overlapping_pairs_are_those_of_all_pairs(seed, extra_px):
    rng = np.random.default_rng(seed)
    num, others, num_keys = rng.integers(1, 40, 3)
    a, b = boxes(rng, num), boxes(rng, others)
    keys, other_keys = rng.integers(0, num_keys, num) * 7, rng.integers(0, num_keys, others) * 7
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    expected = ((high - low + extra_px) > 0).all(axis=2) & (keys[:, None] == other_keys[None, :])
    with pytest.MonkeyPatch.context() as patch:
        for few, portion in ((10**9, 1000), (-1, 3)):
            patch.setattr(overlap, "FEW_PAIRS", few)
            patch.setattr(overlap, "PORTION", portion)
            rows, columns = overlapping(keys, a, other_keys, b, extra_px=extra_px)
            assert np.array_equal(np.column_stack([rows, columns]), np.argwhere(expected))


@given(seed=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_connected_parts_have_the_optimum_of_the_whole(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 12, 2).tolist())
    matrix = np.where(rng.random(shape) < 0.3, rng.random(shape) + 0.01, 0)
    rows, columns = np.nonzero(matrix)
    best = matrix[linear_sum_assignment(-matrix)].sum()
    with pytest.MonkeyPatch.context() as patch:
        for dense in (10**6, 0):
            patch.setattr(assignment, "DENSE", dense)
            chosen = best_pairs(rows, columns, matrix[rows, columns], shape)
            assert matrix[rows[chosen], columns[chosen]].sum() == pytest.approx(best)
            assert len(np.unique(rows[chosen])) == len(np.unique(columns[chosen])) == len(chosen)
