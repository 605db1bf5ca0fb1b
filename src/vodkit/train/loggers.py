"""Where the numbers of a training go besides ``log.csv``: TensorBoard, MLflow, W&B, Comet.

What they show is what the file has: one row an epoch, at the epoch's number, also where a training
was stopped and gone on with.
"""

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from vodkit.ground import ledger
from vodkit.ground.errors import OutputError, needs
from vodkit.ground.lookup import pick
from vodkit.train.cloud_loggers import Comet, WandB, import_comet, import_wandb

EXPERIMENT = "vodkit"
TENSORBOARD = "tensorboard"
_HINT = "--resume continues, without loggers if need be"
_PLACE = "vodkit.folder"
"""the tag that tells on what machine, in which run folder, an MLflow run is made"""


class Journal(Protocol):
    """Takes note of epochs."""

    mark: str
    """what it takes to go on with it"""

    def write(self, row: Mapping[str, float], epoch: int) -> None:
        """The numbers of an epoch by name."""
        ...

    def close(self, *, failed: bool) -> None:
        """Everything is on disk, or sent; ``failed``: the training did not come to its end."""
        ...


class TensorBoard:
    """Event files in ``tensorboard/`` of the run folder."""

    mark = TENSORBOARD

    def __init__(
        self, folder: Path, settings: Mapping[str, str], *, mark: str = "", epochs: int = 0
    ) -> None:
        """``settings`` are shown as text. What is there of later ``epochs`` will come again."""
        writer: Any = _summary_writer()
        self._place = folder / TENSORBOARD
        with self._written():
            if not mark:
                ledger.remove_tree(self._place)
            before = set(self._place.glob("*"))
            self._writer = writer(str(self._place), purge_step=epochs + 1 if mark else None)
            made = {path.name for path in self._place.glob("*") if path not in before}
            ledger.record(self._place, *made)
            if not mark:
                lines = "\n".join(f"    {name} = {value}" for name, value in settings.items())
                self._writer.add_text("settings", lines)

    def write(self, row: Mapping[str, float], epoch: int) -> None:
        """Scalars."""
        with self._written():
            for name, value in row.items():
                self._writer.add_scalar(name, value, epoch)
            self._writer.flush()

    def close(self, *, failed: bool) -> None:
        """Close the event file."""
        del failed
        with self._written():
            self._writer.close()

    @contextmanager
    def _written(self) -> Iterator[None]:
        """Within, what the disk refuses (when it is full) is told as that."""
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"TensorBoard: {error.strerror}; {_HINT}", path=self._place
            ) from error


class Mlflow:
    """A run of experiment ``vodkit``, where MLFLOW_TRACKING_URI says, or in the run folder."""

    def __init__(
        self, folder: Path, settings: Mapping[str, str], *, mark: str = "", epochs: int = 0
    ) -> None:
        """``settings`` become the run's parameters; ``mark`` is the run to go on with.

        What it has of later ``epochs`` stays: nothing can be taken out of a run. A new run ends
        those of this folder that still seem to be under way.
        """
        del epochs
        own = f"sqlite:///{(folder / 'mlflow.db').absolute()}"
        client: Any = _mlflow_client()
        self._address = os.environ.get("MLFLOW_TRACKING_URI") or own
        self._known = 0
        with self._answering():
            self._client = client(tracking_uri=self._address)
            self._begin(folder, settings, mark)

    def _begin(self, folder: Path, settings: Mapping[str, str], mark: str) -> None:
        """A run of its own, or the one with this mark."""
        if mark:
            self.mark = mark
            history = self._client.get_metric_history(mark, "loss")
            self._known = max((one.step for one in history), default=0)
            self._client.update_run(mark, status="RUNNING")
            return
        known = self._client.get_experiment_by_name(EXPERIMENT)
        group = known.experiment_id if known else self._client.create_experiment(EXPERIMENT)
        place = f"{platform.node()}:{folder.resolve()}"
        # A training that was killed before its first state is not gone on with: it has ended
        for run in self._client.search_runs([group], "attributes.status = 'RUNNING'"):
            if run.data.tags.get(_PLACE) == place:
                self._client.set_terminated(run.info.run_id, status="KILLED")
        name = folder.resolve().name
        self.mark = self._client.create_run(group, run_name=name, tags={_PLACE: place}).info.run_id
        for name, value in settings.items():
            self._client.log_param(self.mark, name, value)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Within, what MLflow cannot do is told in one line (it has tried for minutes by then)."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            said = str(error).splitlines()[0]
            raise OutputError(f"MLflow: {said}; {_HINT}", path=self._address) from error

    def write(self, row: Mapping[str, float], epoch: int) -> None:
        """Metrics, all of an epoch at once; what a run has is not written again."""
        from mlflow.entities import Metric

        if epoch > self._known:
            now_ms = int(time.time() * 1000)
            metrics = [Metric(name, value, now_ms, epoch) for name, value in row.items()]
            with self._answering():
                self._client.log_batch(self.mark, metrics=metrics)

    def close(self, *, failed: bool) -> None:
        """End the run."""
        with self._answering():
            self._client.set_terminated(self.mark, status="FAILED" if failed else "FINISHED")


def _summary_writer() -> Any:
    with needs("journals has tensorboard, which needs: pip install 'vodkit[tensorboard]'"):
        from torch.utils.tensorboard import SummaryWriter
    return SummaryWriter


def _mlflow_client() -> Any:
    with needs("journals has mlflow, which needs: pip install 'vodkit[mlflow]'"):
        from mlflow import MlflowClient
    return MlflowClient


JOURNALS: dict[str, Callable[..., Journal]] = {
    "tensorboard": TensorBoard,
    "mlflow": Mlflow,
    "wandb": WandB,
    "comet": Comet,
}
_EXTRAS: dict[str, Callable[[], Any]] = {
    "tensorboard": _summary_writer,
    "mlflow": _mlflow_client,
    "wandb": import_wandb,
    "comet": import_comet,
}


def require_journals(names: Sequence[str]) -> None:
    """SettingsError where one's extra is not installed."""
    for name in names:
        pick(_EXTRAS, name, "journal")()


def open_journals(
    names: Sequence[str],
    folder: Path,
    settings: Mapping[str, str],
    *,
    marks: Mapping[str, str],
    epochs: int,
) -> dict[str, Journal]:
    """The journals with these names; those that have ``marks`` go on after so many epochs."""
    return {
        name: pick(JOURNALS, name, "journal")(
            folder, settings, mark=marks.get(name, ""), epochs=epochs
        )
        for name in names
    }
