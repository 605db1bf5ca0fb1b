"""Objects without a label are found where their track stops, and where a detector sees them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from vodkit.cli.main import app
from vodkit.data.audit.audit import audit
from vodkit.data.audit.findings import Finding
from vodkit.data.audit.missing_labels import (
    LookalikeSearch,
    find_edges,
    lookalikes,
    unlabelled_predictions,
)
from vodkit.formats.table import write_dataset
from vodkit.ground.errors import SettingsError
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable

Make = Callable[..., LabelledVideo]


def without(video: LabelledVideo, track_id: int, frames: range) -> LabelledVideo:
    table = video.tracks
    assert table is not None
    gone = (table.ids == track_id) & np.isin(table.frames, frames)
    return replace(video, tracks=table[~gone])


def told(video: LabelledVideo, root: Path) -> list[Finding]:
    done = audit(Dataset(classes=("bee", "fly"), videos=(video,)), root)
    return [finding for finding in done.findings if finding.code == "unlabelled"]


@pytest.mark.slow
@pytest.mark.parametrize("track_id", [1, 2])
def test_a_track_that_stops_too_early_is_found(
    make_video: Make, tmp_path: Path, track_id: int
) -> None:
    found = told(without(make_video(), track_id, range(40, 90)), tmp_path)
    assert [finding.frame for finding in found] == [40]
    assert f"like id {track_id} in frame 39" in found[0].evidence[0]


def test_a_pause_is_found_from_both_sides(make_video: Make, tmp_path: Path) -> None:
    found = told(without(make_video(), 1, range(40, 50)), tmp_path)
    assert [finding.count for finding in found] == [2]


@pytest.mark.slow
def test_whole_labels_and_frames_that_nobody_labelled_are_no_fault(
    make_video: Make, tmp_path: Path
) -> None:
    video = make_video()
    assert told(video, tmp_path) == []
    sparse = np.arange(0, 40)
    kept = without(without(video, 1, range(40, 90)), 2, range(40, 90))
    assert told(replace(kept, labelled_frames=sparse), tmp_path) == []


def test_an_object_that_is_gone_is_not_looked_for_in_vain(make_video: Make, tmp_path: Path) -> None:
    """The picture turns black where the track ends."""
    video = without(make_video(blank=range(40, 90)), 1, range(40, 90))
    assert lookalikes(video, tmp_path / "a.mp4", LookalikeSearch()) == []


def test_ends_at_the_edge_of_the_picture_are_none(make_video: Make) -> None:
    video = make_video(num_frames=40)
    table = video.tracks
    assert table is not None
    moved = table.boxes_xyxy.copy()
    moved[table.ids == 1, 0] = 0
    short = without(replace(video, tracks=replace(table, boxes_xyxy=moved)), 1, range(20, 40))
    assert find_edges(short, LookalikeSearch()) == []
    assert len(find_edges(without(video, 1, range(20, 40)), LookalikeSearch())) == 1


def test_what_a_detector_is_sure_of_and_no_label_has(make_video: Make) -> None:
    video = make_video(num_frames=20)
    table = video.tracks
    assert table is not None
    scores = np.where(table.frames < 10, 0.9, 0.3)
    seen = replace(table, scores=scores, boxes_xyxy=table.boxes_xyxy + 1)
    assert unlabelled_predictions(video, seen, LookalikeSearch()) == []
    found = unlabelled_predictions(without(video, 2, range(20)), seen, LookalikeSearch())
    assert [(one.code, one.count, one.frame) for one in found] == [("unlabelled", 10, 0)]
    nobody = replace(video, tracks=TrackTable.empty(), labelled_frames=np.array([15]))
    assert unlabelled_predictions(nobody, seen, LookalikeSearch()) == []


def test_predictions_come_from_a_file(make_video: Make, tmp_path: Path) -> None:
    video = make_video(num_frames=20)
    write_dataset(
        Dataset(classes=("bee", "fly"), videos=(without(video, 2, range(20)),)), tmp_path / "a.json"
    )
    write_dataset(
        Dataset(classes=("bee", "fly"), videos=(video,)), tmp_path / "p.jsonl", "predictions"
    )
    words = ["data", "audit", str(tmp_path / "a.json"), "--labels-only", "--json"]
    done = CliRunner().invoke(app, [*words, "--predictions", str(tmp_path / "p.jsonl")])
    told = [one for one in json.loads(done.output) if one["code"] == "unlabelled"]
    assert [one["count"] for one in told] == [16]  # in four frames the other label covers it


def test_odd_settings_are_refused() -> None:
    with pytest.raises(SettingsError, match="margin"):
        LookalikeSearch(margin=0.7)
    with pytest.raises(SettingsError, match="reach_s"):
        LookalikeSearch(reach_s=0)
