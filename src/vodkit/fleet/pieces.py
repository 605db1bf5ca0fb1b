"""One long video, detected in pieces by several processes; the result has the same bytes.

Detecting takes nearly all of the time and needs no order: each process records the detections of
one stretch of the video. Put together they are the recording that one process would have made, and
the run then goes through the video once, in order, to track (decision 0006).
"""

import multiprocessing
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from pathlib import Path

from vodkit.detect.base import Detector, in_stream
from vodkit.formats.embeddings import EmbeddingFile
from vodkit.formats.predictions import Header, PredictionWriter, read_frames
from vodkit.ground import process, runs
from vodkit.ground.errors import SettingsError, VideoError
from vodkit.ground.text import redacted
from vodkit.infer.flow import make_detector, size_px
from vodkit.infer.folder import RunFolder
from vodkit.infer.recording import append_rows, row_files
from vodkit.infer.run import header_of, recorded_in
from vodkit.infer.settings import InferSettings
from vodkit.video.reader import open_video


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A stretch of a video, as a process gets it."""

    source: str
    settings: InferSettings
    """runtime and device resolved"""
    start: int
    stop: int
    header: Header
    path: Path
    """detections go there, embeddings and features beside them"""
    threads: int


def check_pieces(settings: InferSettings, count: int) -> None:
    """SettingsError where detections depend on the frames before."""
    if count > 1 and settings.is_sparse:
        message = "pieces with every auto: key frames depend on the frames before them"
        raise SettingsError(f"{message}; allowed: --every with a number")


def detect_in_pieces(
    source: str, folder: RunFolder, detector: Detector, settings: InferSettings, *, count: int
) -> int:
    """Record the detections of a video in a run folder: the ``record`` of ``run_source``.

    A video whose length is unknown is left to the run. From damage on the run detects, and reports.

    Args:
        source: the video.
        folder: its run folder; what is recorded there already is not detected again.
        detector: of the run; each process loads its own.
        settings: of the run.
        count: processes.

    Returns:
        The last frame that was recorded before; -1: none.
    """
    check_pieces(settings, count)
    if detector.card.preprocessing.motion_lags_s:
        seen = f"pieces with {settings.model}, which compares frames with those before them"
        raise SettingsError(f"{seen}; allowed: one piece")
    resolved = replace(
        settings,
        runtime=detector.runs_on.runtime,
        device=detector.runs_on.device,
        batch_size=settings.batch_size or detector.batch_size,
    )
    with open_video(source, strict=not settings.lenient, picture_rate=settings.rate) as video:
        header = header_of(redacted(source), video, detector, settings, raw=True)
        num_frames = video.info.num_frames or 0
    path = folder / recorded_in(settings)
    with ExitStack() as files:
        scratch = Path(files.enter_context(tempfile.TemporaryDirectory(prefix="vodkit-")))
        raw = files.enter_context(PredictionWriter(path, header, resume=True))
        rows = {
            name: files.enter_context(EmbeddingFile(folder / file))
            for name, file in row_files(settings).items()
        }
        for frame in read_frames(path) if rows else ():  # rows that exist already
            for file in rows.values():
                file.take(len(frame.found))
        before = raw.last_frame
        threads = max(1, (process.threads_asked() or runs.num_cores()) // count)
        pieces = [
            Piece(
                source=source,
                settings=resolved,
                start=start,
                stop=stop,
                header=header,
                path=scratch / f"{start}.jsonl",
                threads=threads,
            )
            for start, stop in pairwise(bounds(before, num_frames, resolved, count))
            if start < stop
        ]
        if pieces:
            _append(_detected(pieces), raw, rows)
    return before


def bounds(last: int, num_frames: int, settings: InferSettings, count: int) -> list[int]:
    """Where the pieces begin, and the end: between batches, so that these are the same ones.

    >>> bounds(-1, 100, InferSettings(batch_size=8), 3)
    [0, 40, 80, 100]
    >>> bounds(-1, 9, InferSettings(batch_size=2, every=2), 2), bounds(7, 8, InferSettings(), 2)
    ([0, 8, 9], [8, 8])
    """
    step = settings.stride
    first = (last // step + 1) * step if last >= 0 else 0
    group = step * max(1, settings.batch_size)
    groups = -(-max(0, num_frames - first) // group)
    length = -(-groups // count) * group
    if not length:
        return [first, max(first, num_frames)]
    return [*range(first, num_frames, length), num_frames]


def _detected(pieces: list[Piece]) -> list[Piece]:
    """The pieces up to the first damage, detected, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(len(pieces)) as pool:
        whole = pool.map(_detect, pieces, chunksize=1)
    num_whole = len([*takewhile(bool, whole)])
    return pieces[: num_whole + 1]


def _detect(piece: Piece) -> bool:
    """Record one piece; whether all of it could be decoded. Runs in a process of its own."""
    process.use_threads(piece.threads)
    process.settle()
    settings, lenient = piece.settings, piece.settings.lenient
    detector = make_detector(settings)
    with ExitStack() as files:
        out = files.enter_context(PredictionWriter(piece.path, piece.header))
        rows = {
            name: files.enter_context(EmbeddingFile(_beside(piece, name)))
            for name in row_files(settings)
        }
        video = files.enter_context(
            open_video(
                piece.source, strict=not lenient, picture_rate=settings.rate, one_thread=True
            )
        )
        size = size_px(video, detector, settings)
        frames = video.frames(start=piece.start, every=settings.stride, size_px=size)
        wanted = takewhile(lambda frame: frame.index < piece.stop, frames)
        try:
            with closing(in_stream(detector, wanted, settings.batch_size)) as steps:
                for frame, detections in steps:
                    append_rows(rows, detections)
                    out.write(frame.index, frame.time_s, detections)
        except VideoError:
            return False
    return True


def _beside(piece: Piece, name: str) -> Path:
    """The file of a column of a piece's detections."""
    return piece.path.with_suffix(f".{name}.bin")


def _append(pieces: list[Piece], raw: PredictionWriter, rows: Mapping[str, EmbeddingFile]) -> None:
    """Put the recordings of the pieces after what is recorded, rows before their frame."""
    for piece in pieces:
        with ExitStack() as files:
            theirs = {
                name: files.enter_context(EmbeddingFile(_beside(piece, name))) for name in rows
            }
            for frame in read_frames(piece.path):
                found = frame.found
                for name, file in rows.items():
                    file.append(theirs[name].take(len(found)))
                raw.write(frame.index, frame.time_s, found)
