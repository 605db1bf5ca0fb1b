"""Short videos around what happened."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vodkit.ground.csv_tables import write_csv
from vodkit.ground.errors import SettingsError
from vodkit.ground.paths import folder_name
from vodkit.infer.finished import FinishedRun
from vodkit.video.writer import VideoWriter


@dataclass(frozen=True, kw_only=True)
class Span:
    """A time in which something happened."""

    what: str
    begin_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A written clip."""

    path: Path
    begin_s: float
    """of its first frame, on the video's clock"""
    end_s: float
    """of its last frame"""
    what: tuple[str, ...]


def spans_of_tracks(run: FinishedRun, labels: Iterable[int]) -> Iterator[Span]:
    """From the first to the last box of every track of some classes."""
    run.require_tracks()
    table, wanted = run.predictions.table, set(labels)
    ends: dict[int, tuple[float, float, int]] = {}
    for track_id, time_s, label in zip(
        table.ids.tolist(), table.times_s.tolist(), table.labels.tolist(), strict=True
    ):
        begin_s = ends[track_id][0] if track_id in ends else time_s
        ends[track_id] = (begin_s, time_s, label)
    for track_id, (begin_s, end_s, label) in ends.items():
        if label in wanted:
            what = f"{run.header.classes[label]} {track_id}"
            yield Span(what=what, begin_s=begin_s, end_s=end_s)


def joined(spans: Iterable[Span], around_s: float) -> list[tuple[float, float, list[Span]]]:
    """Begin, end and content of clips: spans with ``around_s`` before and after, overlaps joined.

    >>> [(a, b) for a, b, _ in joined([Span(what="x", begin_s=5, end_s=6)], 2)]
    [(3, 8)]
    """
    if not around_s >= 0:
        raise SettingsError(f"around_s is {around_s}; allowed: 0 or more")
    clips: list[tuple[float, float, list[Span]]] = []
    for span in sorted(spans, key=lambda one: one.begin_s):
        begin_s, end_s = span.begin_s - around_s, span.end_s + around_s
        if clips and begin_s <= clips[-1][1]:
            first_s, last_s, content = clips[-1]
            clips[-1] = (first_s, max(last_s, end_s), [*content, span])
        else:
            clips.append((begin_s, end_s, [span]))
    return clips


def write_clips(
    run: FinishedRun, spans: Iterable[Span], folder: Path, *, around_s: float = 1.0
) -> list[Clip]:
    """Write a clip for each span, or for several whose clips would overlap, and ``clips.csv``.

    Args:
        run: the video.
        spans: what to show.
        folder: an existing folder.
        around_s: seconds shown before and after.
    """
    wanted = joined(spans, around_s)
    done: list[Clip] = []
    with run.open_video() as video:
        size: dict[str, Any] = {"width_px": video.info.width_px, "height_px": video.info.height_px}
        frames = iter(video.frames())
        frame = next(frames, None)
        for number, (begin_s, end_s, content) in enumerate(wanted, 1):
            while frame is not None and frame.time_s < begin_s:
                frame = next(frames, None)
            if frame is None:
                break
            name = folder_name(content[0].what)
            path = folder / f"{number:04d}-{max(begin_s, 0):.1f}s-{name}.mp4"
            first_s = last_s = frame.time_s
            with VideoWriter(path, **size, rate=video.info.rate) as out:
                while frame is not None and frame.time_s <= end_s:
                    out.write(frame.image, frame.time_s)
                    last_s = frame.time_s
                    frame = next(frames, None)
            what = tuple(span.what for span in content)
            done.append(Clip(path=path, begin_s=first_s, end_s=last_s, what=what))
    _write_list(done, folder / "clips.csv")
    return done


def _write_list(clips: Sequence[Clip], path: Path) -> None:
    rows = [
        (clip.path.name, f"{clip.begin_s:.6f}", f"{clip.end_s:.6f}", "; ".join(clip.what))
        for clip in clips
    ]
    write_csv(path, ("file", "begin_s", "end_s", "what"), rows)
