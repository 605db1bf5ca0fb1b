"""Weights & Biases and Comet with their real clients, offline."""

import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from vodkit.train.loggers import JOURNALS

pytestmark = pytest.mark.slow
SETTINGS = {"lr": "0.002", "data": "flies.json"}
ROWS = [{"loss": 2.0, "AP": 0.25}, {"loss": 1.0, "AP": 0.5}]


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "COMET_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))


def log_records(data: bytes) -> Iterator[bytes]:
    """Records of a file of W&B: a LevelDB log after a header of 7 bytes."""
    at, whole = 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in {1, 4}:  # whole, or the last part
            yield whole
            whole = b""


SESSION = """
import sys
from pathlib import Path
from vodkit.train.loggers import JOURNALS
folder, mark, epoch, settings, row = sys.argv[1:]
journal = JOURNALS["wandb"](Path(folder), eval(settings), mark=mark, epochs=int(epoch) - 1)
journal.write(eval(row), int(epoch))
journal.close(failed=epoch == "1")
print(journal.mark)
"""


def session(folder: Path, *, mark: str = "", epoch: int) -> str:
    """A process of its own, as a training that is resumed; its mark."""
    words = [str(folder), mark, str(epoch), str(SETTINGS), str(ROWS[epoch - 1])]
    done = subprocess.run(
        [sys.executable, "-c", SESSION, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


def test_wandb_keeps_an_offline_run_in_the_folder(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2 as records

    mark = session(tmp_path / "run", epoch=1)
    assert session(tmp_path / "run", mark=mark, epoch=2) == mark
    seen: dict[int, dict[str, float]] = {}
    exits, config = [], {}
    for file in sorted((tmp_path / "run" / "wandb").glob(f"offline-run-*/run-{mark}.wandb")):
        for data in log_records(file.read_bytes()):
            record = records.Record()
            record.ParseFromString(data)
            kind = record.WhichOneof("record_type")
            if kind == "history":
                items = record.history.item
                named = {i.key or i.nested_key[0]: json.loads(i.value_json) for i in items}
                seen[int(named["_step"])] = {name: named[name] for name in ROWS[0]}
            if kind == "exit":
                exits.append(record.exit.exit_code)
            if kind == "run":
                config |= {i.key: json.loads(i.value_json) for i in record.run.config.update}
    assert seen == {1: ROWS[0], 2: ROWS[1]}
    assert exits == [1, 0]
    assert SETTINGS.items() <= config.items()


def test_comet_keeps_an_archive_in_the_folder(tmp_path: Path) -> None:
    pytest.importorskip("comet_ml")
    first = JOURNALS["comet"](tmp_path / "run", SETTINGS)
    first.write(ROWS[0], 1)
    first.close(failed=True)
    again = JOURNALS["comet"](tmp_path / "run", SETTINGS, mark=first.mark, epochs=1)
    assert again.mark == first.mark
    again.write(ROWS[1], 2)
    again.close(failed=False)
    lines = []
    for archive in sorted((tmp_path / "run" / "comet").glob("*.zip")):
        with zipfile.ZipFile(archive) as file:
            lines += [json.loads(line) for line in file.read("messages.json").decode().splitlines()]
    metrics = [one["payload"]["metric"] for one in lines if one["type"] == "metric_msg"]
    seen = {
        (one["metricName"], one["step"]): float(one["metricValue"])
        for one in metrics
        if one["metricName"] in ROWS[0]
    }
    assert seen == {
        (name, step): value for step, row in enumerate(ROWS, 1) for name, value in row.items()
    }
