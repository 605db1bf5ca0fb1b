"""``vodkit train --appearance``: labelled tracks in, a head for appearance out."""

import json
from collections.abc import Sequence
from math import isfinite
from pathlib import Path

from vodkit.ground.errors import SettingsError


def refuse(given: Sequence[tuple[str, object]]) -> None:
    """SettingsError for options of ``vodkit train`` that an appearance head does not have."""
    wrong = [name for name, value in given if value]
    if wrong:
        raise SettingsError(f"--appearance does not go with {', '.join(wrong)}; see docs/track.md")


def _shown(value: float) -> str:
    return f"{value:.3f}" if isfinite(value) else "–"  # noqa: RUF001 - as in tables


def train_head(
    values: Sequence[str], settings_file: Path | None, *, overwrite: bool, as_json: bool
) -> None:
    """Train a head with these ``name=value`` words, and say how good it is."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress

    from vodkit.ground import settings
    from vodkit.train.appearance import train_appearance
    from vodkit.train.appearance_data import AppearanceSettings

    wanted = settings.load(AppearanceSettings, toml=settings_file, words=values)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    hidden = as_json or not console.is_terminal
    with Progress(*columns, console=console, disable=hidden, transient=True) as bar:
        tasks = {what: bar.add_task(what, total=None) for what in ("videos", "head")}

        def watch(what: str, done: int, total: int) -> None:
            bar.update(tasks[what], completed=done, total=total)

        result = train_appearance(wanted, overwrite=overwrite, watch=watch)
    if as_json:
        print(json.dumps(result.to_json()))
        return
    on = "tracks it did not learn from" if result.held_out else "the tracks it learned from"
    print(f"{result.checkpoint}: {result.num_tracks} tracks, {result.seconds:.0f} s; on {on}:")
    for name, seen in (("features as they are", result.raw), ("head", result.head)):
        print(f"  {name:20}  AUC {_shown(seen.auc)}, rank-1 {_shown(seen.rank1)}")
    model = wanted.model
    print(f"next: vodkit track my_video.mp4 --model {model} --appearance {result.checkpoint}")
