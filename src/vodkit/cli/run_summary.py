"""The summary of a finished run: what was found and how fast, and what may help or come next.

Everything is read from the run folder.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vodkit.ground import runs
from vodkit.ground.errors import VodkitError
from vodkit.infer.settings import STILLS

if TYPE_CHECKING:
    from vodkit.infer.manifest import Manifest
    from vodkit.infer.settings import InferSettings

SMALL_PX = 24.0
"""median side of the found objects, in pixels of the network's input, below which tiles may help"""
_ENOUGH = 20  # boxes, from which on their median is worth a hint
_LOOKED_THROUGH = 2000  # frames that sizes are taken from
_NAMED = 8  # classes
_UNCONFIRMED = (
    "objects were detected, but no track lasted long enough to be confirmed: vodkit detect gives "
    "every box; pictures that are no film: --pictures stills"
)
_LONG_S = 20.0  # a run from which on measuring another runtime (a few seconds) is worth it


def lines_of(folder: Path) -> Iterator[str]:
    """The summary, line by line; none where the folder has no record of a finished run.

    On a terminal, the last line of a long run may take some seconds, with a bar: another runtime
    is measured for it, once for each model and machine.
    """
    from vodkit.infer.folder import RunFolder

    run = RunFolder(folder)
    try:
        manifest, settings = run.manifest(), run.settings
    except VodkitError:
        return
    if manifest is None or not manifest.summary:
        return
    counts = manifest.summary
    of_stills = settings.pictures == STILLS
    yield _speed(counts, "picture" if of_stills else "frame")
    yield from _found(counts, tracks=settings.tracks)
    yield from _losses(counts)
    if not sum(counts["boxes_by_class"].values()):
        known = manifest.model.get("classes", ())
        yield _UNCONFIRMED if counts["num_unconfirmed"] else _nothing(settings, known)
    elif not of_stills and (small := _small(folder, settings)):
        yield small
    if not of_stills:
        yield from _faster(manifest, settings)


def next_words(folder: Path) -> Iterator[list[str]]:
    """The commands that usually come next."""
    from vodkit.infer.folder import RunFolder

    try:
        run = RunFolder(folder)
        manifest, settings = run.manifest(), run.settings
    except VodkitError:
        return
    if manifest is None or not manifest.summary:
        return
    if not sum(manifest.summary["boxes_by_class"].values()):
        out = str(folder.parent / "detected")
        boxes = ["vodkit", "detect", manifest.source, "-o", out]
        yield boxes if manifest.summary["num_unconfirmed"] else ["vodkit", "models"]
    elif settings.pictures == STILLS:
        yield ["vodkit", "eval", "LABELS", str(folder)]
    elif settings.tracks:
        yield ["vodkit", "refine", str(folder)]
    else:
        yield ["vodkit", "track", manifest.source, "-o", str(folder.parent / "tracked")]


def _speed(counts: Mapping[str, Any], noun: str = "frame") -> str:
    """As ``240 frames in 9.6 s (25.0 frames/s) with openvino on cpu``."""
    fresh, seconds = counts["num_fresh"], counts["seconds"]
    rate = f" ({fresh / seconds:.1f} {noun}s/s)" if fresh and seconds else ""
    before = counts["num_frames"] - fresh
    kept = f"; {before} more were done before" if before else ""
    return f"{_many(fresh, noun)} in {seconds:.1f} s{rate} with {counts['runtime']}{kept}"


def _found(counts: Mapping[str, Any], *, tracks: bool) -> Iterator[str]:
    boxes, ids = counts["boxes_by_class"], counts["tracks_by_class"]
    parts = [
        f"{name} {_many(ids.get(name, 0), 'track')}, {_many(count, 'box')}"
        if tracks
        else f"{name} {_many(count, 'box')}"
        for name, count in sorted(boxes.items(), key=lambda pair: -pair[1])
        if count or ids.get(name)
    ]
    if parts:
        yield f"found: {'; '.join(parts)}"
    if tracks and parts:
        states = counts["rows_by_state"]
        yield "rows: " + ", ".join(f"{count} {state}" for state, count in states.items())


def _losses(counts: Mapping[str, Any]) -> Iterator[str]:
    """What was left out, so that nothing is dropped without a word."""
    if counts["num_unconfirmed"]:
        rows = _many(counts["num_unconfirmed"], "row")
        yield f"left out: {rows} of tracks that were never confirmed"
    if counts["num_truncated"]:
        frames = _many(counts["num_truncated"], "frame")
        yield f"{frames} had more detections than are kept (--max-detections)"


def _nothing(settings: "InferSettings", known: Sequence[str] = ()) -> str:
    """What may help where nothing was found; ``known``: the classes that were detected."""
    names = [*known[:_NAMED], *(["..."] if len(known) > _NAMED else [])]
    of = f" of {settings.model}'s classes ({', '.join(names)})" if known else ""
    lower = f"a lower --score-threshold (it is {settings.score_threshold:g})"
    tiles = "" if settings.tiles else ", --size auto or --tiles auto for small objects"
    classes = f", other --classes than {','.join(settings.classes)}" if settings.classes else ""
    return f"nothing was found{of}. What may help: {lower}{tiles}{classes}, another --model"


def _small(folder: Path, settings: "InferSettings") -> str:
    """A hint where the objects that were found are small for the network; else empty."""
    from vodkit.detect.input_size import card_at
    from vodkit.detect.models import find_card
    from vodkit.formats.predictions import read_frames, read_header
    from vodkit.ground.boxes import area

    if settings.tiles:
        return ""
    path = folder / runs.PREDICTIONS
    try:
        info = read_header(path).info
        card, graph = find_card(settings.model)
        wanted = card_at(card, settings.size, graph).preprocessing
        frames = islice(read_frames(path), _LOOKED_THROUGH)
        sides = [np.sqrt(area(frame.found.boxes_xyxy)) for frame in frames]
    except VodkitError:
        return ""
    scale = min(wanted.width_px / info.width_px, wanted.height_px / info.height_px)
    found = np.concatenate([*sides, np.empty(0)]) * scale
    if len(found) < _ENOUGH or (side := float(np.median(found))) >= SMALL_PX:
        return ""
    seen = f"{side:.0f} px of its {wanted.width_px}x{wanted.height_px}"
    return (
        f"the objects are small for the network ({seen}): --size auto or --tiles auto may find more"
    )


def _faster(manifest: "Manifest", settings: "InferSettings") -> Iterator[str]:
    """What a faster runtime would change, where one is known, or it is worth measuring."""
    from vodkit.benchmark.faster import faster
    from vodkit.cli.bars import bars

    look = partial(faster, manifest.source, settings, manifest.runtime)
    is_long = (manifest.summary or {}).get("seconds", 0.0) >= _LONG_S
    with bars("steps") as watch:  # a script waits for no advice
        known = look(measure=is_long and sys.stderr.isatty(), watch=watch)
    if known is not None:
        yield known.line()


def _many(count: int, noun: str) -> str:
    """A count with its noun.

    >>> _many(1, "box"), _many(2, "box"), _many(0, "track")
    ('1 box', '2 boxes', '0 tracks')
    """
    plural = f"{noun}es" if noun.endswith("x") else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"
