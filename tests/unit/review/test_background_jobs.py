"""The model in the loop: it follows, keeps numbers, learns from accepted frames, can be killed."""

import time
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vodkit.detect.defaults import NETWORK
from vodkit.detect.published import packaged_card
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.errors import InputError
from vodkit.ground.records import (
    NO_ID,
    Dataset,
    Detections,
    Frame,
    LabelledVideo,
    TrackTable,
    VideoInfo,
)
from vodkit.review.curve import Base, Track
from vodkit.review.document import Document, Timing
from vodkit.review.exchange import model_tracks
from vodkit.review.jobs import Jobs, ModelSettings, split_accepted
from vodkit.review.journal import Journal
from vodkit.review.project import MODEL, ProjectSettings, open_project, put
from vodkit.review.relabel import Prediction, relabelled, renumbered
from vodkit.review.worker import followed, learning, sharp, to_correct
from vodkit.samples import samples
from vodkit.video.reader import open_video
from vodkit.video.writer import VideoWriter

WEIGHTS = packaged_card("vodkit-street").with_name("vodkit-street.safetensors")
INFO = VideoInfo(path="a", width_px=640, height_px=480, rate=Fraction(10), num_frames=1000)


class Brightest:
    """A detector of one class: the bounding box of white pixels."""

    card: Any = None
    classes = ("blob",)

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        return [self._in(frame.image) for frame in frames]

    def _in(self, image: np.ndarray) -> Detections:
        rows, columns = np.nonzero(image.min(axis=2) > 200)
        if not len(rows):
            return Detections.empty()
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        return Detections(np.array([box]), np.array([0.9]), np.array([0]))


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A white square that moves by 3 px a frame, disappears for 5 frames, and later for good."""
    folder = tmp_path_factory.mktemp("walk")
    for index in range(80):
        image = np.full((80, 300, 3), 60, np.uint8)
        if not 20 <= index < 25 and index < 50:
            image[30:50, 10 + 3 * index : 30 + 3 * index] = 255
        cv2.imwrite(str(folder / f"{index:03d}.png"), image)
    return folder


def test_follow_bridges_a_gap_and_says_where_it_lost_the_object(walk: Path) -> None:
    rows, why = followed(Brightest(), str(walk), 2, np.array([15.0, 28, 37, 52]))
    frames = [row[0] for row in rows]
    assert frames == [*range(2, 20), *range(25, 50)]
    assert all(row[1:5] == [10 + 3 * row[0], 30, 30 + 3 * row[0], 50] for row in rows)
    assert why == "lost"
    assert followed(Brightest(), str(walk), 2, np.array([200.0, 28, 220, 50])) == ([], "lost")


def still(left: float, *, touched: bool = False) -> Track:
    frames = np.array([0, 29])
    boxes = np.tile([left, 10.0, left + 20, 40], (2, 1))
    base = Base(frames, boxes, np.ones(2), np.zeros(2, np.int64), np.full(2, np.nan))
    return Track(0, base, touched=touched)


def test_objects_keep_their_numbers_and_a_persons_track_is_not_doubled() -> None:
    timing = Timing(np.arange(30) / 10)
    state = Document.new(("a",), (timing,)).with_changes(
        {("track", 0, 4): still(10), ("track", 0, 6): still(100, touched=True)}
    )
    found = [still(101), still(200), still(12)]
    new = renumbered(state, 0, found, 9)
    assert {number: track.base.boxes_xyxy[0, 0] for number, track in new.items()} == {4: 12, 9: 200}


def rows_of(*lefts: float, switch: int = 40, score: float = 0.8) -> TrackTable:
    """Still objects over 40 frames; the first two exchange their ids at frame ``switch``."""
    frames = np.repeat(np.arange(40), len(lefts))
    ids = np.tile(np.arange(1, len(lefts) + 1), 40)
    swapped = (frames >= switch) & (ids <= 2)
    left = np.tile(lefts, 40)
    return TrackTable(
        frames=frames,
        times_s=frames / 10,
        ids=np.where(swapped, 3 - ids, ids),
        boxes_xyxy=np.stack([left, left * 0 + 20, left + 30, left * 0 + 80], axis=1),
        labels=np.zeros(len(frames)),
        scores=np.full(len(frames), score),
    )


def test_after_learning_boxes_move_identities_stay_and_deleted_tracks_do_not_return() -> None:
    timing = Timing(np.arange(40) / 10)
    journal = Journal(Document.new(("a",), (timing,)))
    old = rows_of(100, 140, 300, 400)  # 300: nothing is there; 400: a person deletes it
    put(journal, 0, dict(enumerate(model_tracks(old, timing.times_s), 1)), who=MODEL)
    journal.commit({"do": "delete", "video": 0, "tracks": [4]}, id="a", who="ada")
    found = rows_of(104, 144, 404)
    new = Prediction(found, rows_of(104, 144, 404, switch=20))
    tracks, table = relabelled(journal, 0, (640, 480), new, old)
    assert {n: t.base.boxes_xyxy[:, 0].round().tolist() for n, t in tracks.items()} == {
        1: [104.0, 104.0], 2: [144.0, 144.0],
    }  # fmt: skip
    assert np.unique(table.ids).tolist() == [1, 2]


def test_what_is_left_to_correct_is_counted_at_the_best_score() -> None:
    truth = rows_of(100, 200)
    frames = np.array([3, 30])
    video = LabelledVideo(
        source="a", info=INFO, tracks=truth[np.isin(truth.frames, frames)], labelled_frames=frames
    )
    held = Dataset(classes=("a",), videos=(video,))

    def left(found: TrackTable) -> int:
        return to_correct(held, {"a": found})

    assert left(rows_of(100, 202)) == 0
    assert left(rows_of(100, 215)) == 2  # a drag in each frame
    assert left(rows_of(100)) == 2
    assert left(rows_of(100, 200, 300)) == 2  # one to remove in each frame
    stray = rows_of(300, score=0.3)
    stray = replace(stray, ids=stray.ids + 9)
    assert left(TrackTable.concat([rows_of(100, 200), stray])) == 0


@pytest.mark.parametrize(
    ("count", "known", "steps"), [(16, True, 40), (1000, True, 72), (16, False, 80)]
)
def test_learning_stays_within_minutes(count: int, known: bool, steps: int) -> None:
    video = LabelledVideo(source="a", info=INFO, tracks=rows_of(1), split="train",
                          labelled_frames=np.arange(count))  # fmt: skip
    task = {"data": "a", "out": "b", "model": "c", "epochs": 0}
    settings = learning(task, Dataset(classes=("a",), videos=(video,)), known=known)
    seen = -(-count // settings.every)
    assert seen <= 160
    assert -(-seen // settings.batch_size) * settings.epochs == steps
    assert (settings.freeze == "head-only") == known


@pytest.mark.slow
def test_whole_stretches_are_held_back(tmp_path: Path) -> None:
    out = tmp_path / "a.json"
    settings = ProjectSettings(videos=(samples.CLIP_B,), labels=samples.LABELS, out=out)
    with open_project(settings) as project:
        action = {"do": "accept", "video": 0, "first": 10, "last": 59, "accepted": True}
        project.journal.commit(action, id="a")
        accepted = project.dataset(only_accepted=True)
        parts = split_accepted(accepted, tmp_path, tmp_path / "models")
    train, val = (
        next(v.labelled_frames for v in parts.videos if v.split == name).tolist()
        for name in ("train", "val")
    )
    assert sorted([*train, *val]) == [*range(10, 60)]
    assert len(val) == 10
    assert val == [*range(30, 35), *range(55, 60)]
    assert (tmp_path / "models" / parts.videos[0].source).resolve() == samples.CLIP_B.resolve()


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """The first 40 frames of a sample clip."""
    path = tmp_path / "people.mp4"
    with open_video(samples.CLIP_B) as video:
        frames = list(islice(video.frames(), 28))
        info = video.info
    with VideoWriter(
        path, width_px=info.width_px, height_px=info.height_px, rate=info.rate
    ) as writer:
        for frame in frames:
            writer.write(frame.image, frame.time_s)
    return path


@pytest.mark.slow
def test_a_published_model_sees_larger_pictures_and_a_learnt_one_its_own(people: Path) -> None:
    published, learnt = (sharp(model, [people]).size for model in ("vodkit-street", str(WEIGHTS)))
    assert learnt == NETWORK
    assert int(published) > 416  # people of 26 px


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_model_prelabels_and_learns_only_what_nobody_accepted(
    people: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.json"
    said: list[dict[str, Any]] = []
    settings = ProjectSettings(videos=(people,), out=out, classes=("person",))
    with open_project(settings) as project:
        jobs = Jobs(project, ModelSettings(model=str(WEIGHTS), epochs=1))  # at its own size
        jobs.tell = said.append
        try:
            with pytest.raises(InputError, match="needs 20"):
                jobs.ask({"do": "learn"})
            jobs.ask({"do": "prelabel", "video": 0})
            _wait(said, "vodkit-street.safetensors")
            assert len(project.journal.document.tracks(0)) >= 6
            kept = read_dataset(out.with_suffix(".models") / "detections-0.json").videos[0].tracks
            assert kept is not None
            assert np.array_equal(kept.frames, project.detections[0].frames)
            accept = {"do": "accept", "video": 0, "first": 0, "last": 24, "accepted": True}
            project.journal.commit(accept, id="accept")
            before = project.dataset(only_accepted=True).videos[0].tracks
            jobs.ask({"do": "learn"})
            words = _wait(said, "learnt")
            if "learnt and adopted" in words:
                assert "learn-1" in jobs.model
                _wait(said, "tracks from", after=words)
            after = project.dataset(only_accepted=True).videos[0].tracks
            assert before is not None
            assert after is not None
            assert np.array_equal(before.ids, after.ids)
            assert np.abs(before.boxes_xyxy - after.boxes_xyxy).max() < 1e-3
            said.clear()
            jobs.ask({"do": "prelabel", "video": 0})
            _wait(said, "prelabelling")
            jobs.stop()
            assert "stopped" in _wait(said, "failed")
        finally:
            jobs.close()
    assert read_dataset(out).videos[0].tracks is not None


def test_detections_outlive_the_server_and_damaged_ones_do_no_harm(
    walk: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.json"
    folder = out.with_suffix(".models")
    folder.mkdir()
    frames = np.array([30, 31])
    table = TrackTable(frames=frames, times_s=frames / 25, ids=np.full(2, NO_ID),
                       boxes_xyxy=np.array([[1.0, 2, 30, 40]] * 2), labels=np.zeros(2))  # fmt: skip
    stored = folder / "detections-0.json"
    with open_project(ProjectSettings(videos=(walk,), out=out)) as project:
        video = LabelledVideo(source="video", info=project.subjects[0].info, tracks=table)
        write_dataset(Dataset(classes=("blob",), videos=(video,)), stored)
        Jobs(project, ModelSettings()).close()
        assert project.detections[0].frames.tolist() == [30, 31]
        project.detections.clear()
        stored.write_bytes(stored.read_bytes()[:99])
        Jobs(project, ModelSettings()).close()
        assert project.detections == {}


def _wait(said: list[dict[str, Any]], words: str, *, after: str = "") -> str:
    """The first message with these words, from the one with ``after`` on."""
    for _ in range(8000):
        texts = [one["words"] for one in said if "words" in one]
        texts = texts[texts.index(after) :] if after else texts
        found = [
            text for text in texts if words in text or ("failed" in text and words != "failed")
        ]
        if found:
            assert words in found[0], found[0]
            return found[0]
        time.sleep(0.1)
    raise AssertionError(said[-3:])
