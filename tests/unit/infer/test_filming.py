"""A film drawn in the pass that tracks has the pictures and rows of one drawn from the file."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vodkit.formats.predictions import (
    Header,
    PredictedFrame,
    PredictionWriter,
    final_frames,
    frames_with,
)
from vodkit.ground.errors import OutputError
from vodkit.ground.records import Frame, Tracks
from vodkit.infer import filming
from vodkit.infer.exports import export
from vodkit.infer.filming import Drawing, OnePass
from vodkit.video.reader import open_video
from vodkit.video.synth import Scene, SceneSettings, write_scene

NUM_FRAMES = 24


class Recorder:
    """A film that keeps what it is sent."""

    def __init__(self, fails_at: int = -1) -> None:
        self.drawn: list[tuple[int, float, np.ndarray[Any, Any], Any]] = []
        self.fails_at = fails_at

    def __call__(self, path: Path, header: Header, source: str) -> Drawing:
        self.drawn.clear()
        while (pair := (yield)) is not None:
            frame, found = pair
            if frame.index == self.fails_at:
                raise OutputError("cannot write: no space left on the disk", path=path)
            self.drawn.append((frame.index, frame.time_s, frame.image, found))
        return [f"{header.source}: drawn"]


@pytest.fixture(scope="module", params=["film.mp4", "pictures"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / request.param
    scene = Scene(SceneSettings(num_frames=NUM_FRAMES, width_px=96, height_px=64))
    if path.suffix:
        write_scene(scene, path)
        return path
    import cv2

    path.mkdir()
    for frame in scene.frames():
        cv2.imwrite(str(path / f"{frame.index:03d}.png"), frame.image)
    return path


def tracks_of(rows: dict[int, bool]) -> Tracks:
    """By id, whether it is tentative."""
    many = len(rows)
    boxes = np.tile(np.array([[1, 2, 30, 40]], np.float32), (many, 1))
    found = Tracks(boxes, np.full(many, 0.5), np.zeros(many), np.array([*rows]), np.zeros(many))
    return replace(found, tentative=np.array([*rows.values()], bool))


def steps_of(
    frames: Iterator[Frame], tentative: dict[int, range], confirmed: dict[int, range]
) -> Iterator[PredictedFrame]:
    for frame in frames:
        rows = {track: True for track, seen in tentative.items() if frame.index in seen}
        rows |= {track: False for track, seen in confirmed.items() if frame.index in seen}
        yield PredictedFrame(frame.index, frame.time_s, tracks_of(rows))


def in_one_pass(
    source: Path, film: Recorder, every: int, **rows: dict[int, range]
) -> tuple[OnePass, list[PredictedFrame]]:
    one, steps = OnePass(film, source.with_name("film"), str(source)), []
    with open_video(source, on_decoded=one.decoded) as video:
        one.begin(Header(source="a", classes=("thing",), info=video.info))
        frames = video.frames(every=every, size_px=(48, 32))
        for step in steps_of(frames, **rows):
            one.step(step)
            steps.append(step)
        one.end()
    return one, steps


@pytest.mark.parametrize("every", [1, 5])
def test_pictures_and_rows_are_those_of_the_file(source: Path, every: int) -> None:
    film = Recorder()
    rows = {"tentative": {1: range(3), 2: range(6, 9)}, "confirmed": {1: range(3, 20)}}
    one, steps = in_one_pass(source, film, every, **rows)
    assert one.is_over
    assert one.notes == ["a: drawn"]
    with open_video(source) as video:
        wanted = list(frames_with(video.frames(), final_frames(steps)))
    assert [drawn[0] for drawn in film.drawn] == list(range(NUM_FRAMES))
    for (index, time_s, image, found), (frame, rows_there) in zip(film.drawn, wanted, strict=True):
        assert (index, time_s) == (frame.index, frame.time_s)
        assert np.array_equal(image, frame.image)
        assert found == rows_there


def test_a_track_that_is_confirmed_late_makes_a_second_pass(source: Path) -> None:
    rows = {"tentative": {1: range(2)}, "confirmed": {1: range(22, NUM_FRAMES)}}
    one, _ = in_one_pass(source, Recorder(), 1, **rows)
    assert not one.is_over
    assert one.error is None


def test_pictures_do_not_pile_up(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filming, "_LEAST", 6)
    monkeypatch.setattr(filming, "_MOST_BYTES", 0)
    one, _ = in_one_pass(source, Recorder(), 1, tentative={1: range(NUM_FRAMES)}, confirmed={})
    assert not one.is_over


def test_a_film_that_cannot_be_written_ends_nothing_else(source: Path) -> None:
    one, steps = in_one_pass(source, Recorder(fails_at=4), 1, tentative={}, confirmed={})
    assert one.is_over, "the error is the same from the file"
    assert isinstance(one.error, OutputError)
    assert len(steps) == NUM_FRAMES


def test_a_film_of_the_file_is_drawn_by_the_same_sink(source: Path, tmp_path: Path) -> None:
    path, film = tmp_path / "predictions.jsonl", Recorder()
    with open_video(source) as video:
        header = Header(source="a", classes=("thing",), info=video.info, tracker="sort")
        with PredictionWriter(path, header) as out:
            rows = {1: range(NUM_FRAMES)}
            for step in steps_of(video.frames(), tentative={}, confirmed=rows):
                out.write(step.index, step.time_s, step.found)
    files = {"video": tmp_path / "film", "csv": tmp_path / "a.csv"}
    written, errors, notes = export(path, files, film=film, source=source)
    assert (written, errors, notes) == ([*files.values()], [], ["a: drawn"])
    assert [(drawn[0], drawn[3].ids.tolist()) for drawn in film.drawn] == [
        (index, [1]) for index in range(NUM_FRAMES)
    ]
