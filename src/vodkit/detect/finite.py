"""Weights that are not finite, of which nothing can be computed, found before they are used."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import WeightsError

_MOST_NAMED = 3


def refuse_not_finite(broken: Iterable[str], path: Path) -> None:
    """WeightsError that names tensors which hold NaN or infinite values, if there are any."""
    names = list(broken)
    if names:
        named = ", ".join(names[:_MOST_NAMED]) + ", ..." * (len(names) > _MOST_NAMED)
        raise WeightsError(f"{path}: {len(names)} tensors hold NaN or infinite values: {named}")


def is_broken(values: FloatArray) -> bool:
    """Whether constants of a graph cannot be meant: NaN, or infinity among other numbers.

    A mask of zeros and infinities, or an infinity alone, is sound: it is how graphs leave out.

    >>> is_broken(np.array([0.5, np.inf])), is_broken(np.array([0, -np.inf]))
    (True, False)
    """
    finite = np.isfinite(values)
    if finite.all():
        return False
    return bool(np.isnan(values).any() or values[finite].any())


def bfloat16(bits: np.ndarray) -> FloatArray:
    """Numbers in the upper halves of float32, given as uint16."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
