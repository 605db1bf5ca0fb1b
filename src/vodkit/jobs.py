"""One video into one run folder, so that nothing is lost: the work behind `detect` and `track`.

``run_source`` is a generator: it does the work of a frame and gives it out, so that whoever
iterates can show progress, or stop. What is on disk is right at every moment:

    settings.toml       the effective settings; --resume refuses to go on under others
    manifest.json       source, sha256, versions, weights and licences, how the run ended
    detections.jsonl    the detector's raw boxes (only when tracking)
    predictions.jsonl   the result

A run that was killed goes on by replay (docs/decisions/0006): recorded detections are fed to a
fresh tracker, and only frames that are not in ``predictions.jsonl`` yet are appended.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vodkit import runs, settings
from vodkit.detect.base import Detector
from vodkit.detect.tiles import TileSettings
from vodkit.errors import OutputError, PartialError, SettingsError, VideoError
from vodkit.formats.predictions import Header, PredictionWriter, read_frames
from vodkit.pipeline import FlowSettings, detect_frames, follow, frames_for
from vodkit.records import Detections, Frame, Tracks
from vodkit.track.table import make_tracker
from vodkit.video.reader import Video, open_video

DETECTIONS = "detections.jsonl"
NO_TRACKER = "none"


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """Everything that can change a result; saved as settings.toml."""

    model: str = "vodkit-street"
    """name of a model (``vodkit models``), or path of a checkpoint or graph"""
    tracker: str = "vodkit"
    """name of a tracker, or ``none`` for detections only"""
    tracker_settings: tuple[str, ...] = ()
    """``name=value`` words for the tracker"""
    score_threshold: float = 0.05
    """detections below are not kept; trackers have thresholds of their own above this"""
    runtime: str = "auto"
    """what runs the network: auto, torch, openvino, onnxruntime"""
    device: str = "auto"
    """auto, cpu, cuda"""
    tiles: str = ""
    """look at tiles for small objects: ``auto``, or columns x rows as ``3x2``; empty: do not"""
    flow: FlowSettings = field(default_factory=lambda: FlowSettings(full_size=False))

    def __post_init__(self) -> None:
        """Check the threshold, and that tracker settings have a tracker."""
        if not 0 <= self.score_threshold < 1:
            raise SettingsError(f"score_threshold is {self.score_threshold}; allowed: 0 up to 1")
        if self.tiles:
            TileSettings(grid=self.tiles)
        if self.tracker == NO_TRACKER and self.tracker_settings:
            raise SettingsError(f"tracker is none, but has settings {self.tracker_settings}")


@dataclass(frozen=True)
class Step:
    """One frame of a run, done and on disk."""

    frame: Frame
    found: Detections | Tracks
    num_done: int
    num_total: int | None
    """None where the container does not say"""


def folder_names(sources: list[str]) -> list[str]:
    """A folder name for each source: its stem, numbered where two are alike.

    >>> folder_names(["a/x.mp4", "b/x.mp4", "rtsp://10.0.0.1/cam?user=1"])
    ['x', 'x-2', 'cam']
    """
    names: list[str] = []
    for source in sources:
        last = source.split("?")[0].rstrip("/").replace("\\", "/").split("/")[-1]
        stem = last.rsplit(".", 1)[0] if "." in last[1:] else last
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in stem) or "source"
        alike = sum(name == safe or name.rpartition("-")[0] == safe for name in names)
        names.append(safe if not alike else f"{safe}-{alike + 1}")
    return names


def check_sources(sources: list[str]) -> None:
    """Refuse a path that is not there before any work begins (streams and patterns are tried)."""
    for source in sources:
        is_path = "://" not in source and not source.isdigit() and not set("*?[") & set(source)
        if is_path and not Path(source).exists():
            raise VideoError("no such file or folder", path=source)


def prepare_folder(
    folder: Path, wanted: JobSettings, *, resume: bool = False, overwrite: bool = False
) -> None:
    """Make the run folder, or check that the run in it may go on.

    Raises OutputError when results are there and neither is asked for, and SettingsError when
    the tracker or its settings do not exist, or the settings of the run there differ.
    """
    if wanted.tracker != NO_TRACKER:
        make_tracker(wanted.tracker, wanted.tracker_settings)
    runs.make_folder(folder)
    text = settings.to_toml(wanted)
    there = folder / runs.SETTINGS
    results = [folder / runs.PREDICTIONS, folder / DETECTIONS, folder / runs.MANIFEST]
    if overwrite:
        for path in results:
            path.unlink(missing_ok=True)
    elif resume and there.exists():
        _refuse_other_settings(there, text)
        return
    elif any(path.exists() for path in results):
        message = "has results of a run; --resume goes on with it, --overwrite starts anew"
        raise OutputError(message, path=folder)
    runs.write_atomic(there, text)


def _refuse_other_settings(there: Path, text: str) -> None:
    old = set(there.read_text(encoding="utf-8").splitlines())
    new = set(text.splitlines())
    if old != new:
        seen, wanted = sorted(old - new), sorted(new - old)
        message = f"{there}: the run to go on with has {seen}, now asked for: {wanted}"
        raise SettingsError(f"{message}; give the same settings, or --overwrite")


def is_complete(folder: Path) -> bool:
    """Whether a run in this folder ended with everything done."""
    manifest = folder / runs.MANIFEST
    return manifest.exists() and '"ended": "complete"' in manifest.read_text(encoding="utf-8")


def run_source(
    source: str, folder: Path, detector: Detector, wanted: JobSettings
) -> Iterator[Step]:
    """Detect (and track) one source into a prepared folder, giving out each finished frame.

    Raises PartialError when the video broke off after some frames (they are on disk), and
    VideoError when not even one could be decoded.
    """
    manifest = _manifest(source, detector)
    _refuse_other_source(folder, manifest)
    last: Step | None = None
    num_lost = 0
    runs.write_json(folder / runs.MANIFEST, {**manifest, "ended": "running or killed"})
    with open_video(source, strict=wanted.flow.strict) as video:
        try:
            for last in _steps(video, source, folder, detector, wanted):
                yield last
        except VideoError as error:
            _finish(folder, manifest, last, ended=f"broken off: {error}")
            if last is None:
                raise
            raise PartialError(f"{error} (kept {last.num_done} frames before it)") from error
        num_lost = video.num_lost
    if num_lost:
        _finish(folder, manifest, last, ended=f"partial: {num_lost} frames could not be decoded")
        raise PartialError(f"{source}: {num_lost} frames could not be decoded; the rest is done")
    _finish(folder, manifest, last, ended="complete")


def _steps(
    video: Video, source: str, folder: Path, detector: Detector, wanted: JobSettings
) -> Iterator[Step]:
    tracker_name = "" if wanted.tracker == NO_TRACKER else wanted.tracker
    header = Header(
        source=source,
        classes=detector.classes,
        info=video.info,
        detector=detector.card.name,
        tracker=tracker_name,
    )
    total = video.info.num_frames
    total = None if total is None else -(-total // wanted.flow.every)
    frames = iter(frames_for(video, detector, wanted.flow))
    with ExitStack() as files:
        out = files.enter_context(PredictionWriter(folder / runs.PREDICTIONS, header, resume=True))
        flow: Iterator[tuple[Frame, Detections | Tracks]]
        if tracker_name:
            raw_header = replace(header, tracker="")
            raw = PredictionWriter(folder / DETECTIONS, raw_header, resume=True)
            files.enter_context(raw)
            flow = _tracked(_replayed(frames, raw, detector, wanted.flow.batch_size), wanted)
        else:
            undone = (frame for frame in frames if frame.index > out.last_frame)
            flow = iter(detect_frames(undone, detector, wanted.flow.batch_size))
        for num_done, (frame, found) in enumerate(flow, 1):
            if frame.index > out.last_frame:
                out.write(frame.index, frame.time_s, found)
            yield Step(frame, found, num_done, total)


def _tracked(
    pairs: Iterator[tuple[Frame, Detections]], wanted: JobSettings
) -> Iterator[tuple[Frame, Tracks]]:
    tracker = make_tracker(wanted.tracker, wanted.tracker_settings)
    for frame, _, tracks in follow(pairs, tracker, cuts=wanted.flow.cuts):
        yield frame, tracks


def _replayed(
    frames: Iterator[Frame], raw: PredictionWriter, detector: Detector, batch_size: int
) -> Iterator[tuple[Frame, Detections]]:
    """Frames with their detections: recorded ones first, then the detector's, recorded now."""
    recorded = raw.last_frame
    if recorded >= 0:
        for known in read_frames(raw.path):
            frame = next(frames, None)
            if frame is None or frame.index != known.index:
                seen = "the video ends" if frame is None else f"the video has frame {frame.index}"
                message = f"has frame {known.index} where {seen}; the video changed"
                raise OutputError(message, path=raw.path)
            assert isinstance(known.found, Detections)
            yield frame, known.found
    for frame, detections in detect_frames(frames, detector, batch_size):
        raw.write(frame.index, frame.time_s, detections)
        yield frame, detections


def _manifest(source: str, detector: Detector) -> dict[str, Any]:
    path, card = Path(source), detector.card
    return {
        "source": source,
        "source_sha256": runs.sha256(path) if path.is_file() else None,
        "model": {
            "name": card.name,
            "licence": card.licence,
            "sha256": card.sha256 or None,
            "classes": list(card.classes),
        },
        "versions": runs.stack(),
    }


def _refuse_other_source(folder: Path, manifest: dict[str, Any]) -> None:
    """Going on with another video or other weights would mix two results silently."""
    path = folder / runs.MANIFEST
    if not path.exists():
        return
    there = json.loads(path.read_text(encoding="utf-8"))
    for name in ("source_sha256", "model"):
        if there[name] != manifest[name]:
            seen = f"{name} is {there[name]} there and {manifest[name]} now"
            raise OutputError(f"is of another run: {seen}; --overwrite starts anew", path=path)


def _finish(folder: Path, manifest: dict[str, Any], last: Step | None, *, ended: str) -> None:
    num_done = 0 if last is None else last.num_done
    runs.write_json(folder / runs.MANIFEST, {**manifest, "num_frames": num_done, "ended": ended})
