"""An interval does not leave what its number can be."""

import numpy as np
import pytest

from vodkit.metrics.bootstrap import interval


@pytest.mark.slow
def test_a_recentred_interval_is_cut_at_the_limits() -> None:
    drawn = np.linspace(0.3, 0.7, 101)
    free = interval(0.1, drawn, num_units=5, recentre=True)
    cut = interval(0.1, drawn, num_units=5, recentre=True, limits=(0.0, 1.0))
    assert free is not None
    assert cut is not None
    assert free.low < 0
    assert cut.low == 0.0
    assert cut.high == free.high
