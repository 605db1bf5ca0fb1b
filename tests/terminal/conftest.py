"""A small world to run every command in: real people on three short clips, labelled."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from terminal.scenes import FAST
from terminal.screens import Terminals
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.records import LabelledVideo
from vodkit.samples import samples
from vodkit.video.reader import open_video
from vodkit.video.writer import VideoWriter

FRAMES = 8


@dataclass(frozen=True)
class World:
    """Files that commands read; each test writes elsewhere."""

    folder: Path

    @property
    def clip(self) -> Path:
        return self.folder / "train.mp4"

    @property
    def labels(self) -> Path:
        return self.folder / "labels.json"

    @property
    def tracked(self) -> Path:
        return self.folder / "tracked" / "test"

    @property
    def detected(self) -> Path:
        return self.folder / "detected" / "test"


@pytest.fixture(scope="session")
def terminals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminals]:
    with Terminals(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, terminals: Terminals) -> World:
    made = World(tmp_path_factory.mktemp("world"))
    dataset = read_dataset(samples.LABELS)
    root = samples.LABELS.parent
    known = {video.source: video for video in dataset.videos}
    a, b = known["plaza_a.mp4"], known["plaza_b.mp4"]
    videos = (
        _cut(a, root, made.folder, "train", start=0),
        _cut(a, root, made.folder, "val", start=40),
        _cut(b, root, made.folder, "test", start=0),
    )
    write_dataset(replace(dataset, videos=videos), made.labels)
    scored = ["eval", "labels.json", "tracked/test", "--split", "test", "--no-report"]
    for words in (
        ["track", "test.mp4", "--out", "tracked", *FAST],
        ["track", "test.mp4", "--out", "tree", "--shard", "0/1", *FAST],
        ["detect", "test.mp4", "--out", "detected", *FAST],
        [*scored, "--set", "bootstrap.resamples=20", "--out", "evaluated"],
        [*scored, "--set", "bootstrap.resamples=20", "--out", "evaluated-too"],
    ):
        seen = terminals.run(*words, folder=made.folder)
        assert seen.code == 0, seen.text
    return made


def _cut(video: LabelledVideo, root: Path, out: Path, name: str, *, start: int) -> LabelledVideo:
    """Some frames of a labelled video as a video of their own, half as large."""
    assert video.tracks is not None
    path = out / f"{name}.mp4"
    with open_video(root / video.source) as source:
        info = source.info
        frames = [frame.image for frame in source.frames_at(range(start, start + FRAMES))]
    size = {"width_px": info.width_px, "height_px": info.height_px}
    with VideoWriter(path, rate=info.rate, **size) as writer:
        for number, image in enumerate(frames):
            writer.write(image, number / float(info.rate))
    table = video.tracks
    table = table[(table.frames >= start) & (table.frames < start + FRAMES)]
    numbers = table.frames - start
    table = replace(table, frames=numbers, times_s=numbers / float(info.rate))
    short = replace(info, path=path.name, num_frames=FRAMES, duration_s=FRAMES / float(info.rate))
    labelled = np.arange(FRAMES)
    return replace(
        video, source=path.name, info=short, tracks=table, split=name, labelled_frames=labelled
    )
