"""One malformed file per format and failure: an error or an audit finding, never other boxes.

Each fault is put into a file that vodkit wrote itself; so every format has every fault.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from label_files import place
from vodkit.data.audit.audit import AuditSettings, audit_file
from vodkit.data.audit.video_scan import probe
from vodkit.formats.base import Reading
from vodkit.formats.table import FORMATS, read_dataset, write_dataset
from vodkit.ground import ledger
from vodkit.ground.errors import VodkitError
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo
from vodkit.video.writer import VideoWriter

SIZE, RATE = (64, 48), Fraction(25)
TOLD = Reading(size_px=SIZE, rate=RATE)
INFO = VideoInfo(path="a", width_px=SIZE[0], height_px=SIZE[1], rate=RATE, num_frames=4)
NUMBER = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.])")
LOUD = ("error", "file-fault", "frame", "video-missing")
"""the last where a format names folders of pictures, which are not there"""
WITH_IDS = [name for name in FORMATS if "ids" in FORMATS[name].KEEPS]


def table(**changed: object) -> TrackTable:
    """Two tracks over four frames, with corners that every format keeps to the digit."""
    frames = np.repeat(np.arange(4), 2)
    left = np.tile([1.5, 30.25], 4) + frames
    plain: dict[str, object] = {
        "frames": frames,
        "times_s": frames / 25,
        "ids": np.tile([1, 2], 4),
        "boxes_xyxy": np.stack([left, left / 2, left + 10.75, left / 2 + 20.5], axis=1),
        "labels": np.tile([0, 1], 4),
    }
    return TrackTable(**{**plain, **changed})  # type: ignore[arg-type]


def labels(num_frames: int = 4, **changed: object) -> Dataset:
    info = replace(INFO, num_frames=num_frames)
    video = LabelledVideo(source="clip.mp4", info=info, tracks=table(**changed))
    return Dataset(classes=("bee", "fliege"), videos=(video,))


def make_video(path: Path) -> None:
    """As many frames as ``INFO`` says."""
    with VideoWriter(path, width_px=SIZE[0], height_px=SIZE[1], rate=RATE) as writer:
        for frame in range(4):
            writer.write(np.full((SIZE[1], SIZE[0], 3), 60 * frame, np.uint8), frame / 25)


def write(name: str, folder: Path, data: Dataset) -> Path:
    path = place(name, folder)
    write_dataset(data, path, name)
    return path


def texts(path: Path) -> list[Path]:
    """The files with words in them, the first few of many alike."""
    if path.is_file():
        return [path]
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    return [file for file in files if file.name != ledger.NAME][:3]


def content_of(data: Dataset) -> list[tuple[object, ...]]:
    """Every box with its class and identity, wherever it stands."""
    rows: list[tuple[object, ...]] = []
    for video in data.videos:
        found = video.tracks or TrackTable.empty()
        assert np.isfinite(found.boxes_xyxy).all()
        rows += [
            (video.source, frame, track, data.classes[label], *box)
            for frame, track, label, box in zip(
                found.frames.tolist(),
                found.ids.tolist(),
                found.labels.tolist(),
                found.boxes_xyxy.round(3).tolist(),
                strict=True,
            )
        ]
    return sorted(rows, key=str)


def outcome(path: Path, name: str, told: Reading = TOLD) -> Dataset | str:
    """What is read, or what the error says."""
    try:
        return read_dataset(path, name, reading=told)
    except VodkitError as error:
        return str(error)


def findings(path: Path, name: str, *, told: Reading = TOLD, pixels: bool = False) -> list[str]:
    """The codes of what the audit says, or the error where nothing can be read."""
    try:
        done = audit_file(path, name, reading=told, settings=AuditSettings(pixels=pixels))
    except VodkitError as error:
        return [f"error: {error}"]
    return [f"{one.code}: {one.message}" for one in done.findings]


def mutations(file: Path) -> Iterator[str]:
    """The file with one of its decimal numbers not a number, in turn."""
    text = file.read_text(encoding="utf-8")
    for found in list(NUMBER.finditer(text))[:24]:
        for word in ("NaN", "Infinity"):
            yield text[: found.start()] + word + text[found.end() :]


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_a_number_that_is_none_never_makes_other_boxes(name: str, tmp_path: Path) -> None:
    path = write(name, tmp_path, labels())
    before = content_of(read_dataset(path, name, reading=TOLD))
    refused = 0
    for file in texts(path):
        original = file.read_text(encoding="utf-8")
        for text in mutations(file):
            file.write_text(text, encoding="utf-8")
            after = outcome(path, name)
            if isinstance(after, str):
                refused += 1
                assert str(tmp_path) in after
            else:
                assert content_of(after) == before, text
        file.write_text(original, encoding="utf-8")
    assert refused > 0


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
@pytest.mark.parametrize("name", FORMATS)
def test_a_wrong_encoding_is_told_with_the_file(name: str, encoding: str, tmp_path: Path) -> None:
    data = replace(labels(), classes=("bee", "mouche-à-feu"))
    path = write(name, tmp_path, data)
    before = content_of(read_dataset(path, name, reading=TOLD))
    for file in texts(path):
        original = file.read_bytes()
        text = original.decode("utf-8").replace("\\u00e0", "à")
        file.write_bytes(text.encode(encoding))
        after = outcome(path, name)
        told = str(tmp_path) in after if isinstance(after, str) else content_of(after) == before
        assert told, after
        file.write_bytes(original)


@pytest.mark.parametrize("name", FORMATS)
def test_a_class_that_was_not_told_is_unknown(name: str, tmp_path: Path) -> None:
    path = write(name, tmp_path, labels())
    found = outcome(path, name, replace(TOLD, classes=("bee",)))
    if isinstance(found, str):
        assert str(tmp_path) in found
    else:
        kept = {row[3] for row in content_of(found)}
        assert kept == {"bee", "fliege"}, "boxes were dropped or renamed in silence"


@pytest.mark.parametrize("name", FORMATS)
def test_a_frame_behind_the_end_is_told(name: str, tmp_path: Path) -> None:
    frames = np.repeat([0, 1, 2, 9], 2)
    data = labels(num_frames=10, frames=frames, times_s=frames / 25)
    path = write(name, tmp_path, data)
    for folder in {tmp_path, path if path.is_dir() else tmp_path}:
        make_video(folder / "clip.mp4")
    said = findings(path, name, told=replace(TOLD, probe=probe, source="clip.mp4"), pixels=True)
    if "video" in FORMATS[name].KEEPS:  # the others have pictures, each with its own name
        assert any(one.startswith(LOUD) for one in said), said


@pytest.mark.parametrize("name", WITH_IDS)
def test_an_id_that_stands_twice_in_a_frame_is_found(name: str, tmp_path: Path) -> None:
    """In the labelling tools each region is a track, whatever its name: nothing stands twice."""
    path = write(name, tmp_path, labels(ids=np.tile([7001, 7002], 4), labels=np.zeros(8, int)))
    before = outcome(path, name)
    for file in texts(path):
        file.write_text(file.read_text(encoding="utf-8").replace("7002", "7001"), encoding="utf-8")
    said = findings(path, name)
    after = outcome(path, name)
    if isinstance(after, str):
        assert any(re.search("duplicate|twice|two boxes", one) for one in said), said
    else:
        assert name in {"cvat", "label_studio"}
        assert isinstance(before, Dataset)
        assert len(content_of(after)) == len(content_of(before))


@pytest.mark.parametrize("name", FORMATS)
def test_a_video_that_is_not_there_is_found(name: str, tmp_path: Path) -> None:
    path = write(name, tmp_path, labels())
    assert any(one.startswith("video-missing") for one in findings(path, name, pixels=True))
