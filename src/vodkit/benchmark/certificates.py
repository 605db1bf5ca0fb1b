"""An export judged as a user would: AP and HOTA of original and export on labelled videos."""

import math
import tempfile
from itertools import islice
from pathlib import Path

from vodkit.detect.base import Detector, Preprocessing
from vodkit.detect.export import Judge, OnData
from vodkit.formats.table import read_dataset
from vodkit.ground.errors import InputError
from vodkit.ground.records import Dataset, Frame
from vodkit.ground.runs import DETECTIONS, PREDICTIONS
from vodkit.infer.folder import RunFolder
from vodkit.infer.run import run_source
from vodkit.infer.settings import InferSettings
from vodkit.metrics.bootstrap import BootstrapSettings
from vodkit.metrics.evaluation import EvalSettings, Evaluation, evaluate
from vodkit.metrics.prediction_files import read_predictions
from vodkit.video.motion import Motion
from vodkit.video.reader import open_video

_PLAIN = EvalSettings(bootstrap=BootstrapSettings(resamples=0))


def labelled(path: Path, *, split: str = "") -> tuple[Dataset, Path]:
    """The labelled videos of a dataset file or folder, and the folder their sources start from.

    Raises InputError when there are none.
    """
    dataset = read_dataset(path)
    dataset = dataset.only(split) if split else dataset
    videos = tuple(video for video in dataset.videos if video.tracks is not None)
    if not videos:
        raise InputError(f"{path}: no labelled videos; allowed: at least one")
    return Dataset(classes=dataset.classes, videos=videos), path if path.is_dir() else path.parent


def frames_of(source: str, count: int, wanted: Preprocessing) -> list[Frame]:
    """``count`` frames of a video, evenly spread (fewer where it has fewer).

    For a network that takes motion (``wanted``) they come with that.
    """
    with open_video(source) as video:
        every = max((video.info.num_frames or count) // count, 1)
        if not wanted.motion_lags_s:
            return list(islice(video.frames(every=every), count))
        motion = Motion(wanted.motion_lags_s, wanted.resized_px)
        first = min(every // 2, math.ceil(wanted.motion_lags_s[-1] * video.info.rate))
        shown = islice(motion.of(video.frames()), first, None, every)
        return list(islice(shown, count))


def clip_of(source: str, count: int, wanted: Preprocessing) -> list[Frame]:
    """The first ``count`` frames of a video, one after the other, as ``frames_of`` gives them."""
    with open_video(source) as video:
        frames = video.frames()
        if wanted.motion_lags_s:
            frames = Motion(wanted.motion_lags_s, wanted.resized_px).of(frames)
        return list(islice(frames, count))


def first_video(path: Path, *, split: str = "") -> str:
    """The first labelled video of a dataset file or folder."""
    dataset, root = labelled(path, split=split)
    return str(root / dataset.videos[0].source)


def spread_frames(dataset: Dataset, root: Path, count: int, wanted: Preprocessing) -> list[Frame]:
    """About ``count`` frames, evenly over the labelled videos (at least one of each)."""
    each = max(count // len(dataset.videos), 1)
    return [
        frame
        for video in dataset.videos
        for frame in frames_of(str(root / video.source), each, wanted)
    ]


def judge_on(path: Path, *, split: str = "", tracker: str = "vodkit") -> Judge:
    """What measures two detectors on the labelled videos of ``path``."""
    dataset, root = labelled(path, split=split)

    def judge(original: Detector, exported: Detector) -> OnData:
        pair = [_measured(detector, dataset, root, tracker) for detector in (original, exported)]
        aps = [detected.detection.coco.overall.ap for detected, _ in pair]
        hotas = [None if t.tracking is None else t.tracking.overall.hota.hota for _, t in pair]
        if aps[0] is None or aps[1] is None:
            raise InputError(f"{path}: AP is undefined: no labelled box of the model's classes")
        both = None if hotas[0] is None or hotas[1] is None else (hotas[0], hotas[1])
        facts = pair[0][0].data
        return OnData(
            data=path.name,
            num_videos=facts.num_videos,
            num_frames=facts.num_frames,
            ap=(aps[0], aps[1]),
            hota=both,
        )

    return judge


def _measured(
    detector: Detector, dataset: Dataset, root: Path, tracker: str
) -> tuple[Evaluation, Evaluation]:
    """The evaluations of raw detections and of tracks, as the commands would give them."""
    wanted = InferSettings(tracker=tracker)
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / str(place) for place, _ in enumerate(dataset.videos)]
        for video, folder in zip(dataset.videos, folders, strict=True):
            RunFolder(folder).prepare(wanted)
            for _ in run_source(str(root / video.source), folder, detector, wanted):
                pass
        found = [
            read_predictions([folder / file for folder in folders], dataset)
            for file in (DETECTIONS, PREDICTIONS)
        ]
    first, second = (evaluate(dataset, given.tables, settings=_PLAIN) for given in found)
    return first, second
