"""Recorded camera motion: the file, and replays that see what the live run saw."""

import numpy as np
import pytest

from vodkit.formats.camera_motion import line_of, motion_beside, read_motion
from vodkit.ground.errors import FormatError
from vodkit.ground.records import Detections, Frame
from vodkit.infer.follow import Follower
from vodkit.infer.tune import consistency, replay
from vodkit.track.table import make_tracker


def test_what_was_written_is_read_to_the_last_bit(tmp_path):
    rng = np.random.default_rng(0)
    motion = {i: rng.normal(0, 1, (2, 3)) for i in (3, 1, 7)}
    lines = "".join(line_of(i, affine) for i, affine in motion.items())
    (tmp_path / "camera_motion.txt").write_text(lines, encoding="utf-8")
    found = motion_beside(tmp_path / "detections.jsonl")
    assert sorted(found) == [1, 3, 7]
    for index, affine in motion.items():
        np.testing.assert_array_equal(found[index], affine)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 1 0 0 0 1 0\n2 1 0 0\n", r":2: has 4 columns"),
        ("1 1 0 0 0 one 0\n", r":1: not a number"),
        ("1 1 0 0 0 1 0\n1 1 0 0 0 1 0\n", r":2: frame 1 has a second line"),
        ("-1 1 0 0 0 1 0\n", r":1: has 7 columns"),
        ("1 1 0 nan 0 1 0\n", r":1: has 7 columns"),
    ],
)
def test_faults_name_the_line(tmp_path, text, says):
    path = tmp_path / "camera_motion.txt"
    path.write_text(text)
    with pytest.raises(FormatError, match=says):
        read_motion(path)


def panned(count=30):
    """A textured wall in front of a camera that pans 6 px a frame, and one object on the wall."""
    rng = np.random.default_rng(1)
    wall = rng.integers(0, 255, (30, 80), np.uint8).repeat(8, 0).repeat(8, 1)
    for i in range(count):
        image = np.ascontiguousarray(np.dstack([wall[:240, 6 * i : 6 * i + 320]] * 3))
        left = 200 - 6 * i
        box = [[left, 80, left + 30, 160]] if i % 5 else np.empty((0, 4))
        yield Frame(i, i / 10, image), Detections(box, [0.9] * len(box), [0] * len(box))


def test_a_replay_with_the_recorded_motion_gives_the_tracks_of_the_live_run(tmp_path):
    path = tmp_path / "camera_motion.txt"
    words = ["colours=false"]
    live = Follower(make_tracker("vodkit", words), cuts=False, motion_log=path)
    tracks = [live.step(frame, found).tracks for frame, found in panned()]
    motion = read_motion(path)
    assert len(motion) > 20
    assert np.median([affine[0, 2] for affine in motion.values()]) == pytest.approx(-6, abs=0.5)
    blind = [
        (Frame.unseen(f.index, f.time_s, width_px=f.width_px, height_px=f.height_px), found)
        for f, found in panned()
    ]
    again = make_tracker("vodkit", words)
    for (frame, found), one in zip(blind, tracks, strict=True):
        assert again.step(frame, found, camera_motion=motion.get(frame.index)) == one
    assert len(np.unique(replay(blind, "vodkit", words, motion=motion).ids)) == 1
    assert consistency(blind, "vodkit", words, motion=motion) > 0
