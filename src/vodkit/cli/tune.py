"""``vodkit tune``: a tracker's settings from your own clips."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.cli import options

if TYPE_CHECKING:
    from vodkit.records import TrackTable
    from vodkit.track.tune import Clip


_CAUTION = {
    True: "measured on the clips it was searched on",
    False: "no labels: a hint, which agrees with HOTA only in part",
}


def tune(
    detections: list[Path] = typer.Argument(..., help="Files of `vodkit detect`, or run folders."),
    truth: Path = typer.Option(None, "--truth", help="Labels with ids; default: none are needed."),
    tracker: str = typer.Option("vodkit", "--tracker", "-t", help="Name of a tracker."),
    trials: int = typer.Option(50, "--trials", help="Settings to try."),
    seed: int = typer.Option(0, "--seed"),
    as_json: bool = options.JSON,
) -> None:
    """Search a tracker's settings on cached detections, by HOTA or without labels.

    Example: vodkit tune runs/plaza --truth labels.json --trials 100
    """
    from vodkit import runs
    from vodkit.formats.table import read_dataset
    from vodkit.track.tune import tune as run

    labels = read_dataset(truth) if truth else None
    known = {Path(v.source).stem: v.tracks for v in labels.videos} if labels else {}
    clips = [_clip(runs.predictions_of(path), known) for path in detections]
    found = run(tracker, clips, score=hota_of_seen, num_trials=trials, seed=seed)
    if as_json:
        facts = {"tracker": tracker, "settings": list(found.words), "score": found.score}
        print(json.dumps({**facts, "score_of_defaults": found.before, "trials": found.num_trials}))
        return
    measure = "HOTA" if labels else "forward-backward consistency"
    print(f"{measure}: {found.before:.4f} with the defaults, {found.score:.4f} with")
    print("  " + (" ".join(f"--set {word}" for word in found.words) or "the defaults: none better"))
    if found.words:
        print(f"  {_CAUTION[labels is not None]}; try it on a clip that you know")


def _clip(path: Path, known: "dict[str, TrackTable | None]") -> "Clip":
    from vodkit.errors import InputError
    from vodkit.formats.predictions import read_frames, read_header
    from vodkit.records import Detections, Frame, Tracks
    from vodkit.track.tune import Clip

    header = read_header(path)
    size = {"width_px": header.info.width_px, "height_px": header.info.height_px}
    steps = []
    for line in read_frames(path):
        if isinstance(line.found, Tracks):
            raise InputError(f"{path}: tracks; tuning replays detections (`vodkit detect`)")
        assert isinstance(line.found, Detections)
        steps.append((Frame.unseen(line.index, line.time_s, **size), line.found))
    stem = Path(header.source).stem
    if known and stem not in known:
        raise InputError(f"{path}: no labels for {stem!r}; labelled: {', '.join(sorted(known))}")
    return Clip(steps=steps, truth=known.get(stem))


def hota_of_seen(truth: "TrackTable", found: "TrackTable") -> float:
    """HOTA of the observed boxes."""
    import numpy as np

    from vodkit.metrics.mot.hota import hota_counts, hota_scores
    from vodkit.metrics.mot.sequence import pair_up
    from vodkit.records import State

    assert found.states is not None
    seen = found[found.states == State.OBSERVED]
    frames = np.union1d(truth.frames, seen.frames)
    return hota_scores(hota_counts(pair_up(truth, seen, frames))).hota or 0.0
