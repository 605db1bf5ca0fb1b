"""The nouns refuse what is wrong at birth, and say what was seen and what is allowed."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vodkit.ground.errors import InputError
from vodkit.ground.records import (
    NO_ID,
    Dataset,
    Detections,
    Frame,
    LabelledVideo,
    State,
    Tracks,
    TrackTable,
    VideoInfo,
)

INFO = VideoInfo(path="a.mp4", width_px=64, height_px=48, rate=Fraction(30000, 1001), num_frames=9)


def table(**changed: object) -> TrackTable:
    columns: dict[str, object] = {
        "frames": [1, 0, 0],
        "times_s": [0.1, 0.0, 0.0],
        "ids": [1, 2, 1],
        "boxes_xyxy": [[0, 0, 3, 3], [1, 1, 2, 2], [0, 0, 2, 2]],
        "labels": [0, 0, 0],
    }
    return TrackTable(**(columns | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("box", "seen"),
    [
        ([0, 0, np.nan, 1], "nan"),
        ([0, 0, np.inf, 1], "inf"),
        ([5, 0, 4, 1], "(5, 0, 4, 1)"),
        ([0, 9, 4, 1], "(0, 9, 4, 1)"),
    ],
)
def test_a_bad_box_is_refused_with_its_row_and_values(box: list[float], seen: str) -> None:
    boxes = [[0, 0, 1, 1], box]
    with pytest.raises(InputError, match="box 1 is") as caught:
        Detections(boxes, [0.5, 0.5], [0, 0])  # type: ignore[arg-type]
    assert seen in str(caught.value)
    assert "allowed" in str(caught.value)
    with pytest.raises(InputError, match="is"):
        table(boxes_xyxy=[[0, 0, 1, 1], [0, 0, 1, 1], box])


@pytest.mark.parametrize("score", [-0.1, 1.1, np.nan])
def test_a_score_outside_0_to_1_is_refused(score: float) -> None:
    with pytest.raises(InputError, match="allowed: 0 to 1"):
        Detections([[0, 0, 1, 1]], [score], [0])  # type: ignore[arg-type]


def test_different_counts_are_refused_with_all_shapes() -> None:
    with pytest.raises(InputError, match=r"\(2, 4\), \(1,\), \(1,\)"):
        Detections([[0, 0, 1, 1]] * 2, [0.5], [0])  # type: ignore[arg-type]


def test_an_id_stands_once_in_a_frame() -> None:
    with pytest.raises(InputError, match="occurs twice"):
        Tracks([[0, 0, 1, 1]] * 2, [1, 1], [0, 0], [7, 7], [0, 0])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="id 1 occurs twice in frame 0"):
        table(frames=[0, 0, 0], ids=[1, 2, 1])
    table(frames=[0, 0, 0], ids=[NO_ID, NO_ID, 1])


def test_records_are_read_only_and_leave_the_callers_arrays_alone() -> None:
    boxes = np.array([[0, 0, 1, 1]], np.float32)
    found = Detections(boxes, [0.5], [0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="read-only"):
        found.boxes_xyxy[0, 0] = 5
    boxes[0, 0] = 0.5
    assert boxes.flags.writeable


def test_a_table_is_sorted_by_frame_then_id_and_keeps_order_without_ids() -> None:
    assert table().frames.tolist() == [0, 0, 1]
    assert table().ids.tolist() == [1, 2, 1]
    plain = table(frames=[0, 0, 0], ids=[NO_ID] * 3, scores=[0.2, 0.9, 0.5])
    assert plain.scores is not None
    assert plain.scores.tolist() == [0.2, 0.9, 0.5]


def test_a_table_is_printed_in_a_line_however_long_it_is() -> None:
    frames = np.arange(2000) // 2
    table = TrackTable(
        frames=frames,
        times_s=frames / 10,
        ids=np.arange(2000) % 2 - 1,
        boxes_xyxy=np.tile([0.0, 0.0, 1.0, 1.0], (2000, 1)),
        labels=np.arange(2000) % 3,
    )
    assert repr(table) == "TrackTable(2000 boxes, 1000 frames of 0..999, 1 ids, 3 classes)"
    assert repr(TrackTable.empty()) == "TrackTable(no boxes)"


def test_a_region_to_ignore_for_every_class_is_legal_and_no_other_negative_label() -> None:
    table(labels=[-1, 0, 0], ignore=[True, False, False])
    with pytest.raises(InputError, match="label"):
        table(labels=[-1, 0, 0])


def test_a_frame_without_pixels_has_a_picture_size() -> None:
    frame = Frame.unseen(3, 0.5, width_px=640, height_px=480)
    assert (frame.width_px, frame.height_px, frame.image.shape) == (640, 480, (1, 1, 3))
    with pytest.raises(InputError, match=r"\(4, 4\) float64"):
        Frame(0, 0.0, np.zeros((4, 4)))
    with pytest.raises(InputError, match="index"):
        Frame.unseen(-1, 0.0, width_px=1, height_px=1)


def test_a_rate_is_exact() -> None:
    with pytest.raises(InputError, match="not a Fraction"):
        VideoInfo(path="a", width_px=1, height_px=1, rate=29.97)  # type: ignore[arg-type]


def test_a_dataset_knows_its_classes_and_refuses_boxes_beyond_the_video() -> None:
    video = LabelledVideo(source="a.mp4", info=INFO, tracks=table(), split="train")
    assert Dataset(classes=("person",), videos=(video,)).only("train").videos == (video,)
    with pytest.raises(InputError, match=r"'test'; it has: train"):
        Dataset(classes=("person",), videos=(video,)).only("test")
    wrong = LabelledVideo(source="a.mp4", info=INFO, tracks=table(labels=[0, 1, 0]))
    with pytest.raises(InputError, match="label 1, but there are 1 classes"):
        Dataset(classes=("person",), videos=(wrong,))
    with pytest.raises(InputError, match="frame 9 of 9"):
        LabelledVideo(source="a.mp4", info=INFO, tracks=table(frames=[9, 0, 0]))
    with pytest.raises(InputError, match="not relative"):
        LabelledVideo(source="/a.mp4", info=INFO)
    with pytest.raises(InputError, match="duplicate class names"):
        Dataset(classes=("a", "a"), videos=())


def test_a_recording_may_stand_in_several_splits_but_once_in_each() -> None:
    parts = [
        LabelledVideo(source="a.mp4", info=INFO, tracks=table(), split=split)
        for split in ("train", "val", "train", "")
    ]
    both = Dataset(classes=("person",), videos=tuple(parts[:2]))
    assert both.only("val").videos == (parts[1],)
    for twice in ((parts[0], parts[2]), (parts[0], parts[3])):
        with pytest.raises(InputError, match="duplicate videos"):
            Dataset(classes=("person",), videos=twice)


@given(st.lists(st.integers(0, 3), max_size=12))
def test_a_table_made_of_frames_has_every_box_once(counts: list[int]) -> None:
    rows = [
        (
            i,
            i / 10,
            Tracks(
                [[0, 0, j + 1, 1] for j in range(n)],
                [0.5] * n,
                [0] * n,  # type: ignore[arg-type]
                range(1, n + 1),
                [State.PREDICTED] * n,
            ),
        )  # type: ignore[arg-type]
        for i, n in enumerate(counts)
    ]
    whole = TrackTable.from_frames(rows)
    assert len(whole) == sum(counts)
    assert TrackTable.concat([whole[whole.frames == i] for i in range(len(counts))]) == whole
