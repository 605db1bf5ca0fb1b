"""``vodkit tune``: a tracker's settings from your own clips."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.cli import options
from vodkit.cli.bars import bar
from vodkit.cli.terminal import aside, say, say_json
from vodkit.infer.settings import InferSettings

if TYPE_CHECKING:
    from vodkit.formats.predictions import Header
    from vodkit.ground.arrays import FloatArray
    from vodkit.ground.records import Dataset, Detections, LabelledVideo, TrackTable
    from vodkit.infer.tune import Clip


_CAUTION = {
    True: "measured on the clips it was searched on",
    False: "no labels: a hint, which agrees with HOTA only in part",
}


def tune(
    detections: list[Path] = typer.Argument(..., help="Files of `vodkit detect`, or run folders."),
    truth: Path = typer.Option(None, "--truth", help="Labels with ids; default: none are needed."),
    split: str = typer.Option("", "--split", help="Of the labels; default: all videos."),
    tracker: str = options.option_of(InferSettings, "tracker"),
    trials: int = typer.Option(50, "--trials", help="Settings to try."),
    seed: int = typer.Option(0, "--seed"),
    strict: bool = options.STRICT,  # noqa: ARG001 - its callback sets it
    as_json: bool = options.JSON,
) -> None:
    """Search a tracker's settings on cached detections. By HOTA, or without labels.

    Example: vodkit tune runs/plaza --truth labels.json --trials 100
    """
    from functools import partial

    from vodkit.formats.table import read_dataset
    from vodkit.ground.account import losses_in
    from vodkit.ground.errors import SettingsError
    from vodkit.infer.tune import not_recorded
    from vodkit.infer.tune import tune as run

    if split and not truth:
        seen = f"--split is {split!r}, but no labels are given"
        raise SettingsError(f"{seen}; allowed: with --truth, whose side it is")
    files = _each_once(detections)
    labels = read_dataset(truth) if truth else None
    for line in losses_in(labels.accounts) if labels else ():
        aside(line)
    if labels and split:
        labels = labels.only(split)
    score = partial(hota, classes=labels.classes) if labels else None
    clips = [_clip(path, labels) for path in files]
    for path, clip in zip(files, clips, strict=True):
        if missing := not_recorded(clip, tracker):
            seen = f"{path}: no {', no '.join(missing)} on record, which {tracker} uses"
            hint = "record with: vodkit track VIDEO --appearance colour"
            aside(f"{seen}; `vodkit track` gives other tracks than this replay ({hint})")
    with bar(tracker, unit="trials", transient=True) as show:
        found = run(tracker, clips, score=score, num_trials=trials, seed=seed, progress=show)
    if as_json:
        facts = {"tracker": tracker, "settings": list(found.words), "score": found.score}
        say_json({**facts, "score_of_defaults": found.before, "trials": found.num_trials})
        return
    measure = "HOTA" if labels else "forward-backward consistency"
    if not found.words:
        say(f"{measure}: {found.before:.4f} with the defaults; no trial is better")
    else:
        say(f"{measure}: {found.before:.4f} with the defaults, {found.score:.4f} with")
        say("  " + " ".join(f"--set {word}" for word in found.words))
        say(f"  {_CAUTION[labels is not None]}; try it on a clip that you know")


def _each_once(given: list[Path]) -> list[Path]:
    """The files of detections that are meant; InputError where one would weigh as much as two."""
    from vodkit.ground.errors import InputError
    from vodkit.ground.runs import DETECTIONS, predictions_of

    recorded = [path / DETECTIONS for path in given]
    files = [
        there if there.exists() else predictions_of(path)
        for path, there in zip(given, recorded, strict=True)
    ]
    places = [path.resolve() for path in files]
    for number, place in enumerate(places):
        if place in places[:number]:
            first = given[places.index(place)]
            raise InputError(f"{files[number]}: is given twice, first as {first}; allowed: once")
    return files


def _clip(path: Path, labels: "Dataset | None") -> "Clip":
    from dataclasses import replace

    from vodkit.formats.predictions import read_frames, read_header
    from vodkit.ground.errors import InputError
    from vodkit.ground.records import Detections, Frame, Tracks
    from vodkit.infer.tune import Clip, recorded_motion

    header = read_header(path)
    size = {"width_px": header.info.width_px, "height_px": header.info.height_px}
    truth = None if labels is None else _truth(path, header, labels)
    rows = _embeddings_beside(path)
    steps = []
    for line in read_frames(path):
        if isinstance(line.found, Tracks):
            raise InputError(f"{path}: tracks; tuning replays detections (`vodkit detect`)")
        assert isinstance(line.found, Detections)
        found = line.found if labels is None else _named_as(line.found, header, labels)
        if rows is not None:
            found, rows = replace(found, embeddings=rows[: len(found)]), rows[len(found) :]
        steps.append((Frame.unseen(line.index, line.time_s, **size), found))
    return Clip(steps=steps, truth=truth, motion=recorded_motion(path))


def _embeddings_beside(detections: Path) -> "FloatArray | None":
    """The embeddings (R, D) of all detections of a run, in order; None: it recorded none."""
    from vodkit.formats.embeddings import read_embeddings
    from vodkit.ground.runs import EMBEDDINGS

    path = detections.with_name(EMBEDDINGS)
    return read_embeddings(path) if path.exists() else None


def _truth(path: Path, header: "Header", labels: "Dataset") -> "LabelledVideo":
    """The labelled video of this name, and its alone."""
    from vodkit.ground.errors import InputError

    stem = Path(header.source).stem
    known = [Path(video.source).stem for video in labels.videos if video.tracks is not None]
    if known.count(stem) != 1:
        seen = "no labels" if stem not in known else f"labels of {known.count(stem)} videos"
        there = ", ".join(sorted(set(known)))
        raise InputError(f"{path}: {seen} for {stem!r}; labelled: {there} (see --split)")
    if not set(header.classes) & set(labels.classes):
        seen = f"classes {', '.join(header.classes[:5])}"
        raise InputError(f"{path}: {seen} are none of the labels': {', '.join(labels.classes)}")
    return next(video for video in labels.videos if Path(video.source).stem == stem)


def _named_as(found: "Detections", header: "Header", labels: "Dataset") -> "Detections":
    """With labels of the dataset; classes that it has not come after its own."""
    from dataclasses import replace

    import numpy as np

    names = [*labels.classes, *(name for name in header.classes if name not in labels.classes)]
    new = np.array([names.index(name) for name in header.classes])
    return replace(found, labels=new[found.labels])


def hota(video: "LabelledVideo", found: "TrackTable", *, classes: tuple[str, ...]) -> float:
    """HOTA as ``vodkit eval`` says it: in labelled frames, and of the labels' classes."""
    from vodkit.formats.predictions import is_counted
    from vodkit.ground.records import Dataset
    from vodkit.metrics.clips import make_clips
    from vodkit.metrics.tracking.hota import HotaCounts, hota_counts, hota_scores
    from vodkit.metrics.tracking.preprocess import drop_ignored
    from vodkit.metrics.tracking.sequence import pair_up

    known = found[(found.labels < len(classes)) & is_counted(found.states, found.p_present)]
    dataset = Dataset(classes=classes, videos=(video,))
    (clip,) = map(drop_ignored, make_clips(dataset, {video.source: known}))
    parts = [clip.of_class(label) for label in range(len(classes))]
    counts = [hota_counts(pair_up(one.truth, one.found, one.frames)) for one in parts]
    return hota_scores(sum(counts, HotaCounts.zero())).hota or 0.0
