"""Events: reported once, when they are certain, and the same however they are made."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from vodkit.formats.predictions import Header
from vodkit.ground.errors import InputError, SettingsError
from vodkit.ground.records import State, Tracks, TrackTable, VideoInfo
from vodkit.infer.event import Event
from vodkit.infer.event_log import EventLog, EventTail, read_events
from vodkit.infer.events import EventMaker
from vodkit.infer.settings import InferSettings
from vodkit.track.count import CountSettings, Line, count_crossings

CHECKOUT = Path(__file__).parents[3]
HEADER = Header(
    source="yard.mp4",
    classes=("car", "truck", "person"),
    info=VideoInfo(path="yard.mp4", width_px=640, height_px=480, rate=Fraction(25)),
    tracker="vodkit",
)
CAR = (300.0, 200.0, 400.0, 260.0)
Row = tuple[int, Sequence[float], int, State]


def tracks_of(*rows: Row, tentative: Sequence[bool] = ()) -> Tracks:
    """Rows are id, box, label, state."""
    return Tracks(
        boxes_xyxy=np.array([row[1] for row in rows], np.float32).reshape(-1, 4),
        scores=np.full(len(rows), 0.8),
        labels=np.array([row[2] for row in rows], np.int64),
        ids=np.array([row[0] for row in rows], np.int64),
        states=np.array([row[3] for row in rows], np.uint8),
        tentative=np.array(tentative or [False] * len(rows), np.bool_),
    )


def events_of(
    frames: Iterator[Tracks] | Sequence[Tracks],
    rate: float,
    *,
    end: bool = True,
    **wanted: tuple[str, ...],
) -> list[Event]:
    maker = EventMaker(HEADER, InferSettings(**wanted))
    found = [
        event
        for index, tracks in enumerate(frames)
        for event in maker.step(index, index / rate, tracks)
    ]
    return found + (maker.end("the source ended") if end else [])


def kinds(events: Sequence[Event]) -> list[str]:
    return [" ".join((event.type, *event.changes)) for event in events]


def parked(rate: float, seconds: float, *, seed: int, misses: float) -> Iterator[Tracks]:
    """A parked car: its boxes jitter, detections come and go, classes and ids change."""
    rng = np.random.default_rng(seed)
    track, unseen = 1, 0
    for _ in range(int(seconds * rate)):
        box = np.array(CAR) + rng.normal(0, 2.0, 4)
        if rng.random() < misses:
            unseen += 1
            is_given = unseen / rate < 1.0  # as trackers do, for a while
            yield tracks_of((track, box, 0, State.PREDICTED)) if is_given else tracks_of()
            continue
        if unseen / rate > 4.0:  # the tracker has forgotten it
            track += 1
        unseen = 0
        label = int(rng.random() < 0.3)
        yield tracks_of((track, box, label, State.OBSERVED))


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "misses"), [(1.0, 0.5), (1.0, 0.0), (2.0, 0.6), (5.0, 0.8)])
def test_a_parked_car_makes_two_events_in_an_hour(rate: float, misses: float) -> None:
    frames = parked(rate, 3600, seed=7, misses=misses)
    began, stopped = events_of(frames, rate, end=False)
    assert began.type == "began"
    assert "stopped" in stopped.changes
    assert stopped.time_s < 60


def test_a_car_that_comes_stops_hides_and_leaves() -> None:
    """25 frames a second; it is hidden for 3 s while it moves, and leaves after it stood."""

    def way() -> Iterator[Tracks]:
        for i in range(100):  # drives in: 4 px a frame
            yield tracks_of((5, (i * 4, 200, i * 4 + 80, 250), 0, State.OBSERVED))
        for i in range(75):
            state = State.PREDICTED
            yield tracks_of((5, (400, 200, 480, 250), 0, state)) if i < 20 else tracks_of()
        for _ in range(500):
            yield tracks_of((5, (400, 200, 480, 250), 0, State.OBSERVED))
        for i in range(50):
            yield tracks_of((5, (400 + 4 * i, 200, 480 + 4 * i, 250), 0, State.OBSERVED))
        for _ in range(300):
            yield tracks_of()

    found = events_of(
        way(), 25.0, zones=("drive=350,100,640,100,640,480,350,480",), lines=("gate=200,0,200,480",)
    )
    assert kinds(found) == [
        "began", "crossed", "changed zone", "changed hidden", "changed back", "changed stopped",
        "changed moves", "changed hidden", "ended",
    ]  # fmt: skip
    assert [event.n for event in found] == list(range(1, 10))
    assert {event.id for event in found} == {"1-5"}
    crossed, zone, stopped, ended = found[1], found[2], found[5], found[-1]
    assert (crossed.line, crossed.direction) == ("gate", "out")
    assert zone.zones == ("drive",)
    assert stopped.stopped
    assert not ended.stopped
    assert ended.reason == "unseen"
    assert ended.seen_s == pytest.approx(725 / 25 - 1 / 25)
    assert ended.time_s == pytest.approx(ended.seen_s + 10.0, abs=0.05)


def come_stop_leave() -> list[Tracks]:
    """At 10 frames a second: one object passes, one comes, stops, is hidden and leaves."""
    rows = [
        tracks_of(
            (5, (i * 10, 200, i * 10 + 80, 250), 0, State.OBSERVED),
            (6, (560 - i * 9, 90, 640 - i * 9, 140), i % 3, State.OBSERVED),
        )
        for i in range(60)
    ]
    rows += [tracks_of((5, (590, 200, 640, 250), 0, State.OBSERVED))] * 150
    rows += [tracks_of()] * 130
    rows += [tracks_of((6, (9 * i, 90, 9 * i + 60, 140), 1, State.OBSERVED)) for i in range(30)]
    return rows


@pytest.mark.parametrize("other_clock_s", [0.0, 1000.0])
def test_events_continue_from_what_was_kept_at_any_moment(other_clock_s: float) -> None:
    """As in the parts of a live run, or in the files of a recording, each with its own clock."""
    wanted = InferSettings(
        zones=("drive=350,100,640,100,640,480,350,480",), lines=("gate=200,0,200,480",)
    )
    rows = come_stop_leave()
    whole, found, states = EventMaker(HEADER, wanted), [], []
    for index, tracks in enumerate(rows):
        states.append(json.dumps(whole.state_dict()) if index % 37 == 3 else "")
        found.append(whole.step(index, index / 10, tracks))
    found.append(whole.end(""))
    assert sum(map(len, found)) == whole.next_n - 1 == 12
    for cut in range(3, len(rows), 37):
        state = json.loads(states[cut])
        maker = EventMaker(HEADER, wanted, first_n=state["next_n"])
        maker.load_state(state, earlier_s=other_clock_s)
        for index in range(cut, len(rows)):
            events = maker.step(index, index / 10 - other_clock_s, rows[index])
            again = [moved(one, other_clock_s) for one in events]
            assert again == [moved(one, 0.0) for one in found[index]]
        assert len(maker.end("")) == len(found[-1]) == 1


def moved(event: Event, by_s: float) -> dict[str, object]:
    """An event on another clock; times within a microsecond are equal."""
    return {
        key: round(value + by_s, 6) if key.endswith("_s") else value
        for key, value in event.to_json().items()
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ["cat"]}, "objects of the classes cat; expected: car, truck, person"),
        ({"objects": [{"track": 1}]}, "not the objects of a run: KeyError"),
        ({"last": None}, "not the objects of a run: TypeError"),
    ],
)
def test_objects_that_do_not_fit_are_refused(change: dict[str, object], message: str) -> None:
    maker = EventMaker(HEADER, InferSettings())
    with pytest.raises(InputError, match=message):
        maker.load_state(maker.state_dict() | change)


def test_a_hidden_object_has_not_ended_and_a_late_one_gets_a_new_id() -> None:
    away = [tracks_of()] * 40

    def seen(count: int) -> list[Tracks]:
        return [tracks_of((3, (i * 9, 0, i * 9 + 30, 60), 2, State.OBSERVED)) for i in range(count)]

    found = events_of([*seen(20), *away, *seen(20)], 10.0)
    assert kinds(found) == ["began", "changed hidden", "changed back", "ended"]
    found = events_of([*seen(20), *away * 3, *seen(20)], 10.0)
    assert kinds(found) == ["began", "changed hidden", "ended", "began", "ended"]
    assert [event.id for event in found] == ["1-3"] * 3 + ["1-3-2"] * 2


def test_what_is_not_confirmed_is_not_reported() -> None:
    rows = [
        tracks_of((1, CAR, 0, State.OBSERVED), (2, CAR, 0, State.OBSERVED), tentative=(True, False))
        for _ in range(3)
    ]
    assert events_of(rows, 25.0) == [], (
        "one is tentative, of the other there is a tenth of a second"
    )
    assert kinds(events_of(rows * 10, 25.0)) == ["began", "ended"]


def test_a_class_that_changes_its_mind_is_reported_once() -> None:
    labels = [0] * 20 + [1] * 400
    rows = [
        tracks_of((1, (i, 0, i + 40, 40), label, State.OBSERVED)) for i, label in enumerate(labels)
    ]
    found = events_of(rows, 10.0, events=("still_s=1000",))
    assert kinds(found) == ["began", "changed class", "ended"]
    assert [event.name for event in found] == ["car", "truck", "truck"]


def test_changes_come_at_most_once_a_second_and_are_joined() -> None:
    """It runs through four zones in a second and a half."""
    rows = [tracks_of((1, (i * 16, 100, i * 16 + 40, 180), 2, State.OBSERVED)) for i in range(38)]
    zones = tuple(f"z{k}={k * 160},0,{k * 160 + 159},0,{k * 160 + 159},480,{k * 160},480"
                  for k in range(4))  # fmt: skip
    found = events_of(rows, 25.0, zones=zones, events=("settle_s=0", "evidence_s=0"))
    times = [event.time_s for event in found if event.type != "ended"]
    assert min(np.diff(times)) >= 1.0 - 1e-9
    assert found[-1].zones == ("z3",)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-30, 30), st.sampled_from([1, 1, 1, 2, 5])), max_size=60),
    st.sampled_from([0.0, 0.3, 1.0]),
)
def test_crossings_are_those_of_count(way: list[tuple[int, int]], settle_s: float) -> None:
    """Of a random walk about a line, with gaps, at 10 frames a second."""
    frames = np.cumsum([step for _, step in way], dtype=int) if way else np.zeros(0, int)
    boxes = np.array([(300 + x, 100, 310 + x, 110) for x, _ in way], float).reshape(-1, 4)
    table = TrackTable(
        frames=frames,
        times_s=frames / 10,
        ids=np.ones(len(way), int),
        boxes_xyxy=boxes,
        labels=np.zeros(len(way), int),
    )
    line = Line(name="l", start_px=(305, 0), end_px=(305, 480))
    wanted = count_crossings(table, [line], CountSettings(settle_s=settle_s))
    by_frame = dict(zip(frames.tolist(), boxes, strict=True))
    rows = [
        tracks_of((1, by_frame[i], 0, State.OBSERVED)) if i in by_frame else tracks_of()
        for i in range(int(frames[-1]) + 1 if way else 0)
    ]
    words = (f"settle_s={settle_s}", "evidence_s=0", "gone_s=1000", "gone_still_s=1000")
    found = events_of(rows, 10.0, lines=("l=305,0,305,480",), events=words)
    crossed = [(e.crossed_s, e.direction == "in") for e in found if e.type == "crossed"]
    assert crossed == [(c.time_s, c.inwards) for c in wanted]


def test_every_event_is_of_the_schema() -> None:
    schema = json.loads((CHECKOUT / "docs" / "events.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    check = Draft202012Validator(schema)
    rows = [
        tracks_of((1, (i * 16, 100, i * 16 + 40, 180), 2, State.OBSERVED)) for i in range(38)
    ] + [tracks_of()] * 300
    found = events_of(rows, 25.0, lines=("a=305,0,305,480",), zones=("z=0,0,300,0,300,480,0,480",))
    assert {event.type for event in found} == {"began", "changed", "crossed", "ended"}
    for event in found:
        check.validate(json.loads(event.to_line()))
    with_utc = replace(found[0], utc="2026-01-02T03:04:05.678+00:00")
    check.validate(with_utc.to_json())
    for wrong in ({"n": 0}, {"type": "gone"}, {"more": 1}, {"box": [0, 0, 1]}):
        assert not check.is_valid(found[0].to_json() | wrong), wrong


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"lines": ("gate=1,2,3",)}, "expected .*x1,y1"),
        ({"lines": ("gate=9000,0,9000,9",)}, "not in the picture of 640x480"),
        ({"zones": ("z=0,0,5,5",)}, "2 corners"),
        ({"events": ("stil_s=3",)}, "still_s"),
        ({"events": ("anchor=middle",)}, "allowed: bottom, centre, top"),
        ({"events": ("gone_s=0",)}, "gone_s is 0.* above 0"),
        ({"tracker": "none", "zones": ("z=0,0,5,5,0,9",)}, "need tracks"),
    ],
)
def test_wrong_settings_are_refused(wanted: dict[str, tuple[str, ...]], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        EventMaker(HEADER, InferSettings(**wanted))


def some_events(count: int) -> list[Event]:
    rows = [
        tracks_of(*((k, (9 * i, 9 * k, 9 * i + 30, 9 * k + 60), 2, State.OBSERVED)
                    for k in range(1, 1 + count)))
        for i in range(20)
    ]  # fmt: skip
    return events_of(rows, 10.0, end=False)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 4000))
def test_a_log_that_was_cut_anywhere_is_completed(tmp_path_factory, cut: int) -> None:
    path = tmp_path_factory.mktemp("log") / "events.jsonl"
    events = some_events(8)
    full = b"".join(event.to_line() for event in events)
    log = EventLog(path)
    log.write(events)
    log.close()
    assert path.read_bytes() == full
    path.write_bytes(full[:cut])
    log = EventLog(path)
    for event in events:
        log.write([event])
    log.finish()
    log.close()
    assert path.read_bytes() == full


def test_a_tail_reads_each_event_once_over_files_and_torn_lines(tmp_path: Path) -> None:
    lines = [event.to_line() for event in some_events(8)]
    (tmp_path / "events-0001.jsonl").write_bytes(b"".join(lines[:3]))
    tail = EventTail(tmp_path, after=1)
    assert tail.take(1) == [(2, lines[1])]
    assert tail.take(9) == [(3, lines[2])]
    with (tmp_path / "events-0001.jsonl").open("ab") as file:
        file.write(lines[3] + lines[4][:20])
    assert tail.take(9) == [(4, lines[3])]
    with (tmp_path / "events-0001.jsonl").open("ab") as file:
        file.write(lines[4][20:])
    (tmp_path / "events-0002.jsonl").write_bytes(b"".join(lines[5:]))
    assert [n for n, _ in tail.take(9)] == [5, 6, 7, 8]
    assert Counter(
        entry["n"] for entry in read_events([tmp_path / "events-0001.jsonl"])
    ) == dict.fromkeys(range(1, 6), 1)
    (tmp_path / "events-0001.jsonl").unlink()
    assert tail.take(9) == []
