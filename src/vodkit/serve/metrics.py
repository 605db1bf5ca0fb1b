"""``/metrics``: the counters of live sources in the text format of Prometheus."""

from collections import Counter
from collections.abc import Callable, Iterator

from vodkit.serve.board import BUCKETS_S, Board, Shown

TYPE = "text/plain; version=0.0.4; charset=utf-8"

_Value = Callable[[Shown], float | None]
# name, type, help, value; a value that is None is left out
_PLAIN: tuple[tuple[str, str, str, _Value], ...] = (
    ("up", "gauge", "Whether frames come.", lambda one: one.is_up),
    ("frames_total", "counter", "Frames processed.", lambda one: one.num_frames),
    ("dropped_total", "counter", "Frames dropped.", lambda one: one.num_dropped),
    ("reconnects_total", "counter", "Connections made again.", lambda one: one.num_reconnects),
    (
        "last_frame_timestamp_seconds",
        "gauge",
        "When the newest frame came.",
        lambda one: one.came_s,
    ),
)


def metrics_text(board: Board) -> str:
    """All metrics of a board."""
    return "".join(f"{line}\n" for line in _lines(board))


def _lines(board: Board) -> Iterator[str]:
    for name, kind, words, value in _PLAIN:
        yield from _head(name, kind, words)
        for one in board.shown:
            found = value(one)
            if found is not None:
                yield _line(name, float(found), source=one.source)
    yield from _head("latency_seconds", "histogram", "From decoded pixels to boxes on disk.")
    for one in board.shown:
        total = 0
        for limit, count in zip((*BUCKETS_S, "+Inf"), list(one.latencies), strict=True):
            total += count
            yield _line("latency_seconds_bucket", total, source=one.source, le=str(limit))
        yield _line("latency_seconds_sum", one.latency_sum_s, source=one.source)
        yield _line("latency_seconds_count", total, source=one.source)
    yield from _head("tracks", "gauge", "Objects in the newest frame.")
    for one in board.shown:
        if one.step is not None:
            here = Counter(one.step.found.labels.tolist())
            for label, name in enumerate(board.classes):
                yield _line("tracks", here[label], **{"source": one.source, "class": name})
    yield from _head("events_total", "counter", "Events.")
    for one in board.shown:
        for kind, count in sorted(one.num_events.items()):
            yield _line("events_total", count, source=one.source, type=kind)
    yield from _of_receivers(board)


def _of_receivers(board: Board) -> Iterator[str]:
    couriers = board.couriers()
    pairs = [(one.source, to) for one in board.shown for to in couriers.get(one.folder, ())]
    yield from _head("undelivered_events", "gauge", "Events that wait for a receiver.")
    for source, courier in pairs:
        yield _line("undelivered_events", courier.waiting, source=source, to=courier.name)
    yield from _head("undeliverable_events_total", "counter", "Events that waited too long.")
    for source, courier in pairs:
        yield _line("undeliverable_events_total", courier.dropped, source=source, to=courier.name)


def _head(name: str, kind: str, words: str) -> Iterator[str]:
    yield f"# HELP vodkit_{name} {words}"
    yield f"# TYPE vodkit_{name} {kind}"


def _line(name: str, value: float, **labels: str) -> str:
    """A sample.

    >>> _line("up", 1, source="yard")
    'vodkit_up{source="yard"} 1'
    """
    pairs = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"vodkit_{name}{{{pairs}}} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
