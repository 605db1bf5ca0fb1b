"""What this machine does with each model, runtime and source: frames a second, side by side.

Four speeds of one detector on one video, each in frames a second:

    decode    the video alone, straight to the network's size
    track     everything: decode, detect, temporal memory, track, and predictions.jsonl on disk
    network   the network alone, on pictures that are in memory, as many as were tracked
    detect    the same with placing and post-processing

Detectors take turns, so that other load on the machine is equally unfair to all of them; a speed is
the median of all turns. ``share``, the median of each turn's ``track / network``, says how much of
the network's speed the rest leaves.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from vodkit.benchmark.settings import BenchSettings
from vodkit.detect.base import in_stream
from vodkit.detect.detector import GraphDetector
from vodkit.detect.devices import on_gpu
from vodkit.detect.models import find_card, listed, load_detector
from vodkit.detect.runtimes.choice import AUTO
from vodkit.detect.runtimes.table import ON_GPU, RUNTIMES
from vodkit.ground.errors import InputError, PartialError, SettingsError
from vodkit.ground.lookup import pick
from vodkit.ground.records import Frame
from vodkit.infer.folder import RunFolder
from vodkit.infer.run import check_sources, run_source
from vodkit.track.table import make_tracker
from vodkit.video.reader import open_video

NEEDS = {"torch": "torch", "openvino": "openvino", "onnx": "onnxruntime"}


@dataclass(frozen=True, kw_only=True)
class Speeds:
    """One detector on one source, in frames a second; None: there are too few frames to tell."""

    source: str
    model: str
    runtime: str
    """with the device it ran on"""
    input_px: tuple[int, int]
    """width, height of what the network sees"""
    random_weights: bool
    """the weights are not here: the speed is right, what it finds is not"""
    decode: float | None
    network: float | None
    detect: float | None
    track: float | None
    share: float | None
    """``track / network``"""


@dataclass(frozen=True)
class Bench:
    """All that was measured, and what was not."""

    lines: tuple[Speeds, ...]
    left_out: tuple[str, ...]
    """runtimes that are not here, or cannot run a model, and why"""
    failed: tuple[str, ...]
    """sources and weights that cannot be read, and why"""


@dataclass(frozen=True)
class _Entry:
    model: str
    runtime: str
    detector: GraphDetector
    random: bool


def run_bench(
    settings: BenchSettings, *, tell: Callable[[str], None] = lambda _words: None
) -> Bench:
    """Measure; ``tell`` hears what is being measured.

    Wrong names are errors before anything is measured. A source that breaks, or weights that cannot
    be read, cost their own lines only; InputError when nothing is left to measure.
    """
    check_sources(list(settings.sources))
    make_tracker(settings.tracker, ())
    for name in settings.runtimes:
        pick({AUTO: None, **RUNTIMES}, name, "runtime")
    for name in settings.models:
        find_card(name)
    left_out: list[str] = []
    failed: list[str] = []
    entries = list(_entries(settings, left_out, failed))
    lines: list[Speeds] = []
    for source in settings.sources if entries else ():
        try:
            lines += _of_source(source, entries, settings, tell)
        except (InputError, PartialError) as error:
            failed.append(str(error))
    if not lines:
        raise InputError(f"nothing to measure: {'; '.join([*failed, *left_out])}")
    return Bench(tuple(lines), tuple(left_out), tuple(failed))


def _default_runtimes(settings: BenchSettings) -> tuple[str, ...]:
    return (*NEEDS, "cuda") if on_gpu(settings.device) else tuple(NEEDS)


def _entries(settings: BenchSettings, left_out: list[str], failed: list[str]) -> Iterator[_Entry]:
    """All detectors that can be had; those without weights here have random ones."""
    here = [line.card.name for line in listed() if line.here]
    for name in settings.models or here:
        random = not (name in here or Path(name).exists())
        for runtime in settings.runtimes or _default_runtimes(settings):
            if runtime in NEEDS and find_spec(NEEDS[runtime]) is None:
                left_out.append(f"{name}, {runtime}: not installed")
                continue
            wanted = settings.run_settings(name)
            try:
                detector = load_detector(
                    name,
                    score_threshold=wanted.candidate_score,
                    temporal=wanted.temporal if wanted.has_head else "",
                    runtime=runtime,
                    device=settings.device if runtime in ON_GPU else "auto",
                    size=settings.size,
                    weights="random" if random else "default",
                )
            except SettingsError as error:
                left_out.append(f"{name}, {runtime}: {error}")
            except InputError as error:
                failed.append(f"{name}, {runtime}: {error}")
            else:
                yield _Entry(name, runtime, detector, random)


def _of_source(
    source: str, entries: Sequence[_Entry], settings: BenchSettings, tell: Callable[[str], None]
) -> list[Speeds]:
    """The lines of one source."""
    frames = [_first(source, entry.detector, _batch(entry, settings)) for entry in entries]
    for entry, some in zip(entries, frames, strict=True):
        entry.detector.network_alone(some)()  # what is compiled at first is no part of a speed
    turns: list[list[dict[str, float | None]]] = [[] for _ in entries]
    for turn in range(settings.turns):
        for entry, some, seen in zip(entries, frames, turns, strict=True):
            of = f"{entry.model}, {entry.runtime}, {source}"
            tell(f"turn {turn + 1} of {settings.turns}: {of}")
            seen.append(_measure(source, entry, some, settings))
    return [_speeds(source, entry, seen) for entry, seen in zip(entries, turns, strict=True)]


def _speeds(source: str, entry: _Entry, turns: Sequence[dict[str, float | None]]) -> Speeds:
    wanted = entry.detector.card.preprocessing
    return Speeds(
        source=source,
        model=entry.model,
        runtime=str(entry.detector.runs_on),
        input_px=(wanted.width_px, wanted.height_px),
        random_weights=entry.random,
        **{name: _median([turn[name] for turn in turns]) for name in turns[0]},
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _first(source: str, detector: GraphDetector, count: int) -> list[Frame]:
    """The first frames of a source, decoded for this detector."""
    with closing(_decoding(source, detector)) as frames:
        found = list(islice(frames, count))
    if not found:
        raise InputError(f"{source}: has no frames")
    return found


def _measure(
    source: str, entry: _Entry, frames: Sequence[Frame], settings: BenchSettings
) -> dict[str, float | None]:
    """All speeds, once: the network on about as many pictures as were tracked just before."""
    detector, batch = entry.detector, _batch(entry, settings)
    decode, _ = _speed(lambda: _decoding(source, detector), settings.seconds, at_once=1)
    track, count = _speed(
        lambda: _tracking(source, entry, settings), settings.seconds, at_once=batch
    )
    count = max(count, batch)
    alone = detector.network_alone(frames, count)
    network = count / _seconds(alone)
    seen = islice(cycle(frames), count)
    detect = count / _seconds(lambda: sum(1 for _ in in_stream(detector, seen, batch)))
    share = None if track is None else track / network
    return {
        "decode": decode, "network": network, "detect": detect, "track": track, "share": share,
    }  # fmt: skip


def _batch(entry: _Entry, settings: BenchSettings) -> int:
    return settings.batch_size or entry.detector.batch_size


def _decoding(source: str, detector: GraphDetector) -> Generator[Frame]:
    with open_video(source) as video:
        info = video.info
        yield from video.frames(size_px=detector.decode_px(info.width_px, info.height_px))


def _tracking(source: str, entry: _Entry, settings: BenchSettings) -> Generator[object]:
    wanted = settings.run_settings(entry.model)
    with TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        RunFolder(run).prepare(wanted)
        yield from run_source(source, run, entry.detector, wanted)


def _speed(
    begin: Callable[[], Generator[object]], seconds: float, *, at_once: int
) -> tuple[float | None, int]:
    """Steps a second, and how many there were; ``at_once`` of them are worked on together.

    The first ones do not count: they were worked on before the first came out. Nor does a part of
    such a batch at the end: with a slow network it would be had for nothing. A source that ends
    before the time is over is begun again; what that takes does not count.
    """
    count, spent, end = 0, 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        with closing(begin()) as steps:
            for _ in islice(steps, at_once):
                pass
            seen, started = 0, time.perf_counter()
            for _ in steps:
                seen += 1
                if seen % at_once == 0 and time.perf_counter() > end:
                    break
            spent += time.perf_counter() - started
        if not seen:  # no more than a batch
            break
        count += seen
    return (count / spent if count else None), count


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
