"""Fixtures for all tests: the shared real data, and random state that never leaks."""

import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

CHECKOUT = Path(__file__).parent.parent
SHARED_DATA = CHECKOUT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real videos with truth; tests that need it skip where it is missing."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real data not here: ../shared/data is missing beside the checkout")
    return SHARED_DATA


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What ``tempfile`` makes goes where pytest cleans up."""
    before, tempfile.tempdir = tempfile.tempdir, str(tmp_path_factory.mktemp("scratch"))
    yield
    tempfile.tempdir = before


@pytest.fixture(autouse=True)
def _random_state_does_not_leak() -> Iterator[None]:
    """Each test starts from seed 0 and leaves the generators as they were."""
    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
    yield
    random.setstate(state)
    np.random.set_state(numpy_state)  # noqa: NPY002
