"""``vodkit train --curve``: AP against the number of labels, and what twice as many would bring.

The model is trained on a quarter, a half and all of the training split, each with several seeds;
every training is measured on the same validation split. What is left out are whole videos, or,
where there are fewer than four, stretches of time, so that near copies of frames are not counted as
labels. The validation error (1 - AP) of detectors falls about as a power of the number of labels
(Hestness et al. 2017, Sun et al. 2017), a line in logarithms. The line is fitted by least squares
and drawn out to twice the labels with a prediction interval (Student's t); if its slope is not
clearly below zero, nothing is predicted.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from vodkit.formats.rows import labelled_frames
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground import ledger
from vodkit.ground.arrays import IntArray
from vodkit.ground.errors import FormatError, InputError, SettingsError
from vodkit.ground.records import Dataset, LabelledVideo
from vodkit.ground.runs import make_folder, only_one, write_json
from vodkit.train.log import flat
from vodkit.train.loop import train
from vodkit.train.resume import described, digest, refuse_changes
from vodkit.train.settings import TrainSettings
from vodkit.train.setup import root_of, weights_of

SHARES = (0.25, 0.5, 1.0)
CURVE = "curve.json"
_FEW_VIDEOS = 4
_LEAST_DF = 2
_MOST_ERROR, _LEAST_ERROR = 1.0, 1e-3


@dataclass(frozen=True, kw_only=True)
class Point:
    """One training of the curve."""

    share: float
    """of the labelled frames of the training split"""
    seed: int
    num_videos: int
    num_frames: int
    num_boxes: int
    ap: float
    ap50: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """AP at twice the labels, or why it is not predicted."""

    num_boxes: int
    """twice those of the training split"""
    ap: float | None = None
    low: float | None = None
    high: float | None = None
    now: float | None = None
    """AP of the fitted line at the labels there are"""
    confidence: float = 0.95
    refused: str = ""

    def line(self) -> str:
        """One line for people.

        >>> Prediction(num_boxes=800, refused="flat: AP does not rise with labels").line()
        'twice the labels (800 boxes): not predicted (flat: AP does not rise with labels)'
        >>> Prediction(num_boxes=800, ap=0.5, low=0.42, high=0.57, now=0.44).line()
        'twice the labels (800 boxes): AP 0.500 (0.420 to 0.570 with 95 % confidence), now 0.440'
        """
        twice = f"twice the labels ({self.num_boxes} boxes)"
        if self.ap is None:
            return f"{twice}: not predicted ({self.refused})"
        sure = f"{self.low:.3f} to {self.high:.3f} with {self.confidence:.0%} confidence"
        sure = sure.replace("%", " %")
        return f"{twice}: AP {self.ap:.3f} ({sure}), now {self.now:.3f}"


@dataclass(frozen=True, kw_only=True)
class Curve:
    """All trainings of a learning curve, and what they say of more labels."""

    points: tuple[Point, ...]
    unit: str
    """what was left out of the training split: videos or stretches"""
    prediction: Prediction

    def rows(self) -> list[tuple[int, float, float, float]]:
        """By share: boxes (mean over seeds), mean AP, and the least and largest one."""
        found = []
        for share in sorted({point.share for point in self.points}):
            some = [point for point in self.points if point.share == share]
            aps = [point.ap for point in some]
            boxes = round(float(np.mean([point.num_boxes for point in some])))
            found.append((boxes, float(np.mean(aps)), min(aps), max(aps)))
        return found


def learning_curve(
    settings: TrainSettings,
    *,
    seeds: int = 3,
    overwrite: bool = False,
    tell: Callable[[str], None] = lambda _line: None,
) -> Curve:
    """Train on parts of the training split, in ``curve/`` of the run folder.

    Trainings that are done are not repeated: a curve that was stopped continues with the next one.

    Args:
        settings: of every training, but for data, seed and folder.
        seeds: trainings of each share; each leaves out other videos.
        overwrite: discard the trainings there.
        tell: called with a line about each training.

    Raises:
        SettingsError: no validation split, or fewer than two seeds.
        InputError: too few labels, or trainings of other data or settings are in the folder.
    """
    if not settings.val_split:
        raise SettingsError("curve needs a val_split: all trainings are measured on it")
    if seeds < 2:
        raise SettingsError(f"curve_seeds is {seeds}; allowed: 2 or more, for an interval")
    dataset = read_dataset(settings.data)
    parts = {name: dataset.only(name) for name in (settings.train_split, settings.val_split)}
    unit, _ = units(parts[settings.train_split], 0)
    folder = make_folder(Path(settings.out) / "curve")
    ledger.require_ours(folder / CURVE)
    with only_one(folder):
        about = _about(settings, parts)
        points = [] if overwrite else _done(folder / CURVE, about)
        jobs = [(share, settings.seed + k) for share in SHARES for k in range(seeds)]
        for number, (share, seed) in enumerate(jobs, 1):
            known = [point for point in points if (point.share, point.seed) == (share, seed)]
            if not known:
                points.append(_trained(settings, parts, share, seed, folder))
                _write(folder / CURVE, about, points)
            point = (known or points[-1:])[0]
            what = f"{point.num_boxes} boxes of {point.num_videos} videos, seed {seed}"
            tell(f"training {number} of {len(jobs)}: {what}: AP {point.ap:.3f}")
        wanted = [point for point in points if (point.share, point.seed) in jobs]
        curve = Curve(points=tuple(wanted), unit=unit, prediction=predicted(wanted))
        _write(folder / CURVE, about, points, curve)
    return curve


def units(dataset: Dataset, seed: int) -> tuple[str, list[list[tuple[int, IntArray]]]]:
    """What is left out together, in the order in which it is taken: positions and frames.

    Raises:
        InputError: there are fewer than four videos, and fewer than four labelled frames in one.
    """
    positions = [i for i, video in enumerate(dataset.videos) if labelled_frames(video)]
    rng = np.random.default_rng(seed)
    frames = {i: np.array(labelled_frames(dataset.videos[i]), np.int64) for i in positions}
    if len(positions) >= _FEW_VIDEOS:
        order = rng.permutation(len(positions))
        return "videos", [[(positions[k], frames[positions[k]])] for k in order]
    num = round(1 / SHARES[0])
    if not positions or min(len(frames[i]) for i in positions) < num:
        seen = f"{len(positions)} labelled videos for training"
        allowed = f"{_FEW_VIDEOS} videos, or {num} labelled frames in each"
        raise InputError(f"curve: {seen}, one with fewer than {num} frames; allowed: {allowed}")
    first = int(rng.integers(num))
    pieces = {i: np.array_split(frames[i], num) for i in positions}
    turns = [(first + k) % num for k in range(num)]
    return "stretches of time", [[(i, pieces[i][k]) for i in positions] for k in turns]


def part_of(dataset: Dataset, share: float, seed: int) -> Dataset:
    """About ``share`` of the labelled frames; a larger share has all that a smaller one has."""
    _, order = units(dataset, seed)
    total = sum(len(frames) for unit in order for _, frames in unit)
    kept: dict[int, list[IntArray]] = {}
    count = 0
    for unit in order:
        if kept and count >= share * total - 0.5:
            break
        for position, frames in unit:
            kept.setdefault(position, []).append(frames)
            count += len(frames)
    videos = [
        _restricted(dataset.videos[i], np.sort(np.concatenate(kept[i]))) for i in sorted(kept)
    ]
    return replace(dataset, videos=tuple(videos))


def _restricted(video: LabelledVideo, frames: IntArray) -> LabelledVideo:
    if len(frames) == len(labelled_frames(video)):
        return video
    table = video.tracks
    tracks = None if table is None else table[np.isin(table.frames, frames)]
    return replace(video, labelled_frames=frames, tracks=tracks)


def _trained(
    settings: TrainSettings,
    parts: dict[str, Dataset],
    share: float,
    seed: int,
    folder: Path,
) -> Point:
    learnt = part_of(parts[settings.train_split], share, seed)
    whole = replace(learnt, videos=(*learnt.videos, *parts[settings.val_split].videos))
    name = f"{share:.0%}".rstrip("%") + f"-{seed}"
    data = make_folder(folder / name) / "data.json"
    ledger.claim(data)
    write_dataset(whole, data, format="cocovid")
    root = str(root_of(settings).absolute())
    wanted = replace(settings, data=str(data), root=root, out=str(folder / name), seed=seed)
    result = train(wanted, overwrite=True)
    tables = [video.tracks for video in learnt.videos if video.tracks is not None]
    return Point(
        share=share,
        seed=seed,
        num_videos=len(learnt.videos),
        num_frames=sum(len(labelled_frames(video)) for video in learnt.videos),
        num_boxes=sum(int((table.labels >= 0).sum()) for table in tables),
        ap=result.ap or 0.0,
        ap50=result.ap50 or 0.0,
        seconds=round(result.seconds, 1),
    )


def predicted(points: Sequence[Point], *, confidence: float = 0.95) -> Prediction:
    """AP at twice the largest number of boxes, from a power law of the error, or why not.

    Args:
        points: trainings of several sizes.
        confidence: of the prediction interval, and of the test that the slope is below zero.
    """
    sizes = np.array([point.num_boxes for point in points], float)
    errors = np.array([1 - point.ap for point in points]).clip(_LEAST_ERROR, _MOST_ERROR)
    twice = 2 * int(sizes.max(initial=0))
    df = len(points) - 2
    if df < _LEAST_DF or len(set(sizes)) < 2 or sizes.min() < 1:
        return Prediction(num_boxes=twice, refused="too few trainings of different sizes")
    x, y = np.log(sizes), np.log(errors)
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread
    level = float(y.mean()) - slope * float(x.mean())
    noise = math.sqrt(float(((y - level - slope * x) ** 2).sum()) / df)
    t = float(stats.t.ppf(0.5 + confidence / 2, df))
    if slope + t * noise / math.sqrt(spread) >= 0:
        seen = "flat or noisy: the slope of the curve is not clear"
        low, high = sorted(1 - math.exp(level + slope * end) for end in (x.min(), x.max()))
        return Prediction(
            num_boxes=twice, refused=f"{seen}; the fitted AP goes from {low:.3f} to {high:.3f}"
        )
    at = math.log(twice)
    off = t * noise * math.sqrt(1 + 1 / len(points) + (at - float(x.mean())) ** 2 / spread)
    middle = level + slope * at
    return Prediction(
        num_boxes=twice,
        ap=1 - math.exp(middle),
        low=max(1 - math.exp(middle + off), 0.0),
        high=1 - math.exp(middle - off),
        now=1 - math.exp(level + slope * math.log(twice / 2)),
        confidence=confidence,
    )


def _about(settings: TrainSettings, parts: dict[str, Dataset]) -> dict[str, str]:
    """What the trainings are of: those of something else are on another curve."""
    left = {"data", "out", "seed", "root"}
    about = {name: value for name, value in flat(settings).items() if name not in left}
    labels = {f"labels of {name}": digest(described(part)) for name, part in parts.items()}
    return {**about, **weights_of(settings), **labels}


def _done(path: Path, about: dict[str, str]) -> list[Point]:
    if not path.is_file():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        there, points = content["of"], [Point(**point) for point in content["points"]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise FormatError(f"is not a learning curve: {error}", path=path) from error
    try:
        refuse_changes(there, about, where=str(path))
    except InputError as error:
        raise InputError(f"{error}; --overwrite starts over") from error
    return points


def _write(
    path: Path, about: dict[str, str], points: Sequence[Point], curve: Curve | None = None
) -> None:
    content: dict[str, Any] = {"of": about, "points": [asdict(point) for point in points]}
    if curve is not None:
        content |= {"unit": curve.unit, "prediction": asdict(curve.prediction)}
    ledger.claim(path)
    write_json(path, content)
