"""Trained temporal heads, each measured on a domain that it did not learn from.

python benchmarks/temporal_recall.py ../shared/data --out candidates [--seeds 3]

For each of the domains PETS09-S2L1, TUD-Campus and dance a head for vodkit-street is trained on the
two others and on the sample clips (not for PETS: they are parts of it), and run on the domain that
was left out, as it is and with three of ten frames degraded (as in
benchmarks/temporal_candidates.py). Prints one JSON line for each video, method (still, links,
recall; causal and both) and seed. Candidates with features are kept in the folder ``--out`` and not
detected again.
"""

import argparse
import json
import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from torch import Tensor

from temporal_candidates import VIDEOS, frames_of
from temporal_links import TRUTH, Recorded, linked, numbers, still
from vodkit.detect.embed import PoolSettings
from vodkit.detect.models import load_detector
from vodkit.detect.temporal_head import Keys, projection
from vodkit.formats.table import write_dataset
from vodkit.ground.records import (
    Dataset,
    Detections,
    Frame,
    LabelledVideo,
    TrackTable,
    VideoInfo,
)
from vodkit.samples.samples import LABELS
from vodkit.temporal.links import LinkSettings
from vodkit.temporal.memory import Memory
from vodkit.temporal.recall import Recall, network_of
from vodkit.train.temporal import fit
from vodkit.train.temporal_data import Key, TemporalSettings, read_material
from vodkit.video.reader import open_video

STAGE, BINS = ("neck",), (3, 3)


def others_of(domain: str) -> list[str]:
    """What a rule for a domain may learn from: the sample clips are cut from PETS09-S2L1."""
    return [
        one
        for one in (*TRUTH, "plaza")
        if one != domain and not (domain == "pets" and one == "plaza")
    ]


def quiet(_what: str, _done: int, _total: int) -> None:
    """Show nothing."""


def record(
    path: Path,
    out: Path,
    most: int,
    *,
    bad: bool,
    model: str = "vodkit-street",
    name: str = "person",
    frames: Iterable[tuple[Frame, bool]] | None = None,
) -> None:
    """Candidates of one video with features; the form of temporal_candidates, and ``features``.

    ``frames``: and which of them are degraded; None: those of the file.
    """
    keys = Keys(PoolSettings(stages=STAGE, bins=BINS), most)  # features as they are
    detector = load_detector(
        model,
        score_threshold=0.01,
        max_detections=None,
        classes=[name],
        temporal=keys,
    )
    rows, features, times, flags = [], [], [], []
    for frame, is_bad in frames or frames_of(path, bad=bad):
        found = detector.detect([frame])[0]
        times.append(frame.time_s)
        flags.append(is_bad)
        assert found.features is not None
        index = np.full(len(found), frame.index)
        rows.append(np.column_stack([index, found.boxes_xyxy, found.scores, found.labels]))
        features.append(found.features.astype(np.float16))
    np.savez_compressed(
        out, rows=np.concatenate(rows), features=np.concatenate(features), times_s=times,
        bad=flags, classes=detector.classes,
    )  # fmt: skip


def with_features(path: Path, truth: Path, label: str = "person") -> Recorded:
    """A recorded video whose detections carry pooled features."""
    video, content = Recorded(path, truth, label), np.load(path)
    features = content["features"]  # once: every access decompresses
    edges = np.cumsum([0, *(len(found) for _, found in video.frames)])
    video.frames = [
        (time_s, replace(found, features=features[a:b].astype(np.float32)))
        for (time_s, found), a, b in zip(video.frames, edges[:-1], edges[1:], strict=True)
    ]
    return video


