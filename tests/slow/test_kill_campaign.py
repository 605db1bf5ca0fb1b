"""A few kills of every kind; ``benchmarks/kill_campaign.py`` does hundreds of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).parents[2] / "benchmarks" / "kill_campaign.py"
JOBS = (
    "data import",
    "data audit --fix",
    "data split",
    "data export yolo",
    "data prelabel",
    "train",
)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("job", JOBS)
def test_a_killed_job_ends_as_an_undisturbed_one(job: str) -> None:
    words = [sys.executable, str(CAMPAIGN), "--kills", "4", job]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert found["unequal"] == []
    assert found["kills"] >= 4
    assert done.returncode == 0, done.stderr
