"""Weights & Biases and Comet as loggers of a training (extras ``wandb`` and ``comet``).

Without a key (``WANDB_API_KEY`` or ``WANDB_MODE=online``; ``COMET_API_KEY``) both write into the
run folder, and nothing leaves the machine; ``wandb sync`` and ``comet upload`` send it later. Code,
git state, system statistics and the output of the terminal are not recorded.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vodkit.ground import ledger
from vodkit.ground.errors import OutputError, needs
from vodkit.ground.runs import make_folder

PROJECT = "vodkit"
_HINT = "--resume continues, without loggers if need be"


class WandB:
    """A run of the project ``vodkit``; offline in ``wandb/`` of the run folder."""

    def __init__(
        self, folder: Path, settings: Mapping[str, str], *, mark: str = "", epochs: int = 0
    ) -> None:
        """``settings`` become its configuration; ``mark`` is the id of the run to continue.

        Epochs after ``epochs`` that it has already are logged again at their own steps.
        """
        del epochs
        wandb: Any = import_wandb()
        ledger.claim(make_folder(folder) / "wandb")
        mode = os.environ.get("WANDB_MODE") or (
            "online" if os.environ.get("WANDB_API_KEY") else "offline"
        )
        with _answering("Weights & Biases", wandb.errors.Error):
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=folder.resolve().name,
                id=mark or None,
                resume="allow" if mark and mode == "online" else None,
                dir=str(folder),
                config=dict(settings),
                mode=mode,
                settings=wandb.Settings(
                    silent=True,
                    console="off",
                    save_code=False,
                    disable_git=True,
                    x_disable_stats=True,
                    x_disable_meta=True,
                ),
            )
        self.mark = str(self._run.id)
        self._error = wandb.errors.Error

    def write(self, row: Mapping[str, float], epoch: int) -> None:
        """All numbers of an epoch, at its step."""
        with _answering("Weights & Biases", self._error):
            self._run.log(dict(row), step=epoch)

    def close(self, *, failed: bool) -> None:
        """End the run, with exit code 1 where it failed."""
        with _answering("Weights & Biases", self._error):
            self._run.finish(exit_code=int(failed))


class Comet:
    """An experiment of the project ``vodkit``; offline as an archive in ``comet/``."""

    def __init__(
        self, folder: Path, settings: Mapping[str, str], *, mark: str = "", epochs: int = 0
    ) -> None:
        """``settings`` become parameters; ``mark`` is the key of the experiment to continue."""
        del epochs
        comet: Any = import_comet()
        quiet: dict[str, Any] = dict.fromkeys(
            ("log_code", "log_graph", "log_git_metadata", "log_git_patch", "log_env_details",
             "auto_param_logging", "auto_metric_logging", "auto_output_logging",
             "parse_args"), False,
        )  # fmt: skip
        quiet |= {"display_summary_level": 0}
        if not os.environ.get("COMET_API_KEY"):
            place = make_folder(folder) / "comet"
            ledger.claim(place)
            make_folder(place)
            quiet |= {"offline_directory": str(place)}
            begin, again = comet.OfflineExperiment, comet.ExistingOfflineExperiment
        else:
            begin, again = comet.Experiment, comet.ExistingExperiment
        with _answering("Comet", Exception):
            if mark:
                self._run = again(previous_experiment=mark, **quiet)
            else:
                project = os.environ.get("COMET_PROJECT_NAME", PROJECT)
                self._run = begin(project_name=project, **quiet)
                self._run.set_name(folder.resolve().name)
                self._run.log_parameters(dict(settings))
        self.mark = str(self._run.get_key())

    def write(self, row: Mapping[str, float], epoch: int) -> None:
        """Metrics of an epoch."""
        with _answering("Comet", Exception):
            self._run.log_metrics(dict(row), step=epoch, epoch=epoch)

    def close(self, *, failed: bool) -> None:
        """Write or send everything, tagged ``failed`` where it failed."""
        with _answering("Comet", Exception):
            if failed:
                self._run.add_tag("failed")
            self._run.end()


@contextmanager
def _answering(name: str, kinds: Any) -> Iterator[None]:
    """Within, what the service refuses is one line; interrupts pass."""
    try:
        yield
    except kinds as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise OutputError(f"{said}; {_HINT}", path=name) from error


def import_wandb() -> Any:
    """The client; SettingsError where it is not installed."""
    with needs("journals has wandb, which needs: pip install 'vodkit[wandb]'"):
        import wandb
    return wandb


def import_comet() -> Any:
    """The client; SettingsError where it is not installed."""
    os.environ.setdefault("COMET_LOGGING_CONSOLE", "ERROR")
    with needs("journals has comet, which needs: pip install 'vodkit[comet]'"):
        import comet_ml
    return comet_ml
