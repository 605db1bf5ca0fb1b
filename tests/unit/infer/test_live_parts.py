"""The files of a live run: which there are, in which order, and that nobody mixes them."""

from pathlib import Path

import pytest

from vodkit.ground import ledger
from vodkit.ground.errors import InputError
from vodkit.ground.records import Dataset
from vodkit.ground.runs import parts_in, predictions_of
from vodkit.infer.folder import RunFolder
from vodkit.infer.live import _Files
from vodkit.infer.settings import InferSettings, RollSettings
from vodkit.metrics.prediction_files import read_predictions

NUMBERS = (9999, 10000, 2)


def run_of(folder: Path, numbers: tuple[int, ...]) -> Path:
    for name in ("predictions.jsonl", *(f"predictions-{n:04d}.jsonl" for n in numbers)):
        (folder / name).write_text('{"vodkit": "predictions"}\n')
        ledger.record(folder / name)
    (folder / "predictions-mine.jsonl").write_text("not of the run")
    return folder


def test_parts_come_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    """A week in files of a minute has more than four digits; sorted as words, 10000 was lost."""
    run_of(tmp_path, NUMBERS)
    names = [path.stem.removeprefix("predictions") for path in parts_in(tmp_path)]
    assert names == ["", "-0002", "-9999", "-10000"]
    files = _Files(RunFolder(tmp_path), RollSettings(roll_s=60), InferSettings(), resume=True)
    assert files._number == 10000


def test_a_folder_with_parts_does_not_pass_for_its_first_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has 4 files.* of a live run; give one .*-0002\.jsonl"):
        predictions_of(run_of(tmp_path, NUMBERS))
    with pytest.raises(InputError, match="has 4 files"):
        read_predictions([tmp_path], Dataset(classes=("fly",), videos=()))
    part = tmp_path / "predictions-0002.jsonl"
    assert predictions_of(part) == part


def test_overwrite_leaves_no_older_part_nor_what_was_made_of_it(tmp_path: Path) -> None:
    run_of(tmp_path, NUMBERS)
    for name in ("predictions.mot.txt", "predictions-0002.csv", "annotated.mp4"):
        (tmp_path / name).write_text("old")
        ledger.record(tmp_path / name)
    RunFolder(tmp_path).prepare(InferSettings(), overwrite=True)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [ledger.NAME, "predictions-mine.jsonl", "settings.toml"]
