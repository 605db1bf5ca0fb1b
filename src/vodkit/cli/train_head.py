"""``vodkit train --appearance`` and ``--temporal``: heads on a detector that stays as it is."""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path

from vodkit.cli.bars import bars
from vodkit.cli.data_options import load
from vodkit.cli.terminal import say, say_json, say_next
from vodkit.ground.errors import SettingsError

_PAGES = {"--appearance": "docs/guides/track.md", "--temporal": "docs/guides/temporal.md"}


def refuse(head: str, given: Sequence[tuple[str, object]]) -> None:
    """SettingsError for options of ``vodkit train`` that a head does not have."""
    wrong = [name for name, value in given if value]
    if wrong:
        raise SettingsError(f"{head} does not go with {', '.join(wrong)}; see {_PAGES[head]}")


def _shown(value: float | None) -> str:
    return f"{value:.3f}" if value is not None and isfinite(value) else "–"  # noqa: RUF001


def train_appearance_head(
    values: Sequence[str], settings_file: Path | None, *, overwrite: bool, as_json: bool
) -> None:
    """Train an appearance head with these ``name=value`` words, and report how good it is."""
    from vodkit.detect.models import find_card
    from vodkit.ground import settings
    from vodkit.train.appearance import train_appearance
    from vodkit.train.appearance_data import AppearanceSettings

    wanted = settings.load(AppearanceSettings, toml=settings_file, words=values)
    find_card(wanted.model)  # a wrong name is refused before data is read
    load(Path(wanted.data))  # says what is skipped and converted
    with bars(quiet=as_json) as watch:
        result = train_appearance(wanted, overwrite=overwrite, watch=watch)
    if as_json:
        say_json(result.to_json())
        return
    on = "tracks it did not learn from" if result.held_out else "the tracks it learned from"
    say(f"{result.checkpoint}: {result.num_tracks} tracks, {result.seconds:.0f} s; on {on}:")
    for name, seen in (("features as they are", result.raw), ("head", result.head)):
        say(f"  {name:20}  AUC {_shown(seen.auc)}, rank-1 {_shown(seen.rank1)}")
    given = ["--model", wanted.model, "--appearance", str(result.checkpoint)]
    say_next("vodkit", "track", "my_video.mp4", *given)


def train_temporal_head(
    values: Sequence[str],
    settings_file: Path | None,
    *,
    overwrite: bool,
    as_json: bool,
    trials: int = 0,
) -> None:
    """Train a temporal head with these ``name=value`` words, and report how good it is.

    ``trials``: settings that are tried before.
    """
    from vodkit.detect.models import find_card
    from vodkit.ground import settings
    from vodkit.train.temporal import train_temporal
    from vodkit.train.temporal_data import TemporalSettings

    wanted = settings.load(TemporalSettings, toml=settings_file, words=values)
    find_card(wanted.model)
    load(Path(wanted.data))
    with bars(quiet=as_json) as watch:
        result = train_temporal(wanted, trials=trials, overwrite=overwrite, watch=watch)
    if as_json:
        say_json(result.to_json())
        return
    for number, line in enumerate(result.trials, 1):
        say(f"trial {number} of {len(result.trials)}: {line}")
    say(f"{result.checkpoint}: {result.num_frames} frames, {result.seconds:.0f} s")
    say(f"AP50 of {result.num_held_out} frames not learnt from, as they are and degraded:")
    for name in ("still", "links", "head"):
        clean, bad = (result.ap50[name + kind] for kind in ("", "_degraded"))
        say(f"  {name:6}  {_shown(clean)}  {_shown(bad)}")
    if result.worse_on:
        seen = (
            f"the head is worse than the detector alone on {' and '.join(result.worse_on)} frames"
        )
        say(f"warning: {seen}; do not use it, or train it on more labelled video of this kind")
    if not result.is_better:
        say("warning: the head is not better than --temporal links, which needs no training")
    given = ["--model", wanted.model, "--temporal", str(result.checkpoint)]
    say_next("vodkit", "track", "my_video.mp4", *given)
