"""A few kills of every kind; ``benchmarks/kill_campaign.py`` does hundreds of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).parents[2] / "benchmarks" / "kill_campaign.py"
# The last two import torch and run networks at each start.
JOBS = {
    "data import": 4,
    "data audit --fix": 4,
    "data split": 4,
    "data export yolo": 4,
    "data prelabel": 2,
    "train": 2,
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("job", "kills"), JOBS.items(), ids=JOBS)
def test_a_killed_job_ends_as_an_undisturbed_one(job: str, kills: int) -> None:
    words = [sys.executable, str(CAMPAIGN), "--kills", str(kills), job]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert found["unequal"] == []
    assert found["kills"] >= kills
    assert done.returncode == 0, done.stderr
