"""Where the numbers of a training go besides ``log.csv``: TensorBoard and MLflow, where asked for.

What they show is what the file has: one row an epoch, at the epoch's number.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from vodkit.errors import SettingsError
from vodkit.lookup import pick

EXPERIMENT = "vodkit"


class Journal(Protocol):
    """Takes note of epochs."""

    def write(self, row: Mapping[str, float], epoch: int) -> None:
        """The numbers of an epoch by name; the last epoch may come again after a resume."""
        ...

    def close(self) -> None:
        """Everything is on disk, or sent."""
        ...


class TensorBoard:
    """Event files in ``tensorboard/`` of the run folder."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        """``settings`` are shown as text."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise _missing("tensorboard") from error
        writer: Any = SummaryWriter
        self._writer = writer(str(folder / "tensorboard"))
        lines = "\n".join(f"    {name} = {value}" for name, value in settings.items())
        self._writer.add_text("settings", lines)

    def write(self, row: Mapping[str, float], epoch: int) -> None:
        """Scalars."""
        for name, value in row.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()


class Mlflow:
    """A run of experiment ``vodkit``, where MLFLOW_TRACKING_URI says, or in the run folder."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        """``settings`` become the run's parameters."""
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise _missing("mlflow") from error
        own = f"sqlite:///{(folder / 'mlflow.db').absolute()}"
        client: Any = MlflowClient
        self._client = client(tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or own)
        known = self._client.get_experiment_by_name(EXPERIMENT)
        group = known.experiment_id if known else self._client.create_experiment(EXPERIMENT)
        self._run = self._client.create_run(group, run_name=folder.name).info.run_id
        for name, value in settings.items():
            self._client.log_param(self._run, name, value)

    def write(self, row: Mapping[str, float], epoch: int) -> None:
        """Metrics."""
        for name, value in row.items():
            self._client.log_metric(self._run, name, value, step=epoch)

    def close(self) -> None:
        """End the run."""
        self._client.set_terminated(self._run)


JOURNALS: dict[str, Callable[[Path, Mapping[str, str]], Journal]] = {
    "tensorboard": TensorBoard,
    "mlflow": Mlflow,
}


def open_journals(
    names: Sequence[str], folder: Path, settings: Mapping[str, str]
) -> tuple[Journal, ...]:
    """The journals with these names; SettingsError where one's extra is not installed."""
    return tuple(pick(JOURNALS, name, "journal")(folder, settings) for name in names)


def _missing(name: str) -> SettingsError:
    return SettingsError(f"journals has {name}, which needs: pip install 'vodkit[{name}]'")
