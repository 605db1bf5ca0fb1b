"""Fixtures for all tests: the shared real data, and random state that never leaks."""

import faulthandler
import os
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# No test depends on how busy a machine is: no deadlines, no patience for slow examples.
settings.register_profile("vodkit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("vodkit")

CHECKOUT = Path(__file__).parent.parent
SHARED_DATA = CHECKOUT.parent / "shared" / "data"
LAST_WORDS = "VODKIT_TESTS_LAST_WORDS"
"""the folder in which each worker process says where it was when something killed it"""
RUNNER = re.compile(r"[/\\](_pytest|pluggy|xdist|execnet)[/\\]")


@pytest.hookimpl(trylast=True)  # pytest's own faulthandler begins before it
def pytest_configure(config: pytest.Config) -> None:
    """Last words of workers go into files."""
    if hasattr(config, "workerinput"):
        path = Path(os.environ[LAST_WORDS]) / config.workerinput["workerid"]
        faulthandler.enable(file=path.open("w", encoding="utf-8"))
    else:
        os.environ[LAST_WORDS] = tempfile.mkdtemp(prefix="vodkit-tests-")


collect_ignore_glob = [
    "*conftest.py",
    "check_fiftyone.py",
]  # as a doctest, one would hide the next of that name
ABSENT = re.compile(r"\b(GPU|camera|root)\b|\.\./shared")
"""what CI may lack: devices, the real data, and either root's rights or their absence"""


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """In CI, a test may be skipped only for what CI cannot have."""
    if hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    if os.environ.get("CI") == "true" and report.skipped and not ABSENT.search(reason):
        report.outcome, report.longrepr = "failed", f"in CI this may not be skipped: {reason}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """One test."""
    outcome = yield
    refuse_skip(outcome.get_result())  # type: ignore[attr-defined]


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    """A file of tests."""
    outcome = yield
    refuse_skip(outcome.get_result())  # type: ignore[attr-defined]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """They are told at the end, where a log that is cut short has them still."""
    for path in sorted(Path(os.environ[LAST_WORDS]).iterdir()):
        words = path.read_text(encoding="utf-8").partition("\nExtension modules")[0]
        own = [line for line in words.splitlines() if not RUNNER.search(line)]
        if own:
            terminalreporter.section(f"last words of {path.name}")
            terminalreporter.write_line("\n".join(own))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Nothing is left behind."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ[LAST_WORDS], ignore_errors=True)


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