def labels(
    name: str,
    data: Path,
    out: Path,
    files: tuple[str, str] | None = None,
    label: str = "person",
) -> Path:
    """The truth of a domain (video and MOTChallenge lines) as a dataset file."""
    source, truth = files or (VIDEOS[name], TRUTH[name])
    rows = np.loadtxt(data / truth, delimiter=",", ndmin=2)
    rows = rows[rows[:, 6] != 0]
    with open_video(data / source) as video:
        info = video.info
    rate = Fraction(info.rate)
    frames = rows[:, 0].astype(int) - 1
    tracks = TrackTable(
        frames=frames, times_s=frames / float(rate), ids=rows[:, 1],
        boxes_xyxy=np.column_stack([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]]),
        labels=np.zeros(len(rows)),
    )  # fmt: skip
    told = VideoInfo(
        path=source, width_px=info.width_px, height_px=info.height_px, rate=rate,
        num_frames=info.num_frames or int(frames.max()) + 1,
    )  # fmt: skip
    one = LabelledVideo(source=source, info=told, tracks=tracks, split="train")
    write_dataset(Dataset(classes=(label,), videos=(one,)), out / f"{name}.json")
    return out / f"{name}.json"


def keys_of(name: str, wanted: TemporalSettings, data: Path, out: Path) -> list[Key]:
    """What a head learns from in one domain."""
    kept = out / f"material-{name}-{wanted.mode}.pickle"
    if not kept.exists():
        if name == "plaza":
            wanted = replace(wanted, data=str(LABELS), train_split="")
        else:
            place = labels(name, data, out)
            wanted = replace(wanted, data=str(place), root=str(data), train_split="train")
        material = read_material(wanted, wanted.train_split, quiet)
        kept.write_bytes(pickle.dumps([key for keys in material.videos for key in keys]))
    found: list[Key] = pickle.loads(kept.read_bytes())
    return found


def run(head: Mapping[str, Tensor], wanted: TemporalSettings, video: Recorded) -> list[Detections]:
    """The video's detections with a head of these weights."""
    weights = {name: value.numpy() for name, value in head.items()}
    pooled = {name: weights.pop(name) for name in [*weights] if name.startswith("keys.")}
    keys = Keys(PoolSettings(stages=STAGE, bins=BINS), wanted.most, projection(pooled))
    rule = Recall(wanted.shape, network_of(weights))
    memory = Memory[int](rule, threshold=0.0, both=wanted.mode == "both")
    out: list[Detections] = []
    for number, (time_s, found) in enumerate(video.frames):
        assert found.features is not None
        features = np.zeros((len(found), wanted.size), np.float32)
        features[: wanted.most] = keys.projected(found.features[: wanted.most])
        given = replace(found, features=features)
        out += [one for _, one in memory.push(number, time_s, given)]
    return [*out, *(one for _, one in memory.cut())]


def say(video: Recorded, method: str, found: Sequence[Detections], **more: object) -> None:
    line = numbers(video, list(found))
    print(json.dumps({"video": video.name, "method": method, **more, **line}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--domains", nargs="+", default=list(TRUTH))
    parser.add_argument("--modes", nargs="+", default=["causal", "both"])
    parser.add_argument("--set", nargs="*", default=[], help="settings of the training, name=value")
    options = parser.parse_args()
    given = {name: json.loads(value) for name, _, value in (x.partition("=") for x in options.set)}
    options.out.mkdir(parents=True, exist_ok=True)
    videos: dict[str, list[Recorded]] = {}
    most = TemporalSettings(data="", **given).most
    for name in options.domains:
        videos[name] = []
        for kind in ("clean", "bad"):
            path = options.out / f"features-{name}-{kind}.npz"
            if not path.exists():
                record(options.data / VIDEOS[name], path, most, bad=kind == "bad")
            videos[name].append(with_features(path, options.data / TRUTH[name]))
        for video in videos[name]:
            say(video, "still", still(video.frames))
            for mode in options.modes:
                links = linked(LinkSettings(), both=mode == "both")
                bare = [(time_s, replace(one, features=None)) for time_s, one in video.frames]
                say(video, f"links, {mode}", links(bare))
    for mode in options.modes:
        for name in options.domains:
            for seed in range(options.seeds):
                wanted = TemporalSettings(data="", mode=mode, seed=seed, stages=STAGE, **given)
                learnt = [
                    key
                    for one in others_of(name)
                    for key in keys_of(one, wanted, options.data, options.out)
                ]
                head = fit(wanted, learnt, quiet).weights()
                for video in videos[name]:
                    say(video, f"recall, {mode}", run(head, wanted, video), seed=seed)


if __name__ == "__main__":
    main()
