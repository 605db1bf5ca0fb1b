"""Every number that eval gives for two small videos, as it was when it was last looked at.

A change of any of them is loud here; ``tests/golden/make.py`` writes them anew.
"""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="module")
def made() -> Any:
    spec = importlib.util.spec_from_file_location("golden_make", GOLDEN / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every number and word, with its place."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from leaves(one, f"{path}.{name}")
    elif isinstance(value, list):
        yield f"{path}.length", len(value)
        for place, one in enumerate(value):
            yield from leaves(one, f"{path}[{place}]")
    else:
        yield path, value


def test_every_number_is_what_it_was(made: Any) -> None:
    before = dict(leaves(json.loads((GOLDEN / "metrics.json").read_text(encoding="utf-8"))))
    now = dict(leaves(made.numbers()))
    assert now.keys() == before.keys()
    changed = {
        place: (value, now[place])
        for place, value in before.items()
        if now[place] != (pytest.approx(value, abs=2e-7) if isinstance(value, float) else value)
    }
    assert not changed
    assert sum(isinstance(value, float) for value in before.values()) > 1000


def test_the_files_are_those_that_the_recipe_makes(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made, "RUNS", tmp_path)
    whole = made.truth()
    made.write_runs(whole)
    for path in (GOLDEN / "predictions").iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
    assert made.read_dataset(GOLDEN / "truth.json") == made.read_dataset(
        _written(made, whole, tmp_path)
    )


def _written(made: Any, whole: Any, folder: Path) -> Path:
    made.write_dataset(whole, folder / "truth.json")
    return folder / "truth.json"
