"""CSV files and their descriptions, read as CSV on the Web says."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from vodkit.formats.table import read_dataset
from vodkit.ground.csv_tables import COLUMNS, write_csv
from vodkit.ground.errors import OutputError
from vodkit.ground.text import csv_rows
from vodkit.infer.exports import CSV_COLUMNS, export
from vodkit.report.counting import COLUMNS as COUNTED

GOLDEN = Path(__file__).parents[2] / "golden"
TYPES = {
    "nonNegativeInteger": re.compile(r"\d+"),
    "integer": re.compile(r"-?\d+"),
    "double": re.compile(r"-?\d+(\.\d+)?(e-?\d+)?"),
    "string": re.compile(r".*"),
}


def described(path: Path) -> dict[str, Any]:
    """The metadata at the default place of the recommendation: the name and ``-metadata.json``."""
    return json.loads(path.with_name(f"{path.name}-metadata.json").read_text(encoding="utf-8"))


def require_described(path: Path) -> int:
    """Every cell is of the type of its column, or empty (null); the number of rows."""
    found, (titles, *rows) = described(path), csv_rows(path.read_text(encoding="utf-8"))
    assert found["@context"] == "http://www.w3.org/ns/csvw"
    assert found["url"] == path.name
    columns = found["tableSchema"]["columns"]
    assert [one["titles"] for one in columns] == titles
    for row in rows:
        for cell, column in zip(row, columns, strict=True):
            kind = column["datatype"]
            form = re.compile(kind["format"]) if isinstance(kind, dict) else TYPES[kind]
            assert not cell or form.fullmatch(cell), (column["name"], cell)
    return len(rows)


def test_the_export_of_a_run_is_described(tmp_path: Path) -> None:
    (predictions,) = sorted(GOLDEN.glob("predictions/*.jsonl"))[:1]
    path = tmp_path / "predictions.csv"
    written, errors, _ = export(predictions, {"csv": path})
    assert (written, errors) == ([path], [])
    boxes = read_dataset(predictions).videos[0].tracks
    assert boxes is not None
    assert 0 < require_described(path) <= len(boxes)


@pytest.mark.parametrize("columns", [CSV_COLUMNS, COUNTED, tuple(COLUMNS)])
def test_every_column_has_a_type_and_a_meaning(columns: Sequence[str], tmp_path: Path) -> None:
    cells: Iterable[Iterable[object]] = [["1" for _ in columns]]
    write_csv(tmp_path / "a.csv", columns, cells)
    assert require_described(tmp_path / "a.csv") == 1
    assert all(
        one["dc:description"] for one in described(tmp_path / "a.csv")["tableSchema"]["columns"]
    )
    with pytest.raises(KeyError):
        write_csv(tmp_path / "b.csv", ["colour"], [])


def test_a_file_of_the_user_beside_a_table_stays(tmp_path: Path) -> None:
    (tmp_path / "a.csv-metadata.json").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError):
        write_csv(tmp_path / "a.csv", ["frame"], [[1]])
    assert (tmp_path / "a.csv-metadata.json").read_text(encoding="utf-8") == "mine"
