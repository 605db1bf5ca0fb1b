"""What people watch a training by: journals elsewhere, pictures, and the page at the end."""

import csv
import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vodkit.ground import ledger
from vodkit.ground.errors import OutputError, SettingsError
from vodkit.ground.settings import to_toml
from vodkit.report.training_page import TrainingPage
from vodkit.train.folder import LOG
from vodkit.train.loggers import EXPERIMENT, JOURNALS
from vodkit.train.loop import train
from vodkit.train.progress import Progress
from vodkit.train.settings import TrainSettings


def tiny(data: Path, out: Path, **other: Any) -> TrainSettings:
    return TrainSettings(
        data=str(data),
        out=str(out),
        model="yolox_nano",
        weights="random",
        width_px=32,
        height_px=32,
        batch_size=8,
        cache_views=1,
        still_iou=2.0,
        val_every=1,
        device="cpu",
        **other,
    )


def logged(out: Path) -> list[dict[str, float]]:
    with (out / LOG).open(encoding="utf-8", newline="") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


class Stop(Exception):  # noqa: N818
    """The moment at which a run is stopped."""


def stop_at(epoch: int) -> Any:
    def stop(progress: Progress) -> None:
        if progress.what == "step" and progress.epoch == epoch:
            raise Stop

    return stop


def stopped_and_gone_on_with(data: Path, out: Path, name: str) -> list[dict[str, float]]:
    """Killed in its third epoch, with a state of the first: the second comes again."""
    once = tiny(data, out, epochs=3, journals=(name,), save_every_s=1e9)
    with pytest.raises(Stop):
        train(replace(once, save_every_s=0.0), watch=stop_at(1))
    with pytest.raises(Stop):
        train(once, resume_run=True, watch=stop_at(2))
    train(once, resume_run=True)
    train(once, resume_run=True)  # has ended: nothing to write
    rows = logged(out)
    assert len(rows) == 3
    return rows


KILLED_AT_FIRST_STEP = """
import os, signal, sys
from pathlib import Path
from vodkit.ground import settings
from vodkit.train.loop import train
from vodkit.train.settings import TrainSettings
words = settings.load(TrainSettings, toml=Path(sys.argv[1]))
train(words, watch=lambda p: p.what == "step" and os.kill(os.getpid(), signal.SIGKILL))
"""


