"""The queue: what is made wrong comes first with its reason, what is accepted does not come."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from review_clips import write_clip
from vodkit.formats.table import write_dataset
from vodkit.ground.errors import FormatError
from vodkit.ground.records import NO_ID, Dataset, Frame, LabelledVideo, TrackTable
from vodkit.review.appearance import Appearance
from vodkit.review.continuations import continuations
from vodkit.review.curve import Base, Known, Span, Track
from vodkit.review.document import Document, Timing
from vodkit.review.journal import Journal
from vodkit.review.project import ProjectSettings, open_project
from vodkit.review.queue import doubts, estimate, review_queue, sampled
from vodkit.track.appearance import colours
from vodkit.video.reader import open_video

T = 80
TIMES = np.arange(T) / 20
SIZE = (400, 300)


def track(lefts: np.ndarray, frames: np.ndarray, top: float = 100.0, score: float = 0.9) -> Track:
    boxes = np.stack([lefts, lefts * 0 + top, lefts + 40, lefts * 0 + top + 60], axis=1)
    count = len(frames)
    known = np.full(count, int(Known.OBSERVED))
    return Track(0, Base(frames, boxes, np.full(count, score), known, np.full(count, np.nan)))


def document(*tracks: Track) -> Document:
    parts = {("track", 0, number): one for number, one in enumerate(tracks, 1)}
    return Document.new(("a",), (Timing(TIMES),)).with_changes(parts)


def crossing(*, swapped: bool) -> Document:
    """Two objects that walk through each other; their tracks may have changed partners."""
    frames = np.arange(T)
    right, left = 50 + 3.0 * frames, 290 - 3.0 * frames
    if swapped:
        half = T // 2
        right, left = (
            np.concatenate([right[:half], left[half:]]),
            np.concatenate([left[:half], right[half:]]),
        )
    return document(track(right, frames), track(left, frames))


def kinds(state: Document, detections: TrackTable | None = None) -> list[str]:
    return [one.kind for one in doubts(state, 0, SIZE, detections)]


def test_a_swap_is_first_and_objects_that_pass_are_no_swap() -> None:
    items = doubts(crossing(swapped=True), 0, SIZE)
    assert items[0].kind == "swap"
    assert "tracks 1 and 2" in items[0].why
    assert abs(items[0].frame - T // 2) < 12
    assert "swap" not in kinds(crossing(swapped=False))


def test_two_tracks_on_one_object_are_no_swap() -> None:
    frames = np.arange(T)
    items = doubts(document(track(3.0 * frames, frames), track(3.0 * frames + 4, frames)), 0, SIZE)
    assert (items[0].kind, items[0].why) == ("double", "tracks 1 and 2 are on the same object")
    assert "swap" not in {one.kind for one in items}


def test_jumps_ends_and_weak_stretches_are_named() -> None:
    frames = np.arange(10, 60)
    lefts = np.where(frames < 30, 100.0, 220.0)
    items = doubts(document(track(lefts, frames, score=0.2)), 0, SIZE)
    found = {one.kind: one for one in items}
    assert found["teleport"].frame == 30
    assert (found["weak"].first, found["weak"].last) == (10, 59)
    assert [one.frame for one in items if one.kind == "end"] == [10, 59]
    whole = np.arange(T)
    assert set(kinds(document(track(np.full(T, 100.0), whole)))) == {"sample"}


def test_pieces_of_one_object_are_proposed_once_each() -> None:
    """The nearer of two that fit, of its size and class; none at the edge of the picture."""
    early, late = np.arange(20), np.arange(40, 60)
    state = document(
        track(100 + 2.0 * early, early),
        track(100 + 2.0 * late, late),
        track(60 + 2.0 * late, late, top=110),
        replace(track(100 + 2.0 * late, late), label=1),
        track(350 + 2.0 * early, early),
        track(350 - 2.0 * late, late, top=30),
    )
    (pair,) = continuations(state, 0, SIZE)
    assert (pair.track, pair.other, pair.end, pair.begin) == (1, 2, 19, 40)
    assert pair.gap_s == pytest.approx(1.05)
    (item,) = [one for one in doubts(state, 0, SIZE) if one.track == 2 and one.frame == 40]
    assert item.why == "track 2 begins in mid-picture; it may continue track 1"
    assert not continuations(state.with_changes({("accepted", 0): ((0, T - 1),)}), 0, SIZE)


def test_what_a_model_was_unsure_of_is_named_and_what_a_person_made_is_not() -> None:
    every, late = np.arange(T), np.arange(20, T)
    wide = track(np.full(T, 200.0), every)
    wide.base.boxes_xyxy[30:50, 2] += 30
    tracks = [track(np.full(T, 100.0), every), wide, track(np.full(T, 150.0), every, score=0.5),
              track(np.full(T - 20, 0.0), late)]  # fmt: skip
    items = doubts(document(*tracks), 0, SIZE)
    found = {one.kind: one for one in items if one.kind not in {"sample", "double", "swap"}}
    assert set(found) == {"unlikely", "shape", "edge"}
    assert (found["unlikely"].track, found["unlikely"].first, found["unlikely"].last) == (3, 0, 79)
    assert (found["shape"].track, found["shape"].first, found["shape"].last) == (2, 30, 49)
    assert (found["edge"].track, found["edge"].frame) == (4, 20)
    mine = document(*(replace(one, touched=True) for one in tracks))
    assert not {"unlikely", "shape", "edge"} & set(kinds(mine))


def test_detections_and_labels_are_held_against_each_other() -> None:
    state = document(track(np.full(T, 100.0), np.arange(T)))
    frames = np.arange(20, 50)
    boxes = np.tile([300.0, 10, 340, 60], (30, 1))
    seen = TrackTable(frames=frames, times_s=TIMES[frames], ids=np.full(30, NO_ID),
                      boxes_xyxy=boxes, labels=np.zeros(30), scores=np.full(30, 0.8))  # fmt: skip
    found = {one.kind: one for one in doubts(state, 0, SIZE, seen)}
    assert (found["missing"].first, found["missing"].last) == (20, 49)
    assert (found["surplus"].first, found["surplus"].last) == (0, T - 1)


def test_nothing_is_asked_about_a_video_without_labels() -> None:
    assert kinds(document()) == []


def test_accepted_frames_are_in_no_item() -> None:
    state = crossing(swapped=True).with_changes({("accepted", 0): ((0, T - 1),)})
    assert kinds(state) == []


def test_the_estimate_counts_what_a_person_changed_in_the_sample() -> None:
    journal = Journal(crossing(swapped=False))
    sample = sampled(0, T)
    assert len(sample) == 10
    words = estimate(journal.document, 0, journal.entries, journal.undone)
    assert words.startswith("Accept the random sample")
    for number, frame in enumerate(sample):
        action = {"do": "accept", "video": 0, "first": frame, "last": frame}
        journal.commit(action, id=f"a{number}", who="ada")
    box = [10.0, 10.0, 40.0, 40.0]
    for number, frame in enumerate((sample[0], sample[4], sample[4] + 1)):
        bend = {"do": "bend", "video": 0, "track": 1, "frame": frame, "box": box}
        journal.commit(bend, id=f"b{number}", who="ada")
    far = next(frame for frame in range(T) if frame not in sample)
    gone = {"do": "delete", "video": 0, "tracks": [2], "seen": far}  # right in all others now
    journal.commit(gone, id="gone", who="ada")
    words = estimate(journal.document, 0, journal.entries, journal.undone)
    assert words.startswith("10 of the sample seen, 2 changed: 5.7 to 51 %")
    join = {"do": "draw", "video": 0, "track": 9, "label": 0, "frame": sample[7], "box": box}
    journal.commit(join, id="join", who="ada")
    words = estimate(journal.document, 0, journal.entries, journal.undone)
    assert words.startswith("10 of the sample seen, 3 changed")
    assert journal.last_of("ada", undone=False) == journal.n


@pytest.mark.parametrize("frames", [1, 9, 700])
def test_the_sample_is_the_same_every_time(frames: int) -> None:
    assert sampled(3, frames) == sampled(3, frames)
    assert len(sampled(3, frames)) == min(frames, max(10, round(0.02 * frames)))


@pytest.mark.slow
def test_every_finding_of_an_audit_opens_its_frame_and_comes_first(tmp_path: Path) -> None:
    from vodkit.cli.data import app

    with open_video(write_clip(tmp_path / "a.mp4", "bframes")) as video:
        info = video.info
    boxes = np.tile([5.0, 10, 15, 25], (60, 1))
    boxes[30:] += [100, 50, 100, 50]  # it jumps
    boxes[45, 2] += 400  # and lies outside the picture
    table = TrackTable(
        frames=np.arange(60), times_s=np.arange(60) / 25, ids=np.ones(60), boxes_xyxy=boxes,
        labels=np.zeros(60),
    )  # fmt: skip
    labelled = LabelledVideo(source="a.mp4", info=info, tracks=table)
    labels, findings = tmp_path / "labels.json", tmp_path / "audit.json"
    write_dataset(Dataset(classes=("fly",), videos=(labelled,)), labels)
    words = ["audit", str(labels), "--labels-only"]
    shown = CliRunner().invoke(app, words).output.replace("\\\n", "")
    found = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    findings.write_text(json.dumps(found))
    placed = [one for one in found if one["frame"] is not None]
    assert {"teleport", "outside"} <= {one["code"] for one in placed}
    settings = ProjectSettings(labels=labels, findings=findings, out=tmp_path / "out.json")
    with open_project(settings) as project:
        items = review_queue(project, 0)["items"]
        assert {one["frame"] for one in items[: len(placed)]} == {one["frame"] for one in placed}
        assert items[0]["why"].startswith("audit: ")
        for one in placed:
            command = shlex.split(one["review"])
            assert " ".join(command) in " ".join(shown.split())
            assert command[:4] == ["vodkit", "review", "--data", str(labels)]
            assert project.place_of(command[-1]) == f"&video=0&frame={one['frame']}"
        accept = {"do": "accept", "video": 0, "first": 0, "last": 59, "accepted": True}
        project.journal.commit(accept, id="all")
        assert "audit" not in {one["kind"] for one in review_queue(project, 0)["items"]}
    found[0]["frame"] = 1.5
    findings.write_text(json.dumps(found))
    with pytest.raises(FormatError, match="whole number"), open_project(settings):
        pass


def meeting() -> tuple[Document, Appearance, Appearance]:
    """A red and a blue box meet, stand side by side and part at right angles: way tells nothing.

    Returns:
        Two tracks, and what detections look like if they kept their objects, or exchanged them.
    """
    frames = np.arange(T)
    far = np.clip(np.abs(frames - 40) - 10, 0, None)
    lefts = [200 - 4.0 * np.where(frames < 40, far, 0), 220 + 4.0 * np.where(frames < 40, far, 0)]
    tops = [100 - 3.0 * np.where(frames > 40, far, 0), 100 + 3.0 * np.where(frames > 40, far, 0)]
    boxes = [np.stack([x, y, x + 40, y + 60], axis=1) for x, y in zip(lefts, tops, strict=True)]
    state = document(*(
        Track(0, Base(frames, one, np.full(T, 0.9), np.zeros(T, np.int64), np.full(T, np.nan)))
        for one in boxes
    ))  # fmt: skip
    red, blue = (200, 40, 30), (30, 60, 200)
    found = []
    for after in ((red, blue), (blue, red)):
        rows = []
        for frame in frames.tolist():
            image = np.full((SIZE[1], SIZE[0], 3), 120, np.uint8)
            for one, paint in zip(boxes, (red, blue) if frame < 40 else after, strict=True):
                x1, y1, x2, y2 = one[frame].astype(int)
                image[max(y1, 0) : y2, max(x1, 0) : x2] = paint
            picture = Frame(frame, float(TIMES[frame]), image)
            rows.append(colours(picture, np.stack([one[frame] for one in boxes])))
        seen = np.stack(boxes, axis=1).reshape(-1, 4)
        found.append(Appearance.of(np.repeat(frames, 2), seen, np.concatenate(rows)))
    return state, found[0], found[1]


def test_a_swap_that_motion_cannot_tell_is_seen_by_colour(tmp_path: Path) -> None:
    state, kept, exchanged = meeting()
    exchanged.save(tmp_path / "appearance.npz")
    exchanged = Appearance.load(tmp_path / "appearance.npz")
    first = doubts(state, 0, SIZE, appearance=exchanged)[0]
    assert (first.kind, first.track) == ("swap", 1)
    assert first.why == "tracks 1 and 2 meet; by their appearance they have swapped"
    one, two = state.tracks(0).values()  # one ends where they meet, the other takes its object
    ended = document(replace(one, spans=(Span(45, T - 1, "outside"),)), two)
    assert "by their appearance" in doubts(ended, 0, SIZE, appearance=exchanged)[0].why
    assert "by their" not in doubts(ended, 0, SIZE, appearance=kept)[0].why
    unknown = Appearance.of(kept.frames, kept.boxes_xyxy, kept.embeddings * 0)
    alike = Appearance.of(kept.frames, kept.boxes_xyxy, kept.embeddings[:1].repeat(2 * T, axis=0))
    for appearance in (None, kept, unknown, alike):
        whys = [one.why for one in doubts(state, 0, SIZE, appearance=appearance)]
        assert not any("appearance" in why for why in whys)
