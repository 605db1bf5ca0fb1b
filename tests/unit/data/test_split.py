"""Sides of a split share no footage, are as large as wanted, and depend on the seed alone."""

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from vodkit.cli.data import app
from vodkit.data.settings import SplitSettings
from vodkit.data.split import merge, split_dataset
from vodkit.formats.base import SPLIT_WARNING
from vodkit.formats.table import write_dataset
from vodkit.ground.errors import InputError, SettingsError
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo


def video(name: str, num_frames: int, label: int = 0, tag: str = "") -> LabelledVideo:
    frames = np.arange(num_frames)
    table = TrackTable(
        frames=frames, times_s=frames / 25, ids=np.ones(num_frames),
        labels=np.full(num_frames, label),
        boxes_xyxy=np.tile([1, 1, 20, 20], (num_frames, 1)),
    )  # fmt: skip
    info = VideoInfo(path=name, width_px=64, height_px=48, rate=Fraction(25), num_frames=num_frames)
    return LabelledVideo(source=name, info=info, tracks=table, tags={"site": tag} if tag else {})


def data(*videos: LabelledVideo) -> Dataset:
    return Dataset(classes=("bee", "fly"), videos=videos)


def pieces(side: Dataset) -> set[tuple[str, int]]:
    found = set()
    for one in side.videos:
        frames: Sequence[int] = range(one.info.num_frames or 0)
        if one.labelled_frames is not None:
            frames = one.labelled_frames.tolist()
        found |= {(one.source, frame) for frame in frames}
    return found


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=3, max_size=9),
    seed=st.integers(0, 5),
    test=st.sampled_from([0.0, 0.1]),
)
def test_no_video_is_on_two_sides_and_none_is_lost(
    lengths: list[int], seed: int, test: float
) -> None:
    whole = data(*(video(f"{n}.mp4", length, n % 2) for n, length in enumerate(lengths)))
    wanted = SplitSettings(
        train=0.7, val=0.3 - test, test=test, seed=seed, least_frames=0, least_boxes=0
    )
    sides = split_dataset(whole, wanted)
    sources = [one.source for side in sides.values() for one in side.videos]
    assert sorted(sources) == sorted(one.source for one in whole.videos)
    assert all(one.split == name for name, side in sides.items() for one in side.videos)
    again = split_dataset(whole, wanted)
    assert again == sides
    merged = merge(sides)
    assert len(merged.videos) == len(whole.videos)


def test_shares_and_classes_are_kept() -> None:
    whole = data(*(video(f"{n}.mp4", 40, n % 2) for n in range(20)))
    sides = split_dataset(whole, SplitSettings(train=0.7, val=0.3))
    assert len(sides["val"].videos) == 6
    labels = [int(one.tracks.labels[0]) for one in sides["val"].videos if one.tracks is not None]
    assert sorted(labels) == [0, 0, 0, 1, 1, 1]


def test_groups_stay_together() -> None:
    names = [f"cage{cage}_day{day}.mp4" for cage in range(4) for day in range(3)]
    whole = data(*(video(name, 10, tag=name[:5]) for name in names))
    for wanted in (
        SplitSettings(by="pattern", pattern=r"(cage\d)"),
        SplitSettings(by="tag", tag="site"),
    ):
        sides = split_dataset(whole, wanted)
        cages = [{one.source[:5] for one in side.videos} for side in sides.values()]
        assert not cages[0] & cages[1]


def test_folds_cover_everything_once() -> None:
    whole = data(*(video(f"{n}.mp4", 10 + n) for n in range(7)))
    held = [
        one.source
        for fold in range(3)
        for one in split_dataset(whole, SplitSettings(folds=3, fold=fold))["val"].videos
    ]
    assert sorted(held) == sorted(one.source for one in whole.videos)


def test_one_video_is_cut_in_time_with_a_gap_and_a_warning() -> None:
    sides = split_dataset(data(video("a.mp4", 500)), SplitSettings(guard_s=2.0))
    train, val = sides["train"].videos[0], sides["val"].videos[0]
    assert train.labelled_frames is not None
    assert val.labelled_frames is not None
    assert val.labelled_frames[0] - train.labelled_frames[-1] > 50
    assert "one recording only (a.mp4)" in val.tags[SPLIT_WARNING]
    assert train.tracks is not None
    assert set(train.tracks.frames) == set(train.labelled_frames)
    whole = merge(sides)
    assert [(one.source, one.split) for one in whole.videos] == [
        ("a.mp4", "train"),
        ("a.mp4", "val"),
    ]
    assert whole.only("val").videos == sides["val"].videos


