"""``vodkit train --appearance``: labelled tracks in, a head for appearance out."""

from collections.abc import Sequence
from contextlib import ExitStack
from math import isfinite
from pathlib import Path

from vodkit.cli.bars import Show, bar
from vodkit.cli.terminal import say, say_json, say_next
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
    from vodkit.detect.models import find_card
    from vodkit.ground import settings
    from vodkit.train.appearance import train_appearance
    from vodkit.train.appearance_data import AppearanceSettings

    wanted = settings.load(AppearanceSettings, toml=settings_file, words=values)
    find_card(wanted.model)  # a wrong name is refused before data is read
    with ExitStack() as bars:
        shown: dict[str, Show] = {}

        def watch(what: str, done: int, total: int) -> None:
            if as_json:
                return
            if what not in shown:
                bars.close()
                shown[what] = bars.enter_context(bar(what, unit="", transient=True))
            shown[what](done, total)

        result = train_appearance(wanted, overwrite=overwrite, watch=watch)
    if as_json:
        say_json(result.to_json())
        return
    on = "tracks it did not learn from" if result.held_out else "the tracks it learned from"
    say(f"{result.checkpoint}: {result.num_tracks} tracks, {result.seconds:.0f} s; on {on}:")
    for name, seen in (("features as they are", result.raw), ("head", result.head)):
        say(f"  {name:20}  AUC {_shown(seen.auc)}, rank-1 {_shown(seen.rank1)}")
    model = wanted.model
    given = ["--model", model, "--appearance", str(result.checkpoint)]
    say_next("vodkit", "track", "my_video.mp4", *given)
