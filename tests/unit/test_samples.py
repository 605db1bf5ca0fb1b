"""The sample clips: small, labelled in every frame, with identities that hold."""

import numpy as np
import pytest

from vodkit.formats.table import read_dataset
from vodkit.ground.records import Dataset
from vodkit.samples import samples
from vodkit.video.reader import open_video


@pytest.fixture(scope="module")
def plaza() -> Dataset:
    return read_dataset(samples.LABELS)


def test_clips_are_small_and_where_they_are_said_to_be() -> None:
    sizes = [path.stat().st_size for path in (samples.CLIP_A, samples.CLIP_B)]
    assert min(sizes) > 0
    assert sum(sizes) < 4_000_000


def test_labels_name_the_clips_beside_them(plaza: Dataset) -> None:
    sources = [(video.source, video.split) for video in plaza.videos]
    assert sources == [(samples.CLIP_A.name, "train"), (samples.CLIP_B.name, "test")]
    assert plaza.classes == ("person",)


def test_containers_agree_with_the_labels(plaza: Dataset) -> None:
    for video, path in zip(plaza.videos, (samples.CLIP_A, samples.CLIP_B), strict=True):
        with open_video(path) as opened:
            assert opened.info.num_frames == video.info.num_frames
            assert opened.info.rate == video.info.rate
            last = opened.frame_at(int(video.info.num_frames or 0) - 1)
        assert video.tracks is not None
        assert last.time_s == pytest.approx(video.tracks.times_s[-1], abs=1e-6)


def test_every_person_is_followed_without_a_gap(plaza: Dataset) -> None:
    for video in plaza.videos:
        assert video.tracks is not None
        for identity in np.unique(video.tracks.ids):
            frames = video.tracks.frames[video.tracks.ids == identity]
            assert np.diff(frames).max() == 1, f"{video.source}: person {identity} has a gap"


def test_no_box_jumps_and_visibility_is_known(plaza: Dataset) -> None:
    for video in plaza.videos:
        table = video.tracks
        assert table is not None
        assert np.isfinite(np.asarray(table.visibility)).all()
        assert np.asarray(table.visibility).min() < 0.3, "somebody is hidden in each clip"
        for identity in np.unique(table.ids):
            boxes = table.boxes_xyxy[table.ids == identity]
            steps = np.abs(np.diff((boxes[:, :2] + boxes[:, 2:]) / 2, axis=0)).max(axis=1)
            height = boxes[1:, 3] - boxes[1:, 1]
            assert (steps < 0.25 * height).all(), f"{video.source}: person {identity} jumps"