def test_scenes_are_kept_whole() -> None:
    cuts = {"a.mp4": np.array([100, 200, 300, 400])}
    wanted = SplitSettings(by="scene", guard_s=0.0)
    sides = split_dataset(data(video("a.mp4", 500)), wanted, cuts=cuts)
    train, val = pieces(sides["train"]), pieces(sides["val"])
    assert not train & val
    assert len(train) + len(val) == 500
    assert len({frame // 100 for _, frame in val}) == len(val) // 100 == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"train": 0.9, "val": 0.2}, "add up to 1"),
        ({"by": "frame"}, "by is 'frame'; allowed: video, scene"),
        ({"by": "pattern"}, "by=pattern with pattern=''"),
        ({"by": "pattern", "pattern": "("}, "pattern"),
        ({"by": "pattern", "pattern": "a"}, "no group"),
        ({"folds": 3, "fold": 3}, "fold 3 of 3"),
        ({"guard_s": -1.0}, "guard_s is -1.0"),
        ({"guard_s": np.inf}, "guard_s is inf"),
        ({"train": np.nan, "val": 1.0}, "add up to 1"),
        ({"val": 1.2}, "(-0.2, 1.2, 0.0)"),
        ({"folds": 3, "val": 0.5}, "folds=3 with val"),
    ],
)
def test_contradictory_options_are_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        SplitSettings(**options)  # type: ignore[arg-type]
    assert says in str(caught.value)


def test_too_little_video_is_said() -> None:
    with pytest.raises(InputError, match="2 units for 3 sides"):
        split_dataset(
            data(video("a.mp4", 9), video("b.mp4", 9)), SplitSettings(train=0.5, val=0.3, test=0.2)
        )
    with pytest.raises(InputError, match="no tag 'site'"):
        split_dataset(data(replace(video("a.mp4", 9))), SplitSettings(by="tag", tag="site"))
    with pytest.raises(InputError, match=r"'val' would have 15 labelled frames with 15 boxes .*30"):
        split_dataset(data(video("a.mp4", 500), video("b.mp4", 15)), SplitSettings())


def test_every_side_has_frames_and_boxes_or_the_error_says_what_to_change() -> None:
    """Of 300 frames a side needs 30; 29 of them are too few, and lower limits allow it."""
    whole = data(video("a.mp4", 271), video("b.mp4", 29))
    with pytest.raises(InputError, match=r"'val' .* change: a larger share for val.*least_frames"):
        split_dataset(whole, SplitSettings())
    sides = split_dataset(whole, SplitSettings(least_frames=20, least_boxes=20))
    assert len(sides["val"].videos[0].tracks or ()) == 29
    empty = replace(video("b.mp4", 100), tracks=TrackTable.empty())
    with pytest.raises(InputError, match="100 labelled frames with 0 boxes"):
        split_dataset(data(video("a.mp4", 300), empty), SplitSettings())


def test_the_gap_of_a_short_recording_is_at_most_a_tenth_of_it() -> None:
    """Of 4 s, 2 s between the sides would leave little: 0.4 s are left out."""
    sides = split_dataset(data(video("a.mp4", 100)), SplitSettings())
    frames = [side.videos[0].labelled_frames for side in sides.values()]
    assert sum(len(one) for one in frames if one is not None) == 90
    assert "0.4 s apart" in sides["val"].videos[0].tags[SPLIT_WARNING]


def test_training_gets_what_the_others_leave() -> None:
    assert SplitSettings(val=0.3, test=0.1).shares == {"train": 0.6, "val": 0.3, "test": 0.1}


def test_pieces_of_a_recording_are_not_split_again() -> None:
    """What lay in the gap is gone from the file, so that a second split would not be of it all."""
    once = merge(split_dataset(data(video("a.mp4", 500)), SplitSettings()))
    both = replace(once, videos=(*once.videos, video("b.mp4", 500)))
    for dataset in (once, both):
        with pytest.raises(InputError, match=r"a\.mp4 was cut over several sides before"):
            split_dataset(dataset, SplitSettings())


def test_split_says_what_it_replaced_and_left_out_and_keeps_what_it_reads(tmp_path: Path) -> None:
    made = tmp_path / "made.json"
    write_dataset(data(replace(video("a.mp4", 500), split="test")), made)
    content = made.read_bytes()
    run, out = CliRunner().invoke, str(tmp_path / "split.json")
    refused = run(app, ["split", str(made), "-o", str(made)])
    assert "is what is read here" in str(refused.exception)
    assert made.read_bytes() == content
    told = json.loads(run(app, ["split", str(made), "-o", out, "--json"]).output)
    frames = {side: one["frames"] for side, one in told["sides"].items()}
    assert frames == {"train": 375, "val": 75}
    assert told["notes"] == [
        "50 labelled frames with 50 boxes are on no side: they lie in the gaps",
        "the split that was there is replaced (videos: test 1)",
    ]
