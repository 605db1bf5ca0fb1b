"""What this machine does with each model, runtime and source: frames a second, side by side.

Four speeds of one detector on one video, each in frames a second:

    decode    the video alone, straight to the network's size
    network   the network alone, on pictures that are in memory
    detect    network with placing and post-processing
    track     everything: decode, detect, track, and predictions.jsonl on disk

Detectors take turns, so that other load on the machine is equally unfair to all of them; a speed
is the best of all turns. ``track / network`` says how much of the network's speed the rest leaves.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from vodkit.detect.detector import GraphDetector
from vodkit.detect.models import find_card, listed, load_detector
from vodkit.detect.preprocess import resized_px
from vodkit.errors import SettingsError
from vodkit.jobs import JobSettings, prepare_folder, run_source
from vodkit.pipeline import FlowSettings
from vodkit.records import Frame
from vodkit.samples.samples import CLIP_B
from vodkit.video.reader import open_video

NEEDS = {"torch": "torch", "openvino": "openvino", "onnx": "onnxruntime"}


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """What is measured, and for how long."""

    sources: tuple[str, ...] = (str(CLIP_B),)
    """videos"""
    models: tuple[str, ...] = ()
    """names or files; none: every model whose weights are here"""
    runtimes: tuple[str, ...] = ("torch", "openvino", "onnx")
    """those that are not installed are left out"""
    tracker: str = "vodkit"
    """of the whole pipeline"""
    batch_size: int = 8
    """frames given to the network at once"""
    seconds: float = 2.0
    """for each speed of each detector, in each of the turns"""
    turns: int = 2
    """how often everything is measured"""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("batch_size", "turns"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: 1 or more")
        if not 0 < self.seconds <= 600:
            raise SettingsError(f"seconds is {self.seconds}; allowed: above 0, up to 600")


@dataclass(frozen=True, kw_only=True)
class Speeds:
    """One detector on one source, in frames a second."""

    source: str
    model: str
    runtime: str
    """with the device it ran on"""
    input_px: tuple[int, int]
    """width, height of what the network sees"""
    random_weights: bool
    """the weights are not here: the speed is right, what it finds is not"""
    decode: float = 0.0
    network: float = 0.0
    detect: float = 0.0
    track: float = 0.0

    @property
    def share(self) -> float:
        """``track / network``."""
        return self.track / self.network


@dataclass(frozen=True)
class Bench:
    """All that was measured, and what was left out and why."""

    lines: tuple[Speeds, ...]
    left_out: tuple[str, ...]

    def as_json(self) -> list[dict[str, object]]:
        """A list of plain objects."""
        return [{**asdict(line), "share": line.share} for line in self.lines]


def run_bench(
    settings: BenchSettings, *, tell: Callable[[str], None] = lambda _words: None
) -> Bench:
    """Measure; ``tell`` hears what is being measured.

    Raises VideoError for a source that cannot be read; a detector that cannot be had (no such
    runtime, no way to convert) is left out, with the reason.
    """
    left_out: list[str] = []
    detectors = list(_detectors(settings, left_out))
    if not detectors:
        raise SettingsError(f"nothing to measure: {'; '.join(left_out)}")
    lines = []
    for source in settings.sources:
        seen = [_begun(source, *one) for one in detectors]
        for turn in range(settings.turns):
            for number, (name, runtime, detector, _) in enumerate(detectors):
                tell(f"turn {turn + 1} of {settings.turns}: {name}, {runtime}, {source}")
                seen[number] = _best(seen[number], _measure(source, name, detector, settings))
        lines += seen
    return Bench(tuple(lines), tuple(left_out))


_Entry = tuple[str, str, GraphDetector, bool]


def _detectors(settings: BenchSettings, left_out: list[str]) -> Iterator[_Entry]:
    """(model, runtime, detector, whether its weights are random) of all that can be had."""
    names = settings.models or tuple(line.card.name for line in listed() if line.here)
    here = {line.card.name for line in listed() if line.here}
    for name in names:
        random = not (name in here or Path(name).is_file())
        for runtime in settings.runtimes:
            if runtime in NEEDS and find_spec(NEEDS[runtime]) is None:
                left_out.append(f"{name}, {runtime}: not installed")
                continue
            weights = "random" if random else "default"
            try:
                find_card(name)
                yield name, runtime, load_detector(name, runtime=runtime, weights=weights), random
            except SettingsError as error:
                left_out.append(f"{name}, {runtime}: {error}")


def _begun(source: str, name: str, _runtime: str, detector: GraphDetector, random: bool) -> Speeds:
    wanted = detector.card.preprocessing
    return Speeds(
        source=source,
        model=name,
        runtime=detector.runtime,
        input_px=(wanted.width_px, wanted.height_px),
        random_weights=random,
    )


def _best(one: Speeds, speeds: dict[str, float]) -> Speeds:
    best = {name: max(value, getattr(one, name)) for name, value in speeds.items()}
    return Speeds(**{**asdict(one), **best})


def _measure(
    source: str, name: str, detector: GraphDetector, settings: BenchSettings
) -> dict[str, float]:
    """All four speeds, once."""
    frames, decode = _decoded(source, detector, settings)
    alone = detector.network_alone(frames)
    return {
        "decode": decode,
        "network": len(frames) / _seconds_a_call(alone, settings.seconds),
        "detect": len(frames) / _seconds_a_call(lambda: detector.detect(frames), settings.seconds),
        "track": _track(source, name, detector, settings),
    }


def _decoded(
    source: str, detector: GraphDetector, settings: BenchSettings
) -> tuple[list[Frame], float]:
    """The first batch, and decoded frames a second."""
    with open_video(source) as video:
        info = video.info
        size_px = resized_px(info.width_px, info.height_px, detector.card.preprocessing)
        first = list(islice(video.frames(size_px=size_px), settings.batch_size))
        counted = _until(video.frames(size_px=size_px), settings.seconds)
    return first, counted


def _track(source: str, name: str, detector: GraphDetector, settings: BenchSettings) -> float:
    wanted = JobSettings(
        model=name,
        tracker=settings.tracker,
        flow=FlowSettings(batch_size=settings.batch_size, full_size=False),
    )
    with TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        prepare_folder(run, wanted)
        return _until(run_source(source, run, detector, wanted), settings.seconds)


def _until(steps: Iterator[object], seconds: float) -> float:
    """Steps a second after the first, of a generator that is closed when the time is over."""
    next(steps, None)
    begin = time.perf_counter()
    count = 0
    for _ in steps:
        count += 1
        if time.perf_counter() - begin > seconds:
            break
    rate = count / (time.perf_counter() - begin)
    close = getattr(steps, "close", None)
    if close is not None:
        close()
    return rate


def _seconds_a_call(work: Callable[[], object], seconds: float) -> float:
    """The quickest of the calls that fit into the time, after one to warm up."""
    work()
    quickest, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        work()
        quickest = min(quickest, time.perf_counter() - begin)
    return quickest if quickest < float("inf") else seconds
