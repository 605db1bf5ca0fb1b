"""Every trap that is planted is found, and nothing is found where nothing is wrong."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from vodkit.data.audit.audit import Audit, AuditSettings, audit, audit_file, audit_files, sides_of
from vodkit.data.audit.findings import CODES, Finding, Grade
from vodkit.data.audit.labels import LabelChecks, check_classes, check_labels
from vodkit.data.audit.leaks import LeakSearch, find_leaks
from vodkit.data.audit.repair import repair
from vodkit.data.audit.video_scan import difference_hash, hamming, look
from vodkit.data.ingest import ingest
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.errors import InputError, SettingsError
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable

Make = Callable[..., LabelledVideo]


def whole(*videos: LabelledVideo) -> Dataset:
    return Dataset(classes=("bee", "fly"), videos=videos)


def codes(done: Audit, least: Grade = Grade.WARNING) -> set[str]:
    return {finding.code for finding in done.findings if finding.grade >= least}


def moved(video: LabelledVideo, frames: int) -> LabelledVideo:
    """Labels that stand ``frames`` frames too late, with times to match."""
    table = video.tracks
    assert table is not None
    count = video.info.num_frames or 0
    at = table.frames + frames
    kept = table[(at >= 0) & (at < count)]
    at = kept.frames + frames
    return replace(video, tracks=replace(kept, frames=at, times_s=at / 25))


def test_a_sound_video_has_no_findings(make_video: Make, tmp_path: Path) -> None:
    done = audit(whole(make_video()), tmp_path)
    assert [finding for finding in done.findings if finding.grade > Grade.NOTE] == []
    assert done.shifts["a.mp4"].frames == 0
    assert done.shifts["a.mp4"].sureness < 4


@pytest.mark.parametrize(
    "shift", [-3, 5, *(pytest.param(more, marks=pytest.mark.slow) for more in (-7, -1, 2, 9))]
)
def test_a_planted_shift_is_found_and_undone(make_video: Make, tmp_path: Path, shift: int) -> None:
    video = make_video(num_frames=110)
    done = audit(whole(moved(video, shift)), tmp_path)
    assert "label-shift" in codes(done, Grade.ERROR)
    assert done.shifts["a.mp4"].frames == -shift
    repaired, notes = repair(done)
    assert f"a.mp4: moved the labels by {-shift:+d} frames" in notes
    table, truth = repaired.videos[0].tracks, video.tracks
    assert table is not None
    assert truth is not None
    again = truth[np.isin(truth.frames, table.frames)]
    np.testing.assert_array_equal(table.boxes_xyxy, again.boxes_xyxy)
    np.testing.assert_allclose(table.times_s, again.times_s)


def test_a_planted_leak_is_found(make_video: Make, tmp_path: Path) -> None:
    videos = [make_video("a.mp4", split="train"), make_video("b.mp4", seed=5, split="train"),
              make_video("c.mp4", split="val")]  # fmt: skip
    done = audit(whole(*videos), tmp_path)
    leaks = [finding for finding in done.findings if finding.code == "leak"]
    assert [(leak.video, leak.grade) for leak in leaks] == [("a.mp4", Grade.ERROR)]
    assert "a.mp4 at 0.48 s (train) = c.mp4 at 0.48 s (val)" in leaks[0].evidence[0]


def alike(done: Audit) -> list[tuple[str, Grade, str]]:
    kinds = ("leak", "same-place")
    return [(one.code, one.grade, one.message) for one in done.findings if one.code in kinds]


@pytest.mark.slow
def test_a_mirrored_copy_is_a_leak(make_video: Make, tmp_path: Path) -> None:
    videos = [make_video("a.mp4", split="train"), make_video("c.mp4", split="val", mirrored=True)]
    ((code, grade, message),) = alike(audit(whole(*videos), tmp_path))
    assert (code, grade) == ("leak", Grade.ERROR)
    assert "moments in which something moves are in both" in message


@pytest.mark.slow
def test_a_copy_whose_fingerprints_are_only_near_is_a_leak(
    make_video: Make, tmp_path: Path
) -> None:
    """As of a film that was trimmed while the camera moved: no two frames are the same."""
    data = whole(make_video("a.mp4", split="train"), make_video("c.mp4", split="val"))
    footage = {name: look(tmp_path / name) for name in ("a.mp4", "c.mp4")}
    one, two = sides_of(data, tmp_path, footage)
    near = replace(two, hashes=two.hashes ^ np.uint64(0b11111))
    (found,) = find_leaks([one, near], LeakSearch())
    assert (found.code, found.grade) == ("leak", Grade.ERROR)
    assert found.message.startswith("0% of the sampled frames")


def test_one_place_at_two_times_is_no_leak(make_video: Make, tmp_path: Path) -> None:
    videos = [make_video("a.mp4", split="train", num_frames=40),
              make_video("c.mp4", split="val", num_frames=40, lane_px=40)]  # fmt: skip
    coarse = AuditSettings(leaks=LeakSearch(most_bits=12))  # objects are large in this picture
    ((code, grade, message),) = alike(audit(whole(*videos), tmp_path, settings=coarse))
    assert (code, grade) == ("same-place", Grade.WARNING)
    assert "but none of" in message


@pytest.mark.slow
def test_where_nothing_moves_nothing_is_decided(make_video: Make, tmp_path: Path) -> None:
    still = range(1, 40)
    videos = [make_video("a.mp4", split="train", num_frames=40, frozen=still),
              make_video("c.mp4", split="val", num_frames=40, frozen=still)]  # fmt: skip
    ((code, grade, message),) = alike(audit(whole(*videos), tmp_path))
    assert (code, grade) == ("leak", Grade.ERROR)
    assert message.endswith("not decided whether it is one piece of footage or one place: too "
                            "little moves")  # fmt: skip


@pytest.mark.slow
def test_a_leak_between_two_files_is_found(make_video: Make, tmp_path: Path) -> None:
    write_dataset(whole(make_video("a.mp4")), tmp_path / "train.json")
    write_dataset(whole(make_video("c.mp4")), tmp_path / "val.json")
    done = audit_files([tmp_path / "train.json", tmp_path / "val.json"])
    assert "leak" in codes(done[0], Grade.ERROR)


def test_one_video_in_two_files_is_a_leak_and_stretches_of_it_are_none(
    make_video: Make, tmp_path: Path
) -> None:
    video = make_video("a.mp4", num_frames=50, frozen=range(1, 50))
    stretches = [replace(video, labelled_frames=np.arange(50)[part], tracks=None)
                 for part in (slice(20), slice(30, 50))]  # fmt: skip
    paths = [tmp_path / name for name in ("whole.json", "one.json", "two.json")]
    for path, part in zip(paths, [video, *stretches], strict=True):
        write_dataset(whole(part), path)
    ((code, grade, _),) = alike(audit_files(paths[:2])[0])
    assert (code, grade) == ("leak", Grade.ERROR)
    ((code, _, message),) = alike(audit_files(paths[1:])[0])
    assert code == "same-place"
    assert message.endswith(": stretches of one recording")


@pytest.mark.slow
def test_the_variable_rate_trap_is_found_and_undone(make_video: Make, tmp_path: Path) -> None:
    ticks = [index + 3 * (index > 40) + 5 * (index > 60) for index in range(90)]
    video = make_video(ticks=ticks)
    assert video.tracks is not None
    trapped = replace(video, tracks=replace(video.tracks, times_s=video.tracks.frames / 25))
    done = audit(whole(trapped), tmp_path)
    assert {"variable-rate", "wrong-times"} <= codes(done)
    found = next(finding for finding in done.findings if finding.code == "wrong-times")
    assert (found.grade, found.frame) == (Grade.ERROR, 41)
    assert "off by up to 0.320 s (8 frames)" in found.message
    table = repair(done)[0].videos[0].tracks
    assert table is not None
    np.testing.assert_allclose(table.times_s, video.tracks.times_s, atol=1e-6)
    assert "wrong-times" not in codes(audit(whole(video), tmp_path))


def test_class_numbers_from_one_are_found(make_video: Make, tmp_path: Path) -> None:
    """A file with classes 1 and 2 where 0 and 1 are meant: one is unknown, one is named wrong."""
    path = tmp_path / "a.json"
    write_dataset(whole(make_video()), path)
    text = path.read_text().replace('"category_id": 2', '"category_id": 3')
    path.write_text(text.replace('"category_id": 1', '"category_id": 2'))
    done = audit_file(path, settings=AuditSettings(pixels=False))
    faults = [finding for finding in done.findings if finding.code == "file-fault"]
    assert len(faults) == 90
    assert "unknown category 3; there are: 1 to 2" in faults[0].message
    assert "class-base" in codes(done)


def test_a_side_whose_classes_are_shifted_is_found(make_video: Make) -> None:
    train, val = make_video("a.mp4", split="train"), make_video("b.mp4", split="val")
    assert val.tracks is not None
    shifted = replace(val, tracks=replace(val.tracks, labels=val.tracks.labels + 1))
    data = Dataset(classes=("bee", "fly", "wasp"), videos=(train, shifted))
    assert any("shifted by one" in finding.message for finding in check_classes(data))


def test_a_background_class_is_found(make_video: Make) -> None:
    video = make_video()
    assert video.tracks is not None
    shifted = replace(video, tracks=replace(video.tracks, labels=video.tracks.labels + 1))
    data = Dataset(classes=("background", "bee", "fly"), videos=(shifted,))
    assert next(finding.code for finding in check_classes(data)) == "class-base"


def test_black_double_and_missing_frames(make_video: Make, tmp_path: Path) -> None:
    video = make_video(blank=[20, 21], frozen=range(50, 70))
    said = replace(video, info=replace(video.info, num_frames=95))
    found = {finding.code: finding for finding in audit(whole(said), tmp_path).findings}
    assert (found["black-frames"].frame, found["black-frames"].count) == (20, 2)
    assert found["duplicate-frames"].frame in range(50, 55)  # the coder sharpens a still
    assert "the labels say 95 frames, the video has 90" in found["frame-count"].message


def test_labels_of_another_picture_size(make_video: Make, tmp_path: Path) -> None:
    video = make_video()
    turned = replace(video, info=replace(video.info, width_px=120, height_px=160))
    found = {finding.code: finding for finding in audit(whole(turned), tmp_path).findings}
    assert "turned by 90 degrees" in found["picture-size"].message


def test_a_missing_video_is_an_error(make_video: Make, tmp_path: Path) -> None:
    video = replace(make_video(), source="other.mp4")
    assert "video-missing" in codes(audit(whole(video), tmp_path), Grade.ERROR)


def test_a_truncated_video_says_so(make_video: Make, tmp_path: Path) -> None:
    video = make_video("a.avi", num_frames=60)
    path = tmp_path / "a.avi"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert {"frame-count", "video-broken"} & codes(audit(whole(video), tmp_path), Grade.ERROR)


def label_codes(table: TrackTable, video: LabelledVideo) -> dict[str, Finding]:
    found = check_labels(replace(video, tracks=table), ("bee", "fly"), LabelChecks())
    return {f"{one.code}-{one.grade.name}": one for one in found}


def test_boxes_and_tracks(make_video: Make) -> None:
    video = make_video(num_frames=9)
    table = video.tracks
    assert table is not None
    boxes, labels = table.boxes_xyxy.copy(), table.labels.copy()
    boxes[0] = [5, 5, 5, 9]
    boxes[3] = [-40, 5, -20, 9]
    boxes[6] += 500
    boxes[8] = boxes[9]
    labels[8] = 1
    found = label_codes(replace(table, boxes_xyxy=boxes, labels=labels), video)
    assert found["empty-box-ERROR"].frame == 0
    assert found["outside-ERROR"].count == 2
    assert found["double-box-WARNING"].frame == 4
    assert "'bee' becomes 'fly'" in found["class-change-WARNING"].message
    assert found["teleport-WARNING"].frame == 1
    kept = label_codes(table[(table.ids == 2) | (table.frames != 4)], video)
    assert kept["gap-NOTE"].frame == 5
    assert set(label_codes(table, video)) <= {"outside-NOTE"}


def test_mending_changes_nothing_that_is_right(make_video: Make, tmp_path: Path) -> None:
    data = whole(make_video())
    repaired, notes = repair(audit(data, tmp_path))
    assert notes == []
    assert repaired == data


def test_findings_are_json(make_video: Make, tmp_path: Path) -> None:
    done = audit(whole(moved(make_video(), 4)), tmp_path)
    again = json.loads(json.dumps([finding.as_json() for finding in done.findings]))
    assert all(finding["code"] in CODES for finding in again)
    with pytest.raises(SettingsError, match="not in CODES"):
        Finding(code="odd", grade=Grade.NOTE, message="")


def test_fingerprints_survive_light_and_coding_but_not_another_scene() -> None:
    rng = np.random.default_rng(3)
    picture = np.kron(rng.uniform(0, 200, (9, 12)), np.ones((10, 10)))
    one = difference_hash(picture)
    lighter = difference_hash(picture * 1.1 + 10 + rng.normal(0, 2, picture.shape))
    other = difference_hash(np.kron(rng.uniform(0, 200, (9, 12)), np.ones((10, 10))))
    bits = hamming(np.array([one], np.uint64), np.array([lighter, other], np.uint64))[0]
    assert bits[0] <= 2
    assert bits[1] > 15


def test_a_pass_keeps_only_what_was_asked_for(make_video: Make, tmp_path: Path) -> None:
    make_video(num_frames=30)
    seen = look(tmp_path / "a.mp4", keep={3, 4})
    assert len(seen) == 30
    assert sorted(seen.kept) == [3, 4]
    np.testing.assert_allclose(seen.times_s, np.arange(30) / 25)


def test_the_file_is_never_touched(make_video: Make, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_dataset(whole(make_video()), path)
    before = path.read_bytes()
    audit_file(path)
    assert path.read_bytes() == before
    assert read_dataset(path).videos[0].source == "a.mp4"


def test_pictures_in_a_folder_have_the_rate_of_their_labels(
    make_video: Make, tmp_path: Path
) -> None:
    import cv2

    from vodkit.video.reader import open_video

    video = make_video(num_frames=12)
    (tmp_path / "frames").mkdir()
    with open_video(tmp_path / "a.mp4") as opened:
        for frame in opened.frames():
            cv2.imwrite(str(tmp_path / "frames" / f"{frame.index:03d}.png"), frame.image)
    assert video.tracks is not None
    info = replace(video.info, rate=video.info.rate * 2)
    table = replace(video.tracks, times_s=video.tracks.frames / 50)
    folder = replace(video, source="frames", info=info, tracks=table)
    assert codes(audit(whole(folder), tmp_path)) == set()


def test_a_dataset_without_a_box_is_an_error(make_video: Make, tmp_path: Path) -> None:
    """It would train to nothing, and every score on it would be undefined."""
    empty = replace(make_video(num_frames=3), tracks=TrackTable.empty())
    for videos in ((), (empty,)):
        done = audit(
            Dataset(classes=("bee",), videos=videos), tmp_path, settings=AuditSettings(pixels=False)
        )
        assert done.worst is Grade.ERROR
        assert "no-labels" in {finding.code for finding in done.findings}


def test_fix_leaves_out_pictures_that_are_cut_off(tmp_path: Path) -> None:
    """They are named and counted; neither they nor the labels are touched."""
    images, entries = [], []
    for number in range(3):
        name = f"p{number}.jpg"
        noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
        cv2.imwrite(str(tmp_path / name), noise)
        images.append({"id": number, "file_name": name, "width": 64, "height": 48})
        entries.append({"id": number, "image_id": number, "category_id": 1, "bbox": [9, 9, 9, 9]})
    content = (tmp_path / "p1.jpg").read_bytes()
    cut = content[: len(content) // 2]
    (tmp_path / "p1.jpg").write_bytes(cut)
    (tmp_path / "p2.jpg").write_bytes(b"\xff\xd8")
    names = [{"id": 1, "name": "bee"}]
    labels = tmp_path / "a.json"
    dataset = {"images": images, "annotations": entries, "categories": names}
    labels.write_text(json.dumps(dataset))
    imported = ingest(labels)
    assert any("1 of 3 pictures cannot be read (first: p2.jpg)" in x for x in imported.notes)
    done = audit_file(labels)
    assert [one.video for one in done.findings if one.code == "picture-broken"] == [
        "p1.jpg",
        "p2.jpg",
    ]
    repaired, notes = repair(done)
    assert [video.source for video in repaired.videos] == ["p0.jpg"]
    (note,) = notes
    assert note.startswith("left out 2 of 3 pictures with 2 boxes")
    assert "p1.jpg, p2.jpg (the files stay where they are)" in note
    assert (tmp_path / "p1.jpg").read_bytes() == cut
    (tmp_path / "p0.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="none of 3 pictures can be decoded"):
        repair(audit_file(labels))