def kill_at_first_step(wanted: TrainSettings) -> None:
    """In a process of its own, by kill -9."""
    file = Path(wanted.out).with_suffix(".toml")
    file.write_text(to_toml(wanted))
    words = [sys.executable, "-c", KILLED_AT_FIRST_STEP, str(file)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.slow
def test_tensorboard_has_what_the_log_has_also_after_a_resume(
    square_data: Path, tmp_path: Path
) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    rows = stopped_and_gone_on_with(square_data, tmp_path, "tensorboard")
    seen = events.EventAccumulator(str(tmp_path / "tensorboard"))
    seen.Reload()
    for name in rows[0].keys() - {"epoch"}:
        points = [(event.step, event.value) for event in seen.Scalars(name)]
        assert points == [(row["epoch"], pytest.approx(row[name], rel=1e-4)) for row in rows], name
    train(tiny(square_data, tmp_path, epochs=1, journals=("tensorboard",)), overwrite=True)
    seen = events.EventAccumulator(str(tmp_path / "tensorboard"))
    seen.Reload()
    assert [event.step for event in seen.Scalars("loss")] == [1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the database that MLflow makes
def test_mlflow_has_them_too(
    square_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    rows = stopped_and_gone_on_with(square_data, tmp_path, "mlflow")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    group = client.get_experiment_by_name(EXPERIMENT)
    (run,) = client.search_runs([group.experiment_id])
    assert (run.info.status, run.data.params["lr"]) == ("FINISHED", "0.002")
    for name in ("loss", "ap"):
        history = [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]
        assert history == [(row["epoch"], pytest.approx(row[name], rel=1e-4)) for row in rows]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the database that MLflow makes
def test_mlflow_knows_that_a_training_without_a_state_was_killed(
    square_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before its first state, it starts over: its run there is not under way for ever.

    One of another folder may be.
    """
    mlflow = pytest.importorskip("mlflow")
    address = f"sqlite:///{tmp_path / 'server.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    once = tiny(square_data, tmp_path / "run", epochs=1, journals=("mlflow",), save_every_s=1e9)
    kill_at_first_step(once)
    client = mlflow.MlflowClient(tracking_uri=address)
    group = client.get_experiment_by_name(EXPERIMENT).experiment_id
    client.create_run(group, run_name="other", tags={"vodkit.folder": "elsewhere:/run"})
    train(once, resume_run=True)
    found = [(run.info.run_name, run.info.status) for run in client.search_runs([group])]
    assert sorted(found) == [("other", "RUNNING"), ("run", "FINISHED"), ("run", "KILLED")]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_server_that_does_not_answer_is_told_by_its_address(
    square_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    wanted = tiny(square_data, tmp_path, epochs=1, journals=("mlflow",))
    with pytest.raises(
        OutputError, match=r"^http://127\.0\.0\.1:9: MLflow: .*; --resume continues"
    ):
        train(wanted)
    train(replace(wanted, journals=()), resume_run=True)


@pytest.mark.slow
def test_a_journal_asked_for_after_a_stop_begins_with_the_first_epoch(
    square_data: Path, tmp_path: Path
) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    once = tiny(square_data, tmp_path, epochs=2, save_every_s=0.0)
    with pytest.raises(Stop):
        train(once, watch=stop_at(1))
    train(replace(once, journals=("tensorboard",)), resume_run=True)
    seen = events.EventAccumulator(str(tmp_path / "tensorboard"))
    seen.Reload()
    assert [event.step for event in seen.Scalars("loss")] == [1, 2]


@pytest.mark.parametrize("name", JOURNALS)
def test_a_journal_that_is_not_installed_says_how_to_get_it(
    name: str, square_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("mlflow", "torch.utils.tensorboard", "wandb", "comet_ml"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    wanted = tiny(square_data, tmp_path, journals=(name,))
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(SettingsError, match=rf"vodkit\[{name}\]"):
        train(wanted, overwrite=True)
    assert (tmp_path / "manifest.json").is_file()


def test_an_unknown_journal_is_refused_before_anything_begins(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="tensorboard"):
        tiny(tmp_path, tmp_path, journals=("tensorbord",))


@pytest.mark.slow
def test_the_page_has_curves_pictures_and_settings(square_data: Path, tmp_path: Path) -> None:
    page = TrainingPage(tmp_path, notes=["one recording only"])
    stale = tmp_path / "pictures" / "epoch-0099.webp"
    stale.parent.mkdir()
    stale.write_bytes(b"of an older run")
    ledger.record(stale)
    begun: list[Progress] = []

    def watch(progress: Progress) -> None:
        begun.append(progress)
        page(progress)

    settings = tiny(square_data, tmp_path, epochs=3, num_pictures=2)
    html = page.write(train(settings, watch=watch)).read_text(encoding="utf-8")
    names = sorted(path.name for path in (tmp_path / "pictures").glob("*.webp"))
    assert names == [f"epoch-{k:04d}.webp" for k in (1, 2, 3)]
    assert html.count("data:image/webp;base64,") == 2  # the first and the last
    assert html.count("<svg") == 2
    assert "one recording only" in html
    assert re.search(r"<th[^>]*>cache_views</th><td[^>]*>1</td>", html)
    shown = [one for progress in begun for one in progress.shown]
    assert len(shown) == 3 * 2
    assert {one.name for one in shown} == {"three, frame 0", "three, frame 7"}
    assert all(len(one.picture.boxes_xyxy) == 1 for one in shown)
    (told,) = [progress for progress in begun if progress.what == "parameters"]
    trained = {row.stage: row.trainable for row in told.parameters}
    assert trained["stage1"] == 0 < trained["head"]
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert [row["trainable"] for row in manifest["parameters"]] == list(trained.values())
    assert manifest["cached_views"] == 1
    assert "1 views of each picture" in html
    assert "Classes, last validation" in html
