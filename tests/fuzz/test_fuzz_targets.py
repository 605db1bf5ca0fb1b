"""The targets take their own seeds, and everything the campaigns ever found."""

from pathlib import Path

import pytest
from fuzz_targets import TARGETS

FOUND = Path(__file__).parent / "found"
FINDINGS = sorted(file for file in FOUND.rglob("*") if file.is_file())


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_taken(name: str) -> None:
    for seed in TARGETS[name].seeds():
        TARGETS[name].run(seed)
        TARGETS[name].run(seed[: len(seed) // 2])
    TARGETS[name].run(b"")


@pytest.mark.parametrize("file", FINDINGS, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_what_was_found_stays_mended(file: Path) -> None:
    TARGETS[file.parent.name].run(file.read_bytes())
